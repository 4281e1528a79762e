/* wide.c - see wide.h. */
#include "wide_parts.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double **slot(struct wide *w, int32_t stage, enum site_id s)
{
    return &w->value[stage * (int32_t)SITE_COUNT + (int32_t)s];
}

int64_t wide_count(const struct wide *w, enum site_id s)
{
    int64_t shape[SITE_RANK_MAX], count = 1;
    int rank = site_shape(&w->m->cfg, s, w->n, shape);
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    return count;
}

double *wide_value(struct wide *w, struct site_ref s)
{
    return *slot(w, plan_stage_of(w->m->plan, s), s.id);
}

struct dense *wide_dense(struct wide *w, int32_t layer, enum weight_id id)
{
    return &w->weight[weight_place(&w->m->cfg, layer < 0 ? 0 : layer, id)];
}

/* cosines and sines of the rotary angles: the engine's, which are f32 in Hugging Face's too. */
static void rotary_fill(struct wide *w)
{
    struct err e = {0};
    struct run *r = run_create(w->m, NULL, &(struct run_options){0}, &e);
    int64_t count = wide_count(w, SITE_ROT_COS);
    float *table = malloc((size_t)count * sizeof *table);
    int rc = r ? run_sync(r, run_ids(w->tokens, w->n), NULL, NULL, NULL, &e) : -1;
    static const enum site_id sites[] = {SITE_ROT_COS, SITE_ROT_SIN, SITE_ROT_COS_LOCAL,
                                         SITE_ROT_SIN_LOCAL};
    for (int i = 0; !rc && i < 4 && site_exists(&w->m->cfg, sites[i]); i++) {
        w->rotary[i] = malloc((size_t)count * sizeof(double));
        rc = run_read(r, (struct site_ref){sites[i], SITE_ROOT}, 0, w->n, table, NULL, &e);
        for (int64_t k = 0; !rc && k < count; k++)
            w->rotary[i][k] = (double)table[k];
    }
    assert(!rc);
    free(table);
    run_free(r);
}

static bool is_matrix(enum weight_id id)
{
    return weight_table[id].k != DIM_NONE;
}

/* A weight as it lies in the file, whose rows may lie in groups. */
static struct dense dense_read(const struct kn_view *v, enum weight_id id)
{
    if (!v->ndim)
        return (struct dense){0};
    assert(v->dtype == KN_F32);
    bool groups = v->ndim == (is_matrix(id) ? 3 : 2);
    int64_t size = is_matrix(id) ? v->shape[v->ndim - 1] : 1,
            step = is_matrix(id) ? v->stride[v->ndim - 1] : 0;
    struct dense d = {.n = groups ? v->shape[0] * v->shape[1] : v->shape[0]};
    d.x = malloc((size_t)(d.n * size) * sizeof *d.x);
    for (int64_t n = 0; n < d.n; n++)
        for (int64_t k = 0; k < size; k++)
            d.x[k * d.n + n] = (double)kn_f32(
                v)[(groups ? n / v->shape[1] * v->stride[0] + n % v->shape[1] * v->stride[1]
                           : n * v->stride[0]) +
                   k * step];
    return d;
}

static double edited_value(const struct edit_instr *a, double x, double along, double vec)
{
    double y = a->value == EDIT_NUMBER ? (double)a->number : (double)a->number * vec;
    if (a->value == EDIT_CLAMP)
        return fmin(fmax(x, (double)a->lo), (double)a->hi);
    if (a->value == EDIT_PROJECT_OUT)
        return x - along * vec;
    return a->op == EDIT_SET ? y : a->op == EDIT_ADD ? x + y : a->op == EDIT_SUB ? x - y : x * y;
}

