/* blas.c - products by cuBLAS, opened at run time where it is asked for.
 *
 * It takes no operands of two types.  So activations for bf16 weights are three rows of bf16 each,
 * whose sum they are (terms.k): one product of 3 m rows reads the weights once, on matrix units,
 * and its results are joined; f32 weights are multiplied as f32, without TF32.  Other types are our
 * own kernels' to make.  Rows may have other bits in another number of rows: what is promised of
 * them is what a probe finds.
 *
 * Names and numbers as in the cuBLAS reference.  Tested in tests/kernels/test_cuda_blas.c. */
#include "cuda.h"

#include "../gpu/lower.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NO_TRANSPOSE = 0,
    TRANSPOSE = 1,
    TYPE_F32 = 0,
    TYPE_BF16 = 14,
    COMPUTE_F32 = 68,
    COMPUTE_F32_PEDANTIC = 69,
    ALGORITHM = -1, /* its own choice */
    FULL_SUMS = 16, /* CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION */
    ALLOC_FAILED = 3,
    TERMS = 3,
    PART_BYTES = 64 << 20 /* of results that wait to be joined */
};

struct cuda_blas {
    void *lib, *handle;
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    int (*set_stream)(void *handle, cu_stream s);
    int (*set_mode)(void *handle, int mode);
    /* Column-major: c[m,n] = alpha op(a)[m,k] op(b)[k,n] + beta c. */
    int (*gemm)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha,
                const void *a, int a_type, int a_stride, const void *b, int b_type, int b_stride,
                const void *beta, void *c, int c_type, int c_stride, int compute, int algorithm);
};

static enum kn_status blas_status(struct cuda *c, int r)
{
    if (r == ALLOC_FAILED)
        return KN_OUT_OF_MEMORY;
    return r ? (c->failed = KN_DEVICE_LOST) : KN_OK;
}

/* y[rows, n] = x[rows, k] . w[n, k]^T, and what y holds where `onto` is 1; x and w of one type. */
static enum kn_status gemm(struct cuda *c, const struct gpu_product *q, const char *w, int type,
                           const char *x, int64_t x_stride, int64_t rows, char *y, int64_t y_stride,
                           float onto)
{
    const float one = 1;
    const struct cuda_blas *b = c->blas;
    enum kn_status st = cuda_enter(c);
    return st ? st
              : blas_status(c, b->gemm(b->handle, q->nk ? TRANSPOSE : NO_TRANSPOSE, NO_TRANSPOSE,
                                       gpu_i32(q->n), gpu_i32(rows), gpu_i32(q->k), &one, w, type,
                                       gpu_i32(q->w_stride), x, type, gpu_i32(x_stride), &onto, y,
                                       TYPE_F32, gpu_i32(y_stride),
                                       type == TYPE_F32 ? COMPUTE_F32_PEDANTIC : COMPUTE_F32,
                                       ALGORITHM));
}

/* The bias of a group in every row first. */
static enum kn_status f32_group(struct cuda *c, const struct gpu_product *q, int64_t i)
{
    char *y = q->y + i * q->y_group * 4;
    enum kn_status st = KN_OK;
    if (q->b) {
        struct kn_view from = kn_view2((char *)q->b->data + i * q->b_group * 4, KN_F32, q->m, q->n),
                       to = kn_view2(y, KN_F32, q->m, q->n);
        from.stride[0] = 0, to.stride[0] = q->y_stride;
        struct kn_call copy = {.op = KN_OP_COPY, .out = {to}, .in = {from}};
        st = gpu_run(&c->gpu.base, &copy);
    }
    return st ? st
              : gemm(c, q, q->w + i * q->w_group * 4, TYPE_F32, q->x + i * q->x_group * 4,
                     q->x_stride, q->m, y, q->y_stride, q->b ? 1 : 0);
}

