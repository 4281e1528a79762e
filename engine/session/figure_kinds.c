/* figure_kinds.c - computing elements, a function for each kind of figure (see figure_kinds.h). */
#include "session/figure_kinds.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "measure/grad.h"

enum { UNITS_MAX = 256 };

/* The first unit after i that is not the next row of the same want. */
static int32_t stretch_end(const struct figure_ask *a, int32_t i)
{
    const struct figure_unit *u = a->unit;
    int32_t j = i + 1;
    while (j < a->n && u[j].want == u[i].want && u[j].row == u[j - 1].row + 1)
        j++;
    return j;
}

static int32_t answer_row(const struct figure_ask *a)
{
    return model_answer_row(run_model(a->run), run_tokens(a->run), run_length(a->run));
}

int figure_logits(const struct figure_ask *a, struct err *e)
{
    float *logits = malloc((size_t)run_model(a->run)->cfg.d_vocab * sizeof *logits);
    if (!logits)
        return err_memory(e, "views");
    int rc = lens_logits(a->run, answer_row(a), logits, e);
    for (int k = 0; k < 2 && !rc; k++)
        ((float *)a->unit->to)[k] = logits[a->unit->want->id[k]];
    free(logits);
    return rc;
}

int figure_kl(const struct figure_ask *a, struct err *e)
{
    return lens_kl(pair_run(a->pair, FACE_BASE), a->run, answer_row(a), a->unit->to, e);
}

int figure_nonfinite(const struct figure_ask *a, struct err *e)
{
    return lens_nonfinite(a->run, a->unit->to, e);
}

/* Column and row of the lens. */
static struct lens_at lens_place(const struct figure_unit *u)
{
    struct site_ref s = u->want->site;
    return (struct lens_at){
        site_table[s.id].scope == SCOPE_BLOCK && s.id != SITE_RESID_PRE ? s.layer + 1 : 0, u->row};
}

int figure_cell(const struct figure_ask *a, struct err *e)
{
    struct lens_at at[UNITS_MAX];
    struct lens_cell cells[UNITS_MAX];
    struct lens_top top[UNITS_MAX];
    assert(a->n > 0 && a->n <= UNITS_MAX);
    for (int32_t i = 0; i < a->n; i++)
        at[i] = lens_place(&a->unit[i]);
    int rc = lens_cells(a->run, at, a->n, 1, a->unit[0].want->id[0], cells, top, e);
    for (int32_t i = 0; i < a->n && !rc; i++)
        *(struct want_cell *)a->unit[i].to = (struct want_cell){cells[i], top[i]};
    return rc;
}

/* Logits of k tokens, `id` from best[0] on, in a face's cell; to[k]. */
static int pick(struct run *r, struct lens_at at, const struct want_best *best, int32_t k,
                float *to, struct err *e)
{
    int32_t ids[LENS_TOP_MAX];
    for (int32_t i = 0; i < k; i++)
        ids[i] = best[i].id;
    return lens_pick(r, at, ids, k, to, e);
}

int figure_best(const struct figure_ask *a, struct err *e)
{
    int32_t k = a->unit->want->k;
    struct want_best *to = a->unit->to;
    struct lens_at at = lens_place(a->unit);
    struct lens_cell cell;
    struct lens_top top[LENS_TOP_MAX];
    float base[LENS_TOP_MAX], of_base[LENS_TOP_MAX];
    int rc = lens_cells(a->run, &at, 1, k, -1, &cell, top, e);
    for (int32_t t = 0; t < k && !rc; t++)
        to[t] = (struct want_best){top[t].id, top[t].logit, top[t].logit, top[t].logit};
    if (rc || a->face == FACE_BASE)
        return rc;
    rc = pick(pair_run(a->pair, FACE_BASE), at, to, k, base, e);
    if (!rc)
        rc = pick(a->run, at, a->unit->base, k, of_base, e);
    for (int32_t t = 0; t < k && !rc; t++)
        to[t].base = base[t], to[t].of_base = of_base[t];
    return rc;
}

