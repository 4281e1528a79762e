/* attribute_set.c - see attribute_set.h.  Mean and squares are summed as they come (Welford 1962,
 * "Note on a method for calculating corrected sums of squares and products"). */
#include "measure/attribute_set.h"

#include <math.h>
#include <stdlib.h>

#include "run/prompt_align.h"

/* What is known of the prompts so far. */
struct sums {
    struct attribution of; /* axes, and means of what is one number; without values */
    int64_t cells;
    double *mean, *square; /* [cells]; square: of differences from the mean */
    int32_t *count;        /* [cells] prompts that have it */
    int32_t columns, *column[SWEEP_PROMPTS_MAX];
};

/* Axes as the first prompt's, positions as many as there are columns; takes its labels. */
static int sums_open(struct sums *s, struct attribution *first, struct err *e)
{
    s->of.rank = first->rank;
    for (int i = 0; i < first->rank; i++) {
        s->of.axis[i] = first->axis[i];
        first->axis[i].label = NULL;
        if (s->of.axis[i].position)
            s->of.axis[i].size = s->columns;
    }
    s->cells = attribution_count(&s->of);
    s->mean = calloc((size_t)s->cells + 1, sizeof *s->mean);
    s->square = calloc((size_t)s->cells + 1, sizeof *s->square);
    s->count = calloc((size_t)s->cells + 1, sizeof *s->count);
    return s->mean && s->square && s->count ? 0 : err_memory(e, "attributions");
}

static void sums_free(struct sums *s)
{
    for (int32_t k = 0; k < SWEEP_PROMPTS_MAX; k++)
        free(s->column[k]);
    free(s->mean), free(s->square), free(s->count);
    attribution_free(&s->of);
}

/* Where a cell stands in the attribution of prompt k; -1: it has no such cell. */
static int64_t cell_of(const struct sums *s, const struct attribution *a, int32_t k, int64_t cell)
{
    int64_t at = 0, step = 1;
    for (int i = a->rank; i-- > 0; cell /= s->of.axis[i].size) {
        int64_t v = cell % s->of.axis[i].size;
        v = a->axis[i].position ? s->column[k][v] : v;
        if (v < 0)
            return -1;
        at += v * step;
        step *= a->axis[i].size;
    }
    return a->there && !a->there[at] ? -1 : at;
}

static void add(struct sums *s, const struct attribution *a, int32_t k)
{
    for (int64_t i = 0; i < s->cells; i++) {
        int64_t at = cell_of(s, a, k, i);
        if (at < 0)
            continue;
        double d = (double)a->values[at] - s->mean[i];
        s->mean[i] += d / ++s->count[i];
        s->square[i] += d * ((double)a->values[at] - s->mean[i]);
    }
    s->of.metric += (a->metric - s->of.metric) / (k + 1);
    s->of.constant += (a->constant - s->of.constant) / (k + 1);
    s->of.sum += (a->sum - s->of.sum) / (k + 1);
}

static int prompt_attribute(struct attribution *out, const struct model *m,
                            const struct pair_target *t, const char *metric,
                            const struct attribute_options *o, size_t cache_bytes, struct err *e)
{
    struct metric parsed;
    struct pair *p = NULL;
    int rc = metric_parse(&parsed, metric, m->tok, m->cfg.d_vocab, e);
    if (!rc)
        rc = metric_check_gradient(&parsed, m, e);
    if (!rc)
        rc = pair_open(&p, m, cache_bytes, e);
    if (!rc)
        rc = pair_sync(p, t, NULL, e);
    if (!rc)
        rc = attribute(out, p, t, &parsed, o, e);
    pair_close(p);
    return rc;
}

static int sums_make(struct sums *s, const struct model *m, const struct pair_target *shared,
                     const struct sweep_prompt *prompts, int32_t n,
                     const struct attribute_options *o, size_t cache_bytes, struct err *e)
{
    const struct run_input *in[SWEEP_PROMPTS_MAX];
    for (int32_t k = 0; k < n; k++)
        in[k] = &prompts[k].input;
    int rc = prompt_columns(in, n, shared->align, &s->columns, s->column, e);
    for (int32_t k = 0; k < n && !rc; k++) {
        struct pair_target t = *shared;
        struct attribution a = {0};
        t.input = prompts[k].input;
        t.prompts = prompts[k].runs, t.n_prompts = prompts[k].n_runs;
        rc = prompt_attribute(&a, m, &t, prompts[k].metric, o, cache_bytes, e);
        if (rc && n > 1)
            err_prefix(e, "prompt %d", (int)k + 1);
        if (!rc && k == 0)
            rc = sums_open(s, &a, e);
        if (!rc)
            add(s, &a, k);
        attribution_free(&a);
    }
    return rc;
}

int attribute_set(struct attribution *mean, float **errors, const struct model *m,
                  const struct pair_target *shared, const struct sweep_prompt *prompts, int32_t n,
                  const struct attribute_options *o, size_t cache_bytes, struct err *e)
{
    struct sums s = {.cells = 0};
    if (n < 1 || n > SWEEP_PROMPTS_MAX)
        return err_set(e, ERR_BAD_INPUT, "%d prompts · 1..%d can be attributed together", (int)n,
                       SWEEP_PROMPTS_MAX);
    int rc = sums_make(&s, m, shared, prompts, n, o, cache_bytes, e);
    float *values = rc ? NULL : malloc(((size_t)s.cells + 1) * sizeof *values),
          *error = rc ? NULL : malloc(((size_t)s.cells + 1) * sizeof *error);
    bool *there = rc ? NULL : malloc((size_t)s.cells + 1);
    if (!rc && (!values || !error || !there))
        rc = err_memory(e, "attributions");
    for (int64_t i = 0; i < s.cells && !rc; i++) {
        int32_t c = s.count[i];
        there[i] = c > 0;
        values[i] = (float)s.mean[i];
        error[i] = c > 1 ? (float)sqrt(s.square[i] / (c - 1) / c) : 0;
    }
    if (rc) {
        free(values), free(error), free(there);
    } else {
        *mean = s.of;
        mean->values = values, mean->there = there;
        *errors = error;
        s.of = (struct attribution){0};
    }
    sums_free(&s);
    return rc;
}
