/* test_cli_names.c - `hooks --names`, `name`, and names of other libraries wherever a hook name is
 * taken. */
#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"
#include "model/arch.h"

#define GPT2 "tests/fixtures/models/gpt2"
#define LLAMA "tests/fixtures/models/llama"
#define TOKENS "3,17,42,8,8,29,3,17,42"

static bool has_string(struct js_node array, const char *want)
{
    const char *s;
    for (size_t i = 0; i < js_count(array); i++)
        if (!js_string(js_at(array, i), &s, NULL, NULL) && !strcmp(s, want))
            return true;
    return false;
}

static struct js_node hook_named(struct js_doc *doc, const char *name)
{
    for (size_t i = 0; i < js_count(js_root(doc)); i++)
        if (!strcmp(json_string(js_at(js_root(doc), i), "name"), name))
            return js_at(js_root(doc), i);
    fail_msg("no %s", name);
    return js_root(doc);
}

static void hooks_add_the_names(void **state)
{
    (void)state;
    struct js_doc *doc = RUN_JSON("hooks", GPT2, "--names", "all", "--json");
    struct js_node names = js_get(hook_named(doc, "blocks.2.attn.hook_z"), "names");
    assert_true(has_string(js_get(names, "bridge"), "blocks.2.attn.o.hook_in"));
    assert_true(has_string(js_get(names, "hf"), "transformer.h.2.attn.c_proj.input"));
    assert_true(has_string(js_get(names, "nnsight"), "model.transformer.h[2].attn.c_proj.input"));
    assert_true(has_string(js_get(names, "taker"), "layer_2_attn_pre_out"));
    struct js_node out = hook_named(
        doc, "blocks.0.ln1.hook_out"); /* no TransformerLens name: listed only here */
    assert_true(json_bool(out, "fires"));
    assert_false(js_is_set(js_get(out, "needs")));
    js_close(doc);

    doc = RUN_JSON("hooks", LLAMA, "--names", "hf", "--filter",
                   "model.layers.1.self_attn.?_proj.output", "--json");
    assert_int_equal(js_count(js_root(doc)), 4); /* q, k, v and o */
    assert_int_equal(js_count(js_get(js_at(js_root(doc), 0), "names")), 1);
    js_close(doc);
    assert_refused(RUN("hooks", GPT2, "--names", "pyvene"), 2, "all, bridge, hf, nnsight or taker");
}

static void name_says_what_it_is(void **state)
{
    (void)state;
    struct js_doc *doc = RUN_JSON("name", GPT2, "model.transformer.h[1].attn.c_attn.output",
                                  "--json");
    assert_string_equal(json_string(js_root(doc), "library"), "nnsight");
    assert_true(json_number_at(js_get(js_root(doc), "shape"), 2) == 45.0);
    assert_true(has_string(js_get(js_root(doc), "sites"), "blocks.1.attn.hook_v"));
    assert_true(json_bool(js_root(doc), "editable"));
    assert_true(has_string(js_get(js_get(js_root(doc), "names"), "hf"),
                           "transformer.h.1.attn.c_attn.output"));
    js_close(doc);
    doc = RUN_JSON("name", LLAMA, "blocks.1.ln2.hook_out", "--tokens", "1,2,3", "--json");
    assert_true(json_number_at(js_get(js_root(doc), "shape"), 1) == 3.0);
    assert_false(has_string(js_get(js_root(doc), "read_only"), "model.layers.1.mlp.input"));
    js_close(doc);
    doc = RUN_JSON("name", LLAMA, "rotary_emb.hook_cos", "--json");
    assert_true(
        has_string(js_get(js_get(js_root(doc), "names"), "hf"), "model.rotary_emb.output[0]"));
    js_close(doc);
    doc = RUN_JSON("name", LLAMA, "model.layers.1.mlp.act_fn.output", "--json");
    assert_true(has_string(js_get(js_root(doc), "sites"), "blocks.1.mlp.act.hook_out"));
    assert_true(json_bool(js_root(doc), "editable"));
    js_close(doc);
    struct result r = RUN("name", LLAMA, "blocks.1.attn.hook_rot_q");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "(rotated inside the attention function: no module)"));
    result_free(&r);
    assert_refused(RUN("name", GPT2, "transformer.h.0.attn.c_atn.output"), 1,
                   "nearest is transformer.h.0.attn.c_attn.output");
}

