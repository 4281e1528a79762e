/* test_linear.c - linear, head_result, result_patch. */
#include "ktest.h"

#include <math.h>
#include <string.h>

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

/* Weight of column n, of [N,K] or [G,N/G,K]. */
static double weight(const struct kn_view *w, int64_t n, int64_t k)
{
    return w->ndim == 2 ? kt_at(w, n, k, 0) : kt_at(w, n / w->shape[1], n % w->shape[1], k);
}

static double linear_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                               double *size)
{
    (void)o;
    const struct kn_view *x = &call->in[0], *w = &call->in[1], *bias = &call->in[2];
    int64_t n = call->out[0].ndim == 3 ? b * call->out[0].shape[2] + c : b;
    double sum = 0;
    for (int64_t k = 0; k < x->shape[1]; k++) {
        sum += kt_at(x, a, k, 0) * weight(w, n, k);
        *size += fabs(kt_at(x, a, k, 0) * weight(w, n, k));
    }
    if (bias->ndim) {
        double v = bias->ndim == 1 ? kt_at(bias, n, 0, 0)
                                   : kt_at(bias, n / bias->shape[1], n % bias->shape[1], 0);
        sum += v;
        *size += fabs(v);
    }
    return sum;
}

static const double TOLERANCE = 5e-7; /* of the sum of magnitudes */

static const struct {
    int64_t m, n, k;
} SHAPES[] = {
    {1, 1, 1},     {1, 7, 3},      {3, 5, 17},     {2, 64, 64},   {5, 65, 33},   {7, 130, 31},
    {13, 63, 100}, {70, 66, 48},   {1, 129, 257},  {14, 33, 513}, {25, 80, 300}, {3, 20, 2051},
    {1, 700, 60},  {4, 2100, 270}, {97, 270, 400}, {37, 40, 320},
};

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        for (enum kn_dtype t = KN_F32; t <= KN_BF16; t++)
            for (int layout = 0; layout < 2; layout++) {
                int64_t m = SHAPES[i].m, n = SHAPES[i].n, k = SHAPES[i].k;
                int64_t pad = (int64_t)(i % 3);
                struct kn_call call = {.op = KN_OP_LINEAR};
                call.in[0] = KT(KN_F32, pad, m, k);
                call.in[1] = layout ? kt_transposed(t, pad, n, k) : KT(t, pad, n, k);
                if (i % 2)
                    call.in[2] = KT(t, 0, n);
                call.out[0] = KT(KN_F32, pad * 2, m, n);
                kt_check(&call, linear_reference, TOLERANCE);
                kt_free();
            }
}

/* A fused projection: [H, 3, dh, K] in memory, one of the three taken out of every head. */
static void test_groups(void **state)
{
    (void)state;
    const int64_t heads = 5, dh = 12, k = 37, m = 9;
    for (int layout = 0; layout < 2; layout++) {
        struct kn_view all = layout ? kt_transposed(KN_F32, 0, heads * 3 * dh, k)
                                    : KT(KN_F32, 0, heads * 3 * dh, k);
        struct kn_view bias = KT(KN_F32, 0, heads * 3 * dh);
        struct kn_call whole = {.op = KN_OP_LINEAR, .in = {KT(KN_F32, 0, m, k), all, bias}};
        whole.out[0] = KT(KN_F32, 0, m, heads * 3 * dh);
        for (int part = 0; part < 3; part++) {
            struct kn_call call = {.op = KN_OP_LINEAR, .in = {whole.in[0]}};
            call.in[1] = (struct kn_view){
                .data = all.data,
                .dtype = KN_F32,
                .ndim = 3,
                .shape = {heads, dh, k},
                .stride = {3 * dh * all.stride[0], all.stride[0], all.stride[1]},
                .first = part * dh * all.stride[0]};
            call.in[2] = (struct kn_view){bias.data,   KN_F32,      2,
                                          {heads, dh}, {3 * dh, 1}, part * dh};
            call.out[0] = part ? KT(KN_F32, 3, m, heads, dh) : KT(KN_F32, 3, m, heads * dh);
            kt_check(&call, linear_reference, TOLERANCE);

            /* The same numbers as without groups. */
            for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
                kn_run(kt_backend((enum kn_cpu)cpu, 2), &whole);
                kn_run(kt_backend((enum kn_cpu)cpu, 3), &call);
                struct kn_view wide = {whole.out[0].data,
                                       KN_F32,
                                       3,
                                       {m, heads, dh},
                                       {whole.out[0].stride[0], 3 * dh, 1},
                                       part * dh};
                struct kn_view narrow = {
                    call.out[0].data, KN_F32, 3, {m, heads, dh}, {call.out[0].stride[0], dh, 1}, 0};
                kt_same_bits(&wide, &narrow, "grouped and ungrouped");
            }
        }
        kt_free();
    }
}

