/* test_frame.c - pictures and popups of a frame: what remains visible, fallbacks, exact zeros. */
#include <locale.h>
#include <string.h>

#include "frame.h"
#include "unit.h"

/* Parts of r must cover exactly what no popup covers, each cell once. */
static void test_visible(void **state)
{
    (void)state;
    struct frame f = {0};
    const struct rect r = {2, 1, 12, 9};
    unsigned seed = 1;
    for (int round = 0; round < 2000; round++) {
        f.n_popups = 0;
        for (int p = 0; p < FRAME_POPUPS_MAX; p++) {
            int v[4];
            for (int i = 0; i < 4; i++) {
                seed = seed * 1103515245u + 12345u;
                v[i] = (int)(seed >> 16 & 15);
            }
            f.popup[f.n_popups++] = (struct rect){v[0], v[1], v[2], v[3]};
        }
        struct rect part[1 + 4 * FRAME_POPUPS_MAX * 4];
        int n = frame_visible(&f, r, part, (int)(sizeof part / sizeof part[0]));
        for (int y = 0; y < 20; y++)
            for (int x = 0; x < 20; x++) {
                int want = rect_has(r, x, y), got = 0;
                for (int p = 0; p < f.n_popups; p++)
                    want = want && !rect_has(f.popup[p], x, y);
                for (int i = 0; i < n; i++)
                    got += rect_has(part[i], x, y);
                assert_int_equal(got, want);
            }
    }
}

static void test_heat(void **state)
{
    (void)state;
    static const float v[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    struct heat m = {v, 3, 3, 3, scale_make(SCALE_LINEAR, 0, 8), COLORMAP_SEQUENTIAL};
    struct frame f = {.caps = {.graphics = GRAPHICS_BLOCKS, .depth = COLOR_DEPTH_TRUE}};
    assert_true(frame_begin(&f, 20, 10));
    frame_heat(&f, (struct rect){0, 0, 10, 5}, &m);
    assert_int_equal(f.n_pictures, 0); /* characters alone */
    assert_string_not_equal(canvas_at(f.canvas, 0, 0)->text, " ");
    f.caps.graphics = GRAPHICS_SIXEL;
    f.caps.cell_w = 9;
    f.caps.cell_h = 18;
    assert_true(frame_begin(&f, 20, 10));
    struct frame_place at = frame_heat(&f, (struct rect){1, 1, 10, 5}, &m);
    assert_int_equal(f.n_pictures, 1);
    assert_int_equal(at.r.w, 10); /* all of its slot */
    assert_int_equal(at.r.h, 5);
    assert_int_equal(f.picture[0].w, 10 * 9);
    assert_int_equal(f.picture[0].h, 5 * 18);
    frame_free(&f);
}

/* A picture fills its slot at every size of cells, with a row of pixels or more for each sample;
 * directly above the last row of the screen it gives up less than a band of six. */
static void test_slots(void **state)
{
    (void)state;
    static float v[99 * 99];
    struct heat m = {v, 99, 99, 99, scale_make(SCALE_LINEAR, 0, 1), COLORMAP_SEQUENTIAL};
    for (int cell_h = 7; cell_h <= 40; cell_h++)
        for (int y = 1; y <= 2; y++) {
            struct frame f = {.caps = {.graphics = GRAPHICS_SIXEL,
                                       .depth = COLOR_DEPTH_TRUE,
                                       .cell_w = cell_h / 2,
                                       .cell_h = cell_h}};
            assert_true(frame_begin(&f, 40, 20));
            frame_heat(&f, (struct rect){0, y, 40, 17}, &m);
            assert_int_equal(f.n_pictures, 1);
            const struct picture *p = &f.picture[0];
            assert_int_equal(p->w, 40 * f.caps.cell_w);
            if (y == 1)
                assert_int_equal(p->h, 17 * cell_h);
            else
                assert_in_range(p->h, 17 * cell_h - 5, 17 * cell_h);
            assert_true((p->h + 5) / 6 * 6 <=
                        (19 - y) * cell_h); /* whole bands above the last row */
            assert_true(p->image.h == 99 && p->h >= 99);
            frame_free(&f);
        }
}

static void test_zero_is_blank(void **state)
{
    (void)state;
    static const float v[] = {0, -1, 1, 0};
    struct heat m = {v, 2, 2, 2, scale_make(SCALE_SYMMETRIC, -1, 1), COLORMAP_DIVERGING};
    for (int depth = COLOR_DEPTH_NONE; depth <= COLOR_DEPTH_TRUE; depth += COLOR_DEPTH_TRUE) {
        struct frame f = {.caps = {.depth = (enum color_depth)depth}};
        assert_true(frame_begin(&f, 4, 2));
        frame_heat_cells(&f, (struct rect){0, 0, 4, 2}, &m, 2);
        assert_string_equal(canvas_at(f.canvas, 0, 0)->text, " ");
        assert_true(canvas_at(f.canvas, 0, 0)->style.bg == COLOR_DEFAULT);
        bool marked = canvas_at(f.canvas, 2, 0)->style.bg != COLOR_DEFAULT ||
                      strcmp(canvas_at(f.canvas, 2, 0)->text, " ") != 0;
        assert_true(marked);
        frame_free(&f);
    }
}

static void test_popup(void **state)
{
    (void)state;
    struct frame f = {0};
    assert_true(frame_begin(&f, 20, 6));
    canvas_put(f.canvas, canvas_rect(f.canvas), 0, 2, canvas_plain(0), "xxxxxxxxxxxxxxxxxxxx");
    struct rect in = frame_popup(&f, (struct rect){5, 1, 10, 4}, "title");
    assert_int_equal(f.n_popups, 1);
    assert_int_equal(in.w, 8);
    assert_string_equal(canvas_at(f.canvas, 6, 2)->text, " "); /* what was there is gone */
    assert_string_equal(canvas_at(f.canvas, 4, 2)->text, "x");
    frame_popup(&f, (struct rect){18, 4, 10, 10}, ""); /* cut at the edge, no fault */
    frame_free(&f);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_visible), cmocka_unit_test(test_heat), cmocka_unit_test(test_slots),
        cmocka_unit_test(test_zero_is_blank), cmocka_unit_test(test_popup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
