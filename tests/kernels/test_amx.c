/* test_amx.c - products by tiles of bf16 terms, on emulated tiles: precision of every mode and
 * stored type, rows and columns that do not know of each other, Inf, NaN and denormals; and where
 * the processor has AMX, its tiles against the emulated ones.  What every operation and cut gives
 * with three terms is tested with the rest, on the backends "amx" and "amx:portable" of ktest. */
#include "ktest.h"

#define TILE_EMULATED
#include "cpu/tile.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

static const struct {
    const char *backend;
    enum kn_cpu set;
    /* what is promised of an element, in parts of the sum of |x w|: of bf16 weights, of others */
    double bf16, other;
} MODES[] = {
    {"amx", KN_CPU_AMX_BF16X3, 5e-7, 5e-7},
    {"amx:bf16x2", KN_CPU_AMX_BF16X2, 0x1p-17 + 5e-7, 0x1p-15 + 5e-7},
    {"amx:bf16", KN_CPU_AMX_BF16, 0x1p-8 + 5e-7, 0x1p-7 + 5e-7},
};
enum { MODE_COUNT = sizeof MODES / sizeof *MODES };

static struct kn_backend *opened[MODE_COUNT][3];

static struct kn_backend *mode_open(int mode, int threads)
{
    char why[128] = "";
    struct kn_backend **be = &opened[mode][threads - 1];
    if (!*be)
        *be = kn_open(
            &(struct kn_options){.backend = MODES[mode].backend, .threads = threads, .cpu = -1},
            why, sizeof why);
    if (!*be)
        fail_msg("%s", why);
    return *be;
}

static struct kn_call product(enum kn_dtype t, bool nk, int64_t m, int64_t n, int64_t k)
{
    struct kn_call call = {.op = KN_OP_LINEAR, .out = {KT(KN_F32, 1, m, n)}};
    call.in[0] = KT(KN_F32, 2, m, k);
    call.in[1] = kn_dtype_block(t) > 1 ? kt_blocks(t, 1, n, k)
                 : nk                  ? KT(t, 0, n, k)
                                       : kt_transposed(t, 3, n, k);
    return call;
}

static void run(struct kn_backend *be, const struct kn_call *call)
{
    assert_int_equal(kn_run(be, call), KN_OK);
}

/* The worst element, in parts of the sum of |x w|; *all: of the whole, root of the mean square. */
static double error_of(const struct kn_call *call, double *all)
{
    double worst = 0, errors = 0, squares = 0;
    const struct kn_view *x = &call->in[0], *w = &call->in[1];
    int64_t len = x->shape[1];
    float *row = kt_alloc((size_t)len * sizeof *row);
    for (int64_t j = 0; j < w->shape[0]; j++) {
        kn_decode_rows(w, j, 1, row);
        for (int64_t i = 0; i < x->shape[0]; i++) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < len; k++) {
                double p = kt_at(x, i, k, 0) * (double)row[k];
                sum += p, size += fabs(p);
            }
            double error = kt_at(&call->out[0], i, j, 0) - sum;
            worst = size > 0 ? fmax(worst, fabs(error) / size) : worst;
            errors += error * error, squares += sum * sum;
        }
    }
    *all = sqrt(errors / squares);
    return worst;
}

static bool in_blocks(enum kn_dtype t)
{
    return kn_dtype_block(t) > 1;
}

/* Of a type: the greatest of several shapes.  k is odd where the type lets it. */
static void precision(int mode, enum kn_dtype t, double *worst, double *all)
{
    static const int64_t ROWS[] = {1, 7, 33};
    for (size_t i = 0; i < 3; i++)
        for (int nk = in_blocks(t); nk < 2; nk++) {
            struct kn_call c = product(t, nk, ROWS[i], 37, in_blocks(t) ? 768 : 757);
            run(mode_open(mode, 2), &c);
            double of_all, at = error_of(&c, &of_all);
            assert_true(at <= (t == KN_BF16 ? MODES[mode].bf16 : MODES[mode].other));
            *worst = fmax(*worst, at), *all = fmax(*all, of_all);
            kt_free();
        }
}

static void test_precision(void **state)
{
    (void)state;
    printf("relative error of products with k = 768, and of the worst element in parts of the sum "
           "of |x w|\n");
    for (int mode = 0; mode < MODE_COUNT; mode++)
        for (int t = 0; t < KN_DTYPE_COUNT; t++) {
            double worst = 0, all = 0;
            const char *name = in_blocks((enum kn_dtype)t) ? "blocks"
                                                           : kn_dtype_name((enum kn_dtype)t);
            if (t == KN_I32)
                continue;
            precision(mode, (enum kn_dtype)t, &worst, &all);
            while (in_blocks((enum kn_dtype)t) && t + 1 < KN_DTYPE_COUNT)
                precision(mode, (enum kn_dtype)++ t, &worst, &all);
            printf("  %-10s %-6s %.1e %.1e\n", kn_cpu_name(MODES[mode].set), name, all, worst);
        }
}

