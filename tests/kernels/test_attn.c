/* test_attn.c - attn_scores, softmax, attn_mix, and attention, which has their bits. */
#include "ktest.h"

#include <math.h>

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

static bool hidden(const struct kn_param *p, int64_t row, int64_t source)
{
    int64_t d = p->dest0 + row, s = p->src0 + source;
    return (!p->full && s > d) || (p->window > 0 && d - s >= p->window);
}

/* As the paper says it: a geometric sequence, twice as dense for what a power of two leaves. */
static double slope(int64_t h, int64_t n)
{
    int64_t p = 1;
    while (2 * p <= n)
        p *= 2;
    return h < p ? pow(2, -8.0 * (double)(h + 1) / (double)p) : slope(2 * (h - p), 2 * p);
}

/* To eight significant bits. */
static double bf16(double x)
{
    int exponent;
    double part = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(part, 8)), exponent - 8);
}

static double bias(const struct kn_param *p, double slope, int64_t i)
{
    double x = (double)i;
    return (double)p->alibi * (p->alibi_bf16 ? bf16(bf16(slope) * bf16(x)) : slope * x);
}

static double scores_reference(const struct kn_call *call, int o, int64_t h, int64_t d, int64_t s,
                               double *size)
{
    (void)o;
    const struct kn_view *q = &call->in[0], *k = &call->in[1];
    int64_t share = q->shape[1] / k->shape[1];
    double sum = 0, cap = (double)call->p.softcap;
    if (hidden(&call->p, d, s))
        return -(double)INFINITY;
    for (int64_t i = 0; i < q->shape[2]; i++) {
        double term = kt_at(q, d, h, i) * kt_at(k, s, h / share, i) * (double)call->p.scale;
        sum += term;
        *size += fabs(term);
    }
    sum = cap > 0 ? cap * tanh(sum / cap) : sum;
    double of_head = slope(h, q->shape[1]), more = bias(&call->p, of_head, call->p.src0 + s) -
                                                   bias(&call->p, of_head, call->p.dest0 + d);
    *size += fabs(more);
    sum += more;
    return sum;
}

static const struct {
    int64_t rows, sources, heads, kv_heads, dh;
    int32_t dest0, src0, window;
    bool full;
} SHAPES[] = {
    {1, 1, 1, 1, 1, 0, 0, 0, false},     {5, 5, 2, 2, 4, 0, 0, 0, false},
    {33, 33, 3, 1, 64, 0, 0, 0, false},  {70, 70, 4, 2, 20, 0, 0, 0, false},
    {1, 40, 4, 4, 16, 39, 0, 0, false},  {7, 40, 2, 1, 33, 33, 0, 5, false},
    {50, 50, 2, 2, 16, 0, 0, 7, false},  {30, 20, 2, 1, 8, 0, 0, 0, true},
    {30, 45, 2, 1, 8, 3, 0, 0, false},   {30, 20, 1, 1, 17, 10, 5, 0, false},
    {8, 20, 1, 1, 16, 2, 11, 0, false},  {26, 40, 1, 1, 5, 0, 0, 9, true},
    {4, 290, 3, 3, 5, 286, 0, 0, false},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

/* Scores are kept as [dest, head, source] in memory here, to try free strides. */
static struct kn_view square(int i, int64_t pad)
{
    struct kn_view m = KT(KN_F32, pad, SHAPES[i].rows, SHAPES[i].heads, SHAPES[i].sources);
    return kn_swap(m, 0, 1);
}

static struct kn_param param(int i)
{
    return (struct kn_param){.dest0 = SHAPES[i].dest0,
                             .src0 = SHAPES[i].src0,
                             .window = SHAPES[i].window,
                             .full = SHAPES[i].full,
                             .scale = 0.3f};
}

static struct kn_call scores_call(int i)
{
    struct kn_call call = {.op = KN_OP_ATTN_SCORES, .p = param(i), .out = {square(i, 3)}};
    call.in[0] = KT(KN_F32, 1, SHAPES[i].rows, SHAPES[i].heads, SHAPES[i].dh);
    call.in[1] = KT(KN_F32, 2, SHAPES[i].sources, SHAPES[i].kv_heads, SHAPES[i].dh);
    return call;
}

static void test_scores(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int cap = 0; cap < 4; cap++) {
            struct kn_call call = scores_call(i);
            call.p.softcap = cap == 1 ? 0.5f : 0;
            call.p.alibi = cap == 2 ? 1 : cap == 3 ? 0.125f : 0;
            call.p.alibi_bf16 = cap == 3;
            kt_check(&call, scores_reference, 5e-7);
            kt_set(&call.in[1], NAN, SHAPES[i].sources - 1, 0, 0); /* seen by the last rows only */
            kt_set(&call.in[0], INFINITY, SHAPES[i].rows / 2, 0, 0);
            if (cap != 1) /* a softcap makes a number of Inf, with any error of the sum */
                kt_check(&call, scores_reference, 5e-7);
            kt_free();
        }
    struct kn_call bad = scores_call(3);
    bad.in[1].shape[1] = 3; /* does not divide the heads */
    kt_refused(&bad);
    bad = scores_call(3);
    bad.out[0].stride[2] = 2;
    kt_refused(&bad);
    bad = scores_call(3);
    bad.in[1].shape[2]--;
    kt_refused(&bad);
    bad = scores_call(3);
    bad.p.dest0 = -1;
    kt_refused(&bad);
}

