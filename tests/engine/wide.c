/* wide.c - see wide.h. */
#include "wide.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* W[n, k] at x[k * n_rows + n], a bias as one k: products run along n. */
struct dense {
    double *x; /* NULL: the model has none */
    int64_t n;
};

struct wide {
    const struct model *m;
    int32_t n, *tokens;
    double **value;       /* [stages * SITE_COUNT] */
    struct dense *weight; /* [weight_places] */
    double *rotary[4];    /* cosines and sines of each rotary table */
};

/* A step with its operands, as the ops see them. */
struct op {
    struct wide *w;
    const struct step *s;
    int32_t stage;
    double *out;
    int64_t count, width;        /* elements of `out`, of one of its positions */
    const double *in[KN_IN_MAX]; /* sites, rotary tables */
    const struct dense *weight[KN_IN_MAX];
};

static double **slot(struct wide *w, int32_t stage, enum site_id s)
{
    return &w->value[stage * (int32_t)SITE_COUNT + (int32_t)s];
}

static const struct config *config_of(const struct op *o)
{
    return &o->w->m->cfg;
}

int64_t wide_count(const struct wide *w, enum site_id s)
{
    int64_t shape[SITE_RANK_MAX], count = 1;
    int rank = site_shape(&w->m->cfg, s, w->n, shape);
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    return count;
}

/* Floats of one position of a site. */
static int64_t width(const struct op *o, enum site_id s)
{
    return wide_count(o->w, s) / o->w->n;
}

double *wide_value(struct wide *w, struct site_ref s)
{
    return *slot(w, plan_stage_of(w->m->plan, s), s.id);
}

static struct dense *dense_of(struct wide *w, int32_t layer, enum weight_id id)
{
    return &w->weight[weight_place(&w->m->cfg, layer < 0 ? 0 : layer, id)];
}

static double activation(enum kn_act act, double x)
{
    switch (act) {
    case KN_ACT_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case KN_ACT_GELU_NEW:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case KN_ACT_RELU: return x > 0 ? x : 0;
    case KN_ACT_SILU: return x / (1 + exp(-x));
    case KN_ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    default: return x;
    }
}

static double mean_of(const double *x, int64_t d, bool center)
{
    double sum = 0;
    for (int64_t i = 0; i < d && center; i++)
        sum += x[i];
    return sum / (double)d;
}

static double scale_of(const double *x, int64_t d, const struct kn_param *p)
{
    double mean = mean_of(x, d, p->center), sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (double)d + (double)p->eps);
}

/* A scale for each position, or for each head of one. */
static void do_norm_scale(struct op *o)
{
    int64_t d = wide_count(o->w, (enum site_id)o->s->in[0].id) / o->count;
    for (int64_t r = 0; r < o->count; r++)
        o->out[r] = scale_of(o->in[0] + r * d, d, &o->s->p);
}

static void do_normalize(struct op *o)
{
    int64_t rows = wide_count(o->w, (enum site_id)o->s->in[1].id), d = o->count / rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < d; i++)
            o->out[r * d + i] = (o->in[0][r * d + i] -
                                 mean_of(o->in[0] + r * d, d, o->s->p.center)) /
                                o->in[1][r];
}

static void do_affine(struct op *o)
{
    int64_t d = o->weight[1]->n;
    for (int64_t i = 0; i < o->count; i++)
        o->out[i] = o->in[0][i] * (o->weight[1]->x[i % d] + (double)o->s->p.offset) +
                    (o->weight[2] && o->weight[2]->x ? o->weight[2]->x[i % d] : 0);
}

/* out[n] += x[k] * W[n0 + n, k0 + k] */
static void product_add(double *out, int64_t n, const struct dense *w, int64_t n0, int64_t k0,
                        const double *x, int64_t size)
{
    for (int64_t k = 0; k < size; k++) {
        const double *row = w->x + (k0 + k) * w->n + n0, by = x[k];
        for (int64_t c = 0; c < n; c++)
            out[c] += by * row[c];
    }
}

/* Columns [n0, n0 + n) of x W + b. */
static void product(const struct op *o, double *out, int64_t n0, int64_t n, const double *x,
                    int64_t size)
{
    const struct dense *b = o->weight[2];
    for (int64_t c = 0; c < n; c++)
        out[c] = b && b->x ? b->x[n0 + c] : 0;
    product_add(out, n, o->weight[1], n0, 0, x, size);
}

