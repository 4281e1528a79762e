/* lower_attn.c - attn_scores, softmax, attn_mix, attention as the three of them, and their products
 * with gradients. */
#include "lower.h"

#include <stdlib.h>

enum {
    HEAD_MAX = 1024,          /* elements of a head: a query lies in shared memory */
    ATTENTION_SOURCES = 2048, /* whose scores lie there, too */
    SQUARE_BYTES = 256 << 20  /* of scores at a time, unless a row of them is more */
};

struct attn {
    int64_t heads, rows, sources, dh;
    int64_t share; /* query heads per key/value head */
};

/* `square` is [heads, rows, sources], `query` [rows, heads, dh], `source` [sources, kv heads, dh].
 */
static bool attn_take(struct attn *j, const struct kn_call *call, const struct kn_view *square,
                      const struct kn_view *query, const struct kn_view *source)
{
    if (!call_is(query, KN_F32, 3) || !call_is(source, KN_F32, 3))
        return false;
    *j = (struct attn){query->shape[1], query->shape[0], source->shape[0], query->shape[2], 0};
    if (!gpu_is3(square, j->heads, j->rows, j->sources) || source->shape[2] != j->dh || j->dh < 1 ||
        j->dh > HEAD_MAX || source->shape[1] < 1 || j->heads % source->shape[1] != 0 ||
        call->p.dest0 < 0 || call->p.src0 < 0)
        return false;
    j->share = j->heads / source->shape[1];
    return true;
}

/* The end of what dest row 0 sees, and its beginning, which rises with the row. */
static i32 end_of(const struct kn_param *p, int64_t sources)
{
    return p->full ? gpu_i32(sources) : p->dest0 + 1 - p->src0;
}

static i32 first_of(const struct kn_param *p)
{
    return p->window > 0 ? p->dest0 + 1 - p->src0 - p->window : -(1 << 30);
}

/* Slopes of the heads, uploaded when their number changes. */
static enum kn_status slopes_make(struct gpu *g, int64_t heads)
{
    const struct kn_backend_type *type = g->base.type;
    size_t bytes = (size_t)heads * sizeof(float);
    if (g->slope_heads == heads)
        return KN_OK;
    type->release(&g->base, g->slopes, (size_t)g->slope_heads * sizeof(float));
    g->slope_heads = 0;
    g->slopes = type->alloc(&g->base, bytes);
    float *host = malloc(bytes);
    enum kn_status st = g->slopes && host ? KN_OK : KN_OUT_OF_MEMORY;
    for (int64_t h = 0; h < heads && !st; h++)
        host[h] = kn_alibi_slope(h, heads);
    st = st ? st : g->upload(g, g->slopes, host, bytes);
    g->slope_heads = st ? 0 : heads;
    free(host);
    return st;
}

static enum kn_status scores_run(struct gpu *g, const struct attn *j, const struct kn_param *p,
                                 const struct kn_view *y, const struct kn_view *q,
                                 const struct kn_view *k)
{
    attn_scores_params s = {.y = y->data,
                            .q = q->data,
                            .k = k->data,
                            .y0 = y->stride[0],
                            .y1 = y->stride[1],
                            .rows = gpu_i32(j->rows),
                            .sources = gpu_i32(j->sources),
                            .dh = gpu_i32(j->dh),
                            .q0 = gpu_i32(q->stride[0]),
                            .q1 = gpu_i32(q->stride[1]),
                            .k0 = gpu_i32(k->stride[0]),
                            .k1 = gpu_i32(k->stride[1]),
                            .share = gpu_i32(j->share),
                            .first0 = first_of(p),
                            .end0 = end_of(p, j->sources),
                            .scale = p->scale,
                            .cap = p->softcap};
    enum kn_status st = GPU_LAUNCH(g, attn_scores, s, j->rows, j->heads);
    if (st || p->alibi == 0)
        return st;
    st = slopes_make(g, j->heads);
    attn_bias_params b = {.y = y->data,
                          .slopes = (char *)g->slopes,
                          .y0 = y->stride[0],
                          .y1 = y->stride[1],
                          .rows = gpu_i32(j->rows),
                          .sources = gpu_i32(j->sources),
                          .first0 = first_of(p),
                          .end0 = end_of(p, j->sources),
                          .dest0 = p->dest0,
                          .src0 = p->src0,
                          .bf16 = p->alibi_bf16,
                          .alibi = p->alibi};
    return st ? st : GPU_LAUNCH(g, attn_bias, b, j->rows, j->heads);
}

