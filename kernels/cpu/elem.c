/* elem.c - operations that treat every element or row on its own: embed, copy, add, affine, act,
 * softcap, clip, gate, rope. */
#include "cpu.h"

#include <math.h>
#include <string.h>

struct rows_job {
    const struct cpu *c;
    struct call_rows out, a, b;
    const struct kn_call *call;
};

/* out, in0 and, where wanted, in1 as f32 rows of the same shape. */
static bool rows_job(struct rows_job *j, struct cpu *c, const struct kn_call *call, bool second)
{
    j->c = c;
    j->call = call;
    if (!call_rows(&call->out[0], KN_F32, &j->out) || !call_rows(&call->in[0], KN_F32, &j->a))
        return false;
    if (j->out.n != j->a.n || j->out.len != j->a.len)
        return false;
    return !second ||
           (call_rows(&call->in[1], KN_F32, &j->b) && j->b.n == j->a.n && j->b.len == j->a.len);
}

static void embed_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rows_job *j = ctx;
    const struct kn_view *table = &j->call->in[1];
    float scale = j->call->p.scale;
    for (int64_t i = first; i < end; i++) {
        int64_t id = ((const int32_t *)j->a.data)[i * j->a.stride];
        float *out = cpu_row(&j->out, i);
        j->c->isa->widen(out, table->data, table->dtype, table->first + id * table->stride[0],
                         j->out.len);
        for (int64_t k = 0; scale != 1 && k < j->out.len; k++)
            out[k] *= scale;
    }
}

enum kn_status cpu_EMBED(struct cpu *c, const struct kn_call *call)
{
    struct rows_job j = {.c = c, .call = call};
    const struct kn_view *table = &call->in[1];
    if (!call_rows(&call->out[0], KN_F32, &j.out) || !call_rows(&call->in[0], KN_I32, &j.a) ||
        j.a.len != 1 || !call_is_matrix(table) || !call_is(table, table->dtype, 2) ||
        j.a.n != j.out.n || table->shape[1] != j.out.len)
        return KN_BAD_CALL;
    for (int64_t i = 0; i < j.a.n; i++) {
        int64_t id = ((const int32_t *)j.a.data)[i * j.a.stride];
        if (id < 0 || id >= table->shape[0])
            return KN_BAD_CALL;
    }
    return cpu_each(c, j.out.n, j.out.len, embed_units, &j);
}

/* Views of fewer axes get leading ones. */
struct copy_job {
    float *out;
    const float *in;
    int64_t shape[KN_DIM_MAX], to[KN_DIM_MAX], from[KN_DIM_MAX];
};

static void copy_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct copy_job *j = ctx;
    for (int64_t unit = first; unit < end; unit++) {
        int64_t i2 = unit % j->shape[2], rest = unit / j->shape[2];
        int64_t i1 = rest % j->shape[1], i0 = rest / j->shape[1];
        float *out = j->out + i0 * j->to[0] + i1 * j->to[1] + i2 * j->to[2];
        const float *in = j->in + i0 * j->from[0] + i1 * j->from[1] + i2 * j->from[2];
        int64_t n = j->shape[3], to = j->to[3], from = j->from[3];
        if (to == 1 && from == 1)
            memcpy(out, in, (size_t)n * sizeof *out);
        else
            for (int64_t i = 0; i < n; i++)
                out[i * to] = in[i * from];
    }
}

enum kn_status cpu_COPY(struct cpu *c, const struct kn_call *call)
{
    const struct kn_view *out = &call->out[0], *in = &call->in[0];
    if (out->dtype != KN_F32 || in->dtype != KN_F32 || out->ndim != in->ndim || out->ndim < 1)
        return KN_BAD_CALL;
    struct copy_job j = {out->data, in->data, {1, 1, 1, 1}, {0}, {0}};
    for (int i = 0, to = KN_DIM_MAX - out->ndim; i < out->ndim; i++, to++) {
        if (out->shape[i] != in->shape[i] || (out->shape[i] > 1 && out->stride[i] == 0))
            return KN_BAD_CALL;
        j.shape[to] = out->shape[i];
        j.to[to] = out->stride[i];
        j.from[to] = in->stride[i];
    }
    return cpu_each(c, j.shape[0] * j.shape[1] * j.shape[2], j.shape[3], copy_units, &j);
}

