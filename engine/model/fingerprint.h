/* fingerprint.h - 128 bits that stand for some bytes: keys of caches.  Not for secrets. */
#ifndef FINGERPRINT_H
#define FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct model;

struct fingerprint {
    uint64_t a, b; /* start with zeros */
};

void fingerprint_add(struct fingerprint *f, const void *bytes, size_t n);
/* The bytes of a file, from its beginning to its end, in pieces. */
int fingerprint_file(struct fingerprint *f, const char *path, struct err *e);
/* What a model computes depends on: shape, plan, processing, backend, and the weights: names,
 * types, shapes, the files' size, time and place, and samples of their values (all of tensors up to
 * 64 KiB).  Reads a few MiB at most. */
struct fingerprint fingerprint_model(const struct model *m);

#endif
