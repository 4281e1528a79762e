/* late.c - see late.h. */
#include "pull/late.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

enum library { CURL_LIBRARY, CRYPTO_LIBRARY, LIBRARIES };

/* By the names of the interfaces that the calls are of. */
static const struct {
    const char *names[2], *package;
} libraries[LIBRARIES] = {
    [CURL_LIBRARY] = {{"libcurl.so.4", "libcurl-gnutls.so.4"}, "libcurl4"},
    [CRYPTO_LIBRARY] = {{"libcrypto.so.3", "libcrypto.so.1.1"}, "libssl3"},
};

static struct late late;
static struct err why;

static void load(void)
{
    void *opened[LIBRARIES] = {NULL};
    for (int i = 0; i < LIBRARIES; i++) {
        for (int k = 0; k < 2 && !opened[i]; k++)
            opened[i] = dlopen(libraries[i].names[k], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!opened[i]) {
            err_set(&why, ERR_SYSTEM, "%s is not here, which fetching needs · install %s",
                    libraries[i].names[0], libraries[i].package);
            return;
        }
    }
    void *symbol; /* no function pointer by C's rules, but by POSIX' */
#define LATE(library, returns, name, takes)                                                   \
    symbol = dlsym(opened[library##_LIBRARY], #name);                                         \
    if (!symbol)                                                                              \
        err_set(&why, ERR_SYSTEM,                                                             \
                "%s has no " #name ", which fetching needs · install a newer %s",             \
                libraries[library##_LIBRARY].names[0], libraries[library##_LIBRARY].package); \
    memcpy(&late.name, &symbol, sizeof symbol);
#include "pull/late.def"
}

const struct late *late_open(struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!why.code)
        return &late;
    if (e)
        *e = why;
    return NULL;
}
