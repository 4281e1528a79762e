/* tensor_write.h - tensors to a file: .safetensors or .npz (by the path's ending).
 *
 * The file appears whole or not at all: it is written beside its place, synced, then renamed. Every
 * i/o error is reported with the path; a failed write leaves an existing file as it was. Tests:
 * tests/engine/test_tensor_write.c (read back by our own parser; npz against numpy in the
 * fixtures). */
#ifndef TENSOR_WRITE_H
#define TENSOR_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/checkpoint.h"

/* One tensor: contiguous, row-major, little-endian. */
struct tensor_out {
    const char *name;
    enum st_dtype dtype;
    int rank;
    int64_t shape[CHECKPOINT_RANK_MAX];
    const void *data; /* all of it, or NULL and `read` is called for consecutive pieces, in order */
    int (*read)(void *ctx, void *buf, size_t offset, size_t n,
                struct err *e); /* 0 or negative with *e */
    void *ctx;
};

struct tensor_meta {
    const char *key, *value; /* UTF-8 */
};

/* ".safetensors" or ".npz"; another ending is ERR_USAGE.  Call before computing for an early
 * refusal. */
int tensor_write_check(const char *path, struct err *e);
/* Names must be unique.  In an .npz each tensor is NAME.npy (bytes that a zip path cannot hold
 * become '_') and the metadata is the member `metadata.json`; BF16, F8 and C64 have no numpy type
 * and are refused. */
int tensor_write(const char *path, const struct tensor_out *t, size_t n,
                 const struct tensor_meta *meta, size_t n_meta, struct err *e);

#endif
