/* test_elem.c - embed, copy, add, affine, act, clip, gate, rope, and the norms. */
#include "ktest.h"

#include <math.h>

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

static const double ULP = 0x1p-23; /* of a float, at most */
static const int64_t LENGTHS[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 64, 100, 770};
enum { LENGTH_COUNT = sizeof LENGTHS / sizeof *LENGTHS };

static double embed_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                              double *size)
{
    (void)o, (void)c, (void)size;
    return kt_at(&call->in[1], ((const int32_t *)call->in[0].data)[a], b, 0) *
           (double)call->p.scale;
}

static void test_embed(void **state)
{
    (void)state;
    for (enum kn_dtype t = KN_F32; t <= KN_BF16; t++)
        for (int i = 0; i < LENGTH_COUNT; i++) {
            struct kn_call call = {.op = KN_OP_EMBED,
                                   .in = {KT(KN_I32, 0, 70), KT(t, 3, 11, LENGTHS[i])}};
            call.out[0] = KT(KN_F32, 1, 70, LENGTHS[i]);
            call.p.scale = 1;
            for (int64_t r = 0; r < 70; r++)
                kt_set(&call.in[0], (float)(kt_random() % 11), r, 0, 0);
            kt_check(&call, embed_reference, 0);
            call.p.scale = 1.7f;
            kt_check(&call, embed_reference, ULP);
            kt_set(&call.in[0], 11, 5, 0, 0);
            kt_refused(&call);
            kt_set(&call.in[0], -1, 5, 0, 0);
            kt_refused(&call);
            kt_free();
        }
}

static double copy_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o, (void)size;
    return kt_at(&call->in[0], a, b, c);
}

static void test_copy(void **state)
{
    (void)state;
    struct kn_call call = {
        .op = KN_OP_COPY, .in = {KT(KN_F32, 5, 9, 4, 6)}, .out = {KT(KN_F32, 0, 9, 4, 6)}};
    kt_set(&call.in[0], NAN, 3, 2, 1);
    kt_check(&call, copy_reference, 0);
    /* axes swapped on one side: [9,4,6] written as [4,9,6] and as [6,4,9] */
    call.out[0] = KT(KN_F32, 2, 4, 9, 6);
    call.out[0] = kn_swap(call.out[0], 0, 1);
    kt_check(&call, copy_reference, 0);
    call.out[0] = KT(KN_F32, 0, 6, 4, 9);
    call.out[0] = (struct kn_view){call.out[0].data, KN_F32, 3, {9, 4, 6}, {1, 9, 36}, 0};
    kt_check(&call, copy_reference, 0);
    /* one row repeated for all */
    call.in[0] = KT(KN_F32, 0, 4, 6);
    call.in[0] = (struct kn_view){call.in[0].data, KN_F32, 3, {9, 4, 6}, {0, 6, 1}, 0};
    kt_check(&call, copy_reference, 0);
    struct kn_call bad = call;
    bad.out[0].stride[0] = 0;
    kt_refused(&bad);
    bad = call;
    bad.in[0].shape[1] = 3;
    kt_refused(&bad);
    bad = call;
    bad.in[0].dtype = KN_BF16;
    kt_refused(&bad);
    bad = call;
    bad.out[0].ndim = 2;
    kt_refused(&bad);
    /* four axes, whole and against each element */
    struct kn_view x = KT(KN_F32, 0, 2, 3, 4, 5), y = KT(KN_F32, 0, 2, 3, 4, 5);
    struct kn_call four = {.op = KN_OP_COPY, .in = {x}, .out = {y}};
    kt_check(&four, NULL, 0);
    assert_int_equal(kn_run(kt_backend(KN_CPU_PORTABLE, 2), &four), KN_OK);
    assert_memory_equal(x.data, y.data, 120 * sizeof(float));
}

static double add_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                            double *size)
{
    (void)o, (void)size;
    float product = (float)kt_at(&call->in[1], a, b, c) * call->p.scale;
    return (double)((float)kt_at(&call->in[0], a, b, c) + product);
}