/* One edit of a weight, element by element; a direction lies along the last axis. */
static void weight_edit(struct wide *w, const struct edit_instr *a)
{
    assert(a->value == EDIT_NUMBER || a->value == EDIT_CLAMP || a->value == EDIT_DIR ||
           a->value == EDIT_PROJECT_OUT);
    const struct edit_weight *named = a->weight;
    struct dense *d = wide_dense(w, named->layer, named->id);
    int64_t size[3] = {1, 1, 1}, last = a->rank - 1;
    for (int i = 0; i < a->rank; i++)
        size[3 - a->rank + i] = a->axis[i].n;
    if (!d->x) { /* a bias of zeros */
        d->n = named->shape[0] / named->repeat * (named->rank == 2 ? named->shape[1] : 1);
        d->x = calloc((size_t)d->n, sizeof *d->x);
    }
    for (int64_t i = 0; i < size[0] * size[1]; i++) {
        double along = 0, *at[256];
        assert(size[2] <= 256);
        const double factor = (double)named->form.factor, offset = (double)named->form.offset;
        for (int64_t j = 0; j < size[2]; j++) {
            int64_t pick[3] = {i / size[1], i % size[1], j}, n = named->first_n, k = 0;
            for (int axis = 0; axis < a->rank; axis++) {
                const struct edit_axis *x = &a->axis[axis];
                int64_t index = pick[3 - a->rank + axis];
                index = x->list ? x->list[index] : x->lo + index;
                n += index * named->step_n[axis], k += index * named->step_k[axis];
            }
            at[j] = d->x + k * d->n + n;
            *at[j] = *at[j] * factor + offset; /* as its name shows it */
            along += a->value == EDIT_PROJECT_OUT ? *at[j] * (double)a->vec[j * a->vec_stride[last]]
                                                  : 0;
        }
        for (int64_t j = 0; j < size[2]; j++)
            *at[j] = (edited_value(a, *at[j], along,
                                   a->vec ? (double)a->vec[j * a->vec_stride[last]] : 0) -
                      offset) /
                     factor;
    }
}

struct wide *wide_create(const struct model *m, const int32_t *tokens, int32_t n,
                         const struct edit_program *edits)
{
    struct wide *w = calloc(1, sizeof *w);
    *w = (struct wide){.m = m, .n = n, .tokens = malloc((size_t)n * sizeof *tokens)};
    w->value = calloc((size_t)plan_stages(m->plan) * SITE_COUNT, sizeof *w->value);
    w->weight = calloc(weight_places(&m->cfg), sizeof *w->weight);
    memcpy(w->tokens, tokens, (size_t)n * sizeof *tokens);
    for (int32_t stage = 0; stage < plan_stages(m->plan); stage++) {
        int32_t count;
        const struct step *steps = plan_stage(m->plan, stage, &count);
        for (int32_t i = 0; i < count; i++)
            if (!*slot(w, stage, steps[i].site))
                *slot(w, stage, steps[i].site) = calloc((size_t)wide_count(w, steps[i].site),
                                                        sizeof(double));
    }
    for (int32_t layer = 0; layer < weight_row(&m->cfg, m->cfg.n_layers, 0); layer++)
        for (int id = W_NONE + 1; id < WEIGHT_COUNT; id++)
            if ((layer < m->cfg.n_layers || weight_is_expert((enum weight_id)id)) &&
                !wide_dense(w, layer, (enum weight_id)id)->x)
                *wide_dense(w, layer, (enum weight_id)id) = dense_read(
                    model_weight(m, layer, (enum weight_id)id), (enum weight_id)id);
    for (int32_t i = 0; edits && i < edits->n_weights; i++)
        weight_edit(w, &edits->weights[i]);
    if (m->cfg.pos == POS_ROTARY)
        rotary_fill(w);
    return w;
}

void wide_free(struct wide *w)
{
    for (int32_t i = 0; i < plan_stages(w->m->plan) * SITE_COUNT; i++)
        free(w->value[i]);
    for (size_t i = 0; i < weight_places(&w->m->cfg); i++)
        free(w->weight[i].x);
    for (int i = 0; i < 4; i++)
        free(w->rotary[i]);
    free(w->value), free(w->weight), free(w->tokens), free(w);
}

