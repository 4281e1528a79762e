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

enum { CELLS_A_STEP = 64 };

struct losses {
    const struct scores *s;
    const struct score_work *w;
    struct texts *t;
    struct pair *pair; /* of attribution */
    double *sum;       /* [n_layers, n] of changes of the loss, over tokens */
    int64_t tokens;    /* that were expected */
};

static int attribute_window(struct losses *j, const struct text_piece *p, struct err *e)
{
    const struct metric loss = {.n = 1, .terms = {{.kind = METRIC_LOSS, .factor = 1}}};
    const struct attribute_options o = {.method = ATTRIBUTE_ATP,
                                        .kind = &kinds[j->s->unit],
                                        .with = j->w->with,
                                        .cache_bytes = j->w->cache_bytes};
    struct pair_target t = *j->w->target;
    struct attribution a = {0};
    t.input = run_ids(p->tokens, p->n);
    int rc = pair_sync(j->pair, &t, NULL, e);
    if (!rc)
        rc = attribute(&a, j->pair, &t, &loss, &o, e);
    for (int64_t i = 0; !rc && i < j->s->n_layers * j->s->n; i++)
        j->sum[i] += (double)a.values[i] * (p->n - 1);
    attribution_free(&a);
    return rc;
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
    while (!rc && sweep_done(s) < sweep_cells(s)) {
        rc = sweep_step(s, CELLS_A_STEP, NULL, NULL, e);
        if (!rc && j->w->rest)
            rc = j->w->rest(j->w->user, texts_share(j->t), j->tokens, e);
    }
    for (int32_t i = 0; !rc && i < sweep_cells(s); i++)
        if (sweep_has(s, i))
            j->sum[i] += (sweep_value(s, i, NULL) - sweep_base(s)) * (p->n - 1);
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
    return rc || !j->w->rest ? rc : j->w->rest(j->w->user, texts_share(j->t), j->tokens, e);
}

int score_loss(const struct scores *s, enum score_id id, double *out, struct texts *t,
               const struct score_work *w, struct err *e)
{
    const struct metric loss = {.n = 1, .terms = {{.kind = METRIC_LOSS, .factor = 1}}};
    int64_t all = s->n_layers * s->n;
    struct losses j = {.s = s, .w = w, .t = t, .sum = calloc((size_t)all + 1, sizeof(double))};
    struct text_piece p;
    int more = 0, rc = j.sum ? metric_check(&loss, w->m, e) : err_memory(e, "scores");
    if (!rc && id == SCORE_attribution)
        rc = pair_open(&j.pair, w->m, w->cache_bytes, e);
    while (!rc && (more = texts_next(t, &p, e)) > 0)
        rc = window(&j, id, &p, e);
    rc = rc ? rc : more;
    if (!rc && !j.tokens)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · no token is expected · the texts are empty or of one "
                     "token",
                     score_table[id].name);
    for (int64_t i = 0; !rc && i < all; i++)
        out[i] = s->there[i / s->n] ? j.sum[i] / (double)j.tokens : NAN;
    pair_close(j.pair);
    free(j.sum);
    return rc;
}
