/* test_image_input.c - images as a model takes them, against Pillow and Hugging Face's processor
 * (tests/fixtures/images); what files may say and what is refused. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "base/npy_read.h"
#include "model/image_resize.h"

#define FOLDER "tests/fixtures/images/"

static struct config shape(void)
{
    struct config cfg;
    struct err e = {0};
    const char text[] = "{\"model_type\":\"vit\",\"image_size\":10,\"patch_size\":3}";
    if (config_parse(&cfg, text, sizeof text - 1, "config.json", &e))
        fail_msg("%s", e.text);
    return cfg;
}

static const struct st_tensor *tensor(const struct checkpoint *c, const char *name)
{
    const struct st_tensor *t = checkpoint_find(c, name);
    if (!t)
        fail_msg("no %s", name);
    return t;
}

/* Every filter, smaller, larger, one side alone, to one pixel. */
static void resized_as_pillow(void **state)
{
    (void)state;
    static const int sizes[][2] = {{10, 10}, {40, 31}, {13, 5}, {6, 17}, {1, 1}, {26, 34}};
    struct checkpoint *c = fixture_tensors(FOLDER "expected.safetensors");
    const struct st_tensor *from = tensor(c, "rgb.png");
    for (int i = 0; i < 6; i++)
        for (int filter = 0; filter < FILTER_COUNT; filter++) {
            char name[64];
            uint8_t out[40 * 34 * 3];
            int32_t h = sizes[i][0], w = sizes[i][1];
            snprintf(name, sizeof name, "resize.%d.%d.%d", filter, h, w);
            const struct st_tensor *want = tensor(c, name);
            assert_int_equal(image_resize(from->data, (int32_t)from->shape[0],
                                          (int32_t)from->shape[1], out, h, w,
                                          (enum image_filter)filter, NULL),
                             0);
            for (int k = 0; k < h * w * 3; k++)
                if (out[k] != ((const uint8_t *)want->data)[k])
                    fail_msg("%s: element %d is %d, Pillow has %d", name, k, out[k],
                             ((const uint8_t *)want->data)[k]);
        }
    checkpoint_close(c);
}

/* Row by row, the values of the patches of an image [3, 10, 10]. */
static void assert_patches(const struct image_input *im, const float *values, double limit)
{
    assert_int_equal(im->rows, 10);
    assert_int_equal(im->patch, 27);
    for (int k = 0; k < 27; k++)
        assert_true(im->values[k] == 0);
    for (int p = 0; p < 9; p++)
        for (int k = 0; k < 27; k++) {
            int c = k / 9, y = p / 3 * 3 + k % 9 / 3, x = p % 3 * 3 + k % 3;
            double want = (double)values[(c * 10 + y) * 10 + x],
                   got = (double)im->values[(p + 1) * 27 + k];
            if (!(got - want <= limit && want - got <= limit))
                fail_msg("patch %d, value %d: %.9g, expected %.9g", p, k, got, want);
        }
}

static int prep_of(struct image_prep *p, const struct config *cfg, const char *text, struct err *e)
{
    return image_prep_from(p, cfg, js_parse("preprocessor_config.json", text, strlen(text), e), e);
}

static void prepared_as_hugging_face(void **state)
{
    (void)state;
    static const char *const preps[] = {
        "{\"size\":10}",
        "{\"size\":10,\"resample\":3,\"image_mean\":[0.485,0.456,0.406],\"image_std\":[0.229,0.224,0.225]}",
        "{\"size\":{\"height\":10,\"width\":10},\"resample\":1,\"do_normalize\":false}",
        "{\"size\":10,\"do_rescale\":false,\"image_mean\":[3,4,5],\"image_std\":2.5,\"resample\":0}",
        "{\"size\":13,\"do_center_crop\":true,\"crop_size\":10,\"resample\":3}",
        "{\"do_resize\":false,\"do_center_crop\":true}",
    };
    struct config cfg = shape();
    struct checkpoint *c = fixture_tensors(FOLDER "expected.safetensors");
    const struct st_tensor *from = tensor(c, "rgb.png");
    for (int i = 0; i < 6; i++) {
        struct image_prep prep;
        struct image_input *im;
        struct err e = {0};
        char name[32];
        snprintf(name, sizeof name, "values.%d", i);
        if (prep_of(&prep, &cfg, preps[i], &e) ||
            image_from_rgb(&im, &cfg, &prep, from->data, 13, 17, &e))
            fail_msg("%s", e.text);
        assert_patches(im, tensor(c, name)->data, 0);
        image_drop(im);
    }
    checkpoint_close(c);
}

