/* vjp_attn.c - vector-Jacobian products of softmax, attn_scores and attn_mix.
 *
 * Work is handed out by key/value head: then a unit owns every output that it adds to. */
#include "cpu.h"

#include <math.h>

struct attn_vjp {
    const struct cpu *c;
    const struct kn_call *call;
    int64_t heads, rows, sources, dh, share;
};

static float *at(const struct kn_view *v, int64_t i, int64_t j)
{
    return (float *)v->data + i * v->stride[0] + j * v->stride[1];
}

static bool is_shape3(const struct kn_view *v, int64_t a, int64_t b, int64_t c)
{
    return call_is(v, KN_F32, 3) && v->shape[0] == a && v->shape[1] == b && v->shape[2] == c;
}

static int64_t end_visible(const struct attn_vjp *j, int64_t d)
{
    int64_t end = (int64_t)j->call->p.dest0 + d + 1;
    return j->call->p.full || end > j->sources ? j->sources : end;
}

static int64_t first_visible(const struct attn_vjp *j, int64_t d)
{
    int64_t first = (int64_t)j->call->p.dest0 + d + 1 - j->call->p.window;
    return j->call->p.window <= 0 || first < 0 ? 0 : first;
}

/* dx += p (dy - sum(p dy)), p = softmax(x) in `p`, sums in double. */
static void softmax_row(float *dx, const float *dy, const float *p, int64_t n)
{
    double dot = 0;
    for (int64_t s = 0; s < n; s++)
        dot += p[s] > 0 ? (double)p[s] * (double)dy[s] : 0;
    for (int64_t s = 0; s < n; s++)
        dx[s] += p[s] > 0 ? p[s] * (float)((double)dy[s] - dot) : 0;
}

static void softmax_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct attn_vjp *j = ctx;
    bool sinks = !call_absent(&j->call->in[2]);
    float *x = scratch;
    for (int64_t u = first; u < end; u++) {
        int64_t h = u / j->rows, d = u % j->rows, n = end_visible(j, d);
        const float *dy = at(&j->call->in[0], h, d), *from = at(&j->call->in[1], h, d);
        float most = -INFINITY;
        for (int64_t s = 0; s < n; s++)
            most = fmaxf(most, x[s] = from[s]);
        if (most == -INFINITY)
            continue; /* the row is 0 whatever moves */
        if (sinks)
            x[n] = kn_load(&j->call->in[2], h);
        j->c->isa->softmax(x, x, n + sinks);
        softmax_row(at(&j->call->out[0], h, d), dy, x, n);
    }
}

enum kn_status cpu_SOFTMAX_VJP(struct cpu *c, const struct kn_call *call)
{
    enum { EXP_COST = 8 };
    const struct kn_view *x = &call->in[1];
    struct attn_vjp j = {.c = c, .call = call};
    if (!call_is(x, KN_F32, 3) || call->p.src0 != 0 || call->p.dest0 < 0 ||
        !is_shape3(&call->in[0], x->shape[0], x->shape[1], x->shape[2]) ||
        !is_shape3(&call->out[0], x->shape[0], x->shape[1], x->shape[2]) ||
        !call_is_sinks(&call->in[2], x->shape[0]))
        return KN_BAD_CALL;
    j.heads = x->shape[0], j.rows = x->shape[1], j.sources = x->shape[2];
    if (!pool_reserve(c->pool, (size_t)(j.sources + 1) * sizeof(float)))
        return KN_OUT_OF_MEMORY;
    return cpu_each(c, j.heads * j.rows, j.sources * EXP_COST, softmax_units, &j);
}

/* square [H,r,S], query [r,H,dh], source [S,Hkv,dh], and outputs of the shapes given */
static bool attn_vjp(struct attn_vjp *j, struct cpu *c, const struct kn_call *call,
                     const struct kn_view *square, const struct kn_view *query,
                     const struct kn_view *source)
{
    if (!call_is(query, KN_F32, 3) || !call_is(source, KN_F32, 3))
        return false;
    *j = (struct attn_vjp){
        c, call, query->shape[1], query->shape[0], source->shape[0], query->shape[2], 0};
    if (source->shape[1] < 1 || j->heads % source->shape[1] || source->shape[2] != j->dh ||
        call->p.dest0 < 0)
        return false;
    j->share = j->heads / source->shape[1];
    return is_shape3(square, j->heads, j->rows, j->sources) &&
           is_shape3(&call->out[1], j->sources, j->heads / j->share, j->dh);
}

static void add_scaled(float *out, const float *x, float f, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        out[k] += f * x[k];
}