/* Weights without groups, the result in heads; a bias for each head. */
static void test_heads_out(void **state)
{
    (void)state;
    struct kn_call call = {.op = KN_OP_LINEAR};
    call.in[0] = KT(KN_F32, 1, 4, 24);
    call.in[1] = KT(KN_BF16, 0, 30, 24);
    call.in[2] = KT(KN_F16, 0, 30);
    struct kn_view store = KT(KN_F32, 0, 4, 3, 12); /* heads of 10, 12 apart */
    call.out[0] = kn_slice(store, 2, 0, 10);
    kt_check(&call, linear_reference, TOLERANCE);
}

/* An element does not depend on which columns are computed with it. */
static void test_columns(void **state)
{
    (void)state;
    const int64_t n = 150, k = 700;
    for (enum kn_dtype t = KN_F32; t <= KN_BF16; t++)
        for (int layout = 0; layout < 2; layout++)
            for (int64_t m = 1; m <= 20; m = m * 3 + 1) {
                struct kn_call all = {.op = KN_OP_LINEAR};
                all.in[0] = KT(KN_F32, 0, m, k);
                all.in[1] = layout ? kt_transposed(t, 0, n, k) : KT(t, 0, n, k);
                all.out[0] = KT(KN_F32, 0, m, n);
                struct kn_call some = all;
                some.out[0] = KT(KN_F32, 0, m, n);
                for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
                    assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 1), &all), KN_OK);
                    for (int64_t lo = 0, width = 1; lo < n; lo += width, width = width % 21 + 4) {
                        int64_t hi = lo + width < n ? lo + width : n;
                        struct kn_call part = some;
                        part.in[1] = kn_slice(all.in[1], 0, lo, hi);
                        part.out[0] = kn_slice(some.out[0], 1, lo, hi);
                        assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 2), &part), KN_OK);
                    }
                    kt_same_bits(&all.out[0], &some.out[0], "all columns and some of them");
                }
                kt_free();
            }
}

/* A product, the activation and the sum that follow it: one call is the three in turn, bit for bit,
 * in all types that matrix units or none take, in groups and few rows and many. */