/* The architectures whose modules have the names of that one's, "llama, mistral". */
static const char *same_modules_as(const char *type, char *buf, size_t size)
{
    const struct alias_row *names = NULL;
    size_t n = 0;
    for (const struct arch *const *a = arch_table; *a; a++)
        names = strcmp((*a)->model_type, type) ? names : (*a)->names;
    for (const struct arch *const *a = arch_table; *a; a++)
        if ((*a)->names == names)
            n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", (*a)->model_type);
    return buf;
}

/* Tables of names of architectures whose usual model has a site. */
static size_t tables_with(enum site_id id)
{
    size_t n = 0;
    for (int i = 0; arch_table[i]; i++) {
        struct config c;
        struct err e = {0};
        assert_int_equal(config_usual(&c, arch_table[i], 2, &e), 0);
        bool first = site_exists(&c, id);
        for (int k = 0; k < i; k++)
            first = first && arch_table[k]->names != arch_table[i]->names;
        n += first;
    }
    return n;
}

/* Without a model: every architecture's names, sizes as words. */
static void name_needs_no_model(void **state)
{
    (void)state;
    struct js_doc *doc = RUN_JSON("name", "blocks.70.hook_resid_mid", "--json");
    assert_int_equal(js_count(js_root(doc)), tables_with(SITE_RESID_MID));
    assert_true(has_string(js_get(js_get(js_at(js_root(doc), 0), "names"), "hf"),
                           "transformer.h.70.ln_2.input"));
    char llamas[256];
    same_modules_as("llama", llamas, sizeof llamas);
    size_t at = 0;
    while (at < js_count(js_root(doc)) &&
           strcmp(json_string(js_at(js_root(doc), at), "architectures"), llamas))
        at++;
    assert_true(has_string(js_get(js_at(js_root(doc), at), "shape"), "d_model"));
    js_close(doc);
    struct result r = RUN("name", "transformer.h.3.attn.c_attn.output");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "[batch, pos, qkv*head*d_head]"));
    assert_non_null(strstr(r.out, "no hook \"transformer.h.3.attn.c_attn.output\""));
    result_free(&r);
    assert_refused(RUN("name", "gpt_neox.layers.3.attention.query_key_valu.output"), 1,
                   "nearest is gpt_neox.layers.3.attention.query_key_value.output");
    assert_refused(RUN("name"), 2, "borescope name [MODEL] HOOK");
}

static struct checkpoint *captured(const char *model, const char *out, const char *const *globs,
                                   int n, const char *grad)
{
    const char *args[80] = {"run", model, "--tokens", TOKENS, "-o", out};
    int at = 6;
    for (int i = 0; i < n; i++) {
        args[at++] = "-c";
        args[at++] = globs[i];
    }
    if (grad) {
        args[at++] = "--grad";
        args[at++] = grad;
    }
    args[at] = NULL;
    struct result r = command_run(NULL, args);
    if (r.status)
        fail_msg("%s", r.err);
    result_free(&r);
    return fixture_tensors(out);
}

/* Every tensor of a layer's modules, captured by its own name, is the recorded one in name, shape
 * and values. */
