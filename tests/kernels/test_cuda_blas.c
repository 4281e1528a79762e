/* test_cuda_blas.c - products by cuBLAS on a driver without a device (tests/fake): within the
 * stated tolerance of exact ones, of every layout; what is promised of rows; and every call fails
 * in turn. */
#include "ktest.h"

#include "fake.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct kn_backend *opened(char *why, size_t size)
{
    return kn_open(&(struct kn_options){.backend = "cuda+cublas", .threads = 1, .cpu = -1}, why,
                   size);
}

/* A product on a device: operands of the host's, w and b imported, x with a gap behind each row. */
struct product {
    int64_t m, n, k, groups, pad;
    enum kn_dtype type, bias; /* bias KN_DTYPE_COUNT: none */
    bool turned;              /* w lies as a Conv1D's */
};

static struct kn_view weights(const struct product *p)
{
    int64_t n = p->groups * p->n;
    struct kn_view w = p->turned ? kt_transposed(p->type, p->pad, n, p->k)
                                 : KT(p->type, p->pad, n, p->k);
    kt_fill(&w, -1, 1);
    return w;
}

static double expected(const struct kn_view *x, const struct kn_view *w, const struct kn_view *b,
                       int64_t m, int64_t n, int64_t k, double *size)
{
    double sum = b->ndim ? kt_at(b, n, 0, 0) : 0;
    *size = fabs(sum);
    for (int64_t i = 0; i < k; i++) {
        double term = kt_at(x, m, i, 0) * kt_at(w, n, i, 0);
        sum += term, *size += fabs(term);
    }
    return sum;
}

static enum kn_status run(struct kn_backend *be, const struct product *p, bool check)
{
    struct kn_view x = KT(KN_F32, p->pad, p->m, p->k), w = weights(p), b = {0}, dw = {0}, db = {0},
                   dx = {0};
    int64_t all = p->groups * p->n;
    float *y = kt_alloc((size_t)(p->m * all) * sizeof *y);
    if (p->bias != KN_DTYPE_COUNT)
        b = KT(p->bias, 0, all);
    enum kn_status st = be->type->import(be, &w, &dw);
    st = st ? st : be->type->import(be, &b, &db);
    st = st ? st : be->type->import(be, &x, &dx);
    size_t bytes = (size_t)(p->m * all) * sizeof *y;
    void *mem = st ? NULL : be->type->alloc(be, bytes);
    struct kn_view out = p->groups > 1 ? kn_view3(mem, KN_F32, p->m, p->groups, p->n)
                                       : kn_view2(mem, KN_F32, p->m, p->n);
    const struct kn_call call = {.op = KN_OP_LINEAR, .out = {out}, .in = {dx, dw, db}};
    st = st ? st : mem ? kn_run(be, &call) : KN_OUT_OF_MEMORY;
    st = st ? st : be->type->read(be, &out, y);
    enum kn_status waited = be->type->sync(be);
    st = st ? st : waited;
    for (int64_t i = 0; !st && check && i < p->m * all; i++) {
        double size, want = expected(&x, &w, &b, i / all, i % all, p->k, &size);
        if (!(fabs((double)y[i] - want) <= 2e-6 * size))
            fail_msg("element %lld is %g, not %g", (long long)i, (double)y[i], want);
    }
    be->type->release(be, mem, bytes);
    be->type->forget(be, &dw), be->type->forget(be, &db), be->type->forget(be, &dx);
    kt_free();
    return st;
}

static void test_faults(void **state)
{
    (void)state;
    const struct product p = {3, 5, 7, 2, 1, KN_BF16, KN_F32, false};
    for (int code = 2; code <= 700; code += 698)
        for (long n = 1, came = 1; came; n += n > 30 ? 19 : 3) {
            char why[160] = "";
            fake_cuda_fail(n, code);
            struct kn_backend *be = opened(why, sizeof why);
            enum kn_status st = be ? run(be, &p, true) : KN_OK;
            if (!be && (!*why || strchr(why, '\n')))
                fail_msg("call %ld fails with %d: '%s'", n, code, why);
            assert_true(st == KN_OK || st == KN_OUT_OF_MEMORY || st == KN_DEVICE_LOST);
            if (st)
                assert_int_equal(run(be, &p, true), code == 2 ? KN_OK : KN_DEVICE_LOST);
            kn_close(be);
            came = fake_cuda_calls() >= n;
            assert_true(came || (be && !st));
            assert_int_equal(fake_cuda_left(), 0);
        }
    fake_cuda_fail(0, 0);
}

