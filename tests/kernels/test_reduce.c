/* test_reduce.c - topk, lse, rank; sums over columns. */
#include "ktest.h"

#include <math.h>

#include "cpu/isa.h"

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

static const int64_t LENGTHS[] = {1, 2, 5, 16, 17, 40, 257, 3000};
enum { LENGTH_COUNT = sizeof LENGTHS / sizeof *LENGTHS };

/* Rows with the cases that matter: ties, NaN, Inf, all the same, all NaN. */
static struct kn_view logits(int64_t n)
{
    struct kn_view v = KT(KN_F32, 2, 9, n);
    for (int64_t i = 0; i < n; i++) {
        kt_set(&v, (float)(int)kt_uniform(-4, 4), 1, i, 0);
        kt_set(&v, 1.5f, 2, i, 0);
        kt_set(&v, NAN, 3, i, 0);
        kt_set(&v, i % 3 ? NAN : kt_uniform(-1, 1), 4, i, 0);
        kt_set(&v, -INFINITY, 5, i, 0);
        kt_set(&v, kt_uniform(-90, 90), 6, i, 0);
        kt_set(&v, (float)i, 8, i, 0);
    }
    kt_set(&v, INFINITY, 7, n / 2, 0);
    kt_set(&v, -INFINITY, 7, n - 1, 0);
    return v;
}

/* Does (a, at i) come before (b, at j)? */
static bool before(double a, int64_t i, double b, int64_t j)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b) ? i < j : isnan(b);
    return a > b || (a == b && i < j);
}

/* The element of `row` that n others come before. */
static int64_t nth(const struct kn_view *x, int64_t row, int64_t n)
{
    for (int64_t i = 0; i < x->shape[1]; i++) {
        int64_t ahead = 0;
        for (int64_t j = 0; j < x->shape[1]; j++)
            ahead += before(kt_at(x, row, j, 0), j, kt_at(x, row, i, 0), i);
        if (ahead == n)
            return i;
    }
    return -1;
}

static double topk_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)c, (void)size;
    int64_t at = nth(&call->in[0], a, b);
    return o == 1 ? (double)at : kt_at(&call->in[0], a, at, 0);
}

static void test_topk(void **state)
{
    (void)state;
    /* The reference counts; long rows have a test of their own. */
    for (int i = 0; i < LENGTH_COUNT && LENGTHS[i] < 300; i++)
        for (int64_t k = 1; k <= LENGTHS[i] && k <= (LENGTHS[i] < 100 ? 40 : 5); k += 1 + k / 2) {
            struct kn_call call = {.op = KN_OP_TOPK, .in = {logits(LENGTHS[i])}};
            call.out[0] = KT(KN_F32, 1, 9, k);
            call.out[1] = KT(KN_I32, 2, 9, k);
            kt_check(&call, topk_reference, 0);
            kt_free();
        }
    struct kn_call bad = {.op = KN_OP_TOPK,
                          .in = {KT(KN_F32, 0, 2, 3)},
                          .out = {KT(KN_F32, 0, 2, 4), KT(KN_I32, 0, 2, 4)}};
    kt_refused(&bad);
    bad.out[0].shape[1] = 2;
    kt_refused(&bad);
    bad.out[1].shape[1] = 2;
    bad.out[1].dtype = KN_F32;
    kt_refused(&bad);
}

/* All of a vocabulary, sorted: every element once, in order. */
static void test_topk_all(void **state)
{
    (void)state;
    const int64_t n = 20011;
    struct kn_call call = {.op = KN_OP_TOPK,
                           .in = {KT(KN_F32, 0, 1, n)},
                           .out = {KT(KN_F32, 0, 1, n), KT(KN_I32, 0, 1, n)}};
    for (int64_t i = 0; i < n; i += 7)
        kt_set(&call.in[0], (float)(kt_random() % 50) / 50, 0, i, 0);
    kt_set(&call.in[0], NAN, 0, 77, 0);
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
        assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 1), &call), KN_OK);
        const float *value = call.out[0].data;
        const int32_t *index = call.out[1].data;
        for (int64_t i = 0; i < n; i++) {
            float x = ((float *)call.in[0].data)[index[i]];
            assert_true(x == value[i] || isnan(x));
            assert_true(i == 0 ||
                        before((double)value[i - 1], index[i - 1], (double)value[i], index[i]));
        }
        assert_int_equal(index[n - 1], 77);
    }
}

static double lse_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                            double *size)
{
    (void)o, (void)c;
    const struct kn_view *x = &call->in[0];
    double m = -(double)INFINITY, s = 0, t = 0;
    for (int64_t i = 0; i < x->shape[1]; i++) {
        if (isnan(kt_at(x, a, i, 0)))
            return (double)NAN;
        m = fmax(m, kt_at(x, a, i, 0));
    }
    if (isinf(m))
        return b == 0 ? m : (double)NAN;
    for (int64_t i = 0; i < x->shape[1]; i++) {
        double d = kt_at(x, a, i, 0) - m;
        s += exp(d);
        t += isinf(d) ? 0 : d * exp(d);
    }
    *size = fabs(m) + log(s) + fabs(t / s) + 1;
    return b == 0 ? m + log(s) : log(s) - t / s;
}

