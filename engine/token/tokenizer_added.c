/* tokenizer_added.c - finding added tokens ("<|endoftext|>") in a text.
 *
 * Matches are leftmost, then longest, then filtered and widened (single_word, lstrip, rstrip)
 * exactly as the reference does it.  Tested in tests/engine/test_tokenizer.c. */
#include <stdlib.h>

#include <utf8proc.h>

#include "token/char_class.h"
#include "token/tokenizer_parts.h"

int added_set_make(struct added_set *s, const struct added_token *t, size_t n, bool normalized,
                   struct err *e)
{
    struct trie_key *key = malloc((n + 1) * sizeof *key);
    size_t count = 0;
    if (!key)
        return err_memory(e, "%zu added tokens", n);
    for (size_t i = 0; i < n; i++)
        if (t[i].normalized == normalized && t[i].pattern_len)
            key[count++] = (struct trie_key){t[i].pattern, (uint32_t)t[i].pattern_len, (int32_t)i};
    s->token = t;
    int rc = count ? trie_make(&s->trie, key, count, e) : 0;
    free(key);
    return rc;
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
    while (s->trie.count && at < end) {
        size_t len;
        int32_t found = trie_longest(&s->trie, TRIE_ROOT, text + at, end - at, &len);
        if (found < 0) {
            at++;
            continue;
        }
        const struct added_token *t = &s->token[found];
        size_t from = at, stop = at + len;
        at = stop;
        if (t->single_word && !stands_alone(text, begin, from, stop, end))
            continue;
        while (t->lstrip && from > done && is_space(char_before(text, done, from, &n)))
            from -= n;
        while (t->rstrip && stop < end && is_space(char_after(text, stop, end, &n)))
            stop += n;
        if (t->lstrip && from < done) /* the one before took the spaces that this one begins with */
            from = done;
        if ((done < from && push(out, done, from, -1)) ||
            (from < stop && push(out, from, stop, t->id)))
            return -1;
        done = stop;
    }
    return done < end ? push(out, done, end, -1) : 0;
}
