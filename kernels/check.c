/* check.c - "check:A,B": each call on both backends, the results compared.
 *
 * What A computed is also given to B, so that every operation is judged by itself.  Memory is A's;
 * B has a twin of each piece.  Tested in tests/kernels/test_wrap.c. */
#include "wrap.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far results may lie apart, in parts of the largest element of their row; 0: not a bit. */
#define INEXACT 1e-5
/* clang-format off */
static const double TOLERANCE[KN_OP_COUNT] = {
    [KN_OP_NORM_SCALE] = INEXACT,
    [KN_OP_NORMALIZE] = INEXACT,
    [KN_OP_AFFINE] = INEXACT,
    [KN_OP_NORM] = INEXACT,
    [KN_OP_LINEAR] = INEXACT,
    [KN_OP_LINEARS] = INEXACT,
    [KN_OP_ACT] = INEXACT,
    [KN_OP_SOFTCAP] = INEXACT,
    [KN_OP_GATE] = INEXACT,
    [KN_OP_ROPE] = INEXACT,
    [KN_OP_ATTN_SCORES] = INEXACT,
    [KN_OP_SOFTMAX] = INEXACT,
    [KN_OP_ATTN_MIX] = INEXACT,
    [KN_OP_ATTENTION] = INEXACT,
    [KN_OP_HEAD_RESULT] = INEXACT,
    [KN_OP_RESULT_PATCH] = INEXACT,
    [KN_OP_LSE] = INEXACT,
    [KN_OP_ROW_NORM] = INEXACT,
    [KN_OP_ROUTE] = INEXACT,
    [KN_OP_TOP_VALUE] = INEXACT,
    [KN_OP_BLEND] = INEXACT,
    [KN_OP_STATS] = INEXACT,
    [KN_OP_PROJECT] = INEXACT,
    [KN_OP_RENORMALIZE] = INEXACT,
    [KN_OP_RENORMALIZE_VJP] = INEXACT,
    [KN_OP_NORMALIZE_VJP] = INEXACT,
    [KN_OP_NORM_SCALE_VJP] = INEXACT,
    [KN_OP_AFFINE_VJP] = INEXACT,
    [KN_OP_ACT_VJP] = INEXACT,
    [KN_OP_SOFTCAP_VJP] = INEXACT,
    [KN_OP_GATE_VJP] = INEXACT,
    [KN_OP_ROPE_VJP] = INEXACT,
    [KN_OP_ROPE_TABLE_VJP] = INEXACT,
    [KN_OP_SOFTMAX_VJP] = INEXACT,
    [KN_OP_ATTN_SCORES_VJP] = INEXACT,
    [KN_OP_ATTN_MIX_VJP] = INEXACT,
    [KN_OP_ROUTE_VJP] = INEXACT,
    [KN_OP_TOP_VALUE_VJP] = INEXACT,
    [KN_OP_BLEND_VJP] = INEXACT,
    [KN_OP_SOFTMAX_GRAD] = INEXACT,
};
/* clang-format on */

struct check {
    struct kn_backend base;
    struct kn_backend *a, *b;
    struct regions memory; /* at: A's, other: B's */
    struct kn_seen seen[KN_SEEN_COUNT];
    char departure[256];
};

static struct check *checked(struct kn_backend *be)
{
    struct check *c = (struct check *)be;
    c->a->cancel = c->b->cancel = be->cancel;
    return c;
}

static enum kn_status both(enum kn_status a, enum kn_status b)
{
    return a ? a : b;
}

static enum kn_status check_sync(struct kn_backend *be)
{
    struct check *c = checked(be);
    return both(c->a->type->sync(c->a), c->b->type->sync(c->b));
}

static void *check_alloc(struct kn_backend *be, size_t bytes)
{
    struct check *c = checked(be);
    void *a = c->a->type->alloc(c->a, bytes), *b = a ? c->b->type->alloc(c->b, bytes) : NULL;
    if (b && regions_add(&c->memory, (struct region){.at = a, .bytes = bytes, .other = b}))
        return a;
    if (b)
        c->b->type->release(c->b, b, bytes);
    if (a)
        c->a->type->release(c->a, a, bytes);
    return NULL;
}

static void check_release(struct kn_backend *be, void *mem, size_t bytes)
{
    struct check *c = checked(be);
    struct region *r = mem ? regions_at(&c->memory, mem) : NULL;
    if (!mem)
        return;
    if (!r)
        wrap_fail("check", "not device memory", "release", "mem");
    c->a->type->release(c->a, r->at, bytes);
    c->b->type->release(c->b, r->other, bytes);
    regions_remove(&c->memory, r);
}

/* The bytes that a host view spans, on one backend: themselves where it works in host memory. */
static char *side_import(struct kn_backend *be, const struct kn_view *host, size_t span)
{
    char *from = kn_at(host, 0);
    if (be->unified)
        return from;
    char *mem = be->type->alloc(be, span);
    struct kn_view whole = kn_view1(mem, host->dtype,
                                    (int64_t)(span / kn_dtype_bytes(host->dtype)) *
                                        kn_dtype_block(host->dtype));
    if (mem && be->type->write(be, &whole, from)) {
        be->type->release(be, mem, span);
        mem = NULL;
    }
    return mem;
}