static void test_add(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH_COUNT; i++) {
        struct kn_call call = {
            .op = KN_OP_ADD, .in = {KT(KN_F32, 1, 71, LENGTHS[i]), KT(KN_F32, 2, 71, LENGTHS[i])}};
        call.out[0] = KT(KN_F32, 0, 71, LENGTHS[i]);
        call.p.scale = 0.3f;
        kt_set(&call.in[1], NAN, 70, 0, 0);
        kt_set(&call.in[0], INFINITY, 2, 0, 0);
        kt_check(&call, add_reference, 0);
        call.out[0] = call.in[0];
        kt_check(&call, add_reference, 0);
        call.out[0] = call.in[1];
        if (LENGTHS[i] > 1) {
            call.in[1] = KT(KN_F32, 0, 71, LENGTHS[i] - 1);
            kt_refused(&call);
        }
        kt_free();
    }
    struct kn_call alias = {.op = KN_OP_ADD, .in = {KT(KN_F32, 0, 3, 4), KT(KN_F32, 0, 3, 4)}};
    alias.out[0] = alias.in[1];
    kt_refused(&alias);
    struct kn_view store = KT(KN_F32, 0, 4, 4); /* shifted by a row */
    alias.in[0] = kn_slice(store, 0, 0, 3);
    alias.out[0] = kn_slice(store, 0, 1, 4);
    kt_refused(&alias);
}

static double affine_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                               double *size)
{
    (void)o, (void)c;
    double x = kt_at(&call->in[0], a, b, 0) *
               (kt_at(&call->in[1], b, 0, 0) + (double)call->p.offset);
    double y = call->in[2].ndim ? kt_at(&call->in[2], b, 0, 0) : 0;
    *size = fabs(x) + fabs(y);
    return x + y;
}

static void test_affine(void **state)
{
    (void)state;
    for (enum kn_dtype t = KN_F32; t <= KN_BF16; t++)
        for (int i = 0; i < LENGTH_COUNT; i++) {
            struct kn_call call = {.op = KN_OP_AFFINE,
                                   .in = {KT(KN_F32, 1, 9, LENGTHS[i]), KT(t, 0, LENGTHS[i])}};
            call.out[0] = KT(KN_F32, 2, 9, LENGTHS[i]);
            kt_check(&call, affine_reference, ULP);
            call.p.offset = 1;
            kt_check(&call, affine_reference, 2 * ULP);
            call.in[2] = KT(KN_BF16, 0, LENGTHS[i]);
            kt_check(&call, affine_reference, ULP);
            call.in[2].shape[0]++;
            kt_refused(&call);
            kt_free();
        }
}

static double act_value(enum kn_act act, double x)
{
    switch (act) {
    case KN_ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2));
    case KN_ACT_GELU_NEW:
        return x / (1 + exp(-2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case KN_ACT_RELU: return x < 0 ? 0 : x;
    case KN_ACT_SILU: return x / (1 + exp(-x));
    case KN_ACT_QUICK_GELU: return x / (1 + exp(-1.702 * x));
    default: return x;
    }
}

/* What errors are relative to.  gelu_new and quick_gelu are x / (1 + e^t) with a rounded t, whose
 * error e^t turns into a relative one: t times as large on the left, where the value itself
 * vanishes. */
static double act_size(enum kn_act act, double x)
{
    double t = x > 0                      ? 0
               : act == KN_ACT_GELU_NEW   ? 2 * sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)
               : act == KN_ACT_QUICK_GELU ? 1.702 * x
                                          : 0;
    return fabs(act_value(act, x)) * (1 - fmax(t, -200)) + 1e-30;
}

static double held(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static double act_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                            double *size)
{
    (void)o, (void)c;
    double limit = call->p.limit > 0 ? (double)call->p.limit : (double)INFINITY,
           x = held(kt_at(&call->in[0], a, b, 0), -(double)INFINITY, limit),
           y = act_value(call->p.act, x);
    *size = act_size(call->p.act, x);
    if (call->op == KN_OP_GATE) {
        double gate = held(kt_at(&call->in[1], a, b, 0), -limit, limit) + (double)call->p.offset;
        *size *= fabs(gate);
        y *= gate;
    }
    return y;
}

