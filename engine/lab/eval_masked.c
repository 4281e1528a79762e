/* eval_masked.c - evaluation of a model that sees all tokens: each token masked in turn (eval.h).
 */
#include <stdlib.h>
#include <string.h>

#include "lab/eval_parts.h"

struct job {
    struct eval *v;
    struct texts *t;
    const struct eval_work *w;
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

/* The next window with tokens that count: 1, 0 at the end, or negative. */
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
        if (j->n)
            return 1;
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
    struct lens_next x, y;
    double kl = 0;
    int rc = lens_tokens(base, p->fresh, p->fresh + 1, &p->next, &x, e);
    y = x;
    if (!rc && j->v->edited)
        rc = lens_tokens(edited, p->fresh, p->fresh + 1, &p->next, &y, e);
    if (!rc && j->v->edited)
        rc = lens_kl(base, edited, p->fresh, &kl, e);
    if (p->text != j->v->at)
        eval_text_end(j->v);
    j->v->at = p->text;
    if (!rc)
        eval_token_add(j->v, p->next, 0, &x, &y, kl);
    return rc;
}

static int between(void *user, const struct texts_place *next, struct err *e)
{
    struct job *j = user;
    (void)next;
    return j->w->rest
               ? j->w->rest(j->w->user, (int64_t)(j->v->sum[EVAL_TOKENS] + j->v->text[EVAL_TOKENS]),
                            texts_share(j->t), e)
               : 0;
}

int eval_masked_run(struct eval *v, struct texts *t, const struct eval_work *w, struct err *e)
{
    struct job j = {.v = v, .t = t, .w = w};
    const struct batch_source source = {piece_next, place, &j};
    const struct batch_work work = {.m = w->m,
                                    .target = w->target,
                                    .cache_bytes = w->cache_bytes,
                                    .done = piece_done,
                                    .user = &j,
                                    .rest = between};
    int rc = mask_of(w->m->tok, &j.mask, e);
    if (!rc)
        rc = batch_run_from(&source, &work, e);
    free(j.pos), free(j.tokens);
    return rc;
}