static void add_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rows_job *j = ctx;
    float scale = j->call->p.scale;
    for (int64_t i = first; i < end; i++) {
        float *out = cpu_row(&j->out, i);
        const float *a = cpu_row(&j->a, i), *b = cpu_row(&j->b, i);
        for (int64_t k = 0; k < j->out.len; k++)
            out[k] = a[k] + b[k] * scale;
    }
}

enum kn_status cpu_ADD(struct cpu *c, const struct kn_call *call)
{
    struct rows_job j;
    if (!rows_job(&j, c, call, true))
        return KN_BAD_CALL;
    return cpu_each(c, j.out.n, j.out.len, add_units, &j);
}

const float *cpu_floats(const struct cpu *c, const struct kn_view *v, float offset, float *scratch)
{
    if (v->dtype == KN_F32 && offset == 0)
        return v->data;
    c->isa->widen(scratch, v->data, v->dtype, 0, v->shape[0]);
    for (int64_t k = 0; offset != 0 && k < v->shape[0]; k++)
        scratch[k] += offset;
    return scratch;
}

static void affine_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct rows_job *j = ctx;
    const struct kn_view *bias = &j->call->in[2];
    const float *w = cpu_floats(j->c, &j->call->in[1], j->call->p.offset, scratch);
    const float *b = call_absent(bias) ? NULL
                                       : cpu_floats(j->c, bias, 0, (float *)scratch + j->out.len);
    for (int64_t i = first; i < end; i++) {
        float *out = cpu_row(&j->out, i);
        const float *a = cpu_row(&j->a, i);
        if (b)
            for (int64_t k = 0; k < j->out.len; k++)
                out[k] = a[k] * w[k] + b[k];
        else
            for (int64_t k = 0; k < j->out.len; k++)
                out[k] = a[k] * w[k];
    }
}

bool cpu_is_vector(const struct kn_view *v, int64_t len)
{
    return call_is_weight(v) && call_is(v, v->dtype, 1) && v->shape[0] == len;
}

enum kn_status cpu_AFFINE(struct cpu *c, const struct kn_call *call)
{
    struct rows_job j;
    if (!rows_job(&j, c, call, false) || !cpu_is_vector(&call->in[1], j.out.len) ||
        !(call_absent(&call->in[2]) || cpu_is_vector(&call->in[2], j.out.len)))
        return KN_BAD_CALL;
    if (!pool_reserve(c->pool, (size_t)j.out.len * 2 * sizeof(float)))
        return KN_OUT_OF_MEMORY;
    return cpu_each(c, j.out.n, j.out.len, affine_units, &j);
}

enum { ACT_COST = 8 }; /* an activation, in elements merely touched */

static void act_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rows_job *j = ctx;
    for (int64_t i = first; i < end; i++)
        j->c->isa->act(cpu_row(&j->out, i), cpu_row(&j->a, i), j->b.data ? cpu_row(&j->b, i) : NULL,
                       j->out.len, j->call->p.act);
}

enum kn_status cpu_ACT(struct cpu *c, const struct kn_call *call)
{
    struct rows_job j = {.b = {0}};
    if ((unsigned)call->p.act >= KN_ACT_COUNT || !rows_job(&j, c, call, false))
        return KN_BAD_CALL;
    return cpu_each(c, j.out.n, j.out.len * ACT_COST, act_units, &j);
}

static void softcap_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rows_job *j = ctx;
    for (int64_t i = first; i < end; i++) {
        float *out = cpu_row(&j->out, i);
        memmove(out, cpu_row(&j->a, i), (size_t)j->out.len * sizeof *out);
        j->c->isa->scale_cap(out, j->out.len, 1, j->call->p.softcap);
    }
}

enum kn_status cpu_SOFTCAP(struct cpu *c, const struct kn_call *call)
{
    struct rows_job j;
    if (!(call->p.softcap > 0) || !rows_job(&j, c, call, false))
        return KN_BAD_CALL;
    return cpu_each(c, j.out.n, j.out.len * ACT_COST, softcap_units, &j);
}

