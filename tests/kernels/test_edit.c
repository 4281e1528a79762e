/* test_edit.c - changes in place: edit, hide, project, renormalize and its product; and what is
 * read off values: pick, stats, softmax_grad.  All of them to the bit. */
#include "ktest.h"

#include <math.h>
#include <string.h>

enum { A = 3, B = 19, C = 37 };

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

/* The place of index i in the selection of an axis, or -1. */
static int64_t chosen(const struct kn_call *call, int axis, int64_t i)
{
    const struct kn_view *list = &call->in[1 + axis];
    const struct kn_range *r = &call->p.range[axis];
    if (list->ndim) {
        for (int64_t k = 0; k < list->shape[0]; k++)
            if ((int64_t)kt_at(list, k, 0, 0) == i)
                return k;
        return -1;
    }
    if (!r->step)
        return i;
    int64_t k = (i - r->start) / r->step;
    return i >= r->start && (i - r->start) % r->step == 0 && k < r->n ? k : -1;
}

/* Is a line, or an element of it, the call's to change? */
static bool selected(const struct kn_call *call, const int64_t at[3], int64_t place[3], int axes)
{
    bool yes = true;
    for (int i = 0; i < call->out[0].ndim; i++)
        place[i] = i < axes ? chosen(call, i, at[i]) : at[i];
    for (int i = 0; i < axes; i++)
        yes &= place[i] >= 0;
    int last = call->out[0].ndim - 1;
    return yes && !(call->p.causal && at[last] > call->p.dest0 + at[last - 1]);
}

static double edit_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o, (void)size;
    const struct kn_param *p = &call->p;
    int64_t at[3] = {a, b, c}, place[3] = {0};
    float x = (float)kt_at(&call->out[0], a, b, c), v = p->number;
    if (!selected(call, at, place, call->out[0].ndim))
        return (double)x;
    const int64_t *from = p->by_place ? at : place;
    if (call->in[0].ndim)
        v = (float)kt_at(&call->in[0], from[0], from[1], from[2]);
    if (p->edit == KN_EDIT_CLAMP_VJP)
        return v < p->lo || v > p->hi ? 0 : (double)x;
    v *= p->scale;
    switch (p->edit) {
    case KN_EDIT_ADD: return (double)(x + v);
    case KN_EDIT_MULTIPLY: return (double)(x * v);
    case KN_EDIT_CLAMP: return (double)(x < p->lo ? p->lo : x > p->hi ? p->hi : x);
    default: return (double)v;
    }
}

static struct kn_view index_list(int64_t n, int64_t step)
{
    struct kn_view v = KT(KN_I32, 0, n);
    for (int64_t i = 0; i < n; i++)
        kt_set(&v, (float)(i * step + i % 2), i, 0, 0);
    return v;
}

/* Every kind of change on one selection, by number, by one value for each selected element, by one
 * for each place, and by values that repeat. */
static void edit_all(struct kn_call call, const int64_t *n)
{
    struct kn_view counted = KT(KN_F32, 1, n[0], n[1], n[2]), whole = KT(KN_F32, 2, A, B, C),
                   repeated = counted;
    repeated.stride[0] = repeated.stride[2] = 0;
    struct kn_view values[] = {{0}, counted, whole, repeated};
    call.op = KN_OP_EDIT;
    call.out[0] = kn_swap(KT(KN_F32, 1, B, A, C), 0, 1);
    kt_set(&call.out[0], NAN, 0, 0, 1);
    call.p.number = 0.7f, call.p.lo = -0.25f, call.p.hi = 0.5f;
    for (enum kn_edit k = KN_EDIT_SET; k < KN_EDIT_COUNT; k++)
        for (int v = k == KN_EDIT_CLAMP_VJP; v < 4; v++) {
            call.p.edit = k, call.p.by_place = v == 2, call.in[0] = values[v];
            call.p.scale = v % 2 ? 1 : -1.5f;
            kt_check(&call, edit_reference, 0);
        }
    kt_free();
}

