/* score_loss.c - what putting another value in place of units does to the loss over a set of texts:
 * to first order by attribution patching (measure/attribute.h), exactly by sweeps
 * (measure/sweep.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/score.h"
#include "measure/attribute.h"
#include "measure/sweep.h"

/* Units as the left sides of edits with holes, for both. */
static const struct sweep_kind kinds[SCORE_UNITS] = {
    [SCORE_NEURONS] = {"neurons", NULL, "", {"blocks.{layer}.mlp.hook_post[:, {neuron}]"}, {0}},
    [SCORE_DIMS] = {"dims", NULL, "", {"blocks.{layer}.attn.hook_z[:, {head}, {d_head}]"}, {0}},
    [SCORE_HEADS] = {"heads", NULL, "", {"blocks.{layer}.attn.hook_z[:, {head}]"}, {0}},
};

/* What a unit of work (ranks.h) changes: the loss, summed over the tokens of a window, by units
 * from `first` on.  Of attribution a window is one, of ablation SWEEP_UNIT cells of a window. */
struct change {
    int64_t first, n;
    double by[];
};

struct losses {
    const struct scores *s;
    const struct score_work *w;
    struct texts *t;
    struct pair *pair; /* of attribution */
    struct gather gather;
    int64_t unit;          /* the next one's number */
    struct change *change; /* of the one at hand; room for all */
    double *sum;           /* [n_layers, n] of changes, of rank 0 */
    int64_t tokens;        /* that were expected */
    double done;           /* of them, by this rank: a window's cells have equal parts */
};

static int merge(void *user, const void *bytes, size_t len, struct err *e)
{
    struct losses *j = user;
    const struct change *c = bytes;
    int64_t all = j->s->n_layers * j->s->n;
    if (len < sizeof *c || c->first < 0 || c->n < 0 || c->first + c->n > all ||
        len != sizeof *c + (size_t)c->n * sizeof *c->by)
        return err_set(e, ERR_SYSTEM, "changes of the loss in %zu bytes", len);
    for (int64_t i = 0; i < c->n; i++)
        j->sum[c->first + i] += c->by[i];
    return 0;
}

static int tell_share(struct losses *j, double share, struct err *e)
{
    struct gather_news news;
    int rc = gather_poll(&j->gather, (int64_t)j->done, share, &news, e);
    return rc || ranks_rank(j->w->ranks) || !j->w->rest ? rc : j->w->rest(j->w->user, &news, e);
}

static int tell(void *user, struct err *e)
{
    struct losses *j = user;
    return tell_share(j, texts_share(j->t), e);
}

static int wait(void *user, struct err *e)
{
    return tell_share(user, 1, e);
}

/* j->change is whole. */
static int give(struct losses *j, int64_t unit, struct err *e)
{
    const struct change *c = j->change;
    return gather_give(&j->gather, unit, c, sizeof *c + (size_t)c->n * sizeof *c->by, e);
}

static int attribute_window(struct losses *j, const struct text_piece *p, struct err *e)
{
    const struct metric loss = {.n = 1, .terms = {{.kind = METRIC_LOSS, .factor = 1}}};
    const struct attribute_options o = {.method = ATTRIBUTE_ATP,
                                        .kind = &kinds[j->s->unit],
                                        .with = j->w->with,
                                        .cache_bytes = j->w->cache_bytes};
    struct pair_target t = *j->w->target;
    struct attribution a = {0};
    struct change *c = j->change;
    int64_t unit = j->unit++;
    if (!ranks_mine(j->w->ranks, unit))
        return 0;
    t.input = run_ids(p->tokens, p->n);
    int rc = pair_sync(j->pair, &t, NULL, e);
    if (!rc)
        rc = attribute(&a, j->pair, &t, &loss, &o, e);
    c->first = 0, c->n = j->s->n_layers * j->s->n;
    for (int64_t i = 0; !rc && i < c->n; i++)
        c->by[i] = (double)a.values[i] * (p->n - 1);
    attribution_free(&a);
    j->done += p->n - 1;
    return rc ? rc : give(j, unit, e);
}

