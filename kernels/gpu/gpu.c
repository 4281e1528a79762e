/* gpu.c - see gpu.h: the methods that all devices share. */
#include "gpu.h"

#include "../wrap.h"
#include "lower.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define ROW(name, lanes, params, text, defines) \
    [GPU_##name] = {#name, lanes, (int)sizeof(params##_params)},
const struct gpu_row gpu_kernels[GPU_ALL_COUNT] = {
#define GPU_KERNEL ROW
#define GPU_MMA ROW
#include "kernels.def"
#undef GPU_KERNEL
};
#undef ROW

static enum kn_status (*const OPS[KN_OP_COUNT])(struct gpu *, const struct kn_call *) = {
#define KN_OP(id, name, n_out, n_in) gpu_##id,
#include "../ops.def"
#undef KN_OP
};

/* Kernels count in 32 bits. */
static bool view_fits(const struct kn_view *v)
{
    for (int i = 0; i < v->ndim; i++)
        if (v->shape[i] > INT32_MAX || v->stride[i] > INT32_MAX)
            return false;
    return true;
}

/* Why alloc gave nothing: a lost device has no memory either. */
static enum kn_status no_room(struct gpu *g)
{
    enum kn_status st = g->wait(g);
    return st ? st : KN_OUT_OF_MEMORY;
}

enum kn_status gpu_run(struct kn_backend *be, const struct kn_call *call)
{
    struct kn_call own;
    if (call_resolve(call, &own))
        call = &own;
    if (!call_sound(call))
        return KN_BAD_CALL;
    for (int i = 0; i < KN_OUT_MAX; i++)
        if (!view_fits(&call->out[i]))
            return KN_BAD_CALL;
    for (int i = 0; i < KN_IN_MAX; i++)
        if (!view_fits(&call->in[i]))
            return KN_BAD_CALL;
    if (be->cancel && atomic_load_explicit(be->cancel, memory_order_relaxed))
        return KN_CANCELLED;
    enum kn_status st = OPS[call->op]((struct gpu *)be, call);
    return st == KN_OUT_OF_MEMORY ? no_room((struct gpu *)be) : st;
}

enum kn_status gpu_launch_all(struct gpu *g, enum gpu_kernel k, const void *params, size_t bytes,
                              int64_t x, int64_t y, int64_t z)
{
    if (x == 0 || y == 0 || z == 0)
        return KN_OK;
    if (x > GPU_GRID_MAX || y > GPU_GRID_MAX || z > GPU_GRID_MAX)
        return KN_BAD_CALL;
    return g->launch(g, k, params, bytes, x, y, z);
}

enum kn_status gpu_launch(struct gpu *g, enum gpu_kernel k, const void *params, size_t bytes,
                          int64_t x, int64_t y)
{
    int64_t most = g->turns_x ? g->turns_x : GPU_GRID_MAX;
    return gpu_launch_all(g, k, params, bytes, x < most ? x : most, y, 1);
}

bool gpu_units(int64_t rows, int64_t len, i32 *units, i32 *per_row)
{
    enum { UNIT = 256 };
    int64_t each = (len + UNIT - 1) / UNIT;
    if (each > 0 && rows > INT32_MAX / each)
        return false;
    *per_row = gpu_i32(each);
    *units = gpu_i32(rows * each);
    return true;
}

void *gpu_scratch(struct gpu *g, enum gpu_scratch which, size_t bytes)
{
    struct gpu_piece *p = &g->scratch[which];
    if (bytes > p->bytes) {
        g->base.type->release(&g->base, p->mem, p->bytes);
        p->mem = g->base.type->alloc(&g->base, bytes);
        p->bytes = p->mem ? bytes : 0;
    }
    return p->mem;
}

void *gpu_bad(struct gpu *g)
{
    if (!g->bad)
        g->bad = g->base.type->alloc(&g->base, sizeof *g->bad);
    g->bad_asked |= g->bad != NULL;
    return g->bad;
}

/* After a failure of the device it stays bad_asked: whatever was queued is told when it can be. */
enum kn_status gpu_sync(struct kn_backend *be)
{
    struct gpu *g = (struct gpu *)be;
    static const int32_t none = 0;
    if (!g->bad_asked)
        return g->wait(g);
    enum kn_status st = g->download(g, &g->bad_seen, g->bad, sizeof g->bad_seen);
    enum kn_status waited = g->wait(g);
    st = st ? st : waited;
    if (st)
        return st;
    g->bad_asked = false;
    if (!g->bad_seen)
        return KN_OK;
    st = g->upload(g, g->bad, &none, sizeof none);
    return st ? st : KN_BAD_CALL;
}

enum kn_status gpu_import(struct kn_backend *be, const struct kn_view *host, struct kn_view *device)
{
    struct gpu *g = (struct gpu *)be;
    struct kn_view v = *host;
    if (v.ndim) {
        size_t span = wrap_span(host);
        if (!(v.data = be->type->alloc(be, span)))
            return no_room(g);
        enum kn_status st = span ? g->upload(g, v.data, kn_at(host, 0), span) : KN_OK;
        if (st) {
            be->type->release(be, v.data, span);
            return st;
        }
        v.first %= kn_dtype_block(v.dtype);
    }
    *device = v;
    return KN_OK;
}

void gpu_forget(struct kn_backend *be, struct kn_view *device)
{
    if (device->ndim)
        be->type->release(be, device->data, wrap_span(device));
    *device = (struct kn_view){0};
}

/* ---- elements that lie apart ---- */

static bool packed(const struct kn_view *v)
{
    int64_t expect = 1;
    for (int i = v->ndim - 1; i >= 0; expect *= v->shape[i--])
        if (v->shape[i] != 1 && v->stride[i] != expect)
            return false;
    return true;
}

/* Shape and strides as of four axes. */
struct four {
    int64_t n[KN_DIM_MAX], stride[KN_DIM_MAX];
};

static struct four four_of(const struct kn_view *v)
{
    struct four f = {.n = {1, 1, 1, 1}};
    for (int i = 0, to = KN_DIM_MAX - v->ndim; i < v->ndim; i++, to++)
        f.n[to] = v->shape[i], f.stride[to] = v->stride[i];
    return f;
}

static enum kn_status move(struct gpu *g, const struct kn_view *y, const struct kn_view *x)
{
    struct four a = four_of(y), b = four_of(x);
    copy_params p = {y->data,
                     x->data,
                     a.stride[0],
                     b.stride[0],
                     gpu_i32(a.n[1]),
                     gpu_i32(a.n[2]),
                     gpu_i32(a.n[3]),
                     gpu_i32(a.stride[1]),
                     gpu_i32(a.stride[2]),
                     gpu_i32(a.stride[3]),
                     gpu_i32(b.stride[1]),
                     gpu_i32(b.stride[2]),
                     gpu_i32(b.stride[3]),
                     0,
                     0};
    if (!gpu_units(a.n[0] * a.n[1] * a.n[2], a.n[3], &p.units, &p.per_row))
        return KN_BAD_CALL;
    enum gpu_kernel k = kn_dtype_bytes(y->dtype) == 4 ? GPU_copy : GPU_copy16;
    return gpu_launch(g, k, &p, sizeof p, p.units, 1);
}

enum kn_status gpu_COPY(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *out = &call->out[0], *in = &call->in[0];
    if (out->dtype != KN_F32 || in->dtype != KN_F32 || out->ndim != in->ndim || out->ndim < 1)
        return KN_BAD_CALL;
    for (int i = 0; i < out->ndim; i++)
        if (out->shape[i] != in->shape[i] || (out->shape[i] > 1 && out->stride[i] == 0))
            return KN_BAD_CALL;
    return move(g, out, in);
}

/* Lines of blocks, one by one: such views are read by whoever looks at a weight. */
static enum kn_status read_lines(struct gpu *g, const struct kn_view *v, char *host)
{
    int last = v->ndim - 1;
    size_t line = kn_row_bytes(v->dtype, v->shape[last]);
    int64_t n = kn_count(v) / v->shape[last];
    enum kn_status st = KN_OK;
    for (int64_t i = 0; i < n && !st; i++, host += line) {
        int64_t at = 0, rest = i;
        for (int k = last - 1; k >= 0; rest /= v->shape[k--])
            at += rest % v->shape[k] * v->stride[k];
        st = g->download(g, host, kn_at(v, at), line);
    }
    return st;
}

enum kn_status gpu_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    struct gpu *g = (struct gpu *)be;
    size_t bytes = kn_row_bytes(v->dtype, kn_count(v));
    if (bytes == 0)
        return KN_OK;
    if (packed(v))
        return g->download(g, host, kn_at(v, 0), bytes);
    if (kn_dtype_block(v->dtype) > 1)
        return read_lines(g, v, host);
    struct kn_view from = *v, to = kn_packed(gpu_scratch(g, GPU_SCRATCH_MOVE, bytes), v->dtype,
                                             v->ndim, v->shape);
    if (!to.data)
        return no_room(g);
    from.data = kn_at(v, 0), from.first = 0;
    enum kn_status st = move(g, &to, &from);
    return st ? st : g->download(g, host, to.data, bytes);
}

