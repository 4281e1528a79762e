/* bytes.c - growable byte buffer with a sticky failure.  Tested in tests/render/test_bytes.c. */
#include "bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *bytes_reserve(struct bytes *b, size_t n)
{
    if (b->failed)
        return NULL;
    size_t need;
    if (n >= SIZE_MAX - b->len) {
        b->failed = true;
        return NULL;
    }
    need = b->len + n + 1;
    if (need > b->capacity) {
        size_t grown = b->capacity + b->capacity / 2;
        size_t capacity = need > grown ? need : grown;
        char *data = realloc(b->data, capacity < 64 ? 64 : capacity);
        if (!data) {
            b->failed = true;
            return NULL;
        }
        b->data = data;
        b->capacity = capacity < 64 ? 64 : capacity;
    }
    return b->data + b->len;
}

void bytes_add(struct bytes *b, const void *data, size_t n)
{
    char *to = bytes_reserve(b, n);
    if (!to)
        return;
    if (n)
        memcpy(to, data, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void bytes_add_string(struct bytes *b, const char *s)
{
    bytes_add(b, s, strlen(s));
}

void bytes_add_char(struct bytes *b, char c)
{
    bytes_add(b, &c, 1);
}

void bytes_add_repeat(struct bytes *b, char c, size_t n)
{
    char *to = bytes_reserve(b, n);
    if (!to)
        return;
    memset(to, c, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void bytes_addf(struct bytes *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(n >= 0);
    char *to = bytes_reserve(b, (size_t)n);
    if (to) {
        (void)vsnprintf(to, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void bytes_clear(struct bytes *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}