static double softmax_reference(const struct kn_call *call, int o, int64_t h, int64_t d, int64_t s,
                                double *size)
{
    (void)o;
    const struct kn_view *x = &call->in[0];
    int64_t visible = call->p.full || call->p.dest0 + d + 1 > x->shape[2] ? x->shape[2]
                                                                          : call->p.dest0 + d + 1;
    double greatest = -(double)INFINITY, sum = 0;
    if (s >= visible)
        return 0;
    for (int64_t i = 0; i < visible; i++) {
        if (isnan(kt_at(x, h, d, i)))
            return (double)NAN;
        greatest = fmax(greatest, kt_at(x, h, d, i));
    }
    if (greatest == -(double)INFINITY)
        return 0;
    for (int64_t i = 0; i < visible; i++)
        sum += exp(kt_at(x, h, d, i) - greatest);
    if (call->in[1].ndim)
        sum += exp(kt_at(&call->in[1], h, 0, 0) - greatest);
    /* The difference is rounded once as a float, which exp turns into a relative error. */
    double difference = kt_at(x, h, d, s) - greatest;
    *size = exp(difference) / sum * (1 + fmin(-difference, 200));
    return exp(difference) / sum;
}

static void test_softmax(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++) {
        if (SHAPES[i].src0)
            continue;
        struct kn_call call = {
            .op = KN_OP_SOFTMAX, .p = param(i), .out = {square(i, 3)}, .in = {square(i, 1)}};
        kt_fill(&call.in[0], -9, 9);
        for (int64_t h = 0; h < SHAPES[i].heads; h++)
            for (int64_t d = 0; d < SHAPES[i].rows; d++)
                for (int64_t s = 0; s < SHAPES[i].sources; s++)
                    if (hidden(&call.p, d, s))
                        kt_set(&call.in[0], -INFINITY, h, d, s);
        kt_check(&call, softmax_reference, 4e-7);
        int64_t last = SHAPES[i].rows - 1;
        kt_set(&call.in[0], INFINITY, 0, last, 0); /* Inf - Inf */
        kt_set(&call.in[0], NAN, 0, last / 2, 0);
        for (int64_t s = 0; s < SHAPES[i].sources; s++)
            kt_set(&call.in[0], -INFINITY, SHAPES[i].heads - 1, last, s);
        struct kn_call in_place = call;
        in_place.out[0] = in_place.in[0];
        kt_check(&call, softmax_reference, 4e-7);
        kt_check(&in_place, softmax_reference, 4e-7);
        for (enum kn_dtype t = KN_F32; t <= KN_BF16; t++) {
            call.in[1] = KT(t, 0, SHAPES[i].heads);
            kt_fill(&call.in[1], -4, 12);
            kt_check(&call, softmax_reference, 5e-7);
        }
        call.in[1].shape[0]++;
        kt_refused(&call);
        kt_free();
    }
    /* Sources past the row are left out even where their scores are finite; NaN alone is NaN. */
    struct kn_call call = {
        .op = KN_OP_SOFTMAX, .in = {KT(KN_F32, 0, 1, 9, 9)}, .out = {KT(KN_F32, 0, 1, 9, 9)}};
    kt_set(&call.in[0], NAN, 0, 0, 0);
    kt_check(&call, softmax_reference, 4e-7);
    call.p.src0 = 1;
    kt_refused(&call);
    call.p.src0 = 0;
    call.out[0].shape[0] = 0;
    kt_refused(&call);
}

