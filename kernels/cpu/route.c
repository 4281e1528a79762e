/* route.c - rows sent to experts: route, top_index, top_value, place, blend, and their products
 * with gradients. */
#include "cpu.h"

#include <math.h>
#include <string.h>

/* Run on every row, with scratch for the k greatest of it: k values, then k indices. */
static enum kn_status route_each(struct cpu *c, struct cpu_job *j, int64_t k, int64_t cost,
                                 cpu_units_fn *fn)
{
    if (!pool_reserve(c->pool, (size_t)k * (sizeof(float) + sizeof(int32_t))))
        return KN_OUT_OF_MEMORY;
    return cpu_each(c, j->out[0].n, cost, fn, j);
}

/* The greatest that count. */
static int64_t top_of(const struct kn_call *call, int64_t len)
{
    return call->p.top ? call->p.top : len;
}

/* softmax over the greatest alone, which lie as topk gives them; 0 elsewhere */
static void share_row(const struct cpu_job *j, float *out, const float *x, int64_t len,
                      float *value)
{
    int64_t top = top_of(j->call, len);
    int32_t *index = (int32_t *)(value + top);
    if (top == len) {
        j->c->isa->softmax(out, x, len);
        return;
    }
    j->c->isa->topk(x, len, top, value, index);
    j->c->isa->softmax(value, value, top);
    memset(out, 0, (size_t)len * sizeof *out);
    for (int64_t i = 0; i < top; i++)
        out[index[i]] = value[i];
}

static void route_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct cpu_job *j = ctx;
    for (int64_t i = first; i < end; i++)
        share_row(j, cpu_row(&j->out[0], i), cpu_row(&j->in[0], i), j->in[0].len, scratch);
}

static bool top_fits(const struct kn_call *call, int64_t len)
{
    return len >= 1 && len <= INT32_MAX && call->p.top >= 0 && call->p.top <= len;
}

enum kn_status cpu_ROUTE(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 1) || j.out[0].len != j.in[0].len || !top_fits(call, j.in[0].len))
        return KN_BAD_CALL;
    return route_each(c, &j, j.in[0].len, j.in[0].len * 8, route_units);
}

/* y = softmax(x): dx = y (dy - sum(y dy)), which is 0 where y is */
static void route_vjp_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct cpu_job *j = ctx;
    int64_t len = j->out[0].len;
    float *y = scratch;
    for (int64_t i = first; i < end; i++) {
        const float *dy = cpu_row(&j->in[0], i);
        float *dx = cpu_row(&j->out[0], i);
        double sum = 0;
        share_row(j, y, cpu_row(&j->in[1], i), len, y + len);
        for (int64_t k = 0; k < len; k++)
            sum += (double)y[k] * (double)dy[k];
        for (int64_t k = 0; k < len; k++)
            dx[k] += y[k] == 0 ? 0 : (float)((double)y[k] * ((double)dy[k] - sum));
    }
}

enum kn_status cpu_ROUTE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 2) || j.in[0].len != j.out[0].len || j.in[1].len != j.out[0].len ||
        !top_fits(call, j.out[0].len))
        return KN_BAD_CALL;
    return route_each(c, &j, 2 * j.out[0].len, j.out[0].len * 8, route_vjp_units);
}

static bool is_top(const struct call_rows *top, const struct call_rows *of)
{
    return top->len >= 1 && top->len <= of->len && of->len <= INT32_MAX;
}

static void index_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct cpu_job *j = ctx;
    int64_t k = j->out[0].len;
    float *value = scratch;
    int32_t *index = (int32_t *)(value + k);
    for (int64_t i = first; i < end; i++) {
        j->c->isa->topk(cpu_row(&j->in[0], i), j->in[0].len, k, value, index);
        for (int64_t n = 0; n < k; n++)
            cpu_row(&j->out[0], i)[n] = (float)index[n];
    }
}

enum kn_status cpu_TOP_INDEX(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 1) || !is_top(&j.out[0], &j.in[0]))
        return KN_BAD_CALL;
    return route_each(c, &j, j.out[0].len, j.in[0].len * 2, index_units);
}

static double sum_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum;
}

static void value_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct cpu_job *j = ctx;
    int64_t k = j->out[0].len;
    float *value = scratch;
    for (int64_t i = first; i < end; i++) {
        float *out = cpu_row(&j->out[0], i);
        j->c->isa->topk(cpu_row(&j->in[0], i), j->in[0].len, k, value, (int32_t *)(value + k));
        double sum = j->call->p.share ? sum_of(value, k) : 1;
        for (int64_t n = 0; n < k; n++)
            out[n] = (float)((double)value[n] / sum);
    }
}

