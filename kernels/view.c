/* view.c - types and views: sizes, parts, and their elements in host memory.
 *
 * The one place that turns an element's index into an address.  Tested in tests/kernels/test_kn.c.
 */
#include "kn.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "half.h"
#include "quant.h"

static const struct {
    const char *name;
    int64_t block; /* elements stored together */
    size_t bytes;  /* of a block */
} DTYPES[KN_DTYPE_COUNT] = {
#define KN_DTYPE(id, name, bytes) [KN_##id] = {name, 1, bytes},
#define KN_BLOCKS(id, name, elements, bytes) [KN_##id] = {name, elements, bytes},
#include "dtype.def"
};

const char *kn_dtype_name(enum kn_dtype t)
{
    assert((unsigned)t < KN_DTYPE_COUNT);
    return DTYPES[t].name;
}

int64_t kn_dtype_block(enum kn_dtype t)
{
    assert((unsigned)t < KN_DTYPE_COUNT);
    return DTYPES[t].block;
}

size_t kn_dtype_bytes(enum kn_dtype t)
{
    assert((unsigned)t < KN_DTYPE_COUNT);
    return DTYPES[t].bytes;
}

size_t kn_row_bytes(enum kn_dtype t, int64_t n)
{
    int64_t block = kn_dtype_block(t);
    assert(n >= 0 && n % block == 0);
    return (size_t)(n / block) * DTYPES[t].bytes;
}

int64_t kn_count(const struct kn_view *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++)
        n *= v->shape[i];
    return n;
}

struct kn_view kn_packed(void *data, enum kn_dtype t, int ndim, const int64_t *shape)
{
    struct kn_view v = {.data = data, .dtype = t, .ndim = ndim};
    int64_t n = 1;
    for (int i = ndim - 1; i >= 0; n *= shape[i--])
        v.shape[i] = shape[i], v.stride[i] = n;
    return v;
}

struct kn_view kn_view3(void *data, enum kn_dtype t, int64_t a, int64_t b, int64_t c)
{
    return (struct kn_view){data, t, 3, {a, b, c}, {b * c, c, 1}, 0};
}

struct kn_view kn_view2(void *data, enum kn_dtype t, int64_t a, int64_t b)
{
    return (struct kn_view){data, t, 2, {a, b}, {b, 1}, 0};
}

struct kn_view kn_view1(void *data, enum kn_dtype t, int64_t a)
{
    return (struct kn_view){data, t, 1, {a}, {1}, 0};
}

struct kn_view kn_moved(struct kn_view v, int64_t elements)
{
    v.first += elements;
    return v;
}

struct kn_view kn_slice(struct kn_view v, int dim, int64_t lo, int64_t hi)
{
    assert(dim >= 0 && dim < v.ndim && 0 <= lo && lo <= hi && hi <= v.shape[dim]);
    v.first += lo * v.stride[dim];
    v.shape[dim] = hi - lo;
    return v;
}

/* Axis `dim` is no more. */
static void drop_axis(struct kn_view *v, int dim)
{
    v->ndim--;
    for (int i = dim; i < v->ndim; i++)
        v->shape[i] = v->shape[i + 1], v->stride[i] = v->stride[i + 1];
}

struct kn_view kn_index(struct kn_view v, int dim, int64_t i)
{
    v = kn_slice(v, dim, i, i + 1);
    drop_axis(&v, dim);
    return v;
}

struct kn_view kn_join(struct kn_view v, int dim)
{
    assert(dim >= 0 && dim + 1 < v.ndim);
    int64_t n = v.shape[dim + 1], stride = v.stride[dim + 1];
    assert(v.shape[dim] <= 1 || v.stride[dim] == n * stride);
    drop_axis(&v, dim + 1);
    v.shape[dim] *= n;
    v.stride[dim] = stride;
    return v;
}

struct kn_view kn_swap(struct kn_view v, int a, int b)
{
    struct kn_view t = v;
    assert(a >= 0 && a < v.ndim && b >= 0 && b < v.ndim);
    t.shape[a] = v.shape[b], t.stride[a] = v.stride[b];
    t.shape[b] = v.shape[a], t.stride[b] = v.stride[a];
    return t;
}

void *kn_at(const struct kn_view *host, int64_t i)
{
    int64_t at = host->first + i;
    return (char *)host->data + kn_row_bytes(host->dtype, at - at % kn_dtype_block(host->dtype));
}

float *kn_f32(const struct kn_view *host)
{
    assert(host->dtype == KN_F32);
    return (float *)host->data + host->first;
}

/* decode, of a type in blocks: each is decoded once for the elements that follow each other in it.
 */
static void decode_blocks(enum kn_dtype t, const void *data, int64_t i, int64_t stride, int64_t n,
                          float *dst)
{
    int64_t block = kn_dtype_block(t), held = -1;
    float x[QUANT_BLOCK_MAX];
    if (stride == 1) {
        quant_decode_span(t, data, i, n, dst);
        return;
    }
    for (int64_t k = 0; k < n; k++, i += stride) {
        if (i / block != held) {
            held = i / block;
            quant_decode(t, (const char *)data + kn_row_bytes(t, held * block), x);
        }
        dst[k] = x[i % block];
    }
}