/* Each slot of a position with the expert that it goes to. */
static void do_linear_routed(struct op *o)
{
    const struct config *cfg = config_of(o);
    int64_t slots = cfg->n_active, n = o->width / slots,
            size = width(o, (enum site_id)o->s->in[0].id);
    const double *index = *slot(o->w, o->stage, SITE_EXPERT_INDICES);
    bool per_slot = o->s->in[0].id == SITE_EXPERT_POST;
    size /= per_slot ? slots : 1;
    for (int64_t i = 0; i < o->w->n * slots; i++) {
        int32_t row = weight_row(cfg, o->stage - 1, (int32_t)index[i]);
        o->weight[1] = dense_of(o->w, row, (enum weight_id)o->s->in[1].id);
        o->weight[2] = dense_of(o->w, row, (enum weight_id)o->s->in[2].id);
        product(o, o->out + i * n, 0, n, o->in[0] + (per_slot ? i : i / slots) * size, size);
    }
}

/* How many of a row come before element k. */
static int64_t rank_of(const double *x, int64_t n, int64_t k)
{
    int64_t rank = 0;
    for (int64_t i = 0; i < n; i++)
        rank += x[i] > x[k] || (x[i] == x[k] && i < k);
    return rank;
}

static void do_route(struct op *o)
{
    int64_t n = o->width, top = o->s->p.top ? o->s->p.top : n;
    for (int64_t r = 0; r < o->w->n; r++) {
        const double *x = o->in[0] + r * n;
        double most = -INFINITY, sum = 0;
        for (int64_t k = 0; k < n; k++)
            most = fmax(most, x[k]);
        for (int64_t k = 0; k < n; k++)
            sum += o->out[r * n + k] = rank_of(x, n, k) < top ? exp(x[k] - most) : 0;
        for (int64_t k = 0; k < n; k++)
            o->out[r * n + k] /= sum;
    }
}

/* The greatest of a row, or where they are. */
static void do_top(struct op *o)
{
    int64_t n = width(o, (enum site_id)o->s->in[0].id), top = o->width;
    for (int64_t r = 0; r < o->w->n; r++) {
        const double *x = o->in[0] + r * n;
        double *out = o->out + r * top, sum = 0;
        for (int64_t k = 0; k < n; k++) {
            int64_t rank = rank_of(x, n, k);
            if (rank >= top)
                continue;
            out[rank] = o->s->op == KN_OP_TOP_INDEX ? (double)k : x[k];
            sum += x[k];
        }
        for (int64_t k = 0; k < top && o->s->p.share; k++)
            out[k] /= sum;
    }
}

static void do_blend(struct op *o)
{
    int64_t slots = config_of(o)->n_active, d = o->width;
    for (int64_t i = 0; i < o->count; i++) {
        o->out[i] = 0;
        for (int64_t s = 0; s < slots; s++)
            o->out[i] += o->in[0][i / d * slots + s] * o->in[1][(i / d * slots + s) * d + i % d];
    }
}

static void do_linear(struct op *o)
{
    int64_t size = width(o, (enum site_id)o->s->in[0].id);
    for (int64_t r = 0; r < o->w->n; r++)
        product(o, o->out + r * o->width, 0, o->width, o->in[0] + r * size, size);
}

/* Each head from a residual stream of its own: ln1, then that head's part of the projection. */
static void do_linear_per_head(struct op *o)
{
    const struct config *cfg = config_of(o);
    const struct dense *gain = dense_of(o->w, o->stage - 1, W_LN1),
                       *shift = dense_of(o->w, o->stage - 1, B_LN1);
    const struct kn_param norm = {.eps = (float)cfg->norm_eps, .center = cfg->norm_center};
    int64_t d = cfg->d_model, heads = o->width / cfg->d_head;
    double *normed = malloc((size_t)d * sizeof *normed);
    bool before = config_norm_before(cfg);
    for (int64_t i = 0; i < o->w->n * heads; i++) {
        const double *x = o->in[0] + i * d;
        double mean = mean_of(x, d, norm.center), scale = scale_of(x, d, &norm);
        for (int64_t k = 0; k < d; k++)
            normed[k] = !before ? x[k]
                                : (x[k] - mean) / scale * (gain->x[k] + cfg->norm_offset) +
                                      (shift->x ? shift->x[k] : 0);
        product(o, o->out + i * cfg->d_head, i % heads * cfg->d_head, cfg->d_head, normed, d);
    }
    free(normed);
}

