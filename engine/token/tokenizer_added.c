/* tokenizer_added.c - finding added tokens ("<|endoftext|>") in a text.
 *
 * Patterns are sorted; at each place the range of those that still agree with the text is narrowed
 * byte by byte, which finds the longest in O(its length x log patterns).  Matches are leftmost,
 * then longest, then filtered and widened (single_word, lstrip, rstrip) exactly as the reference
 * does it. Tested in tests/engine/test_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "token/tokenizer_parts.h"

static int order(const void *pa, const void *pb)
{
    const struct added_token *a = *(const struct added_token *const *)pa,
                             *b = *(const struct added_token *const *)pb;
    size_t n = a->pattern_len < b->pattern_len ? a->pattern_len : b->pattern_len;
    int c = memcmp(a->pattern, b->pattern, n);
    return c ? c : (a->pattern_len > b->pattern_len) - (a->pattern_len < b->pattern_len);
}

int added_set_make(struct added_set *s, const struct added_token *t, size_t n, bool normalized)
{
    s->sorted = malloc((n + 1) * sizeof *s->sorted);
    if (!s->sorted)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (t[i].normalized == normalized && t[i].pattern_len)
            s->sorted[s->count++] = &t[i];
    qsort(s->sorted, s->count, sizeof *s->sorted, order);
    uint32_t at = 0;
    for (int b = 0; b < 256; b++) {
        s->first[b] = at;
        while (at < s->count && (unsigned char)s->sorted[at]->pattern[0] == b)
            at++;
    }
    s->first[256] = at;
    return 0;
}

void added_set_free(struct added_set *s)
{
    free(s->sorted);
    *s = (struct added_set){0};
}

/* The first of sorted[lo .. hi) whose byte at `depth` is at least `byte`; all have more than
 * `depth` bytes. */
static uint32_t lower_bound(const struct added_set *s, uint32_t lo, uint32_t hi, size_t depth,
                            int byte)
{
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2;
        if ((unsigned char)s->sorted[middle]->pattern[depth] < byte)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* The longest pattern that text begins with, or NULL. */
static const struct added_token *longest(const struct added_set *s, const char *text, size_t len)
{
    const struct added_token *best = NULL;
    uint32_t lo = s->first[(unsigned char)text[0]], hi = s->first[(unsigned char)text[0] + 1];
    for (size_t depth = 1; lo < hi; depth++) {
        if (s->sorted[lo]->pattern_len == depth)
            best = s->sorted[lo];
        while (lo < hi && s->sorted[lo]->pattern_len == depth)
            lo++;
        if (depth == len)
            break;
        int byte = (unsigned char)text[depth];
        lo = lower_bound(s, lo, hi, depth, byte);
        hi = lower_bound(s, lo, hi, depth, byte + 1);
    }
    return best;
}

/* The character before text[at], or after it; -1 at the ends. */
static int32_t char_before(const char *text, size_t begin, size_t at, size_t *n)
{
    utf8proc_int32_t c;
    size_t p = at;
    if (at == begin)
        return -1;
    do
        p--;
    while (p > begin && ((unsigned char)text[p] & 0xc0) == 0x80);
    *n = at - p;
    return utf8proc_iterate((const utf8proc_uint8_t *)text + p, (utf8proc_ssize_t)*n, &c) > 0 ? c
                                                                                              : -1;
}

static int32_t char_after(const char *text, size_t at, size_t end, size_t *n)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                            (utf8proc_ssize_t)(end - at), &c);
    *n = got > 0 ? (size_t)got : 0;
    return got > 0 ? c : -1;
}

static bool stands_alone(const char *text, size_t begin, size_t at, size_t stop, size_t end)
{
    size_t n;
    int32_t left = char_before(text, begin, at, &n), right = char_after(text, stop, end, &n);
    return (left < 0 || !is_word(left)) && (right < 0 || !is_word(right));
}

static int push(struct added_pieces *out, size_t begin, size_t end, int32_t id)
{
    if (out->count == out->capacity) {
        size_t capacity = out->capacity * 2 + 16;
        void *grown = realloc(out->at, capacity * sizeof *out->at);
        if (!grown)
            return -1;
        out->at = grown;
        out->capacity = capacity;
    }
    out->at[out->count++] = (struct added_piece){(uint32_t)begin, (uint32_t)end, id};
    return 0;
}

int added_split(const struct added_set *s, const char *text, size_t begin, size_t end,
                struct added_pieces *out)
{
    size_t done = begin, at = begin, n;
    while (s->count && at < end) {
        unsigned char lead = (unsigned char)text[at];
        const struct added_token *t = s->first[lead] == s->first[lead + 1]
                                          ? NULL
                                          : longest(s, text + at, end - at);
        if (!t) {
            at++;
            continue;
        }
        size_t from = at, stop = at + t->pattern_len;
        at = stop;
        if (t->single_word && !stands_alone(text, begin, from, stop, end))
            continue;
        while (t->lstrip && from > done && is_space(char_before(text, done, from, &n)))
            from -= n;
        while (t->rstrip && stop < end && is_space(char_after(text, stop, end, &n)))
            stop += n;
        if ((done < from && push(out, done, from, -1)) || push(out, from, stop, t->id))
            return -1;
        done = stop;
    }
    return done < end ? push(out, done, end, -1) : 0;
}