static void test_act(void **state)
{
    (void)state;
    for (enum kn_act act = KN_ACT_NONE; act < KN_ACT_COUNT; act++)
        for (int i = 0; i < LENGTH_COUNT; i++) {
            struct kn_call call = {
                .op = KN_OP_ACT, .in = {KT(KN_F32, 1, 70, LENGTHS[i])}, .p = {.act = act}};
            call.out[0] = KT(KN_F32, 2, 70, LENGTHS[i]);
            kt_fill(&call.in[0], -8, 8);
            kt_set(&call.in[0], NAN, 1, 0, 0);
            kt_set(&call.in[0], INFINITY, 2, 0, 0);
            kt_set(&call.in[0], 1e30f, 3, 0, 0);
            kt_set(&call.in[0], -100, 4, 0, 0);
            kt_set(&call.in[0], -0.0f, 5, 0, 0);
            kt_check(&call, act_reference, 4 * ULP);
            call.op = KN_OP_GATE;
            call.in[1] = KT(KN_F32, 3, 70, LENGTHS[i]);
            kt_set(&call.in[1], 2, 3, 0, 0);
            kt_check(&call, act_reference, 5 * ULP);
            struct kn_call bounded = call;
            bounded.p.limit = 0.7f, bounded.p.offset = 2; /* the sum does not cancel */
            kt_check(&bounded, act_reference, 6 * ULP);
            call.out[0] = call.in[0];
            kt_check(&call, act_reference, 5 * ULP);
            kt_free();
        }
    struct kn_call bad = {.op = KN_OP_ACT,
                          .in = {KT(KN_F32, 0, 2, 2)},
                          .out = {KT(KN_F32, 0, 2, 2)},
                          .p = {.act = KN_ACT_COUNT}};
    kt_refused(&bad);
}

static double clip_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o, (void)size;
    return held(kt_at(&call->in[0], a, b, c), -(double)call->p.limit, (double)call->p.limit);
}

static void test_clip(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH_COUNT; i++) {
        struct kn_call call = {
            .op = KN_OP_CLIP, .in = {KT(KN_F32, 1, 70, LENGTHS[i])}, .p = {.limit = 0.7f}};
        call.out[0] = KT(KN_F32, 2, 70, LENGTHS[i]);
        kt_set(&call.in[0], NAN, 1, 0, 0);
        kt_set(&call.in[0], INFINITY, 2, 0, 0);
        kt_set(&call.in[0], -INFINITY, 3, 0, 0);
        kt_check(&call, clip_reference, 0);
        call.p.limit = 0;
        kt_refused(&call);
        kt_free();
    }
    struct kn_call heads = {.op = KN_OP_CLIP, .in = {KT(KN_F32, 0, 5, 3, 7)}, .p = {.limit = 0.3f}};
    heads.out[0] = KT(KN_F32, 0, 5, 3, 7);
    kt_check(&heads, clip_reference, 0);
    kt_free();
}

/* The whole float range, densely where the functions change. */
static void test_act_sweep(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct kn_call call = {
        .op = KN_OP_ACT, .in = {KT(KN_F32, 0, 1, N)}, .out = {KT(KN_F32, 0, 1, N)}};
    for (int i = 0; i < N; i++)
        ((float *)call.in[0].data)[i] = i < N / 2
                                            ? -6 + 12 * (float)i / (N / 2)
                                            : (i % 2 ? 1.0f : -1.0f) *
                                                  expf((float)(i - N / 2) / (N / 2) * 40 - 36);
    for (enum kn_act act = KN_ACT_NONE; act < KN_ACT_COUNT; act++)
        for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
            call.p.act = act;
            assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 1), &call), KN_OK);
            double worst = 0, at = 0;
            for (int i = 0; i < N; i++) {
                double x = (double)((float *)call.in[0].data)[i], expect = act_value(act, x);
                double error = fabs((double)((float *)call.out[0].data)[i] - expect);
                double relative = error / act_size(act, x);
                if (relative > worst)
                    worst = relative, at = x;
            }
            print_message("    act %d %-8s worst relative error %.2f ulp at %g\n", (int)act,
                          kn_cpu_name((enum kn_cpu)cpu), worst / ULP, at);
            assert_true(worst < 4 * ULP);
        }
}