static void test_products(void **state)
{
    (void)state;
    char why[160] = "";
    struct kn_backend *be = opened(why, sizeof why);
    if (!be)
        fail_msg("%s", why);
    assert_true(be->blas && strstr(be->describe, "+cublas"));
    static const enum kn_dtype types[] = {KN_F32, KN_BF16, KN_F16};
    static const enum kn_dtype biases[] = {KN_DTYPE_COUNT, KN_F32, KN_BF16};
    for (int t = 0; t < 3; t++)
        for (int b = 0; b < 3; b++)
            for (int turned = 0; turned < 2; turned++)
                for (int groups = 1; groups < 4; groups += 2)
                    for (int64_t m = 1; m < 40; m += 18) {
                        const struct product p = {m, 13,       33,        groups,
                                                  3, types[t], biases[b], turned};
                        assert_int_equal(run(be, &p, true), KN_OK);
                    }
    kn_close(be);
    assert_int_equal(fake_cuda_left(), 0);
}

/* Rows of x that are one and the same, and a single row whose stride is any: neither is for cuBLAS
 * to see, and the results are those of rows that lie apart. */
static void test_strides(void **state)
{
    (void)state;
    enum { M = 2, N = 5, K = 7 };
    char why[160] = "";
    struct kn_backend *be = opened(why, sizeof why);
    assert_non_null(be);
    for (int t = 0; t < 2; t++) {
        struct kn_view x = KT(KN_F32, 0, 1, K), w = KT(t ? KN_BF16 : KN_F32, 0, N, K), dx, dw;
        float y[2][M * N];
        kt_fill(&w, -1, 1);
        assert_int_equal(be->type->import(be, &x, &dx), KN_OK);
        assert_int_equal(be->type->import(be, &w, &dw), KN_OK);
        char *mem = be->type->alloc(be, sizeof y[0]);
        for (int64_t m = 1; m <= M; m++) {
            struct kn_view out = kn_view2(mem, KN_F32, m, N), rows = dx;
            rows.shape[0] = m, rows.stride[0] = 0;
            out.stride[0] = m == 1 ? 1 : N;
            const struct kn_call call = {.op = KN_OP_LINEAR, .out = {out}, .in = {rows, dw}};
            assert_int_equal(kn_run(be, &call), KN_OK);
            assert_int_equal(be->type->read(be, &out, y[m - 1]), KN_OK);
            assert_int_equal(be->type->sync(be), KN_OK);
        }
        for (int i = 0; i < M * N; i++) {
            double size, want = expected(&x, &w, &(struct kn_view){0}, 0, i % N, K, &size);
            assert_true(fabs((double)y[1][i] - want) <= 2e-6 * size);
            assert_true(fabs((double)y[0][i % N] - want) <= 2e-6 * size);
        }
        be->type->release(be, mem, sizeof y[0]);
        be->type->forget(be, &dx), be->type->forget(be, &dw);
        kt_free();
    }
    kn_close(be);
    assert_int_equal(fake_cuda_left(), 0);
}

static void test_promise(void **state)
{
    (void)state;
    char why[160] = "";
    struct kn_backend *be = opened(why, sizeof why);
    assert_true(be && be->exact_rows);
    kn_close(be);
    setenv("FAKE_CUBLAS_ROWS", "1", 1);
    be = opened(why, sizeof why);
    assert_true(be && !be->exact_rows);
    kn_close(be);
    unsetenv("FAKE_CUBLAS_ROWS");
    be = kn_open(&(struct kn_options){.backend = "cuda", .threads = 1, .cpu = -1}, why, sizeof why);
    assert_true(be && be->exact_rows && !be->blas && !strstr(be->describe, "cublas"));
    kn_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_strides),
        cmocka_unit_test(test_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
