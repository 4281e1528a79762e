/* prune_run.c - see prune_run.h. */
#include "lab/prune_run.h"

#include <stdlib.h>
#include <string.h>

/* The edits in force, and behind them those of what is gone. */
struct edits {
    struct edit **of;
    int32_t n, given;
};

static void edits_free(struct edits *x)
{
    for (int32_t i = x->given; i < x->n; i++)
        edit_free(x->of[i]);
    free(x->of);
    *x = (struct edits){0};
}

static int edits_make(struct edits *x, const struct pruned *p, const struct prune_run *w,
                      struct err *e)
{
    const struct pair_target *t = w->score.work.target;
    char **text = NULL;
    int32_t n = 0;
    int rc = prune_edits(p, w->value, &text, &n, e);
    if (!rc && t->n_edits + n > LIMIT_EDITS)
        rc = err_set(e, ERR_BAD_INPUT, "%d edits · at most %d", (int)(t->n_edits + n), LIMIT_EDITS);
    if (!rc && !(x->of = calloc((size_t)(t->n_edits + n) + 1, sizeof(struct edit *))))
        rc = err_memory(e, "edits");
    x->given = x->n = rc ? 0 : t->n_edits;
    if (!rc && t->n_edits)
        memcpy(x->of, t->edits, (size_t)t->n_edits * sizeof(struct edit *));
    for (int32_t i = 0; i < n && !rc; i++)
        if (!(rc = edit_parse(&x->of[x->n], text[i], e)))
            x->n++;
    prune_edits_free(text, n);
    return rc;
}

struct loop {
    const struct prune_run *w;
    struct pruned *p;
    struct scores score[SCORE_UNITS];
    enum score_unit units[SCORE_UNITS]; /* kinds that are pruned */
    int n;
    struct edits edits;
    struct pair_target target; /* with them */
};

static int rest(void *user, const struct eval *v, const struct gather_news *news, struct err *e)
{
    const struct prune_run *w = user;
    (void)v;
    return w->rest ? w->rest(w->user, news, e) : 0;
}

int prune_evaluate(const struct prune_run *w, const struct pair_target *target,
                   struct prune_step *s, struct err *e)
{
    static const struct token_filter all = {0};
    const struct eval_work work = {.m = w->score.work.m,
                                   .target = target,
                                   .filter = &all,
                                   .top = w->top,
                                   .cache_bytes = target->n_edits ? w->score.work.cache_bytes : 0,
                                   .ranks = w->score.work.ranks,
                                   .rest = rest,
                                   .user = (void *)(uintptr_t)w};
    int rc = 0;
    for (int i = 0; i < SCORE_SETS; i++) {
        const struct score_set *set = &w->eval[i];
        struct texts *t = NULL;
        if (!set->path)
            continue;
        if (!rc)
            rc = texts_open(&t, work.m, set->path, set->texts, e);
        rc = ranks_agree(work.ranks, rc, "", 0, NULL, 0, e);
        if (!rc)
            rc = eval_run(&s->eval[i], t, &work, e);
        s->evaluated[i] = !rc;
        texts_close(t);
    }
    return rc;
}

/* All ranks go on, or none. */
static int together(const struct prune_run *w, int rc, struct err *e)
{
    return ranks_share(w->score.work.ranks, rc, NULL, 0, e);
}

static int score(struct loop *l, struct err *e)
{
    struct scores *of[SCORE_UNITS];
    struct score_run w = l->w->score;
    w.work.target = &l->target;
    for (int i = 0; i < l->n; i++)
        of[i] = &l->score[i];
    return score_run(of, l->n, &w, e);
}

static int tell(struct loop *l, struct prune_step *s, struct err *e)
{
    int rc = prune_evaluate(l->w, &l->target, s, e);
    s->gone = l->p;
    if (!rc && l->w->told)
        rc = l->w->told(l->w->user, s, e);
    return together(l->w, rc, e);
}

/* How many neighbouring units of a kind go together. */
static int64_t together_of(const struct prune_run *w, enum score_unit unit)
{
    return unit == SCORE_HEADS && w->head_group > 1 ? w->head_group : 1;
}

static int step(struct loop *l, int32_t i, struct err *e)
{
    const struct prune_run *w = l->w;
    struct prune_step *s = calloc(1, sizeof *s);
    int rc = together(w, s ? 0 : err_memory(e, "a step"), e);
    if (!rc && (i == 1 || !w->cumulative))
        rc = score(l, e);
    for (int k = 0; k < l->n && !rc; k++)
        scores_share(&l->score[k], together_of(w, l->units[k]));
    if (!rc && w->cumulative)
        pruned_clear(l->p);
    for (int k = 0; k < l->n && !rc; k++) {
        double share = w->share[l->units[k]] * (w->cumulative ? i : 1);
        rc = prune_choose(l->p, &l->score[k], share < 1 ? share : 1, w->per_layer,
                          together_of(w, l->units[k]), &s->choice[s->n_choices], e);
        s->n_choices += !rc;
    }
    edits_free(&l->edits);
    if (!rc)
        rc = edits_make(&l->edits, l->p, w, e);
    rc = together(w, rc, e);
    if (!rc) {
        l->target.edits = l->edits.of, l->target.n_edits = l->edits.n;
        s->step = i;
        rc = tell(l, s, e);
    }
    free(s);
    return rc;
}

int prune_run(struct pruned *p, const struct prune_run *w, struct err *e)
{
    struct loop l = {.w = w, .p = p, .target = *w->score.work.target};
    struct prune_step *before = calloc(1, sizeof *before);
    int rc = before ? 0 : err_memory(e, "a step");
    for (int u = 0; u < SCORE_UNITS && !rc; u++)
        if (w->share[u] > 0) {
            l.units[l.n] = (enum score_unit)u;
            rc = scores_init(&l.score[l.n++], &w->score.work.m->cfg, (enum score_unit)u, e);
        }
    rc = together(w, rc, e);
    if (!rc)
        rc = tell(&l, before, e);
    free(before);
    for (int32_t i = 1; i <= w->steps && !rc; i++)
        rc = step(&l, i, e);
    edits_free(&l.edits);
    for (int i = 0; i < l.n; i++)
        scores_free(&l.score[i]);
    return rc;
}
