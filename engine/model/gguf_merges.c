/* gguf_merges.c - merges of a SentencePiece vocabulary, which its file does not list: every way to
 * put a token together from two others (gguf_parts.h).
 * Tested in tests/engine/test_gguf_model.c. */
#include <stdlib.h>

#include "base/limit.h"
#include "base/strmap.h"
#include "model/gguf_parts.h"
#include "token/tokenizer_stream.h"

struct scored {
    struct tokenizer_stream *stream;
    const struct strmap *by_text;
    const char *file;
};

/* A way to put a token together from two others. */
struct pair {
    double score;
    uint32_t token, of[2]; /* of the stream; ids */
    uint16_t left_len;     /* bytes of the first */
    uint16_t left, right;  /* characters of both */
};

/* The order in which transformers' conversion has them (generate_merges). */
static int order_of_pairs(const void *pa, const void *pb)
{
    const struct pair *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->left != b->left)
        return a->left > b->left ? -1 : 1;
    if (a->right != b->right)
        return a->right > b->right ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

struct pairs {
    struct pair *at;
    size_t n, room;
    bool unordered;
};

static bool is_start(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static int pair_add(const struct scored *m, struct pairs *l, struct pair p, struct err *e)
{
    if (l->n == l->room) {
        size_t room = l->room ? 2 * l->room : 4096;
        struct pair *grown = realloc(l->at, room * sizeof *grown);
        if (!grown || room > 2 * LIMIT_JSON_VALUES)
            return free(l->at), l->at = NULL, l->n = 0, err_memory(e, "%s, its tokenizer", m->file);
        l->at = grown;
        l->room = room;
    }
    l->unordered |= l->n && order_of_pairs(&l->at[l->n - 1], &p) > 0;
    l->at[l->n++] = p;
    return 0;
}

/* All pairs of tokens that make a token, as they are ordered: the longest first half first.  All
 * halves' places are asked for before the first is looked at, so that memory answers them together.
 */
static int add_pairs(const struct scored *m, struct pairs *l, uint32_t token, double score,
                     struct err *e)
{
    const struct stream_token *p = &m->stream->token[token];
    struct {
        uint64_t hash[2];
        uint16_t len;
    } split[LIMIT_PIECE_BYTES];
    uint16_t n = 0;
    int rc = 0;
    for (size_t i = 1; i < p->len; i++)
        if (is_start(p->text[i])) {
            split[n].hash[0] = strmap_hash(m->by_text, p->text, i);
            split[n].hash[1] = strmap_hash(m->by_text, p->text + i, p->len - i);
            split[n++].len = (uint16_t)i;
        }
    uint16_t chars = (uint16_t)(n + (p->len && is_start(p->text[0])));
    for (uint16_t k = n; k-- > 0 && !rc;) {
        size_t i = split[k].len;
        uint32_t a = strmap_find(m->by_text, split[k].hash[0], p->text, i);
        uint32_t b = a == STRMAP_NONE
                         ? a
                         : strmap_find(m->by_text, split[k].hash[1], p->text + i, p->len - i);
        uint16_t left = (uint16_t)(k + 1), right = (uint16_t)(chars - left);
        if (b != STRMAP_NONE)
            rc = pair_add(m, l, (struct pair){score, token, {a, b}, (uint16_t)i, left, right}, e);
    }
    return rc;
}

/* Merges from pairs that are in their order. */
static int stream_pairs(struct scored *m, const struct pairs *l, struct err *e)
{
    struct tokenizer_stream *s = m->stream;
    if (!(s->merge = malloc((l->n + 1) * sizeof *s->merge)))
        return err_memory(e, "%s, its tokenizer", m->file);
    for (; s->n_merges < l->n; s->n_merges++) {
        const struct pair *x = &l->at[s->n_merges];
        const struct stream_token *p = &s->token[x->token];
        s->merge[s->n_merges] = (struct stream_merge){
            .side = {p->text, p->text + x->left_len},
            .len = {x->left_len, (uint32_t)p->len - x->left_len},
            .known = true,
            .id = {(int32_t)x->of[0], (int32_t)x->of[1], p->id}};
    }
    return 0;
}

int gguf_scored_merges(struct tokenizer_stream *s, const struct strmap *by_text,
                       const struct gguf_value *scores, const char *file, struct err *e)
{
    struct scored m = {s, by_text, file};
    struct pairs l = {0};
    int rc = 0;
    for (size_t i = 0; i < s->n_tokens && !rc; i++) {
        const struct stream_token *t = &s->token[i];
        double score = scores ? (double)gguf_list_f32(scores, (size_t)t->id) : -(double)t->id;
        if (t->len > LIMIT_PIECE_BYTES)
            rc = err_set(e, ERR_BAD_INPUT,
                         "%s · key \"tokenizer.ggml.tokens\" · token %d is %u bytes long, at "
                         "most %d are read",
                         file, (int)t->id, (unsigned)t->len, LIMIT_PIECE_BYTES);
        else
            rc = add_pairs(&m, &l, (uint32_t)i, score, e);
    }
    if (!rc && l.unordered)
        qsort(l.at, l.n, sizeof *l.at, order_of_pairs);
    if (!rc)
        rc = stream_pairs(&m, &l, e);
    free(l.at);
    return rc;
}