static void test_edit(void **state)
{
    (void)state;
    edit_all((struct kn_call){0}, (const int64_t[]){A, B, C});
    edit_all((struct kn_call){.p = {.causal = true, .dest0 = 7}}, (const int64_t[]){A, B, C});
    struct kn_call some = {.p = {.range = {{1, 2, 1}, {0, 3, 6}, {5, 1, 20}}}};
    edit_all(some, (const int64_t[]){1, 6, 20});
    some.p.causal = true;
    some.in[3] = index_list(11, 3);
    some.p.range[2] = (struct kn_range){0};
    edit_all(some, (const int64_t[]){1, 6, 11});
    some.in[2] = index_list(4, 4), some.in[1] = index_list(2, 1), some.in[3] = index_list(11, 3);
    edit_all(some, (const int64_t[]){2, 4, 11});
    some = (struct kn_call){.p = {.range = {{0, 1, 0}}}}; /* nothing */
    some.op = KN_OP_EDIT, some.out[0] = KT(KN_F32, 0, 5, 6);
    kt_check(&some, edit_reference, 0);
    struct kn_call line = {.op = KN_OP_EDIT, .out = {KT(KN_F32, 0, 500)}, .p = {.scale = 1}};
    line.in[0] = KT(KN_F32, 0, 3), line.in[1] = index_list(3, 200);
    kt_check(&line, edit_reference, 0);
    line.in[0] = KT(KN_F32, 0, 4);
    kt_refused(&line);
    line.in[0] = KT(KN_F32, 0, 3);
    kt_set(&line.in[1], 500, 2, 0, 0);
    kt_refused(&line);
    kt_set(&line.in[1], 100, 2, 0, 0);
    kt_set(&line.in[1], 100, 1, 0, 0);
    kt_refused(&line);
    line.in[1] = (struct kn_view){0};
    line.p.range[0] = (struct kn_range){450, 25, 3};
    kt_refused(&line);
    line.p = (struct kn_param){.edit = KN_EDIT_COUNT};
    kt_refused(&line);
    line = (struct kn_call){.op = KN_OP_EDIT, .out = {KT(KN_F32, 0, 500)}, .p = {.causal = true}};
    kt_refused(&line);
}

static double hide_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o, (void)size;
    return c > call->p.dest0 + b ? (double)call->p.number : kt_at(&call->out[0], a, b, c);
}

static void test_hide(void **state)
{
    (void)state;
    struct kn_call call = {.op = KN_OP_HIDE, .out = {kn_swap(KT(KN_F32, 1, B, A, C), 0, 1)}};
    call.p = (struct kn_param){.number = -INFINITY, .dest0 = 5};
    kt_check(&call, hide_reference, 0);
    call.p.dest0 = 100;
    kt_check(&call, hide_reference, 0);
    call.out[0] = KT(KN_F32, 0, 4, 4);
    kt_refused(&call);
}

static double project_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                                double *size)
{
    (void)o, (void)size;
    int64_t at[3] = {a, b, c}, place[3];
    const struct kn_view *x = &call->out[0], *d = &call->in[0];
    if (!selected(call, at, place, x->ndim - 1))
        return kt_at(x, a, b, c);
    double along = 0;
    for (int64_t i = 0; i < d->shape[0]; i++)
        along += (x->ndim == 3 ? kt_at(x, a, b, i) : kt_at(x, a, i, 0)) * kt_at(d, i, 0, 0);
    return (double)(float)(kt_at(x, a, b, c) - along * kt_at(d, x->ndim == 3 ? c : b, 0, 0));
}

static void test_project(void **state)
{
    (void)state;
    for (int rank = 2; rank < 4; rank++) {
        struct kn_call call = {.op = KN_OP_PROJECT, .in = {KT(KN_F32, 0, C)}};
        call.out[0] = rank == 2 ? KT(KN_F32, 3, B, C) : KT(KN_F32, 3, B, A, C);
        kt_check(&call, project_reference, 0);
        call.in[1] = index_list(5, 3);
        kt_check(&call, project_reference, 0);
        if (rank == 3) {
            call.p.range[1] = (struct kn_range){1, 1, 1};
            kt_check(&call, project_reference, 0);
        }
        call.p.range[rank - 1] = (struct kn_range){0, 1, C};
        kt_refused(&call);
    }
}

/* What a line of the call is: its elements that count, x or the value, at [a, b]. */
static int64_t line_end(const struct kn_call *call, int64_t b)
{
    int64_t n = call->out[0].shape[2], seen = call->p.dest0 + b + 1;
    return call->p.causal && seen < n ? seen : n;
}