static void do_rope(struct op *o)
{
    int64_t d = config_of(o)->d_head, n = o->s->p.n_rot, heads = o->width / d;
    for (int64_t i = 0; i < o->w->n * heads; i++)
        for (int64_t k = 0; k < d; k++) {
            const double *x = o->in[0] + i * d;
            int64_t t = i / heads * n + k, apart = o->s->p.pairs ? 1 : n / 2;
            bool first = o->s->p.pairs ? k % 2 == 0 : k < n / 2;
            o->out[i * d + k] = k >= n ? x[k]
                                       : x[k] * o->in[1][t] +
                                             (first ? -x[k + apart] : x[k - apart]) * o->in[2][t];
        }
}

static void do_attn_scores(struct op *o)
{
    const struct config *cfg = config_of(o);
    int64_t n = o->w->n, d = cfg->d_head, window = o->s->p.window;
    for (int64_t h = 0; h < cfg->n_heads; h++)
        for (int64_t i = 0; i < n * n; i++) {
            int64_t dest = i / n, src = i % n, g = h / (cfg->n_heads / cfg->n_kv_heads);
            double sum = 0;
            for (int64_t k = 0; k < d; k++)
                sum += o->in[0][(dest * cfg->n_heads + h) * d + k] *
                       o->in[1][(src * cfg->n_kv_heads + g) * d + k];
            double score = sum * (double)o->s->p.scale, cap = (double)o->s->p.softcap;
            score = cap > 0 ? cap * tanh(score / cap) : score;
            if (o->s->p.alibi)
                score += (double)kn_alibi_slope(h, cfg->n_heads) * (double)(src - dest);
            bool hidden = (src > dest && !o->s->p.full) || (window && dest - src >= window);
            o->out[h * n * n + i] = hidden ? -INFINITY : score;
        }
}

static void do_softmax(struct op *o)
{
    int64_t n = o->w->n;
    for (int64_t r = 0; r < config_of(o)->n_heads * n; r++) {
        const double *x = o->in[0] + r * n;
        double most = o->weight[1] ? o->weight[1]->x[r / n] : -INFINITY, sum;
        for (int64_t k = 0; k < n; k++)
            most = fmax(most, x[k]);
        sum = o->weight[1] ? exp(o->weight[1]->x[r / n] - most) : 0;
        for (int64_t k = 0; k < n; k++)
            sum += o->out[r * n + k] = exp(x[k] - most);
        for (int64_t k = 0; k < n; k++)
            o->out[r * n + k] /= sum;
    }
}

static void do_attn_mix(struct op *o)
{
    const struct config *cfg = config_of(o);
    int64_t n = o->w->n, d = cfg->d_head;
    memset(o->out, 0, (size_t)(n * cfg->n_heads * d) * sizeof *o->out);
    for (int64_t h = 0; h < cfg->n_heads; h++)
        for (int64_t i = 0; i < n * n; i++)
            for (int64_t k = 0, g = h / (cfg->n_heads / cfg->n_kv_heads); k < d; k++)
                o->out[(i / n * cfg->n_heads + h) * d +
                       k] += o->in[0][h * n * n + i] *
                             o->in[1][(i % n * cfg->n_kv_heads + g) * d + k];
}

/* What one head adds to the residual stream. */
static void head_share(const struct op *o, double *out, const double *z, const struct dense *weight,
                       int64_t i)
{
    int64_t d = config_of(o)->d_model, size = config_of(o)->d_head;
    memset(out, 0, (size_t)d * sizeof *out);
    product_add(out, d, weight, 0, i % config_of(o)->n_heads * size, z + i * size, size);
}

static void do_head_result(struct op *o)
{
    int64_t d = config_of(o)->d_model;
    for (int64_t i = 0; i < o->w->n * config_of(o)->n_heads; i++)
        head_share(o, o->out + i * d, o->in[0], o->weight[1], i);
}