static double rope_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o;
    const struct kn_view *x = &call->in[0];
    int64_t half = call->p.n_rot / 2, apart = call->p.pairs ? 1 : half;
    bool first = call->p.pairs ? c % 2 == 0 : c < half;
    if (c >= 2 * half)
        return kt_at(x, a, b, c);
    double u = kt_at(x, a, b, c) * kt_at(&call->in[1], a, c, 0);
    double v = kt_at(x, a, b, first ? c + apart : c - apart) * kt_at(&call->in[2], a, c, 0);
    *size = fabs(u) + fabs(v);
    return first ? u - v : u + v;
}

static void test_rope(void **state)
{
    (void)state;
    static const int64_t SIZES[][2] = {{2, 2}, {16, 4}, {64, 64}, {80, 20}, {10, 10}};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        int64_t dh = SIZES[i][0], n = SIZES[i][1];
        struct kn_call call = {
            .op = KN_OP_ROPE,
            .in = {KT(KN_F32, 3, 66, 3, dh), KT(KN_F32, 1, 66, n), KT(KN_F32, 0, 66, n)}};
        call.out[0] = KT(KN_F32, 0, 66, 3, dh);
        call.p.n_rot = (int32_t)n;
        kt_check(&call, rope_reference, 2 * ULP);
        call.p.pairs = true;
        kt_check(&call, rope_reference, 2 * ULP);
        call.p.n_rot = (int32_t)n - 1;
        kt_refused(&call);
        call.p.n_rot = (int32_t)dh + 2;
        kt_refused(&call);
        kt_free();
    }
}

static double mean(const struct kn_call *call, int64_t row)
{
    double sum = 0;
    for (int64_t i = 0; call->p.center && i < call->in[0].shape[1]; i++)
        sum += kt_at(&call->in[0], row, i, 0);
    return sum / (double)call->in[0].shape[1];
}

static double norm_scale_reference(const struct kn_call *call, int o, int64_t a, int64_t b,
                                   int64_t c, double *size)
{
    (void)o, (void)b, (void)c, (void)size;
    double m = mean(call, a), sum = 0, n = (double)call->in[0].shape[1];
    for (int64_t i = 0; i < call->in[0].shape[1]; i++)
        sum += (kt_at(&call->in[0], a, i, 0) - m) * (kt_at(&call->in[0], a, i, 0) - m);
    return sqrt(sum / n + (double)call->p.eps);
}

static double normalize_reference(const struct kn_call *call, int o, int64_t a, int64_t b,
                                  int64_t c, double *size)
{
    (void)o, (void)c;
    double m = mean(call, a), scale = kt_at(&call->in[1], a, 0, 0);
    *size = (fabs(kt_at(&call->in[0], a, b, 0)) + fabs(m)) / scale;
    return (kt_at(&call->in[0], a, b, 0) - m) / scale;
}

static double row_norm_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                                 double *size)
{
    (void)o, (void)b, (void)c, (void)size;
    double sum = 0;
    for (int64_t i = 0; i < call->in[0].shape[1]; i++)
        sum += kt_at(&call->in[0], a, i, 0) * kt_at(&call->in[0], a, i, 0);
    return sqrt(sum);
}

static void test_norms(void **state)
{
    (void)state;
    for (int i = 0; i < LENGTH_COUNT; i++)
        for (int center = 0; center < 2; center++) {
            struct kn_call call = {.op = KN_OP_NORM_SCALE, .in = {KT(KN_F32, 1, 70, LENGTHS[i])}};
            call.out[0] = KT(KN_F32, 3, 70, 1);
            call.p.center = center;
            call.p.eps = 1e-5f;
            kt_fill(&call.in[0], 2, 5); /* a mean that matters */
            kt_set(&call.in[0], NAN, 69, 0, 0);
            /* A centred row of one element is 0 + eps whatever the rounding. */
            kt_check(&call, norm_scale_reference, LENGTHS[i] < 3 ? 1e-4 : 4 * ULP);

            call.op = KN_OP_NORMALIZE;
            call.in[1] = KT(KN_F32, 2, 70, 1);
            kt_fill(&call.in[1], 1, 3);
            call.out[0] = KT(KN_F32, 4, 70, LENGTHS[i]);
            kt_check(&call, normalize_reference, 2 * ULP);

            call = (struct kn_call){
                .op = KN_OP_ROW_NORM, .in = {call.in[0]}, .out = {KT(KN_F32, 0, 70, 1)}};
            kt_check(&call, row_norm_reference, ULP);
            kt_free();
        }
    struct kn_call bad = {
        .op = KN_OP_NORM_SCALE, .in = {KT(KN_F32, 0, 2, 3)}, .out = {KT(KN_F32, 0, 2, 3)}};
    kt_refused(&bad);
    bad.op = KN_OP_NORMALIZE;
    bad.in[1] = KT(KN_F32, 0, 2, 3);
    kt_refused(&bad);
}

