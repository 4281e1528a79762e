/* lower_elem.c - embed, add, affine, act, gate, softcap, clip, rope; norms. */
#include "lower.h"

enum kn_status gpu_EMBED(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, ids;
    const struct kn_view *t = &call->in[1];
    if (!call_rows(&call->out[0], KN_F32, &y) || !call_rows(&call->in[0], KN_I32, &ids) ||
        ids.len != 1 || !call_is_matrix(t) || !call_is(t, t->dtype, 2) || ids.n != y.n ||
        t->shape[1] != y.len)
        return KN_BAD_CALL;
    embed_params p = {.y = y.data,
                      .ids = ids.data,
                      .table = t->data,
                      .bad = gpu_bad(g),
                      .table_stride = t->stride[0],
                      .first = t->first,
                      .len = gpu_i32(y.len),
                      .rows = gpu_i32(t->shape[0]),
                      .y_stride = gpu_i32(y.stride),
                      .ids_stride = gpu_i32(ids.stride),
                      .type = gpu_type(t),
                      .scale = call->p.scale};
    if (!p.bad)
        return KN_OUT_OF_MEMORY;
    if (!gpu_units(y.n, y.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, embed, p, p.units, 1);
}

enum kn_status gpu_ADD(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, a, b;
    if (!gpu_rows(call, &y, &a, &b))
        return KN_BAD_CALL;
    add_params p = {.y = y.data,
                    .a = a.data,
                    .b = b.data,
                    .len = gpu_i32(y.len),
                    .y_stride = gpu_i32(y.stride),
                    .a_stride = gpu_i32(a.stride),
                    .b_stride = gpu_i32(b.stride),
                    .scale = call->p.scale};
    if (!gpu_units(y.n, y.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, add, p, p.units, 1);
}

enum kn_status gpu_AFFINE(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x;
    const struct kn_view *w = &call->in[1], *b = &call->in[2];
    if (!gpu_rows(call, &y, &x, NULL) || !gpu_is_vector(w, y.len) ||
        !(call_absent(b) || gpu_is_vector(b, y.len)))
        return KN_BAD_CALL;
    affine_params p = {.y = y.data,
                       .x = x.data,
                       .w = w->data,
                       .b = b->data,
                       .len = gpu_i32(y.len),
                       .y_stride = gpu_i32(y.stride),
                       .x_stride = gpu_i32(x.stride),
                       .w_type = gpu_type(w),
                       .b_type = gpu_type(b),
                       .offset = call->p.offset};
    if (!gpu_units(y.n, y.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, affine, p, p.units, 1);
}

static enum kn_status act(struct gpu *g, const struct kn_call *call, bool gated)
{
    struct call_rows y, x, b = {0};
    if ((unsigned)call->p.act >= KN_ACT_COUNT || !gpu_rows(call, &y, &x, gated ? &b : NULL))
        return KN_BAD_CALL;
    act_params p = {.y = y.data,
                    .x = x.data,
                    .gate = b.data,
                    .len = gpu_i32(y.len),
                    .y_stride = gpu_i32(y.stride),
                    .x_stride = gpu_i32(x.stride),
                    .gate_stride = gpu_i32(b.stride),
                    .kind = (i32)call->p.act,
                    .gated = gated,
                    .limit = gated ? call->p.limit : 0,
                    .offset = call->p.offset};
    if (!gpu_units(y.n, y.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, act, p, p.units, 1);
}

enum kn_status gpu_ACT(struct gpu *g, const struct kn_call *call)
{
    return act(g, call, false);
}

enum kn_status gpu_GATE(struct gpu *g, const struct kn_call *call)
{
    return act(g, call, true);
}

static enum kn_status bound(struct gpu *g, const struct kn_call *call, enum gpu_kernel k,
                            float limit)
{
    struct call_rows y, x;
    if (!(limit > 0) || !gpu_rows(call, &y, &x, NULL))
        return KN_BAD_CALL;
    bound_params p = {.y = y.data,
                      .x = x.data,
                      .len = gpu_i32(y.len),
                      .y_stride = gpu_i32(y.stride),
                      .x_stride = gpu_i32(x.stride),
                      .limit = limit};
    if (!gpu_units(y.n, y.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return gpu_launch(g, k, &p, sizeof p, p.units, 1);
}

enum kn_status gpu_SOFTCAP(struct gpu *g, const struct kn_call *call)
{
    return bound(g, call, GPU_softcap, call->p.softcap);
}

enum kn_status gpu_CLIP(struct gpu *g, const struct kn_call *call)
{
    return bound(g, call, GPU_clip, call->p.limit);
}

enum kn_status gpu_ROPE(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *y = &call->out[0], *x = &call->in[0];
    struct call_rows c, s;
    int64_t n = call->p.n_rot;
    if (!call_is(x, KN_F32, 3) || !gpu_is3(y, x->shape[0], x->shape[1], x->shape[2]) || n < 0 ||
        n % 2 != 0 || n > x->shape[2] || !call_rows(&call->in[1], KN_F32, &c) ||
        !call_rows(&call->in[2], KN_F32, &s) || c.n != x->shape[0] || s.n != x->shape[0] ||
        c.len != n || s.len != n || x->shape[0] * x->shape[1] > INT32_MAX)
        return KN_BAD_CALL;
    rope_params p = {.y = y->data,
                     .x = x->data,
                     .c = c.data,
                     .s = s.data,
                     .units = gpu_i32(x->shape[0] * x->shape[1]),
                     .heads = gpu_i32(x->shape[1]),
                     .dh = gpu_i32(x->shape[2]),
                     .n_rot = gpu_i32(n),
                     .pairs = call->p.pairs,
                     .y0 = gpu_i32(y->stride[0]),
                     .y1 = gpu_i32(y->stride[1]),
                     .x0 = gpu_i32(x->stride[0]),
                     .x1 = gpu_i32(x->stride[1]),
                     .c_stride = gpu_i32(c.stride),
                     .s_stride = gpu_i32(s.stride)};
    return GPU_LAUNCH(g, rope, p, p.units, 1);
}

enum kn_status gpu_NORM_SCALE(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x;
    if (!call_rows(&call->out[0], KN_F32, &y) || !call_rows(&call->in[0], KN_F32, &x) ||
        y.n != x.n || y.len != 1 || x.len < 1)
        return KN_BAD_CALL;
    norm_scale_params p = {.y = y.data,
                           .x = x.data,
                           .rows = gpu_i32(x.n),
                           .len = gpu_i32(x.len),
                           .y_stride = gpu_i32(y.stride),
                           .x_stride = gpu_i32(x.stride),
                           .center = call->p.center,
                           .eps = call->p.eps};
    return GPU_LAUNCH(g, norm_scale, p, p.rows, 1);
}

enum kn_status gpu_NORMALIZE(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x, s;
    if (!gpu_rows(call, &y, &x, NULL) || !call_rows(&call->in[1], KN_F32, &s) || x.len < 1 ||
        s.n != x.n || s.len != 1)
        return KN_BAD_CALL;
    normalize_params p = {.y = y.data,
                          .x = x.data,
                          .scale = s.data,
                          .rows = gpu_i32(x.n),
                          .len = gpu_i32(x.len),
                          .y_stride = gpu_i32(y.stride),
                          .x_stride = gpu_i32(x.stride),
                          .scale_stride = gpu_i32(s.stride),
                          .center = call->p.center};
    return GPU_LAUNCH(g, normalize, p, p.rows, 1);
}

enum kn_status gpu_NORM(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x;
    const struct kn_view *w = &call->in[1], *b = &call->in[2];
    if (!gpu_rows(call, &y, &x, NULL) || x.len < 1 || !gpu_is_vector(w, y.len) ||
        !(call_absent(b) || gpu_is_vector(b, y.len)))
        return KN_BAD_CALL;
    norm_params p = {.y = y.data,
                     .x = x.data,
                     .w = w->data,
                     .b = b->data,
                     .rows = gpu_i32(x.n),
                     .len = gpu_i32(x.len),
                     .y_stride = gpu_i32(y.stride),
                     .x_stride = gpu_i32(x.stride),
                     .center = call->p.center,
                     .w_type = gpu_type(w),
                     .b_type = gpu_type(b),
                     .eps = call->p.eps,
                     .offset = call->p.offset};
    return GPU_LAUNCH(g, norm_all, p, p.rows, 1);
}

enum kn_status gpu_ROW_NORM(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x;
    if (!call_rows(&call->out[0], KN_F32, &y) || !call_rows(&call->in[0], KN_F32, &x) ||
        y.n != x.n || y.len != 1)
        return KN_BAD_CALL;
    row_norm_params p = {.y = y.data,
                         .x = x.data,
                         .rows = gpu_i32(x.n),
                         .len = gpu_i32(x.len),
                         .y_stride = gpu_i32(y.stride),
                         .x_stride = gpu_i32(x.stride)};
    return GPU_LAUNCH(g, row_norm, p, p.rows, 1);
}