enum kn_status cpu_TOP_VALUE(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 1) || !is_top(&j.out[0], &j.in[0]))
        return KN_BAD_CALL;
    return route_each(c, &j, j.out[0].len, j.in[0].len * 2, value_units);
}

/* y = x / sum: dx = (dy - sum(y dy)) / sum, to the greatest alone */
static void value_vjp_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct cpu_job *j = ctx;
    int64_t k = j->in[0].len;
    float *value = scratch;
    int32_t *index = (int32_t *)(value + k);
    for (int64_t i = first; i < end; i++) {
        const float *dy = cpu_row(&j->in[0], i);
        float *dx = cpu_row(&j->out[0], i);
        j->c->isa->topk(cpu_row(&j->in[1], i), j->in[1].len, k, value, index);
        double sum = j->call->p.share ? sum_of(value, k) : 1, along = 0;
        for (int64_t n = 0; n < k && j->call->p.share; n++)
            along += (double)value[n] / sum * (double)dy[n];
        for (int64_t n = 0; n < k; n++)
            dx[index[n]] += (float)(((double)dy[n] - along) / sum);
    }
}

enum kn_status cpu_TOP_VALUE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 2) || j.in[1].len != j.out[0].len || !is_top(&j.in[0], &j.in[1]))
        return KN_BAD_CALL;
    return route_each(c, &j, j.in[0].len, j.out[0].len * 2, value_vjp_units);
}

static void place_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    const struct kn_view *ids = &j->call->in[0];
    for (int64_t i = first; i < end; i++)
        memcpy(cpu_row(&j->out[0], ((const int32_t *)ids->data)[i * ids->stride[0]]),
               cpu_row(&j->in[1], i), (size_t)j->out[0].len * sizeof(float));
}

enum kn_status cpu_PLACE(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j = {.call = call};
    const struct kn_view *ids = &call->in[0];
    if (!call_rows(&call->out[0], KN_F32, &j.out[0]) ||
        !call_rows(&call->in[1], KN_F32, &j.in[1]) || ids->dtype != KN_I32 || ids->ndim != 1 ||
        ids->shape[0] != j.in[1].n || j.in[1].len != j.out[0].len)
        return KN_BAD_CALL;
    for (int64_t i = 0; i < j.in[1].n; i++) {
        int32_t id = ((const int32_t *)ids->data)[i * ids->stride[0]];
        if (id < 0 || id >= j.out[0].n)
            return KN_BAD_CALL;
    }
    return cpu_each(c, j.in[1].n, j.out[0].len, place_units, &j);
}

static void blend_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    int64_t d = j->out[0].len;
    for (int64_t i = first; i < end; i++) {
        float *out = cpu_row(&j->out[0], i);
        const float *w = cpu_row(&j->in[0], i), *x = cpu_row(&j->in[1], i);
        for (int64_t k = 0; k < d; k++)
            out[k] = w[0] * x[k];
        for (int64_t s = 1; s < j->in[0].len; s++)
            for (int64_t k = 0; k < d; k++)
                out[k] += w[s] * x[s * d + k];
    }
}

enum kn_status cpu_BLEND(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 1, 2) || j.in[0].len < 1 || j.in[1].len != j.in[0].len * j.out[0].len)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.in[1].len, blend_units, &j);
}

static void blend_vjp_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct cpu_job *j = ctx;
    int64_t d = j->in[0].len;
    for (int64_t i = first; i < end; i++) {
        const float *dy = cpu_row(&j->in[0], i), *w = cpu_row(&j->in[1], i),
                    *x = cpu_row(&j->in[2], i);
        float *dw = cpu_row(&j->out[0], i), *dx = cpu_row(&j->out[1], i);
        for (int64_t s = 0; s < j->out[0].len; s++) {
            double sum = 0;
            for (int64_t k = 0; k < d; k++) {
                sum += (double)dy[k] * (double)x[s * d + k];
                dx[s * d + k] += w[s] * dy[k];
            }
            dw[s] += (float)sum;
        }
    }
}

enum kn_status cpu_BLEND_VJP(struct cpu *c, const struct kn_call *call)
{
    struct cpu_job j;
    if (!cpu_job(&j, c, call, 2, 3) || j.in[1].len != j.out[0].len || j.in[2].len != j.out[1].len ||
        j.out[1].len != j.out[0].len * j.in[0].len)
        return KN_BAD_CALL;
    return cpu_each(c, j.out[0].n, j.out[1].len * 2, blend_vjp_units, &j);
}
