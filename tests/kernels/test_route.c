/* test_route.c - route, top_index, top_value, place, blend. */
#include "ktest.h"

#include <math.h>

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

enum { ROWS = 70 };
static const int64_t EXPERTS[] = {1, 2, 5, 8, 17, 33};
enum { EXPERT_COUNT = sizeof EXPERTS / sizeof *EXPERTS };

/* How many of a row come before element k in topk's order. */
static int64_t rank_of(const struct kn_view *x, int64_t row, int64_t k)
{
    int64_t rank = 0;
    for (int64_t i = 0; i < x->shape[1]; i++)
        rank += kt_at(x, row, i, 0) > kt_at(x, row, k, 0) ||
                (kt_at(x, row, i, 0) == kt_at(x, row, k, 0) && i < k);
    return rank;
}

static int64_t ranked(const struct kn_view *x, int64_t row, int64_t rank)
{
    int64_t k = 0;
    while (rank_of(x, row, k) != rank)
        k++;
    return k;
}

static double route_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                              double *size)
{
    (void)o, (void)c;
    const struct kn_view *x = &call->in[0];
    int64_t top = call->p.top ? call->p.top : x->shape[1];
    double sum = 0, most = kt_at(x, a, ranked(x, a, 0), 0), at = kt_at(x, a, b, 0) - most;
    for (int64_t i = 0; i < x->shape[1]; i++)
        sum += rank_of(x, a, i) < top ? exp(kt_at(x, a, i, 0) - most) : 0;
    *size = exp(at) / sum * (1 - at);
    return rank_of(x, a, b) < top ? exp(at) / sum : 0;
}

static double index_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                              double *size)
{
    (void)o, (void)c, (void)size;
    return (double)ranked(&call->in[0], a, b);
}

static double value_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                              double *size)
{
    (void)o, (void)c, (void)size;
    const struct kn_view *x = &call->in[0];
    double sum = 0;
    for (int64_t k = 0; k < call->out[0].shape[1]; k++)
        sum += kt_at(x, a, ranked(x, a, k), 0);
    return kt_at(x, a, ranked(x, a, b), 0) / (call->p.share ? sum : 1);
}

static void test_top(void **state)
{
    (void)state;
    for (int i = 0; i < EXPERT_COUNT; i++)
        for (int64_t k = 1; k <= EXPERTS[i] && k <= 9; k += 1 + k / 2) {
            struct kn_view x = KT(KN_F32, 3, 9, EXPERTS[i]);
            kt_fill(&x, 0.01f, 5);
            kt_set(&x, 1.5f, 2, 0, 0); /* a tie */
            kt_set(&x, 1.5f, 2, EXPERTS[i] - 1, 0);
            struct kn_call c = {.op = KN_OP_ROUTE, .in = {x}, .p = {.top = (int32_t)k}};
            c.out[0] = KT(KN_F32, 1, 9, EXPERTS[i]);
            kt_check(&c, route_reference, 5e-7);
            c.p.top = 0;
            kt_check(&c, route_reference, 5e-7);
            c.p.top = (int32_t)EXPERTS[i] + 1;
            kt_refused(&c);
            c.out[0] = KT(KN_F32, 1, 9, k);
            c.op = KN_OP_TOP_INDEX;
            kt_check(&c, index_reference, 0);
            c.op = KN_OP_TOP_VALUE;
            kt_check(&c, value_reference, 0);
            c.p.share = true;
            kt_check(&c, value_reference, 0x1p-23);
            c.out[0] = KT(KN_F32, 1, 9, EXPERTS[i] + 1);
            kt_refused(&c);
            kt_free();
        }
}

static double place_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                              double *size)
{
    (void)o, (void)c, (void)size;
    for (int64_t i = 0; i < call->in[0].shape[0]; i++)
        if (((const int32_t *)call->in[0].data)[i] == a)
            return kt_at(&call->in[1], i, b, 0);
    return kt_at(&call->out[0], a, b, 0);
}

static void test_place(void **state)
{
    (void)state;
    struct kn_call c = {.op = KN_OP_PLACE,
                        .out = {KT(KN_F32, 2, ROWS, 13)},
                        .in = {KT(KN_I32, 0, 30), KT(KN_F32, 1, 30, 13)}};
    for (int64_t i = 0; i < 30; i++)
        kt_set(&c.in[0], (float)(i * 37 % ROWS), i, 0, 0);
    kt_check(&c, place_reference, 0);
    kt_set(&c.in[0], ROWS, 7, 0, 0);
    kt_refused(&c);
    kt_set(&c.in[0], -1, 7, 0, 0);
    kt_refused(&c);
    kt_set(&c.in[0], 69, 7, 0, 0);
    c.in[1].shape[0]--;
    kt_refused(&c);
}

static double blend_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                              double *size)
{
    (void)o, (void)c;
    double sum = 0;
    for (int64_t s = 0; s < call->in[0].shape[1]; s++) {
        double term = kt_at(&call->in[0], a, s, 0) * kt_at(&call->in[1], a, s, b);
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static void test_blend(void **state)
{
    (void)state;
    for (int64_t s = 1; s < 9; s += 3) {
        struct kn_call c = {.op = KN_OP_BLEND,
                            .out = {KT(KN_F32, 2, ROWS, 13)},
                            .in = {KT(KN_F32, 1, ROWS, s), KT(KN_F32, 4, ROWS, s, 13)}};
        kt_set(&c.in[1], NAN, 3, 0, 5);
        kt_check(&c, blend_reference, 1e-6);
        c.out[0].shape[1]--;
        kt_refused(&c);
        kt_free();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_top, free_all),
        cmocka_unit_test_teardown(test_place, free_all),
        cmocka_unit_test_teardown(test_blend, free_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kt_close();
    return failed;
}
