/* Tests of png_out.h: libpng reads the same pixels back. */
#include "png_out.h"
#include "unit.h"

#include <png.h>
#include <stdlib.h>

static void comes_back(int w, int h, int n_colors, uint64_t *random)
{
    struct image im;
    struct bytes out = {0};
    assert_int_equal(image_new(&im, w, h), IMAGE_OK);
    im.n_colors = n_colors;
    for (int c = 0; c < n_colors; c++)
        im.palette[c] = (uint32_t)(unit_random(random) & 0xffffff);
    for (int k = 0; k < w * h; k++)
        im.pixel[k] = (uint8_t)(unit_random(random) % (uint64_t)n_colors);
    bytes_add_string(&out, "before");
    assert_int_equal(png_out_image(&im, &out), IMAGE_OK);
    assert_memory_equal(out.data, "before\x89PNG", 10);
    png_image png = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_memory(&png, out.data + 6, out.len - 6));
    assert_int_equal(png.width, w);
    assert_int_equal(png.height, h);
    assert_true(png.format & PNG_FORMAT_FLAG_COLORMAP);
    png.format = PNG_FORMAT_RGB;
    unsigned char *rgb = malloc(PNG_IMAGE_SIZE(png));
    assert_true(png_image_finish_read(&png, NULL, rgb, 0, NULL));
    for (int k = 0; k < w * h; k++)
        assert_int_equal((uint32_t)rgb[3 * k] << 16 | (uint32_t)rgb[3 * k + 1] << 8 |
                             rgb[3 * k + 2],
                         im.palette[im.pixel[k]]);
    free(rgb);
    image_free(&im);
    bytes_free(&out);
}

static void pictures_come_back(void **state)
{
    (void)state;
    uint64_t random = 4;
    comes_back(1, 1, 1, &random);
    comes_back(300, 1, 256, &random);
    for (int i = 0; i < 40; i++)
        comes_back(1 + (int)(unit_random(&random) % 90), 1 + (int)(unit_random(&random) % 90),
                   1 + (int)(unit_random(&random) % 256), &random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pictures_come_back)};
    return cmocka_run_group_tests_name("png_out", tests, NULL, NULL);
}
