/* test_cli_taker.c - --taker and --taker-params through the program, against taker's own values
 * (tests/fixtures/make_taker.py). */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define FOLDER "tests/fixtures/models/llama"

/* Everything collected, and the logits; returns how many tensors. */
static int compare(const char *path, const struct checkpoint *ref, int number,
                   struct js_node collects)
{
    struct err e = {0};
    struct checkpoint *have = fixture_tensors(path);
    int n = (int)js_count(collects);
    for (int i = 0; i <= n; i++) {
        const char *name = "logits";
        char key[LIMIT_NAME + 16];
        if (i < n)
            assert_int_equal(js_string(js_at(collects, (size_t)i), &name, NULL, &e), 0);
        snprintf(key, sizeof key, "%d.%s", number, name);
        const struct st_tensor *h = checkpoint_find(have, name), *w = checkpoint_find(ref, key);
        assert_true(h && w && h->nbytes == w->nbytes);
        double worst = 0, size = 1e-30;
        for (size_t k = 0; k < w->nbytes / sizeof(float); k++) {
            worst = fmax(worst, fabs((double)((const float *)h->data)[k] -
                                     (double)((const float *)w->data)[k]));
            size = fmax(size, fabs((double)((const float *)w->data)[k]));
        }
        if (!(worst < 1e-5 * size))
            fail_msg("%s differs by %g of %g", key, worst, size);
    }
    checkpoint_close(have);
    return n + 1;
}

static void check_generated(struct js_node one, const char *ids, const char *params)
{
    const char *config = json_string(one, "config");
    struct js_node want = js_get(one, "generated");
    char count[16];
    snprintf(count, sizeof count, "%zu", js_count(want));
    struct js_doc *d = RUN_JSON("generate", FOLDER, "--tokens", ids, "-n", count, "--taker", config,
                                "--taker-params", params, "--json");
    struct js_doc *plain = RUN_JSON("generate", FOLDER, "--tokens", ids, "-n", count, "--json");
    struct js_node have = js_get(js_root(d), "generated"),
                   without = js_get(js_root(plain), "generated");
    assert_int_equal(js_count(have), js_count(want));
    int changed = 0;
    for (size_t i = 0; i < js_count(want); i++) {
        assert_true(json_int(js_at(have, i), "id") == (int64_t)json_number_at(want, i));
        changed += json_int(js_at(have, i), "id") != json_int(js_at(without, i), "id");
    }
    assert_true(changed > 0);
    js_close(d);
    js_close(plain);
}

static void test_cases(void **state)
{
    (void)state;
    struct checkpoint *ref = fixture_file("llama", "taker.safetensors");
    struct js_doc *cases = fixture_json(ref, "cases");
    char *ids = fixture_prompt(ref), *folder = folder_make(),
         *out = folder_path(folder, "out.safetensors"), *config = folder_path(folder, "hooks.txt");
    int n = 0, generated = 0;
    for (size_t i = 0; i < js_count(js_root(cases)); i++) {
        struct js_node one = js_at(js_root(cases), i);
        char params[200];
        snprintf(params, sizeof params, FOLDER "/%s", json_string(one, "params"));
        FILE *f = fopen(config, "we");
        assert_true(f && fputs(json_string(one, "config"), f) >= 0 && fclose(f) == 0);
        struct result r = RUN("run", FOLDER, "--tokens", ids, "--taker", config, "--taker-params",
                              params, "-o", out);
        if (r.status)
            fail_msg("%s", r.err);
        result_free(&r);
        n += compare(out, ref, (int)i, js_get(one, "collects"));
        if (js_get(one, "generated").value) {
            check_generated(one, ids, params);
            generated++;
        }
    }
    assert_true(n > 30 && generated == 1);
    js_close(cases);
    checkpoint_close(ref);
    folder_remove(folder);
    free(ids), free(out), free(config);
}

static void test_together(void **state)
{
    (void)state;
#define HOOKS                                                                                                   \
    "--taker",                                                                                                  \
        "mlp_pre_out: offset, mask, replace, collect, unoffset\nattn_pre_out: offset, mask, replace, unoffset", \
        "--taker-params", FOLDER "/taker.0.safetensors"
    struct js_doc *d = RUN_JSON("run", FOLDER, "--tokens", "3,17,42,8,8", HOOKS, "-e",
                                "hook_embed[1] = 0", "--json");
    struct js_node edits = js_get(js_root(d), "edits"), sites = js_get(js_root(d), "sites");
    const char *last = NULL;
    assert_int_equal(js_count(edits), 17); /* two layers, two points, four hooks; then -e */
    assert_int_equal(js_string(js_at(edits, 16), &last, NULL, NULL), 0);
    assert_string_equal(last, "hook_embed[1] = 0");
    assert_int_equal(js_count(sites), 3);
    assert_string_equal(json_string(js_at(sites, 1), "name"), "layer_1_mlp_pre_out");
    js_close(d);
    struct result r = RUN("norms", FOLDER, "--tokens", "3,17", HOOKS);
    assert_int_equal(r.status, 0);
    result_free(&r);
    assert_refused(RUN("export", FOLDER, "--tokens", "3,17", HOOKS, "--to", "nnsight"), 1,
                   "collect at layer_0_mlp_pre_out");
    assert_refused(RUN("run", FOLDER, "--tokens", "3,17", "--taker-params", "x.safetensors"), 2,
                   "--taker-params without --taker");
    assert_refused(RUN("run", FOLDER, "--tokens", "3,17", "--taker", "pre_mlp: masks"), 1,
                   "the nearest is mask");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases),
                                       cmocka_unit_test(test_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
