/* rank.c - what the lens asks of a row of logits: topk, lse (with entropy), rank. */
#include "cpu.h"

struct rank_job {
    const struct isa *isa;
    struct call_rows in, value, index;
};

static bool rank_in(struct rank_job *j, struct cpu *c, const struct kn_call *call)
{
    j->isa = c->isa;
    /* Indices are i32. */
    return call_rows(&call->in[0], KN_F32, &j->in) && j->in.len >= 1 && j->in.len <= INT32_MAX;
}

static void topk_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rank_job *j = ctx;
    for (int64_t i = first; i < end; i++)
        j->isa->topk(cpu_row(&j->in, i), j->in.len, j->value.len, cpu_row(&j->value, i),
                     (int32_t *)j->index.data + i * j->index.stride);
}

enum kn_status cpu_TOPK(struct cpu *c, const struct kn_call *call)
{
    struct rank_job j;
    if (!rank_in(&j, c, call) || !call_rows(&call->out[0], KN_F32, &j.value) ||
        !call_rows(&call->out[1], KN_I32, &j.index))
        return KN_BAD_CALL;
    if (j.value.n != j.in.n || j.index.n != j.in.n || j.value.len != j.index.len ||
        j.value.len < 1 || j.value.len > j.in.len)
        return KN_BAD_CALL;
    return cpu_each(c, j.in.n, j.in.len, topk_units, &j);
}

static void lse_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rank_job *j = ctx;
    for (int64_t i = first; i < end; i++)
        j->isa->lse(cpu_row(&j->in, i), j->in.len, cpu_row(&j->value, i));
}

enum kn_status cpu_LSE(struct cpu *c, const struct kn_call *call)
{
    struct rank_job j;
    if (!rank_in(&j, c, call) || !call_rows(&call->out[0], KN_F32, &j.value) ||
        j.value.n != j.in.n || j.value.len != 2)
        return KN_BAD_CALL;
    return cpu_each(c, j.in.n, j.in.len, lse_units, &j);
}

static int32_t *index_at(const struct call_rows *r, int64_t i)
{
    return (int32_t *)r->data + i * r->stride;
}

static void rank_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct rank_job *j = ctx;
    for (int64_t i = first; i < end; i++) {
        const float *x = cpu_row(&j->in, i);
        *index_at(&j->value, i) = (int32_t)j->isa->count_greater(x, j->in.len,
                                                                 x[*index_at(&j->index, i)]);
    }
}

enum kn_status cpu_RANK(struct cpu *c, const struct kn_call *call)
{
    struct rank_job j;
    if (!rank_in(&j, c, call) || !call_rows(&call->out[0], KN_I32, &j.value) ||
        !call_rows(&call->in[1], KN_I32, &j.index))
        return KN_BAD_CALL;
    if (j.value.n != j.in.n || j.index.n != j.in.n || j.value.len != 1 || j.index.len != 1)
        return KN_BAD_CALL;
    for (int64_t i = 0; i < j.in.n; i++)
        if (*index_at(&j.index, i) < 0 || *index_at(&j.index, i) >= j.in.len)
            return KN_BAD_CALL;
    return cpu_each(c, j.in.n, j.in.len, rank_units, &j);
}
