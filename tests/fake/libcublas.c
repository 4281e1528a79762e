/* libcublas.c - cuBLAS on the fake driver: the product by plain loops, in the stream's order; it
 * refuses what the real one refuses.  FAKE_CUBLAS_ROWS=1: rows have other bits in another number of
 * rows, as the real one's may. */
#include "fake.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALLOC_FAILED = 3, BAD_VALUE = 7, FAILED = 13, NOT_SUPPORTED = 15 };
enum { F32 = 0, BF16 = 14, COMPUTE_F32 = 68, COMPUTE_F32_PEDANTIC = 69 };

struct handle {
    struct cu_stream_s *stream;
};

struct product {
    bool turn_a, turn_b, backwards;
    int m, n, k, a_type, b_type, a_stride, b_stride, c_stride;
    const char *a, *b;
    float *c, alpha, beta;
};

int cublasCreate_v2(void **handle);
int cublasDestroy_v2(void *handle);
int cublasSetStream_v2(void *handle, struct cu_stream_s *s);
int cublasSetMathMode(void *handle, int mode);
int cublasGemmEx(void *handle, int op_a, int op_b, int m, int n, int k, const float *alpha,
                 const void *a, int a_type, int a_stride, const void *b, int b_type, int b_stride,
                 const float *beta, void *c, int c_type, int c_stride, int compute, int algorithm);

static int entered(void)
{
    int code = fake_cuda_enter();
    return code == 2 ? ALLOC_FAILED : code ? FAILED : 0;
}

static float element(const char *p, int type, int64_t i)
{
    float x;
    uint16_t h;
    if (type == F32) {
        memcpy(&x, p + 4 * i, sizeof x);
        return x;
    }
    memcpy(&h, p + 2 * i, sizeof h);
    uint32_t u = (uint32_t)h << 16;
    memcpy(&x, &u, sizeof x);
    return x;
}

static float sum_of(const struct product *p, int row, int column)
{
    float sum = 0;
    for (int i = 0; i < p->k; i++) {
        int64_t k = p->backwards ? p->k - 1 - i : i;
        int64_t a = p->turn_a ? (int64_t)row * p->a_stride + k : k * p->a_stride + row,
                b = p->turn_b ? k * p->b_stride + column : (int64_t)column * p->b_stride + k;
        sum += element(p->a, p->a_type, a) * element(p->b, p->b_type, b);
    }
    return sum;
}

static void product_do(void *arg)
{
    struct product *p = arg;
    for (int column = 0; column < p->n; column++)
        for (int row = 0; row < p->m; row++) {
            float *c = &p->c[(int64_t)column * p->c_stride + row];
            *c = p->alpha * sum_of(p, row, column) + (p->beta != 0 ? p->beta * *c : 0);
        }
    free(p);
}

int cublasCreate_v2(void **handle)
{
    int code = entered();
    if (!code && !(*handle = calloc(1, sizeof(struct handle))))
        return ALLOC_FAILED;
    return code;
}

int cublasDestroy_v2(void *handle)
{
    free(handle);
    return entered();
}

int cublasSetStream_v2(void *handle, struct cu_stream_s *s)
{
    ((struct handle *)handle)->stream = s;
    return entered();
}

int cublasSetMathMode(void *handle, int mode)
{
    (void)handle;
    int code = entered();
    return code ? code : mode < 0 ? BAD_VALUE : 0;
}

int cublasGemmEx(void *handle, int op_a, int op_b, int m, int n, int k, const float *alpha,
                 const void *a, int a_type, int a_stride, const void *b, int b_type, int b_stride,
                 const float *beta, void *c, int c_type, int c_stride, int compute, int algorithm)
{
    int code = entered();
    if (code)
        return code;
    if (a_type != b_type || (a_type != F32 && a_type != BF16) || c_type != F32 ||
        (compute != COMPUTE_F32 && compute != COMPUTE_F32_PEDANTIC) || algorithm != -1)
        return NOT_SUPPORTED;
    if (m < 0 || n < 0 || k < 0 || a_stride < (op_a ? k : m) || b_stride < (op_b ? n : k) ||
        c_stride < m)
        return BAD_VALUE;
    struct product *p = malloc(sizeof *p);
    if (!p)
        return ALLOC_FAILED;
    const char *uneven = getenv("FAKE_CUBLAS_ROWS");
    *p = (struct product){.turn_a = op_a,
                          .turn_b = op_b,
                          .backwards = uneven && *uneven == '1' && n > 64,
                          .m = m,
                          .n = n,
                          .k = k,
                          .a_type = a_type,
                          .b_type = b_type,
                          .a_stride = a_stride,
                          .b_stride = b_stride,
                          .c_stride = c_stride,
                          .a = a,
                          .b = b,
                          .c = c,
                          .alpha = *alpha,
                          .beta = *beta};
    fake_cuda_queue(((struct handle *)handle)->stream, product_do, p);
    return 0;
}