/* Rows [lo, lo + rows) of every group, whose x is one. */
static enum kn_status bf16_rows(struct cuda *c, const struct gpu_product *q, int64_t lo,
                                int64_t rows, char *term, char *part)
{
    struct gpu *g = &c->gpu;
    terms_params s = {.y = term,
                      .x = q->x + lo * q->x_stride * 4,
                      .m = gpu_i32(rows),
                      .len = gpu_i32(q->k),
                      .x_stride = gpu_i32(q->x_stride)};
    if (!gpu_units(rows, q->k, &s.units, &s.per_row))
        return KN_BAD_CALL;
    enum kn_status st = GPU_LAUNCH(g, terms, s, s.units, 1);
    for (int64_t i = 0; i < q->groups && !st; i++) {
        size_t b_bytes = q->b ? kn_row_bytes(q->b->dtype, i * q->b_group) : 0;
        join_params j = {.y = q->y + (lo * q->y_stride + i * q->y_group) * 4,
                         .part = part,
                         .b = q->b ? (char *)q->b->data + b_bytes : NULL,
                         .len = gpu_i32(q->n),
                         .rows = gpu_i32(rows),
                         .y_stride = gpu_i32(q->y_stride),
                         .b_type = q->b ? gpu_type(q->b) : -1};
        if (!gpu_units(rows, q->n, &j.units, &j.per_row))
            return KN_BAD_CALL;
        st = gemm(c, q, q->w + i * q->w_group * 2, TYPE_BF16, term, q->k, TERMS * rows, part, q->n,
                  0);
        st = st ? st : GPU_LAUNCH(g, join, j, j.units, 1);
    }
    return st;
}

static enum kn_status bf16_product(struct cuda *c, const struct gpu_product *q)
{
    int64_t row = TERMS * q->n * 4, step = PART_BYTES / row;
    step = step < 1 ? 1 : step < q->m ? step : q->m;
    char *term = gpu_scratch(&c->gpu, GPU_SCRATCH_TERM, (size_t)(TERMS * step * q->k * 2)),
         *part = gpu_scratch(&c->gpu, GPU_SCRATCH_PART, (size_t)(step * row));
    enum kn_status st = term && part ? KN_OK : KN_OUT_OF_MEMORY;
    for (int64_t lo = 0; lo < q->m && !st; lo += step)
        st = bf16_rows(c, q, lo, lo + step < q->m ? step : q->m - lo, term, part);
    return st;
}

/* Rows that share elements are an error to cuBLAS, whose end would be the device's; how far one
 * alone lies from the next says nothing. */
static bool rows_apart(int64_t rows, int64_t len, int64_t *stride)
{
    if (rows == 1)
        *stride = len;
    return *stride >= len;
}

static bool product(struct gpu *g, const struct gpu_product *given, enum kn_status *st)
{
    struct cuda *c = (struct cuda *)g;
    struct gpu_product q = *given;
    if (!rows_apart(q.nk ? q.n : q.k, q.nk ? q.k : q.n, &q.w_stride))
        return false;
    if (q.type == KN_BF16 && q.x_group == 0) {
        *st = bf16_product(c, &q);
        return true;
    }
    if (q.type != KN_F32 || (q.b && q.b->dtype != KN_F32) || !rows_apart(q.m, q.k, &q.x_stride) ||
        !rows_apart(q.m, q.n, &q.y_stride))
        return false;
    *st = KN_OK;
    for (int64_t i = 0; i < q.groups && !*st; i++)
        *st = f32_group(c, &q, i);
    return true;
}

/* ---- opening ---- */

enum { PROBE_K = 256, PROBE_N = 64, PROBE_M = 160 };

/* One product of m rows, its results to the host. */
static enum kn_status probe_run(struct cuda *c, char *mem, enum kn_dtype type, int64_t m, float *y)
{
    struct kn_backend *be = &c->gpu.base;
    float *x = (float *)(void *)mem, *to = x + PROBE_M * PROBE_K, *w = to + PROBE_M * PROBE_N;
    struct kn_view out = kn_view2(to, KN_F32, m, PROBE_N);
    struct kn_call call = {
        .op = KN_OP_LINEAR,
        .out = {out},
        .in = {kn_view2(x, KN_F32, m, PROBE_K), kn_view2(w, type, PROBE_N, PROBE_K)}};
    enum kn_status st = gpu_run(be, &call);
    st = st ? st : gpu_read(be, &out, y);
    return st ? st : gpu_sync(be);
}

