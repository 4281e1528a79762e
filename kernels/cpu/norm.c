/* norm.c - norm_scale and normalize (LayerNorm, RMSNorm), norm, row_norm.  Sums in double,
 * differences in float. */
#include "cpu.h"

#include <math.h>

struct norm_job {
    const struct isa *isa;
    struct call_rows out, in, scale;
    const struct kn_param *p;
};

static float row_mean(const struct norm_job *j, const float *x)
{
    return j->p->center ? (float)(j->isa->sum(x, j->in.len) / (double)j->in.len) : 0;
}

/* The root of the mean square of row i, whose mean is this. */
static float row_scale(const struct norm_job *j, const float *x, float mean)
{
    double squares = j->isa->sum_squares(x, mean, j->in.len);
    return (float)sqrt(squares / (double)j->in.len + (double)j->p->eps);
}

static void scale_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct norm_job *j = ctx;
    for (int64_t i = first; i < end; i++) {
        const float *x = cpu_row(&j->in, i);
        *cpu_row(&j->out, i) = row_scale(j, x, row_mean(j, x));
    }
}

enum kn_status cpu_NORM_SCALE(struct cpu *c, const struct kn_call *call)
{
    struct norm_job j = {.isa = c->isa, .p = &call->p};
    if (!call_rows(&call->out[0], KN_F32, &j.out) || !call_rows(&call->in[0], KN_F32, &j.in) ||
        j.out.n != j.in.n || j.out.len != 1 || j.in.len < 1)
        return KN_BAD_CALL;
    return cpu_each(c, j.in.n, j.in.len, scale_units, &j);
}

static void normalize_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct norm_job *j = ctx;
    for (int64_t i = first; i < end; i++) {
        const float *x = cpu_row(&j->in, i);
        float *out = cpu_row(&j->out, i), mean = row_mean(j, x), scale = *cpu_row(&j->scale, i);
        for (int64_t k = 0; k < j->in.len; k++)
            out[k] = (x[k] - mean) / scale;
    }
}

enum kn_status cpu_NORMALIZE(struct cpu *c, const struct kn_call *call)
{
    struct norm_job j = {.isa = c->isa, .p = &call->p};
    if (!call_rows(&call->out[0], KN_F32, &j.out) || !call_rows(&call->in[0], KN_F32, &j.in) ||
        !call_rows(&call->in[1], KN_F32, &j.scale) || j.out.n != j.in.n || j.out.len != j.in.len ||
        j.in.len < 1 || j.scale.n != j.in.n || j.scale.len != 1)
        return KN_BAD_CALL;
    return cpu_each(c, j.in.n, j.in.len, normalize_units, &j);
}

struct whole_norm {
    struct norm_job j;
    const struct cpu *c;
    const struct kn_view *w, *b;
};

static void norm_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct whole_norm *n = ctx;
    const struct norm_job *j = &n->j;
    const float *w = cpu_floats(n->c, n->w, j->p->offset, scratch), *b = NULL;
    if (!call_absent(n->b))
        b = cpu_floats(n->c, n->b, 0, (float *)scratch + j->in.len);
    for (int64_t i = first; i < end; i++) {
        const float *x = cpu_row(&j->in, i);
        float *out = cpu_row(&j->out, i), mean = row_mean(j, x), scale = row_scale(j, x, mean);
        if (b)
            for (int64_t k = 0; k < j->in.len; k++)
                out[k] = (x[k] - mean) / scale * w[k] + b[k];
        else
            for (int64_t k = 0; k < j->in.len; k++)
                out[k] = (x[k] - mean) / scale * w[k];
    }
}

enum kn_status cpu_NORM(struct cpu *c, const struct kn_call *call)
{
    enum { COST = 3 }; /* rows are read three times */
    struct whole_norm n = {{.isa = c->isa, .p = &call->p}, c, &call->in[1], &call->in[2]};
    const struct call_rows *out = &n.j.out, *in = &n.j.in;
    if (!call_rows(&call->out[0], KN_F32, &n.j.out) || !call_rows(&call->in[0], KN_F32, &n.j.in) ||
        out->n != in->n || out->len != in->len || in->len < 1 || !cpu_is_vector(n.w, in->len) ||
        !(call_absent(n.b) || cpu_is_vector(n.b, in->len)))
        return KN_BAD_CALL;
    if (!pool_reserve(c->pool, (size_t)in->len * 2 * sizeof(float)))
        return KN_OUT_OF_MEMORY;
    return cpu_each(c, in->n, in->len * COST, norm_units, &n);
}

static void row_norm_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct norm_job *j = ctx;
    for (int64_t i = first; i < end; i++)
        *cpu_row(&j->out, i) = (float)sqrt(j->isa->sum_squares(cpu_row(&j->in, i), 0, j->in.len));
}

enum kn_status cpu_ROW_NORM(struct cpu *c, const struct kn_call *call)
{
    struct norm_job j = {.isa = c->isa, .p = &call->p};
    if (!call_rows(&call->out[0], KN_F32, &j.out) || !call_rows(&call->in[0], KN_F32, &j.in) ||
        j.out.n != j.in.n || j.out.len != 1)
        return KN_BAD_CALL;
    return cpu_each(c, j.in.n, j.in.len, row_norm_units, &j);
}