enum kn_status gpu_ATTN_SCORES(struct gpu *g, const struct kn_call *call)
{
    struct attn j;
    if (!attn_take(&j, call, &call->out[0], &call->in[0], &call->in[1]))
        return KN_BAD_CALL;
    return scores_run(g, &j, &call->p, &call->out[0], &call->in[0], &call->in[1]);
}

static enum kn_status softmax_run(struct gpu *g, const struct kn_param *p, const struct kn_view *y,
                                  const struct kn_view *x, const struct kn_view *sinks)
{
    softmax_params s = {.y = y->data,
                        .x = x->data,
                        .sink = sinks->data,
                        .y0 = y->stride[0],
                        .y1 = y->stride[1],
                        .x0 = x->stride[0],
                        .x1 = x->stride[1],
                        .rows = gpu_i32(x->shape[1]),
                        .sources = gpu_i32(x->shape[2]),
                        .end0 = end_of(p, x->shape[2]),
                        .sink_type = gpu_type(sinks)};
    return GPU_LAUNCH(g, softmax, s, x->shape[1], x->shape[0]);
}

enum kn_status gpu_SOFTMAX(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *y = &call->out[0], *x = &call->in[0];
    if (!call_is(x, KN_F32, 3) || !gpu_is3(y, x->shape[0], x->shape[1], x->shape[2]) ||
        call->p.dest0 < 0 || call->p.src0 != 0 || !call_is_sinks(&call->in[1], x->shape[0]))
        return KN_BAD_CALL;
    return softmax_run(g, &call->p, y, x, &call->in[1]);
}

static enum kn_status mix_run(struct gpu *g, const struct attn *j, const struct kn_param *p,
                              const struct kn_view *y, const struct kn_view *pattern,
                              const struct kn_view *v)
{
    attn_mix_params m = {.y = y->data,
                         .p = pattern->data,
                         .v = v->data,
                         .p0 = pattern->stride[0],
                         .p1 = pattern->stride[1],
                         .rows = gpu_i32(j->rows),
                         .sources = gpu_i32(j->sources),
                         .dh = gpu_i32(j->dh),
                         .y0 = gpu_i32(y->stride[0]),
                         .y1 = gpu_i32(y->stride[1]),
                         .v0 = gpu_i32(v->stride[0]),
                         .v1 = gpu_i32(v->stride[1]),
                         .share = gpu_i32(j->share),
                         .end0 = end_of(p, j->sources),
                         .go_on = p->accumulate};
    return GPU_LAUNCH(g, attn_mix, m, j->rows, j->heads);
}

enum kn_status gpu_ATTN_MIX(struct gpu *g, const struct kn_call *call)
{
    struct attn j;
    if (!attn_take(&j, call, &call->in[0], &call->out[0], &call->in[1]))
        return KN_BAD_CALL;
    return mix_run(g, &j, &call->p, &call->out[0], &call->in[0], &call->in[1]);
}

/* Rows [lo, hi) of a view whose rows are axis 0, as call_resolve has it. */
static struct kn_view rows_of(const struct kn_view *v, int64_t lo, int64_t hi)
{
    struct kn_view part = kn_slice(*v, 0, lo, hi);
    part.data = kn_at(&part, 0), part.first = 0;
    return part;
}

/* How many rows of scores are made at a time. */
static int64_t rows_at_once(const struct attn *j)
{
    int64_t row = j->heads * j->sources * 4, n = SQUARE_BYTES / (row ? row : 1);
    return n < 1 ? 1 : n < j->rows ? n : j->rows;
}

/* Few sources: one kernel. */
static enum kn_status attention_run(struct gpu *g, const struct attn *j, const struct kn_call *call)
{
    const struct kn_view *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *y = call->out;
    attention_params p = {.y = y->data,
                          .q = q->data,
                          .k = k->data,
                          .v = v->data,
                          .sink = call->in[3].data,
                          .rows = gpu_i32(j->rows),
                          .sources = gpu_i32(j->sources),
                          .dh = gpu_i32(j->dh),
                          .y0 = gpu_i32(y->stride[0]),
                          .y1 = gpu_i32(y->stride[1]),
                          .q0 = gpu_i32(q->stride[0]),
                          .q1 = gpu_i32(q->stride[1]),
                          .k0 = gpu_i32(k->stride[0]),
                          .k1 = gpu_i32(k->stride[1]),
                          .v0 = gpu_i32(v->stride[0]),
                          .v1 = gpu_i32(v->stride[1]),
                          .share = gpu_i32(j->share),
                          .first0 = first_of(&call->p),
                          .end0 = end_of(&call->p, j->sources),
                          .sink_type = gpu_type(&call->in[3]),
                          .scale = call->p.scale,
                          .cap = call->p.softcap};
    return GPU_LAUNCH(g, attention, p, j->rows, j->heads);
}