enum kn_status gpu_write(struct kn_backend *be, const struct kn_view *v, const void *host)
{
    struct gpu *g = (struct gpu *)be;
    size_t bytes = kn_row_bytes(v->dtype, kn_count(v));
    if (bytes == 0)
        return KN_OK;
    if (packed(v))
        return g->upload(g, kn_at(v, 0), host, bytes);
    if (kn_dtype_block(v->dtype) > 1)
        return KN_BAD_CALL; /* weights in blocks are imported */
    struct kn_view to = *v, from = kn_packed(gpu_scratch(g, GPU_SCRATCH_MOVE, bytes), v->dtype,
                                             v->ndim, v->shape);
    if (!from.data)
        return no_room(g);
    to.data = kn_at(v, 0), to.first = 0;
    enum kn_status st = g->upload(g, from.data, host, bytes);
    return st ? st : move(g, &to, &from);
}

enum kn_status gpu_fill(struct kn_backend *be, const struct kn_view *v, float x)
{
    struct four f = four_of(v);
    if (v->dtype != KN_F32 || !view_fits(v))
        return KN_BAD_CALL;
    fill_params p = {kn_at(v, 0),
                     f.stride[0],
                     gpu_i32(f.n[1]),
                     gpu_i32(f.n[2]),
                     gpu_i32(f.n[3]),
                     gpu_i32(f.stride[1]),
                     gpu_i32(f.stride[2]),
                     gpu_i32(f.stride[3]),
                     0,
                     0,
                     x};
    if (!gpu_units(f.n[0] * f.n[1] * f.n[2], f.n[3], &p.units, &p.per_row))
        return KN_BAD_CALL;
    return GPU_LAUNCH((struct gpu *)be, fill, p, p.units, 1);
}

void gpu_close(struct gpu *g)
{
    struct kn_backend *be = &g->base;
    for (int i = 0; i < GPU_SCRATCH_COUNT; i++)
        be->type->release(be, g->scratch[i].mem, g->scratch[i].bytes);
    be->type->release(be, g->bad, sizeof *g->bad);
    be->type->release(be, g->slopes, (size_t)g->slope_heads * sizeof *g->slopes);
}

/* ---- shapes ---- */

bool gpu_rows(const struct kn_call *call, struct call_rows *out, struct call_rows *a,
              struct call_rows *b)
{
    return call_rows(&call->out[0], KN_F32, out) && call_rows(&call->in[0], KN_F32, a) &&
           out->n == a->n && out->len == a->len &&
           (!b || (call_rows(&call->in[1], KN_F32, b) && b->n == a->n && b->len == a->len));
}

bool gpu_is_vector(const struct kn_view *v, int64_t len)
{
    return call_is_weight(v) && call_is(v, v->dtype, 1) && v->shape[0] == len;
}

bool gpu_is3(const struct kn_view *v, int64_t a, int64_t b, int64_t c)
{
    return call_is(v, KN_F32, 3) && v->shape[0] == a && v->shape[1] == b && v->shape[2] == c;
}