enum { HELD = 256 };

static float held(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static void clip_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rows_job *j = ctx;
    float limit = j->call->p.limit;
    for (int64_t i = first; i < end; i++)
        for (int64_t k = 0; k < j->out.len; k++)
            cpu_row(&j->out, i)[k] = held(cpu_row(&j->a, i)[k], -limit, limit);
}

enum kn_status cpu_CLIP(struct cpu *c, const struct kn_call *call)
{
    struct rows_job j;
    if (!(call->p.limit > 0) || !rows_job(&j, c, call, false))
        return KN_BAD_CALL;
    return cpu_each(c, j.out.n, j.out.len, clip_units, &j);
}

/* With the operands held within bounds, or one of them moved. */
static void gate_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rows_job *j = ctx;
    float limit = j->call->p.limit > 0 ? j->call->p.limit : INFINITY, a[HELD], b[HELD];
    for (int64_t i = first; i < end; i++)
        for (int64_t at = 0, n; at < j->out.len; at += n) {
            n = j->out.len - at < HELD ? j->out.len - at : HELD;
            for (int64_t k = 0; k < n; k++) {
                a[k] = held(cpu_row(&j->a, i)[at + k], -INFINITY, limit);
                b[k] = held(cpu_row(&j->b, i)[at + k], -limit, limit) + j->call->p.offset;
            }
            j->c->isa->act(cpu_row(&j->out, i) + at, a, b, n, j->call->p.act);
        }
}

enum kn_status cpu_GATE(struct cpu *c, const struct kn_call *call)
{
    struct rows_job j;
    bool plain = !(call->p.limit > 0) && call->p.offset == 0;
    if ((unsigned)call->p.act >= KN_ACT_COUNT || !rows_job(&j, c, call, true))
        return KN_BAD_CALL;
    return cpu_each(c, j.out.n, j.out.len * ACT_COST, plain ? act_units : gate_units, &j);
}

/* n pairs: an element, every `step`-th one, with that `apart` after it. */
static inline void rotate(const float *x, float *y, const float *cosine, const float *sine,
                          int64_t n, int64_t step, int64_t apart)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t a = i * step, b = a + apart;
        y[a] = x[a] * cosine[a] - x[b] * sine[a];
        y[b] = x[b] * cosine[b] + x[a] * sine[b];
    }
}

static void rope_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rows_job *j = ctx;
    const struct kn_view *out = &j->call->out[0], *in = &j->call->in[0];
    int64_t half = j->call->p.n_rot / 2, dh = in->shape[2];
    for (int64_t i = first; i < end; i++) {
        const float *cosine = cpu_row(&j->a, i), *sine = cpu_row(&j->b, i);
        for (int64_t h = 0; h < in->shape[1]; h++) {
            const float *x = (const float *)in->data + i * in->stride[0] + h * in->stride[1];
            float *y = (float *)out->data + i * out->stride[0] + h * out->stride[1];
            if (j->call->p.pairs)
                rotate(x, y, cosine, sine, half, 2, 1);
            else
                rotate(x, y, cosine, sine, half, 1, half);
            memcpy(y + 2 * half, x + 2 * half, (size_t)(dh - 2 * half) * sizeof *y);
        }
    }
}

enum kn_status cpu_ROPE(struct cpu *c, const struct kn_call *call)
{
    const struct kn_view *out = &call->out[0], *in = &call->in[0];
    struct rows_job j = {.c = c, .call = call};
    int64_t n = call->p.n_rot;
    if (!call_is(out, KN_F32, 3) || !call_is(in, KN_F32, 3) || out->shape[0] != in->shape[0] ||
        out->shape[1] != in->shape[1] || out->shape[2] != in->shape[2] || n < 0 || n % 2 != 0 ||
        n > in->shape[2])
        return KN_BAD_CALL;
    if (!call_rows(&call->in[1], KN_F32, &j.a) || !call_rows(&call->in[2], KN_F32, &j.b) ||
        j.a.n != in->shape[0] || j.b.n != in->shape[0] || j.a.len != n || j.b.len != n)
        return KN_BAD_CALL;
    return cpu_each(c, in->shape[0], in->shape[1] * in->shape[2], rope_units, &j);
}
