/* test_library_image.c - inputs beside token ids through the public header: pixels, token types. */
#include "library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "base/npy_read.h"

enum { VALUES = 3 * 10 * 10, COLS = 10, CLASSES = 23 };

static struct bore_model *open_model(const char *name)
{
    struct bore_model *m;
    struct bore_error e;
    char path[128];
    struct bore_options opt = {.threads = 2};
    snprintf(path, sizeof path, "tests/fixtures/models/%s", name);
    library_ok(bore_open(&m, path, &opt, &e), &e);
    return m;
}

/* The fixture's image and another one. */
static void images(float pixels[2][VALUES])
{
    char *bytes;
    size_t len;
    struct npy a;
    assert_int_equal(
        file_read_all("tests/fixtures/models/vit/pixels.npy", 1 << 20, &bytes, &len, NULL), 0);
    assert_int_equal(npy_read(&a, "pixels.npy", bytes, len, NULL), 0);
    for (int i = 0; i < VALUES; i++) {
        pixels[0][i] = (float)npy_at(&a, i);
        pixels[1][i] = (float)(i * 7 % 31) / 31 - 0.5f;
    }
    free(bytes);
}

/* A batch of images: the first has the reference library's logits, each is as if alone. */
static void a_batch_of_images(void **state)
{
    (void)state;
    static float pixels[2][VALUES];
    images(pixels);
    struct bore_model *m = open_model("vit");
    struct bore_shape s = bore_model_shape(m);
    assert_true(s.image_size == 10 && s.patch_size == 3 && s.n_channels == 3 && s.n_ctx == COLS);
    struct bore_pass two = {.pixels = pixels[0], .rows = 2, .cols = COLS},
                     one = {.pixels = pixels[1], .rows = 1, .cols = COLS};
    struct bore_result a = {0}, b = {0};
    struct bore_error e;
    library_ok(bore_run(m, &two, &a, &e), &e);
    library_ok(bore_run(m, &one, &b, &e), &e);
    struct checkpoint *ref = fixture_file("vit", "cache.safetensors");
    assert_true(fixture_error(a.output.data, checkpoint_find(ref, "logits")->data, COLS * CLASSES) <
                1e-5);
    assert_memory_equal(a.output.data + COLS * CLASSES, b.output.data,
                        COLS * CLASSES * sizeof(float));
    bore_result_free(&a), bore_result_free(&b);
    int32_t id;
    library_ok(bore_token(m, "lemon", &id, &e), &e);
    assert_int_equal(id, 3);
    checkpoint_close(ref);
    bore_close(m);
}

/* Edits that read another image; gradients; a capture. */
static void edits_and_gradients(void **state)
{
    (void)state;
    static float pixels[2][VALUES];
    images(pixels);
    struct bore_model *m = open_model("vit");
    const char *edits[] = {"blocks.0.hook_resid_pre = from(other)"};
    struct bore_prompt other = {.name = "other", .pixels = pixels[1]};
    struct bore_pass edited = {.pixels = pixels[0],
                               .rows = 1,
                               .cols = COLS,
                               .edits = edits,
                               .n_edits = 1,
                               .prompts = &other,
                               .n_prompts = 1},
                     plain = {.pixels = pixels[1], .rows = 1, .cols = COLS};
    struct bore_result a = {0}, b = {0};
    struct bore_error e;
    library_ok(bore_run(m, &edited, &a, &e), &e);
    library_ok(bore_run(m, &plain, &b, &e), &e);
    assert_true(library_same(&a.output, &b.output));
    bore_result_free(&a), bore_result_free(&b);

    struct bore_pass pass = {
        .pixels = pixels[0], .rows = 1, .cols = COLS, .metric = "logit[0, 7] - logit[0, 19]"};
    const char *names[] = {"hook_embed", "blocks.1.attn.hook_pattern"};
    struct bore_cache_options o = {.names = names, .n_names = 2, .incl_bwd = true};
    struct bore_cache *c = NULL;
    library_ok(bore_run_with_cache(m, &pass, &o, &c, NULL, &e), &e);
    struct checkpoint *ref = fixture_file("vit", "grads.safetensors");
    struct bore_tensor g;
    library_ok(bore_cache_get(c, "hook_embed_grad", &g, &e), &e);
    assert_true(fixture_error(g.data, checkpoint_find(ref, "hook_embed_grad")->data,
                              library_count(&g)) < 1e-4);
    checkpoint_close(ref);
    bore_cache_free(c);
    bore_close(m);
}

