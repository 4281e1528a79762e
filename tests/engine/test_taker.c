/* test_taker.c - taker's config text, and its hooks as words: what they compute against taker
 * itself (tests/fixtures/make_taker.py), their gradients against differences, reruns against full
 * runs. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/alias.h"
#include "edit/edit.h"
#include "measure/grad.h"
#include "edit/taker.h"

#define FOLDER "tests/fixtures/models/"

static struct taker_hooks read_case(const struct fixture *f, const char *name, struct js_node one)
{
    char path[200];
    const char *config = NULL, *params = NULL;
    struct taker_hooks t;
    struct err e = {0};
    assert_int_equal(js_string(js_get(one, "config"), &config, NULL, &e), 0);
    assert_int_equal(js_string(js_get(one, "params"), &params, NULL, &e), 0);
    snprintf(path, sizeof path, FOLDER "%s/%s", name, params);
    if (taker_parse(&t, &f->m->cfg, config, strlen(config), path, &e))
        fail_msg("%s: %s", name, e.text);
    return t;
}

static struct edit_program *program_of(const struct fixture *f, const struct taker_hooks *t)
{
    for (int32_t i = 0; i < t->n_edits;
         i++) { /* what is made prints as it is, and parses to the same */
        char text[LIMIT_EDIT_TEXT];
        struct edit *ed = NULL;
        struct err e = {0};
        if (edit_parse(&ed, t->edit[i], &e))
            fail_msg("%s: %s", t->edit[i], e.text);
        edit_print(ed, text, sizeof text);
        assert_string_equal(text, t->edit[i]);
        edit_free(ed);
    }
    return fixture_program(f->m, f->n, (const char *const *)t->edit, t->n_edits);
}

static double difference(const float *have, const struct st_tensor *want)
{
    double worst = 0, size = 1e-30;
    const float *w = want->data;
    for (size_t i = 0; i < want->nbytes / sizeof *w; i++) {
        worst = fmax(worst, fabs((double)have[i] - (double)w[i]));
        size = fmax(size, fabs((double)w[i]));
    }
    return worst / size;
}

static int check_case(const struct fixture *f, const struct taker_hooks *t,
                      const struct checkpoint *ref, int number)
{
    struct err e = {0};
    struct edit_program *p = program_of(f, t);
    struct run *base = fixture_run(f, NULL, NULL, SIZE_MAX / 2),
               *fork = fixture_run(f, base, p, SIZE_MAX / 2);
    char name[LIMIT_NAME + 16];
    float *values = malloc((size_t)f->n * 4096 * sizeof *values);
    assert_int_equal(
        run_read(fork, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, f->n, values, NULL, &e),
        0);
    snprintf(name, sizeof name, "%d.logits", number);
    if (!(difference(values, checkpoint_find(ref, name)) < 1e-5))
        fail_msg("%s: logits differ", name);
    for (int32_t i = 0; i < t->n_collects; i++) {
        struct alias_value v;
        assert_int_equal(alias_find(&f->m->cfg, t->collect[i].name, &v, &e), 0);
        snprintf(name, sizeof name, "%d.%s", number, t->collect[i].name);
        const struct st_tensor *want = checkpoint_find(ref, name);
        assert_non_null(want);
        int64_t inner = (int64_t)(want->nbytes / sizeof(float)) / f->n;
        for (int32_t row = 0; row < f->n; row++) {
            struct kn_view one;
            struct site_ref s = v.spread ? v.edit[0] : v.site[0]; /* any of the copies */
            assert_int_equal(run_view_between(fork, s, t->collect[i].edits, row, &one, &e), 0);
            float *here = fixture_values(&one);
            memcpy(values + row * inner, here,
                   (size_t)inner * sizeof *values); /* of heads: the first's */
            free(here);
        }
        if (!(difference(values, want) < 1e-5))
            fail_msg("%s differs by %g", name, difference(values, want));
    }
    free(values);
    edit_program_free(p);
    run_free(fork);
    run_free(base);
    return t->n_edits;
}

static void as_taker(void **state)
{
    (void)state;
    char **names = fixture_names_with("taker.safetensors");
    int edits = 0, collects = 0;
    for (char **model = names; *model; model++) {
        struct fixture f = fixture_open(*model);
        struct checkpoint *ref = fixture_file(*model, "taker.safetensors");
        struct js_doc *cases = fixture_json(ref, "cases");
        for (int k = 0; k < (int)js_count(js_root(cases)); k++) {
            struct js_node one = js_at(js_root(cases), (size_t)k);
            struct taker_hooks t = read_case(&f, *model, one);
            assert_int_equal(t.n_collects, js_count(js_get(one, "collects")));
            edits += check_case(&f, &t, ref, k);
            collects += t.n_collects;
            taker_free(&t);
        }
        js_close(cases);
        checkpoint_close(ref);
        fixture_close(&f);
    }
    fixture_names_free(names);
    assert_true(edits > 80 && collects > 80);
}

