/* library.h - test support for the public header: fixture models through bore_open. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include "fixture.h"

#include "lib/borescope.h"

struct library {
    struct bore_model *m;
    struct bore_pass pass; /* the fixture's tokens, one row */
    int32_t *tokens;
    struct checkpoint *ref;
};

struct library library_open(const char *name, size_t cache_bytes);
void library_close(struct library *l);
/* Fails the test with the error's line unless rc is 0. */
void library_ok(int rc, const struct bore_error *e);
/* Contiguous tensors with the same shape and bits? */
bool library_same(const struct bore_tensor *a, const struct bore_tensor *b);
/* Number of elements of a tensor; element [a, b, c, d] of it, as far as it has these axes. */
size_t library_count(const struct bore_tensor *t);
float library_at(const struct bore_tensor *t, int64_t a, int64_t b, int64_t c, int64_t d);
/* Every tensor of two caches; fails with the name of the first that differs. */
void library_same_caches(const struct bore_cache *a, const struct bore_cache *b, const char *what);
/* Capture with the given names (NULL: all that fire). */
struct bore_cache *library_cache(struct bore_model *m, const struct bore_pass *p,
                                 const char *const *names, int n);

#endif
