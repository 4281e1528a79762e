/* lower_vocab.c - topk, lse, rank, pick, softmax_grad, stats. */
#include "lower.h"

static bool logits(const struct kn_view *v, struct call_rows *x)
{
    return call_rows(v, KN_F32, x) && x->len >= 1;
}

enum kn_status gpu_TOPK(struct gpu *g, const struct kn_call *call)
{
    struct call_rows value, index, x;
    if (!logits(&call->in[0], &x) || !call_rows(&call->out[0], KN_F32, &value) ||
        !call_rows(&call->out[1], KN_I32, &index) || value.n != x.n || index.n != x.n ||
        value.len != index.len || value.len < 1 || value.len > x.len)
        return KN_BAD_CALL;
    topk_params p = {.value = value.data,
                     .index = index.data,
                     .x = x.data,
                     .x_stride = x.stride,
                     .rows = gpu_i32(x.n),
                     .len = gpu_i32(x.len),
                     .k = gpu_i32(value.len),
                     .value_stride = gpu_i32(value.stride),
                     .index_stride = gpu_i32(index.stride)};
    return GPU_LAUNCH(g, topk, p, p.rows, 1);
}

enum kn_status gpu_LSE(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x;
    if (!logits(&call->in[0], &x) || !call_rows(&call->out[0], KN_F32, &y) || y.n != x.n ||
        y.len != 2)
        return KN_BAD_CALL;
    lse_params p = {.y = y.data,
                    .x = x.data,
                    .x_stride = x.stride,
                    .rows = gpu_i32(x.n),
                    .len = gpu_i32(x.len),
                    .y_stride = gpu_i32(y.stride)};
    return GPU_LAUNCH(g, lse, p, p.rows, 1);
}

enum kn_status gpu_RANK(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x, ids;
    if (!logits(&call->in[0], &x) || !call_rows(&call->out[0], KN_I32, &y) ||
        !call_rows(&call->in[1], KN_I32, &ids) || y.n != x.n || ids.n != x.n || y.len != 1 ||
        ids.len != 1)
        return KN_BAD_CALL;
    rank_params p = {.y = y.data,
                     .x = x.data,
                     .ids = ids.data,
                     .bad = gpu_bad(g),
                     .x_stride = x.stride,
                     .rows = gpu_i32(x.n),
                     .len = gpu_i32(x.len),
                     .y_stride = gpu_i32(y.stride),
                     .ids_stride = gpu_i32(ids.stride)};
    return p.bad ? GPU_LAUNCH(g, rank, p, p.rows, 1) : KN_OUT_OF_MEMORY;
}

enum kn_status gpu_PICK(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x, ids;
    if (!call_rows(&call->out[0], KN_F32, &y) || !call_rows(&call->in[0], KN_F32, &x) ||
        !call_rows(&call->in[1], KN_I32, &ids) || y.n != x.n || ids.n != x.n || ids.len != y.len)
        return KN_BAD_CALL;
    pick_params p = {.y = y.data,
                     .x = x.data,
                     .ids = ids.data,
                     .bad = gpu_bad(g),
                     .x_stride = x.stride,
                     .len = gpu_i32(y.len),
                     .most = gpu_i32(x.len),
                     .y_stride = gpu_i32(y.stride),
                     .ids_stride = gpu_i32(ids.stride)};
    if (!p.bad)
        return KN_OUT_OF_MEMORY;
    if (!gpu_units(y.n, y.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, pick, p, p.units, 1);
}

enum kn_status gpu_SOFTMAX_GRAD(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x, ids = {0}, base = {0};
    bool to_base = !call_absent(&call->in[2]);
    if (!gpu_rows(call, &y, &x, NULL) || to_base == !call_absent(&call->in[1]))
        return KN_BAD_CALL;
    if (to_base ? !call_rows(&call->in[2], KN_F32, &base) || base.n != x.n || base.len != x.len
                : !call_rows(&call->in[1], KN_I32, &ids) || ids.n != x.n || ids.len != 1)
        return KN_BAD_CALL;
    softmax_grad_params p = {.y = y.data,
                             .x = x.data,
                             .ids = ids.data,
                             .b = base.data,
                             .bad = gpu_bad(g),
                             .x_stride = x.stride,
                             .b_stride = base.stride,
                             .rows = gpu_i32(x.n),
                             .len = gpu_i32(x.len),
                             .y_stride = gpu_i32(y.stride),
                             .ids_stride = gpu_i32(ids.stride),
                             .to_base = to_base,
                             .factor = (float)call->p.factor};
    return p.bad ? GPU_LAUNCH(g, softmax_grad, p, p.rows, 1) : KN_OUT_OF_MEMORY;
}

enum kn_status gpu_STATS(struct gpu *g, const struct kn_call *call)
{
    enum { PART_BYTES = 48, PART_ELEMENTS = 4096, PARTS_MAX = 256 };
    const struct kn_view *out = &call->out[0], *x = &call->in[0];
    if (!call_is(out, KN_I32, 1) || out->shape[0] != KN_STATS_WORDS || x->dtype != KN_F32 ||
        x->ndim < 1 || kn_count(x) > INT32_MAX)
        return KN_BAD_CALL;
    int64_t n[KN_DIM_MAX] = {1, 1, 1, 1}, step[KN_DIM_MAX] = {0};
    for (int i = 0, to = KN_DIM_MAX - x->ndim; i < x->ndim; i++, to++)
        n[to] = x->shape[i], step[to] = x->stride[i];
    stats_params p = {.y = out->data,
                      .x = x->data,
                      .x0 = step[0],
                      .n0 = gpu_i32(n[0]),
                      .n1 = gpu_i32(n[1]),
                      .n2 = gpu_i32(n[2]),
                      .n3 = gpu_i32(n[3]),
                      .x1 = gpu_i32(step[1]),
                      .x2 = gpu_i32(step[2]),
                      .x3 = gpu_i32(step[3]),
                      .masked = call->p.masked};
    int64_t parts = kn_count(x) / PART_ELEMENTS + 1;
    p.parts = gpu_i32(parts < PARTS_MAX ? parts : PARTS_MAX);
    if (!(p.part = gpu_scratch(g, GPU_SCRATCH_PART, (size_t)p.parts * PART_BYTES)))
        return KN_OUT_OF_MEMORY;
    enum kn_status st = gpu_launch_all(g, GPU_stats, &p, sizeof p, p.parts, 1, 1);
    return st ? st : GPU_LAUNCH(g, stats_join, p, 1, 1);
}
