/* reference_cache.h - means over reference sets on disk, so that they are computed once.
 *
 * One safetensors file per mean in $XDG_CACHE_HOME/borescope/reference (else
 * ~/.cache/borescope/reference): the tensor `mean`, F32; metadata `key` (all that the values depend
 * on, as text) and `check` (a fingerprint of the values).  Written beside its place and renamed.
 * Whatever is not exactly as expected counts as absent; failing to write is no failure. Tested in
 * tests/engine/test_reference.c and tests/fuzz/fuzz_reference_cache.c. */
#ifndef REFERENCE_CACHE_H
#define REFERENCE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REFERENCE_KEY_MAX = 256 };

/* Read the values kept under `key`; true if they are there: count (the product of shape) finite
 * floats in out. */
bool reference_cache_read(const char *key, const int64_t *shape, int rank, float *out);
void reference_cache_write(const char *key, const int64_t *shape, int rank, const float *values);
/* The same from a file's bytes: what reference_cache_read accepts.  out is written only if true. */
bool reference_cache_parse(const void *bytes, size_t len, const char *key, const int64_t *shape,
                           int rank, float *out);

#endif
