/* wide_ops.c - every operation of a plan once more, plainly and in double precision (see wide.h):
 * one short function each, nothing shared with the kernels. */
#include "wide_parts.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct config *config_of(const struct op *o)
{
    return &o->w->m->cfg;
}

/* Floats of one position of a site. */
static int64_t width(const struct op *o, enum site_id s)
{
    return wide_count(o->w, s) / o->w->n;
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
    const double *index = wide_value(o->w, (struct site_ref){SITE_EXPERT_INDICES, o->stage - 1});
    bool per_slot = o->s->in[0].id == SITE_EXPERT_POST;
    size /= per_slot ? slots : 1;
    for (int64_t i = 0; i < o->w->n * slots; i++) {
        int32_t row = weight_row(cfg, o->stage - 1, (int32_t)index[i]);
        o->weight[1] = wide_dense(o->w, row, (enum weight_id)o->s->in[1].id);
        o->weight[2] = wide_dense(o->w, row, (enum weight_id)o->s->in[2].id);
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
    const struct dense *gain = wide_dense(o->w, o->stage - 1, W_LN1),
                       *shift = wide_dense(o->w, o->stage - 1, B_LN1);
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

/* To eight significant bits. */
static double bf16(double x)
{
    int exponent;
    double part = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(part, 8)), exponent - 8);
}

static double alibi_bias(const struct op *o, int64_t head, int64_t position)
{
    double slope = (double)kn_alibi_slope(head, config_of(o)->n_heads), at = (double)position;
    return o->s->p.alibi_bf16 ? bf16(bf16(slope) * bf16(at)) : slope * at;
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
            if (o->s->p.alibi != 0)
                score += (double)o->s->p.alibi * (alibi_bias(o, h, src) - alibi_bias(o, h, dest));
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

static void do_clip(struct op *o)
{
    double limit = (double)o->s->p.limit;
    for (int64_t i = 0; i < o->count; i++)
        o->out[i] = fmax(fmin(o->in[0][i], limit), -limit);
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

void wide_step(struct op *o)
{
    switch (o->s->op) {
    case KN_OP_EMBED: do_embed(o); break;
    case KN_OP_COPY: do_copy(o); break;
    case KN_OP_ADD:
    case KN_OP_ACT:
    case KN_OP_GATE: do_pointwise(o); break;
    case KN_OP_SOFTCAP: do_softcap(o); break;
    case KN_OP_CLIP: do_clip(o); break;
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