/* One row alone, and any columns alone, are the bits that they are among all; more rows than a unit
 * takes, and k of several blocks. */
static void test_alone(void **state)
{
    (void)state;
    static const enum kn_dtype TYPES[] = {KN_F32, KN_F16, KN_BF16, KN_Q8_0, KN_Q4_K};
    static const int64_t SHAPES[][3] = {{5, 100, 1100}, {40, 70, 256}, {205, 33, 70}};
    for (int mode = 0; mode < MODE_COUNT; mode++)
        for (int kind = 0; kind < 2 * 5 * 3; kind++) {
            enum kn_dtype t = TYPES[kind / 2 % 5];
            const int64_t *shape = SHAPES[kind / 10];
            bool nk = kind % 2;
            if (in_blocks(t) && (!nk || shape[2] != 256))
                continue;
            struct kn_call all = product(t, nk, shape[0], shape[1], shape[2]), some = all;
            some.out[0] = KT(KN_F32, 0, shape[0], shape[1]);
            run(mode_open(mode, 1), &all);
            for (int64_t lo = 0, width = 1; lo < shape[0];
                 lo += width, width = width % 61 * 3 + 1) {
                int64_t hi = lo + width < shape[0] ? lo + width : shape[0];
                struct kn_call c = some;
                c.in[0] = kn_slice(c.in[0], 0, lo, hi), c.out[0] = kn_slice(c.out[0], 0, lo, hi);
                run(mode_open(mode, 3), &c);
            }
            kt_same_bits(&all.out[0], &some.out[0], "rows alone");
            kt_fill(&some.out[0], 0, 1);
            for (int64_t lo = 0, width = 1; lo < shape[1]; lo += width, width = width % 21 + 4) {
                int64_t hi = lo + width < shape[1] ? lo + width : shape[1];
                struct kn_call c = some;
                c.in[1] = kn_slice(c.in[1], 0, lo, hi), c.out[0] = kn_slice(c.out[0], 1, lo, hi);
                run(mode_open(mode, 2), &c);
            }
            kt_same_bits(&all.out[0], &some.out[0], "columns alone");
            kt_free();
        }
}

/* Of every element the cpu's Inf or NaN; and rows and columns that hold neither stay as they are,
 * also next to what two terms or their sum would turn into Inf. */
static void test_not_finite(void **state)
{
    (void)state;
    static const float ODD[] = {INFINITY, -INFINITY, NAN, FLT_MAX, -FLT_MAX};
    static const enum kn_dtype TYPES[] = {KN_F32, KN_BF16, KN_F16};
    for (int mode = 0; mode < MODE_COUNT; mode++)
        for (int kind = 0; kind < 3 * 2 * 5 * 2; kind++) {
            enum kn_dtype t = TYPES[kind % 3];
            bool nk = kind / 3 % 2, in_w = kind / 30;
            float odd = ODD[kind / 6 % 5];
            int64_t m = kind % 4 ? 37 : 3, n = 50, k = 75;
            struct kn_call c = product(t, nk, m, n, k), clean = c;
            clean.out[0] = KT(KN_F32, 0, m, n);
            run(mode_open(mode, 2), &clean);
            int64_t at = in_w ? 17 : 2, at_k = kind % 75;
            kt_set(&c.in[in_w], odd, at, at_k, 0);
            if (!in_w)
                kt_set(&c.in[1], 0, 7, at_k, 0), kt_set(&c.in[1], 0.25f, 8, at_k, 0);
            run(kt_backend(kn_cpu_best(), 1), &c);
            struct kn_view cpu = KT(KN_F32, 0, m, n);
            KT_EACH(&cpu, i, j, unused)
            kt_set(&cpu, (float)kt_at(&c.out[0], i, j, unused), i, j, unused);
            run(mode_open(mode, 2), &c);
            KT_EACH(&cpu, i, j, unused)
            {
                double was = kt_at(&cpu, i, j, unused), is = kt_at(&c.out[0], i, j, unused);
                bool touched = (in_w ? j : i) == at || (!in_w && (j == 7 || j == 8));
                if (!touched)
                    assert_true(is == kt_at(&clean.out[0], i, j, unused));
                else if (!isfinite(was))
                    assert_true(isnan(was) ? isnan(is) : is == was);
                else
                    assert_true(isfinite(is) && fabs(is - was) <= 0.02 * (fabs(was) + 1));
            }
            kt_free();
        }
}

