/* Tests of sixel_out.h: what is written is read back by a strict decoder of our own (it counts how
 * often each pixel is painted) and by libsixel's, and compared with the picture pixel by pixel. */
#include "sixel_out.h"
#include "unit.h"

#include <sixel.h>
#include <stdlib.h>

/* A picture of random size and colours; runs, so that lengths vary. */
static void random_image(struct image *im, int w, int h, int n_colors, uint64_t *random)
{
    assert_int_equal(image_new(im, w, h), IMAGE_OK);
    im->n_colors = n_colors;
    for (int i = 0; i < n_colors; i++)
        im->palette[i] = (uint32_t)(unit_random(random) & 0xffffff);
    for (int i = 0; i < w * h; i++)
        im->pixel[i] = (uint8_t)(i && unit_random(random) & 1
                                     ? im->pixel[i - 1]
                                     : unit_random(random) % (uint64_t)n_colors);
}

/* The colour after rounding to percent and back: what a terminal makes of it. */
static uint32_t shown(uint32_t rgb)
{
    uint32_t out = 0;
    for (int shift = 16; shift >= 0; shift -= 8)
        out = out << 8 | ((((rgb >> shift & 255) * 100 + 127) / 255) * 255 + 50) / 100;
    return out;
}

static int number(const char **p)
{
    assert_in_range(**p, '0', '9');
    return (int)strtol(*p, (char **)p, 10);
}

static uint32_t parse_color(const char **p)
{
    uint32_t rgb = 0;
    assert_memory_equal(*p, ";2", 2);
    *p += 2;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(*(*p)++, ';');
        int percent = number(p);
        assert_in_range(percent, 0, 100);
        rgb = rgb << 8 | (uint32_t)((percent * 255 + 50) / 100);
    }
    return rgb;
}

/* Accepts only what sixel_out.h promises: every pixel is painted (libsixel paints some twice) and
 * ends in its own colour. */
static void decode_strictly(const struct bytes *b, const struct image *im, bool once)
{
    uint32_t color[256] = {0};
    bool defined[256] = {false}, used[256] = {false};
    size_t n_pixels = (size_t)im->w * (size_t)im->h;
    uint8_t *painted = calloc(n_pixels, 1);
    uint32_t *seen = calloc(n_pixels, sizeof *seen);
    char lead[64];
    int lead_len = snprintf(lead, sizeof lead, "\033P0;1;0q\"1;1;%d;%d", im->w, im->h);
    assert_true(b->len > (size_t)lead_len + 2);
    assert_memory_equal(b->data, lead, (size_t)lead_len);
    const char *p = b->data + lead_len, *end = b->data + b->len - 2;
    assert_memory_equal(end, "\033\\", 2);
    int x = 0, y = 0, now = -1;
    while (p < end) {
        int count = 1;
        if (*p == '#') {
            p++;
            now = number(&p);
            assert_in_range(now, 0, 255);
            if (*p == ';') {
                assert_false(defined[now]);
                color[now] = parse_color(&p);
                defined[now] = true;
            }
            continue;
        }
        if (*p == '$' || *p == '-') {
            x = 0;
            y += *p == '-' ? 6 : 0;
            assert_true(y < im->h); /* no trailing "-" */
            p++;
            continue;
        }
        if (*p == '!') {
            p++;
            count = number(&p);
        }
        assert_in_range(*p, '?', '~');
        for (; count > 0; count--, x++) {
            assert_true(x < im->w);
            for (int bit = 0; bit < 6; bit++) {
                if (!((*p - '?') >> bit & 1))
                    continue;
                assert_true(y + bit < im->h && now >= 0 && defined[now]);
                size_t at = (size_t)(y + bit) * (size_t)im->w + (size_t)x;
                seen[at] = color[now];
                painted[at]++;
                used[now] = true;
            }
        }
        p++;
    }
    for (size_t i = 0; i < n_pixels; i++) {
        assert_in_range(painted[i], 1, once ? 1 : 255);
        assert_int_equal(seen[i], shown(im->palette[im->pixel[i]]));
    }
    assert_memory_equal(used, defined, sizeof used); /* only registers that occur */
    free(painted);
    free(seen);
}

static void decode_with_libsixel(const struct bytes *b, const struct image *im)
{
    unsigned char *pixels = NULL, *palette = NULL;
    int w, h, n_colors;
    assert_false(SIXEL_FAILED(sixel_decode_raw((unsigned char *)b->data, (int)b->len, &pixels, &w,
                                               &h, &palette, &n_colors, NULL)));
    assert_int_equal(w, im->w);
    assert_int_equal(h, im->h);
    for (size_t i = 0; i < (size_t)w * (size_t)h; i++) {
        const unsigned char *c = palette + (size_t)pixels[i] * 3;
        uint32_t rgb = (uint32_t)c[0] << 16 | (uint32_t)c[1] << 8 | c[2];
        assert_int_equal(rgb, shown(im->palette[im->pixel[i]]));
    }
    free(pixels);
    free(palette);
}

