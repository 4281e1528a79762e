/* tokenizer_stream.c - see tokenizer_stream.h.  Tested in tests/engine/test_tokenizer.c. */
#include "token/tokenizer_stream.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/limit.h"
#include "base/list.h"

/* What is left of the file; `text` is where the next string goes. */
struct reader {
    const char *at, *end;
    char *text;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void skip_space(struct reader *r)
{
    while (r->at < r->end && is_space(*r->at))
        r->at++;
}

/* Is `c` the next that is no space?  Then it is taken. */
static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static int hex4(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* What follows a backslash.  Neither NUL nor half a surrogate pair. */
static bool escape(struct reader *r)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return false;
    const char *name = *r->at ? strchr(names, *r->at) : NULL;
    if (name) {
        *r->text++ = values[name - names];
        r->at++;
        return true;
    }
    if (r->end - r->at < 5 || *r->at != 'u')
        return false;
    int32_t c = hex4(r->at + 1);
    r->at += 5;
    if (c >= 0xd800 && c < 0xdc00) {
        int low = r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u' ? hex4(r->at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return false;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        r->at += 6;
    }
    if (c <= 0 || (c >= 0xd800 && c < 0xe000))
        return false;
    r->text += utf8proc_encode_char(c, (utf8proc_uint8_t *)r->text);
    return true;
}

/* Bytes of a string from r->at on that stand for themselves. */
static bool plain(struct reader *r)
{
    while (r->at < r->end) {
        unsigned char c = (unsigned char)*r->at;
        utf8proc_int32_t cp;
        utf8proc_ssize_t n = 1;
        if (c < 0x20)
            return false;
        if (c == '"' || c == '\\')
            return true;
        if (c >= 0x80 &&
            (n = utf8proc_iterate((const utf8proc_uint8_t *)r->at, r->end - r->at, &cp)) <= 0)
            return false;
        r->at += n;
    }
    return false;
}

/* A string: where it lies, or where it says other than it means, its copy at r->text, which is no
 * longer. */
static bool string(struct reader *r, const char **out, uint32_t *len)
{
    if (!take(r, '"'))
        return false;
    const char *begin = r->at, *from = begin;
    char *copy = r->text;
    if (!plain(r))
        return false;
    while (*r->at == '\\') {
        memcpy(r->text, from, (size_t)(r->at - from));
        r->text += r->at++ - from;
        if (!escape(r))
            return false;
        from = r->at;
        if (!plain(r))
            return false;
    }
    if (r->text > copy) {
        memcpy(r->text, from, (size_t)(r->at - from));
        r->text += r->at - from;
    }
    *out = r->text > copy ? copy : begin;
    *len = (uint32_t)(r->text > copy ? r->text - copy : r->at - begin);
    r->at++;
    return true;
}

static bool token_id(struct reader *r, int32_t *out)
{
    enum { DIGITS_MAX = 8 };
    skip_space(r);
    const char *begin = r->at;
    int32_t v = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && r->at - begin < DIGITS_MAX)
        v = v * 10 + (*r->at++ - '0');
    *out = v;
    return r->at > begin && (*begin != '0' || r->at == begin + 1) && v < LIMIT_VOCAB &&
           r->at < r->end && (*r->at == ',' || *r->at == '}' || is_space(*r->at));
}

/* { "token": id, ... } */
static bool read_vocab(struct tokenizer_stream *s, struct reader *r)
{
    int32_t last = 0;
    if (s->token || !take(r, '{'))
        return false;
    do {
        struct stream_token t;
        if (!string(r, &t.text, &t.len) || !take(r, ':') || !token_id(r, &t.id) ||
            !list_room(&s->token, s->n_tokens, sizeof t))
            return false;
        s->token[s->n_tokens++] = t;
        last = t.id > last ? t.id : last;
    } while (take(r, ','));
    s->dense = (size_t)last < s->n_tokens;
    return take(r, '}');
}