static double mix_reference(const struct kn_call *call, int o, int64_t d, int64_t h, int64_t i,
                            double *size)
{
    (void)o;
    const struct kn_view *pattern = &call->in[0], *v = &call->in[1];
    int64_t share = pattern->shape[0] / v->shape[1];
    double sum = call->p.accumulate ? kt_at(&call->out[0], d, h, i) : 0;
    *size = fabs(sum);
    for (int64_t s = 0; s < pattern->shape[2]; s++) {
        if (!call->p.full && call->p.src0 + s > call->p.dest0 + d)
            break;
        double term = kt_at(pattern, h, d, s) * kt_at(v, s, h / share, i);
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static struct kn_call mix_call(int i)
{
    struct kn_call call = {.op = KN_OP_ATTN_MIX, .p = param(i), .in = {square(i, 3)}};
    call.in[1] = KT(KN_F32, 2, SHAPES[i].sources, SHAPES[i].kv_heads, SHAPES[i].dh);
    call.out[0] = KT(KN_F32, 1, SHAPES[i].rows, SHAPES[i].heads, SHAPES[i].dh);
    return call;
}

static void test_mix(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            struct kn_call call = mix_call(i);
            call.p.accumulate = accumulate;
            kt_check(&call, mix_reference, 1e-6);
            kt_set(&call.in[1], NAN, SHAPES[i].sources - 1, 0, 0);
            kt_set(&call.in[0], INFINITY, 0, SHAPES[i].rows / 2, 0);
            kt_check(&call, mix_reference, 1e-6);
            kt_free();
        }
}

/* Two calls over [0, a) and [a, S) are one call, bit for bit. */
static void test_mix_split(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int64_t a = 1; a < SHAPES[i].sources; a += 1 + a / 2)
            for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
                struct kn_call one = mix_call(i);
                assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 2), &one), KN_OK);
                struct kn_call two = one;
                two.out[0] = KT(KN_F32, 0, SHAPES[i].rows, SHAPES[i].heads, SHAPES[i].dh);
                two.in[0] = kn_slice(one.in[0], 2, 0, a);
                two.in[1] = kn_slice(one.in[1], 0, 0, a);
                assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 2), &two), KN_OK);
                two.in[0] = kn_slice(one.in[0], 2, a, SHAPES[i].sources);
                two.in[1] = kn_slice(one.in[1], 0, a, SHAPES[i].sources);
                two.p.src0 += (int32_t)a;
                two.p.accumulate = true;
                assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 1), &two), KN_OK);
                kt_same_bits(&one.out[0], &two.out[0], "mix in one and in two calls");
                kt_free();
            }
}

/* A row is the same whether the sources after it are in the call or not, and alone as among many,
 * whose keys are turned: decoding equals prefill. */
static void later_sources(int64_t all, int64_t heads, int64_t dh, int32_t window)
{
    struct kn_view q = KT(KN_F32, 0, all, heads, dh), k = KT(KN_F32, 4, all, heads, dh),
                   v = KT(KN_F32, 0, all, heads, dh);
    struct kn_view scores = KT(KN_F32, 0, heads, all, all), z = KT(KN_F32, 0, all, heads, dh);
    struct kn_view scores1 = KT(KN_F32, 0, heads, 1, all), z1 = KT(KN_F32, 0, 1, heads, dh);
    struct kn_param p = {.scale = 0.2f, .window = window};
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
        struct kn_backend *be = kt_backend((enum kn_cpu)cpu, 2);
        p.dest0 = 0;
        kn_run(be,
               &(struct kn_call){.op = KN_OP_ATTN_SCORES, .out = {scores}, .in = {q, k}, .p = p});
        kn_run(be, &(struct kn_call){.op = KN_OP_SOFTMAX, .out = {scores}, .in = {scores}});
        kn_run(be, &(struct kn_call){.op = KN_OP_ATTN_MIX, .out = {z}, .in = {scores, v}});
        for (int64_t d = 0; d < all; d++) {
            struct kn_view s = kn_slice(scores1, 2, 0, d + 1);
            p.dest0 = (int32_t)d;
            kn_run(be, &(struct kn_call){.op = KN_OP_ATTN_SCORES,
                                         .out = {s},
                                         .in = {kn_slice(q, 0, d, d + 1), kn_slice(k, 0, 0, d + 1)},
                                         .p = p});
            kn_run(be, &(struct kn_call){.op = KN_OP_SOFTMAX, .out = {s}, .in = {s}, .p = p});
            kn_run(be, &(struct kn_call){.op = KN_OP_ATTN_MIX,
                                         .out = {z1},
                                         .in = {s, kn_slice(v, 0, 0, d + 1)},
                                         .p = p});
            struct kn_view expect = kn_slice(kn_slice(scores, 1, d, d + 1), 2, 0, d + 1);
            kt_same_bits(&expect, &s, "pattern of one row");
            expect = kn_slice(z, 0, d, d + 1);
            kt_same_bits(&expect, &z1, "z of one row");
        }
    }
    kt_free();
}

