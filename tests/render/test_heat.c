/* Tests of heat.h: the same matrix as cells, glyphs and pixels. */
#include "heat.h"
#include "unit.h"

#include <math.h>

static const float values[] = {0, 0.25F, 0.5F, 0.75F, 1, NAN, 1, 0.5F, 0};
static const struct heat square = {values, 3, 3, 3, {SCALE_LINEAR, 0, 1}, COLORMAP_SEQUENTIAL};
static const float differences[] = {-2, -1, 0, 1, 2};
static const struct heat signed_row = {differences,       1, 5, 5, {SCALE_SYMMETRIC, -2, 2},
                                       COLORMAP_DIVERGING};

static void assert_dumps(const struct canvas *c, const char *plain, const char *styles)
{
    struct bytes out = {0};
    canvas_dump_plain(c, &out);
    assert_string_equal(out.data, plain);
    bytes_clear(&out);
    canvas_dump_styles(c, COLOR_DEPTH_TRUE, &out);
    if (styles)
        assert_string_equal(out.data, styles);
    bytes_free(&out);
}

static void half_blocks(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(5, 3);
    heat_half_blocks(&square, c, (struct rect){1, 1, 4, 2});
    assert_dumps(c, "\n \u2580\u2580!\n \u2580\u2580\u2580\n",
                 ".....\n.abc.\n.def.\na 2e004d on 5ecd8b\nb 014a93 on f9f07b\nc 000000 on ff00ff\n"
                 "d f9f07b on default\ne 058e99 on default\nf 2e004d on default\n");
    canvas_clear(c);
    heat_half_blocks(&square, c, (struct rect){4, 2, 4, 4}); /* what fits */
    assert_dumps(c, "\n\n    \u2580\n", NULL);
    canvas_clear(c);
    c->ascii = true;
    heat_half_blocks(&square, c, canvas_rect(c));
    assert_dumps(c, "#@!\n@+\n\n", ".....\n.....\n.....\n");
    canvas_free(c);
}

static void glyphs(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(5, 3);
    heat_glyphs(&square, c, canvas_rect(c), HEAT_SHADES);
    assert_dumps(c, " \u2591\u2592\n\u2593\u2588!\n\u2588\u2592\n", ".....\n.....\n.....\n");
    assert_string_equal(heat_glyph(0.049, HEAT_SHADES), " ");
    assert_string_equal(heat_glyph(0.05, HEAT_SHADES), "\u00b7");
    assert_string_equal(heat_glyph(0.199, HEAT_SHADES), "\u00b7");
    assert_string_equal(heat_glyph(0.2, HEAT_SHADES), "\u2591");
    heat_glyphs(&square, c, canvas_rect(c), HEAT_DIGITS);
    assert_dumps(c, "025\n79!\n950\n", NULL);
    canvas_clear(c);
    heat_glyphs(&signed_row, c, canvas_rect(c), HEAT_DIGITS);
    assert_dumps(c, "95059\n\n\n", "aa...\n.....\n.....\na default on default underline\n");
    c->ascii = true;
    heat_glyphs(&signed_row, c, canvas_rect(c), HEAT_SHADES);
    assert_dumps(c, "@+ +@\n\n\n", NULL);
    canvas_free(c);
}

static void pixels(void **state)
{
    (void)state;
    struct image im;
    assert_int_equal(heat_image(&square, 5, &im), IMAGE_OK);
    assert_int_equal(im.w, 3);
    assert_int_equal(im.h, 3);
    assert_int_equal(im.n_colors, 6);
    assert_memory_equal(im.pixel, ((uint8_t[]){0, 1, 2, 3, 4, 5, 4, 2, 0}), 9);
    assert_int_equal(im.palette[0], colormap_entry(COLORMAP_SEQUENTIAL, 0));
    assert_int_equal(im.palette[4], colormap_entry(COLORMAP_SEQUENTIAL, 255));
    assert_int_equal(im.palette[5], COLORMAP_NAN);
    image_free(&im);
    struct heat tall = square;
    tall.rows = IMAGE_SIDE_MAX + 1;
    assert_int_equal(heat_image(&tall, 5, &im), IMAGE_TOO_LARGE);
}

static void zero_is_the_middle(void **state)
{
    (void)state;
    struct image im;
    assert_int_equal(heat_image(&signed_row, 64, &im), IMAGE_OK);
    assert_int_equal(im.n_colors, 64); /* 63 and NaN */
    assert_int_equal(im.palette[im.pixel[2]], colormap_at(COLORMAP_DIVERGING, 0.5));
    assert_int_equal(im.palette[im.pixel[0]], colormap_at(COLORMAP_DIVERGING, 0));
    assert_int_equal(im.palette[im.pixel[4]], colormap_at(COLORMAP_DIVERGING, 1));
    image_free(&im);
}

/* A strided part of a larger matrix, every value in its place. */
static void strides(void **state)
{
    (void)state;
    float big[40];
    for (int i = 0; i < 40; i++)
        big[i] = (float)i;
    struct heat part = {big + 12, 3, 4, 10, {SCALE_LINEAR, 0, 64}, COLORMAP_SEQUENTIAL};
    struct image im;
    assert_int_equal(heat_image(&part, 64, &im), IMAGE_OK);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
            assert_int_equal(im.pixel[i * 4 + j], 12 + 10 * i + j);
    image_free(&im);
}

