/* Tests of number.h: written forms, and widths over many values. */
#include "number.h"
#include "text.h"
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static void forms(void **state)
{
    (void)state;
    static const struct {
        double v;
        int width, decimals;
        unsigned flags;
        const char *expected;
    } cases[] = {
        {0.81, 6, 2, 0, "  0.81"},
        {-0.96, 6, 2, NUMBER_SIGN, " \u22120.96"},
        {0.36, 6, 2, NUMBER_SIGN, " +0.36"},
        {-0.96, 6, 2, NUMBER_SIGN | NUMBER_ASCII, " -0.96"},
        {-5.73, 8, 2, NUMBER_SIGN | NUMBER_LEFT, "\u22125.73"},
        {0.0, 6, 2, NUMBER_SIGN, "  0.00"},
        {-0.0, 6, 2, 0, "  0.00"},
        {-0.001, 6, 2, 0, " \u22120.00"},
        {12345.678, 8, 2, 0, "12345.68"},
        {12345.678, 6, 2, 0, " 12346"},
        {1234567.0, 6, 2, 0, "1.23e6"},
        {1234567.0, 5, 2, 0, "1.2e6"},
        {-4e9, 4, 0, NUMBER_ASCII, "-4e9"},
        {-4e12, 4, 0, 0, "   #"},
        {9.996, 4, 2, 0, "10.0"},
        {NAN, 6, 2, NUMBER_SIGN, "   NaN"},
        {INFINITY, 6, 2, 0, "   inf"},
        {INFINITY, 6, 2, NUMBER_SIGN, "  +inf"},
        {-INFINITY, 4, 2, NUMBER_ASCII, "-inf"},
        {41.2, 4, 1, 0, "41.2"},
        {3.0, 4, 0, 0, "   3"},
        {4.2e-5, 5, 3, NUMBER_SMALL, " 4e-5"},
        {4.2e-5, 5, 3, 0, "0.000"},
        {-4.2e-5, 6, 3, NUMBER_SMALL | NUMBER_SIGN | NUMBER_ASCII, " -4e-5"},
        {0.0006, 5, 3, NUMBER_SMALL, "0.001"},
        {9.9e-5, 5, 3, NUMBER_SMALL, " 1e-4"},
        {3e-121, 5, 3, NUMBER_SMALL, "0.000"},
        {3e-121, 6, 3, NUMBER_SMALL, "3e-121"},
        {0.0, 5, 3, NUMBER_SMALL, "0.000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[NUMBER_BYTES];
        assert_string_equal(
            number_fit(out, cases[i].v, cases[i].width, cases[i].decimals, cases[i].flags),
            cases[i].expected);
    }
}

/* Whatever the value, the field has its width, and what is written is near the value. */
static void fills_its_width(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 30000; i++) {
        uint64_t bits = unit_random(&random);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (i & 1)
            v = (double)(int64_t)bits * 1e-15;
        int width = 4 + (int)(bits % 21), decimals = (int)(bits / 21 % 10);
        char out[NUMBER_BYTES];
        number_fit(out, v, width, decimals, NUMBER_ASCII | (unsigned)(bits >> 40 & 1));
        assert_int_equal(strlen(out), width);
        if (isnan(v) || fabs(v) > 1e308 ||
            strchr(out, '#')) /* 1.8e308 rounds to 2e308: not a double */
            continue;
        double shown = strtod(out, NULL);
        double unit = strchr(out, 'e') ? 0.5001 * pow(10, floor(log10(fabs(v)))) : 0.5001;
        assert_true(fabs(shown - v) <= unit);
        number_fit(out, v, width, decimals, 0);
        assert_int_equal(text_width(out, strlen(out), 0), width);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        double v;
        const char *bytes, *count;
    } cases[] = {{0, "0 B", "0"},
                 {519, "519 B", "519"},
                 {999, "999 B", "999"},
                 {1000, "1.00 kB", "1.00 k"},
                 {99960, "100 kB", "100 k"},
                 {999499, "999 kB", "999 k"},
                 {999600, "1.00 MB", "1.00 M"},
                 {4798840, "4.80 MB", "4.80 M"},
                 {7241732096, "7.24 GB", "7.24 B"},
                 {46702792704, "46.7 GB", "46.7 B"},
                 {1.8e19, "18000 PB", "18000000 T"}};
    char out[NUMBER_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(number_bytes(out, cases[i].v), cases[i].bytes);
        assert_string_equal(number_count(out, cases[i].v), cases[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms), cmocka_unit_test(sizes),
                                       cmocka_unit_test(fills_its_width)};
    return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
