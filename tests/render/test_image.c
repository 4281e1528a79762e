/* Tests of image.h: enlarging, compacting, bounds. */
#include "image.h"
#include "unit.h"

static void enlarges_by_blocks(void **state)
{
    (void)state;
    struct image im, big;
    assert_int_equal(image_new(&im, 3, 2), IMAGE_OK);
    memcpy(im.pixel, (uint8_t[]){0, 1, 2, 2, 1, 0}, 6);
    im.n_colors = 3;
    im.palette[2] = 0x123456;
    assert_int_equal(image_enlarge(&im, 2, 3, &big), IMAGE_OK);
    assert_int_equal(big.w, 6);
    assert_int_equal(big.h, 6);
    assert_int_equal(big.palette[2], 0x123456);
    for (int y = 0; y < 6; y++)
        for (int x = 0; x < 6; x++)
            assert_int_equal(big.pixel[y * 6 + x], im.pixel[y / 3 * 3 + x / 2]);
    image_free(&im);
    image_free(&big);
    assert_null(big.pixel);
}

static void compacts_the_palette(void **state)
{
    (void)state;
    struct image im;
    assert_int_equal(image_new(&im, 4, 1), IMAGE_OK);
    im.n_colors = 256;
    for (int i = 0; i < 256; i++)
        im.palette[i] = (uint32_t)i;
    memcpy(im.pixel, (uint8_t[]){255, 7, 7, 100}, 4);
    image_compact(&im);
    assert_int_equal(im.n_colors, 3);
    assert_memory_equal(im.pixel, ((uint8_t[]){2, 0, 0, 1}), 4);
    assert_int_equal(im.palette[0], 7);
    assert_int_equal(im.palette[1], 100);
    assert_int_equal(im.palette[2], 255);
    image_free(&im);
}

static void bounds(void **state)
{
    (void)state;
    struct image im = {0}, big = {0};
    assert_int_equal(image_new(&im, IMAGE_SIDE_MAX + 1, 1), IMAGE_TOO_LARGE);
    assert_int_equal(image_new(&im, 1, IMAGE_SIDE_MAX + 1), IMAGE_TOO_LARGE);
    assert_null(im.pixel);
    assert_int_equal(image_new(&im, IMAGE_SIDE_MAX, 2), IMAGE_OK);
    assert_int_equal(image_enlarge(&im, 2, 1, &big), IMAGE_TOO_LARGE);
    assert_int_equal(image_enlarge(&im, 1, IMAGE_SIDE_MAX, &big), IMAGE_TOO_LARGE);
    assert_null(big.pixel);
    assert_int_equal(image_enlarge(&im, 1, IMAGE_SIDE_MAX / 2, &big), IMAGE_OK);
    image_free(&im);
    image_free(&big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(enlarges_by_blocks),
                                       cmocka_unit_test(compacts_the_palette),
                                       cmocka_unit_test(bounds)};
    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
