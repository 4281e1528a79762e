/* Tests of colormap.h: maps that keep their order for every reader and on every terminal, readable
 * text. */
#include "colormap.h"
#include "unit.h"

#include <math.h>

/* What a dichromat sees: Vienot, Brettel and Mollon 1999, on linear RGB (protanopia, deuteranopia).
 */
static uint32_t dichromat(uint32_t rgb, int kind)
{
    static const double m[2][3] = {{0.11238, 0.88762, 0.00401}, {0.29275, 0.70725, -0.02234}};
    double c[3];
    for (int i = 0; i < 3; i++)
        c[i] = pow((double)(rgb >> (16 - 8 * i) & 255) / 255, 2.2);
    double first = m[kind][0] * c[0] + m[kind][1] * c[1];
    double blue = m[kind][2] * (c[0] - c[1]) + c[2];
    double seen[3] = {first, first, blue < 0 ? 0 : blue};
    uint32_t out = 0;
    for (int i = 0; i < 3; i++)
        out = out << 8 | (uint32_t)lround(255 * pow(fmin(1, seen[i]), 1 / 2.2));
    return out;
}

static void sequential_is_ordered_by_brightness(void **state)
{
    (void)state;
    for (int i = 2; i < 256; i++) { /* neighbours may be equal after rounding to 8 bits */
        uint32_t a = colormap_entry(COLORMAP_SEQUENTIAL, i - 2),
                 b = colormap_entry(COLORMAP_SEQUENTIAL, i);
        assert_true(color_luminance(b) > color_luminance(a));
        if (i >= 16) { /* a 16th of the range is told apart by readers who lack red or green cones,
                          too */
            a = colormap_entry(COLORMAP_SEQUENTIAL, i - 16);
            for (int kind = 0; kind < 2; kind++)
                assert_true(color_luminance(dichromat(b, kind)) >
                            color_luminance(dichromat(a, kind)));
        }
    }
}

static void diverging_is_even_and_its_sides_differ(void **state)
{
    (void)state;
    for (int i = 0; i < 120; i++) {
        uint32_t minus = colormap_entry(COLORMAP_DIVERGING, i),
                 plus = colormap_entry(COLORMAP_DIVERGING, 255 - i);
        double a = color_luminance(minus) + 0.05, b = color_luminance(plus) + 0.05;
        assert_true(a / b < 1.25 && b / a < 1.25);
        assert_true(color_luminance(minus) >
                    color_luminance(colormap_entry(COLORMAP_DIVERGING, i + 1)));
        if (i < 96) { /* blue and orange stay apart: the blue channel against the red one */
            for (int kind = 0; kind < 2; kind++) {
                uint32_t m = dichromat(minus, kind), p = dichromat(plus, kind);
                assert_true((m & 255) > (m >> 16) && (p & 255) < (p >> 16));
            }
        }
    }
    assert_int_equal(colormap_at(COLORMAP_DIVERGING, 0.5), 0x181818);
}

static void ends_clamp_and_nan_differs(void **state)
{
    (void)state;
    assert_int_equal(colormap_at(COLORMAP_SEQUENTIAL, -3), colormap_entry(COLORMAP_SEQUENTIAL, 0));
    assert_int_equal(colormap_at(COLORMAP_SEQUENTIAL, 3), colormap_entry(COLORMAP_SEQUENTIAL, 255));
    assert_int_equal(colormap_at(COLORMAP_SEQUENTIAL, NAN), COLORMAP_NAN);
    for (int map = 0; map < COLORMAP_COUNT; map++)
        for (int i = 0; i < 256; i++)
            assert_int_not_equal(colormap_entry((enum colormap)map, i), COLORMAP_NAN);
}