static void block_sizes(void **state)
{
    (void)state;
    assert_int_equal(heat_block_px(15, 15, 400, 300), 18);
    assert_int_equal(heat_block_px(64, 64, 400, 400), 6);
    assert_int_equal(heat_block_px(64, 64, 320, 400), 5);
    assert_int_equal(heat_block_px(500, 500, 100, 100), 1);
    for (int n = 1; n < 200; n++) {
        int side = heat_block_px(n, n, 250, 200);
        assert_true(side >= 1 && (side * n <= 200 || side == 1));
        assert_true(side < 6 || side % 6 == 0);
    }
}

/* By the definition, at any size, parts wider than what is taken at a time among them. */
static void pooling_is_the_strongest(void **state)
{
    (void)state;
    enum { WIDE = 3000, HIGH = 7 };
    static float v[WIDE * HIGH], out[WIDE * HIGH];
    static const int sizes[][4] = {{7, 3000, 2, 2},   {3, 3000, 3, 1}, {5, 3000, 5, 1700},
                                   {7, 1025, 3, 1},   {7, 1024, 1, 1}, {6, 40, 4, 13},
                                   {7, 2999, 7, 2999}};
    uint64_t random = 3;
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        v[i] = unit_random(&random) % 500 ? (float)(unit_random(&random) % 2001) - 1000 : NAN;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int *s = sizes[k];
        struct heat m = {v, s[0], s[1], WIDE, {SCALE_SYMMETRIC, -1, 1}, COLORMAP_DIVERGING};
        struct rect all = {0, 0, s[1], s[0]};
        heat_pool(&m, s[2], s[3], out);
        for (int i = 0; i < s[2]; i++)
            for (int j = 0; j < s[3]; j++) {
                struct rect y = rect_part_rows(all, i, s[2]), x = rect_part_columns(all, j, s[3]);
                float most = 0, got = out[i * s[3] + j];
                bool nan = false;
                for (int r = y.y; r < y.y + y.h; r++)
                    for (int c = x.x; c < x.x + x.w; c++) {
                        nan = nan || isnan(v[r * WIDE + c]);
                        most = fmaxf(most, fabsf(v[r * WIDE + c]));
                    }
                assert_true(nan ? isnan(got) : !(fabsf(got) < most) && !(fabsf(got) > most));
            }
    }
}

static void pooling_keeps_peaks(void **state)
{
    (void)state;
    float v[7 * 5] = {0}, out[6];
    v[6 * 5 + 4] = -3; /* one lone cell */
    v[0] = 0.5F;
    v[3 * 5 + 2] = NAN;
    struct heat m = {v, 7, 5, 5, {SCALE_SYMMETRIC, -3, 3}, COLORMAP_DIVERGING};
    heat_pool(&m, 3, 2, out);
    assert_true(out[0] == 0.5F && out[1] == 0 && out[2] == 0 && isnan(out[3]) && out[4] == 0 &&
                out[5] == -3);
    float same[35];
    heat_pool(&m, 7, 5, same);
    assert_memory_equal(same, v, sizeof v);
}

static void legends(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(40, 4);
    struct rect all = canvas_rect(c);
    assert_int_equal(heat_legend(c, all, 0, 0, "p(top-1)", square.scale, square.map), 23);
    heat_legend(c, all, 2, 1, "norm", scale_make(SCALE_LOG, 0.5F, 41.2F), COLORMAP_SEQUENTIAL);
    heat_legend(c, all, 0, 2, "d", signed_row.scale, signed_row.map);
    c->ascii = true;
    heat_legend(c, all, 0, 3, "d", signed_row.scale, signed_row.map);
    assert_dumps(c,
                 " p(top-1)  0  \u00b7\u2591\u2592\u2592\u2593\u2588\u2588 1\n"
                 "   norm  0.5  \u00b7\u2591\u2592\u2592\u2593\u2588\u2588 41.2  log\n"
                 " d  \u22122 \u2588\u2593\u2592\u00b7\u00b7\u2592\u2593\u2588 2  symmetric\n"
                 " d  -2 @#=..=#@ 2  symmetric\n",
                 NULL);
    const struct canvas_cell *first = canvas_at(c, 13, 0), *last = canvas_at(c, 20, 0);
    assert_int_equal(first->style.bg, colormap_entry(COLORMAP_SEQUENTIAL, 0));
    assert_int_equal(last->style.bg, colormap_entry(COLORMAP_SEQUENTIAL, 255));
    assert_int_equal(last->style.fg, last->style.bg);
    canvas_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(half_blocks),
                                       cmocka_unit_test(glyphs),
                                       cmocka_unit_test(pixels),
                                       cmocka_unit_test(zero_is_the_middle),
                                       cmocka_unit_test(strides),
                                       cmocka_unit_test(block_sizes),
                                       cmocka_unit_test(pooling_keeps_peaks),
                                       cmocka_unit_test(pooling_is_the_strongest),
                                       cmocka_unit_test(legends)};
    return cmocka_run_group_tests_name("heat", tests, NULL, NULL);
}
