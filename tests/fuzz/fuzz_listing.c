/* Fuzz: any bytes as a hub's list of files and, behind the first NUL, as an index of shards; no
 * name that is chosen leads out of a folder, and a refusal is one line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pull/listing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stays_inside(const struct listing *l)
{
    for (int i = 0; i < l->n; i++) {
        const char *p = l->file[i];
        if (!*p || *p == '/' || !strncmp(p, "../", 3) || strstr(p, "/../") || strchr(p, '\n'))
            abort();
    }
}

static void refused(int rc, const struct err *e)
{
    if (rc && (rc != e->code || !e->text[0] || strchr(e->text, '\n')))
        abort();
}

static void choose(const struct listing *l, const char *gguf, const uint8_t *data, size_t size)
{
    struct listing chosen;
    struct err e = {0};
    int rc = listing_choose(&chosen, l, "org/name", gguf, &e);
    refused(rc, &e);
    if (!rc && listing_index(&chosen))
        refused(listing_add_shards(&chosen, l, "org/name", (const char *)data, size, &e), &e);
    stays_inside(&chosen);
    listing_free(&chosen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct listing l;
    struct err e = {0};
    const uint8_t *nul = memchr(data, '\0', size);
    size_t n = nul ? (size_t)(nul - data) : size;
    int rc = listing_parse(&l, "list", (const char *)data, n, &e);
    refused(rc, &e);
    stays_inside(&l);
    if (!rc) {
        choose(&l, NULL, nul ? nul + 1 : data, nul ? size - n - 1 : 0);
        for (int i = 0; i < l.n && i < 4; i++)
            choose(&l, l.file[i], data, 0);
    }
    listing_free(&l);
    return 0;
}