/* Cells are units in their order. */
static int ablate_cells(struct losses *j, struct sweep *s, int32_t part, const struct text_piece *p,
                        int64_t unit, struct err *e)
{
    struct sweep_unit_cell cell[SWEEP_UNIT];
    struct change *c = j->change;
    int rc = sweep_unit_compute(s, part, cell, tell, j, e);
    c->first = (int64_t)part * SWEEP_UNIT;
    c->n = (int64_t)(sweep_unit_bytes(s, part) / sizeof *cell);
    for (int64_t i = 0; !rc && i < c->n; i++)
        c->by[i] = cell[i].gone ? 0 : (cell[i].value - sweep_base(s)) * (p->n - 1);
    j->done += (double)c->n / sweep_cells(s) * (p->n - 1);
    return rc ? rc : give(j, unit, e);
}

static int ablate_window(struct losses *j, const struct text_piece *p, struct err *e)
{
    const struct pair_target *t = j->w->target;
    char right[LIMIT_EDIT_TEXT], set[LIMIT_EDIT_TEXT + 64];
    const char *const sets[] = {set};
    const struct sweep_prompt prompt = {.input = run_ids(p->tokens, p->n),
                                        .runs = t->prompts,
                                        .n_runs = t->n_prompts,
                                        .metric = "loss"};
    const struct sweep_want want = {.set = sets,
                                    .n_set = 1,
                                    .edits = t->edits,
                                    .n_edits = t->n_edits,
                                    .sets = t->sets,
                                    .n_sets = t->n_sets,
                                    .prompts = &prompt,
                                    .n_prompts = 1,
                                    .cache_bytes = j->w->cache_bytes};
    struct sweep *s = NULL;
    int rc = sweep_kind_right(j->w->with, right, sizeof right, e);
    snprintf(set, sizeof set, "%s%s", kinds[j->s->unit].set[0], right);
    if (!rc)
        rc = sweep_open(&s, j->w->m, &want, e);
    for (int32_t i = 0; !rc && i < sweep_units(s); i++) {
        int64_t unit = j->unit++;
        if (ranks_mine(j->w->ranks, unit))
            rc = ablate_cells(j, s, i, p, unit, e);
    }
    sweep_close(s);
    return rc;
}

static int window(struct losses *j, enum score_id id, const struct text_piece *p, struct err *e)
{
    if (p->fresh > 0)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · windows overlap, and the loss is one of whole windows · leave out "
                       "--stride",
                       score_table[id].name);
    if (p->n < 2)
        return 0;
    int rc = id == SCORE_attribution ? attribute_window(j, p, e) : ablate_window(j, p, e);
    if (rc)
        err_prefix(e, "text %lld", (long long)p->text);
    j->tokens += p->n - 1;
    return rc ? rc : tell(j, e);
}

static int windows(struct losses *j, enum score_id id, struct err *e)
{
    struct text_piece p;
    int more = 0, rc = 0;
    while (!rc && (more = texts_next(j->t, &p, e)) > 0)
        rc = window(j, id, &p, e);
    rc = rc ? rc : more;
    return rc ? rc : gather_end(&j->gather, j->unit, wait, j, e);
}

int score_loss(const struct scores *s, enum score_id id, double *out, struct texts *t,
               const struct score_work *w, struct err *e)
{
    const struct metric loss = {.n = 1, .terms = {{.kind = METRIC_LOSS, .factor = 1}}};
    int64_t all = s->n_layers * s->n;
    struct losses j = {.s = s, .w = w, .t = t, .sum = calloc((size_t)all + 1, sizeof(double))};
    j.gather = (struct gather){.ranks = w->ranks, .merge = merge, .user = &j};
    j.change = malloc(sizeof *j.change + (size_t)all * sizeof(double));
    int rc = j.sum && j.change ? metric_check(&loss, w->m, e) : err_memory(e, "scores");
    if (!rc && id == SCORE_attribution)
        rc = pair_open(&j.pair, w->m, w->cache_bytes, e);
    if (!rc)
        rc = windows(&j, id, e);
    if (!rc && !j.tokens)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · no token is expected · the texts are empty or of one "
                     "token",
                     score_table[id].name);
    for (int64_t i = 0; !rc && i < all; i++)
        out[i] = s->there[i / s->n] ? j.sum[i] / (double)j.tokens : NAN;
    gather_free(&j.gather);
    pair_close(j.pair);
    free(j.sum), free(j.change);
    return rc;
}
