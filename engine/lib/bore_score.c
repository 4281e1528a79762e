/* bore_score.c - the library's scores of neurons and heads (see borescope.h).  Tested in
 * tests/engine/test_library_score.c. */
#include "lib/bore_parts.h"

#include <string.h>

#include "lab/score_run.h"

/* The caller's ear. */
struct ear {
    int (*progress)(void *user, int64_t tokens, double share);
    void *user;
};

static int hear(void *user, const struct gather_news *news, struct err *e)
{
    const struct ear *x = user;
    return x->progress && x->progress(x->user, news->done, news->share)
               ? err_set(e, ERR_CANCELLED, "score · stopped by its caller")
               : 0;
}

static int open_scores(struct bore_model *m, const struct bore_score *w, struct scores *s,
                       enum score_id *id, struct err *e)
{
    enum score_unit unit = SCORE_NEURONS;
    int rc = w->eps >= 0 ? 0 : err_set(e, ERR_BAD_INPUT, "score · eps %g · expected >= 0", w->eps);
    if (!rc)
        rc = score_find(w->score ? w->score : "abs", id, e);
    if (!rc && w->unit)
        rc = score_unit_find(w->unit, &unit, e);
    if (!rc && score_table[*id].from != SCORE_FROM_DRAW && (!w->focus.path || !w->cripple.path))
        rc = err_set(e, ERR_BAD_INPUT, "score · expected the paths of both sets, found NULL");
    return rc ? rc : scores_init(s, &m->m->cfg, unit, e);
}

int bore_score_run(struct bore_model *m, const struct bore_score *score, double *values,
                   int64_t room, int64_t *n,
                   int (*progress)(void *user, int64_t tokens, double share), void *user,
                   struct bore_error *error)
{
    struct err e = {0};
    struct ear ear = {progress, user};
    struct pair_target target = {0};
    struct scores s = {0}, *all = &s;
    enum score_id id = SCORE_abs;
    const struct texts_options focus = bore_texts_options(&score->focus),
                               cripple = bore_texts_options(&score->cripple);
    int rc = bore_begin(m, &e);
    if (!rc)
        rc = open_scores(m, score, &s, &id, &e);
    if (!rc)
        rc = bore_target_of(m, score->edits, score->n_edits, &target, &e);
    const struct score_run run = {
        .id = id,
        .eps = score->eps > 0 ? score->eps : -1,
        .by = score->median ? SCORE_BY_MEDIAN : SCORE_BY_MEAN,
        .seed = score->seed,
        .set = {{score->focus.path, &focus, NULL}, {score->cripple.path, &cripple, NULL}},
        .work = {.m = m->m,
                 .target = &target,
                 .with = "zero",
                 .cache_bytes = m->cache_bytes,
                 .rest = hear,
                 .user = &ear}};
    if (!rc && values && room < s.n_layers * s.n)
        rc = err_set(&e, ERR_BAD_INPUT, "score · room for %lld values · there are %lld",
                     (long long)room, (long long)(s.n_layers * s.n));
    if (!rc && values)
        rc = score_run(&all, 1, &run, &e);
    if (!rc && values)
        memcpy(values, s.value, (size_t)(s.n_layers * s.n) * sizeof *values);
    if (!rc)
        *n = s.n_layers * s.n;
    scores_free(&s);
    bore_target_free(&target);
    return bore_end(m, rc, &e, error);
}
