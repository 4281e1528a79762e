/* tokenizer_bpe.c - byte-pair merges of one word.
 *
 * The order is the reference's: always the pair of lowest rank, the leftmost of equals.  A heap of
 * candidates over a linked list of symbols; a candidate whose pair has changed since is dropped
 * when it comes up.  So a word of n characters costs O(n log n), also when it is a whole text
 * without spaces. Tested in tests/engine/test_tokenizer.c. */
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "token/char_class.h"
#include "token/tokenizer_parts.h"

enum { AFFIX_LEN_MAX = 64, CHAR_LEN_MAX = 4 };

#define NO_PAIR UINT64_MAX
#define NO_SYMBOL UINT32_MAX

/* ---- merges
 * ------------------------------------------------------------------------------------------ */

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t merge_place(const struct bpe *b, uint64_t pair)
{
    return (size_t)((pair * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & b->merge_mask;
}

/* The slot of a pair, or the free one where it would go. */
static struct merge *merge_slot(const struct bpe *b, uint64_t pair)
{
    size_t i = merge_place(b, pair);
    while (b->merge[i].pair != NO_PAIR && b->merge[i].pair != pair)
        i = (i + 1) & b->merge_mask;
    return &b->merge[i];
}

static int merges_init(struct bpe *b, size_t n)
{
    size_t slots = 8;
    while (slots < n * 2)
        slots *= 2;
    b->merge = malloc(slots * sizeof *b->merge);
    if (!b->merge)
        return -1;
    memset(b->merge, 0xff, slots * sizeof *b->merge);
    b->merge_mask = slots - 1;
    return 0;
}

/* "a b" or ["a", "b"]. */
static int merge_sides(struct js_node node, const char *side[2], size_t len[2], struct err *e)
{
    if (js_is_array(node) && js_count(node) == 2) {
        int rc = js_string(js_at(node, 0), &side[0], &len[0], e);
        return rc ? rc : js_string(js_at(node, 1), &side[1], &len[1], e);
    }
    const char *text, *space;
    size_t n;
    if (js_string(node, &text, &n, NULL) || !(space = memchr(text, ' ', n)) ||
        memchr(space + 1, ' ', n - (size_t)(space + 1 - text)))
        return js_expected(node, "\"LEFT RIGHT\" or [LEFT, RIGHT]", e);
    side[0] = text;
    len[0] = (size_t)(space - text);
    side[1] = space + 1;
    len[1] = n - len[0] - 1;
    return 0;
}

/* The id of what two tokens join to, STRMAP_NONE if nothing; -1: no memory. */
static int joined_id(const struct tokenizer *t, const char *const side[2], const size_t len[2],
                     uint32_t *id)
{
    char stack[256], *joined = stack;
    size_t skip = t->bpe.prefix_len, joined_len = len[0] + len[1] - skip;
    if (len[0] + len[1] > sizeof stack && !(joined = malloc(len[0] + len[1])))
        return -1;
    memcpy(joined, side[0], len[0]);
    memcpy(joined + len[0], side[1] + skip, len[1] - skip);
    *id = strmap_get(&t->by_spelling, joined, joined_len);
    if (joined != stack)
        free(joined);
    return 0;
}

/* Does a token of the vocabulary, where it has the first ids, read as two that are joined? */
static bool is_joined(const struct tokenizer *t, uint32_t id, const char *const side[2],
                      const size_t len[2])
{
    size_t skip = t->bpe.prefix_len;
    const struct token *k = id < t->stream->n_tokens ? &t->token[id] : NULL;
    return k && k->spelling_len == len[0] + len[1] - skip &&
           memcmp(k->spelling, side[0], len[0]) == 0 &&
           memcmp(k->spelling + len[0], side[1] + skip, len[1] - skip) == 0;
}

/* False: two of them are no tokens, or what they join to is none. */
static bool merge_make(struct merge *m, uint32_t left, uint32_t right, uint32_t id, uint32_t rank)
{
    if (left == STRMAP_NONE || right == STRMAP_NONE || id == STRMAP_NONE)
        return false;
    *m = (struct merge){
        .pair = pair_of((int32_t)left, (int32_t)right), .rank = rank, .id = (int32_t)id};
    return true;
}

/* Of a pair given twice the later rank holds, as in the reference. */
static void merge_put(struct bpe *b, const struct merge *m)
{
    *merge_slot(b, m->pair) = *m;
}

static int parse_merge(struct js_node node, struct tokenizer *t, uint32_t rank, struct err *e)
{
    const char *side[2];
    size_t len[2];
    uint32_t id;
    struct merge m;
    int rc = merge_sides(node, side, len, e);
    if (rc)
        return rc;
    if (len[1] < t->bpe.prefix_len)
        return js_expected(node, "a right half that begins with the prefix", e);
    if (joined_id(t, side, len, &id))
        return err_memory(e, "%s", js_name(node.doc));
    if (!merge_make(&m, strmap_get(&t->by_spelling, side[0], len[0]),
                    strmap_get(&t->by_spelling, side[1], len[1]), id, rank))
        return js_expected(node, "two tokens of the vocabulary that join to a third", e);
    merge_put(&t->bpe, &m);
    return 0;
}

/* Most files number what merges join to in the order of the merges: the next id is tried first. */
static bool stream_merge(struct tokenizer *t, size_t i, const uint64_t hash[2], uint32_t *next,
                         struct merge *out)
{
    const struct stream_merge *m = &t->stream->merge[i];
    size_t len[2] = {m->len[0], m->len[1]};
    if (m->known)
        return merge_make(out, (uint32_t)m->id[0], (uint32_t)m->id[1], (uint32_t)m->id[2],
                          (uint32_t)i);
    if (len[1] < t->bpe.prefix_len)
        return false;
    if (!(t->stream->dense && is_joined(t, *next, m->side, len)) &&
        joined_id(t, m->side, len, next))
        return false;
    return merge_make(out, strmap_find(&t->by_spelling, hash[0], m->side[0], len[0]),
                      strmap_find(&t->by_spelling, hash[1], m->side[1], len[1]), (*next)++,
                      (uint32_t)i);
}

static int no_merge(struct js_node model, const struct stream_merge *m, size_t i, struct err *e)
{
    int n[2] = {m->len[0] < 40 ? (int)m->len[0] : 40, m->len[1] < 40 ? (int)m->len[1] : 40};
    return err_set(e, ERR_BAD_INPUT,
                   "%s · merge %zu, \"%.*s\" and \"%.*s\" · expected two tokens of the vocabulary "
                   "that join to a third",
                   js_name(model.doc), i, n[0], m->side[0], n[1], m->side[1]);
}

/* In three steps, each some merges behind the one before, so that memory has the time it takes:
 * where the sides stand, what the merge is, its slot. */
static int stream_merges(struct tokenizer *t, struct js_node model, struct err *e)
{
    enum { AHEAD = 8 };
    const struct tokenizer_stream *s = t->stream;
    uint64_t hash[AHEAD][2];
    struct merge made[AHEAD];
    uint32_t next = 0;
    for (size_t i = 0; i < s->n_merges + 2 * AHEAD; i++) {
        uint64_t *h = hash[i % AHEAD];
        struct merge *m = &made[i % AHEAD];
        if (i >= 2 * AHEAD)
            merge_put(&t->bpe, m);
        if (i >= AHEAD && i < s->n_merges + AHEAD) {
            if (!stream_merge(t, i - AHEAD, h, &next, m))
                return no_merge(model, &s->merge[i - AHEAD], i - AHEAD, e);
            __builtin_prefetch(&t->bpe.merge[merge_place(&t->bpe, m->pair)], 1);
        }
        for (int k = 0; k < 2 && i < s->n_merges && !s->merge[i].known; k++)
            h[k] = strmap_hash(&t->by_spelling, s->merge[i].side[k], s->merge[i].len[k]);
    }
    return 0;
}

/* ---- the model object
 * -------------------------------------------------------------------------------- */

static int parse_affix(struct js_node node, char **out, size_t *out_len, struct err *e)
{
    const char *text = NULL;
    size_t len = 0;
    int rc = js_is_set(node) ? js_string(node, &text, &len, e) : 0;
    if (rc || !len)
        return rc;
    if (len > AFFIX_LEN_MAX)
        return js_expected(node, "at most 64 bytes of text", e);
    *out = malloc(len);
    if (!*out)
        return err_memory(e, "%s", js_name(node.doc));
    memcpy(*out, text, len);
    *out_len = len;
    return 0;
}

static int refuse_dropout(struct js_node node, struct err *e)
{
    double dropout = 0;
    if (js_is_set(node) && js_number(node, 0, 0, &dropout, NULL))
        return js_expected(node, "null (random tokens are not supported)", e);
    return 0;
}

static void index_chars(struct tokenizer *t)
{
    for (int32_t c = 0; c < BPE_CHARS; c++) {
        utf8proc_uint8_t text[4];
        utf8proc_ssize_t n = utf8proc_encode_char(c, text);
        t->bpe.of_char[c] = (int32_t)strmap_get(&t->by_spelling, (const char *)text,
                                                (size_t)n); /* none: -1 */
    }
}

int bpe_parse(struct tokenizer *t, struct js_node model, struct err *e)
{
    struct bpe *b = &t->bpe;
    struct js_node merges = js_get(model, "merges");
    int rc = refuse_dropout(js_get(model, "dropout"), e);
    if (!rc)
        rc = parse_affix(js_get(model, "continuing_subword_prefix"), &b->prefix, &b->prefix_len, e);
    if (!rc)
        rc = parse_affix(js_get(model, "end_of_word_suffix"), &b->suffix, &b->suffix_len, e);
    if (!rc)
        rc = js_bool_or(js_get(model, "fuse_unk"), false, &b->fuse_unk, e);
    if (!rc)
        rc = js_bool_or(js_get(model, "ignore_merges"), false, &b->ignore_merges, e);
    if (!rc && !js_is_array(merges))
        rc = js_expected(merges, "a list of merges", e);
    if (rc)
        return rc;
    b->unk_vanishes = !js_is_set(js_get(model, "unk_token"));
    size_t count = t->stream ? t->stream->n_merges : js_count(merges);
    if (merges_init(b, count))
        return err_memory(e, "%s · %zu merges", js_name(model.doc), count);
    if (t->stream)
        rc = stream_merges(t, model, e);
    for (size_t i = 0; i < js_count(merges) && !rc; i++)
        rc = parse_merge(js_at(merges, i), t, (uint32_t)i, e);
    index_chars(t);
    return rc;
}

/* ---- one word
 * ---------------------------------------------------------------------------------------- */

/* At most one symbol per byte; of the heap: a candidate per neighbour pair, two more per merge. */
static int reserve(struct model_work *w, size_t len, struct err *e)
{
    if (len <= w->symbols_max)
        return 0;
    size_t max = len * 2 + 64;
    void *symbol = realloc(w->symbol, max * sizeof *w->symbol);
    if (symbol)
        w->symbol = symbol;
    void *heap = realloc(w->heap, 3 * max * sizeof *w->heap);
    if (heap)
        w->heap = heap;
    if (!symbol || !heap)
        return err_memory(e, "a word of %zu bytes", len);
    w->symbols_max = max;
    return 0;
}

static void add_symbol(struct model_work *w, int32_t id, size_t begin, size_t end)
{
    uint32_t i = (uint32_t)w->symbols++;
    w->symbol[i] = (struct bpe_symbol){id, (uint32_t)begin, (uint32_t)end, i ? i - 1 : NO_SYMBOL,
                                       NO_SYMBOL};
    if (i)
        w->symbol[i - 1].next = i;
}

/* Where an unknown run waits to be written: the reference writes it in front of the next known
 * character. */
struct pending {
    bool any;
    size_t begin, end;
};

static void flush_pending(const struct tokenizer *t, struct model_work *w, struct pending *p)
{
    if (p->any)
        add_symbol(w, t->unk, p->begin, p->end);
    p->any = false;
}

/* A character of a word, and how the vocabulary spells it there. */
struct spelled {
    size_t at, n; /* bytes of the word */
    const char *text;
    size_t len;
    char buf[2 * AFFIX_LEN_MAX + CHAR_LEN_MAX];
};

static void spell(const struct bpe *b, const char *word, size_t len, struct spelled *s)
{
    size_t prefix = s->at ? b->prefix_len : 0, suffix = s->at + s->n == len ? b->suffix_len : 0;
    s->text = word + s->at;
    s->len = s->n;
    if (!prefix && !suffix)
        return;
    if (prefix)
        memcpy(s->buf, b->prefix, prefix);
    memcpy(s->buf + prefix, word + s->at, s->n);
    if (suffix)
        memcpy(s->buf + prefix + s->n, b->suffix, suffix);
    s->text = s->buf;
    s->len = prefix + s->n + suffix;
}

static int32_t spelled_id(const struct tokenizer *t, const struct spelled *s)
{
    unsigned char lead = (unsigned char)s->text[0];
    if (s->len == 1 && lead < 0x80)
        return t->bpe.of_char[lead];
    if (s->len == 2 && lead >= 0xc0)
        return t->bpe.of_char[(lead & 0x1f) << 6 | (s->text[1] & 0x3f)];
    return (int32_t)strmap_get(&t->by_spelling, s->text, s->len);
}

/* A token for each byte of the spelling. */
static bool add_bytes(const struct tokenizer *t, struct model_work *w, const struct spelled *s)
{
    bool alone = s->len == s->n;
    for (size_t i = 0; i < s->len; i++)
        if (t->of_byte[(unsigned char)s->text[i]] < 0)
            return false;
    for (size_t i = 0; i < s->len; i++)
        add_symbol(w, t->of_byte[(unsigned char)s->text[i]], s->at + (alone ? i : 0),
                   alone ? s->at + i + 1 : s->at + s->n);
    return true;
}

static int add_unknown(const struct tokenizer *t, struct model_work *w, struct pending *p,
                       const char *word, size_t at, size_t n, struct err *e)
{
    if (t->bpe.unk_vanishes)
        return 0;
    if (t->unk < 0)
        return word_unknown(word + at, n, e);
    if (p->any && t->bpe.fuse_unk) {
        p->end = at + n;
        return 0;
    }
    flush_pending(t, w, p);
    *p = (struct pending){true, at, at + n};
    return 0;
}

static int split_chars(const struct tokenizer *t, struct model_work *w, const char *word,
                       size_t len, struct err *e)
{
    struct pending unknown = {0};
    int rc = 0;
    for (struct spelled s = {.at = 0}; s.at < len && !rc; s.at += s.n) {
        s.n = char_len((unsigned char)word[s.at]);
        spell(&t->bpe, word, len, &s);
        int32_t id = spelled_id(t, &s);
        if (id >= 0) {
            flush_pending(t, w, &unknown);
            add_symbol(w, id, s.at, s.at + s.n);
        } else if (!add_bytes(t, w, &s)) {
            rc = add_unknown(t, w, &unknown, word, s.at, s.n, e);
        }
    }
    flush_pending(t, w, &unknown);
    return rc;
}

static bool before(struct bpe_candidate a, struct bpe_candidate b)
{
    return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void heap_push(struct model_work *w, struct bpe_candidate c)
{
    size_t i = w->heap_len++;
    while (i && before(c, w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = c;
}

static struct bpe_candidate heap_pop(struct model_work *w)
{
    struct bpe_candidate top = w->heap[0], last = w->heap[--w->heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < w->heap_len; i = child) {
        child += child + 1 < w->heap_len && before(w->heap[child + 1], w->heap[child]);
        if (!before(w->heap[child], last))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

static const struct merge *merge_at(const struct bpe *b, const struct model_work *w, uint32_t left)
{
    uint32_t right = w->symbol[left].next;
    if (right == NO_SYMBOL)
        return NULL;
    const struct merge *m = merge_slot(b, pair_of(w->symbol[left].id, w->symbol[right].id));
    return m->pair == NO_PAIR ? NULL : m;
}

static void offer(const struct bpe *b, struct model_work *w, uint32_t left)
{
    const struct merge *m = merge_at(b, w, left);
    if (m)
        heap_push(w, (struct bpe_candidate){m->rank, left, m->id});
}

static void merge_all(const struct bpe *b, struct model_work *w)
{
    w->heap_len = 0;
    for (uint32_t i = 0; i + 1 < w->symbols; i++)
        offer(b, w, i);
    while (w->heap_len) {
        struct bpe_candidate c = heap_pop(w);
        struct bpe_symbol *left = &w->symbol[c.at];
        const struct merge *m = left->id < 0 ? NULL : merge_at(b, w, c.at);
        if (!m || m->id != c.id) /* the pair is not the one that was offered */
            continue;
        struct bpe_symbol *right = &w->symbol[left->next];
        left->id = c.id;
        left->end = right->end;
        left->next = right->next;
        right->id = -1;
        if (left->next != NO_SYMBOL)
            w->symbol[left->next].prev = c.at;
        if (left->prev != NO_SYMBOL)
            offer(b, w, left->prev);
        offer(b, w, c.at);
    }
}

int bpe_encode(const struct tokenizer *t, struct model_work *w, const char *word, size_t len,
               struct err *e)
{
    uint32_t whole = t->bpe.ignore_merges ? strmap_get(&t->by_spelling, word, len) : STRMAP_NONE;
    if (whole != STRMAP_NONE)
        return word_push(w, (int32_t)whole, 0, len, e);
    w->symbols = 0;
    int rc = reserve(w, len * (1 + t->bpe.prefix_len) + t->bpe.suffix_len, e);
    if (!rc)
        rc = split_chars(t, w, word, len, e);
    if (rc || !w->symbols)
        return rc;
    merge_all(&t->bpe, w);
    for (uint32_t s = 0; s != NO_SYMBOL && !rc; s = w->symbol[s].next)
        rc = word_push(w, w->symbol[s].id, w->symbol[s].begin, w->symbol[s].end, e);
    return rc;
}