/* Numbers in [-1, 1) that are bf16, too, where they stand in the upper half of a word. */
static uint32_t probe_bits(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    float x = (float)(int32_t)*state / 0x1p31f;
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

/* Has a row the same bits in whatever number of rows, as far as some of them tell? */
static enum kn_status probe(struct cuda *c, char *mem, float *host, bool *exact)
{
    static const int64_t rows[] = {1, 2, 3, 5, 8, 16, 17, 33, 64, 128};
    enum { COUNT = PROBE_K * (PROBE_M + PROBE_N) + PROBE_M * PROBE_N };
    struct kn_view all = kn_view1(mem, KN_I32, COUNT);
    uint32_t state = 1, *bits = (uint32_t *)(void *)host;
    for (int i = 0; i < COUNT; i++)
        bits[i] = probe_bits(&state);
    enum kn_status st = gpu_write(&c->gpu.base, &all, host);
    *exact = true;
    for (int t = 0; t < 2 && !st; t++) {
        enum kn_dtype type = t ? KN_BF16 : KN_F32;
        float *whole = host, *some = host + PROBE_M * PROBE_N;
        st = probe_run(c, mem, type, PROBE_M, whole);
        for (size_t i = 0; i < sizeof rows / sizeof *rows && !st; i++) {
            st = probe_run(c, mem, type, rows[i], some);
            size_t bytes = (size_t)rows[i] * PROBE_N * sizeof *some;
            *exact &= memcmp(whole, some, bytes) == 0;
        }
    }
    return st;
}

static enum kn_status probe_rows(struct cuda *c)
{
    enum { BYTES = 4 * (PROBE_K * (PROBE_M + PROBE_N) + PROBE_M * PROBE_N) };
    struct kn_backend *be = &c->gpu.base;
    bool exact = false;
    char *mem = be->type->alloc(be, BYTES);
    float *host = malloc(BYTES);
    enum kn_status st = mem && host ? probe(c, mem, host, &exact) : KN_OUT_OF_MEMORY;
    be->type->release(be, mem, BYTES);
    free(host);
    be->exact_rows = exact;
    return st;
}

static bool symbols_load(struct cuda_blas *b)
{
    static const char *const names[] = {"cublasCreate_v2", "cublasDestroy_v2", "cublasSetStream_v2",
                                        "cublasSetMathMode", "cublasGemmEx"};
    void **to[] = {(void **)&b->create, (void **)&b->destroy, (void **)&b->set_stream,
                   (void **)&b->set_mode, (void **)&b->gemm};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*to[i] = dlsym(b->lib, names[i])))
            return false;
    return true;
}

static int library_open(struct cuda_blas *b, struct cuda *c)
{
    int r = b->create(&b->handle);
    r = r ? r : b->set_stream(b->handle, c->stream);
    return r ? r : b->set_mode(b->handle, FULL_SUMS);
}

bool cuda_blas_open(struct cuda *c, char *why, size_t why_size)
{
    struct cuda_blas *b = calloc(1, sizeof *b);
    if (!(c->blas = b)) {
        snprintf(why, why_size, "out of memory · opening cuBLAS");
        return false;
    }
    /* It stays, as the driver does: what it keeps for a thread goes when the thread ends. */
    static const char *const names[] = {"libcublas.so.13", "libcublas.so.12", "libcublas.so.11"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !b->lib; i++)
        b->lib = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!b->lib || !symbols_load(b)) {
        snprintf(why, why_size,
                 "no cuBLAS here · libcublas.so.13, .12 or .11 was not found · without --blas "
                 "products are the program's own");
        return false;
    }
    int r = library_open(b, c);
    c->gpu.product = product;
    enum kn_status st = r ? KN_OK : probe_rows(c);
    if (r || st)
        snprintf(why, why_size, "cuBLAS · it could not be opened on %.40s · %s %d",
                 c->gpu.base.describe, r ? "status" : "a first product failed, status",
                 r ? r : (int)st);
    return !r && !st;
}

void cuda_blas_close(struct cuda *c)
{
    struct cuda_blas *b = c->blas;
    if (b && b->handle)
        b->destroy(b->handle);
    if (b && b->lib)
        dlclose(b->lib);
    free(b);
}
