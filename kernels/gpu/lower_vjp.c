/* lower_vjp.c - vector-Jacobian products of the row operations. */
#include "lower.h"

#include <string.h>

/* A call whose operands are f32 rows, as many of each. */
struct vjp {
    struct call_rows out[2], in[3];
};

static bool vjp_take(struct vjp *j, const struct kn_call *call, int n_out, int n_in)
{
    memset(j, 0, sizeof *j);
    for (int i = 0; i < n_out; i++)
        if (!call_rows(&call->out[i], KN_F32, &j->out[i]) || j->out[i].n != j->out[0].n)
            return false;
    for (int i = 0; i < n_in; i++)
        if (!call_rows(&call->in[i], KN_F32, &j->in[i]) || j->in[i].n != j->out[0].n)
            return false;
    return true;
}

enum kn_status gpu_NORMALIZE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct vjp j;
    if (!vjp_take(&j, call, 2, 3) || j.out[1].len != 1 || j.in[2].len != 1 ||
        j.in[0].len != j.out[0].len || j.in[1].len != j.out[0].len || j.out[0].len < 1)
        return KN_BAD_CALL;
    normalize_vjp_params p = {.dx = j.out[0].data,
                              .ds = j.out[1].data,
                              .dy = j.in[0].data,
                              .x = j.in[1].data,
                              .scale = j.in[2].data,
                              .rows = gpu_i32(j.out[0].n),
                              .len = gpu_i32(j.out[0].len),
                              .dx_stride = gpu_i32(j.out[0].stride),
                              .ds_stride = gpu_i32(j.out[1].stride),
                              .dy_stride = gpu_i32(j.in[0].stride),
                              .x_stride = gpu_i32(j.in[1].stride),
                              .scale_stride = gpu_i32(j.in[2].stride),
                              .center = call->p.center};
    return GPU_LAUNCH(g, normalize_vjp, p, p.rows, 1);
}

enum kn_status gpu_NORM_SCALE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct vjp j;
    if (!vjp_take(&j, call, 1, 2) || j.in[0].len != 1 || j.in[1].len != j.out[0].len ||
        j.out[0].len < 1)
        return KN_BAD_CALL;
    norm_scale_vjp_params p = {.dx = j.out[0].data,
                               .ds = j.in[0].data,
                               .x = j.in[1].data,
                               .rows = gpu_i32(j.out[0].n),
                               .len = gpu_i32(j.out[0].len),
                               .dx_stride = gpu_i32(j.out[0].stride),
                               .ds_stride = gpu_i32(j.in[0].stride),
                               .x_stride = gpu_i32(j.in[1].stride),
                               .center = call->p.center,
                               .eps = call->p.eps};
    return GPU_LAUNCH(g, norm_scale_vjp, p, p.rows, 1);
}

enum kn_status gpu_AFFINE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct vjp j;
    const struct kn_view *w = &call->in[1];
    if (!vjp_take(&j, call, 1, 1) || j.in[0].len != j.out[0].len || !gpu_is_vector(w, j.out[0].len))
        return KN_BAD_CALL;
    affine_vjp_params p = {.dx = j.out[0].data,
                           .dy = j.in[0].data,
                           .w = w->data,
                           .len = gpu_i32(j.out[0].len),
                           .dx_stride = gpu_i32(j.out[0].stride),
                           .dy_stride = gpu_i32(j.in[0].stride),
                           .w_type = gpu_type(w),
                           .offset = call->p.offset};
    if (!gpu_units(j.out[0].n, j.out[0].len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, affine_vjp, p, p.units, 1);
}

static enum kn_status act_back(struct gpu *g, const struct kn_call *call, const struct vjp *j,
                               bool gated)
{
    act_vjp_params p = {.dx = j->out[0].data,
                        .db = j->out[1].data,
                        .dy = j->in[0].data,
                        .x = j->in[1].data,
                        .b = j->in[2].data,
                        .len = gpu_i32(j->out[0].len),
                        .dx_stride = gpu_i32(j->out[0].stride),
                        .db_stride = gpu_i32(j->out[1].stride),
                        .dy_stride = gpu_i32(j->in[0].stride),
                        .x_stride = gpu_i32(j->in[1].stride),
                        .b_stride = gpu_i32(j->in[2].stride),
                        .kind = (i32)call->p.act,
                        .gated = gated,
                        .limit = call->p.limit,
                        .offset = call->p.offset};
    if (!gpu_units(j->out[0].n, j->out[0].len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, act_vjp, p, p.units, 1);
}

enum kn_status gpu_ACT_VJP(struct gpu *g, const struct kn_call *call)
{
    struct vjp j;
    if (!vjp_take(&j, call, 1, 2) || (unsigned)call->p.act >= KN_ACT_COUNT ||
        j.in[0].len != j.out[0].len || j.in[1].len != j.out[0].len)
        return KN_BAD_CALL;
    return act_back(g, call, &j, false);
}

enum kn_status gpu_GATE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct vjp j;
    if (!vjp_take(&j, call, 2, 3) || (unsigned)call->p.act >= KN_ACT_COUNT ||
        j.out[1].len != j.out[0].len)
        return KN_BAD_CALL;
    for (int i = 0; i < 3; i++)
        if (j.in[i].len != j.out[0].len)
            return KN_BAD_CALL;
    return act_back(g, call, &j, true);
}