static void test_finish(void **state)
{
    (void)state;
    static const int64_t SIZES[][3] = {{1, 24, 64}, {3, 20, 128}, {9, 33, 40}, {11, 35, 64}};
    static const enum kn_dtype TYPES[] = {KN_F32, KN_F16, KN_BF16, KN_Q8_0};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        for (int kind = 0; kind < 4 * 6; kind++) {
            int64_t m = SIZES[i][0], n = SIZES[i][1], k = SIZES[i][2];
            enum kn_dtype t = TYPES[kind % 4];
            int layout = kind / 4 % 2, finish = kind / 8; /* both, an activation, a sum */
            if (t == KN_Q8_0 && (layout || k % 32))
                continue;
            struct kn_view x = KT(KN_F32, 1, m, k),
                           w = layout ? kt_transposed(t, 0, n, k) : KT(t, 0, n, k);
            struct kn_view b = i % 2 ? KT(KN_F32, 0, n) : (struct kn_view){0};
            struct kn_view y = KT(KN_F32, 2, m, n), more = KT(KN_F32, 3, m, n),
                           sum = KT(KN_F32, 1, m, n), one = KT(KN_F32, 0, m, n);
            struct kn_call calls[4] = {{.op = KN_OP_LINEAR, .out = {y}, .in = {x, w, b}}};
            struct kn_call all = {.op = KN_OP_LINEAR, .out = {one}, .in = {x, w, b}};
            int parts = 1;
            if (finish != 2) {
                all.p.act = i % 2 ? KN_ACT_GELU_NEW : KN_ACT_SILU;
                calls[parts++] = (struct kn_call){
                    .op = KN_OP_ACT, .out = {y}, .in = {y}, .p.act = all.p.act};
            }
            if (finish != 1) {
                all.in[3] = more;
                calls[parts++] = (struct kn_call){
                    .op = KN_OP_ADD, .out = {sum}, .in = {more, y}, .p.scale = 1};
            }
            kt_chain(calls, parts, &all);
            if (i == 3 && kind % 4 == 0)
                kt_staged(&all);
            kt_free();
        }
    struct kn_call bad = {.op = KN_OP_LINEAR, .out = {KT(KN_F32, 0, 3, 10)}};
    bad.in[0] = KT(KN_F32, 0, 3, 8), bad.in[1] = KT(KN_F32, 0, 10, 8);
    bad.in[3] = KT(KN_F32, 0, 3, 9);
    kt_refused(&bad);
    bad.in[3] = KT(KN_F32, 0, 2, 10);
    kt_refused(&bad);
    bad.in[3] = bad.out[0]; /* the sum is not made in place */
    kt_refused(&bad);
    bad.in[3] = (struct kn_view){0}, bad.p.act = KN_ACT_COUNT;
    kt_refused(&bad);
}

/* Heads of a fused projection, whose weights lie apart. */
static void test_finish_groups(void **state)
{
    (void)state;
    const int64_t heads = 3, dh = 10, k = 64, m = 5;
    for (int part = 0; part < 2; part++) {
        struct kn_view all = KT(KN_F32, 0, heads * 3 * dh, k), x = KT(KN_F32, 0, m, k),
                       y = KT(KN_F32, 1, m, heads * dh), more = KT(KN_F32, 2, m, heads * dh);
        struct kn_view w = {.data = all.data,
                            .dtype = KN_F32,
                            .ndim = 3,
                            .shape = {heads, dh, k},
                            .stride = {3 * dh * k, k, 1},
                            .first = all.first + part * dh * k};
        struct kn_call calls[] = {{.op = KN_OP_LINEAR, .out = {y}, .in = {x, w}},
                                  {.op = KN_OP_ACT, .out = {y}, .in = {y}, .p.act = KN_ACT_RELU},
                                  {.op = KN_OP_ADD, .out = {y}, .in = {more, y}, .p.scale = 1},
                                  {.op = KN_OP_LINEAR,
                                   .out = {KT(KN_F32, 0, m, heads * dh)},
                                   .in = {x, w, {0}, more},
                                   .p.act = KN_ACT_RELU}};
        kt_chain(calls, 3, &calls[3]);
        kt_free();
    }
}

/* Two products of the same rows or three, of any widths: each has the bits that it has alone, with
 * and without biases, in few rows and many. */
static void test_together(void **state)
{
    (void)state;
    static const int64_t SIZES[][5] = {{1, 64, 24, 24, 24},   {2, 128, 40, 10, 10},
                                       {3, 64, 33, 33, 0},    {9, 40, 30, 8, 1},
                                       {13, 192, 70, 16, 16}, {40, 64, 16, 48, 0}};
    static const enum kn_dtype TYPES[] = {KN_F32, KN_F16, KN_BF16, KN_Q8_0};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        for (int kind = 0; kind < 4 * 2 * 2; kind++) {
            int64_t m = SIZES[i][0], k = SIZES[i][1];
            enum kn_dtype t = TYPES[kind % 4];
            bool layout = kind / 4 % 2, biased = kind / 8;
            if (t == KN_Q8_0 && (layout || k % 32))
                continue;
            struct kn_call all = {.op = KN_OP_LINEARS, .in = {KT(KN_F32, 1, m, k)}};
            struct kn_call one[3] = {{.op = KN_OP_LINEAR}};
            int n = SIZES[i][4] ? 3 : 2;
            for (int p = 0; p < n; p++) {
                int64_t columns = SIZES[i][2 + p];
                all.in[1 + 2 * p] = layout ? kt_transposed(t, 0, columns, k) : KT(t, 0, columns, k);
                if (biased)
                    all.in[2 + 2 * p] = KT(KN_F32, 0, columns);
                all.out[p] = KT(KN_F32, 0, m, columns);
                one[p] = (struct kn_call){.op = KN_OP_LINEAR,
                                          .out = {KT(KN_F32, p, m, columns)},
                                          .in = {all.in[0], all.in[1 + 2 * p], all.in[2 + 2 * p]}};
            }
            kt_beside(one, n, &all);
            if (i > 1 && kind % 3 == 0)
                kt_check(&all, NULL, 0);
            kt_free();
        }
}

