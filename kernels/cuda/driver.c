/* driver.c - see driver.h. */
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

static const char *const SYMBOLS[] = {
#define CU(name, symbol, arguments) #symbol,
#include "driver.def"
};
enum { CALLS = sizeof SYMBOLS / sizeof *SYMBOLS };

/* As an array of addresses. */
union calls {
    struct cuda_driver cu;
    void *address[CALLS];
};
_Static_assert(sizeof(struct cuda_driver) == CALLS * sizeof(void *), "one address a call");

void driver_fail(const struct cuda_driver *cu, const char *what, cu_result r, char *why,
                 size_t why_size)
{
    const char *name = "unknown error";
    if (r == CU_NO_DEVICE) {
        snprintf(why, why_size, "no CUDA device · the driver is there and finds none");
        return;
    }
    cu->error_name(r, &name);
    snprintf(why, why_size, "cuda · %s · %s (%d)", what, name, r);
}

static bool load(union calls *to, char *why, size_t why_size)
{
    void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        snprintf(why, why_size, "no NVIDIA driver here · libcuda.so.1 was not found");
        return false;
    }
    union calls c;
    for (int i = 0; i < CALLS; i++)
        if (!(c.address[i] = dlsym(lib, SYMBOLS[i]))) {
            snprintf(why, why_size, "this NVIDIA driver is too old · it has no %s · CUDA 11.2",
                     SYMBOLS[i]);
            dlclose(lib);
            return false;
        }
    cu_result r = c.cu.init(0);
    if (r) {
        driver_fail(&c.cu, "cuInit", r, why, why_size);
        return false;
    }
    *to = c; /* lib stays open, here and above: the driver may have threads of its own */
    return true;
}

const struct cuda_driver *driver_load(char *why, size_t why_size)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static union calls calls;
    static bool loaded;
    pthread_mutex_lock(&lock);
    loaded = loaded || load(&calls, why, why_size);
    pthread_mutex_unlock(&lock);
    return loaded ? &calls.cu : NULL;
}