static void operand_set(struct op *o, int k)
{
    const struct operand *in = &o->s->in[k];
    int32_t stage = in->kind == OPERAND_PREV   ? o->stage - 1
                    : in->kind == OPERAND_ROOT ? 0
                                               : o->stage;
    if (in->kind == OPERAND_WEIGHT)
        o->weight[k] = wide_dense(o->w, o->stage - 1, (enum weight_id)in->id);
    else if (in->kind == OPERAND_COS || in->kind == OPERAND_SIN)
        o->in[k] = o->w->rotary[2 * in->id + (in->kind == OPERAND_SIN)];
    else if (in->kind != OPERAND_NONE && in->kind != OPERAND_EXPERT && in->kind != OPERAND_TOKENS &&
             in->kind != OPERAND_POSITIONS && in->kind != OPERAND_TYPES)
        o->in[k] = *slot(o->w, stage, (enum site_id)in->id);
}

/* The steps of a stage from the first-th on. */
static void stage_run(struct wide *w, int32_t stage, int32_t first, const struct wide_hook *hook)
{
    int32_t count, layer = stage >= 1 && stage <= w->m->cfg.n_layers ? stage - 1 : SITE_ROOT;
    const struct step *steps = plan_stage(w->m->plan, stage, &count);
    for (int32_t i = first; i < count; i++) {
        struct site_ref here = {steps[i].site, layer};
        bool off = steps[i].when == STEP_IF_EDITED &&
                   !(hook && hook->changes(hook->user, (struct site_ref){steps[i].edited, layer}));
        if (off || site_refusal(&w->m->cfg, steps[i].site))
            continue;
        struct op o = {.w = w,
                       .s = &steps[i],
                       .stage = stage,
                       .out = *slot(w, stage, here.id),
                       .count = wide_count(w, here.id)};
        o.width = o.count / w->n;
        for (int k = 0; k < KN_IN_MAX; k++)
            operand_set(&o, k);
        wide_step(&o);
        bool last = true;
        for (int32_t j = i + 1; j < count; j++)
            last &= steps[j].site != here.id ||
                    (steps[j].when == STEP_IF_EDITED &&
                     !(hook &&
                       hook->changes(hook->user, (struct site_ref){steps[j].edited, layer})));
        if (last && hook)
            hook->call(hook->user, here, o.out);
    }
}

void wide_run(struct wide *w, int32_t order, const struct wide_hook *hook)
{
    int32_t from = order / PLAN_STAGE_ORDER;
    for (int32_t stage = from; stage < plan_stages(w->m->plan); stage++)
        stage_run(w, stage, stage == from ? order % PLAN_STAGE_ORDER : 0, hook);
}

static double log_sum_exp(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += exp(x[i]);
    return log(sum);
}

static double term_at(const struct wide *w, const struct metric_term *t, int32_t row, int32_t token,
                      const double *x, const double *base)
{
    int64_t v = w->m->cfg.d_vocab;
    x += row * v;
    if (t->kind == METRIC_LOGIT)
        return x[token];
    if (t->kind != METRIC_KL)
        return x[token] - log_sum_exp(x, v);
    base += row * v;
    double sum = 0, lse = log_sum_exp(x, v), lse_base = log_sum_exp(base, v);
    for (int64_t i = 0; i < v; i++)
        sum += exp(base[i] - lse_base) * (base[i] - lse_base - x[i] + lse);
    return sum;
}

double wide_metric(struct wide *w, struct wide *base, const struct metric *m)
{
    struct site_ref logits = {site_logits(&w->m->cfg), SITE_ROOT};
    const double *x = wide_value(w, logits), *xb = wide_value(base, logits);
    double sum = 0;
    for (int32_t i = 0; i < m->n; i++) {
        const struct metric_term *t = &m->terms[i];
        if (t->kind != METRIC_LOSS)
            sum += t->factor * term_at(w, t, t->pos < 0 ? w->n + t->pos : t->pos, t->token, x, xb);
        for (int32_t row = 0; row < w->n - 1 && t->kind == METRIC_LOSS; row++)
            sum -= t->factor * term_at(w, t, row, w->tokens[row + 1], x, xb) / (w->n - 1);
    }
    return sum;
}