/* Queries, keys and values of one tensor and heads that lie apart: products that no one launch can
 * make, or with weights of two types. */
static void test_together_apart(void **state)
{
    (void)state;
    const int64_t heads = 3, dh = 10, k = 64, m = 5;
    struct kn_view w = KT(KN_F32, 0, heads * 3 * dh, k), halves = KT(KN_F16, 0, heads * dh, k),
                   x = KT(KN_F32, 0, m, k), store = KT(KN_F32, 0, m, heads, 12);
    struct kn_view fused = {.data = w.data,
                            .dtype = KN_F32,
                            .ndim = 3,
                            .shape = {heads, dh, k},
                            .stride = {3 * dh * k, k, 1},
                            .first = w.first + dh * k};
    struct kn_call all = {.op = KN_OP_LINEARS,
                          .out = {KT(KN_F32, 0, m, heads * dh), kn_slice(store, 2, 0, dh),
                                  KT(KN_F32, 0, m, heads * dh)},
                          .in = {x, halves, {0}, fused, {0}, fused, KT(KN_F32, 0, heads, dh)}};
    struct kn_call one[3];
    for (int p = 0; p < 3; p++)
        one[p] = (struct kn_call){.op = KN_OP_LINEAR,
                                  .out = {KT(KN_F32, 0, m, heads, dh)},
                                  .in = {x, all.in[1 + 2 * p], all.in[2 + 2 * p]}};
    for (int p = 0; p < 3; p += 2)
        one[p].out[0] = kn_join(one[p].out[0], 1);
    kt_beside(one, 3, &all);
    struct kn_call bad = all;
    bad.p.act = KN_ACT_RELU;
    kt_refused(&bad);
    bad = all, bad.in[5] = (struct kn_view){0}; /* a result of what is not there */
    kt_refused(&bad);
    bad = all, bad.out[1] = KT(KN_F32, 0, m, heads * dh - 1);
    kt_refused(&bad);
    bad = all, bad.in[3] = KT(KN_F32, 0, heads * dh, k - 1);
    kt_refused(&bad);
    kt_free();
}

/* Stored types are converted exactly: a product with one is the weight. */
static void test_stored_exactly(void **state)
{
    (void)state;
    for (enum kn_dtype t = KN_F16; t <= KN_BF16; t++)
        for (int layout = 0; layout < 2; layout++) {
            struct kn_call call = {.op = KN_OP_LINEAR,
                                   .in = {KT(KN_F32, 0, 1, 1)},
                                   .out = {KT(KN_F32, 0, 1, 0x10000)}};
            call.in[1] = layout ? kt_transposed(t, 0, 0x10000, 1) : KT(t, 0, 0x10000, 1);
            *(float *)call.in[0].data = 1;
            for (int i = 0; i < 0x10000; i++)
                ((uint16_t *)call.in[1].data)[i] = (uint16_t)i;
            for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
                assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 2), &call), KN_OK);
                for (int i = 0; i < 0x10000; i++) {
                    float got = ((float *)call.out[0].data)[i], expect = kn_load(&call.in[1], i);
                    if (isnan(expect) ? !isnan(got) : got != expect)
                        fail_msg("%s %s %04x: %g, not %g", kn_cpu_name((enum kn_cpu)cpu),
                                 kn_dtype_name(t), (unsigned)i, (double)got, (double)expect);
                }
            }
            kt_free();
        }
    /* and kn_load itself, against the formats' definition */
    for (unsigned i = 0; i < 0x10000; i++) {
        uint16_t h = (uint16_t)i;
        unsigned exponent = i >> 10 & 31, mantissa = i & 0x3ff;
        double value = exponent ? ldexp(1024 + mantissa, (int)exponent - 25) : ldexp(mantissa, -24);
        if (exponent == 31)
            value = mantissa ? (double)NAN : (double)INFINITY;
        if (i & 0x8000)
            value = -value;
        struct kn_view one = kn_view1(&h, KN_F16, 1);
        double got = (double)kn_load(&one, 0);
        assert_true(isnan(value) ? isnan(got) : got == value);
    }
}

