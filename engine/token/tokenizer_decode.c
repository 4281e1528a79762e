/* tokenizer_decode.c - "decoder" of tokenizer.json: spellings back to bytes.
 *
 * Unlike the reference nothing is ever replaced by U+FFFD: a token that holds a part of a character
 * gives those bytes.  Steps before the first Fuse see one token, steps after it the joined text.
 * Tested in tests/engine/test_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "token/tokenizer_parts.h"

enum { STEPS_MAX = 16, TEXT_LEN_MAX = 64 };

struct decode_step {
    void (*run)(const struct decode_step *s, const char *in, size_t len, bool first,
                struct byte_buffer *out);
    char needle[TEXT_LEN_MAX], content[TEXT_LEN_MAX]; /* replace; strip has content only */
    size_t needle_len, content_len;
    int64_t start, stop; /* strip: how many at most */
    bool drop_first;     /* replace: not in the first token */
};

void buffer_push(struct byte_buffer *b, const char *s, size_t n)
{
    if (b->out_of_memory || b->too_long || !n)
        return;
    if (b->len_max && n > b->len_max - b->len) {
        b->too_long = true;
        return;
    }
    if (n > b->capacity - b->len) {
        size_t capacity = (b->len + n) * 3 / 2 + 64;
        char *grown = realloc(b->at, capacity);
        if (!grown) {
            b->out_of_memory = true;
            return;
        }
        b->at = grown;
        b->capacity = capacity;
    }
    memcpy(b->at + b->len, s, n);
    b->len += n;
}

/* ---- the steps
 * --------------------------------------------------------------------------------------- */

/* The next character of bytes that need not be UTF-8; a stray byte is a character of its own (c =
 * -1). */
static size_t next_char(const char *s, size_t len, int32_t *c)
{
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, c);
    return n > 0 ? (size_t)n : 1;
}

