/* tokenizer_unigram.c - SentencePiece's Unigram model: the cut of a word with the highest sum of
 * scores.
 *
 * Places are visited from left to right; at each the tokens that begin there are tried, shortest
 * first, and a way that is only as good as the one known does not replace it: the reference's order
 * and its ties.  Sums are made in double precision in that order.  A word of n bytes costs n steps
 * of at most the longest token.  Tested in tests/engine/test_tokenizer.c. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "token/char_class.h"
#include "token/tokenizer_parts.h"

/* ---- the model object
 * -------------------------------------------------------------------------------- */

/* The nearest double to 10^n, n < 309. */
static double power_of_ten(long n)
{
    char text[16];
    snprintf(text, sizeof text, "1e%ld", n < 308 ? n : 308);
    return strtod(text, NULL);
}

/* The reference reads "-3.0117287635803223" as a whole number of up to 17 digits, rounded to a
 * double, and divides by a power of ten: for one score in eight the last bit differs from the
 * nearest double, and sums that tie there need not tie here.  The digits are those that name the
 * nearest double with the fewest digits, as every writer of such files prints them. */
static double as_the_reference_reads(double x)
{
    char text[40];
    int digits = 14;
    do /* after the point; fewer than 16 in all divide exactly */
        snprintf(text, sizeof text, "%.*e", digits, fabs(x));
    while (strtod(text, NULL) != fabs(x) && digits++ < 16);
    if (digits == 14)
        return x;
    uint64_t whole = 0;
    const char *p = text;
    for (; *p != 'e'; p++) /* the point may be any character: it is the locale's */
        if (*p >= '0' && *p <= '9')
            whole = whole * 10 + (uint64_t)(*p - '0');
    long exponent = strtol(p + 1, NULL, 10) - digits;
    double power = power_of_ten(labs(exponent));
    double read = exponent < 0 ? (double)whole / power : (double)whole * power;
    return x < 0 ? -read : read;
}

static int parse_scores(struct tokenizer *t, struct js_node vocab, struct err *e)
{
    double least = INFINITY;
    size_t n = js_count(vocab);
    t->unigram.score = malloc((n + 1) * sizeof *t->unigram.score);
    if (!t->unigram.score)
        return err_memory(e, "%s · %zu scores", js_name(vocab.doc), n);
    for (size_t i = 0; i < n; i++) {
        double score = 0;
        int rc = js_number(js_at(js_at(vocab, i), 1), -DBL_MAX, DBL_MAX, &score, e);
        if (rc)
            return rc;
        t->unigram.score[i] = score = as_the_reference_reads(score);
        least = score < least ? score : least;
    }
    t->unigram.unk_score = least - 10;
    return 0;
}

int unigram_parse(struct tokenizer *t, struct js_node model, struct err *e)
{
    int64_t unk = -1;
    struct js_node vocab = js_get(model, "vocab");
    int rc = js_int_or(js_get(model, "unk_id"), 0, (int64_t)js_count(vocab) - 1, -1, &unk, e);
    t->unk = (int32_t)unk;
    return rc ? rc : parse_scores(t, vocab, e);
}

/* ---- one word
 * ---------------------------------------------------------------------------------------- */

static int reserve(struct model_work *w, size_t len, struct err *e)
{
    if (len < w->nodes_max)
        return 0;
    size_t max = len * 2 + 64;
    void *node = realloc(w->node, max * sizeof *w->node);
    if (!node)
        return err_memory(e, "a word of %zu bytes", len);
    w->node = node;
    w->nodes_max = max;
    return 0;
}

/* A way to `end` whose last token begins at `begin`. */
static void offer(struct unigram_node *node, size_t begin, size_t end, double score, int32_t id)
{
    if (node[end].begin == UINT32_MAX || score > node[end].score)
        node[end] = (struct unigram_node){score, (uint32_t)begin, id};
}

/* All tokens that begin at `at`, a character of n bytes. */
static int visit(const struct tokenizer *t, struct unigram_node *node, const char *word, size_t len,
                 size_t at, size_t n, struct err *e)
{
    double here = node[at].score;
    uint32_t step = TRIE_ROOT;
    bool single = false;
    for (size_t end = at; end < len;) {
        step = trie_step(&t->trie, step, (unsigned char)word[end++]);
        if (step == TRIE_NONE)
            break;
        int32_t id = t->trie.node[step].value;
        if (id < 0)
            continue;
        offer(node, at, end, t->unigram.score[id] + here, id);
        single = single || end == at + n;
    }
    if (single)
        return 0;
    if (t->unk < 0)
        return word_unknown(word + at, n, e);
    offer(node, at, at + n, t->unigram.unk_score + here, t->unk);
    return 0;
}

/* Unknown characters, one or many: the token spelled so, else their bytes, else one unknown. */
static int push_unknown(const struct tokenizer *t, struct model_work *w, const char *word,
                        size_t begin, size_t end, struct err *e)
{
    int32_t id = trie_get(&t->trie, word + begin, end - begin);
    bool bytes = id < 0;
    int rc = 0;
    for (size_t i = begin; i < end && bytes; i++)
        bytes = t->of_byte[(unsigned char)word[i]] >= 0;
    if (!bytes)
        return word_push(w, id < 0 ? t->unk : id, begin, end, e);
    for (size_t i = end; i-- > begin && !rc;) /* backwards, as all is pushed here */
        rc = word_push(w, t->of_byte[(unsigned char)word[i]], i, i + 1, e);
    return rc;
}

/* Follow the best way back from the end; neighbouring unknown characters are one. */
static int push_path(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                     struct err *e)
{
    size_t first = w->count, end = len;
    int rc = 0;
    while (end && !rc) {
        const struct unigram_node *node = &w->node[end];
        size_t begin = node->begin;
        if (node->id != t->unk) {
            rc = word_push(w, node->id, begin, end, e);
        } else {
            while (begin && w->node[begin].id == t->unk)
                begin = w->node[begin].begin;
            rc = push_unknown(t, w, word, begin, end, e);
        }
        end = begin;
    }
    for (size_t i = first, j = w->count; i + 1 < j; i++) {
        struct word_token swap = w->token[i];
        w->token[i] = w->token[--j];
        w->token[j] = swap;
    }
    return rc;
}

int unigram_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
                   struct err *e)
{
    int rc = reserve(w, len, e);
    if (rc)
        return rc;
    w->node[0] = (struct unigram_node){0, 0, -1};
    for (size_t i = 1; i <= len; i++)
        w->node[i].begin = UINT32_MAX;
    for (size_t at = 0, n; at < len && !rc; at += n) {
        n = char_len((unsigned char)word[at]);
        rc = visit(t, w->node, word, len, at, n, e);
    }
    return rc ? rc : push_path(t, w, word, len, e);
}
