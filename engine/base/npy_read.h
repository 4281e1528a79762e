/* npy_read.h - one array of NumPy's .npy format, read where it lies.
 *
 * Strict: versions 1 to 3, the three keys of the header and nothing else, C order, little endian
 * float32 and float64 and uint8, as many bytes as the shape says.  Tested in
 * tests/engine/test_image_input.c, tests/fuzz/fuzz_image_input.c. */
#ifndef NPY_READ_H
#define NPY_READ_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { NPY_RANK_MAX = 8 };

struct npy {
    enum { NPY_F32, NPY_F64, NPY_U8 } type;
    int rank;
    int64_t shape[NPY_RANK_MAX]; /* the product is below 2^62 */
    const unsigned char *data;   /* in the caller's bytes, not aligned */
};

/* `name` is what messages call it.  *out is untouched on failure. */
int npy_read(struct npy *out, const char *name, const void *bytes, size_t len, struct err *e);
/* Element i as a number. */
double npy_at(const struct npy *a, int64_t i);

#endif
