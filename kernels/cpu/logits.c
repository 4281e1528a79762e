/* logits.c - pick and softmax_grad; stats.  Sums in double, in order. */
#include "cpu.h"

#include <math.h>
#include <string.h>

struct logits_job {
    const struct kn_param *p;
    struct call_rows out, x, ids, base;
};

static const int32_t *id_row(const struct call_rows *r, int64_t i)
{
    return (const int32_t *)r->data + i * r->stride;
}

/* Ids of as many rows, each an index into rows of n elements. */
static bool ids_take(struct call_rows *ids, const struct kn_view *v, int64_t rows, int64_t n)
{
    if (!call_rows(v, KN_I32, ids) || ids->n != rows)
        return false;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < ids->len; k++)
            if (id_row(ids, i)[k] < 0 || id_row(ids, i)[k] >= n)
                return false;
    return true;
}

static void pick_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct logits_job *j = ctx;
    for (int64_t i = first; i < end; i++)
        for (int64_t k = 0; k < j->out.len; k++)
            cpu_row(&j->out, i)[k] = cpu_row(&j->x, i)[id_row(&j->ids, i)[k]];
}

enum kn_status cpu_PICK(struct cpu *c, const struct kn_call *call)
{
    struct logits_job j = {.p = &call->p};
    if (!call_rows(&call->out[0], KN_F32, &j.out) || !call_rows(&call->in[0], KN_F32, &j.x) ||
        j.out.n != j.x.n || !ids_take(&j.ids, &call->in[1], j.x.n, j.x.len) ||
        j.ids.len != j.out.len)
        return KN_BAD_CALL;
    return cpu_each(c, j.out.n, j.out.len * 4, pick_units, &j);
}

static void grad_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct logits_job *j = ctx;
    int64_t n = j->x.len;
    double factor = j->p->factor;
    for (int64_t i = first; i < end; i++) {
        const float *x = cpu_row(&j->x, i), *b = j->base.data ? cpu_row(&j->base, i) : NULL;
        float *g = cpu_row(&j->out, i);
        double lse = kn_log_sum_exp(x, n), lse_b = b ? kn_log_sum_exp(b, n) : 0;
        for (int64_t k = 0; k < n; k++) {
            double q = exp((double)x[k] - lse);
            if (b)
                g[k] += (float)(factor * (q - exp((double)b[k] - lse_b)));
            else
                g[k] -= (float)(factor * q);
        }
        if (!b)
            g[*id_row(&j->ids, i)] += (float)factor;
    }
}

enum kn_status cpu_SOFTMAX_GRAD(struct cpu *c, const struct kn_call *call)
{
    enum { EXP_COST = 40 };
    struct logits_job j = {.p = &call->p};
    bool to_base = !call_absent(&call->in[2]);
    if (!call_rows(&call->out[0], KN_F32, &j.out) || !call_rows(&call->in[0], KN_F32, &j.x) ||
        j.out.n != j.x.n || j.out.len != j.x.len || to_base == !call_absent(&call->in[1]))
        return KN_BAD_CALL;
    if (to_base ? !call_rows(&call->in[2], KN_F32, &j.base) || j.base.n != j.x.n ||
                      j.base.len != j.x.len
                : !ids_take(&j.ids, &call->in[1], j.x.n, j.x.len) || j.ids.len != 1)
        return KN_BAD_CALL;
    return cpu_each(c, j.x.n, j.x.len * EXP_COST, grad_units, &j);
}

static void stats_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)first, (void)end, (void)scratch;
    const struct kn_call *call = ctx;
    struct kn_stats s;
    kn_stats(&call->in[0], call->p.masked, &s);
    memcpy(call->out[0].data, &s, sizeof s);
}

enum kn_status cpu_STATS(struct cpu *c, const struct kn_call *call)
{
    struct kn_call own = *call;
    const struct kn_view *out = &call->out[0], *x = &call->in[0];
    if (!call_is(out, KN_I32, 1) || out->shape[0] != KN_STATS_WORDS || x->dtype != KN_F32 ||
        x->ndim < 1)
        return KN_BAD_CALL;
    return cpu_each(c, 1, 1, stats_units, &own); /* one sum: no part of it by itself */
}
