/* batch.c - see batch.h. */
#include "lab/batch.h"

#include <stdlib.h>
#include <string.h>

#include "model/image_input.h"
#include "run/callback.h"

enum {
    /* Of a batch of several pieces: more do not make products faster. */
    ROWS_MAX = 512,
    /* Positions that all pairs may have room for beyond what a batch needs. */
    ROOM_MAX = ROWS_MAX + ROWS_MAX / 2,
    /* A run has room for so many, or its next power of two (run_mem.c). */
    ROOM_LEAST = 32
};

/* A piece on its way. */
struct slot {
    struct pair *pair; /* one of the batch's */
    struct text_piece piece;
    int32_t *tokens; /* its own copy */
    int32_t cap;
    char *label;
};

struct batch {
    const struct batch_work *w;
    const struct batch_source *s;
    struct callbacks keep;
    struct slot slot[RUN_TOGETHER_MAX];
    struct pair *pair[RUN_TOGETHER_MAX]; /* the first has the longest piece, and so on */
    int32_t room[RUN_TOGETHER_MAX];      /* positions that each has room for; 0: it is not there */
    int32_t n, rows;
    struct text_piece waiting; /* does not fit any more; tokens NULL: none */
    struct texts_place next;   /* of the piece that waits, or comes next */
};

static int keeps(const struct callback *self, int32_t row0, const struct kn_view *v, struct err *e)
{
    (void)self, (void)row0, (void)v, (void)e;
    return 0;
}

/* A copy of a piece, which the next call of texts_next would take away. */
static int slot_take(struct slot *s, const struct text_piece *p, struct err *e)
{
    if (p->n > s->cap) {
        int32_t *more = realloc(s->tokens, (size_t)p->n * sizeof *more);
        if (!more)
            return err_memory(e, "%d tokens", (int)p->n);
        s->tokens = more, s->cap = p->n;
    }
    free(s->label);
    s->label = p->label ? strdup(p->label) : NULL;
    if (p->label && !s->label)
        return err_memory(e, "a label");
    memcpy(s->tokens, p->tokens, (size_t)p->n * sizeof *s->tokens);
    image_drop(s->piece.image);
    s->piece = *p;
    s->piece.image = p->image ? image_hold(p->image) : NULL;
    s->piece.tokens = s->tokens, s->piece.string = NULL, s->piece.label = s->label;
    return 0;
}

/* Pieces until the batch is full, its unit or the set ends: how many, or negative.  The piece
 * behind them waits. */
static int gather(struct batch *b, struct err *e)
{
    b->n = b->rows = 0;
    for (int rc;; b->waiting.tokens = NULL) {
        if (!b->waiting.tokens) {
            b->s->place(b->s->from, &b->next);
            if ((rc = b->s->next(b->s->from, &b->waiting, e)) <= 0)
                return rc < 0 ? rc : b->n;
        }
        if (b->n == RUN_TOGETHER_MAX || (b->n && (b->rows + b->waiting.n > ROWS_MAX ||
                                                  b->waiting.unit != b->slot[0].piece.unit)))
            return b->n;
        if ((rc = slot_take(&b->slot[b->n], &b->waiting, e)))
            return rc;
        b->rows += b->waiting.n;
        b->n++;
    }
}

/* Which pair a piece is run in: by its length, so that the k-th of them never holds more than a
 * k-th of a batch, and memory is that of the largest batch, not of the longest piece in every
 * place. */
static int32_t place_of(const struct batch *b, int32_t i)
{
    int32_t at = 0, n = b->slot[i].piece.n;
    for (int32_t k = 0; k < b->n; k++)
        at += b->slot[k].piece.n > n || (b->slot[k].piece.n == n && k < i);
    return at;
}

/* The place that has the most beyond its need; negative: none has. */
static int32_t roomiest(const struct batch *b, const int32_t *need)
{
    int32_t at = -1, most = 0;
    for (int32_t k = 0; k < RUN_TOGETHER_MAX; k++)
        if (b->room[k] - need[k] > most)
            at = k, most = b->room[k] - need[k];
    return at;
}

/* Room only grows, and the longest piece that each place ever has is more than any batch together:
 * where that becomes much, pairs that have more than this batch needs are begun anew, as few as
 * can be, since new memory costs its clearing. */
