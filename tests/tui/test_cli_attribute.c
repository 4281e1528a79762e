/* test_cli_attribute.c - attribute through the program: JSON, tables, files, the sweep beside it,
 * what is refused; on the built-in model the heads that a lesson names. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define MODEL "tests/fixtures/models/llama"
#define BASE "3,17,42,8,8,29,3,17,42"
#define CLEAN "3,17,11,8,26,29,44,17,2"
#define METRIC "logit[-1, 5] - 0.5 * logit[-2, 11]"
#define ABOUT "When Mary and John went to the store, John gave a bag to"

/* A nested array of numbers against a tensor, null where there is 0; how many there were. */
static size_t compare(struct js_node n, const float *want, size_t at)
{
    double v = 0;
    if (!js_is_array(n)) {
        if (js_number(n, -INFINITY, INFINITY, &v, NULL)) /* null */
            v = 0;
        assert_true(fabs(v - (double)want[at]) <= 1e-4);
        return at + 1;
    }
    for (size_t i = 0; i < js_count(n); i++)
        at = compare(js_at(n, i), want, at);
    return at;
}

static void test_json(void **state)
{
    (void)state;
    struct checkpoint *st = fixture_file("llama", "attribute.safetensors");
    struct js_doc *d = RUN_JSON("attribute", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN,
                                "--kind", "z", "--metric", METRIC, "--json");
    struct js_node root = js_root(d), axes = js_get(root, "axes");
    const struct st_tensor *t = checkpoint_find(st, "atp.z.from");
    assert_string_equal(json_string(root, "method"), "atp");
    assert_string_equal(json_string(root, "with"), "from(clean)");
    assert_int_equal(js_count(axes), 3);
    assert_string_equal(json_string(js_at(axes, 1), "name"), "pos");
    assert_int_equal(compare(js_get(root, "values"), t->data, 0), t->nbytes / sizeof(float));
    js_close(d);
    d = RUN_JSON("attribute", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN, "--method",
                 "eap-ig", "--steps", "3", "--metric", METRIC, "--json");
    t = checkpoint_find(st, "eap-ig");
    assert_int_equal(compare(js_get(js_root(d), "values"), t->data, 0), t->nbytes / sizeof(float));
    js_close(d);
    d = RUN_JSON("attribute", MODEL, "--tokens", BASE, "--method", "dla", "--kind", "neuron",
                 "--metric", METRIC, "--json");
    root = js_root(d);
    t = checkpoint_find(st, "dla.neuron");
    assert_int_equal(compare(js_get(root, "values"), t->data, 0), t->nbytes / sizeof(float));
    assert_true(fabs(json_number(root, "base") - json_number(root, "sum") -
                     json_number(root, "constant") - json_number(root, "remainder")) < 1e-6);
    js_close(d);
    checkpoint_close(st);
}

/* A clean prompt without its last two tokens: refused; from the end, values where it has tokens,
 * and the sweep beside them is of the same pairs. */
static void test_align(void **state)
{
    (void)state;
    static const char *const shorter = "clean=3,17,11,8,26,29,44";
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--run", shorter, "--metric", METRIC),
                   1, "run clean has 7 tokens, the prompt 9 · --align end or token");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN ",5,6",
                       "--metric", METRIC),
                   1, "run clean has 11 tokens, the prompt 9 · --align end or token");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--align", "middle"), 2,
                   "index, end or token");
    struct js_doc *d = RUN_JSON("attribute", MODEL, "--tokens", BASE, "--run", shorter, "--metric",
                                METRIC, "--align", "end", "--exact", "--json");
    struct js_node root = js_root(d), values = js_get(root, "values"),
                   exact = js_get(root, "exact");
    for (size_t l = 0; l < js_count(values); l++)
        for (size_t p = 0; p < 9; p++) {
            double v, x;
            assert_int_equal(js_number(js_at(js_at(values, l), p), -1e9, 1e9, &v, NULL), 0);
            assert_int_equal(js_number(js_at(js_at(exact, l), p), -1e9, 1e9, &x, NULL), 0);
            assert_true((v == 0) == (p < 2) && (x == 0) == (p < 2));
        }
    js_close(d);
}

/* Succeeds and prints all of these. */
static void shows(struct result r, const char *const *parts)
{
    if (r.status)
        fail_msg("%s", r.err);
    for (; *parts; parts++)
        if (!strstr(r.out, *parts))
            fail_msg("no \"%s\" in\n%s", *parts, r.out);
    assert_printable(r.out, r.out_len);
    result_free(&r);
}
#define SHOWS(r, ...) shows(r, (const char *const[]){__VA_ARGS__, NULL})