/* NaN and Inf stay in their row and column and are not lost. */
static void test_not_finite(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        struct kn_call call = {.op = KN_OP_LINEAR};
        call.in[0] = KT(KN_F32, 0, 15, 40);
        call.in[1] = layout ? kt_transposed(KN_F32, 0, 70, 40) : KT(KN_F32, 0, 70, 40);
        call.out[0] = KT(KN_F32, 0, 15, 70);
        kt_set(&call.in[0], NAN, 4, 39, 0);
        kt_set(&call.in[0], INFINITY, 7, 0, 0);
        kt_set(&call.in[1], -INFINITY, 69, 20, 0);
        kt_set(&call.in[1], NAN, 3, 38, 0);
        kt_check(&call, linear_reference, TOLERANCE);
        for (int64_t a = 0; a < 15; a++)
            kt_set(&call.in[0], 0, a, 20, 0); /* 0 * Inf */
        kt_check(&call, linear_reference, TOLERANCE);
        kt_free();
    }
}

static double head_result_reference(const struct kn_call *call, int o, int64_t a, int64_t h,
                                    int64_t d, double *size)
{
    (void)o;
    const struct kn_view *z = &call->in[0], *w = &call->in[1];
    double sum = 0;
    for (int64_t k = 0; k < z->shape[2]; k++) {
        double term = kt_at(z, a, h, k) * kt_at(w, d, h * z->shape[2] + k, 0);
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void test_head_result(void **state)
{
    (void)state;
    static const int64_t SIZES[][4] = {
        {1, 1, 1, 1}, {9, 3, 16, 50}, {40, 4, 7, 66}, {3, 2, 64, 130}};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        for (enum kn_dtype t = KN_F32; t <= KN_BF16; t++)
            for (int layout = 0; layout < 2; layout++) {
                int64_t r = SIZES[i][0], heads = SIZES[i][1], dh = SIZES[i][2], d = SIZES[i][3];
                struct kn_call call = {.op = KN_OP_HEAD_RESULT,
                                       .out = {KT(KN_F32, 2, r, heads, d)}};
                call.in[0] = KT(KN_F32, 1, r, heads, dh);
                call.in[1] = layout ? kt_transposed(t, 0, d, heads * dh) : KT(t, 0, d, heads * dh);
                kt_check(&call, head_result_reference, TOLERANCE);
                kt_free();
            }
}

static double result_patch_reference(const struct kn_call *call, int o, int64_t a, int64_t d,
                                     int64_t c, double *size)
{
    (void)c;
    struct kn_call inner = {.op = KN_OP_HEAD_RESULT, .in = {call->in[1], call->in[2]}};
    double sum = kt_at(&call->out[0], a, d, 0);
    *size += fabs(sum);
    for (int64_t h = 0; h < call->in[0].shape[1]; h++) {
        double result = kt_at(&call->in[0], a, h, d);
        sum += result - head_result_reference(&inner, o, a, h, d, size);
        *size += fabs(result);
    }
    return sum;
}

static void test_result_patch(void **state)
{
    (void)state;
    const int64_t r = 35, heads = 3, dh = 20, d = 70;
    for (int layout = 0; layout < 2; layout++) {
        struct kn_view z = KT(KN_F32, 0, r, heads, dh), result = KT(KN_F32, 0, r, heads, d);
        struct kn_view w = layout ? kt_transposed(KN_F32, 0, d, heads * dh)
                                  : KT(KN_F32, 0, d, heads * dh);
        struct kn_call call = {
            .op = KN_OP_RESULT_PATCH, .in = {result, z, w}, .out = {KT(KN_F32, 5, r, d)}};
        kt_check(&call, result_patch_reference, TOLERANCE);

        /* Results that were not edited change nothing; an edited one changes its own row. */
        kt_set(&call.out[0], -0.0f, 2, 2, 0);
        kt_set(&z, NAN, 5, 1, 3);
        struct kn_view before = KT(KN_F32, 5, r, d);
        for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
            struct kn_backend *be = kt_backend((enum kn_cpu)cpu, 2);
            struct kn_call fresh = {.op = KN_OP_HEAD_RESULT, .in = {z, w}, .out = {result}};
            assert_int_equal(kn_run(be, &fresh), KN_OK);
            struct kn_call copy = {.op = KN_OP_COPY, .in = {call.out[0]}, .out = {before}};
            assert_int_equal(kn_run(be, &copy), KN_OK);
            assert_int_equal(kn_run(be, &call), KN_OK);
            kt_same_bits(&call.out[0], &before, "unedited results");
            kt_set(&result, 7, 11, 0, 4);
            assert_int_equal(kn_run(be, &call), KN_OK);
            for (int64_t a = 0; a < r; a++)
                for (int64_t b = 0; b < d; b++)
                    assert_true((kt_at(&call.out[0], a, b, 0) != kt_at(&before, a, b, 0)) ==
                                (a == 11 && b == 4));
        }
        kt_free();
    }
}

static void test_bad_calls(void **state)
{
    (void)state;
    const struct kn_call good = {
        .op = KN_OP_LINEAR,
        .in = {KT(KN_F32, 0, 3, 8), KT(KN_F16, 0, 10, 8), KT(KN_F32, 0, 10)},
        .out = {KT(KN_F32, 0, 3, 10)}};
    kt_check(&good, linear_reference, TOLERANCE);
    struct kn_call bad = good;
    bad.in[0].shape[1] = 7;
    kt_refused(&bad);
    bad = good;
    bad.in[0].dtype = KN_F16;
    kt_refused(&bad);
    bad = good;
    bad.in[1].dtype = KN_I32;
    kt_refused(&bad);
    bad = good;
    bad.in[1].stride[0] = 20, bad.in[1].stride[1] = 2;
    kt_refused(&bad);
    bad = good;
    bad.in[2].shape[0] = 9;
    kt_refused(&bad);
    bad = good;
    bad.out[0].shape[1] = 9;
    kt_refused(&bad);
    bad = good;
    bad.out[0].shape[0] = 2;
    kt_refused(&bad);
    bad = good;
    bad.out[0].stride[1] = 2;
    kt_refused(&bad);
    bad = good;
    bad.out[0].data = bad.in[0].data;
    kt_refused(&bad);
    bad = good;
    bad.in[1].data = (char *)bad.in[1].data + 1;
    kt_refused(&bad);
    bad = good;
    bad.in[1].data = NULL;
    kt_refused(&bad);
    bad = good;
    bad.in[1].ndim = 0;
    kt_refused(&bad);
    bad = good;
    bad.op = KN_OP_COUNT;
    kt_refused(&bad);
    bad = good;
    bad.in[1] = KT(KN_F32, 0, 3, 4, 8); /* twelve columns, not ten */
    kt_refused(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_shapes, free_all),
        cmocka_unit_test_teardown(test_groups, free_all),
        cmocka_unit_test_teardown(test_heads_out, free_all),
        cmocka_unit_test_teardown(test_columns, free_all),
        cmocka_unit_test_teardown(test_finish, free_all),
        cmocka_unit_test_teardown(test_finish_groups, free_all),
        cmocka_unit_test_teardown(test_together, free_all),
        cmocka_unit_test_teardown(test_together_apart, free_all),
        cmocka_unit_test_teardown(test_stored_exactly, free_all),
        cmocka_unit_test_teardown(test_not_finite, free_all),
        cmocka_unit_test_teardown(test_head_result, free_all),
        cmocka_unit_test_teardown(test_result_patch, free_all),
        cmocka_unit_test_teardown(test_bad_calls, free_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kt_close();
    return failed;
}
