/* test_vit.c - a model of images beside what every family is tested for: its classes, its rows,
 * a checkpoint without the class head, another image, patches from another image, processing. */
#include "fixture.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/process.h"
#include "run/pair.h"

static const struct site_ref LOGITS = {SITE_UNEMBED_OUT, SITE_ROOT};

static float *read_site(struct run *r, struct site_ref s, int64_t *count)
{
    struct err e = {0};
    *count = run_length(r) * site_row_size(&run_model(r)->cfg, s.id, run_length(r));
    float *x = malloc((size_t)*count * sizeof *x);
    if (run_read(r, s, 0, run_length(r), x, count, &e))
        fail_msg("%s", e.text);
    return x;
}

static void assert_same(struct run *a, struct run *b)
{
    int64_t n, m;
    float *x = read_site(a, LOGITS, &n), *y = read_site(b, LOGITS, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
    free(x), free(y);
}

/* The outputs are classes, the positions a class token and patches. */
static void classes_and_rows(void **state)
{
    (void)state;
    struct fixture f = fixture_open("vit");
    size_t len;
    assert_string_equal(tokenizer_kind(f.m->tok), "classes");
    assert_int_equal(tokenizer_count(f.m->tok), 23);
    assert_int_equal(tokenizer_find(f.m->tok, "café", 5), 4);
    assert_int_equal(tokenizer_find(f.m->tok, "crane", 5), 1);
    assert_string_equal(tokenizer_text(f.m->tok, 5, &len), "crane");
    assert_string_equal(model_input_text(f.m, 0, &len), "[CLS]");
    assert_string_equal(model_input_text(f.m, 1, &len), "0,0");
    assert_string_equal(model_input_text(f.m, 6, &len), "1,2");
    assert_int_equal(len, 3);
    assert_int_equal(model_answer_row(f.m, f.tokens, f.n), 0);
    int32_t *ids, n;
    struct err e = {0};
    assert_int_equal(model_tokens(f.m, "a cat", 5, -1, &ids, &n, &e), ERR_BAD_INPUT);
    assert_string_equal(e.text, "text · this model takes images · give --image FILE");
    struct run *r = fixture_run_new(f.m, NULL, 0);
    assert_int_equal(run_sync(r, run_ids(f.tokens, f.n), NULL, NULL, NULL, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "takes an image of 10 x 10 pixels"));
    run_free(r);
    fixture_close(&f);
}

/* DeiT has another token between the class token and the patches. */
static void rows_of_distilled(void **state)
{
    (void)state;
    static const char *const texts[] = {"[CLS]", "[DIST]", "0,0", "0,1"};
    struct fixture f = fixture_open("deit");
    size_t len;
    assert_int_equal(f.n, 3 * 3 + 2);
    for (int32_t i = 0; i < 4; i++)
        assert_string_equal(model_input_text(f.m, i, &len), texts[i]);
    const char *edits[] = {"deit.embeddings.cls_token[0, 3] = 0",
                           "deit.embeddings.distillation_token[0, 3] = 0"};
    struct edit_program *p = fixture_program(f.m, f.n, edits, 2);
    assert_int_equal(p->n_weights, 2); /* two rows of one weight */
    assert_int_equal(p->weights[0].weight->id, W_CLS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(p->weights[i].weight->first_n, i);
    edit_program_free(p);
    fixture_close(&f);
}

/* Without its head the model ends with its last norm; all before is the same. */
static void without_a_head(void **state)
{
    (void)state;
    char folder[] = "/tmp/bore_vit_XXXXXX", path[64], target[PATH_MAX];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *out = fopen(path, "w");
    fputs("{\"model_type\":\"vit\",\"architectures\":[\"ViTModel\"],\"hidden_size\":15,"
          "\"num_attention_heads\":3,\"num_hidden_layers\":2,\"intermediate_size\":22,"
          "\"image_size\":10,\"patch_size\":3}",
          out);
    fclose(out);
    assert_non_null(realpath("tests/fixtures/models/vit/model.safetensors", target));
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(symlink(target, path), 0);

    struct fixture f = fixture_open("vit");
    struct model *m;
    struct err e = {0};
    if (model_open(&m, folder, fixture_backend(), &e))
        fail_msg("%s", e.text);
    assert_false(site_exists(&m->cfg, SITE_UNEMBED_OUT));
    assert_int_equal(model_weight(m, 0, W_U)->ndim, 0);
    struct run *whole = fixture_run(&f, NULL, NULL, 0), *bare = fixture_run_new(m, NULL, 0);
    if (run_sync(bare, fixture_input(&f), NULL, NULL, NULL, &e))
        fail_msg("%s", e.text);
    struct site_ref *all = malloc((size_t)(m->cfg.n_layers + 1) * SITE_COUNT * sizeof *all);
    int n = site_list(&m->cfg, all);
    assert_int_equal(all[n - 1].id, SITE_UNEMBED_IN);
    for (int i = 0; i < n; i++) {
        int64_t count;
        float *x = read_site(whole, all[i], &count), *y = read_site(bare, all[i], &count);
        assert_memory_equal(x, y, (size_t)count * sizeof *x);
        free(x), free(y);
    }
    free(all);
    run_free(whole), run_free(bare);
    model_close(m);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path), rmdir(folder);
    fixture_close(&f);
}

/* Another image of the same shape. */
static struct image_input *other_image(const struct fixture *f)
{
    struct image_input *im;
    uint8_t rgb[10 * 10 * 3];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * i * 37 + 11 * i);
    struct err e = {0};
    if (image_from_rgb(&im, &f->m->cfg, &f->m->image, rgb, 10, 10, &e))
        fail_msg("%s", e.text);
    return im;
}

