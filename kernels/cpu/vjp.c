/* vjp.c - vector-Jacobian products of the row operations: norms, affine, activations, rope.
 *
 * Gradients are computed for looking, not in the rerun path: plain loops, sums in double. */
#include "cpu.h"

#include <math.h>

static double row_mean(const struct cpu_job *j, const float *x, int64_t n)
{
    return j->call->p.center ? j->c->isa->sum(x, n) / (double)n : 0;
}

/* y = (x - mean)/s: dx = dy/s less its mean, ds = -sum(dy y)/s */
static void normalize_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    int64_t n = j->out[0].len;
    for (int64_t i = first; i < end; i++) {
        const float *dy = cpu_row(&j->in[0], i), *x = cpu_row(&j->in[1], i);
        double s = *cpu_row(&j->in[2], i), mean = row_mean(j, x, n), mean_dy = row_mean(j, dy, n),
               ds = 0;
        float *dx = cpu_row(&j->out[0], i);
        for (int64_t k = 0; k < n; k++) {
            ds -= (double)dy[k] * ((double)x[k] - mean);
            dx[k] += (float)(((double)dy[k] - mean_dy) / s);
        }
        *cpu_row(&j->out[1], i) += (float)(ds / (s * s));
    }
}

enum kn_status cpu_NORMALIZE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 2, 3) || j.out[1].len != 1 || j.in[2].len != 1 ||
        j.in[0].len != j.out[0].len || j.in[1].len != j.out[0].len || j.out[0].len < 1)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len * 4, normalize_units, &j);
}

/* s = sqrt(mean(xc^2) + eps): dx = ds xc/(D s); the mean of xc is 0, so centring changes nothing
 * more */
static void scale_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    int64_t n = j->out[0].len;
    for (int64_t i = first; i < end; i++) {
        const float *x = cpu_row(&j->in[1], i);
        double mean = row_mean(j, x, n);
        double squares = j->c->isa->sum_squares(x, (float)mean, n) / (double)n;
        double f = (double)*cpu_row(&j->in[0], i) /
                   ((double)n * sqrt(squares + (double)j->call->p.eps));
        float *dx = cpu_row(&j->out[0], i);
        for (int64_t k = 0; k < n; k++)
            dx[k] += (float)(f * ((double)x[k] - mean));
    }
}

enum kn_status cpu_NORM_SCALE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 2) || j.in[0].len != 1 || j.in[1].len != j.out[0].len ||
        j.out[0].len < 1)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len * 4, scale_units, &j);
}

static void affine_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    const struct kn_view *w = &j->call->in[1];
    for (int64_t i = first; i < end; i++) {
        const float *dy = cpu_row(&j->in[0], i);
        float *dx = cpu_row(&j->out[0], i);
        for (int64_t k = 0; k < j->out[0].len; k++)
            dx[k] += dy[k] * (kn_load(w, k) + j->call->p.offset);
    }
}

enum kn_status cpu_AFFINE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    const struct kn_view *w = &call->in[1];
    if (!cpu_job(&j, c, call, 1, 1) || j.in[0].len != j.out[0].len || !call_is_weight(w) ||
        !call_is(w, w->dtype, 1) || w->shape[0] != j.out[0].len)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len * 4, affine_units, &j);
}

/* y = c tanh(x/c): dx = dy (1 - tanh^2) */
static void softcap_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    double cap = (double)j->call->p.softcap;
    for (int64_t i = first; i < end; i++) {
        const float *dy = cpu_row(&j->in[0], i), *x = cpu_row(&j->in[1], i);
        float *dx = cpu_row(&j->out[0], i);
        for (int64_t k = 0; k < j->out[0].len; k++) {
            double t = tanh((double)x[k] / cap);
            dx[k] += (float)((double)dy[k] * (1 - t * t));
        }
    }
}

enum kn_status cpu_SOFTCAP_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!(call->p.softcap > 0) || !cpu_job(&j, c, call, 1, 2) || j.in[0].len != j.out[0].len ||
        j.in[1].len != j.out[0].len)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len * 16, softcap_units, &j);
}

static void clip_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    float limit = j->call->p.limit;
    for (int64_t i = first; i < end; i++) {
        const float *dy = cpu_row(&j->in[0], i), *x = cpu_row(&j->in[1], i);
        float *dx = cpu_row(&j->out[0], i);
        for (int64_t k = 0; k < j->out[0].len; k++)
            dx[k] += fabsf(x[k]) <= limit ? dy[k] : 0;
    }
}

enum kn_status cpu_CLIP_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!(call->p.limit > 0) || !cpu_job(&j, c, call, 1, 2) || j.in[0].len != j.out[0].len ||
        j.in[1].len != j.out[0].len)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len, clip_units, &j);
}