/* What the built-in model's own page says: layer 3's head 2 writes the name. */
static void test_builtin(void **state)
{
    (void)state;
    SHOWS(RUN("attribute", "teach", "-p", ABOUT, "--pair", " Mary/ John", "--kind", "z_all_pos",
              "-k", "1"),
          "with zero", "    3     2  -");
    struct js_doc *d = RUN_JSON("attribute", "teach", "-p", ABOUT, "--pair", " Mary/ John", "--run",
                                "clean=When Mary and John went to the store, Mary gave a bag to",
                                "--kind", "resid_post", "--method", "ig", "--exact", "--json");
    assert_true(json_number(js_root(d), "pearson") > 0.8);
    assert_true(json_number(js_root(d), "spearman") > 0.2); /* most cells are 0 in both */
    assert_int_equal(js_count(js_get(js_root(d), "exact")), 4);
    js_close(d);
}

static void test_tables(void **state)
{
    (void)state;
    SHOWS(RUN("attribute", "teach", "-p", ABOUT, "--pair", " Mary/ John", "--method", "dla"),
          "remainder", "3_mlp_out", "logit[-1, \" Mary\"] - logit[-1, \" John\"] = 21.58");
    SHOWS(RUN("attribute", MODEL, "--tokens", BASE, "--method", "eap", "--metric", METRIC, "--tsv"),
          "sender\treceiver\tvalue\n", "a0.h1\ta1.h0<v>\t");
    SHOWS(RUN("attribute", MODEL, "--tokens", BASE, "--method", "grad", "--metric", METRIC, "-k",
              "3"),
          "layer  head  dest");
    struct result r = RUN("attribute", MODEL, "--tokens", BASE, "--metric", METRIC, "--kind",
                          "z_all_pos", "--ansi");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "▀"));
    result_free(&r);
}

static void test_file(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "map.safetensors");
    struct result r = RUN("attribute", MODEL, "--tokens", BASE, "--metric", METRIC, "--method",
                          "eap", "-o", path);
    assert_int_equal(r.status, 0);
    result_free(&r);
    struct checkpoint *st = fixture_tensors(path);
    assert_non_null(checkpoint_find(st, "values"));
    assert_non_null(checkpoint_find(st, "has"));
    assert_non_null(strstr(checkpoint_metadata(st, "labels0"), "\"a0.h1\""));
    checkpoint_close(st);
    free(path);
    folder_remove(folder);
}

/* A set of prompts: mean and error, each with its own answer; the sweep beside it is of the set. */
static void test_prompts(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "prompts.tsv");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("prompt\tclean\tanswer\n" BASE "\t" CLEAN "\t5\n" CLEAN "\t" BASE "\t11\n", f);
    assert_int_equal(fclose(f), 0);
    struct js_doc *d = RUN_JSON("attribute", MODEL, "--prompts", path, "--kind", "z_all_pos",
                                "--metric", "logit[-1, {answer}]", "--exact", "--json");
    struct js_doc *one = RUN_JSON("attribute", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN,
                                  "--kind", "z_all_pos", "--metric", "logit[-1, 5]", "--exact",
                                  "--json");
    struct js_doc *two = RUN_JSON("attribute", MODEL, "--tokens", CLEAN, "--run", "clean=" BASE,
                                  "--kind", "z_all_pos", "--metric", "logit[-1, 11]", "--exact",
                                  "--json");
    static const char *const keys[] = {"values", "exact"};
    struct js_node layers = js_get(js_root(d), "values");
    size_t heads = js_count(js_at(layers, 0)), cells = js_count(layers) * heads;
    assert_true(cells > 4);
    for (size_t i = 0; i < 2 * cells; i++) {
        const char *key = keys[i / cells];
        size_t l = i % cells / heads, h = i % heads;
        double a = json_number_at(js_at(js_get(js_root(one), key), l), h),
               b = json_number_at(js_at(js_get(js_root(two), key), l), h),
               got = json_number_at(js_at(js_get(js_root(d), key), l), h),
               error = json_number_at(js_at(js_get(js_root(d), "errors"), l), h);
        assert_true(fabs(got - (a + b) / 2) < 1e-5);
        assert_true(i >= cells || fabs(error - fabs(a - b) / 2) < 1e-5);
    }
    js_close(d), js_close(one), js_close(two);
    SHOWS(RUN("attribute", MODEL, "--prompts", path, "--kind", "z_all_pos", "--metric",
              "logit[-1, {answer}]"),
          "mean of 2 prompts", "error");
    assert_refused(RUN("attribute", MODEL, "--prompts", path), 2, "--prompts needs --metric");
    assert_refused(RUN("attribute", MODEL, "--prompts", path, "--tokens", BASE, "--metric", METRIC),
                   2, "leave -p and --run out");
    free(path);
    folder_remove(folder);
}

