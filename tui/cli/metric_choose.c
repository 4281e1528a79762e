/* metric_choose.c - see metric_choose.h. */
#include "metric_choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/metric.h"

/* The best token of a prompt at the place that is looked at. */
static int best_token(struct cli *c, struct run_input in, int32_t *id)
{
    struct run_options opt = {.cache_bytes = 0};
    struct run *r = run_create(c->m, NULL, &opt, &c->err);
    int32_t row = model_answer_row(c->m, in.tokens, in.n);
    struct lens_cell cell;
    struct lens_top top;
    int rc = r ? run_sync(r, in, NULL, NULL, NULL, &c->err) : c->err.code;
    if (!rc)
        rc = lens_output(r, row, row + 1, 1, -1, &cell, &top, &c->err);
    *id = rc ? -1 : top.id;
    run_free(r);
    return rc;
}

/* Without --metric. */
static int stand_in(struct cli *c, const struct pair_target *t, bool best, int32_t pair[2],
                    char **out)
{
    int rc = lens_check(c->m, &c->err);
    bool two = pair[0] < 0 && t->n_prompts == 1;
    if (!rc && two) {
        struct run_input in = run_ids(t->prompts[0].tokens, t->prompts[0].n);
        in.image = t->prompts[0].image;
        rc = best_token(c, in, &pair[0]);
    }
    if (!rc && (two || (best && pair[0] < 0)))
        rc = best_token(c, t->input, &pair[1]);
    if (pair[0] == pair[1])
        pair[0] = -1;
    int32_t row = rc ? 0 : model_answer_row(c->m, c->tokens, c->n);
    row = row == c->n - 1 ? -1 : row;
    char text[2 * LIMIT_NAME + 60], one[LIMIT_NAME], two_text[LIMIT_NAME];
    if (!rc && pair[0] >= 0)
        snprintf(text, sizeof text, "logit[%d, %s] - logit[%d, %s]", (int)row,
                 metric_token(c->m->tok, pair[0], one), (int)row,
                 metric_token(c->m->tok, pair[1], two_text));
    else if (!rc && best)
        snprintf(text, sizeof text, "logit[%d, %s]", (int)row,
                 metric_token(c->m->tok, pair[1], one));
    else
        snprintf(text, sizeof text, "kl[%d]", (int)row);
    *out = rc ? NULL : strdup(text);
    return rc ? rc : *out ? 0 : cli_memory(c);
}

int metric_choose(struct cli *c, const struct pair_target *t, bool best, char **out)
{
    const struct options *o = c->opt;
    int32_t pair[2];
    int rc = cli_pair(c, pair);
    if (!rc && o->metric && o->pair)
        rc = err_set(&c->err, ERR_USAGE, "--metric and --pair · one of them says what counts");
    if (rc)
        return rc;
    if (o->metric)
        return (*out = strdup(o->metric)) ? 0 : cli_memory(c);
    return stand_in(c, t, best, pair, out);
}