/* Where a bound holds a value nothing flows. */
static float held(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

enum { HELD = 256 };

/* dx += dy act'(a) (b + offset), db += dy act(a), where no bound holds a or b; without b the first
 * alone. */
static void act_part(const struct cpu_job *j, int64_t row, int64_t at, int64_t n)
{
    float a[HELD], slope[HELD], y[HELD];
    const float *dy = cpu_row(&j->in[0], row) + at, *x = cpu_row(&j->in[1], row) + at;
    float *dx = cpu_row(&j->out[0], row) + at;
    enum kn_act act = j->call->p.act;
    if (!j->in[2].data) {
        j->c->isa->act_slope(slope, x, n, act);
        for (int64_t k = 0; k < n; k++)
            dx[k] += dy[k] * slope[k];
        return;
    }
    const float *b = cpu_row(&j->in[2], row) + at;
    float *db = cpu_row(&j->out[1], row) + at, offset = j->call->p.offset,
          limit = j->call->p.limit > 0 ? j->call->p.limit : INFINITY;
    for (int64_t k = 0; k < n; k++)
        a[k] = held(x[k], -INFINITY, limit);
    j->c->isa->act_slope(slope, a, n, act);
    j->c->isa->act(y, a, NULL, n, act);
    for (int64_t k = 0; k < n; k++) {
        float by = held(b[k], -limit, limit);
        dx[k] += a[k] == x[k] ? dy[k] * slope[k] * (by + offset) : 0;
        db[k] += by == b[k] ? dy[k] * y[k] : 0;
    }
}

static void act_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    for (int64_t i = first; i < end; i++)
        for (int64_t at = 0; at < j->out[0].len; at += HELD)
            act_part(j, i, at, j->out[0].len - at < HELD ? j->out[0].len - at : HELD);
}

enum { ACT_COST = 12 }; /* an activation and its slope, in elements merely touched */

enum kn_status cpu_ACT_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 2) || (unsigned)call->p.act >= KN_ACT_COUNT ||
        j.in[0].len != j.out[0].len || j.in[1].len != j.out[0].len)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len * ACT_COST, act_units, &j);
}

enum kn_status cpu_GATE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 2, 3) || (unsigned)call->p.act >= KN_ACT_COUNT)
        return KN_BAD_CALL;
    for (int i = 0; i < 3; i++)
        if (j.in[i].len != j.out[0].len || j.out[1].len != j.out[0].len)
            return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len * ACT_COST, act_units, &j);
}

static void rope_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    int64_t dh = j->call->in[0].shape[2], half = j->call->p.n_rot / 2;
    bool pairs = j->call->p.pairs;
    for (int64_t i = first; i < end; i++) {
        const float *c = cpu_row(&j->in[1], i), *s = cpu_row(&j->in[2], i);
        for (int64_t h = 0; h < j->call->in[0].shape[1]; h++) {
            const float *dy = cpu_row(&j->in[0], i) + h * dh;
            float *dx = cpu_row(&j->out[0], i) + h * dh;
            for (int64_t k = 0; k < half; k++) {
                int64_t a = pairs ? 2 * k : k, b = a + (pairs ? 1 : half);
                dx[a] += dy[a] * c[a] + dy[b] * s[b];
                dx[b] += dy[b] * c[b] - dy[a] * s[a];
            }
            for (int64_t k = 2 * half; k < dh; k++)
                dx[k] += dy[k];
        }
    }
}

enum kn_status cpu_ROPE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    int64_t n = call->p.n_rot;
    if (!cpu_job(&j, c, call, 1, 3) || !call_is(&call->in[0], KN_F32, 3) || n < 0 || n % 2 ||
        n > call->in[0].shape[2] || j.in[0].len != j.out[0].len || j.in[1].len != n ||
        j.in[2].len != n)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[0].len, rope_units, &j);
}

static void rope_table_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    int64_t dh = j->call->in[0].shape[2], n = j->call->p.n_rot, half = n / 2;
    bool pairs = j->call->p.pairs;
    for (int64_t i = first; i < end; i++)
        for (int64_t k = 0; k < n; k++) {
            bool is_first = pairs ? k % 2 == 0 : k < half;
            int64_t other = k + (is_first ? 1 : -1) * (pairs ? 1 : half);
            const float *dy = cpu_row(&j->in[0], i), *x = cpu_row(&j->in[1], i);
            double dc = 0, ds = 0;
            for (int64_t h = 0; h < j->call->in[0].shape[1]; h++, dy += dh, x += dh) {
                dc += (double)dy[k] * (double)x[k];
                ds += (double)dy[k] * (is_first ? -(double)x[other] : (double)x[other]);
            }
            cpu_row(&j->out[0], i)[k] += (float)dc;
            cpu_row(&j->out[1], i)[k] += (float)ds;
        }
}

enum kn_status cpu_ROPE_TABLE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    int64_t n = call->p.n_rot;
    if (!cpu_job(&j, c, call, 2, 2) || !call_is(&call->in[0], KN_F32, 3) || n < 0 || n % 2 ||
        n > call->in[0].shape[2] || j.in[0].len != j.in[1].len || j.out[0].len != n ||
        j.out[1].len != n)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.in[0].len * 2, rope_table_units, &j);
}