static enum kn_status bound_back(struct gpu *g, const struct kn_call *call, enum gpu_kernel k,
                                 float limit)
{
    struct call_rows dx, dy, x;
    if (!(limit > 0) || !gpu_rows(call, &dx, &dy, &x))
        return KN_BAD_CALL;
    bound_vjp_params p = {.dx = dx.data,
                          .dy = dy.data,
                          .x = x.data,
                          .len = gpu_i32(dx.len),
                          .dx_stride = gpu_i32(dx.stride),
                          .dy_stride = gpu_i32(dy.stride),
                          .x_stride = gpu_i32(x.stride),
                          .limit = limit};
    if (!gpu_units(dx.n, dx.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return gpu_launch(g, k, &p, sizeof p, p.units, 1);
}

enum kn_status gpu_SOFTCAP_VJP(struct gpu *g, const struct kn_call *call)
{
    return bound_back(g, call, GPU_softcap_vjp, call->p.softcap);
}

enum kn_status gpu_CLIP_VJP(struct gpu *g, const struct kn_call *call)
{
    return bound_back(g, call, GPU_clip_vjp, call->p.limit);
}

static bool rotates(const struct kn_view *dy, int64_t n)
{
    return call_is(dy, KN_F32, 3) && n >= 0 && n % 2 == 0 && n <= dy->shape[2] &&
           dy->shape[0] * dy->shape[1] <= INT32_MAX;
}

enum kn_status gpu_ROPE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct vjp j;
    const struct kn_view *dy = &call->in[0];
    int64_t n = call->p.n_rot;
    if (!vjp_take(&j, call, 1, 3) || !rotates(dy, n) || j.in[0].len != j.out[0].len ||
        j.in[1].len != n || j.in[2].len != n)
        return KN_BAD_CALL;
    rope_vjp_params p = {.dx = j.out[0].data,
                         .dy = j.in[0].data,
                         .c = j.in[1].data,
                         .s = j.in[2].data,
                         .units = gpu_i32(dy->shape[0] * dy->shape[1]),
                         .heads = gpu_i32(dy->shape[1]),
                         .dh = gpu_i32(dy->shape[2]),
                         .n_rot = gpu_i32(n),
                         .pairs = call->p.pairs,
                         .dx_stride = gpu_i32(j.out[0].stride),
                         .dy_stride = gpu_i32(j.in[0].stride),
                         .c_stride = gpu_i32(j.in[1].stride),
                         .s_stride = gpu_i32(j.in[2].stride)};
    return GPU_LAUNCH(g, rope_vjp, p, p.units, 1);
}

enum kn_status gpu_ROPE_TABLE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct vjp j;
    const struct kn_view *dy = &call->in[0];
    int64_t n = call->p.n_rot;
    if (!vjp_take(&j, call, 2, 2) || !rotates(dy, n) || j.in[0].len != j.in[1].len ||
        j.out[0].len != n || j.out[1].len != n)
        return KN_BAD_CALL;
    rope_table_vjp_params p = {.dc = j.out[0].data,
                               .ds = j.out[1].data,
                               .dy = j.in[0].data,
                               .x = j.in[1].data,
                               .rows = gpu_i32(j.out[0].n),
                               .heads = gpu_i32(dy->shape[1]),
                               .dh = gpu_i32(dy->shape[2]),
                               .n_rot = gpu_i32(n),
                               .pairs = call->p.pairs,
                               .dc_stride = gpu_i32(j.out[0].stride),
                               .ds_stride = gpu_i32(j.out[1].stride),
                               .dy_stride = gpu_i32(j.in[0].stride),
                               .x_stride = gpu_i32(j.in[1].stride)};
    return GPU_LAUNCH(g, rope_table_vjp, p, p.rows, 1);
}