static void rooms_bound(struct batch *b)
{
    int32_t need[RUN_TOGETHER_MAX] = {0}, all = 0;
    for (int32_t i = 0; i < b->n; i++) {
        int32_t *room = &need[place_of(b, i)];
        for (*room = ROOM_LEAST; *room < b->slot[i].piece.n;)
            *room *= 2;
    }
    for (int32_t k = 0; k < RUN_TOGETHER_MAX; k++)
        all += need[k] > b->room[k] ? need[k] : b->room[k];
    for (int32_t k; all > ROOM_MAX && (k = roomiest(b, need)) >= 0;) {
        all -= b->room[k] - need[k];
        pair_close(b->pair[k]);
        b->pair[k] = NULL, b->room[k] = 0;
    }
    for (int32_t k = 0; k < RUN_TOGETHER_MAX; k++)
        b->room[k] = need[k] > b->room[k] ? need[k] : b->room[k];
}

static int slot_ready(struct batch *b, int32_t i, struct err *e)
{
    struct slot *s = &b->slot[i];
    struct pair **own = &b->pair[place_of(b, i)];
    bool alone = b->w->target->n_edits == 0;
    int rc = *own ? 0 : pair_open(own, b->w->m, b->w->cache_bytes / RUN_TOGETHER_MAX, e);
    s->pair = *own;
    if (rc)
        return rc;
    if (b->w->stops)
        pair_stop_after(s->pair, b->w->keep, b->w->n_keep, alone);
    return b->keep.n ? pair_callbacks(s->pair, &b->keep, alone, 0, e) : 0;
}

static int compute(struct batch *b, struct err *e)
{
    struct pair *pairs[RUN_TOGETHER_MAX] = {NULL};
    struct pair_target targets[RUN_TOGETHER_MAX];
    int32_t which = -1;
    int rc = 0;
    rooms_bound(b);
    for (int32_t i = 0; i < b->n && !rc; i++) {
        rc = slot_ready(b, i, e);
        pairs[i] = b->slot[i].pair;
        targets[i] = *b->w->target;
        targets[i].input = run_ids(b->slot[i].tokens, b->slot[i].piece.n);
        targets[i].input.image = b->slot[i].piece.image;
    }
    if (!rc && (rc = pair_sync_all(pairs, targets, b->n, &which, e)) && which >= 0)
        err_prefix(e, "text %lld, %d tokens", (long long)b->slot[which].piece.text,
                   (int)b->slot[which].piece.n);
    return rc;
}

int batch_run_from(const struct batch_source *s, const struct batch_work *w, struct err *e)
{
    struct batch *b = calloc(1, sizeof *b);
    int rc = b ? 0 : err_memory(e, "a batch of texts"), n = 0;
    if (rc)
        return rc;
    b->w = w, b->s = s;
    for (int32_t i = 0; i < w->n_keep && !rc; i++) {
        if (site_is_attention(w->keep[i].id)) /* larger than all else: computed again, by rows */
            continue;
        const struct callback c = {
            .site = w->keep[i], .dir = CALLBACK_FORWARD, .flags = CALLBACK_READS, .fn = keeps};
        rc = callbacks_add(&b->keep, &c, e);
    }
    while (!rc && (n = gather(b, e)) > 0) {
        rc = compute(b, e);
        for (int32_t i = 0; i < b->n && !rc; i++)
            rc = w->done(w->user, &b->slot[i].piece, b->slot[i].pair, e);
        if (!rc && w->all_done)
            rc = w->all_done(w->user, e);
        int64_t unit = b->slot[0].piece.unit;
        if (!rc && w->unit_done && !(b->waiting.tokens && b->waiting.unit == unit))
            rc = w->unit_done(w->user, unit, &b->next, e);
        if (!rc && w->rest)
            rc = w->rest(w->user, &b->next, e);
    }
    for (int32_t i = 0; i < RUN_TOGETHER_MAX; i++) {
        pair_close(b->pair[i]);
        image_drop(b->slot[i].piece.image);
        free(b->slot[i].tokens), free(b->slot[i].label);
    }
    callbacks_free(&b->keep);
    free(b);
    return rc ? rc : n < 0 ? n : 0;
}

static int next_of_texts(void *from, struct text_piece *out, struct err *e)
{
    return texts_next(from, out, e);
}

static void place_of_texts(const void *from, struct texts_place *out)
{
    texts_place(from, out);
}

int batch_run(struct texts *t, const struct batch_work *w, struct err *e)
{
    return batch_run_from(&(struct batch_source){next_of_texts, place_of_texts, t}, w, e);
}