/* ---- gradients, reruns
 * ------------------------------------------------------------------------------- */

static const char *const words[] = {
    "layer_0_attn_pre_out = whiten(\"" FOLDER
    "gpt2/taker.2.safetensors\", \"whiten.layer_0_attn_pre_out\")",
    "layer_0_pre_mlp[2:] = whiten(\"" FOLDER
    "gpt2/taker.2.safetensors\", \"whiten.layer_0_pre_mlp\")",
    "layer_1_attn_pre_out = whiten(\"" FOLDER
    "gpt2/taker.2.safetensors\", \"whiten.layer_1_attn_pre_out\")",
    "layer_1_attn_pre_out = mask(\"" FOLDER
    "gpt2/taker.2.safetensors\", \"mask.layer_1_attn_pre_out\", tanh)",
    "layer_1_attn_pre_out = unwhiten(\"" FOLDER
    "gpt2/taker.2.safetensors\", \"whiten.layer_0_attn_pre_out\")",
    "layer_1_post_decoder *= rows(\"" FOLDER
    "gpt2/taker.5.safetensors\", \"actadd.layer_0_post_decoder.param\")",
};
enum { WORDS = sizeof words / sizeof *words };

static double metric_at(struct fixture *f, struct run *fork, double step, const struct metric *m)
{
    const char *texts[WORDS + 1];
    char nudge[80];
    struct err e = {0};
    double value = 0;
    snprintf(nudge, sizeof nudge, "hook_embed[8, 3] += %.9g", step);
    texts[0] = nudge;
    memcpy(texts + 1, words, sizeof words);
    struct edit_program *p = fixture_program(f->m, f->n, texts, WORDS + 1);
    if (run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e) ||
        metric_value(m, fork, NULL, &value, &e))
        fail_msg("%s", e.text);
    edit_program_free(p);
    return value;
}

static int take(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g,
                struct err *e)
{
    (void)s;
    (void)e;
    if (row0 <= 8 && 8 < row1)
        *(float *)user = kn_f32(g)[(8 - row0) * g->stride[0] + 3 * g->stride[1]];
    return 0;
}

static void gradients_are_slopes(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct err e = {0};
    struct run *base = fixture_run(&f, NULL, NULL, SIZE_MAX / 2),
               *fork = fixture_run_new(f.m, base, SIZE_MAX / 2);
    struct metric m;
    float g = NAN;
    assert_int_equal(
        metric_parse(&m, "logit[-1, 3] - logit[-1, 5]", f.m->tok, f.m->cfg.d_vocab, &e), 0);
    double slope = (metric_at(&f, fork, 4e-3, &m) - metric_at(&f, fork, -4e-3, &m)) / 8e-3;
    metric_at(&f, fork, 0, &m);
    struct site_ref s = {SITE_EMBED, SITE_ROOT};
    if (grad_run(fork, base, &m, &s, 1, take, &g, &e))
        fail_msg("%s", e.text);
    if (!(fabs(slope) > 1e-2)) /* there is one */
        fail_msg("slope %g, gradient %g", slope, (double)g);
    if (!(fabs((double)g - slope) <= 0.01 * fabs(slope)))
        fail_msg("gradient %g, slope %g", (double)g, slope);
    run_free(fork);
    run_free(base);
    fixture_close(&f);
}

static void reruns_are_full_runs(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct err e = {0};
    struct run *base = fixture_run(&f, NULL, NULL, SIZE_MAX / 2),
               *fork = fixture_run_new(f.m, base, SIZE_MAX / 2);
    struct run *fresh = fixture_run_new(f.m, NULL, SIZE_MAX / 2);
    size_t bytes = (size_t)(f.n * f.m->cfg.d_vocab) * sizeof(float);
    float *a = malloc(bytes), *b = malloc(bytes);
    struct site_ref logits = {SITE_UNEMBED_OUT, SITE_ROOT};
    for (int n = 1; n <= WORDS; n++) { /* one more each time */
        struct edit_program *p = fixture_program(f.m, f.n, words, n);
        if (run_sync(fork, (struct run_input){0}, p, NULL, NULL, &e))
            fail_msg("%s", e.text);
        edit_program_free(p);
    }
    struct edit_program *p = fixture_program(f.m, f.n, words, WORDS);
    assert_int_equal(run_sync(fresh, run_ids(f.tokens, f.n), p, NULL, NULL, &e), 0);
    edit_program_free(p);
    assert_int_equal(run_read(fork, logits, 0, f.n, a, NULL, &e), 0);
    assert_int_equal(run_read(fresh, logits, 0, f.n, b, NULL, &e), 0);
    assert_memory_equal(a, b, bytes);
    free(a);
    free(b);
    run_free(fork);
    run_free(base);
    run_free(fresh);
    fixture_close(&f);
}

