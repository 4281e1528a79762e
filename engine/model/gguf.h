/* gguf.h - what a GGUF file says beside its tensors: typed values by key.
 *
 * The format: github.com/ggml-org/ggml/blob/master/docs/gguf.md; versions 2 and 3, little-endian.
 * Values stay where they lie in the file; strings are bytes of any kind, not NUL-terminated.  What
 * the keys mean for a model is gguf_config.c and gguf_tokenizer.c.
 *
 * Threads: read-only after opening.  Tests: tests/engine/test_gguf.c, tests/fuzz/fuzz_gguf.c. */
#ifndef GGUF_H
#define GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct checkpoint;

/* As the format numbers them. */
enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
};

/* A value, or a list of n of one type; its bytes are sound. */
struct gguf_value {
    enum gguf_type type; /* of the value or of the list's items; never GGUF_ARRAY */
    bool list;
    uint64_t n; /* items; 1 where it is no list */
    const unsigned char *at;
};

struct gguf;

/* The keys of a checkpoint's first file; NULL: it is not of this format. */
const struct gguf *checkpoint_gguf(const struct checkpoint *st);
const char *gguf_file(const struct gguf *g); /* for messages */
/* NULL: there is no such key. */
const struct gguf_value *gguf_find(const struct gguf *g, const char *key);

/* What a key says, checked: 1 and *out; 0, and *out untouched, where there is no such key; else
 * negative: of another type or outside its bounds.  A number may be of any width and, for
 * gguf_number, whole. */
int gguf_int(const struct gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
             struct err *e);
int gguf_number(const struct gguf *g, const char *key, double *out, struct err *e);
int gguf_bool(const struct gguf *g, const char *key, bool *out, struct err *e);
int gguf_string(const struct gguf *g, const char *key, const char **out, size_t *len,
                struct err *e);
/* A list of items of that type; GGUF_I32 takes any integers of 32 bits. */
int gguf_list(const struct gguf *g, const char *key, enum gguf_type type,
              const struct gguf_value **out, struct err *e);

/* Items of a list, i < n; of I32, U32, F32 and BOOL. */
int32_t gguf_list_i32(const struct gguf_value *v, uint64_t i);
float gguf_list_f32(const struct gguf_value *v, uint64_t i);
bool gguf_list_bool(const struct gguf_value *v, uint64_t i);
/* The next string: at *at, which begins as v->at and moves on. */
const char *gguf_next_string(const unsigned char **at, size_t *len);

#endif