static int from_file(struct image_input **im, const char *file, struct err *e)
{
    char *bytes;
    size_t len;
    struct config cfg = shape();
    struct image_prep prep = image_prep_usual(&cfg);
    assert_int_equal(file_read_all(file, 1 << 20, &bytes, &len, NULL), 0);
    int rc = image_from_npy(im, &cfg, &prep, file, bytes, len, e);
    free(bytes);
    return rc;
}

/* Levels go through the preparation, values are taken as they are; what is shown is what was
 * prepared. */
static void arrays(void **state)
{
    (void)state;
    struct checkpoint *c = fixture_tensors(FOLDER "expected.safetensors");
    struct image_input *levels = NULL, *values = NULL, *wide = NULL;
    struct err e = {0};
    if (from_file(&levels, FOLDER "levels.npy", &e) ||
        from_file(&values, FOLDER "values_float32.npy", &e) ||
        from_file(&wide, FOLDER "values_float64.npy", &e))
        fail_msg("%s", e.text);
    assert_patches(levels, tensor(c, "values.0")->data, 0);
    assert_patches(values, tensor(c, "values.0")->data, 0);
    assert_patches(wide, tensor(c, "values.1")->data, 0);
    assert_true(image_same(levels, values) && !image_same(levels, wide) && !image_same(NULL, wide));
    assert_memory_equal(levels->rgb, tensor(c, "resize.2.10.10")->data, 300);
    assert_memory_equal(values->rgb, levels->rgb, 300);
    struct image_input *again = image_hold(values);
    image_drop(values);
    assert_int_equal(again->ids[9], 9);
    image_drop(again);
    image_drop(levels), image_drop(wide);
    checkpoint_close(c);
}

static void prep_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[]", "expected an object"},
        {"{\"size\":{\"shortest_edge\":10}}", "height and width"},
        {"{\"size\":0}", "\"size\" · expected an integer 1..16384"},
        {"{\"crop_size\":{\"shortest_edge\":10}}", "height and width"},
        {"{\"resample\":6}", "\"resample\" · expected an integer 0..5"},
        {"{\"image_mean\":[0.5,0.5]}", "three numbers"},
        {"{\"image_std\":[0.5,0,0.5]}", "image_std"},
        {"{\"rescale_factor\":0}", "rescale_factor"},
    };
    struct config cfg = shape();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct image_prep p = {.resample = 77};
        struct err e = {0};
        assert_int_equal(prep_of(&p, &cfg, rows[i].text, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%s: \"%s\" has no \"%s\"", rows[i].text, e.text, rows[i].says);
        assert_int_equal(p.resample, 77);
    }
    struct image_prep p;
    struct image_input *im;
    struct err e = {0};
    uint8_t rgb[12 * 10 * 3] = {0};
    assert_int_equal(prep_of(&p, &cfg, "{\"do_resize\":false}", &e), 0);
    assert_int_equal(image_from_rgb(&im, &cfg, &p, rgb, 10, 12, &e), ERR_BAD_INPUT);
    assert_string_equal(
        e.text, "image · 12 x 10 · this model takes 10 x 10, positions are not interpolated");
    assert_int_equal(prep_of(&p, &cfg, "{\"size\":12}", &e), 0);
    assert_int_equal(image_from_rgb(&im, &cfg, &p, rgb, 10, 12, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "12 x 12 after resizing · this model takes 10 x 10"));
    static const char *const cuts[][2] = {
        {"{\"size\":9,\"do_center_crop\":true}", "9 x 9 · a middle of 10 x 10 is wanted"},
        {"{\"size\":9000,\"do_center_crop\":true}", "at most 16777216 pixels"},
        {"{\"size\":12,\"do_center_crop\":true,\"crop_size\":11}", "11 x 11 after resizing"},
    };
    for (int i = 0; i < 3; i++) {
        assert_int_equal(prep_of(&p, &cfg, cuts[i][0], &e), 0);
        assert_int_equal(image_from_rgb(&im, &cfg, &p, rgb, 10, 12, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, cuts[i][1]))
            fail_msg("\"%s\" has no \"%s\"", e.text, cuts[i][1]);
    }
}

