/* eval_masked.c - evaluation of a model that sees all tokens: each token masked in turn (eval.h).
 */
#include <stdlib.h>
#include <string.h>

#include "lab/eval_parts.h"

struct job {
    struct eval_flow flow;
    struct texts *t;
    const struct eval_work *w;
    int64_t units; /* a window each that has tokens: it takes as many passes */
    int32_t mask;
    struct text_piece window;
    int32_t *pos, n, next; /* [n] of the window's tokens that count, and which of them comes next */
    int32_t *tokens, cap;  /* [cap] the window with one of them masked */
};

static int mask_of(const struct tokenizer *t, int32_t *mask, struct err *e)
{
    static const char *const names[] = {"[MASK]", "<mask>"}; /* BERT's and RoBERTa's */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if ((*mask = tokenizer_find(t, names[i], strlen(names[i]))) >= 0)
            return 0;
    return err_set(
        e, ERR_BAD_INPUT,
        "eval · this model sees all tokens, so each is masked in turn · its tokenizer has "
        "neither [MASK] nor <mask>");
}

static bool special(const struct tokenizer *t, int32_t id)
{
    size_t len = 0;
    free(tokenizer_decode(t, &id, 1, TOKENIZER_SKIP_SPECIAL, &len, NULL));
    return len == 0;
}

/* The next window of this rank with tokens that count: 1, 0 at the end, or negative. */
static int window_next(struct job *j, struct err *e)
{
    int rc;
    while ((rc = texts_next(j->t, &j->window, e)) > 0) {
        if (j->window.n > j->cap) {
            free(j->pos), free(j->tokens);
            j->cap = j->window.n;
            j->pos = malloc((size_t)j->cap * sizeof *j->pos);
            j->tokens = malloc((size_t)j->cap * sizeof *j->tokens);
            if (!j->pos || !j->tokens)
                return err_memory(e, "%d tokens", (int)j->cap);
        }
        int32_t all = token_filter_rows(j->w->filter, &j->window, j->pos);
        j->n = j->next = 0;
        for (int32_t i = 0; i < all; i++)
            if (!special(j->w->m->tok, j->window.tokens[j->pos[i]]))
                j->pos[j->n++] = j->pos[i];
        if (j->n && ranks_mine(j->w->ranks, j->units++))
            return 1;
        j->n = 0;
    }
    return rc;
}

/* A window for each token that counts: `fresh` is its position, `next` the token. */
static int piece_next(void *from, struct text_piece *out, struct err *e)
{
    struct job *j = from;
    int rc = j->next < j->n ? 1 : window_next(j, e);
    if (rc <= 0)
        return rc;
    int32_t at = j->pos[j->next++];
    *out = j->window;
    out->unit = j->units - 1;
    memcpy(j->tokens, j->window.tokens, (size_t)out->n * sizeof *j->tokens);
    j->tokens[at] = j->mask;
    out->tokens = j->tokens, out->fresh = at, out->next = j->window.tokens[at];
    return 1;
}

static void place(const void *from, struct texts_place *out)
{
    texts_place(((const struct job *)from)->t, out);
}

static int piece_done(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    struct job *j = user;
    struct run *base = pair_run(pair, FACE_BASE), *edited = pair_run(pair, FACE_EDITED);
    struct lens_next x = {0}, y;
    double kl = 0, *sum = eval_flow_text(&j->flow, p->text);
    int rc = sum ? lens_tokens(base, p->fresh, p->fresh + 1, &p->next, &x, e)
                 : err_memory(e, "a text");
    y = x;
    if (!rc && j->flow.v->edited)
        rc = lens_tokens(edited, p->fresh, p->fresh + 1, &p->next, &y, e);
    if (!rc && j->flow.v->edited)
        rc = lens_kl(base, edited, p->fresh, &kl, e);
    if (!rc)
        eval_token_add(&j->flow, sum, p->next, 0, &x, &y, kl);
    return rc;
}

static double share_of(const void *job)
{
    return texts_share(((const struct job *)job)->t);
}

static int64_t units_of(const void *job)
{
    return ((const struct job *)job)->units;
}

int eval_masked_run(struct eval *v, struct texts *t, const struct eval_work *w, struct err *e)
{
    struct job j = {.flow = {.v = v, .w = w, .share = share_of, .units = units_of}, .t = t, .w = w};
    const struct batch_source source = {piece_next, place, &j};
    int rc = mask_of(w->m->tok, &j.mask, e);
    if (!rc)
        rc = eval_flow_run(&j.flow, &source, piece_done, e);
    free(j.pos), free(j.tokens);
    return rc;
}
