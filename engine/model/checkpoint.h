/* checkpoint.h - named tensors in a file or a set of files, mapped and used where they lie.
 *
 * One format today, safetensors.c: one .safetensors file or a sharded set.  A format reads names,
 * types, shapes and places; nobody else knows which one it was.  Tensors that the file does not
 * align to their element size are copied when it is opened; all others stay where they lie.
 *
 * Threads: read-only after opening.  Files: O_CLOEXEC, regular files only, mapped private
 * read-only. A mapped file that is cut short while open: see mapping.h.  Tests:
 * tests/engine/test_safetensors.c, tests/fuzz/fuzz_safetensors.c. */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "kn.h"

enum { CHECKPOINT_RANK_MAX = 8 };

/* Types of stored tensors: every dtype of safetensors with a whole number of bytes per element, and
 * those that only the kernels know: elements in blocks along the last axis, as in GGUF. */
enum st_dtype {
    ST_BOOL,
    ST_U8,
    ST_I8,
    ST_F8_E5M2,
    ST_F8_E4M3,
    ST_F8_E8M0,
    ST_I16,
    ST_U16,
    ST_F16,
    ST_BF16,
    ST_I32,
    ST_U32,
    ST_F32,
    ST_C64,
    ST_F64,
    ST_I64,
    ST_U64,
#define KN_BLOCKS(id, name, elements, bytes) ST_##id, /* ST_Q8_0, ... */
#include "dtype.def"
    ST_DTYPE_COUNT,
    ST_BLOCKS_FIRST = ST_Q8_0
};

struct st_tensor {
    const char *name;
    enum st_dtype dtype;
    int rank;                           /* 0 = a scalar */
    int64_t shape[CHECKPOINT_RANK_MAX]; /* elements; a 0 is allowed (then nbytes is 0) */
    const void *data; /* into the mapping or the copy; aligned to the element size (blocks: not) */
    size_t nbytes;
    const char *file; /* base name of the shard that holds it, for messages */
    bool linear;      /* made of a quantized layer: [n, k] where a family has [k, n] too */
};

struct checkpoint;

/* `path` is one .safetensors file or a `*.safetensors.index.json` ({"weight_map": {tensor:
 * shard}}), whose shards must lie in the same folder, exist, and hold exactly the tensors that the
 * index says. NULL and *e on failure: file, tensor, expected, found. */
struct checkpoint *checkpoint_open(const char *path, struct err *e);
/* One file's bytes, which must stay valid until closing; `name` is for messages (copied). */
struct checkpoint *checkpoint_parse(const char *name, const void *bytes, size_t len, struct err *e);
void checkpoint_close(struct checkpoint *st);

size_t checkpoint_count(const struct checkpoint *st);
/* i < count; in file order, shard after shard. */
const struct st_tensor *checkpoint_at(const struct checkpoint *st, size_t i);
/* NULL if there is none.  O(1). */
const struct st_tensor *checkpoint_find(const struct checkpoint *st, const char *name);
/* The name that is least far from `name` (edit distance), for messages; NULL in an empty file. */
const char *checkpoint_nearest(const struct checkpoint *st, const char *name);

/* A value of __metadata__, that of the first shard; NULL if absent. */
const char *checkpoint_metadata(const struct checkpoint *st, const char *key);

/* Bytes of all data sections. */
uint64_t checkpoint_nbytes(const struct checkpoint *st);
/* A mapped file could not be read, or its size, mtime, device or inode is not what it was (a stat
 * per shard). The name of the first such file goes to *file (may be NULL); owned by st. */
bool checkpoint_changed(const struct checkpoint *st, const char **file);
/* A number that changes with the size, mtime, device or inode of any mapped file. */
uint64_t checkpoint_stamp(const struct checkpoint *st);

const char *st_dtype_name(enum st_dtype d);  /* "BF16" */
size_t st_dtype_size(enum st_dtype d);       /* bytes per element, or per block */
int64_t st_dtype_block(enum st_dtype d);     /* elements that are stored together: 1, 32, ... */
int64_t st_count(const struct st_tensor *t); /* elements */
/* The kernels' type of what is stored so; false: they have none. */
bool st_kernel_type(enum st_dtype d, enum kn_dtype *out);
/* Elements first .. first + n, row-major, as f32.  False, and out untouched: neither F64 nor a type
 * of the kernels. */
bool st_decode(const struct st_tensor *t, int64_t first, int64_t n, float *out);
/* "[768, 50257]" into buf; returns buf. */
const char *st_shape_text(char *buf, size_t size, const int64_t *shape, int rank);

#endif