int figure_pick(const struct figure_ask *a, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0; i < a->n && !rc; i++)
        rc = lens_pick(a->run, lens_place(&a->unit[i]), a->unit[i].want->id, 2, a->unit[i].to, e);
    return rc;
}

/* A figure of one float per row, by stretches of one column. */
static int by_column(const struct figure_ask *a,
                     int (*compute)(struct run *, int32_t, int32_t, int32_t, float *, struct err *),
                     struct err *e)
{
    int rc = 0;
    for (int32_t i = 0, j; i < a->n && !rc; i = j) {
        j = stretch_end(a, i);
        rc = compute(a->run, lens_place(&a->unit[i]).column, a->unit[i].row,
                     a->unit[i].row + (j - i), a->unit[i].to, e);
    }
    return rc;
}

int figure_kl_final(const struct figure_ask *a, struct err *e)
{
    return by_column(a, lens_kl_final, e);
}

int figure_cosine(const struct figure_ask *a, struct err *e)
{
    return by_column(a, lens_cosines, e);
}

int figure_norm(const struct figure_ask *a, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0, j; i < a->n && !rc; i = j) {
        j = stretch_end(a, i);
        rc = lens_norms(a->run, a->unit[i].want->site, a->unit[i].row, a->unit[i].row + (j - i),
                        a->unit[i].to, e);
    }
    return rc;
}

int figure_values(const struct figure_ask *a, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0, j; i < a->n && !rc; i = j) {
        const struct want *w = a->unit[i].want;
        j = stretch_end(a, i);
        rc = run_read_heads(a->run, w->site, a->unit[i].row, a->unit[i].row + (j - i), w->head0,
                            w->head1, a->unit[i].to, e);
    }
    return rc;
}

int figure_head_norm(const struct figure_ask *a, struct err *e)
{
    const struct config *cfg = &run_model(a->run)->cfg;
    int rc = 0;
    for (int32_t i = 0, j; i < a->n && !rc; i = j) {
        const struct want *w = a->unit[i].want;
        size_t floats = want_floats(cfg, w, run_length(a->run)),
               width = floats / want_heads(cfg, w);
        j = stretch_end(a, i);
        float *v = malloc((size_t)(j - i) * floats * sizeof *v), *norm = a->unit[i].to;
        rc = v ? run_read_heads(a->run, w->site, a->unit[i].row, a->unit[i].row + (j - i), w->head0,
                                w->head1, v, e)
               : err_memory(e, "views");
        for (size_t k = 0; k < (size_t)(j - i) * floats && !rc; k += width) {
            double sum = 0;
            for (size_t d = k; d < k + width; d++)
                sum += (double)v[d] * (double)v[d];
            *norm++ = (float)sqrt(sum);
        }
        free(v);
    }
    return rc;
}

int figure_heads(const struct figure_ask *a, struct err *e)
{
    return lens_heads(a->run, a->unit->want->site.layer, a->unit->to, e);
}

int figure_stats(const struct figure_ask *a, struct err *e)
{
    return lens_stats(a->run, a->unit->want->site, 0, run_length(a->run), a->unit->to, e);
}

int figure_thumbs(const struct figure_ask *a, struct err *e)
{
    return heads_small(a->run, a->unit->want->site.layer, a->unit->want->k, a->unit->to, e);
}

int figure_head_says(const struct figure_ask *a, struct err *e)
{
    const struct want *w = a->unit->want;
    return heads_says(a->run, w->site.layer, w->head0, a->unit->row, w->k, a->unit->to, e);
}

int figure_neurons(const struct figure_ask *a, struct err *e)
{
    const struct want *w = a->unit->want;
    bool all = w->kind == WANT_LAYER_NEURONS;
    int32_t row = all ? 0 : a->unit->row, end = all ? run_length(a->run) : row + 1;
    return lens_neurons(a->run, w->site.layer, row, end, w->k, a->unit->to, e);
}

