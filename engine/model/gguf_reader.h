/* gguf_reader.h - a GGUF header read piece by piece, for gguf.c and gguf_keys.c.
 *
 * Nothing is taken that is not there: each function fails with the place, what was to be read, and
 * how much is left.  Tested in tests/engine/test_gguf.c. */
#ifndef GGUF_READER_H
#define GGUF_READER_H

#include "model/checkpoint_parts.h"

/* A place in the file, and what is being read there, for messages. */
struct gguf_reader {
    const struct shard *sh;
    size_t at;
    const char *what; /* not NUL-terminated */
    size_t what_len;
};

size_t gguf_left(const struct gguf_reader *r);
/* What is read next. */
void gguf_expect(struct gguf_reader *r, const char *what, size_t len);
/* A number of 1 to 8 bytes. */
int gguf_take(struct gguf_reader *r, int bytes, uint64_t *out, struct err *e);
/* A key or a tensor's name: ASCII that can be shown and typed, less than LIMIT_NAME of it.  *out is
 * not terminated. */
int gguf_take_name(struct gguf_reader *r, const char *kind, const char **out, size_t *len,
                   struct err *e);
/* A number of items of which each takes `least` bytes at the very least. */
int gguf_take_count(struct gguf_reader *r, const char *what, uint64_t least, uint64_t max,
                    uint64_t *out, struct err *e);
/* n keys; freed with gguf_free. */
struct gguf *gguf_read_keys(struct gguf_reader *r, uint64_t n, struct err *e);

#endif