static void test_lse(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH_COUNT; i++) {
        struct kn_call call = {
            .op = KN_OP_LSE, .in = {logits(LENGTHS[i])}, .out = {KT(KN_F32, 1, 9, 2)}};
        kt_check(&call, lse_reference, 2e-7);
        call.out[0].shape[1] = 1;
        kt_refused(&call);
        kt_free();
    }
    /* A vocabulary's worth of equal logits: the entropy is log n, and float sums would drift. */
    const int64_t n = 150001;
    struct kn_call call = {
        .op = KN_OP_LSE, .in = {KT(KN_F32, 0, 1, n)}, .out = {KT(KN_F32, 0, 1, 2)}};
    kt_fill(&call.in[0], 3, 3);
    kt_set(&call.in[0], -INFINITY, 0, 5, 0);
    kt_check(&call, lse_reference, 1e-7);
}

static double rank_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o, (void)b, (void)c, (void)size;
    const struct kn_view *x = &call->in[0];
    double target = kt_at(x, a, ((const int32_t *)call->in[1].data)[a], 0);
    double count = 0;
    for (int64_t i = 0; i < x->shape[1]; i++)
        count += isnan(target) ? !isnan(kt_at(x, a, i, 0)) : kt_at(x, a, i, 0) > target;
    return count;
}

static void test_rank(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH_COUNT; i++) {
        struct kn_call call = {.op = KN_OP_RANK,
                               .in = {logits(LENGTHS[i]), KT(KN_I32, 0, 9)},
                               .out = {KT(KN_I32, 0, 9)}};
        for (int64_t r = 0; r < 9; r++)
            ((int32_t *)call.in[1].data)[r] = (int32_t)(kt_random() % (uint32_t)LENGTHS[i]);
        kt_check(&call, rank_reference, 0);
        ((int32_t *)call.in[1].data)[3] = (int32_t)LENGTHS[i];
        kt_refused(&call);
        kt_free();
    }
}

/* ---- columns ---- */

/* One column, by the same operations one after the other. */
static void column_reference(const float *x, int64_t n, struct kn_columns *out, int c)
{
    double sum = 0, square = 0, root = 0, pos = 0, neg = 0;
    out->min[c] = out->max[c] = x[c], out->pos_count[c] = 0;
    for (int64_t r = 0; r < n; r++) {
        float v = x[r * KN_COLUMNS + c];
        sum += (double)v, root += (double)sqrtf(fabsf(v));
        pos += v > 0 ? (double)v : 0, neg += v < 0 ? (double)v : 0;
        out->pos_count[c] += v > 0;
        out->min[c] = fminf(out->min[c], v), out->max[c] = fmaxf(out->max[c], v);
    }
    double mean = sum / (double)n;
    for (int64_t r = 0; r < n; r++) {
        double d = (double)x[r * KN_COLUMNS + c] - mean;
        square += d * d;
    }
    out->mean[c] = mean, out->variance[c] = square / (double)n, out->root[c] = root / (double)n;
    out->pos[c] = pos / (double)n, out->neg[c] = neg / (double)n;
}

/* The same bits on this machine's best instruction set and on none. */
static void test_columns(void **state)
{
    (void)state;
    for (int64_t n = 1; n <= 65; n += n < 4 ? 1 : 30) {
        struct kn_view v = KT(KN_F32, 0, n, KN_COLUMNS);
        float *x = v.data;
        struct kn_columns want, got;
        for (int64_t i = 0; i < n; i++)
            x[i * KN_COLUMNS + i % KN_COLUMNS] = i % 2 ? 0.0f : -0.0f;
        for (int c = 0; c < KN_COLUMNS; c++)
            column_reference(x, n, &want, c);
        assert_true(kn_columns(x, n, &got));
        assert_memory_equal(&got, &want, sizeof want);
        assert_true(isa_portable.columns(x, n, &got));
        assert_memory_equal(&got, &want, sizeof want);
        x[n * KN_COLUMNS - 1] = n % 2 ? NAN : -INFINITY;
        assert_false(kn_columns(x, n, &got) || isa_portable.columns(x, n, &got));
        kt_free();
    }
}

/* By counting the bounds that |x| reaches. */
static int bin_reference(float x, int low, int half)
{
    int k = 0;
    for (; k < half - 1; k++)
        if (fabs((double)x) < ldexp(1 + 0.5 * (k % 2), k / 2 + low))
            break;
    return x < 0 ? half - 1 - k : half + k;
}

static void test_bins(void **state)
{
    (void)state;
    enum { LOW = -3, HALF = 8 };
    static const float AT[] = {0, -0.0f, 0.125f, 0.1875f, -0.125f, 1, -1.5f, 3e38f, -3e38f, 1e-40f};
    for (int64_t n = 1; n < 40; n++) {
        struct kn_view v = KT(KN_F32, 0, n);
        float *x = v.data;
        uint8_t *bin = kt_alloc((size_t)n), *plain = kt_alloc((size_t)n);
        kt_fill(&v, -3, 3);
        for (int64_t i = 0; i < n; i += 2)
            x[i] = AT[(n + i) % (int64_t)(sizeof AT / sizeof *AT)];
        kn_bins(x, n, LOW, HALF, bin);
        isa_portable.bins(x, n, LOW, HALF, plain);
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(bin[i], bin_reference(x[i], LOW, HALF));
            assert_int_equal(plain[i], bin[i]);
        }
        kt_free();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_columns, free_all),
        cmocka_unit_test_teardown(test_bins, free_all),
        cmocka_unit_test_teardown(test_topk, free_all),
        cmocka_unit_test_teardown(test_topk_all, free_all),
        cmocka_unit_test_teardown(test_lse, free_all),
        cmocka_unit_test_teardown(test_rank, free_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kt_close();
    return failed;
}