static double renormalize_reference(const struct kn_call *call, int o, int64_t a, int64_t b,
                                    int64_t c, double *size)
{
    (void)o, (void)size;
    int64_t at[3] = {a, b, c}, place[3];
    const struct kn_view *x = &call->out[0], *value = &call->in[0];
    if (!selected(call, at, place, 2))
        return kt_at(x, a, b, c);
    double sum = 0, along = 0;
    for (int64_t i = 0; i < line_end(call, b); i++) {
        double v = kt_at(call->op == KN_OP_RENORMALIZE ? x : value, a, b, i);
        sum += v;
        along += kt_at(x, a, b, i) * v;
    }
    double y = call->op == KN_OP_RENORMALIZE ? kt_at(x, a, b, c) / sum
                                             : (kt_at(x, a, b, c) - along / sum) / sum;
    return (double)(float)y;
}

static void test_renormalize(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        struct kn_call call = {.op = KN_OP_RENORMALIZE, .p = {.causal = causal, .dest0 = 4}};
        call.out[0] = kn_swap(KT(KN_F32, 1, B, A, C), 0, 1);
        kt_fill(&call.out[0], 0.1f, 1);
        struct kn_call back = call;
        back.op = KN_OP_RENORMALIZE_VJP, back.in[0] = KT(KN_F32, 0, A, B, C);
        kt_fill(&back.in[0], 0.1f, 1);
        kt_check(&call, renormalize_reference, 0);
        kt_check(&back, renormalize_reference, 0);
        call.in[2] = back.in[2] = index_list(6, 3);
        call.p.range[0] = back.p.range[0] = (struct kn_range){1, 1, 2};
        kt_check(&call, renormalize_reference, 0);
        kt_check(&back, renormalize_reference, 0);
        call.in[0] = back.in[0];
        kt_refused(&call);
        back.in[0] = (struct kn_view){0};
        kt_refused(&back);
    }
}

static double pick_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o, (void)c, (void)size;
    return kt_at(&call->in[0], a, (int64_t)kt_at(&call->in[1], a, b, 0), 0);
}

static void test_pick(void **state)
{
    (void)state;
    struct kn_call call = {.op = KN_OP_PICK, .in = {KT(KN_F32, 2, B, C), KT(KN_I32, 1, B, 5)}};
    call.out[0] = KT(KN_F32, 3, B, 5);
    for (int64_t i = 0; i < B * 5; i++)
        kt_set(&call.in[1], (float)(kt_random() % C), i / 5, i % 5, 0);
    kt_check(&call, pick_reference, 0);
    struct kn_call each = call, same = call;
    each.in[1] = kn_index(call.in[1], 1, 2);
    each.in[1].stride[0] = 6;
    each.out[0] = KT(KN_F32, 0, B);
    kt_check(&each, pick_reference, 0);
    same.in[1] = kn_slice(call.in[1], 0, 0, 1);
    same.in[1].shape[0] = B, same.in[1].stride[0] = 0;
    kt_check(&same, pick_reference, 0);
    kt_set(&call.in[1], C, 3, 3, 0);
    kt_refused(&call);
}

static struct kn_stats stats_of(const struct kn_view *x, bool masked)
{
    struct kn_view words = KT(KN_I32, 0, KN_STATS_WORDS);
    struct kn_call call = {.op = KN_OP_STATS, .in = {*x}, .out = {words}, .p = {.masked = masked}};
    struct kn_stats s;
    kt_check(&call, NULL, 0);
    assert_int_equal(kn_run(kt_backend(KN_CPU_PORTABLE, 2), &call), KN_OK);
    memcpy(&s, kn_at(&words, 0), sizeof s);
    return s;
}

