/* bytes.h - a growable byte buffer whose out-of-memory state sticks.
 *
 * Zero-initialise, add, look at `failed` once at the end, bytes_free.  After a failed allocation
 * every further add does nothing, so writers need no check per call.  data is NUL-terminated (len
 * does not count the NUL) and NULL only while nothing was ever added.  No locks: one thread at a
 * time. Tested in tests/render/test_bytes.c. */
#ifndef BYTES_H
#define BYTES_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __GNUC__
#define BYTES_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define BYTES_PRINTF(fmt, args)
#endif

struct bytes {
    char *data;
    size_t len, capacity;
    bool failed; /* out of memory: the content is cut off somewhere */
};

/* Room for n more bytes behind data[len], not yet counted in len; NULL when out of memory. */
char *bytes_reserve(struct bytes *b, size_t n);
void bytes_add(struct bytes *b, const void *data, size_t n);
void bytes_add_string(struct bytes *b, const char *s);
void bytes_add_char(struct bytes *b, char c);
void bytes_add_repeat(struct bytes *b, char c, size_t n);
/* printf.  Numbers follow LC_NUMERIC, which the program leaves at "C" (it sets LC_CTYPE only). */
void bytes_addf(struct bytes *b, const char *fmt, ...) BYTES_PRINTF(2, 3);
/* Forget the content; keep the memory, and a failure: bytes_free ends that. */
void bytes_clear(struct bytes *b);
void bytes_free(struct bytes *b);

#endif