/* Edits with holes, and some of an axis: the fixture's values at those places. */
static void test_cells(void **state)
{
    (void)state;
    struct checkpoint *st = fixture_file("llama", "attribute.safetensors");
    const struct st_tensor *t = checkpoint_find(st, "atp.z.from");
    const float *want = t->data;
    size_t heads = (size_t)t->shape[2], n = (size_t)t->shape[1];
    static const char set[] = "blocks.{layer}.attn.hook_z[{pos}, {head}] = from(clean)";
    struct js_doc *d = RUN_JSON("attribute", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN,
                                "--set", set, "--metric", METRIC, "--json");
    assert_string_equal(json_string(js_root(d), "kind"), set);
    assert_int_equal(compare(js_get(js_root(d), "values"), want, 0), t->nbytes / sizeof(float));
    js_close(d);
    d = RUN_JSON("attribute", MODEL, "--tokens", BASE, "--run", "clean=" CLEAN, "--kind", "z", "-l",
                 "1", "--over", "pos=-1,3", "--metric", METRIC, "--exact", "--json");
    struct js_node root = js_root(d), axes = js_get(root, "axes"), values = js_get(root, "values");
    assert_int_equal(js_count(axes), 2);
    assert_string_equal(json_string(js_at(axes, 0), "name"), "pos");
    assert_int_equal(js_count(js_get(js_at(axes, 0), "labels")), 2);
    assert_int_equal(js_count(js_get(root, "exact")), 2);
    compare(js_at(values, 0), want + (n + n - 1) * heads, 0);
    compare(js_at(values, 1), want + (n + 3) * heads, 0);
    js_close(d);
    checkpoint_close(st);
    SHOWS(RUN("attribute", "teach", "-p", ABOUT, "--pair", " Mary/ John", "--set",
              "blocks.{layer}.hook_resid_post[{at=2,-1}] *= 0.5", "--over", "layer=0,3", "--exact"),
          "layer  at  token", "3      -1   to", "0      2    Mary", "Pearson");
}

static void test_refusals(void **state)
{
    (void)state;
    static const char set[] = "blocks.{layer}.hook_mlp_out = 0";
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--set", set, "--method", "ig"), 2,
                   "ig takes a kind as a whole");
    assert_refused(
        RUN("attribute", MODEL, "--tokens", BASE, "--over", "layer=1", "--method", "dla"), 2,
        "dla takes a kind as a whole");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--set", set, "--kind", "z"), 2,
                   "--kind and --set");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--set", set, "--with", "zero"), 2,
                   "--set says itself");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--kind", "z", "--over", "neuron=1"),
                   1, "nothing here has a hole {neuron}");
    struct result one = RUN("attribute", MODEL, "--tokens", BASE, "--run", "clean=3,17", "--kind",
                            "z", "--metric", METRIC);
    assert_non_null(strstr(one.err, "borescope: run clean has 2 tokens, the prompt 9 · --align"));
    result_free(&one);
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--method", "magic"), 2, "eap-ig");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--steps", "3"), 2, "--steps");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--method", "eap", "--kind", "z"), 2,
                   "one kind");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--method", "dla", "--with", "zero"),
                   2, "--with");
    assert_refused(RUN("attribute", MODEL, "--tokens", BASE, "--metric", "rank[-1, 5]"), 1, "rank");
    assert_refused(
        RUN("attribute", "tests/fixtures/models/bert", "--tokens", BASE, "--method", "dla"), 1,
        "no sum");
}

/* Above a table stand the first edits, and of a long one its beginning. */
static void test_many_edits(void **state)
{
    (void)state;
    const char *args[64] = {"loss", MODEL, "--tokens", BASE};
    int n = 4;
    char sets[600];
    size_t at = (size_t)snprintf(sets, sizeof sets, "blocks.0.mlp.hook_post[:, {0");
    for (int i = 1; at + 12 < sizeof sets; i = (i + 2) % 20)
        at += (size_t)snprintf(sets + at, sizeof sets - at, ",%d", i);
    snprintf(sets + at, sizeof sets - at, "}] = 0");
    for (int i = 0; i < 18; i++)
        args[n++] = "-e", args[n++] = i ? "blocks.0.mlp.hook_post[:, 1] = 0" : sets;
    struct result r = command_run(NULL, args);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "…\n# edit: blocks.0.mlp.hook_post[:, 1] = 0\n"));
    assert_non_null(strstr(r.out, "# 2 edits more\n"));
    result_free(&r);
}

/* KL is flat where nothing is edited: told, and not where it is otherwise. */
static void test_flat(void **state)
{
    (void)state;
    struct result r = RUN("attribute", MODEL, "--tokens", BASE, "--metric", "kl[-1]");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "all is 0 to first order"));
    result_free(&r);
    r = RUN("attribute", MODEL, "--tokens", BASE, "--metric", "kl[-1]", "--method", "ig");
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.err, "first order"));
    result_free(&r);
    r = RUN("attribute", MODEL, "--tokens", BASE, "--metric", "kl[-1]", "-e", "hook_embed *= 0.5");
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.err, "first order"));
    result_free(&r);
    r = RUN("attribute", MODEL, "--tokens", BASE, "--metric", " 2 * kl[-1]");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "all is 0 to first order"));
    result_free(&r);
    r = RUN("attribute", MODEL, "--tokens", BASE, "--metric", "kl[-1] + logit[-1, 5]");
    assert_int_equal(r.status, 0);
    assert_null(strstr(r.err, "first order"));
    result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),       cmocka_unit_test(test_builtin),
        cmocka_unit_test(test_tables),     cmocka_unit_test(test_file),
        cmocka_unit_test(test_align),      cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_cells),      cmocka_unit_test(test_flat),
        cmocka_unit_test(test_many_edits), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
