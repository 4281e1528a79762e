/* pretokenize_precompiled.c - SentencePiece's "precompiled_charsmap": a map from strings to
 * strings.
 *
 * The bytes are [u32 size of the trie in bytes][trie][replacements, each ended by NUL],
 * little-endian; the trie is Darts' double array, whose values are offsets of replacements.  A
 * grapheme cluster of less than six bytes is looked up whole, then every character alone; of the
 * entries that the text begins with the shortest holds, and it replaces all that was looked up.
 * That is the reference's way, which the models were trained with.  Where its array would be left,
 * nothing is found. Tested in tests/engine/test_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "token/char_class.h"
#include "token/pretokenize_steps.h"

enum { WHOLE_LEN_MAX = 5 };

struct charsmap {
    unsigned char *bytes; /* decoded, with a NUL behind them */
    size_t units;         /* of the trie, which begins at bytes + 4 */
    const char *text;     /* the replacements */
    size_t len;
};

/* ---- reading
 * ----------------------------------------------------------------------------------------- */

static int digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Decode base64 into out, room for n / 4 * 3 bytes; the bytes made, or -1. */
static int64_t decode(const char *s, size_t n, unsigned char *out)
{
    size_t made = 0, pad = 0;
    if (n % 4)
        return -1;
    while (pad < 2 && pad < n && s[n - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        for (size_t k = i; k < i + 4; k++) {
            int d = k < n - pad ? digit(s[k]) : 0;
            if (d < 0)
                return -1;
            bits = bits << 6 | (uint32_t)d;
        }
        for (int shift = 16; shift >= 0; shift -= 8)
            out[made++] = (unsigned char)(bits >> shift);
    }
    return (int64_t)(made - pad);
}

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool valid_utf8(const char *s, size_t n)
{
    utf8proc_int32_t c;
    for (size_t at = 0; at < n;) {
        utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)s + at,
                                                (utf8proc_ssize_t)(n - at), &c);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

void charsmap_free(struct charsmap *m)
{
    if (m)
        free(m->bytes);
    free(m);
}

struct charsmap *charsmap_parse(struct js_node node, struct err *e)
{
    const char *base64;
    size_t n;
    if (js_string(node, &base64, &n, e))
        return NULL;
    struct charsmap *m = calloc(1, sizeof *m);
    if (m)
        m->bytes = calloc(n / 4 * 3 + 1, 1);
    if (!m || !m->bytes) {
        err_memory(e, "%s", js_name(node.doc));
        charsmap_free(m);
        return NULL;
    }
    int64_t len = decode(base64, n, m->bytes);
    uint32_t size = len >= 4 ? read_u32(m->bytes) : 0;
    if (len >= 4 && size <= (uint64_t)len - 4) {
        m->units = size / 4;
        m->text = (const char *)m->bytes + 4 + m->units * 4;
        m->len = (size_t)len - 4 - m->units * 4;
    }
    if (m->text && valid_utf8(m->text, m->len))
        return m;
    js_expected(node, "base64 of a trie and its texts", e);
    charsmap_free(m);
    return NULL;
}

/* ---- looking up
 * -------------------------------------------------------------------------------------- */

static uint32_t unit_at(const struct charsmap *m, size_t at)
{
    return read_u32(m->bytes + 4 + 4 * at);
}

static size_t child_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
}

/* The value of the shortest entry that s begins with, or -1. */
static int64_t shortest(const struct charsmap *m, const char *s, size_t n)
{
    size_t at = m->units ? child_offset(unit_at(m, 0)) : 0;
    for (size_t i = 0; i < n && s[i]; i++) {
        unsigned char byte = (unsigned char)s[i];
        at ^= byte;
        if (at >= m->units)
            return -1;
        uint32_t unit = unit_at(m, at);
        if ((unit & 0x800000ff) != byte)
            return -1;
        at ^= child_offset(unit);
        if (unit & 0x100)
            return at < m->units ? (int64_t)(unit_at(m, at) & 0x7fffffff) : -1;
    }
    return -1;
}

/* Replace bytes [at, at + n) if there is an entry for their beginning. */
static bool replaced(const struct charsmap *m, struct pretokenize_work *w, size_t at, size_t n)
{
    int64_t value = shortest(m, w->text.byte + at, n);
    if (value < 0 || (size_t)value > m->len || ((unsigned char)m->text[value] & 0xc0) == 0x80)
        return false;
    const char *text = m->text + value;
    mapped_push(w, &w->text_next, text, strnlen(text, m->len - (size_t)value), w->text.begin[at],
                w->text.end[at + n - 1]);
    return true;
}

static int charsmap_piece(const struct pretokenize_step *s, struct pretokenize_work *w,
                          struct piece p, struct err *e)
{
    (void)e;
    size_t made = w->text_next.len;
    for (size_t at = p.begin, end; at < p.end; at = end) {
        end = cluster_end(&w->text, at, p.end);
        if (end - at <= WHOLE_LEN_MAX && replaced(s->charsmap, w, at, end - at))
            continue;
        for (size_t n; at < end; at += n) {
            n = char_len((unsigned char)w->text.byte[at]);
            if (!replaced(s->charsmap, w, at, n))
                mapped_copy(w, &w->text_next, &w->text, at, at + n);
        }
    }
    if (w->text_next.len >
        made) /* what is taken out in front belongs to what remains, so that it */
        w->text_next.begin[made] = w->text.begin[p.begin]; /* may still be the first of the text */
    return 0;
}

int step_charsmap(const struct pretokenize_step *s, struct pretokenize_work *w, struct err *e)
{
    return each_piece(s, w, e, charsmap_piece);
}