/* An image that replaces another computes everything anew, the same one nothing. */
static void another_image(void **state)
{
    (void)state;
    struct fixture f = fixture_open("vit");
    struct image_input *im = other_image(&f);
    struct err e = {0};
    struct run_cost cost;
    for (size_t cache = 0; cache <= SIZE_MAX / 2; cache += SIZE_MAX / 2) {
        struct run *first = fixture_run(&f, NULL, NULL, cache),
                   *r = fixture_run(&f, NULL, NULL, cache),
                   *fresh = fixture_run_new(f.m, NULL, cache);
        assert_int_equal(run_sync(fresh, run_of_image(im), NULL, NULL, NULL, &e), 0);
        assert_int_equal(run_sync(r, run_of_image(im), NULL, NULL, &cost, &e), 0);
        assert_true(cost.row == 0 && cost.stage == 0);
        assert_same(r, fresh);
        assert_int_equal(run_sync(r, run_of_image(im), NULL, NULL, &cost, &e), 0);
        assert_int_equal(cost.row, f.n);
        assert_int_equal(run_sync(r, fixture_input(&f), NULL, NULL, NULL, &e), 0);
        assert_same(r, first);
        run_free(first), run_free(r), run_free(fresh);
    }
    image_drop(im);
    fixture_close(&f);
}

static int sync_edit(struct pair *p, const struct fixture *f, const struct pair_prompt *other,
                     const char *text)
{
    struct edit *ed;
    struct err e = {0};
    assert_int_equal(edit_parse(&ed, text, &e), 0);
    struct pair_target t = {
        .input = fixture_input(f), .edits = &ed, .n_edits = 1, .prompts = other, .n_prompts = 1};
    int rc = pair_sync(p, &t, NULL, &e);
    if (rc)
        fail_msg("%s", e.text);
    edit_free(ed);
    return rc;
}

/* Everything that the blocks read taken from another image is that image; an anchor is a patch's
 * name. */
static void patches_from_another_image(void **state)
{
    (void)state;
    struct fixture f = fixture_open("vit");
    struct image_input *im = other_image(&f);
    struct pair_prompt other = {"other", im->ids, im->rows, im};
    struct pair *p, *q;
    struct err e = {0};
    assert_int_equal(pair_open(&p, f.m, SIZE_MAX / 2, &e), 0);
    assert_int_equal(pair_open(&q, f.m, 0, &e), 0);
    struct run *r = fixture_run_new(f.m, NULL, 0);
    assert_int_equal(run_sync(r, run_of_image(im), NULL, NULL, NULL, &e), 0);
    sync_edit(p, &f, &other, "blocks.0.hook_resid_pre = from(other)");
    assert_same(pair_run(p, FACE_EDITED), r);
    other.image = f.image; /* and the run of that name follows its image */
    sync_edit(p, &f, &other, "blocks.0.hook_resid_pre = from(other)");
    assert_same(pair_run(p, FACE_EDITED), pair_run(p, FACE_BASE));
    sync_edit(p, &f, &other, "blocks.1.attn.hook_z[pos=\"1,2\"] = 0");
    sync_edit(q, &f, &other, "blocks.1.attn.hook_z[6] = 0");
    assert_same(pair_run(p, FACE_EDITED), pair_run(q, FACE_EDITED));
    run_free(r);
    pair_close(p), pair_close(q);
    image_drop(im);
    fixture_close(&f);
}

