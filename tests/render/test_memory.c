/* Out of memory at every allocation of render/ in turn: the failure is reported, nothing leaks,
 * nothing is read that was not written (run under ASan).  */
#include "faults.h"
#include "heat.h"
#include "json_out.h"
#include "kitty.h"
#include "photo.h"
#include "picture_in.h"
#include "png_out.h"
#include "sixel_out.h"
#include "spark.h"
#include "table.h"
#include "unit.h"

#include <stdlib.h>

/* Draws, encodes and writes one of everything; false as soon as something reports a failure. */
static bool pictures(struct bytes *out)
{
    static const float v[] = {0, 1, 2, 3, 4, 5};
    struct heat m = {v, 2, 3, 3, {SCALE_LINEAR, 0, 5}, COLORMAP_SEQUENTIAL};
    struct image im = {0};
    bool ok = heat_image(&m, 16, &im) == IMAGE_OK &&
              sixel_out_grid(&im, 6 * im.w, 6 * im.h, (struct rect){0, 0, 6 * im.w, 6 * im.h},
                             out) == IMAGE_OK &&
              sixel_out_image(&im, out) == IMAGE_OK && kitty_image(&im, 1, 2, 2, out) == IMAGE_OK &&
              png_out_image(&im, out) == IMAGE_OK;
    image_free(&im);
    return ok && !out->failed;
}

/* A picture of a file, drawn in both ways. */
static bool photos(struct bytes *out)
{
    unsigned char file[4096];
    static const char *const paths[] = {"tests/fixtures/images/rgba.png",
                                        "tests/fixtures/images/rgb.jpg"};
    bool ok = true;
    for (int i = 0; i < 2 && ok; i++) {
        FILE *f = fopen(paths[i], "re");
        assert_non_null(f);
        size_t n = fread(file, 1, sizeof file, f);
        fclose(f);
        struct picture_rgb rgb = {0};
        char why[PICTURE_WHY];
        enum picture_status status = picture_read(file, n, &rgb, why);
        if (i == 1 && status == PICTURE_BAD && strstr(why, "without"))
            continue; /* built without libjpeg */
        struct image im = {0};
        struct photo p = {rgb.rgb, rgb.width, rgb.height};
        ok = status == PICTURE_OK && photo_image(&p, 12, 9, &im) == IMAGE_OK &&
             sixel_out_image(&im, out) == IMAGE_OK;
        image_free(&im);
        free(rgb.rgb);
    }
    return ok && !out->failed;
}

static bool texts(struct bytes *out)
{
    static const struct table_column columns[] = {{"a", TABLE_TEXT, 0, 5, 0},
                                                  {"b", TABLE_NUMBER, 2, 0, 0}};
    struct table *t = table_new(columns, 2);
    if (!t)
        return false;
    for (int i = 0; i < 9; i++) {
        table_text(t, "some text that needs memory\x1b", 28);
        table_number(t, 1.5F);
    }
    table_plain(t, out);
    table_tsv(t, out);
    bool ok = !table_failed(t);
    table_free(t);
    struct canvas *c = canvas_new(20, 4);
    if (!c)
        return false;
    canvas_put(c, canvas_rect(c), 0, 0, canvas_plain(CANVAS_BOLD), "text");
    canvas_dump_ansi(c, COLOR_DEPTH_TRUE, out);
    canvas_dump_styles(c, COLOR_DEPTH_TRUE, out);
    canvas_free(c);
    struct json_out j;
    json_out_begin(&j, out);
    json_out_floats(&j, (const float[]){1, 2}, 2);
    json_out_end(&j);
    return ok && !out->failed;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    bool (*const work[])(struct bytes *) = {pictures, texts, photos};
    for (int w = 0; w < 6; w++) {
        bool done = false;
        long n = 0;
        for (; !done; n++) {
            struct bytes out = {0};
            fault_set(FAULT_MEMORY, n, w & 1);
            done = work[w / 2](&out);
            assert_int_equal(done, fault_clear() == 0); /* a failure is reported, and only then */
            bytes_free(&out);
            assert_true(n < 1000);
        }
        assert_true(n > 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