static void run_captures_by_any_name(void **state)
{
    (void)state;
    static const char *const globs[] = {
        "transformer.h.1.*", "model.transformer.h[0].attn.c_attn.output", "layer_1_mlp_pre_out",
        "blocks.1.attn.o.hook_in", "blocks.1.hook_mlp_out"};
    char *folder = folder_make(), *path = folder_path(folder, "a.safetensors");
    struct checkpoint *st = captured(GPT2, path, globs, 5, NULL),
                      *hf = fixture_file("gpt2", "hf.safetensors");
    struct checkpoint *cache = fixture_file("gpt2", "cache.safetensors");
    struct js_doc *shows = fixture_json(hf, "shows");
    int n_compared = 0;
    for (size_t i = 0; i < checkpoint_count(st); i++) {
        const struct st_tensor *t = checkpoint_at(st, i);
        struct js_node shown = js_get(js_root(shows), t->name);
        const char *stored;
        if (!js_is_set(shown))
            continue;
        assert_int_equal(js_string(js_at(shown, 0), &stored, NULL, NULL), 0);
        const struct st_tensor *want = checkpoint_find(hf, stored);
        want = want ? want : checkpoint_find(cache, stored);
        assert_int_equal(js_count(js_at(shown, 1)), t->rank);
        for (int k = 0; k < t->rank; k++)
            assert_true(json_number_at(js_at(shown, 1), (size_t)k) == (double)t->shape[k]);
        assert_true(fixture_error(t->data, want->data, t->nbytes / sizeof(float)) <= 1e-5);
        n_compared++;
    }
    assert_true(n_compared >= 25);
    assert_non_null(checkpoint_find(st, "model.transformer.h[0].attn.c_attn.output"));
    assert_non_null(checkpoint_find(st, "layer_1_mlp_pre_out"));
    assert_non_null(checkpoint_find(st, "blocks.1.hook_mlp_out"));
    js_close(shows);
    checkpoint_close(st), checkpoint_close(hf), checkpoint_close(cache);
    folder_remove(folder);
    free(path);
}

/* A pattern means TransformerLens' names where it matches any; the others' where it does not, or
 * where one is typed out. */