static void side_forget(struct kn_backend *be, void *mem, size_t span)
{
    if (!be->unified && mem)
        be->type->release(be, mem, span);
}

static enum kn_status check_import(struct kn_backend *be, const struct kn_view *host,
                                   struct kn_view *device)
{
    struct check *c = checked(be);
    if (!host->ndim) {
        *device = *host;
        return KN_OK;
    }
    size_t span = wrap_span(host);
    char *a = side_import(c->a, host, span), *b = a ? side_import(c->b, host, span) : NULL;
    if (!b || !regions_add(&c->memory, (struct region){.at = a, .bytes = span, .other = b})) {
        side_forget(c->a, a, span);
        side_forget(c->b, b, span);
        return KN_OUT_OF_MEMORY;
    }
    *device = *host;
    device->data = a, device->first %= kn_dtype_block(device->dtype);
    return KN_OK;
}

static void check_forget(struct kn_backend *be, struct kn_view *device)
{
    struct check *c = checked(be);
    struct region *r = device->ndim ? regions_at(&c->memory, device->data) : NULL;
    if (r) {
        side_forget(c->a, r->at, r->bytes);
        side_forget(c->b, r->other, r->bytes);
        regions_remove(&c->memory, r);
    }
    *device = (struct kn_view){0};
}

/* The view on B. */
static struct kn_view twin(const struct check *c, const struct kn_view *v, const char *op,
                           const char *operand)
{
    if (v->ndim == 0 || kn_count(v) == 0)
        return *v;
    struct region *r = regions_find(&c->memory, v);
    if (!r)
        wrap_fail("check", "not device memory", op, operand);
    return region_other(r, v);
}

/* How far apart two numbers are, in parts of `size`: 0 where both are NaN or the same. */
static double apart(double a, double b, double size)
{
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    double d = fabs(a - b) / (size > 0 ? size : 1);
    return isfinite(d) ? d : INFINITY;
}

/* The worst of two results without gaps; *at: where. */
static double floats_apart(const float *a, const float *b, const struct kn_view *v, int64_t *at)
{
    int64_t n = v->shape[v->ndim - 1], count = kn_count(v);
    double worst = 0;
    for (int64_t row = 0; row < count; row += n) {
        double size = 0;
        for (int64_t i = row; i < row + n; i++)
            size = isfinite(a[i]) ? fmax(size, fabs((double)a[i])) : size;
        for (int64_t i = row; i < row + n; i++) {
            double d = apart((double)a[i], (double)b[i], size);
            if (d > worst)
                worst = d, *at = i;
        }
    }
    return worst;
}

static double stats_apart(const struct kn_stats *a, const struct kn_stats *b)
{
    if (a->n != b->n || a->n_nan != b->n_nan || a->n_inf != b->n_inf ||
        a->n_finite != b->n_finite || apart((double)a->min, (double)b->min, 1) > 0 ||
        apart((double)a->max, (double)b->max, 1) > 0)
        return INFINITY;
    double spread = sqrt(a->m2 / fmax((double)a->n_finite, 1)), size = fabs(a->mean) + spread;
    return fmax(apart(a->mean, b->mean, size), apart(a->m2, b->m2, fabs(a->m2)));
}

static double words_apart(const int32_t *a, const int32_t *b, const struct kn_view *v, int64_t *at)
{
    for (int64_t i = 0; i < kn_count(v); i++)
        if (a[i] != b[i]) {
            *at = i;
            return INFINITY;
        }
    return 0;
}

static double result_apart(enum kn_op op, const struct kn_view *v, const void *a, const void *b,
                           int64_t *at)
{
    if (op == KN_OP_STATS)
        return stats_apart(a, b);
    return v->dtype == KN_F32 ? floats_apart(a, b, v, at) : words_apart(a, b, v, at);
}

static void depart(struct check *c, enum kn_op op, int o, const struct kn_view *v, int64_t at,
                   double d, const void *a, const void *b)
{
    if (c->departure[0])
        return;
    struct kn_view pa = kn_view1((void *)(uintptr_t)a, v->dtype, 1), pb = pa;
    pb.data = (void *)(uintptr_t)b;
    snprintf(c->departure, sizeof c->departure,
             "%s · call %lld · out%d · element %lld of %lld · %.9g on %s, %.9g on %s · %.2g of "
             "its row, %.2g is allowed",
             kn_op_name(op), (long long)c->seen[op].calls, o, (long long)at, (long long)kn_count(v),
             (double)kn_load(&pa, at), c->a->type->name, (double)kn_load(&pb, at), c->b->type->name,
             d, TOLERANCE[op]);
}