static void do_result_patch(struct op *o)
{
    int64_t d = config_of(o)->d_model, heads = config_of(o)->n_heads;
    double *share = malloc((size_t)d * sizeof *share);
    for (int64_t i = 0; i < o->w->n * heads; i++) {
        head_share(o, share, o->in[1], o->weight[2], i);
        for (int64_t k = 0; k < d; k++)
            o->out[i / heads * d + k] += o->in[0][i * d + k] - share[k];
    }
    free(share);
}

/* A copy, perhaps repeated along a head axis. */
static void do_copy(struct op *o)
{
    int64_t d = o->width, from = o->s->in[0].kind == OPERAND_REPEAT ? config_of(o)->d_model : d;
    for (int64_t i = 0; i < o->count; i++)
        o->out[i] = o->in[0][i / d * from + i % from];
}

static void do_pointwise(struct op *o)
{
    double limit = o->s->p.limit > 0 ? (double)o->s->p.limit : (double)INFINITY,
           offset = (double)o->s->p.offset;
    for (int64_t i = 0; i < o->count; i++)
        o->out[i] = o->s->op == KN_OP_ADD   ? o->in[0][i] + o->in[1][i]
                    : o->s->op == KN_OP_ACT ? activation(o->s->p.act, o->in[0][i])
                                            : activation(o->s->p.act, fmin(o->in[0][i], limit)) *
                                                  (fmax(fmin(o->in[1][i], limit), -limit) + offset);
}

static void do_softcap(struct op *o)
{
    double cap = (double)o->s->p.softcap;
    for (int64_t i = 0; i < o->count; i++)
        o->out[i] = cap * tanh(o->in[0][i] / cap);
}

static void do_embed(struct op *o)
{
    int64_t d = config_of(o)->d_model;
    enum operand_kind from = o->s->in[0].kind;
    for (int64_t i = 0, type = 0; i < o->count; i += d) {
        int32_t id = o->w->tokens[i / d];
        int64_t row = from == OPERAND_TOKENS  ? id
                      : from == OPERAND_TYPES ? type
                                              : i / d + config_of(o)->pos_row0;
        for (int64_t j = 0; j < d; j++)
            o->out[i + j] = o->weight[1]->x[j * o->weight[1]->n + row] * (double)o->s->p.scale;
        type += id == config_of(o)->sep_id && type + 1 < config_of(o)->n_types;
    }
}

static void do_step(struct op *o)
{
    switch (o->s->op) {
    case KN_OP_EMBED: do_embed(o); break;
    case KN_OP_COPY: do_copy(o); break;
    case KN_OP_ADD:
    case KN_OP_ACT:
    case KN_OP_GATE: do_pointwise(o); break;
    case KN_OP_SOFTCAP: do_softcap(o); break;
    case KN_OP_NORM_SCALE: do_norm_scale(o); break;
    case KN_OP_NORMALIZE: do_normalize(o); break;
    case KN_OP_AFFINE: do_affine(o); break;
    case KN_OP_LINEAR:
        (o->s->per_head         ? do_linear_per_head
         : step_is_routed(o->s) ? do_linear_routed
                                : do_linear)(o);
        break;
    case KN_OP_ROUTE: do_route(o); break;
    case KN_OP_TOP_INDEX:
    case KN_OP_TOP_VALUE: do_top(o); break;
    case KN_OP_BLEND: do_blend(o); break;
    case KN_OP_ROPE: do_rope(o); break;
    case KN_OP_ATTN_SCORES: do_attn_scores(o); break;
    case KN_OP_SOFTMAX: do_softmax(o); break;
    case KN_OP_ATTN_MIX: do_attn_mix(o); break;
    case KN_OP_HEAD_RESULT: do_head_result(o); break;
    case KN_OP_RESULT_PATCH: do_result_patch(o); break;
    default: assert(false && "an op that no plan has had yet");
    }
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
    struct dense *d = dense_of(w, named->layer, named->id);
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
                !dense_of(w, layer, (enum weight_id)id)->x)
                *dense_of(w, layer, (enum weight_id)id) = dense_read(
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
        o->weight[k] = dense_of(o->w, o->stage - 1, (enum weight_id)in->id);
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
        do_step(&o);
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
