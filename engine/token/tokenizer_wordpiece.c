/* tokenizer_wordpiece.c - BERT's WordPiece: always the longest token that fits, from left to right;
 * a word that has none somewhere is unknown as a whole.  WordLevel, the vocabulary alone, is its
 * simplest case.  Tested in tests/engine/test_tokenizer.c. */
#include "token/tokenizer_parts.h"

int wordpiece_parse(struct tokenizer *t, struct js_node model, struct err *e)
{
    const char *prefix;
    size_t len;
    int rc = js_string(js_get(model, "continuing_subword_prefix"), &prefix, &len, e);
    if (!rc)
        rc = js_int(js_get(model, "max_input_chars_per_word"), 0, INT64_MAX,
                    &t->wordpiece.chars_max, e);
    if (!rc)
        t->wordpiece.continuing = trie_walk(&t->trie, prefix, len);
    return rc;
}

static int push_unknown(const struct tokenizer *t, struct model_work *w, const char *word,
                        size_t len, struct err *e)
{
    return t->unk < 0 ? word_unknown(word, len, e) : word_push(w, t->unk, 0, len, e);
}

static int64_t count_chars(const char *word, size_t len)
{
    int64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)word[i] & 0xc0) != 0x80;
    return n;
}

int wordpiece_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                     struct err *e)
{
    size_t count = w->count, n = 0;
    int rc = 0;
    if (count_chars(word, len) > t->wordpiece.chars_max)
        return push_unknown(t, w, word, len, e);
    for (size_t at = 0; at < len && !rc; at += n) {
        uint32_t from = at ? t->wordpiece.continuing : TRIE_ROOT;
        int32_t id = from == TRIE_NONE ? -1 : trie_longest(&t->trie, from, word + at, len - at, &n);
        if (id < 0) {
            w->count = count;
            return push_unknown(t, w, word, len, e);
        }
        rc = word_push(w, id, at, at + n, e);
    }
    return rc;
}

int wordlevel_parse(struct tokenizer *t, struct js_node model, struct err *e)
{
    (void)t, (void)model, (void)e;
    return 0;
}

int wordlevel_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                     struct err *e)
{
    uint32_t id = strmap_get(&t->by_spelling, word, len);
    return id == STRMAP_NONE ? push_unknown(t, w, word, len, e)
                             : word_push(w, (int32_t)id, 0, len, e);
}