/* Processing leaves predictions as they are. */
static void processed(void **state)
{
    (void)state;
    struct fixture f = fixture_open("vit"), g = fixture_open("vit");
    struct err e = {0};
    if (process_model(g.m, PROCESS_USUAL, &e))
        fail_msg("%s", e.text);
    struct run *raw = fixture_run(&f, NULL, NULL, 0), *done = fixture_run(&g, NULL, NULL, 0);
    int64_t n, vocab = f.m->cfg.d_vocab;
    float *x = read_site(raw, LOGITS, &n), *y = read_site(done, LOGITS, &n);
    for (int64_t row = 0; row < f.n; row++) {
        double shift = 0;
        for (int64_t k = 0; k < vocab; k++)
            shift += ((double)x[row * vocab + k] - (double)y[row * vocab + k]) / (double)vocab;
        for (int64_t k = 0; k < vocab; k++)
            assert_true(fabs((double)x[row * vocab + k] - (double)y[row * vocab + k] - shift) <
                        2e-5);
    }
    free(x), free(y);
    x = read_site(done, (struct site_ref){SITE_RESID_POST, 1}, &n);
    for (int64_t row = 0; row < f.n; row++) { /* all that is written there has mean zero */
        double mean = 0;
        for (int64_t k = 0; k < f.m->cfg.d_model; k++)
            mean += (double)x[row * f.m->cfg.d_model + k];
        assert_true(fabs(mean) < 1e-4);
    }
    free(x);
    run_free(raw), run_free(done);
    fixture_close(&f), fixture_close(&g);
}

static void names_of_old_and_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *name, *now, *says;
    } rows[] = {
        {"vit.encoder.layer.1.attention.attention.query.output",
         "vit.layers.1.attention.q_proj.output", NULL},
        {"vit.encoder.layer.0.attention.output.dense.input", "vit.layers.0.attention.o_proj.input",
         NULL},
        {"vit.encoder.layer.1.output", "blocks.1.hook_resid_post", NULL},
        {"vit.encoder.layer.0.intermediate.dense.output", "blocks.0.mlp.hook_pre", NULL},
        {"model.vit.layers[0].mlp.fc1.output", "blocks.0.mlp.hook_pre", NULL},
        {"vit.layernorm.input", "blocks.1.hook_resid_post", NULL},
        {"classifier.output", NULL, "class token's row alone"},
        {"vit.embeddings.patch_embeddings.output", NULL, "hook_embed[1:]"},
        {"vit.layers.0.dropout.output", NULL, "hook_attn_out, hook_mlp_out"},
        {"hook_tokens", NULL, "patches of an image"},
    };
    struct model *m = fixture_shape("vit");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct alias_value a, b;
        struct err e = {0};
        int rc = alias_find(&m->cfg, rows[i].name, &a, &e);
        if (!rc != !rows[i].says || (rc && !strstr(e.text, rows[i].says)))
            fail_msg("%s: %s", rows[i].name, e.text);
        if (rc)
            continue;
        assert_int_equal(alias_find(&m->cfg, rows[i].now, &b, &e), 0);
        assert_true(a.form == b.form && site_same(a.site[0], b.site[0]));
    }
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_and_rows),           cmocka_unit_test(without_a_head),
        cmocka_unit_test(rows_of_distilled),          cmocka_unit_test(another_image),
        cmocka_unit_test(patches_from_another_image), cmocka_unit_test(processed),
        cmocka_unit_test(names_of_old_and_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
