/* Tests of scale.h: ends, exact middle, order, and odd input. */
#include "scale.h"
#include "unit.h"

#include <float.h>
#include <math.h>

static void ends_come_from_finite_values(void **state)
{
    (void)state;
    const float v[] = {3, NAN, -2, INFINITY, 0, -INFINITY, 0.5F};
    struct scale s = scale_fit(SCALE_LINEAR, v, 7);
    assert_true(s.lo == -2 && s.hi == 3);
    s = scale_fit(SCALE_SYMMETRIC, v, 7);
    assert_true(s.lo == -3 && s.hi == 3);
    s = scale_fit(SCALE_LOG, v, 7);
    assert_true(s.lo == 0.5F && s.hi == 3);
}

static void ranges_are_never_empty(void **state)
{
    (void)state;
    const float odd[] = {0, -0.0F, 1, -1, FLT_MAX, -FLT_MAX, FLT_MIN, FLT_TRUE_MIN, NAN, INFINITY};
    for (int kind = 0; kind < SCALE_KIND_COUNT; kind++) {
        struct scale s = scale_fit((enum scale_kind)kind, NULL, 0);
        assert_true(s.lo < s.hi);
        for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
            float v[3] = {odd[i], odd[i], odd[i]};
            s = scale_fit((enum scale_kind)kind, v, 3);
            assert_true(s.lo < s.hi && isfinite(s.lo) && isfinite(s.hi));
        }
    }
}

static void positions(void **state)
{
    (void)state;
    struct scale linear = scale_make(SCALE_LINEAR, 2, 4);
    assert_true(scale_at(linear, 2) == 0 && scale_at(linear, 3) == 0.5 && scale_at(linear, 4) == 1);
    assert_true(scale_at(linear, -INFINITY) == 0 && scale_at(linear, INFINITY) == 1 &&
                scale_at(linear, 9) == 1);
    assert_true(isnan(scale_at(linear, NAN)));
    struct scale log10 = scale_make(SCALE_LOG, 1, 100);
    assert_float_equal(scale_at(log10, 10), 0.5, 1e-12);
    assert_true(scale_at(log10, 0) == 0 && scale_at(log10, -5) == 0);
    struct scale symmetric = scale_fit(SCALE_SYMMETRIC, (const float[]){0.1F, -0.37F}, 2);
    assert_true(scale_at(symmetric, 0) == 0.5);
    assert_true(scale_at(symmetric, 0.2F) + scale_at(symmetric, -0.2F) == 1);
    struct scale huge = scale_make(SCALE_LINEAR, -FLT_MAX, FLT_MAX);
    assert_true(scale_at(huge, 0) == 0.5);
}

static void levels(void **state)
{
    (void)state;
    struct scale s = scale_make(SCALE_LINEAR, 0, 1);
    assert_int_equal(scale_level(s, 0, 64), 0);
    assert_int_equal(scale_level(s, 1, 64), 63);
    assert_int_equal(scale_level(s, 0.5F, 64), 32);
    assert_int_equal(scale_level(s, NAN, 64), -1);
    struct scale both = scale_make(SCALE_SYMMETRIC, -1, 1);
    assert_int_equal(scale_level(both, 0, 63), 31); /* the middle of an odd number */
}

static void order(void **state)
{
    (void)state;
    for (int kind = 0; kind < SCALE_KIND_COUNT; kind++) {
        struct scale s = scale_make((enum scale_kind)kind, kind == SCALE_SYMMETRIC ? -8 : 0.25F, 8);
        double before = -1;
        for (int i = 0; i <= 1000; i++) {
            float v = s.lo + (s.hi - s.lo) * (float)i / 1000;
            double at = scale_at(s, v);
            assert_true(at > before);
            before = at;
        }
    }
    assert_string_equal(scale_name(SCALE_LOG), "log");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_come_from_finite_values), cmocka_unit_test(ranges_are_never_empty),
        cmocka_unit_test(positions), cmocka_unit_test(levels), cmocka_unit_test(order)};
    return cmocka_run_group_tests_name("scale", tests, NULL, NULL);
}