/* n elements of type t that lie `stride` apart, from element i of `data` on. */
static void decode(enum kn_dtype t, const void *data, int64_t i, int64_t stride, int64_t n,
                   float *dst)
{
    const float *f = data;
    const uint16_t *h = data;
    const int32_t *w = data;
    switch (t) {
    case KN_F32:
        if (stride == 1 && n > 0)
            memcpy(dst, f + i, (size_t)n * sizeof *dst);
        else
            for (int64_t k = 0; k < n; k++)
                dst[k] = f[i + k * stride];
        break;
    case KN_F16:
        for (int64_t k = 0; k < n; k++)
            dst[k] = half_from_f16(h[i + k * stride]);
        break;
    case KN_BF16:
        for (int64_t k = 0; k < n; k++)
            dst[k] = half_from_bf16(h[i + k * stride]);
        break;
    case KN_I32:
        for (int64_t k = 0; k < n; k++)
            dst[k] = (float)w[i + k * stride];
        break;
    default: decode_blocks(t, data, i, stride, n, dst);
    }
}

float kn_load(const struct kn_view *host, int64_t i)
{
    float x;
    decode(host->dtype, host->data, host->first + i, 1, 1, &x);
    return x;
}

/* A view as lines of its last axis: the axes before it, missing ones of one element. */
struct lines {
    int64_t shape[KN_DIM_MAX - 1], step[KN_DIM_MAX - 1], n, stride;
};

static struct lines lines_of(const struct kn_view *v)
{
    struct lines l = {.shape = {1, 1, 1}, .n = 1, .stride = 1};
    int last = v->ndim - 1, lead = KN_DIM_MAX - 1 - last;
    for (int i = 0; i < last; i++)
        l.shape[lead + i] = v->shape[i], l.step[lead + i] = v->stride[i];
    if (last >= 0)
        l.n = v->shape[last], l.stride = v->stride[last];
    return l;
}

/* For each line of `v` in its order: the element it starts at, counted from the first. */
#define EACH_LINE(l, at)                                                                         \
    for (int64_t a_ = 0; a_ < (l)->shape[0]; a_++)                                               \
        for (int64_t b_ = 0; b_ < (l)->shape[1]; b_++)                                           \
            for (int64_t c_ = 0, at = a_ * (l)->step[0] + b_ * (l)->step[1]; c_ < (l)->shape[2]; \
                 c_++, at += (l)->step[2])

void kn_decode_rows(const struct kn_view *host, int64_t row0, int64_t rows, float *dst)
{
    assert(host->ndim > 0);
    struct kn_view v = kn_slice(*host, 0, row0, row0 + rows);
    struct lines l = lines_of(&v);
    EACH_LINE(&l, at)
    {
        decode(v.dtype, v.data, v.first + at, l.stride, l.n, dst);
        dst += l.n;
    }
}

/* n units of `size` bytes, `to` and `from` units apart. */
static void move(char *dst, int64_t to, const char *src, int64_t from, int64_t n, size_t size)
{
    if (to == 1 && from == 1 && n > 0)
        memmove(dst, src, (size_t)n * size);
    else if (size == 4)
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * to * 4, src + i * from * 4, 4);
    else
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * to * (int64_t)size, src + i * from * (int64_t)size, size);
}

void kn_pack(const struct kn_view *host, void *dst)
{
    struct lines l = lines_of(host);
    size_t size = DTYPES[host->dtype].bytes, line = kn_row_bytes(host->dtype, l.n);
    char *to = dst;
    EACH_LINE(&l, at)
    {
        move(to, 1, kn_at(host, at), l.stride, l.n / kn_dtype_block(host->dtype), size);
        to += line;
    }
}

void kn_unpack(const struct kn_view *host, const void *src)
{
    struct lines l = lines_of(host);
    size_t size = DTYPES[host->dtype].bytes, line = kn_row_bytes(host->dtype, l.n);
    const char *from = src;
    EACH_LINE(&l, at)
    {
        move(kn_at(host, at), l.stride, from, 1, l.n / kn_dtype_block(host->dtype), size);
        from += line;
    }
}

void kn_fill(const struct kn_view *host, float x)
{
    struct lines l = lines_of(host);
    float *p = kn_f32(host);
    EACH_LINE(&l, at)
    for (int64_t i = 0; i < l.n; i++)
        p[at + i * l.stride] = x;
}

static void stats_count(struct kn_stats *s, float x, bool masked)
{
    if (isnan(x)) {
        s->n_nan++;
        return;
    }
    bool hidden = masked && x == -INFINITY;
    s->n_inf += isinf(x) && !hidden;
    s->min = isnan(s->min) || x < s->min ? x : s->min;
    if (!hidden)
        s->max = isnan(s->max) || x > s->max ? x : s->max;
}

void kn_stats(const struct kn_view *host, bool masked, struct kn_stats *out)
{
    struct lines l = lines_of(host);
    struct kn_stats s = {.n = kn_count(host), .min = NAN, .max = NAN};
    const float *x = kn_f32(host);
    double sum = 0;
    EACH_LINE(&l, at)
    for (int64_t i = at, n = 0; n < l.n; n++, i += l.stride) {
        stats_count(&s, x[i], masked);
        if (isfinite(x[i]))
            sum += (double)x[i], s.n_finite++;
    }
    s.mean = s.n_finite ? sum / (double)s.n_finite : 0;
    EACH_LINE(&l, at)
    for (int64_t i = at, n = 0; n < l.n; n++, i += l.stride)
        if (isfinite(x[i]))
            s.m2 += ((double)x[i] - s.mean) * ((double)x[i] - s.mean);
    *out = s;
}