/* Rows that are NaN throughout, more of them than are made anew at a time, leave the others. */
static void test_nan_rows(void **state)
{
    (void)state;
    struct kn_call c = product(KN_F32, true, 60, 300, 40);
    for (int64_t i = 3; i < 50; i++)
        for (int64_t k = 0; k < 40 && i != 30; k++)
            kt_set(&c.in[0], NAN, i, k, 0);
    run(mode_open(0, 2), &c);
    KT_EACH(&c.out[0], i, j, unused)
    assert_true(isnan(kt_at(&c.out[0], i, j, unused)) == (i >= 3 && i < 50 && i != 30));
}

/* Small numbers lose terms below the least normal one, and no more than that; beside them others
 * lose nothing.  Of x all are small, of the weights every second. */
static void test_denormals(void **state)
{
    (void)state;
    enum { K = 64 };
    const double least = K * 4 * 0x1p-126; /* of x a term, of products and sums all */
    for (int e = -90; e >= -149; e -= 3)
        for (int kind = 0; kind < 4; kind++) {
            int in_w = kind / 2;
            struct kn_call c = product(KN_F32, kind % 2, 3, 20, K);
            const struct kn_view *small = &c.in[in_w];
            KT_EACH(small, i, k, unused)
            if (!in_w || k % 2)
                kt_set(small, ldexpf((float)kt_at(small, i, k, unused), e), i, k, unused);
            run(mode_open(0, 1), &c);
            KT_EACH(&c.out[0], i, j, unused)
            {
                double sum = 0, size = 0;
                for (int64_t k = 0; k < K; k++) {
                    double p = kt_at(&c.in[0], i, k, 0) * kt_at(&c.in[1], j, k, 0);
                    sum += p, size += fabs(p);
                }
                assert_true(fabs(kt_at(&c.out[0], i, j, unused) - sum) <= 5e-7 * size + least);
            }
            kt_free();
        }
}

/* ---- the emulated instruction ---- */