/* Of cap * tanh(x/cap), x = q.k * scale. */
static double cap_slope(const struct kn_call *c, const float *q, const float *k, int64_t n)
{
    double dot = 0;
    for (int64_t i = 0; i < n; i++)
        dot += (double)q[i] * (double)k[i];
    double t = tanh(dot * (double)c->p.scale / (double)c->p.softcap);
    return 1 - t * t;
}

static void scores_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct attn_vjp *j = ctx;
    const struct kn_call *c = j->call;
    for (int64_t g = first; g < end; g++)
        for (int64_t h = g * j->share; h < (g + 1) * j->share; h++)
            for (int64_t d = 0; d < j->rows; d++) {
                const float *ds = at(&c->in[0], h, d), *q = at(&c->in[1], d, h);
                float *dq = at(&c->out[0], d, h);
                for (int64_t s = first_visible(j, d); s < end_visible(j, d); s++) {
                    float f = ds[s] * c->p.scale;
                    if (c->p.softcap > 0 && f != 0)
                        f = (float)((double)f * cap_slope(c, q, at(&c->in[2], s, g), j->dh));
                    if (f == 0) /* what lies there cannot matter */
                        continue;
                    add_scaled(dq, at(&c->in[2], s, g), f, j->dh);
                    add_scaled(at(&c->out[1], s, g), q, f, j->dh);
                }
            }
}

enum kn_status cpu_ATTN_SCORES_VJP(struct cpu *c, const struct kn_call *call)
{
    struct attn_vjp j;
    if (!attn_vjp(&j, c, call, &call->in[0], &call->in[1], &call->in[2]) ||
        !is_shape3(&call->out[0], j.rows, j.heads, j.dh))
        return KN_BAD_CALL;
    return cpu_each(c, j.heads / j.share, j.share * j.rows * j.sources * j.dh / 4, scores_units,
                    &j);
}

enum { MIX_ROWS = 24 }; /* dest rows that go through the sources together */

static bool is_zero(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0)
            return false;
    return true;
}

/* dp += dz . v, dv += p dz for dest rows [first, end) of head h; dots[rows][sources] to work in. */
static void mix_rows(const struct attn_vjp *j, int64_t h, int64_t first, int64_t end, float *dots)
{
    const struct kn_call *c = j->call;
    int64_t g = h / j->share;
    struct gemm dot = {.x = at(&c->in[0], first, h),
                       .x_stride = c->in[0].stride[0],
                       .w = at(&c->in[2], 0, g),
                       .w_stride = c->in[2].stride[0],
                       .w_type = KN_F32,
                       .m = end - first,
                       .n = j->sources,
                       .k = j->dh,
                       .out = dots,
                       .out_stride = j->sources};
    j->c->isa->scores(&dot, 1);
    for (int64_t d = first; d < end; d++, dots += j->sources) {
        const float *dz = at(&c->in[0], d, h), *p = at(&c->in[1], h, d);
        float *dp = at(&c->out[0], h, d);
        int64_t seen = end_visible(j, d);
        for (int64_t s = 0; s < j->sources; s++)
            dp[s] += dots[s];
        for (int64_t s = 0; s < seen; s++)
            if (p[s] != 0)
                add_scaled(at(&c->out[1], s, g), dz, p[s], j->dh);
    }
}

/* Destinations that nothing flows back from are passed over: behind the last layer all but those
 * that the metric reads. */
static void mix_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct attn_vjp *j = ctx;
    for (int64_t h = first * j->share; h < end * j->share; h++)
        for (int64_t d = 0, to; d < j->rows; d = to) {
            to = d;
            while (to < j->rows && to < d + MIX_ROWS && !is_zero(at(&j->call->in[0], to, h), j->dh))
                to++;
            if (to > d)
                mix_rows(j, h, d, to, scratch);
            to += to == d;
        }
}

enum kn_status cpu_ATTN_MIX_VJP(struct cpu *c, const struct kn_call *call)
{
    struct attn_vjp j;
    if (!attn_vjp(&j, c, call, &call->in[1], &call->in[0], &call->in[2]) ||
        !is_shape3(&call->out[0], j.heads, j.rows, j.sources))
        return KN_BAD_CALL;
    if (!pool_reserve(c->pool, (size_t)(MIX_ROWS * j.sources) * sizeof(float)))
        return KN_OUT_OF_MEMORY;
    return cpu_each(c, j.heads / j.share, j.share * j.rows * j.sources * j.dh / 4, mix_units, &j);
}