static void patterns_mean_the_own_names_first(void **state)
{
    (void)state;
    static const char *const globs[] = {"*_input"};
    char *folder = folder_make(), *path = folder_path(folder, "a.safetensors");
    struct checkpoint *st = captured(GPT2, path, globs, 1, NULL);
    assert_int_equal(checkpoint_count(st), 9 + 1); /* and logits */
    assert_non_null(checkpoint_find(st, "blocks.0.hook_q_input"));
    checkpoint_close(st);
    folder_remove(folder);
    free(path);
    static const struct {
        const char *filter, *first;
        size_t n;
    } rows[] = {
        {"*_input", "blocks.0.hook_q_input", 9},
        {"*hook_in", "unembed.hook_in", 1}, /* not the bridge's 30 */
        {"blocks.2.attn.hook_q_inpu?", "blocks.2.hook_q_input", 1},
        {"blocks.2.attn.hook_q_input", "blocks.2.hook_q_input", 1},
        {"transformer.h.1.attn.c_attn.output", "blocks.1.attn.hook_q", 3},
        {"model.transformer.h[1].mlp.output", "blocks.1.hook_mlp_out", 1},
        {"transformer.h.*.mlp.c_fc.output", "blocks.0.mlp.hook_pre", 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct js_doc *doc = RUN_JSON("hooks", GPT2, "--filter", rows[i].filter, "--json");
        if (js_count(js_root(doc)) != rows[i].n ||
            strcmp(json_string(js_at(js_root(doc), 0), "name"), rows[i].first) != 0)
            fail_msg("%s: %zu hooks from %s", rows[i].filter, js_count(js_root(doc)),
                     json_string(js_at(js_root(doc), 0), "name"));
        js_close(doc);
    }
}

static const float *values(const struct checkpoint *st, const char *name)
{
    const struct st_tensor *t = checkpoint_find(st, name);
    if (!t)
        fail_msg("no %s", name);
    return t->data;
}

/* q | k | v one after the other; the residual stream's gradient is that of the norm's input and
 * that of the way round it. */
static void gradients_by_any_name(void **state)
{
    (void)state;
    static const char *const globs[] = {"transformer.h.1.attn.c_attn.output",
                                        "blocks.1.attn.hook_{q,k,v}", "transformer.h.1.ln_1.input",
                                        "blocks.1.hook_resid_{pre,mid}"};
    enum { N = 9, D = 15 };
    char *folder = folder_make(), *path = folder_path(folder, "g.safetensors");
    struct checkpoint *st = captured(GPT2, path, globs, 4, "logit[-1, 7] - logit[-1, 19]");
    const float *joined = values(st, "transformer.h.1.attn.c_attn.output_grad"),
                *norm = values(st, "transformer.h.1.ln_1.input_grad");
    const float *pre = values(st, "blocks.1.hook_resid_pre_grad"),
                *mid = values(st, "blocks.1.hook_resid_mid_grad");
    static const char *const part[] = {"blocks.1.attn.hook_q_grad", "blocks.1.attn.hook_k_grad",
                                       "blocks.1.attn.hook_v_grad"};
    double worst = 0, largest = 0;
    for (int p = 0; p < N; p++)
        for (int k = 0; k < D; k++) {
            for (int i = 0; i < 3; i++)
                assert_true(joined[p * 3 * D + i * D + k] == values(st, part[i])[p * D + k]);
            worst = fmax(worst, fabs((double)norm[p * D + k] + mid[p * D + k] - pre[p * D + k]));
            largest = fmax(largest, fabs((double)norm[p * D + k]));
        }
    assert_true(largest > 0.01);
    assert_true(worst <= 1e-5 * largest);
    checkpoint_close(st);
    folder_remove(folder);
    free(path);
    assert_refused(RUN("run", GPT2, "--tokens", TOKENS, "-c", "transformer.h.1.attn.output[1]",
                       "--grad", "loss"),
                   1, "no gradient for transformer.h.1.attn.output[1]");
}

static void norms_and_edits_by_any_name(void **state)
{
    (void)state;
    struct js_doc *a = RUN_JSON("norms", LLAMA, "--tokens", TOKENS, "--what",
                                "model.layers.*.mlp.output", "--json");
    struct js_doc *b = RUN_JSON("norms", LLAMA, "--tokens", TOKENS, "--what",
                                "blocks.*.hook_mlp_out", "--json");
    for (size_t l = 0; l < 2; l++) {
        struct js_node x = js_at(js_get(js_root(a), "sites"), l),
                       y = js_at(js_get(js_root(b), "sites"), l);
        for (size_t p = 0; p < 9; p++)
            assert_true(json_number_at(js_get(x, "norms"), p) ==
                        json_number_at(js_get(y, "norms"), p));
    }
    js_close(a), js_close(b);
    a = RUN_JSON("run", LLAMA, "--tokens", TOKENS, "-e",
                 "model.model.layers[1].self_attn.o_proj.input[-1, 4:8] = 0", "--json");
    b = RUN_JSON("run", LLAMA, "--tokens", TOKENS, "-e", "blocks.1.attn.hook_z[-1, 1] = 0",
                 "--json");
    double kl = json_number(js_get(js_root(a), "edited"), "kl");
    assert_true(kl > 0 && kl == json_number(js_get(js_root(b), "edited"), "kl"));
    js_close(a), js_close(b);
    assert_refused(RUN("run", LLAMA, "--tokens", TOKENS, "-e", "model.rotary_emb.input = 0"), 1,
                   "cannot be edited");
    assert_refused(RUN("run", LLAMA, "--tokens", TOKENS, "-c", "model.layers.{0..4}.output"), 1,
                   "no layer 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_add_the_names),
        cmocka_unit_test(name_says_what_it_is),
        cmocka_unit_test(name_needs_no_model),
        cmocka_unit_test(run_captures_by_any_name),
        cmocka_unit_test(patterns_mean_the_own_names_first),
        cmocka_unit_test(gradients_by_any_name),
        cmocka_unit_test(norms_and_edits_by_any_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
