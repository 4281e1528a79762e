/* Tests of rect.h: cuts and parts tile, for all small sizes. */
#include "rect.h"
#include "unit.h"

static void assert_rect(struct rect r, int x, int y, int w, int h)
{
    assert_int_equal(r.x, x);
    assert_int_equal(r.y, y);
    assert_int_equal(r.w, w);
    assert_int_equal(r.h, h);
}

static void cuts(void **state)
{
    (void)state;
    struct rect r = {0, 0, 120, 40};
    assert_rect(rect_cut_top(&r, 2), 0, 0, 120, 2);
    assert_rect(rect_cut_bottom(&r, 1), 0, 39, 120, 1);
    assert_rect(rect_cut_left(&r, 3), 0, 2, 3, 37);
    assert_rect(r, 3, 2, 117, 37);
}

static void cuts_never_go_below_zero(void **state)
{
    (void)state;
    struct rect r = {5, 5, 4, 3};
    assert_rect(rect_cut_top(&r, 100), 5, 5, 4, 3);
    assert_rect(r, 5, 8, 4, 0);
    assert_rect(rect_cut_top(&r, 1), 5, 8, 4, 0);
    assert_rect(rect_cut_left(&r, -3), 5, 8, 0, 0);
    assert_rect(rect_cut_left(&r, 9), 5, 8, 4, 0);
    assert_true(rect_is_empty(r));
}

static void parts_tile(void **state)
{
    (void)state;
    for (int w = 0; w < 40; w++) {
        for (int n = 1; n < 12; n++) {
            struct rect r = {7, 3, w, w};
            int x = 7, y = 3;
            for (int i = 0; i < n; i++) {
                struct rect c = rect_part_columns(r, i, n), row = rect_part_rows(r, i, n);
                assert_rect(c, x, 3, c.w, w);
                assert_rect(row, 7, y, w, row.h);
                assert_in_range(c.w, w / n, w / n + 1);
                x += c.w;
                y += row.h;
            }
            assert_int_equal(x, 7 + w);
            assert_int_equal(y, 3 + w);
        }
    }
}

static void intersects_and_centers(void **state)
{
    (void)state;
    struct rect a = {0, 0, 10, 10}, b = {5, 8, 10, 10}, c = {10, 0, 5, 5};
    assert_rect(rect_intersect(a, b), 5, 8, 5, 2);
    assert_true(rect_is_empty(rect_intersect(a, c)));
    assert_rect(rect_center(a, 4, 6), 3, 2, 4, 6);
    assert_rect(rect_center(a, 40, 6), 0, 2, 10, 6);
    assert_true(rect_has(a, 9, 9));
    assert_false(rect_has(a, 10, 9));
    assert_false(rect_has(a, -1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts), cmocka_unit_test(cuts_never_go_below_zero),
        cmocka_unit_test(parts_tile), cmocka_unit_test(intersects_and_centers)};
    return cmocka_run_group_tests_name("rect", tests, NULL, NULL);
}
