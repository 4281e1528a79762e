/* test_cli_check.c - `borescope check`: sound models pass, and a broken one is told where it
 * breaks.
 */
#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "measure/check.h"

#define MODELS "tests/fixtures/models/"
#define GPT2 MODELS "gpt2"

static void identities_hold(const struct fixture *f, const char *path, const char *const input[2])
{
    struct js_doc *doc = RUN_JSON("check", path, input[0], input[1], "--json");
    struct js_node checks = js_get(js_root(doc), "checks");
    const struct config *cfg = &f->m->cfg;
    int places = cfg->norm_place == NORM_BOTH ? 0 : 2; /* norms after attention and MLP too */
    /* a sum of embeddings, a final norm, causality */
    places += cfg->bidirectional                 ? (cfg->embed_norm ? 3 : 1)
              : cfg->norm_place == NORM_RESIDUAL ? 1
                                                 : 0;
    bool one = cfg->n_layers == 1, /* do not apply there */
        by_length = rope_length(cfg, (f->n + 1) / 2) != rope_length(cfg, f->n);
    assert_int_equal(js_count(checks), CHECK_COUNT - one - by_length - places);
    for (size_t i = 0; i < js_count(checks); i++)
        assert_true(json_bool(js_at(checks, i), "holds"));
    js_close(doc);
}

static void sound_models_pass_the_check(void **state)
{
    (void)state;
    on_every_model(identities_hold);
    struct result r = RUN("check", GPT2); /* a prompt of its own */
    assert_int_equal(r.status, 0);
    result_free(&r);
}

/* What the backend did stands under the identities, and the same in JSON. */
static void operations_are_counted(void **state)
{
    (void)state;
    struct result r = RUN("check", GPT2, "--backend", "trace:cpu");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "difference"));
    assert_non_null(strstr(r.out, "attn_scores"));
    result_free(&r);
    struct js_doc *doc = RUN_JSON("check", GPT2, "--backend", "trace:cpu", "--json");
    struct js_node list = js_get(js_root(doc), "operations");
    assert_true(js_count(list) > 10);
    for (size_t i = 0; i < js_count(list); i++)
        assert_true(json_int(js_at(list, i), "calls") > 0);
    js_close(doc);
    doc = RUN_JSON("check", GPT2, "--json");
    assert_int_equal(js_count(js_get(js_root(doc), "operations")), 0);
    js_close(doc);
}

static void the_first_hook_with_a_nan_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *tensor, *hook;
        int layer;
    } cases[] = {{"transformer.ln_f.weight", "unembed.hook_in", -1},
                 {"transformer.h.1.mlp.c_fc.bias", "blocks.1.mlp.hook_pre", 1}};
    char *folder = folder_make(), *model = folder_path(folder, "model.safetensors"),
         *config = folder_path(folder, "config.json");
    size_t len;
    char *text = file_read(GPT2 "/config.json", &len);
    FILE *f = fopen(config, "wb");
    assert_true(f && fwrite(text, 1, len, f) == len && !fclose(f));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture_spoil(GPT2 "/model.safetensors", model, cases[i].tensor);
        struct result r = RUN("check", folder, "--tokens", "1,2,3", "--json");
        assert_int_equal(r.status, 1);
        struct js_doc *doc = js_parse("check", r.out, r.out_len, NULL);
        struct js_node check = js_at(js_get(js_root(doc), "checks"), 0);
        assert_false(json_bool(check, "holds"));
        assert_string_equal(json_string(check, "hook"), cases[i].hook);
        if (cases[i].layer >= 0)
            assert_int_equal(json_int(check, "layer"), cases[i].layer);
        js_close(doc);
        result_free(&r);
        r = RUN("check", folder, "--tokens", "1,2,3");
        assert_non_null(strstr(r.out, cases[i].hook));
        result_free(&r);
    }
    free(text), free(model), free(config);
    folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_models_pass_the_check),
        cmocka_unit_test(operations_are_counted),
        cmocka_unit_test(the_first_hook_with_a_nan_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