/* An .npy file with this header and so many bytes of data. */
static size_t npy(char *to, int version, const char *header, size_t data)
{
    size_t n = strlen(header), begin = version == 1 ? 10 : 12;
    memcpy(to, "\x93NUMPY", 6);
    to[6] = (char)version, to[7] = 0;
    to[8] = (char)(n & 255), to[9] = (char)(n >> 8), to[10] = to[11] = 0;
    memcpy(to + begin, header, n);
    memset(to + begin + n, 0, data);
    return begin + n + data;
}

static void npy_is_strict(void **state)
{
    (void)state;
#define SHAPE(s) "{'descr': '<f4', 'fortran_order': False, 'shape': " s ", }   \n"
    static const struct {
        int version;
        const char *header;
        size_t data;
        const char *says; /* NULL: it is read */
    } rows[] = {
        {1, SHAPE("(2, 3)"), 24, NULL},
        {2, SHAPE("(6,)"), 24, NULL},
        {3, "{'shape':(6),'fortran_order':False,'descr':'<f4'}", 24, NULL},
        {4, SHAPE("(2, 3)"), 24, "no .npy file of version 1 to 3"},
        {1, SHAPE("(2, 3)"), 23, "23 bytes of data · its shape says 6 elements of 4 bytes"},
        {1, SHAPE("(2, 3)"), 25, "25 bytes of data"},
        {1, SHAPE("(2, 0)"), 0, "whole numbers above 0"},
        {1, SHAPE("()"), 4, "a shape like (3, 224, 224)"},
        {1, SHAPE("(1,1,1,1,1,1,1,1,1)"), 4, "a shape of 1 to 8"},
        {1, SHAPE("(4611686018427387904, 4)"), 16, ""},
        {1, SHAPE("(99999999999999999999,)"), 16, ""},
        {1, SHAPE("(2, 3"), 24, "a shape of 1 to 8"},
        {1, SHAPE("(2 3)"), 24, "\")\" after the shape"},
        {1, "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", 4, "'<f4', '<f8' or '|u1'"},
        {1, "{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}", 4, "ascontiguousarray"},
        {1, "{'descr': '<f4', 'fortran_order': False}", 4, "once each"},
        {1, "{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", 4, "once each"},
        {1, "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}", 4, "\",\" or \"}\""},
        {1, SHAPE("(1,)") "x", 4, "once each"},
    };
    char bytes[512];
    struct npy a;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        size_t n = npy(bytes, rows[i].version, rows[i].header, rows[i].data);
        int rc = npy_read(&a, "a.npy", bytes, n, &e);
        if (!rc != !rows[i].says || (rc && !strstr(e.text, rows[i].says)))
            fail_msg("%s: %d \"%s\"", rows[i].header, rc, e.text);
        for (size_t cut = 0; !rc && cut < n; cut++)
            assert_int_equal(npy_read(&a, "a.npy", bytes, cut, NULL), ERR_BAD_INPUT);
    }
    struct config cfg = shape();
    struct image_prep prep = image_prep_usual(&cfg);
    struct image_input *im;
    struct err e = {0};
    assert_int_equal(
        image_from_npy(&im, &cfg, &prep, "a.npy", bytes, npy(bytes, 1, SHAPE("(2, 3)"), 24), &e),
        ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "a.npy · expected pixel values [3, 10, 10]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resized_as_pillow),
        cmocka_unit_test(prepared_as_hugging_face),
        cmocka_unit_test(arrays),
        cmocka_unit_test(prep_is_refused),
        cmocka_unit_test(npy_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
