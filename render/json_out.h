/* json_out.h - a streaming JSON writer.
 *
 * Output is always valid JSON and safe to print on a terminal: besides what JSON asks for, every
 * code point that the sanitizer refuses (C1, bidi, zero-width, ...) is written as \uXXXX, which
 * reads back as itself. Bytes that are not UTF-8 become U+FFFD, one per maximal ill-formed part, as
 * Python's errors="replace". NaN and infinities become null.  Floats read back as the same float
 * (number_exact_float). The members of the outermost object or array stand on lines of their own.
 * Calls in an order that is not JSON (a value without its key, a wrong close) are our own bug:
 * assert. Out of memory sticks in the byte buffer.  Tested in tests/render/test_json_out.c. */
#ifndef JSON_OUT_H
#define JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

enum { JSON_OUT_DEPTH = 32 };

struct json_out {
    struct bytes *out;
    int depth;
    bool object[JSON_OUT_DEPTH]; /* what is open at each depth */
    bool some;     /* the innermost one has a member; at depth 0: the value was written */
    bool keyed;    /* a key waits for its value */
    bool one_line; /* set after json_out_begin: no newline anywhere, not at the end either */
};

/* Appends to *out. */
void json_out_begin(struct json_out *j, struct bytes *out);
/* Closes what is open and adds the final newline, unless one_line. */
void json_out_end(struct json_out *j);

void json_out_object(struct json_out *j); /* { */
void json_out_array(struct json_out *j);  /* [ */
void json_out_close(struct json_out *j);  /* } or ] */
/* A member's key; returns j: json_out_int(json_out_key(j, "layer"), 3). */
struct json_out *json_out_key(struct json_out *j, const char *key);
void json_out_text(struct json_out *j, const char *s, size_t n);
void json_out_string(struct json_out *j, const char *s); /* NULL gives null */
void json_out_int(struct json_out *j, int64_t v);
void json_out_bool(struct json_out *j, bool v);
void json_out_null(struct json_out *j);
void json_out_float(struct json_out *j, float v);
void json_out_double(struct json_out *j, double v);
void json_out_floats(struct json_out *j, const float *v, size_t n); /* an array of n */
void json_out_ints(struct json_out *j, const int64_t *v, size_t n);

#endif
