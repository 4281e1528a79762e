/* score_run.c - see score_run.h. */
#include "lab/score_run.h"

#include <string.h>

#include "lab/stats_run.h"

struct progress_of {
    const struct score_work *w;
    int before; /* sets that are done */
};

/* How far one of both sets is, as the share of both. */
static int rest_set(void *user, const struct gather_news *news, struct err *e)
{
    const struct progress_of *p = user;
    struct gather_news both = *news;
    if (both.share >= 0)
        both.share = (both.share + p->before) / SCORE_SETS;
    if (both.least >= 0)
        both.least = (both.least + p->before) / SCORE_SETS;
    return p->w->rest ? p->w->rest(p->w->user, &both, e) : 0;
}

static int rest_stats(void *user, const struct stats *s, const struct gather_news *news,
                      struct err *e)
{
    (void)s;
    return rest_set(user, news, e);
}

/* A set's texts, on all ranks or none; `rc`: what came of what lies before. */
static int open_texts(struct texts **t, const struct score_run *w, int which, int rc, struct err *e)
{
    const struct score_set *set = &w->set[which];
    if (!rc)
        rc = texts_open(t, w->work.m, set->path, set->texts, e);
    return ranks_agree(w->work.ranks, rc, "", 0, NULL, 0, e);
}

/* Statistics of the hooks that the units lie in. */
static int make_stats(struct stats *out, struct scores *const *s, int n, const struct score_run *w,
                      int which, int rc, struct err *e)
{
    static const char *const patterns[SCORE_UNITS] = {"blocks.*.mlp.hook_post",
                                                      "blocks.*.attn.hook_z"};
    const char *hooks[2];
    bool of[2] = {false, false}; /* an order of their own: hooks that both name would be twice */
    int n_hooks = 0;
    for (int i = 0; i < n; i++)
        of[s[i]->unit != SCORE_NEURONS] = true;
    for (int i = 0; i < 2; i++)
        if (of[i])
            hooks[n_hooks++] = patterns[i];
    const struct token_filter all = {0};
    struct progress_of progress = {&w->work, which};
    const struct stats_work work = {.m = w->work.m,
                                    .options = w->set[which].texts,
                                    .target = w->work.target,
                                    .filter = &all,
                                    .cache_bytes = w->work.cache_bytes,
                                    .ranks = w->work.ranks,
                                    .rest = rest_stats,
                                    .user = &progress};
    struct texts *t = NULL;
    if (!rc)
        rc = stats_init(out, &w->work.m->cfg, hooks, n_hooks, 0, e);
    rc = open_texts(&t, w, which, rc, e);
    if (!rc)
        rc = stats_run(out, t, &work, e);
    texts_close(t);
    if (!rc && !out->tokens && !ranks_rank(w->work.ranks))
        rc = err_set(e, ERR_BAD_INPUT, "%.200s · no text has a token", w->set[which].path);
    return rc;
}

static int from_stats(struct scores *s, const struct score_run *w, const struct stats *focus,
                      const struct stats *cripple, struct err *e)
{
    double eps = w->eps < 0 ? score_eps(s->unit) : w->eps;
    struct scores dims;
    if (s->unit != SCORE_HEADS)
        return scores_of_stats(s, w->id, focus, cripple, eps, e);
    int rc = scores_init(&dims, &w->work.m->cfg, SCORE_DIMS, e);
    if (!rc)
        rc = scores_of_stats(&dims, w->id, focus, cripple, eps, e);
    if (!rc)
        scores_join(s, &dims, w->by);
    scores_free(&dims);
    return rc;
}

static int run_stats(struct scores *const *s, int n, const struct score_run *w, struct err *e)
{
    struct stats made[SCORE_SETS] = {{0}, {0}};
    const struct stats *of[SCORE_SETS];
    int rc = 0;
    for (int i = 0; i < SCORE_SETS; i++) {
        of[i] = w->set[i].stats ? w->set[i].stats : &made[i];
        if (!w->set[i].stats)
            rc = make_stats(&made[i], s, n, w, i, rc, e);
    }
    for (int i = 0; i < n && !rc && !ranks_rank(w->work.ranks); i++)
        rc = from_stats(s[i], w, of[SCORE_FOCUS], of[SCORE_CRIPPLE], e);
    for (int i = 0; i < SCORE_SETS; i++)
        stats_free(&made[i]);
    return rc;
}

static int run_loss(struct scores *s, const struct score_run *w, int rc, struct err *e)
{
    for (int i = 0; i < SCORE_SETS; i++) {
        struct progress_of progress = {&w->work, i};
        struct score_work work = w->work;
        struct texts *t = NULL;
        work.rest = rest_set, work.user = &progress;
        if (!rc && !w->set[i].path)
            rc = err_set(e, ERR_USAGE, "%s · it goes over the texts, statistics do not do",
                         score_table[w->id].name);
        rc = open_texts(&t, w, i, rc, e);
        if (!rc)
            rc = score_loss(s, w->id, i == SCORE_FOCUS ? s->focus : s->cripple, t, &work, e);
        texts_close(t);
    }
    if (!rc)
        scores_difference(s);
    return rc;
}

/* Rank 0's, to all. */
static int share(struct scores *s, struct ranks *r, int rc, struct err *e)
{
    double *const of[] = {s->focus, s->cripple, s->value};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        rc = ranks_share(r, rc, of[i], (size_t)(s->n_layers * s->n) * sizeof **of, e);
    return rc;
}

int score_run(struct scores *const *s, int n, const struct score_run *w, struct err *e)
{
    enum score_from from = score_table[w->id].from;
    int rc = from == SCORE_FROM_STATS ? run_stats(s, n, w, e) : 0;
    for (int i = 0; i < n; i++)
        if (from == SCORE_FROM_DRAW)
            scores_draw(s[i], w->seed);
        else if (from == SCORE_FROM_LOSS)
            rc = run_loss(s[i], w, rc, e);
    for (int i = 0; i < n; i++)
        rc = share(s[i], w->work.ranks, rc, e);
    return rc;
}