static void test_later_sources(void **state)
{
    (void)state;
    static const int64_t dh[] = {24, 64, 4, 6, 76, 128, 260};
    for (size_t i = 0; i < sizeof dh / sizeof *dh; i++) {
        later_sources(40, 2, dh[i], 0);
        later_sources(107, 1, dh[i], i % 2 ? 0 : 37);
    }
}

/* One call is the three in turn, bit for bit: with windows, caps, slopes, sinks and shared heads.
 */
static void test_attention(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPE_COUNT; i++)
        for (int kind = 0; kind < 8; kind++) {
            int64_t rows = SHAPES[i].rows, heads = SHAPES[i].heads, dh = SHAPES[i].dh,
                    sources = SHAPES[i].sources;
            struct kn_param p = param(i);
            p.src0 = 0, p.softcap = kind & 1 ? 0.5f : 0, p.alibi = kind & 2 ? 1.0f : 0;
            struct kn_view q = KT(KN_F32, 1, rows, heads, dh),
                           k = KT(KN_F32, 2, sources, SHAPES[i].kv_heads, dh),
                           v = KT(KN_F32, 3, sources, SHAPES[i].kv_heads, dh),
                           sinks = kind & 4 ? KT(KN_F32, 0, heads) : (struct kn_view){0},
                           z = KT(KN_F32, 1, rows, heads, dh), one = KT(KN_F32, 2, rows, heads, dh),
                           s = square(i, 3);
            struct kn_call calls[] = {
                {.op = KN_OP_ATTN_SCORES, .out = {s}, .in = {q, k}, .p = p},
                {.op = KN_OP_SOFTMAX, .out = {s}, .in = {s, sinks}, .p = p},
                {.op = KN_OP_ATTN_MIX, .out = {z}, .in = {s, v}, .p = p},
                {.op = KN_OP_ATTENTION, .out = {one}, .in = {q, k, v, sinks}, .p = p}};
            if (kind == 7) /* seen by the last rows only */
                kt_set(&v, NAN, sources - 1, 0, 0);
            kt_chain(calls, 3, &calls[3]);
            kt_free();
        }
    struct kn_call bad = {.op = KN_OP_ATTENTION, .out = {KT(KN_F32, 0, 5, 2, 4)}};
    bad.in[0] = KT(KN_F32, 0, 5, 2, 4), bad.in[1] = KT(KN_F32, 0, 6, 2, 4);
    bad.in[2] = KT(KN_F32, 0, 5, 2, 4); /* another number of values than of keys */
    kt_refused(&bad);
    bad.in[2] = KT(KN_F32, 0, 6, 1, 4);
    kt_refused(&bad);
    bad.in[2] = KT(KN_F32, 0, 6, 2, 4);
    bad.p.src0 = 1;
    kt_refused(&bad);
    bad.p.src0 = 0;
    bad.in[3] = KT(KN_F32, 0, 3);
    kt_refused(&bad);
    kt_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_attention, free_all),
        cmocka_unit_test_teardown(test_scores, free_all),
        cmocka_unit_test_teardown(test_softmax, free_all),
        cmocka_unit_test_teardown(test_mix, free_all),
        cmocka_unit_test_teardown(test_mix_split, free_all),
        cmocka_unit_test_teardown(test_later_sources, free_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kt_close();
    return failed;
}