enum kn_status gpu_ATTENTION(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *out = call->out;
    int64_t sources = call_is(k, KN_F32, 3) ? k->shape[0] : 0;
    struct kn_view square = kn_view3(NULL, KN_F32, q->shape[1], q->shape[0], sources);
    struct attn j, mix;
    if (!attn_take(&j, call, &square, q, k) || !attn_take(&mix, call, &square, out, v) ||
        mix.share != j.share || call->p.src0 != 0 || call->p.accumulate ||
        !call_is_sinks(&call->in[3], j.heads) || mix.dh != j.dh)
        return KN_BAD_CALL;
    if (sources <= ATTENTION_SOURCES && call->p.alibi == 0)
        return attention_run(g, &j, call);
    int64_t all = j.rows, step = rows_at_once(&j);
    square.data = gpu_scratch(g, GPU_SCRATCH_SQUARE, (size_t)(step * j.heads * sources * 4));
    enum kn_status st = square.data || !sources ? KN_OK : KN_OUT_OF_MEMORY;
    struct kn_param p = call->p;
    for (int64_t lo = 0; lo < all && !st; lo += step) {
        int64_t hi = lo + step < all ? lo + step : all;
        struct kn_view y = rows_of(out, lo, hi), x = rows_of(q, lo, hi);
        square = kn_view3(square.data, KN_F32, j.heads, hi - lo, sources);
        j.rows = hi - lo, p.dest0 = call->p.dest0 + gpu_i32(lo);
        st = scores_run(g, &j, &p, &square, &x, k);
        st = st ? st : softmax_run(g, &p, &square, &square, &call->in[3]);
        st = st ? st : mix_run(g, &j, &p, &y, &square, v);
    }
    return st;
}

/* ---- backward ---- */

enum kn_status gpu_SOFTMAX_VJP(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *x = &call->in[1], *dy = &call->in[0], *dx = &call->out[0],
                         *sinks = &call->in[2];
    if (!call_is(x, KN_F32, 3) || call->p.src0 != 0 || call->p.dest0 < 0 ||
        !gpu_is3(dy, x->shape[0], x->shape[1], x->shape[2]) ||
        !gpu_is3(dx, x->shape[0], x->shape[1], x->shape[2]) || !call_is_sinks(sinks, x->shape[0]))
        return KN_BAD_CALL;
    softmax_vjp_params p = {.dx = dx->data,
                            .dy = dy->data,
                            .x = x->data,
                            .sink = sinks->data,
                            .dx0 = dx->stride[0],
                            .dx1 = dx->stride[1],
                            .dy0 = dy->stride[0],
                            .dy1 = dy->stride[1],
                            .x0 = x->stride[0],
                            .x1 = x->stride[1],
                            .rows = gpu_i32(x->shape[1]),
                            .sources = gpu_i32(x->shape[2]),
                            .end0 = end_of(&call->p, x->shape[2]),
                            .sink_type = gpu_type(sinks)};
    return GPU_LAUNCH(g, softmax_vjp, p, x->shape[1], x->shape[0]);
}

