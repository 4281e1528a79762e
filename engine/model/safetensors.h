/* safetensors.h - one checkpoint: one .safetensors file or a sharded set, mapped and used where it
 * lies.
 *
 * Format: 8 bytes little-endian header length n, n bytes of JSON {name: {dtype, shape,
 * data_offsets}}, then the data; https://huggingface.co/docs/safetensors.  Everything the format
 * promises is checked: the header fits the file and the limits, names are printable UTF-8 and
 * unique over all shards, rank <= SAFETENSORS_RANK_MAX, shape x dtype equals the range (no wrap),
 * ranges tile the data section exactly (no overlap, hole or trailing bytes).  Tensors that the file
 * does not align to their element size are copied when it is opened; all others stay where they
 * lie.
 *
 * Threads: read-only after opening.  Files: O_CLOEXEC, regular files only, mapped private
 * read-only. A mapped file that is cut short while open: see mapping.h.  Tests:
 * tests/engine/test_safetensors.c, tests/fuzz/fuzz_safetensors.c. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SAFETENSORS_RANK_MAX = 8 };

/* Every dtype of the format with a whole number of bytes per element. */
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
    ST_DTYPE_COUNT
};

struct st_tensor {
    const char *name;
    enum st_dtype dtype;
    int rank;                            /* 0 = a scalar */
    int64_t shape[SAFETENSORS_RANK_MAX]; /* elements; a 0 is allowed (then nbytes is 0) */
    const void *data; /* into the mapping or the copy; aligned to the element size */
    size_t nbytes;
    const char *file; /* base name of the shard that holds it, for messages */
};

struct safetensors;

/* `path` is one .safetensors file or a `*.safetensors.index.json` ({"weight_map": {tensor:
 * shard}}), whose shards must lie in the same folder, exist, and hold exactly the tensors that the
 * index says. NULL and *e on failure: file, tensor, expected, found. */
struct safetensors *safetensors_open(const char *path, struct err *e);
/* One file's bytes, which must stay valid until closing; `name` is for messages (copied). */
struct safetensors *safetensors_parse(const char *name, const void *bytes, size_t len,
                                      struct err *e);
void safetensors_close(struct safetensors *st);

size_t safetensors_count(const struct safetensors *st);
/* i < count; in file order, shard after shard. */
const struct st_tensor *safetensors_at(const struct safetensors *st, size_t i);
/* NULL if there is none.  O(1). */
const struct st_tensor *safetensors_find(const struct safetensors *st, const char *name);
/* The name that is least far from `name` (edit distance), for messages; NULL in an empty file. */
const char *safetensors_nearest(const struct safetensors *st, const char *name);

/* A value of __metadata__, that of the first shard; NULL if absent. */
const char *safetensors_metadata(const struct safetensors *st, const char *key);

/* Bytes of all data sections. */
uint64_t safetensors_nbytes(const struct safetensors *st);
/* Bytes that had to be copied because the file does not align them; 0 for what today's writers
 * make. */
uint64_t safetensors_copied(const struct safetensors *st);
/* A mapped file could not be read, or its size, mtime, device or inode is not what it was (a stat
 * per shard). The name of the first such file goes to *file (may be NULL); owned by st. */
bool safetensors_changed(const struct safetensors *st, const char **file);
/* A number that changes with the size, mtime, device or inode of any mapped file. */
uint64_t safetensors_stamp(const struct safetensors *st);

const char *st_dtype_name(enum st_dtype d); /* "BF16" */
size_t st_dtype_size(enum st_dtype d);      /* bytes per element */
/* "[768, 50257]" into buf; returns buf. */
const char *st_shape_text(char *buf, size_t size, const int64_t *shape, int rank);

#endif