/* ---- the text
 * ---------------------------------------------------------------------------------------- */

#define PARAMS FOLDER "gpt2/taker.0.safetensors"

static void order_of_hooks(void **state)
{
    (void)state;
    struct config cfg;
    struct err e = {0};
    struct taker_hooks t;
    static const char text[] =
        "mlp_pre_out: 1: unoffset, collect\n\nattn_pre_out: replace,offset , unoffset\r\n\tmlp_pre_out:offset, collect,mask,replace\n"
        "post_attn:\nattn_pre_out: 0: mask, mask\nattn_pre_out:1:mask";
    assert_int_equal(config_load(&cfg, FOLDER "gpt2/config.json", &e), 0);
    if (taker_parse(&t, &cfg, text, strlen(text), PARAMS, &e))
        fail_msg("%s", e.text);
    static const char *const want[] = {
        "layer_0_attn_pre_out = rows(",  "layer_0_attn_pre_out += file(",
        "layer_0_attn_pre_out -= file(", "layer_0_attn_pre_out = mask(",
        "layer_0_attn_pre_out = mask(",  "layer_0_mlp_pre_out += file(",
        "layer_0_mlp_pre_out = mask(",   "layer_0_mlp_pre_out = rows(",
        "layer_1_attn_pre_out = rows(",  "layer_1_attn_pre_out += file(",
        "layer_1_attn_pre_out -= file(", "layer_1_attn_pre_out = mask(",
        "layer_1_mlp_pre_out += file(",  "layer_1_mlp_pre_out = mask(",
        "layer_1_mlp_pre_out = rows(",   "layer_1_mlp_pre_out -= file(",
    };
    assert_int_equal(t.n_edits, sizeof want / sizeof *want);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(strncmp(t.edit[i], want[i], strlen(want[i])), 0);
    assert_int_equal(t.n_collects, 3);
    assert_string_equal(t.collect[1].name, "layer_1_mlp_pre_out"); /* the last of two */
    assert_int_equal(t.collect[0].edits, 6);
    assert_int_equal(t.collect[1].edits, 16);
    assert_int_equal(t.collect[2].edits, 16);
    taker_free(&t);
}

static void refused(const char *text, const char *params, const char *want)
{
    struct config cfg;
    struct err e = {0};
    struct taker_hooks t = {.n_edits = 77};
    assert_int_equal(config_load(&cfg, FOLDER "gpt2/config.json", &e), 0);
    assert_true(taker_load(&t, &cfg, text, params, &e) < 0);
    assert_int_equal(t.n_edits, 77);
    if (!strstr(e.text, want))
        fail_msg("%s\n  said   %s\n  wanted %s", text, e.text, want);
}

static void messages(void **state)
{
    (void)state;
    refused("mlp_preout: mask", NULL,
            "taker config · line 1 · no point \"mlp_preout\" · the nearest is mlp_pre_out");
    refused("pre_mlp: mask\npre_mlp: masks", NULL,
            "line 2 · no hook \"masks\" · the nearest is mask");
    refused("pre_mlp: mask,", NULL, "no hook \"\"");
    refused("pre_mlp: 3: mask", NULL, "no layer \"3\" · this model has layers 0..2");
    refused("pre_mlp: x: mask", NULL, "no layer \"x\"");
    refused("a: b: c: d", NULL,
            "line 1 · \"a: b: c: d\" · a line is POINT: HOOK, HOOK or POINT: LAYER: HOOK, HOOK");
    refused("pre_mlp: mask\nmask", NULL, "line 2 · \"mask\" · a line is");
    refused("pre_mlp: unoffset, offset", NULL,
            "unoffset at layer_0_pre_mlp without offset before it");
    refused("pre_mlp: sae_encode", NULL, "sae_encode runs a model of its own");
    refused("pre_mlp: mask", PARAMS, "the config has no such hook there");
    refused("pre_mlp: mask", "nowhere.safetensors", "nowhere.safetensors");
    refused("nowhere.txt", NULL, "taker config nowhere.txt");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_taker),
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(reruns_are_full_runs),
        cmocka_unit_test(order_of_hooks),
        cmocka_unit_test(messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