static void run_byte_level(const struct decode_step *s, const char *in, size_t len, bool first,
                           struct byte_buffer *out)
{
    (void)s, (void)first;
    size_t begin = out->len;
    for (size_t at = 0; at < len;) {
        int32_t c;
        at += next_char(in + at, len - at, &c);
        int b = byte_level_byte(c);
        if (b < 0) { /* not of the alphabet: an added token, taken as it stands */
            out->len = begin;
            buffer_push(out, in, len);
            return;
        }
        char byte = (char)(unsigned char)b;
        buffer_push(out, &byte, 1);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* "<0xE4>" is the byte E4. */
static void run_byte_fallback(const struct decode_step *s, const char *in, size_t len, bool first,
                              struct byte_buffer *out)
{
    (void)s, (void)first;
    if (len == 6 && memcmp(in, "<0x", 3) == 0 && in[5] == '>' && hex_digit(in[3]) >= 0 &&
        hex_digit(in[4]) >= 0) {
        char byte = (char)(unsigned char)(hex_digit(in[3]) * 16 + hex_digit(in[4]));
        buffer_push(out, &byte, 1);
    } else {
        buffer_push(out, in, len);
    }
}

/* Every needle becomes content.  Also Metaspace, whose prefix in front of the first token was not
 * in the text. */
static void run_replace(const struct decode_step *s, const char *in, size_t len, bool first,
                        struct byte_buffer *out)
{
    for (size_t at = 0; at < len;) {
        const char *hit = memmem(in + at, len - at, s->needle, s->needle_len);
        size_t plain = hit ? (size_t)(hit - in) - at : len - at;
        buffer_push(out, in + at, plain);
        at += plain;
        if (hit && !(first && s->drop_first))
            buffer_push(out, s->content, s->content_len);
        at += hit ? s->needle_len : 0;
    }
}

static void run_strip(const struct decode_step *s, const char *in, size_t len, bool first,
                      struct byte_buffer *out)
{
    (void)first;
    size_t begin = 0, end = len, n = s->content_len;
    for (int64_t i = 0; i < s->start && end - begin >= n && memcmp(in + begin, s->content, n) == 0;
         i++)
        begin += n;
    for (int64_t i = 0; i < s->stop && end - begin >= n && memcmp(in + end - n, s->content, n) == 0;
         i++)
        end -= n;
    buffer_push(out, in + begin, end - begin);
}

/* ---- the whole chain
 * --------------------------------------------------------------------------------- */

/* Run steps [from, to) over `in`, the last one into *out.  What lies between may grow eightfold:
 * real decoders shrink, and a chain of replacements must not explode. */
static void run_steps(const struct decoder *d, size_t from, size_t to, const char *in, size_t len,
                      bool first, struct byte_buffer *out)
{
    struct byte_buffer have = {0};
    for (size_t i = from; i < to; i++) {
        struct byte_buffer next = {.len_max = len * 8 + 256};
        struct byte_buffer *target = i + 1 == to ? out : &next;
        const char *text = i == from ? in : have.at;
        d->step[i].run(&d->step[i], text ? text : "", i == from ? len : have.len, first, target);
        out->out_of_memory |= target->out_of_memory;
        out->too_long |= target->too_long;
        free(have.at);
        have = next;
    }
    if (from == to)
        buffer_push(out, in, len);
}

void decoder_token(const struct decoder *d, const char *spelling, size_t len, bool first,
                   struct byte_buffer *out)
{
    run_steps(d, 0, d->whole, spelling, len, first, out);
}

void decoder_whole(const struct decoder *d, struct byte_buffer *text)
{
    struct byte_buffer out = {.len_max = text->len_max};
    if (d->whole == d->count)
        return;
    run_steps(d, d->whole, d->count, text->at, text->len, true, &out);
    out.out_of_memory |= text->out_of_memory;
    out.too_long |= text->too_long;
    free(text->at);
    *text = out;
}

/* ---- parsing
 * ----------------------------------------------------------------------------------------- */

static int copy_text(struct js_node node, char *out, size_t *out_len, struct err *e)
{
    const char *text;
    size_t n;
    int rc = js_string(node, &text, &n, e);
    if (rc)
        return rc;
    if (n == 0 || n > TEXT_LEN_MAX)
        return js_expected(node, "1..64 bytes of text", e);
    memcpy(out, text, n);
    *out_len = n;
    return 0;
}

static int parse_byte_level(struct js_node node, struct decode_step *s, struct err *e)
{
    (void)node, (void)e;
    s->run = run_byte_level;
    return 0;
}

static int parse_byte_fallback(struct js_node node, struct decode_step *s, struct err *e)
{
    (void)node, (void)e;
    s->run = run_byte_fallback;
    return 0;
}

static int parse_replace(struct js_node node, struct decode_step *s, struct err *e)
{
    struct js_node content = js_get(node, "content");
    const char *text;
    s->run = run_replace;
    int rc = copy_text(js_get(js_get(node, "pattern"), "String"), s->needle, &s->needle_len, e);
    if (!rc)
        rc = js_string(content, &text, NULL, e);
    return rc || !text[0] ? rc : copy_text(content, s->content, &s->content_len, e);
}

static int parse_strip(struct js_node node, struct decode_step *s, struct err *e)
{
    s->run = run_strip;
    int rc = copy_text(js_get(node, "content"), s->content, &s->content_len, e);
    if (!rc)
        rc = js_int(js_get(node, "start"), 0, INT32_MAX, &s->start, e);
    return rc ? rc : js_int(js_get(node, "stop"), 0, INT32_MAX, &s->stop, e);
}

static int parse_metaspace(struct js_node node, struct decode_step *s, struct err *e)
{
    const char *scheme;
    bool legacy;
    s->run = run_replace;
    s->content[0] = ' ';
    s->content_len = 1;
    int rc = copy_text(js_get(node, "replacement"), s->needle, &s->needle_len, e);
    if (!rc)
        rc = js_bool_or(js_get(node, "add_prefix_space"), true, &legacy, e);
    if (!rc)
        rc = js_string_or(js_get(node, "prepend_scheme"), legacy ? "always" : "never", &scheme, e);
    if (!rc)
        s->drop_first = strcmp(scheme, "never") != 0;
    return rc;
}

static const struct {
    const char *type;
    int (*parse)(struct js_node node, struct decode_step *s, struct err *e);
} decoders[] = {
    {"ByteLevel", parse_byte_level}, {"ByteFallback", parse_byte_fallback},
    {"Replace", parse_replace},      {"Strip", parse_strip},
    {"Metaspace", parse_metaspace},
};

static int parse_one(struct js_node node, struct decoder *d, struct err *e)
{
    struct decode_step s = {0};
    const char *type;
    int rc = js_string(js_get(node, "type"), &type, NULL, e);
    if (rc)
        return rc;
    if (strcmp(type, "Fuse") == 0) { /* what follows sees the joined text */
        if (d->whole == SIZE_MAX)
            d->whole = d->count;
        return 0;
    }
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        if (strcmp(type, decoders[i].type) != 0)
            continue;
        if ((rc = decoders[i].parse(node, &s, e)))
            return rc;
        if (d->count == STEPS_MAX)
            return js_expected(node, "at most 16 steps", e);
        struct decode_step *grown = realloc(d->step, (d->count + 1) * sizeof *grown);
        if (!grown)
            return err_set(e, ERR_SYSTEM, "%s · out of memory", js_name(node.doc));
        d->step = grown;
        d->step[d->count++] = s;
        return 0;
    }
    return js_expected(js_get(node, "type"),
                       "Sequence, ByteLevel, ByteFallback, Replace, Fuse, Strip or Metaspace", e);
}

static int parse_list(struct js_node node, struct decoder *d, struct err *e)
{
    const char *type;
    struct js_node list = js_get(node, "decoders");
    if (js_string(js_get(node, "type"), &type, NULL, NULL) || strcmp(type, "Sequence") != 0)
        return parse_one(node, d, e);
    if (!js_is_array(list))
        return js_expected(list, "a list", e);
    int rc = 0;
    for (size_t i = 0; i < js_count(list) && !rc; i++)
        rc = parse_list(js_at(list, i), d, e);
    return rc;
}

int decoder_parse(struct js_node node, struct decoder *d, struct err *e)
{
    d->whole = SIZE_MAX;
    d->spaces = !js_is_set(node);
    int rc = d->spaces ? 0 : parse_list(node, d, e);
    if (d->whole == SIZE_MAX)
        d->whole = d->count;
    return rc;
}

void decoder_free(struct decoder *d)
{
    free(d->step);
    *d = (struct decoder){0};
}