/* Compare one result, and let B go on with A's. */
static enum kn_status result_check(struct check *c, enum kn_op op, int o, const struct kn_view *v,
                                   const struct kn_view *v_b)
{
    size_t bytes = kn_row_bytes(v->dtype, kn_count(v));
    char *a = v->ndim && bytes ? malloc(2 * bytes) : NULL, *b = a + (a ? bytes : 0);
    int64_t at = 0;
    if (!v->ndim || !bytes)
        return KN_OK;
    if (!a)
        return KN_OUT_OF_MEMORY;
    enum kn_status st = both(c->a->type->read(c->a, v, a), c->b->type->read(c->b, v_b, b));
    st = both(st, check_sync(&c->base));
    if (!st) {
        double d = result_apart(op, v, a, b, &at);
        c->seen[op].worst = fmax(c->seen[op].worst, d);
        if (d > TOLERANCE[op])
            depart(c, op, o, v, at, d, a, b);
        st = c->b->type->write(c->b, v_b, a);
    }
    free(a);
    return st;
}

static enum kn_status check_run(struct kn_backend *be, const struct kn_call *call)
{
    struct check *c = checked(be);
    struct kn_call b = *call;
    if ((unsigned)call->op >= KN_OP_COUNT)
        return KN_BAD_CALL;
    for (int i = 0; i < KN_OUT_MAX; i++)
        b.out[i] = twin(c, &call->out[i], kn_op_name(call->op), wrap_out_name[i]);
    for (int i = 0; i < KN_IN_MAX; i++)
        b.in[i] = twin(c, &call->in[i], kn_op_name(call->op), wrap_in_name[i]);
    enum kn_status st = both(c->a->type->run(c->a, call), c->b->type->run(c->b, &b));
    st = both(st, check_sync(be));
    c->seen[call->op].calls++;
    for (int i = 0; i < KN_OUT_MAX && !st; i++)
        st = result_check(c, call->op, i, &call->out[i], &b.out[i]);
    return st;
}

static enum kn_status check_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    struct check *c = checked(be);
    twin(c, v, "read", "v");
    return c->a->type->read(c->a, v, host);
}

static enum kn_status check_write(struct kn_backend *be, const struct kn_view *v, const void *host)
{
    struct check *c = checked(be);
    struct kn_view b = twin(c, v, "write", "v");
    return both(c->a->type->write(c->a, v, host), c->b->type->write(c->b, &b, host));
}

static enum kn_status check_fill(struct kn_backend *be, const struct kn_view *v, float x)
{
    struct check *c = checked(be);
    struct kn_view b = twin(c, v, "fill", "v");
    return both(c->a->type->fill(c->a, v, x), c->b->type->fill(c->b, &b, x));
}

static void check_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    struct check *c = checked(be);
    size_t total_b, available_b;
    c->a->type->memory(c->a, total, available);
    c->b->type->memory(c->b, &total_b, &available_b);
    *total = *total < total_b ? *total : total_b;
    *available = *available < available_b ? *available : available_b;
}

static const struct kn_seen *check_seen(const struct kn_backend *be, int kind)
{
    return &((const struct check *)be)->seen[kind];
}

static const char *check_departure(const struct kn_backend *be)
{
    const struct check *c = (const struct check *)be;
    return c->departure[0] ? c->departure : NULL;
}

static void check_close(struct kn_backend *be)
{
    struct check *c = checked(be);
    kn_close(c->a);
    kn_close(c->b);
    free(c->memory.list);
    free(c);
}

static const struct kn_backend_type CHECK_TYPE = {
    .name = "check",
    .alloc = check_alloc,
    .release = check_release,
    .import = check_import,
    .forget = check_forget,
    .run = check_run,
    .sync = check_sync,
    .read = check_read,
    .write = check_write,
    .fill = check_fill,
    .memory = check_memory,
    .seen = check_seen,
    .departure = check_departure,
    .close = check_close,
};

struct kn_backend *check_new(struct kn_backend *a, struct kn_backend *b)
{
    struct check *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->a = a, c->b = b;
    c->base.type = &CHECK_TYPE;
    wrap_promise(&c->base, a, "check");
    c->base.unified = false;
    if (b->alloc_max < a->alloc_max)
        c->base.alloc_max = b->alloc_max;
    return &c->base;
}

struct kn_backend *check_open(const struct kn_options *opt, const char *inner, char *why,
                              size_t why_size)
{
    char first[64];
    size_t n = strcspn(inner, ",");
    if (!inner[n] || n >= sizeof first) {
        snprintf(why, why_size, "check · compares two backends, as in check:cpu,fence:cpu");
        errno = EINVAL;
        return NULL;
    }
    snprintf(first, sizeof first, "%.*s", (int)n, inner);
    struct kn_backend *a = wrap_inner(opt, first, why, why_size),
                      *b = a ? wrap_inner(opt, inner + n + 1, why, why_size) : NULL,
                      *be = b ? check_new(a, b) : NULL;
    if (be)
        return be;
    int error = b ? ENOMEM : errno;
    if (b)
        snprintf(why, why_size, "out of memory · opening check");
    kn_close(a);
    kn_close(b);
    errno = error;
    return NULL;
}