static double norm_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    const struct kn_view *w = &call->in[1], *bias = &call->in[2];
    double x = kt_at(&call->in[0], a, b, 0), m = mean(call, a), unused,
           scale = norm_scale_reference(call, o, a, b, c, &unused),
           by = kt_at(w, b, 0, 0) + (double)call->p.offset,
           plus = bias->ndim ? kt_at(bias, b, 0, 0) : 0;
    *size = (fabs(x) + fabs(m)) / scale * fabs(by) + fabs(plus);
    return (x - m) / scale * by + plus;
}

/* One call is the three in turn, bit for bit. */
static void test_norm(void **state)
{
    (void)state;
    for (int i = 1; i < LENGTH_COUNT; i += 2)
        for (int kind = 0; kind < 6; kind++) {
            enum kn_dtype t = KN_F32 + kind / 2;
            struct kn_view x = KT(KN_F32, 1, 7, LENGTHS[i]), scale = KT(KN_F32, 0, 7, 1),
                           y = KT(KN_F32, 0, 7, LENGTHS[i]), z = KT(KN_F32, 2, 7, LENGTHS[i]),
                           w = KT(t, 0, LENGTHS[i]), b = {0};
            struct kn_param p = {.center = kind % 2, .eps = 1e-5f, .offset = kind == 2 ? 1 : 0};
            if (kind != 1)
                b = KT(t, 0, LENGTHS[i]);
            kt_fill(&x, 2, 5);
            kt_set(&x, NAN, 6, 0, 0);
            kt_set(&x, INFINITY, 5, 0, 0);
            struct kn_call calls[] = {
                {.op = KN_OP_NORM_SCALE, .out = {scale}, .in = {x}, .p = p},
                {.op = KN_OP_NORMALIZE, .out = {y}, .in = {x, scale}, .p = p},
                {.op = KN_OP_AFFINE, .out = {z}, .in = {y, w, b}, .p = p},
                {.op = KN_OP_NORM, .out = {KT(KN_F32, 3, 7, LENGTHS[i])}, .in = {x, w, b}, .p = p}};
            kt_chain(calls, 3, &calls[3]);
            kt_set(&x, 3, 5, 0, 0);
            kt_check(&calls[3], norm_reference, LENGTHS[i] < 3 ? 1e-4 : 8 * ULP);
            kt_free();
        }
    struct kn_call bad = {.op = KN_OP_NORM, .out = {KT(KN_F32, 0, 2, 3)}};
    bad.in[0] = KT(KN_F32, 0, 2, 3), bad.in[1] = KT(KN_F32, 0, 4);
    kt_refused(&bad);
    bad.in[1] = KT(KN_F32, 0, 3), bad.in[2] = KT(KN_F32, 0, 2);
    kt_refused(&bad);
    bad.in[2] = (struct kn_view){0}, bad.out[0] = KT(KN_F32, 0, 2, 1);
    kt_refused(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_embed, free_all),
        cmocka_unit_test_teardown(test_copy, free_all),
        cmocka_unit_test_teardown(test_add, free_all),
        cmocka_unit_test_teardown(test_affine, free_all),
        cmocka_unit_test_teardown(test_act, free_all),
        cmocka_unit_test_teardown(test_clip, free_all),
        cmocka_unit_test_teardown(test_act_sweep, free_all),
        cmocka_unit_test_teardown(test_rope, free_all),
        cmocka_unit_test_teardown(test_norms, free_all),
        cmocka_unit_test_teardown(test_norm, free_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kt_close();
    return failed;
}