/* Of w x h pixels that a picture is stretched over, those of the window, by the definition. */
static void stretched(const struct image *im, int w, int h, struct rect window, struct image *out)
{
    assert_int_equal(image_new(out, window.w, window.h), IMAGE_OK);
    out->n_colors = im->n_colors;
    memcpy(out->palette, im->palette, sizeof out->palette);
    for (int i = 0; i < im->h; i++)
        for (int j = 0; j < im->w; j++)
            for (int y = h * i / im->h; y < h * (i + 1) / im->h; y++)
                for (int x = w * j / im->w; x < w * (j + 1) / im->w; x++)
                    if (rect_has(window, x, y))
                        out->pixel[(y - window.y) * window.w + x - window.x] = im->pixel[i * im->w +
                                                                                         j];
}

static void grid_golden(void **state)
{
    (void)state;
    struct image im;
    struct bytes out = {0};
    assert_int_equal(image_new(&im, 3, 2), IMAGE_OK);
    memcpy(im.pixel, (uint8_t[]){0, 0, 3, 3, 0, 0}, 6);
    im.n_colors = 4;
    im.palette[0] = 0x000000;
    im.palette[3] = 0xff8000;
    assert_int_equal(sixel_out_grid(&im, 6, 24, (struct rect){0, 0, 6, 24}, &out), IMAGE_OK);
    assert_string_equal(out.data, "\033P0;1;0q\"1;1;6;24#0;2;0;0;0#3;2;100;50;0"
                                  "#0!4~#3~~-#0!4~#3~~-#3~~#0!4~-#3~~#0!4~\033\\");
    bytes_clear(&out);
    assert_int_equal(sixel_out_grid(&im, 3, 4, (struct rect){0, 0, 3, 4}, &out), IMAGE_OK);
    assert_string_equal(out.data, "\033P0;1;0q\"1;1;3;4#0;2;0;0;0#3;2;100;50;0"
                                  "#0BNK$#3K?B\033\\");
    image_free(&im);
    bytes_free(&out);
}

/* Any size of picture, of pixels, of window: every pixel is painted once, in its sample's colour.
 */
static void grids_decode_to_their_pixels(void **state)
{
    (void)state;
    uint64_t random = 11;
    for (int i = 0; i < 400; i++) {
        int w = 1 + (int)(unit_random(&random) % 40), h = 1 + (int)(unit_random(&random) % 20);
        int w_px = w + (int)(unit_random(&random) % 300),
            h_px = h + (int)(unit_random(&random) % 90);
        struct rect part = {0, 0, w_px, h_px};
        if (i % 2) {
            part.x = (int)(unit_random(&random) % (uint64_t)w_px);
            part.y = (int)(unit_random(&random) % (uint64_t)h_px);
            part.w = 1 + (int)(unit_random(&random) % (uint64_t)(w_px - part.x));
            part.h = 1 + (int)(unit_random(&random) % (uint64_t)(h_px - part.y));
        }
        struct image im, big;
        struct bytes out = {0};
        random_image(&im, w, h, 1 + (int)(unit_random(&random) % 256), &random);
        assert_int_equal(sixel_out_grid(&im, w_px, h_px, part, &out), IMAGE_OK);
        stretched(&im, w_px, h_px, part, &big);
        decode_strictly(&out, &big, true);
        decode_with_libsixel(&out, &big);
        image_free(&im);
        image_free(&big);
        bytes_free(&out);
    }
}

static void bitmaps_decode_to_their_pixels(void **state)
{
    (void)state;
    uint64_t random = 5;
    for (int i = 0; i < 80; i++) {
        int w = 1 + (int)(unit_random(&random) % 70), h = 1 + (int)(unit_random(&random) % 40);
        struct image im;
        struct bytes out = {0};
        random_image(&im, w, h, i < 10 ? 1 + i % 3 : 1 + (int)(unit_random(&random) % 256),
                     &random);
        assert_int_equal(sixel_out_image(&im, &out), IMAGE_OK);
        decode_strictly(&out, &im, false);
        decode_with_libsixel(&out, &im);
        image_free(&im);
        bytes_free(&out);
    }
}

static void bounds(void **state)
{
    (void)state;
    struct image im;
    struct bytes out = {0};
    uint64_t random = 2;
    random_image(&im, 100, 100, 4, &random);
    const struct rect part = {0, 0, 9, 9};
    assert_int_equal(sixel_out_grid(&im, IMAGE_SIDE_MAX + 1, 600, part, &out), IMAGE_TOO_LARGE);
    assert_int_equal(sixel_out_grid(&im, 100, IMAGE_SIDE_MAX + 1, part, &out), IMAGE_TOO_LARGE);
    assert_int_equal(out.len, 0);
    assert_int_equal(sixel_out_grid(&im, IMAGE_SIDE_MAX, IMAGE_SIDE_MAX, part, &out), IMAGE_OK);
    image_free(&im);
    bytes_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grid_golden), cmocka_unit_test(grids_decode_to_their_pixels),
        cmocka_unit_test(bitmaps_decode_to_their_pixels), cmocka_unit_test(bounds)};
    return cmocka_run_group_tests_name("sixel_out", tests, NULL, NULL);
}