/* Rows [lo, hi) of dest: factors first, then what they add to dq and to dk. */
static enum kn_status scores_back(struct gpu *g, const struct kn_call *call, const struct attn *j,
                                  int64_t lo, char *f)
{
    const struct kn_view *ds = &call->in[0], *q = &call->in[1], *k = &call->in[2];
    const struct kn_view *dq = &call->out[0], *dk = &call->out[1];
    struct kn_param at = call->p;
    at.dest0 += gpu_i32(lo), at.src0 = 0;
    i32 first0 = first_of(&at), end0 = end_of(&at, j->sources);
    char *q_lo = (char *)q->data + lo * q->stride[0] * 4;
    scores_slope_params s = {.y = f,
                             .ds = (char *)ds->data + lo * ds->stride[1] * 4,
                             .q = q_lo,
                             .k = k->data,
                             .ds0 = ds->stride[0],
                             .ds1 = ds->stride[1],
                             .rows = gpu_i32(j->rows),
                             .sources = gpu_i32(j->sources),
                             .dh = gpu_i32(j->dh),
                             .q0 = gpu_i32(q->stride[0]),
                             .q1 = gpu_i32(q->stride[1]),
                             .k0 = gpu_i32(k->stride[0]),
                             .k1 = gpu_i32(k->stride[1]),
                             .share = gpu_i32(j->share),
                             .first0 = first0,
                             .end0 = end0,
                             .scale = at.scale,
                             .cap = at.softcap};
    scores_vjp_params p = {.dx = (char *)dq->data + lo * dq->stride[0] * 4,
                           .f = f,
                           .other = k->data,
                           .dx0 = gpu_i32(dq->stride[0]),
                           .dx1 = gpu_i32(dq->stride[1]),
                           .o0 = gpu_i32(k->stride[0]),
                           .o1 = gpu_i32(k->stride[1]),
                           .rows = gpu_i32(j->rows),
                           .sources = gpu_i32(j->sources),
                           .dh = gpu_i32(j->dh),
                           .share = gpu_i32(j->share),
                           .first0 = first0,
                           .end0 = end0};
    enum kn_status st = GPU_LAUNCH(g, scores_slope, s, j->rows, j->heads);
    st = st ? st : GPU_LAUNCH(g, scores_vjp_q, p, j->rows, j->heads);
    p.dx = dk->data, p.dx0 = gpu_i32(dk->stride[0]), p.dx1 = gpu_i32(dk->stride[1]);
    p.other = q_lo, p.o0 = gpu_i32(q->stride[0]), p.o1 = gpu_i32(q->stride[1]);
    return st ? st : GPU_LAUNCH(g, scores_vjp_k, p, j->sources, j->heads / j->share);
}

enum kn_status gpu_ATTN_SCORES_VJP(struct gpu *g, const struct kn_call *call)
{
    struct attn j;
    if (!attn_take(&j, call, &call->in[0], &call->in[1], &call->in[2]) ||
        !gpu_is3(&call->out[0], j.rows, j.heads, j.dh) ||
        !gpu_is3(&call->out[1], j.sources, j.heads / j.share, j.dh))
        return KN_BAD_CALL;
    int64_t all = j.rows, step = rows_at_once(&j);
    char *f = gpu_scratch(g, GPU_SCRATCH_SQUARE, (size_t)(step * j.heads * j.sources * 4));
    enum kn_status st = f || !j.sources ? KN_OK : KN_OUT_OF_MEMORY;
    for (int64_t lo = 0; lo < all && !st; lo += step) {
        j.rows = lo + step < all ? step : all - lo;
        st = scores_back(g, call, &j, lo, f);
    }
    return st;
}

enum kn_status gpu_ATTN_MIX_VJP(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *dz = &call->in[0], *pattern = &call->in[1], *v = &call->in[2];
    const struct kn_view *dp = &call->out[0], *dv = &call->out[1];
    struct attn j;
    if (!attn_take(&j, call, pattern, dz, v) || !gpu_is3(dp, j.heads, j.rows, j.sources) ||
        !gpu_is3(dv, j.sources, j.heads / j.share, j.dh))
        return KN_BAD_CALL;
    mix_vjp_p_params a = {.dp = dp->data,
                          .dz = dz->data,
                          .v = v->data,
                          .dp0 = dp->stride[0],
                          .dp1 = dp->stride[1],
                          .dz0 = gpu_i32(dz->stride[0]),
                          .dz1 = gpu_i32(dz->stride[1]),
                          .v0 = gpu_i32(v->stride[0]),
                          .v1 = gpu_i32(v->stride[1]),
                          .rows = gpu_i32(j.rows),
                          .sources = gpu_i32(j.sources),
                          .dh = gpu_i32(j.dh),
                          .share = gpu_i32(j.share)};
    mix_vjp_v_params b = {.dv = dv->data,
                          .dz = dz->data,
                          .p = pattern->data,
                          .p0 = pattern->stride[0],
                          .p1 = pattern->stride[1],
                          .dv0 = gpu_i32(dv->stride[0]),
                          .dv1 = gpu_i32(dv->stride[1]),
                          .dz0 = gpu_i32(dz->stride[0]),
                          .dz1 = gpu_i32(dz->stride[1]),
                          .rows = gpu_i32(j.rows),
                          .sources = gpu_i32(j.sources),
                          .dh = gpu_i32(j.dh),
                          .share = gpu_i32(j.share),
                          .end0 = end_of(&call->p, j.sources)};
    enum kn_status st = GPU_LAUNCH(g, mix_vjp_p, a, j.rows, j.heads);
    return st ? st : GPU_LAUNCH(g, mix_vjp_v, b, j.sources, j.heads / j.share);
}
