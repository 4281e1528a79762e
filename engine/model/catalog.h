/* catalog.h - the models that are here: the built-in one and those of the local Hugging Face cache.
 *
 * Names are found at once; what is known of a model is read when somebody looks, a few milliseconds
 * each whatever its size.  Nothing is fetched.  Tested in tests/engine/test_catalog.c. */
#ifndef CATALOG_H
#define CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct catalog_entry {
    char *name;       /* as hub_resolve takes it; bytes of the file system, not cleaned */
    bool looked;      /* the rest is filled in */
    bool opens;       /* shape and weights are read without a complaint; tokenizers are not tried */
    char family[64];  /* model_type; "" where no file says it */
    char dtype[128];  /* stored type of most weights; "" where it does not open */
    uint64_t params;  /* 0 where it does not open */
    uint64_t bytes;   /* of all weights, or of the files in the snapshot where it does not open */
    struct err error; /* why not */
};

struct catalog {
    struct catalog_entry *entry; /* the built-in model, then by name */
    int n;
};

/* Every snapshot of the cache: "org/name" for the one that this name opens, "org/name@branch" or
 * "org/name@commit" for others. An unreadable or missing cache is an empty one. */
int catalog_list(struct catalog *c, struct err *e);
void catalog_free(struct catalog *c);
/* Fill in what is known of it. */
void catalog_look(struct catalog_entry *x);
/* Why it does not open, in one phrase: the error without its path and its advice. In buf. */
const char *catalog_why(const struct catalog_entry *x, char *buf, size_t size);

#endif
