/* json_out.c - a streaming JSON writer.  Tested in tests/render/test_json_out.c. */
#include "json_out.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "number.h"
#include "text.h"

void json_out_begin(struct json_out *j, struct bytes *out)
{
    *j = (struct json_out){.out = out};
}

/* What stands in front of a value or key. */
static void separate(struct json_out *j)
{
    if (j->some)
        bytes_add_char(j->out, ',');
    if (j->depth == 1 && !j->one_line)
        bytes_add_char(j->out, '\n');
    j->some = true;
}

static void begin_value(struct json_out *j)
{
    if (j->depth && j->object[j->depth - 1]) {
        assert(j->keyed);
        j->keyed = false;
        return;
    }
    assert(j->depth || !j->some);
    separate(j);
}

static void open(struct json_out *j, bool object)
{
    begin_value(j);
    assert(j->depth < JSON_OUT_DEPTH);
    j->object[j->depth++] = object;
    j->some = false;
    bytes_add_char(j->out, object ? '{' : '[');
}

void json_out_object(struct json_out *j)
{
    open(j, true);
}

void json_out_array(struct json_out *j)
{
    open(j, false);
}

void json_out_close(struct json_out *j)
{
    assert(j->depth > 0 && !j->keyed);
    if (--j->depth == 0 && j->some && !j->one_line)
        bytes_add_char(j->out, '\n');
    bytes_add_char(j->out, j->object[j->depth] ? '}' : ']');
    j->some = true;
}

void json_out_end(struct json_out *j)
{
    while (j->depth)
        json_out_close(j);
    assert(j->some);
    if (!j->one_line)
        bytes_add_char(j->out, '\n');
}

static void add_escape(struct bytes *out, int32_t cp)
{
    static const char plain[] = "\b\f\n\r\t", letter[] = "bfnrt";
    const char *at = cp ? strchr(plain, cp < 0x20 ? cp : 0x7f) : NULL;
    if (at && *at)
        bytes_addf(out, "\\%c", letter[at - plain]);
    else if (cp < 0x10000)
        bytes_addf(out, "\\u%04x", (unsigned)cp);
    else
        bytes_addf(out, "\\u%04x\\u%04x", 0xd800 + ((unsigned)cp - 0x10000) / 0x400,
                   0xdc00 + (unsigned)cp % 0x400);
}

/* The bytes that one refused item stands for. */
static void add_refused(struct bytes *out, const char *s, size_t n)
{
    for (size_t at = 0; at < n;) {
        int32_t cp;
        at += text_decode(s + at, n - at, &cp);
        if (cp < 0)
            bytes_add_string(out, "\xef\xbf\xbd"); /* U+FFFD */
        else
            add_escape(out, cp);
    }
}

static void add_quoted(struct bytes *out, const char *s, size_t n)
{
    struct text_reader r;
    struct text_item item;
    bytes_add_char(out, '"');
    for (text_open(&r, s, n, TEXT_PLAIN); text_next(&r, &item);) {
        if (item.escaped)
            add_refused(out, item.source, item.source_len);
        else if (item.utf8[0] == '"' || item.utf8[0] == '\\')
            bytes_addf(out, "\\%s", item.utf8);
        else
            bytes_add(out, item.utf8, item.len);
    }
    bytes_add_char(out, '"');
}

struct json_out *json_out_key(struct json_out *j, const char *key)
{
    assert(j->depth && j->object[j->depth - 1] && !j->keyed);
    separate(j);
    add_quoted(j->out, key, strlen(key));
    bytes_add_char(j->out, ':');
    j->keyed = true;
    return j;
}

void json_out_text(struct json_out *j, const char *s, size_t n)
{
    begin_value(j);
    add_quoted(j->out, s, n);
}

void json_out_string(struct json_out *j, const char *s)
{
    if (s)
        json_out_text(j, s, strlen(s));
    else
        json_out_null(j);
}

void json_out_int(struct json_out *j, int64_t v)
{
    begin_value(j);
    bytes_addf(j->out, "%" PRId64, v);
}

void json_out_bool(struct json_out *j, bool v)
{
    begin_value(j);
    bytes_add_string(j->out, v ? "true" : "false");
}

void json_out_null(struct json_out *j)
{
    begin_value(j);
    bytes_add_string(j->out, "null");
}

void json_out_float(struct json_out *j, float v)
{
    char text[NUMBER_BYTES];
    begin_value(j);
    bytes_add_string(j->out, isfinite(v) ? number_exact_float(text, v) : "null");
}

void json_out_double(struct json_out *j, double v)
{
    char text[NUMBER_BYTES];
    begin_value(j);
    bytes_add_string(j->out, isfinite(v) ? number_exact_double(text, v) : "null");
}

void json_out_floats(struct json_out *j, const float *v, size_t n)
{
    json_out_array(j);
    for (size_t i = 0; i < n; i++)
        json_out_float(j, v[i]);
    json_out_close(j);
}

void json_out_ints(struct json_out *j, const int64_t *v, size_t n)
{
    json_out_array(j);
    for (size_t i = 0; i < n; i++)
        json_out_int(j, v[i]);
    json_out_close(j);
}