/* One merge: "a b" or ["a", "b"]. */
static bool read_merge(struct reader *r, struct stream_merge *m)
{
    m->known = false;
    if (take(r, '['))
        return string(r, &m->side[0], &m->len[0]) && take(r, ',') &&
               string(r, &m->side[1], &m->len[1]) && take(r, ']');
    const char *text, *space;
    uint32_t len;
    if (!string(r, &text, &len) || !(space = memchr(text, ' ', len)))
        return false;
    m->side[0] = text, m->len[0] = (uint32_t)(space - text);
    m->side[1] = space + 1, m->len[1] = len - m->len[0] - 1;
    return !memchr(space + 1, ' ', m->len[1]);
}

static bool read_merges(struct tokenizer_stream *s, struct reader *r)
{
    if (s->merge || !take(r, '['))
        return false;
    if (take(r, ']'))
        return true;
    do {
        if (!list_room(&s->merge, s->n_merges, sizeof *s->merge) ||
            !read_merge(r, &s->merge[s->n_merges++]))
            return false;
    } while (take(r, ','));
    return take(r, ']');
}

/* Past any value, of which only strings and brackets are looked at: the rest is read again. */
static bool skip_value(struct reader *r)
{
    int depth = 0;
    skip_space(r);
    for (bool in_string = false; r->at < r->end; r->at++) {
        char c = *r->at;
        if (in_string) {
            r->at += c == '\\';
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        depth += c == '{' || c == '[';
        if (c == '}' || c == ']')
            depth--;
        if (depth < 0 || (depth == 0 && c == ','))
            return true;
    }
    return false;
}

static void keep(struct tokenizer_stream *s, const char *from, const char *to)
{
    memcpy(s->rest + s->rest_len, from, (size_t)(to - from));
    s->rest_len += (size_t)(to - from);
}

static bool is(const char *text, uint32_t len, const char *name)
{
    return len == strlen(name) && memcmp(text, name, len) == 0;
}

/* The members of "model"; *kept: up to where the file has been copied. */
static bool read_model(struct tokenizer_stream *s, struct reader *r, const char **kept)
{
    if (!take(r, '{'))
        return false;
    do {
        const char *key;
        uint32_t len;
        if (!string(r, &key, &len) || !take(r, ':'))
            return false;
        bool vocab = is(key, len, "vocab"), merges = is(key, len, "merges");
        if (vocab || merges) {
            keep(s, *kept, r->at);
            keep(s, vocab ? "{}" : "[]", (vocab ? "{}" : "[]") + 2);
            if (!(vocab ? read_vocab(s, r) : read_merges(s, r)))
                return false;
            *kept = r->at;
        } else if (!skip_value(r))
            return false;
    } while (take(r, ','));
    return take(r, '}');
}

bool tokenizer_stream_read(struct tokenizer_stream *s, const char *bytes, size_t len)
{
    enum { PLACEHOLDERS = 8 };
    const char *kept = bytes, *key;
    uint32_t key_len;
    *s = (struct tokenizer_stream){.text = malloc(len + 1), .rest = malloc(len + PLACEHOLDERS)};
    struct reader r = {bytes, bytes + len, s->text};
    if (!s->text || !s->rest || len > LIMIT_JSON_BYTES || !take(&r, '{'))
        return false;
    do {
        if (!string(&r, &key, &key_len) || !take(&r, ':') ||
            !(is(key, key_len, "model") && !s->token ? read_model(s, &r, &kept) : skip_value(&r)))
            return false;
    } while (take(&r, ','));
    if (!take(&r, '}') || !s->token)
        return false;
    keep(s, kept, bytes + len);
    /* with those of the rest, at most as many again, within the bound of one document */
    return s->n_tokens + 3 * s->n_merges <= LIMIT_JSON_VALUES / 2;
}

void tokenizer_stream_free(struct tokenizer_stream *s)
{
    free(s->token);
    free(s->merge);
    free(s->text);
    free(s->rest);
    *s = (struct tokenizer_stream){0};
}
