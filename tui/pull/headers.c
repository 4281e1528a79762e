/* headers.c - reading the head of an answer line by line (see headers.h). */
#include "pull/headers.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void headers_begin(struct headers *h)
{
    *h = (struct headers){.length = -1, .linked_size = -1, .range_first = -1, .range_size = -1};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Digits at the start of s[0..n): how many; *v = -1 where there are none or too many. */
static size_t number(const char *s, size_t n, int64_t *v)
{
    size_t i = 0;
    *v = 0;
    for (; i < n && s[i] >= '0' && s[i] <= '9'; i++)
        *v = *v < 0 || *v > INT64_MAX / 10 - 1 ? -1 : *v * 10 + (s[i] - '0');
    if (i == 0)
        *v = -1;
    return i;
}

static void take_number(const char *s, size_t n, int64_t *out)
{
    int64_t v;
    *out = number(s, n, &v) == n ? v : -1;
}

/* "bytes 0-4/5", or a star for a size that is not known. */
static void take_range(struct headers *h, const char *s, size_t n)
{
    int64_t first, last, size = -1;
    if (n < 6 || strncasecmp(s, "bytes ", 6) != 0)
        return;
    size_t at = 6 + number(s + 6, n - 6, &first);
    if (first < 0 || at >= n || s[at] != '-')
        return;
    at++;
    at += number(s + at, n - at, &last);
    if (at >= n || s[at] != '/' || last < first)
        return;
    at++;
    if (n - at != 1 || s[at] != '*')
        take_number(s + at, n - at, &size);
    h->range_first = first;
    h->range_size = size > last ? size : -1;
}

/* A value that does not fit or holds control characters is as good as none. */
static void take_text(const char *s, size_t n, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
            return;
    if (n < size) {
        memcpy(out, s, n);
        out[n] = '\0';
    }
}

static void take_etag(const char *s, size_t n, char *out, size_t size)
{
    if (n >= 2 && s[0] == 'W' && s[1] == '/') {
        s += 2;
        n -= 2;
    }
    bool quoted = n >= 2 && s[0] == '"' && s[n - 1] == '"';
    take_text(s + quoted, n - 2 * quoted, out, size);
}

static void take(struct headers *h, const char *name, size_t len, const char *s, size_t n)
{
    static const char *const names[] = {
        "content-length",  "x-linked-size",   "content-range", "etag",
        "x-linked-etag",   "x-repo-commit",   "location",      "x-error-code",
        "x-error-message", "content-encoding"};
    size_t i = 0;
    while (i < sizeof names / sizeof *names &&
           (strlen(names[i]) != len || strncasecmp(names[i], name, len) != 0))
        i++;
    switch (i) {
    case 0: take_number(s, n, &h->length); break;
    case 1: take_number(s, n, &h->linked_size); break;
    case 2: take_range(h, s, n); break;
    case 3: take_etag(s, n, h->etag, sizeof h->etag); break;
    case 4: take_etag(s, n, h->linked_etag, sizeof h->linked_etag); break;
    case 5: take_text(s, n, h->commit, sizeof h->commit); break;
    case 6: take_text(s, n, h->location, sizeof h->location); break;
    case 7: take_text(s, n, h->error_code, sizeof h->error_code); break;
    case 8: take_text(s, n, h->error_message, sizeof h->error_message); break;
    case 9: h->encoded = n != 8 || strncasecmp(s, "identity", 8) != 0; break;
    default: break;
    }
}

void headers_line(struct headers *h, const char *line, size_t n)
{
    while (n && is_blank(line[n - 1]))
        n--;
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        const char *space = memchr(line, ' ', n);
        int64_t status = -1;
        headers_begin(h);
        if (space)
            number(space + 1, n - (size_t)(space + 1 - line), &status);
        h->status = status >= 100 && status <= 999 ? (int)status : 0;
        return;
    }
    const char *colon = memchr(line, ':', n);
    if (!colon)
        return;
    const char *value = colon + 1;
    while (value < line + n && is_blank(*value))
        value++;
    take(h, line, (size_t)(colon - line), value, (size_t)(line + n - value));
}

const char *headers_etag(const struct headers *h)
{
    return h->linked_etag[0] ? h->linked_etag : h->etag;
}