static float flushed(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

static float half_at(const uint16_t *tile, int row, int i)
{
    uint32_t bits = (uint32_t)tile[row * 32 + i] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return flushed(x);
}

/* TDPBF16PS as the manual has it: element by element. */
static float manual_dp(float was, const uint16_t *a, const uint16_t *b, int m, int n, int pairs)
{
    float even = 0, odd = 0;
    for (int k = 0; k < pairs; k++) {
        even = flushed(fmaf(half_at(a, m, 2 * k), half_at(b, k, 2 * n), even));
        odd = flushed(fmaf(half_at(a, m, 2 * k + 1), half_at(b, k, 2 * n + 1), odd));
    }
    return flushed(flushed(was) + flushed(even + odd));
}

/* Numbers whose exponents lie about `middle`, `spread` to both sides; now and then Inf, NaN, 0 and
 * a denormal. */
static void fill_halves(uint16_t tile[512], int middle, int spread, bool odd)
{
    for (int i = 0; i < 512; i++) {
        int e = middle + (int)(kt_random() % (unsigned)(2 * spread + 1)) - spread;
        e = e < 1 ? 1 : e > 254 ? 254 : e;
        if (odd && kt_random() % 40 == 0)
            e = kt_random() % 2 ? 0 : 255;
        tile[i] = (uint16_t)((kt_random() & 0x807f) | (unsigned)e << 7);
    }
}

static void test_tile(void **state)
{
    (void)state;
    static const int MIDDLES[][2] = {{127, 127}, {127, 110}, {65, 60}, {20, 110}, {200, 180}};
    for (int i = 0; i < 400; i++) {
        int rows = 1 + (int)(kt_random() % 16), cols = 1 + (int)(kt_random() % 16),
            pairs = 1 + (int)(kt_random() % 16);
        uint16_t a[512], b[512];
        float sum[256], expect[256];
        fill_halves(a, MIDDLES[i % 5][0], i % 60, i % 7 == 0);
        fill_halves(b, MIDDLES[i % 5][1], i % 60, i % 7 == 0);
        for (int j = 0; j < 256; j++)
            sum[j] = ldexpf(kt_uniform(-1, 1), MIDDLES[i % 5][0] + MIDDLES[i % 5][1] - 254);
        memcpy(expect, sum, sizeof sum);
        struct tile_config c = {.palette = 1};
        c.rows[0] = c.rows[1] = (uint8_t)rows, c.rows[2] = (uint8_t)pairs;
        c.line[0] = c.line[2] = (uint16_t)(4 * cols), c.line[1] = (uint16_t)(4 * pairs);
        struct tile_file file, *f = &file;
        TILE_CONFIG(f, &c);
        TILE_LOAD(f, 0, sum, 64);
        TILE_LOAD(f, 1, a, 64);
        TILE_LOAD(f, 2, b, 64);
        TILE_DP(f, 0, 1, 2);
        TILE_STORE(f, 0, sum, 64);
        for (int m = 0; m < rows; m++)
            for (int n = 0; n < cols; n++)
                expect[m * 16 + n] = manual_dp(expect[m * 16 + n], a, b, m, n, pairs);
        for (int j = 0; j < 256; j++)
            assert_true(isnan(expect[j]) ? isnan(sum[j]) : !memcmp(&sum[j], &expect[j], 4));
        TILE_ZERO(f, 1);
        TILE_STORE(f, 1, a, 64);
        for (int m = 0; m < rows; m++)
            for (int k = 0; k < 2 * pairs; k++)
                assert_int_equal(a[m * 32 + k], 0);
        TILE_RELEASE(f);
    }
}

/* ---- the processor's tiles ---- */

/* The same bits, whatever the shape, type and mode, denormals and numbers out of range included. */
static void test_processor(void **state)
{
    (void)state;
    if (!kn_cpu_has(KN_CPU_AMX_BF16X3)) {
        printf("SKIP: this processor has no AMX; its tiles were not compared with the emulated "
               "ones\n");
        skip();
    }
    static const int64_t SHAPES[][3] = {{1, 40, 70}, {5, 100, 1100}, {16, 300, 90}, {205, 70, 256}};
    for (int mode = 0; mode < MODE_COUNT; mode++)
        for (int kind = 0; kind < 4 * 2 * KN_DTYPE_COUNT; kind++) {
            enum kn_dtype t = (enum kn_dtype)(kind / 8);
            const int64_t *shape = SHAPES[kind % 4];
            bool nk = kind / 4 % 2;
            if (t == KN_I32 || (in_blocks(t) && (!nk || shape[2] != 256)))
                continue;
            struct kn_call emulated = product(t, nk, shape[0], shape[1], shape[2]);
            KT_EACH(&emulated.in[0], i, j, unused)
            if (i % 3 == 2)
                kt_set(&emulated.in[0], ldexpf(kt_uniform(-2, 2), (int)(kt_random() % 250) - 125),
                       i, j, unused);
            struct kn_call real = emulated;
            real.out[0] = KT(KN_F32, 0, shape[0], shape[1]);
            run(mode_open(mode, 2), &emulated);
            run(kt_backend(MODES[mode].set, 2), &real);
            kt_same_bits(&emulated.out[0], &real.out[0], kn_cpu_name(MODES[mode].set));
            kt_free();
        }
}

/* Every set by its name: opened, or refused with what there is. */
static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < KN_CPU_COUNT; i++) {
        char why[160] = "";
        enum kn_cpu set = (enum kn_cpu)i;
        assert_int_equal(kn_cpu_parse(kn_cpu_name(set)), i);
        struct kn_backend *be = kn_open(
            &(struct kn_options){.backend = "cpu", .threads = 1, .cpu = i}, why, sizeof why);
        assert_true((be != NULL) == kn_cpu_has(set));
        assert_true(strstr(be ? be->describe : why, kn_cpu_name(set)) != NULL);
        if (!be)
            assert_true(strstr(why, "this processor offers portable") != NULL);
        kn_close(be);
    }
    assert_true(kn_cpu_has(kn_cpu_best()) && !kn_cpu_terms(kn_cpu_best()));
    assert_int_equal(kn_cpu_terms(KN_CPU_AMX_BF16X3), 3);
    assert_int_equal(kn_cpu_terms(KN_CPU_AMX_BF16), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tile),
        cmocka_unit_test_teardown(test_precision, free_all),
        cmocka_unit_test_teardown(test_alone, free_all),
        cmocka_unit_test_teardown(test_not_finite, free_all),
        cmocka_unit_test_teardown(test_nan_rows, free_all),
        cmocka_unit_test_teardown(test_denormals, free_all),
        cmocka_unit_test_teardown(test_processor, free_all),
        cmocka_unit_test(test_names),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int mode = 0; mode < MODE_COUNT; mode++)
        for (int threads = 0; threads < 3; threads++)
            kn_close(opened[mode][threads]);
    kt_close();
    return failed;
}