struct ranked {
    float size;
    int32_t index;
};

static int by_size(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The largest ones of an attribution, or all in their order. */
static int shares_choose(const struct attribution *f, bool ranked, struct want_direct *to,
                         struct err *e)
{
    int64_t n = attribution_count(f);
    struct ranked *r = ranked ? malloc(((size_t)n + 1) * sizeof *r) : NULL;
    if (ranked && !r)
        return err_memory(e, "views");
    for (int64_t i = 0; r && i < n; i++)
        r[i] = (struct ranked){isnan(f->values[i]) ? INFINITY : fabsf(f->values[i]), (int32_t)i};
    if (r)
        qsort(r, (size_t)n, sizeof *r, by_size);
    for (int32_t i = 0; i < to->n; i++)
        to->share[i].index = r ? r[i].index : i;
    free(r);
    return 0;
}

/* Logit id[0], less that of id[1], where the model answers. */
static struct metric pair_metric(const struct figure_ask *a)
{
    const struct want *w = a->unit->want;
    return (struct metric){.n = 1 + (w->id[1] >= 0),
                           .terms = {{METRIC_LOGIT, 1, answer_row(a), w->id[0]},
                                     {METRIC_LOGIT, -1, answer_row(a), w->id[1]}}};
}

int figure_direct(const struct figure_ask *a, struct err *e)
{
    const struct want *w = a->unit->want;
    struct want_direct *to = a->unit->to;
    const struct want_direct *base = a->unit->base;
    struct attribution f;
    struct metric m = pair_metric(a);
    int rc = attribute_direct(&f, a->run, &m, (enum attribute_part)w->k, e);
    if (rc)
        return rc;
    to->metric = f.metric, to->constant = f.constant, to->sum = f.sum;
    to->n = want_shares(&run_model(a->run)->cfg, w, run_length(a->run));
    for (int32_t i = 0; base && i < to->n; i++)
        to->share[i].index = base->share[i].index;
    if (!base)
        rc = shares_choose(
            &f, !w->pos && (w->k == ATTRIBUTE_BY_HEAD || w->k == ATTRIBUTE_BY_NEURON), to, e);
    for (int32_t i = 0; !rc && i < to->n; i++)
        to->share[i].value = f.values[to->share[i].index];
    attribution_free(&f);
    return rc;
}

/* One row of a head's gradient. */
struct slope {
    int32_t head, row;
    float *to;
};

static int take_slope(void *user, struct site_ref s, int32_t row0, int32_t row1,
                      const struct kn_view *g, struct err *e)
{
    const struct slope *x = user;
    (void)s, (void)e;
    if (x->row < row0 || x->row >= row1)
        return 0;
    struct kn_view line = kn_index(kn_index(*g, 0, x->head), 0, x->row - row0);
    kn_pack(&line, x->to);
    return 0;
}

int figure_slope(const struct figure_ask *a, struct err *e)
{
    const struct want *w = a->unit->want;
    int32_t heads = run_model(a->run)->cfg.n_heads;
    struct slope x = {w->k % heads, w->pos, a->unit->to};
    struct metric m = pair_metric(a);
    return grad_run(a->run, pair_run(a->pair, FACE_BASE), &m,
                    &(struct site_ref){SITE_ATTN_SCORES, w->k / heads}, 1, take_slope, &x, e);
}

int figure_attributed(const struct figure_ask *a, struct err *e)
{
    struct metric m = pair_metric(a);
    return attribute_heads(a->run, pair_run(a->pair, FACE_BASE), &m, a->unit->to, e);
}

int figure_check(const struct figure_ask *a, struct err *e)
{
    struct check_finding *to = a->unit->to;
    if (a->face == FACE_BASE)
        return check_identity(a->run, a->unit->want->k, 0, to, e);
    assert(a->unit->base); /* of a prompt: the base's comes first */
    *to = *(const struct check_finding *)a->unit->base;
    return 0;
}