/* A picture becomes the values that the command line gives the model. */
static void pictures_are_prepared(void **state)
{
    (void)state;
    struct bore_model *m = open_model("vit");
    struct checkpoint *c = fixture_tensors("tests/fixtures/images/expected.safetensors");
    const struct st_tensor *rgb = checkpoint_find(c, "rgb.png"),
                           *want = checkpoint_find(c, "values.0");
    struct bore_error e;
    float *values;
    library_ok(bore_pixels(m, rgb->data, 13, 17, &values, &e), &e);
    for (int k = 0; k < VALUES; k++)
        if (k / 10 % 10 < 9 && k % 10 < 9) /* the rest is in no patch */
            assert_true(values[k] == ((const float *)want->data)[k]);
    free(values);
    assert_int_equal(bore_pixels(m, rgb->data, 0, 17, &values, &e), BORE_BAD_INPUT);
    checkpoint_close(c);
    bore_close(m);
}

/* Token types of a batch, padding left out. */
static void token_types(void **state)
{
    (void)state;
    static const int32_t ids[2][4] = {{3, 17, 8, 5}, {0, 3, 17, 8}},
                         types[2][4] = {{1, 0, 0, 1}, {0, 1, 1, 0}};
    static const uint8_t mask[2][4] = {{1, 1, 1, 1}, {0, 1, 1, 1}};
    struct bore_model *m = open_model("bert");
    struct bore_pass
        batch = {.tokens = ids[0], .token_types = types[0], .mask = mask[0], .rows = 2, .cols = 4},
        alone = {.tokens = ids[1] + 1, .token_types = types[1] + 1, .rows = 1, .cols = 3},
        usual = {.tokens = ids[1] + 1, .rows = 1, .cols = 3};
    struct bore_result a = {0}, b = {0}, c = {0};
    struct bore_error e;
    library_ok(bore_run(m, &batch, &a, &e), &e);
    library_ok(bore_run(m, &usual, &c, &e), &e);
    library_ok(bore_run(m, &alone, &b, &e), &e); /* the same tokens as before, other types */
    size_t n = (size_t)b.output.shape[2];
    assert_memory_equal(a.output.data + 5 * n, b.output.data, 3 * n * sizeof(float));
    assert_memory_not_equal(b.output.data, c.output.data, 3 * n * sizeof(float));
    bore_result_free(&a), bore_result_free(&b), bore_result_free(&c);
    static const int32_t wrong[3] = {0, 2, 0};
    alone.token_types = wrong;
    assert_int_equal(bore_run(m, &alone, &b, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "token type 2"));
    bore_close(m);
}

static void refusals(void **state)
{
    (void)state;
    static float pixels[2][VALUES];
    images(pixels);
    static const int32_t ids[COLS] = {0};
    struct bore_model *vit = open_model("vit"), *gpt2 = open_model("gpt2"),
                      *bert = open_model("bert");
    static const uint8_t mask[COLS] = {1};
    struct bore_prompt other = {.name = "other", .tokens = ids, .n = COLS};
    const struct {
        struct bore_model *m;
        struct bore_pass pass;
        const char *says;
    } rows[] = {
        {vit, {.tokens = ids, .rows = 1, .cols = COLS}, "needs pixels"},
        {vit, {.pixels = pixels[0], .tokens = ids, .rows = 1, .cols = COLS}, "takes images"},
        {vit, {.pixels = pixels[0], .mask = mask, .rows = 1, .cols = COLS}, "takes images"},
        {vit, {.pixels = pixels[0], .rows = 1, .cols = 9}, "an image has 10 positions"},
        {vit,
         {.pixels = pixels[0], .rows = 1, .cols = COLS, .prompts = &other, .n_prompts = 1},
         "other · it has no pixels"},
        {vit, {.pixels = pixels[0], .rows = 1, .cols = COLS, .metric = "loss"}, "loss"},
        {gpt2, {.pixels = pixels[0], .rows = 1, .cols = COLS}, "needs tokens"},
        {gpt2, {.pixels = pixels[0], .tokens = ids, .rows = 1, .cols = COLS}, "no image"},
        {bert, {.tokens = ids, .rows = 1, .cols = COLS, .metric = "loss"}, "loss"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bore_result out = {0};
        struct bore_error e;
        assert_int_equal(bore_run(rows[i].m, &rows[i].pass, &out, &e), BORE_BAD_INPUT);
        if (!strstr(e.text, rows[i].says))
            fail_msg("%zu: \"%s\" has no \"%s\"", i, e.text, rows[i].says);
    }
    float *values;
    struct bore_error e;
    assert_int_equal(bore_pixels(gpt2, mask, 1, 1, &values, &e), BORE_BAD_INPUT);
    bore_close(vit), bore_close(gpt2), bore_close(bert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_of_images),
        cmocka_unit_test(edits_and_gradients),
        cmocka_unit_test(pictures_are_prepared),
        cmocka_unit_test(token_types),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
