/* test_photo.c - RGB pictures as half blocks, as glyphs, in few colours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "photo.h"

/* Red above blue, each 4 x 2. */
static const uint8_t flag[4 * 4 * 3] = {
    255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 0,
    255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 255,
};

static void half_blocks(void **state)
{
    (void)state;
    struct photo p = {flag, 4, 4};
    struct canvas *c = canvas_new(6, 3);
    photo_half_blocks(&p, c, (struct rect){1, 1, 4, 1}, true);
    const struct canvas_cell *cell = canvas_at(c, 2, 1);
    assert_string_equal(cell->text, "▀");
    assert_int_equal(cell->style.fg, 0xff0000);
    assert_int_equal(cell->style.bg, 0x0000ff);
    assert_string_equal(canvas_at(c, 0, 1)->text, " ");
    assert_string_equal(canvas_at(c, 5, 1)->text, " ");
    photo_half_blocks(&p, c, (struct rect){0, 0, 6, 3}, false); /* by luminance, no colours */
    assert_int_equal(canvas_at(c, 0, 0)->style.fg, COLOR_DEFAULT);
    assert_string_not_equal(canvas_at(c, 0, 0)->text, canvas_at(c, 0, 2)->text);
    canvas_free(c);
}

/* Few colours are kept as they are, also where pixels are repeated. */
static void few_colours_are_exact(void **state)
{
    (void)state;
    struct photo p = {flag, 4, 4};
    struct image im;
    assert_int_equal(photo_image(&p, 12, 8, &im), IMAGE_OK);
    assert_true(im.w == 12 && im.h == 8 && im.n_colors == 2);
    for (int i = 0; i < 12 * 8; i++)
        assert_int_equal(im.palette[im.pixel[i]], i < 48 ? 0xff0000 : 0x0000ff);
    image_free(&im);
    assert_int_equal(photo_image(&p, 1, 1, &im), IMAGE_OK); /* the mean */
    assert_int_equal(im.palette[im.pixel[0]], 0x7f007f);
    image_free(&im);
}

/* Many colours: no more than there may be, each pixel near its own. */
static void many_colours_are_near(void **state)
{
    (void)state;
    enum { SIDE = 64 };
    uint8_t *rgb = malloc(SIDE * SIDE * 3);
    for (int i = 0; i < SIDE * SIDE; i++) {
        rgb[3 * i] = (uint8_t)(i % SIDE * 4);
        rgb[3 * i + 1] = (uint8_t)(i / SIDE * 4);
        rgb[3 * i + 2] = (uint8_t)((i % SIDE + i / SIDE) * 2);
    }
    struct photo p = {rgb, SIDE, SIDE};
    struct image im;
    assert_int_equal(photo_image(&p, SIDE, SIDE, &im), IMAGE_OK);
    assert_true(im.n_colors > 32 && im.n_colors <= PHOTO_COLORS);
    for (int i = 0; i < SIDE * SIDE; i++) {
        assert_true(im.pixel[i] < im.n_colors);
        uint32_t c = im.palette[im.pixel[i]];
        for (int k = 0; k < 3; k++)
            assert_true(abs((int)(c >> (16 - 8 * k) & 255) - rgb[3 * i + k]) < 48);
    }
    image_free(&im);
    free(rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_blocks),
        cmocka_unit_test(few_colours_are_exact),
        cmocka_unit_test(many_colours_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
