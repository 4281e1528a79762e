/* lower_route.c - route, top_index, top_value, place, blend, and their products with gradients. */
#include "lower.h"

/* The greatest that count. */
static i32 top_of(const struct kn_call *call, int64_t len)
{
    return call->p.top ? call->p.top : gpu_i32(len);
}

static bool top_fits(const struct kn_call *call, int64_t len)
{
    return len >= 1 && call->p.top >= 0 && call->p.top <= len;
}

enum kn_status gpu_ROUTE(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x;
    if (!gpu_rows(call, &y, &x, NULL) || !top_fits(call, x.len))
        return KN_BAD_CALL;
    route_params p = {.y = y.data,
                      .x = x.data,
                      .rows = gpu_i32(x.n),
                      .len = gpu_i32(x.len),
                      .y_stride = gpu_i32(y.stride),
                      .x_stride = gpu_i32(x.stride),
                      .top = top_of(call, x.len)};
    return GPU_LAUNCH(g, route, p, p.rows, 1);
}

enum kn_status gpu_ROUTE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct call_rows dx, dy, x;
    if (!gpu_rows(call, &dx, &dy, &x) || !top_fits(call, x.len))
        return KN_BAD_CALL;
    route_vjp_params p = {.dx = dx.data,
                          .dy = dy.data,
                          .x = x.data,
                          .rows = gpu_i32(x.n),
                          .len = gpu_i32(x.len),
                          .dx_stride = gpu_i32(dx.stride),
                          .dy_stride = gpu_i32(dy.stride),
                          .x_stride = gpu_i32(x.stride),
                          .top = top_of(call, x.len)};
    return GPU_LAUNCH(g, route_vjp, p, p.rows, 1);
}

static enum kn_status top(struct gpu *g, const struct kn_call *call, bool want_index)
{
    struct call_rows y, x;
    if (!call_rows(&call->out[0], KN_F32, &y) || !call_rows(&call->in[0], KN_F32, &x) ||
        y.n != x.n || y.len < 1 || y.len > x.len)
        return KN_BAD_CALL;
    top_params p = {.y = y.data,
                    .x = x.data,
                    .rows = gpu_i32(x.n),
                    .len = gpu_i32(x.len),
                    .k = gpu_i32(y.len),
                    .y_stride = gpu_i32(y.stride),
                    .x_stride = gpu_i32(x.stride),
                    .share = !want_index && call->p.share,
                    .want_index = want_index};
    return GPU_LAUNCH(g, top, p, p.rows, 1);
}

enum kn_status gpu_TOP_INDEX(struct gpu *g, const struct kn_call *call)
{
    return top(g, call, true);
}

enum kn_status gpu_TOP_VALUE(struct gpu *g, const struct kn_call *call)
{
    return top(g, call, false);
}

enum kn_status gpu_TOP_VALUE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct call_rows dx, dy, x;
    if (!call_rows(&call->out[0], KN_F32, &dx) || !call_rows(&call->in[0], KN_F32, &dy) ||
        !call_rows(&call->in[1], KN_F32, &x) || dx.n != dy.n || dx.n != x.n || x.len != dx.len ||
        dy.len < 1 || dy.len > x.len)
        return KN_BAD_CALL;
    top_vjp_params p = {.dx = dx.data,
                        .dy = dy.data,
                        .x = x.data,
                        .rows = gpu_i32(x.n),
                        .len = gpu_i32(x.len),
                        .k = gpu_i32(dy.len),
                        .dx_stride = gpu_i32(dx.stride),
                        .dy_stride = gpu_i32(dy.stride),
                        .x_stride = gpu_i32(x.stride),
                        .share = call->p.share};
    return GPU_LAUNCH(g, top_vjp, p, p.rows, 1);
}

enum kn_status gpu_PLACE(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, x;
    const struct kn_view *ids = &call->in[0];
    if (!call_rows(&call->out[0], KN_F32, &y) || !call_rows(&call->in[1], KN_F32, &x) ||
        ids->dtype != KN_I32 || ids->ndim != 1 || ids->shape[0] != x.n || x.len != y.len)
        return KN_BAD_CALL;
    place_params p = {.y = y.data,
                      .ids = ids->data,
                      .x = x.data,
                      .bad = gpu_bad(g),
                      .len = gpu_i32(x.len),
                      .rows = gpu_i32(y.n),
                      .y_stride = gpu_i32(y.stride),
                      .ids_stride = gpu_i32(ids->stride[0]),
                      .x_stride = gpu_i32(x.stride)};
    if (!p.bad)
        return KN_OUT_OF_MEMORY;
    if (!gpu_units(x.n, x.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, place, p, p.units, 1);
}

enum kn_status gpu_BLEND(struct gpu *g, const struct kn_call *call)
{
    struct call_rows y, w, x;
    if (!call_rows(&call->out[0], KN_F32, &y) || !call_rows(&call->in[0], KN_F32, &w) ||
        !call_rows(&call->in[1], KN_F32, &x) || w.n != y.n || x.n != y.n || w.len < 1 ||
        x.len != w.len * y.len)
        return KN_BAD_CALL;
    blend_params p = {.y = y.data,
                      .w = w.data,
                      .x = x.data,
                      .len = gpu_i32(y.len),
                      .s = gpu_i32(w.len),
                      .y_stride = gpu_i32(y.stride),
                      .w_stride = gpu_i32(w.stride),
                      .x_stride = gpu_i32(x.stride)};
    if (!gpu_units(y.n, y.len, &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH(g, blend, p, p.units, 1);
}

enum kn_status gpu_BLEND_VJP(struct gpu *g, const struct kn_call *call)
{
    struct call_rows dw, dx, dy, w, x;
    if (!call_rows(&call->out[0], KN_F32, &dw) || !call_rows(&call->out[1], KN_F32, &dx) ||
        !call_rows(&call->in[0], KN_F32, &dy) || !call_rows(&call->in[1], KN_F32, &w) ||
        !call_rows(&call->in[2], KN_F32, &x) || dx.n != dw.n || dy.n != dw.n || w.n != dw.n ||
        x.n != dw.n || w.len != dw.len || x.len != dx.len || dx.len != dw.len * dy.len ||
        dw.n * dw.len > INT32_MAX)
        return KN_BAD_CALL;
    blend_vjp_params p = {.dw = dw.data,
                          .dx = dx.data,
                          .dy = dy.data,
                          .w = w.data,
                          .x = x.data,
                          .units = gpu_i32(dw.n * dw.len),
                          .len = gpu_i32(dy.len),
                          .s = gpu_i32(dw.len),
                          .dw_stride = gpu_i32(dw.stride),
                          .dx_stride = gpu_i32(dx.stride),
                          .dy_stride = gpu_i32(dy.stride),
                          .w_stride = gpu_i32(w.stride),
                          .x_stride = gpu_i32(x.stride)};
    return GPU_LAUNCH(g, blend_vjp, p, p.units, 1);
}