static void palette_colours_are_their_own_nearest(void **state)
{
    (void)state;
    for (int i = 16; i < 256; i++)
        assert_int_equal(color_of_index(color_nearest_256(color_of_index(i))), color_of_index(i));
    for (int i = 0; i < 16; i++)
        assert_int_equal(color_nearest_16(color_of_index(i)), i);
    assert_int_equal(color_of_index(16), 0x000000);
    assert_int_equal(color_of_index(231), 0xffffff);
    assert_int_equal(color_of_index(67), 0x5f87af); /* 16 + 36*1 + 6*2 + 3 */
    assert_int_equal(color_of_index(255), 0xeeeeee);
    assert_int_equal(color_nearest_256(0x5f87b0), 67);
}

/* Fewer colours keep the order of a map's brightness, and its steps: no run of one colour is long.
 */
static void order_survives_few_colours(void **state)
{
    (void)state;
    static const struct {
        int (*nearest)(uint32_t rgb);
        double falls; /* of luminance, at most */
        int steps, longest;
    } of[] = {{color_nearest_16, 0, 6, 80}, {color_nearest_256, 0.02, 16, 55}};
    for (int d = 0; d < 2; d++) {
        double highest = 0;
        int was = -1, steps = 0, run = 0;
        for (int i = 0; i < 256; i++) {
            int index = of[d].nearest(colormap_entry(COLORMAP_SEQUENTIAL, i));
            double l = color_luminance(color_of_index(index));
            assert_true(l >= highest - of[d].falls);
            highest = l > highest ? l : highest;
            steps += index != was;
            run = index == was ? run + 1 : 1;
            assert_true(run <= of[d].longest);
            was = index;
        }
        assert_true(highest > 0.7 && steps >= of[d].steps);
    }
}

/* A map of colours has no greys in it, in few colours either. */
static void colours_stay_colours(void **state)
{
    (void)state;
    for (int i = 0; i < 256; i++) {
        uint32_t c = color_of_index(color_nearest_256(colormap_entry(COLORMAP_SEQUENTIAL, i)));
        assert_false((c >> 16) == (c >> 8 & 255) && (c & 255) == (c >> 8 & 255));
    }
}

static void text_is_readable_over_everything(void **state)
{
    (void)state;
    for (uint32_t r = 0; r < 256; r += 5)
        for (uint32_t g = 0; g < 256; g += 5)
            for (uint32_t b = 0; b < 256; b += 5) {
                uint32_t bg = r << 16 | g << 8 | b;
                assert_true(color_contrast(color_text_over(bg), bg) >= 4.5);
            }
    assert_float_equal(color_contrast(0, 0xffffff), 21, 1e-9);
}

static void text_stays_readable_in_few_colours(void **state)
{
    (void)state;
    for (int depth = COLOR_DEPTH_16; depth <= COLOR_DEPTH_256; depth++)
        for (int map = 0; map < COLORMAP_COUNT; map++)
            for (int i = 0; i < 256; i++) {
                uint32_t bg = colormap_entry((enum colormap)map, i);
                int f, b;
                color_nearest_pair((enum color_depth)depth, color_text_over(bg), bg, &f, &b);
                assert_true(color_contrast(color_of_index(f), color_of_index(b)) >= 3);
            }
    int f, b;
    color_nearest_pair(COLOR_DEPTH_16, COLOR_DEFAULT, 0xff0000, &f, &b);
    assert_int_equal(f, -1);
    assert_int_equal(b, 9);
    color_nearest_pair(COLOR_DEPTH_256, 0x5f87af, 0x5f87af, &f,
                       &b); /* a colour bar stays one colour */
    assert_int_equal(f, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sequential_is_ordered_by_brightness),
                                       cmocka_unit_test(diverging_is_even_and_its_sides_differ),
                                       cmocka_unit_test(ends_clamp_and_nan_differs),
                                       cmocka_unit_test(palette_colours_are_their_own_nearest),
                                       cmocka_unit_test(order_survives_few_colours),
                                       cmocka_unit_test(colours_stay_colours),
                                       cmocka_unit_test(text_is_readable_over_everything),
                                       cmocka_unit_test(text_stays_readable_in_few_colours)};
    return cmocka_run_group_tests_name("colormap", tests, NULL, NULL);
}
