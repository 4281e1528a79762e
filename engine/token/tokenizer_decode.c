/* tokenizer_decode.c - "decoder" of tokenizer.json: spellings back to bytes.
 *
 * A chain of steps over a list of tokens; some join tokens, and later steps see those as one.
 * Unlike the reference nothing is ever replaced by U+FFFD: a token that holds a part of a character
 * gives those bytes.  Tested in tests/engine/test_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/list.h"
#include "token/tokenizer_parts.h"

enum { STEPS_MAX = 16, TEXT_LEN_MAX = 64 };

/* One token on its way through a step. */
struct decode_token {
    const char *text;
    size_t len;
    bool first, last; /* of the whole text */
};

struct decode_step {
    /* Append what becomes of the token.  True: it is a lone byte, which joins its neighbours of
     * that kind. */
    bool (*run)(const struct decode_step *s, const struct decode_token *in,
                struct byte_buffer *out);
    bool joins;                                       /* all tokens become one */
    char needle[TEXT_LEN_MAX], content[TEXT_LEN_MAX]; /* replace; strip has content only */
    size_t needle_len, content_len;
    int64_t start, stop;        /* strip: how many at most */
    bool drop_first, drop_last; /* replace: by nothing in the first, the last token */
    bool cleanup;               /* wordpiece */
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

/* Visible ASCII, most of what tokens are made of, stands for itself. */
static size_t push_visible(struct byte_buffer *out, const char *s, size_t len)
{
    size_t n = 0;
    while (n < len && s[n] >= '!' && s[n] <= '~')
        n++;
    buffer_push(out, s, n);
    return n;
}

static bool run_byte_level(const struct decode_step *s, const struct decode_token *in,
                           struct byte_buffer *out)
{
    (void)s;
    size_t begin = out->len;
    for (size_t at = 0; (at += push_visible(out, in->text + at, in->len - at)) < in->len;) {
        int32_t c;
        at += next_char(in->text + at, in->len - at, &c);
        int b = byte_level_byte(c);
        if (b < 0) { /* not of the alphabet: an added token, taken as it stands */
            out->len = begin;
            buffer_push(out, in->text, in->len);
            return false;
        }
        char byte = (char)(unsigned char)b;
        buffer_push(out, &byte, 1);
    }
    return false;
}

static bool run_fuse(const struct decode_step *s, const struct decode_token *in,
                     struct byte_buffer *out)
{
    (void)s;
    buffer_push(out, in->text, in->len);
    return false;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* "<0xE4>" is the byte E4. */
static bool run_byte_fallback(const struct decode_step *s, const struct decode_token *in,
                              struct byte_buffer *out)
{
    const char *t = in->text;
    if (in->len != 6 || memcmp(t, "<0x", 3) != 0 || t[5] != '>' || hex_digit(t[3]) < 0 ||
        hex_digit(t[4]) < 0)
        return run_fuse(s, in, out);
    char byte = (char)(unsigned char)(hex_digit(t[3]) * 16 + hex_digit(t[4]));
    buffer_push(out, &byte, 1);
    return true;
}

/* Every needle becomes content.  Also Metaspace, whose prefix in front of the first token was not
 * in the text, and BPEDecoder, whose last word has no space behind it. */
static bool run_replace(const struct decode_step *s, const struct decode_token *in,
                        struct byte_buffer *out)
{
    bool drop = (in->first && s->drop_first) || (in->last && s->drop_last);
    for (size_t at = 0; at < in->len;) {
        const char *hit = memmem(in->text + at, in->len - at, s->needle, s->needle_len);
        size_t plain = hit ? (size_t)(hit - in->text) - at : in->len - at;
        buffer_push(out, in->text + at, plain);
        at += plain;
        if (hit && !drop)
            buffer_push(out, s->content, s->content_len);
        at += hit ? s->needle_len : 0;
    }
    return false;
}

static bool run_strip(const struct decode_step *s, const struct decode_token *in,
                      struct byte_buffer *out)
{
    size_t begin = 0, end = in->len, n = s->content_len;
    for (int64_t i = 0;
         i < s->start && end - begin >= n && memcmp(in->text + begin, s->content, n) == 0; i++)
        begin += n;
    for (int64_t i = 0;
         i < s->stop && end - begin >= n && memcmp(in->text + end - n, s->content, n) == 0; i++)
        end -= n;
    buffer_push(out, in->text + begin, end - begin);
    return false;
}

/* Every needle in text[0 .. len) becomes content, which is not longer; the new length. */
static size_t replace_within(char *text, size_t len, const char *needle, const char *content)
{
    size_t n = strlen(needle), m = strlen(content), made = 0;
    for (size_t at = 0; at < len;) {
        if (len - at >= n && memcmp(text + at, needle, n) == 0) {
            memmove(text + made, content, m);
            made += m;
            at += n;
        } else {
            text[made++] = text[at++];
        }
    }
    return made;
}

/* "##" goes, or a space comes, except at the beginning of the text. */
static bool run_wordpiece(const struct decode_step *s, const struct decode_token *in,
                          struct byte_buffer *out)
{
    static const char *const tidy[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                          {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                          {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                          {" 've", "'ve"}, {" 're", "'re"}};
    size_t begin = out->len;
    bool inside = in->len >= s->needle_len && memcmp(in->text, s->needle, s->needle_len) == 0;
    size_t skip = !in->first && inside ? s->needle_len : 0;
    if (!in->first && !inside)
        buffer_push(out, " ", 1);
    buffer_push(out, in->text + skip, in->len - skip);
    for (size_t i = 0; i < sizeof tidy / sizeof *tidy && s->cleanup && out->len > begin; i++)
        out->len = begin +
                   replace_within(out->at + begin, out->len - begin, tidy[i][0], tidy[i][1]);
    return false;
}

/* ---- the whole chain
 * --------------------------------------------------------------------------------- */

void decode_list_end(struct decode_list *l)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity * 2 + 16;
        void *grown = realloc(l->end, capacity * sizeof *l->end);
        if (!grown) {
            l->text.out_of_memory = true;
            return;
        }
        l->end = grown;
        l->capacity = capacity;
    }
    l->end[l->count++] = l->text.len;
}

static void clear(struct decode_list *l, size_t len_max)
{
    l->count = l->text.len = 0;
    l->text.len_max = len_max;
}

void decode_work_clear(struct decode_work *w)
{
    clear(&w->have, 0);
}

void decode_work_free(struct decode_work *w)
{
    free(w->have.text.at);
    free(w->have.end);
    free(w->next.text.at);
    free(w->next.end);
    *w = (struct decode_work){0};
}

/* What was made is what there is; a failure stays. */
static void take_next(struct decode_work *w)
{
    struct decode_list made = w->next;
    made.text.out_of_memory |= w->have.text.out_of_memory;
    made.text.too_long |= w->have.text.too_long;
    w->next = w->have;
    w->have = made;
}

/* What comes out may be eight times as long: real decoders shrink, and a chain of replacements must
 * not explode. */
static void run_step(const struct decode_step *s, struct decode_work *w, bool whole)
{
    const struct decode_list *in = &w->have;
    struct decode_list *out = &w->next;
    bool was_byte = false;
    clear(out, in->text.len * 8 + 256);
    for (size_t i = 0, begin = 0; i < in->count; begin = in->end[i++]) {
        struct decode_token t = {in->text.at ? in->text.at + begin : "", in->end[i] - begin,
                                 whole && i == 0, whole && i + 1 == in->count};
        size_t made = out->text.len;
        bool byte = s->run(s, &t, &out->text), join = s->joins || (byte && was_byte);
        if (i && !join) { /* the token before ends where this one began */
            size_t len = out->text.len;
            out->text.len = made;
            decode_list_end(out);
            out->text.len = len;
        }
        was_byte = byte;
    }
    if (in->count)
        decode_list_end(out);
    take_next(w);
}

void decoder_token(const struct decoder *d, struct decode_work *w)
{
    for (size_t i = 0; i < d->whole; i++)
        run_step(&d->step[i], w, false);
}

static void join_by_spaces(struct decode_work *w)
{
    clear(&w->next, 0);
    for (size_t i = 0, begin = 0; i < w->have.count; begin = w->have.end[i++]) {
        if (i)
            buffer_push(&w->next.text, " ", 1);
        buffer_push(&w->next.text, w->have.text.at + begin, w->have.end[i] - begin);
    }
    take_next(w);
}

void decoder_text(const struct decoder *d, struct decode_work *w)
{
    for (size_t i = 0; i < d->count; i++)
        run_step(&d->step[i], w, true);
    if (d->spaces)
        join_by_spaces(w);
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
    s->joins = true;
    return 0;
}

static int parse_fuse(struct js_node node, struct decode_step *s, struct err *e)
{
    (void)node, (void)e;
    s->run = run_fuse;
    s->joins = true;
    return 0;
}

static int parse_wordpiece(struct js_node node, struct decode_step *s, struct err *e)
{
    s->run = run_wordpiece;
    int rc = copy_text(js_get(node, "prefix"), s->needle, &s->needle_len, e);
    return rc ? rc : js_bool(js_get(node, "cleanup"), &s->cleanup, e);
}

static int parse_bpe(struct js_node node, struct decode_step *s, struct err *e)
{
    s->run = run_replace;
    s->content[0] = ' ';
    s->content_len = 1;
    s->drop_last = true;
    return copy_text(js_get(node, "suffix"), s->needle, &s->needle_len, e);
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
    {"Metaspace", parse_metaspace},  {"Fuse", parse_fuse},
    {"WordPiece", parse_wordpiece},  {"BPEDecoder", parse_bpe},
};

static int parse_one(struct js_node node, struct decoder *d, struct err *e)
{
    struct decode_step s = {0};
    const char *type;
    int rc = js_string(js_get(node, "type"), &type, NULL, e);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        if (strcmp(type, decoders[i].type) != 0)
            continue;
        if ((rc = decoders[i].parse(node, &s, e)))
            return rc;
        if (d->count == STEPS_MAX)
            return js_expected(node, "at most 16 steps", e);
        if (!list_room(&d->step, d->count, sizeof *d->step))
            return err_memory(e, "%s", js_name(node.doc));
        d->step[d->count++] = s;
        if (s.joins && d->whole == SIZE_MAX) /* what follows sees the joined text */
            d->whole = d->count;
        return 0;
    }
    return js_expected(
        js_get(node, "type"),
        "Sequence, ByteLevel, ByteFallback, Replace, Fuse, Strip, Metaspace, WordPiece or "
        "BPEDecoder",
        e);
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
