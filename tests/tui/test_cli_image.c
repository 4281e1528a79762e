/* test_cli_image.c - models of images on the command line: what is read, what rows and classes are
 * called, edits between images; texts and images that the other kind of model is given. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "model/image_input.h"

#define VIT "tests/fixtures/models/vit"
#define GPT2 "tests/fixtures/models/gpt2"
#define IMAGES "tests/fixtures/images/"

static struct js_node top(struct js_doc *doc, const char *face)
{
    return js_get(js_get(js_root(doc), face), "top");
}

/* The class token first, then patches by row and column; classes by their names. */
static void rows_and_classes_have_names(void **state)
{
    (void)state;
    struct js_doc *doc = RUN_JSON("run", VIT, "--image", VIT "/pixels.npy", "-k", "3", "--json");
    struct js_node rows = js_get(js_root(doc), "tokens");
    assert_int_equal(js_count(rows), 10);
    assert_string_equal(json_string(js_at(rows, 0), "text"), "[CLS]");
    assert_string_equal(json_string(js_at(rows, 9), "text"), "2,2");
    assert_int_equal(json_int(js_at(rows, 9), "id"), 9);
    struct fixture f = fixture_open("vit");
    const struct st_tensor *logits = checkpoint_find(f.ref, "logits");
    const float *x = logits->data;
    int best = 0;
    for (int k = 1; k < 23; k++)
        best = x[k] > x[best] ? k : best;
    struct js_node first = js_at(top(doc, "base"), 0);
    size_t len;
    assert_int_equal(json_int(first, "id"), best);
    assert_string_equal(json_string(first, "text"), tokenizer_text(f.m->tok, best, &len));
    assert_true(fabs(json_number(first, "logit") - (double)x[best]) < 1e-5);
    fixture_close(&f);
    js_close(doc);
    doc = RUN_JSON("lens", VIT, "--image", IMAGES "rgb.png", "--target", "café", "--json");
    assert_int_equal(json_int(js_get(js_root(doc), "target"), "id"), 4);
    js_close(doc);
    struct result r = RUN("run", VIT, "--image", IMAGES "rgb.png");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "an image of 9 patches"));
    assert_non_null(strstr(r.out, "  class  "));
    result_free(&r);
    r = RUN("info", VIT);
    assert_non_null(strstr(r.out, "10 x 10 x 3, patches of 3 x 3"));
    result_free(&r);
}

static double logit_of(const char *image)
{
    struct js_doc *doc = RUN_JSON("run", VIT, "--image", image, "-k", "1", "--json");
    double x = json_number(js_at(top(doc, "base"), 0), "logit");
    js_close(doc);
    return x;
}

/* A picture and the array of its pixels are one image; the prepared values too. */
static void files_of_one_image_agree(void **state)
{
    (void)state;
    double x = logit_of(IMAGES "rgb.png");
    assert_true(logit_of(IMAGES "levels.npy") == x);
    assert_true(logit_of(IMAGES "values_float32.npy") == x);
    assert_true(logit_of(IMAGES "gray.png") != x);
}

/* Patches by their names, and taken from another image. */
static void edits_between_images(void **state)
{
    (void)state;
    struct js_doc *a = RUN_JSON("run", VIT, "--image", IMAGES "rgb.png", "-e",
                                "blocks.0.hook_resid_pre = from(other)", "--run",
                                "other=" IMAGES "gray.png", "-k", "1", "--json");
    assert_true(json_number(js_at(top(a, "edited"), 0), "logit") == logit_of(IMAGES "gray.png"));
    js_close(a);
    a = RUN_JSON("run", VIT, "--image", IMAGES "rgb.png", "-e",
                 "blocks.1.attn.hook_z[pos=\"1,2\"] = 0", "-k", "1", "--json");
    struct js_doc *b = RUN_JSON("run", VIT, "--image", IMAGES "rgb.png", "-e",
                                "blocks.1.attn.hook_z[6] = 0", "-k", "1", "--json");
    assert_true(json_number(js_at(top(a, "edited"), 0), "logit") ==
                json_number(js_at(top(b, "edited"), 0), "logit"));
    js_close(a), js_close(b);
}

static void the_other_kind_is_refused(void **state)
{
    (void)state;
    static const char *const takes_prompt[] = {"run",  "lens",  "norms",
                                               "attn", "stack", "logit_attrs"};
    static const char *const of_text[] = {"loss", "generate", "detect_head", "test_prompt"};
    for (size_t i = 0; i < sizeof takes_prompt / sizeof *takes_prompt; i++) {
        const char *cmd = takes_prompt[i];
        assert_refused(RUN(cmd, VIT, "-p", "a cat"), 2,
                       "vit takes an image, no text · --image FILE");
        assert_refused(RUN(cmd, VIT, "--tokens", "0,1,2"), 2, "vit takes an image, no text");
        assert_refused(RUN(cmd, VIT), 2, "vit takes an image, no text");
        assert_refused(RUN(cmd, GPT2, "--image", IMAGES "rgb.png"), 1,
                       "gpt2 takes text, no image · give -p TEXT");
    }
    for (size_t i = 0; i < sizeof of_text / sizeof *of_text; i++)
        assert_refused(RUN(of_text[i], VIT, "--image", IMAGES "rgb.png"), 1,
                       "it is of texts, vit takes images");
    assert_refused(RUN("tokens", VIT, "-p", "a cat"), 1, "it is of texts, vit takes images");
    assert_refused(RUN("explore", VIT, "--plain"), 2, "--image FILE");
    assert_refused(RUN("explore", VIT, "a cat", "--plain"), 2, "--image FILE");
    assert_refused(RUN("run", VIT, "--image", IMAGES "rgb.png", "--run", "other=a cat"), 1,
                   "other");
    assert_refused(RUN("run", VIT, "--image", IMAGES "rgb.png", "--ref", "README.md"), 1,
                   "reference sets are of texts");
    assert_refused(RUN("run", VIT, "--image", IMAGES "rgb.png", "-p", "a cat"), 2,
                   "only one of them works");
    assert_refused(RUN("run", VIT, "--image", IMAGES "rgb.png", "-c", "hook_tokens"), 1,
                   "patches of an image");
}

static void files_that_are_no_images(void **state)
{
    (void)state;
    assert_refused(RUN("run", VIT, "--image", "no-such.png"), 1, "no-such.png");
    assert_refused(RUN("run", VIT, "--image", "README.md"), 1,
                   "README.md · it is no .png, .jpg or .npy file");
    assert_refused(RUN("run", VIT, "--image", "tests"), 1, "tests");
    char *folder = folder_make(), *path = folder_path(folder, "cut.png");
    size_t len;
    char *bytes = file_read(IMAGES "rgb.png", &len);
    FILE *f = fopen(path, "wb");
    fwrite(bytes, 1, len / 2, f);
    fclose(f);
    assert_refused(RUN("run", VIT, "--image", path), 1, "the file is cut off");
    free(bytes), free(path);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_classes_have_names), cmocka_unit_test(files_of_one_image_agree),
        cmocka_unit_test(edits_between_images),        cmocka_unit_test(the_other_kind_is_refused),
        cmocka_unit_test(files_that_are_no_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