static void test_stats(void **state)
{
    (void)state;
    struct kn_view x = kn_swap(KT(KN_F32, 1, B, A, C), 0, 1);
    kt_fill(&x, 99, 101); /* a mean that would eat the variance */
    double sum = 0, m2 = 0, n = A * B * C;
    for (int64_t i = 0; i < A * B * C; i++)
        sum += kt_at(&x, i / C / B, i / C % B, i % C);
    for (int64_t i = 0; i < A * B * C; i++) {
        double d = kt_at(&x, i / C / B, i / C % B, i % C) - sum / n;
        m2 += d * d;
    }
    struct kn_stats s = stats_of(&x, false);
    assert_true(s.n == A * B * C && s.n_finite == s.n && !s.n_nan && !s.n_inf);
    assert_memory_equal(&s.mean, &(double){sum / n}, sizeof s.mean);
    assert_memory_equal(&s.m2, &m2, sizeof m2);
    assert_true(s.min >= 99 && s.min < s.max && s.max <= 101);
    kt_set(&x, NAN, 0, 0, 0);
    kt_set(&x, -INFINITY, 1, 1, 1);
    kt_set(&x, INFINITY, 2, 2, 2);
    s = stats_of(&x, false);
    assert_true(s.n_nan == 1 && s.n_inf == 2 && s.n_finite == s.n - 3);
    assert_true(s.min == -INFINITY && s.max == INFINITY && s.mean > 99);
    s = stats_of(&x, true);
    assert_true(s.n_inf == 1 && s.min == -INFINITY);
    struct kn_view many = KT(KN_F32, 0, 30011); /* more than a group of a device takes */
    kt_fill(&many, 2, 3);
    s = stats_of(&many, false);
    assert_true(s.n_finite == 30011 && s.mean > 2.49 && s.mean < 2.51);
    kt_set(&many, 3e30f, 7, 0, 0);
    kt_set(&many, -INFINITY, 8, 0, 0);
    s = stats_of(&many, false);
    assert_true(s.n_finite == 30010 && s.mean > 9.9e25 && s.m2 > 8.9e60);
    kt_fill(&x, NAN, NAN);
    s = stats_of(&x, true);
    assert_true(s.n_nan == s.n && isnan(s.min) && isnan(s.max) && !s.n_finite);
}

static double lse_of(const struct kn_view *x, int64_t row)
{
    double sum = 0;
    for (int64_t i = 0; i < x->shape[1]; i++)
        sum += exp(kt_at(x, row, i, 0));
    return log(sum);
}

static double grad_reference(const struct kn_call *call, int o, int64_t a, int64_t b, int64_t c,
                             double *size)
{
    (void)o, (void)c;
    const struct kn_view *x = &call->in[0], *base = &call->in[2];
    double p = exp(kt_at(x, a, b, 0) - lse_of(x, a)), before = kt_at(&call->out[0], a, b, 0);
    double d = base->ndim ? p - exp(kt_at(base, a, b, 0) - lse_of(base, a))
                          : ((int64_t)kt_at(&call->in[1], a, 0, 0) == b) - p;
    *size = fabs(before) + fabs(call->p.factor);
    return before + call->p.factor * d;
}

static void test_softmax_grad(void **state)
{
    (void)state;
    struct kn_call call = {.op = KN_OP_SOFTMAX_GRAD, .p = {.factor = -0.3}};
    call.in[0] = KT(KN_F32, 2, B, 100), call.in[1] = KT(KN_I32, 0, B);
    call.out[0] = KT(KN_F32, 1, B, 100);
    kt_fill(&call.in[0], -9, 9);
    for (int64_t i = 0; i < B; i++)
        kt_set(&call.in[1], (float)(kt_random() % 100), i, 0, 0);
    kt_check(&call, grad_reference, 0x1p-22);
    struct kn_call kl = call, bad = call;
    kl.in[1] = (struct kn_view){0}, kl.in[2] = KT(KN_F32, 0, B, 100);
    kt_check(&kl, grad_reference, 0x1p-22);
    bad.in[2] = kl.in[2];
    kt_refused(&bad);
    bad.in[1] = bad.in[2] = (struct kn_view){0};
    kt_refused(&bad);
    kt_set(&call.in[1], 100, 2, 0, 0);
    kt_refused(&call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_edit, free_all),
        cmocka_unit_test_teardown(test_hide, free_all),
        cmocka_unit_test_teardown(test_project, free_all),
        cmocka_unit_test_teardown(test_renormalize, free_all),
        cmocka_unit_test_teardown(test_pick, free_all),
        cmocka_unit_test_teardown(test_stats, free_all),
        cmocka_unit_test_teardown(test_softmax_grad, free_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kt_close();
    return failed;
}
