/* test_cli_weights.c - `borescope weights` and `borescope composition` as their users see them; the
 * numbers are tested in tests/engine/test_named_weight.c and test_circuit.c. */
#include "command.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL "tests/fixtures/models/gpt2"

/* A folder with config.json alone. */
static char *bare_folder(void)
{
    char *folder = folder_make(), *path = folder_path(folder, "config.json");
    size_t len;
    char *config = file_read(MODEL "/config.json", &len);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(config, 1, len, f), len);
    fclose(f);
    free(config);
    free(path);
    return folder;
}

static void lists_read_no_weight(void **state)
{
    (void)state;
    static const char *const whose[] = {NULL, "hf", "nnsight", "taker", "all"};
    char *folder = bare_folder();
    for (int i = 0; i < 5; i++) {
        struct result bare = i ? RUN("weights", folder, "--tsv", "--names", whose[i])
                               : RUN("weights", folder, "--tsv");
        struct result full = i ? RUN("weights", MODEL, "--tsv", "--names", whose[i])
                               : RUN("weights", MODEL, "--tsv");
        assert_int_equal(bare.status, 0);
        assert_string_equal(bare.out, full.out);
        result_free(&bare);
        result_free(&full);
    }
    assert_refused(RUN("weights", folder, "--stats"), 1, "safetensors");
    folder_remove(folder);
    struct js_doc *d = RUN_JSON("weights", MODEL, "--filter", "*.attn.W_O", "--json");
    assert_int_equal(js_count(js_root(d)), 3);
    struct js_node one = js_at(js_root(d), 0), shape = js_get(one, "shape");
    assert_string_equal(json_string(one, "name"), "blocks.0.attn.W_O");
    assert_string_equal(json_string(one, "library"), "transformer_lens");
    assert_true(json_number_at(shape, 0) == 3 && json_number_at(shape, 1) == 5 &&
                json_number_at(shape, 2) == 15);
    js_close(d);
    d = RUN_JSON("weights", MODEL, "--names", "hf", "--filter", "transformer.h.1.attn.c_attn.*",
                 "--stats", "--json");
    assert_int_equal(js_count(js_root(d)), 2);
    assert_true(json_number(js_at(js_root(d), 0), "std") > 0.1);
    js_close(d);
}

/* What all experts of a layer have alike is one line for people; machines and edits of one expert
 * see each. */
static void experts_are_one_line(void **state)
{
    (void)state;
    static const char mixture[] = "tests/fixtures/models/mixtral",
                      in[] = "blocks.1.mlp.experts.{0..4}.W_in ", one[] = "experts.3.W_in ",
                      pre[] = "blocks.0.mlp.experts.{0..4}.hook_pre ";
    struct result r = RUN("weights", mixture);
    assert_true(strstr(r.out, in) && !strstr(r.out, one));
    result_free(&r);
    r = RUN("weights", mixture, "--filter", "*.W_in", "-e", "blocks.1.mlp.experts.3.W_in *= 2");
    assert_true(!strstr(r.out, in) && strstr(r.out, one) && strstr(r.out, "experts.{0..2}.W_in "));
    result_free(&r);
    r = RUN("weights", mixture, "--tsv");
    assert_true(!strstr(r.out, "{0..4}") && strstr(r.out, "experts.3.W_in\t"));
    result_free(&r);
    r = RUN("hooks", mixture);
    assert_true(strstr(r.out, pre) && !strstr(r.out, "experts.3."));
    result_free(&r);
    r = RUN("hooks", mixture, "--filter", "*.experts.{0..4}.hook_pre", "-e",
            "blocks.0.mlp.experts.3.hook_post = 0");
    assert_true(strstr(r.out, pre) != NULL);
    result_free(&r);
    struct js_doc *d = RUN_JSON("hooks", mixture, "--filter", "*.experts.{0..4}.hook_pre",
                                "--json");
    assert_int_equal(js_count(js_root(d)), 2 * 5);
    js_close(d);
    d = RUN_JSON("info", mixture, "--json");
    assert_true(json_number(js_root(d), "experts") == 5 &&
                json_number(js_root(d), "experts_per_token") == 2 &&
                json_number(js_root(d), "active_parameters") <
                    json_number(js_root(d), "parameters") &&
                !js_is_set(js_get(js_root(d), "d_mlp")));
    js_close(d);
    d = RUN_JSON("info", MODEL, "--json");
    assert_true(!js_is_set(js_get(js_root(d), "experts")) &&
                json_number(js_root(d), "active_parameters") ==
                    json_number(js_root(d), "parameters"));
    js_close(d);
}

/* The same elements through different names. */
static void values_by_any_name(void **state)
{
    (void)state;
    struct js_doc *l = RUN_JSON("weights", MODEL, "blocks.1.attn.W_K[2, :, {0,3}]", "--json");
    struct js_doc *h = RUN_JSON("weights", MODEL, "transformer.h.1.attn.c_attn.weight[:, 25:29:3]",
                                "--json");
    struct js_doc *t = RUN_JSON("weights", MODEL, "layers[1].attn.W_K[-1, {0,3}]", "--json");
    struct js_node x = js_get(js_root(l), "values"), y = js_get(js_root(h), "values"),
                   z = js_get(js_root(t), "values");
    assert_int_equal(js_count(x), 15);
    assert_int_equal(js_count(z), 2);
    for (size_t i = 0; i < 15; i++)
        for (size_t k = 0; k < 2; k++) {
            double v = json_number_at(js_at(x, i), k);
            assert_true(v == json_number_at(js_at(y, i), k) && v == json_number_at(js_at(z, k), i));
        }
    js_close(l);
    js_close(h);
    js_close(t);
    struct result r = RUN("weights", MODEL, "blocks.0.mlp.W_in"),
                  all = RUN("weights", MODEL, "blocks.0.mlp.W_in", "--tsv");
    assert_non_null(strstr(r.out, "15 of 15 rows, 8 of 60 columns"));
    assert_null(strstr(all.out, "#"));
    int lines = 0;
    for (const char *p = all.out; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 16);
    result_free(&r);
    result_free(&all);
}

static void files_hold_slices(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "w.safetensors");
    struct result r = RUN("weights", MODEL, "blocks.0.attn.W_Q[1, :, 2]", "-o", path);
    assert_int_equal(r.status, 0);
    result_free(&r);
    size_t len;
    char *file = file_read(path, &len);
    assert_non_null(strstr(file + 8, "\"shape\":[15]"));
    assert_non_null(strstr(file + 8, "blocks.0.attn.W_Q"));
    free(file);
    r = RUN("weights", MODEL, "blocks.0.mlp.b_in", "-e", "blocks.0.mlp.b_in = 0.5", "-o", path);
    assert_int_equal(r.status, 0);
    result_free(&r);
    file = file_read(path, &len);
    assert_non_null(strstr(file + 8, "[\\\"blocks.0.mlp.b_in = 0.5\\\"]"));
    float last;
    memcpy(&last, file + len - sizeof last, sizeof last);
    assert_true(last == 0.5f);
    free(file);
    free(path);
    folder_remove(folder);
}

/* Edits of weights act on everything that `weights` and `composition` show, and rows say which;
 * `hooks` marks where they act. */
static void edits_act(void **state)
{
    (void)state;
    static const char edit[] = "blocks.1.attn.W_O[2] = 0";
    struct js_doc *d = RUN_JSON("weights", MODEL, "blocks.1.attn.W_O[1:, 0, :2]", "-e", edit,
                                "--json");
    struct js_node v = js_get(js_root(d), "values");
    assert_true(json_number_at(js_at(v, 0), 1) != 0 && json_number_at(js_at(v, 1), 1) == 0);
    js_close(d);
    d = RUN_JSON("weights", MODEL, "transformer.h.1.attn.c_proj.weight[10:]", "-e", edit, "-e",
                 "blocks.0.ln1.w *= 2", "--json");
    assert_int_equal(js_count(js_get(js_root(d), "edits")), 1);
    assert_true(json_number_at(js_at(js_get(js_root(d), "values"), 0), 0) == 0);
    js_close(d);
    d = RUN_JSON("weights", MODEL, "--svd", "-l", "1", "-H", "2", "-e", edit, "--json");
    assert_true(json_number(js_at(js_root(d), 0), "norm") > 0 &&
                json_number(js_at(js_root(d), 1), "norm") == 0);
    js_close(d);
    d = RUN_JSON("composition", MODEL, "--kind", "K", "-e", "blocks.1.attn.W_K = 0", "-e",
                 "blocks.2.attn.W_K[0] = 0", "--json");
    struct js_node from = js_at(js_at(js_get(js_at(js_root(d), 0), "scores"), 0), 0); /* L0H0 */
    assert_false(js_is_set(js_at(js_at(from, 1), 0)));                                /* 0 / 0 */
    assert_false(js_is_set(js_at(js_at(from, 2), 0)));
    assert_true(json_number_at(js_at(from, 2), 1) > 0);
    js_close(d);
    struct result r = RUN("weights", MODEL, "--names", "hf", "--filter", "*.h.1.*c_proj*", "-e",
                          edit, "-e", "blocks.1.attn.b_O += 1");
    assert_non_null(strstr(r.out, "# edit: blocks.1.attn.W_O[2] = 0\n"));
    assert_non_null(strstr(r.out, "[head*d_head, d_model]  *1\n"));
    assert_non_null(strstr(r.out, "[d_model]               *2\n"));
    result_free(&r);
    r = RUN("hooks", MODEL, "--filter", "*.1.*", "-e", edit, "-e", "blocks.1.ln1.b += 1", "-e",
            "blocks.*.hook_attn_out[2] = 0", "--tsv");
    assert_non_null(strstr(
        r.out, "blocks.1.attn.hook_result\t[batch, pos, 3, 15]\tf32\tno\tuse_attn_result\t*1\n"));
    assert_non_null(strstr(r.out, "blocks.1.hook_attn_out\t[batch, pos, 15]\tf32\tyes\t\t*1 *3\n"));
    assert_non_null(strstr(
        r.out, "blocks.1.ln1.hook_out\t[batch, pos, 15]\tf32\tyes\t\t*2\n")); /* listed because it
                                                                                 is marked */
    assert_null(strstr(r.out, "blocks.1.ln2.hook_out"));
    result_free(&r);
    assert_refused(RUN("weights", MODEL, "-e", "blocks.1.attn.hook_z[40] = 0"), 1,
                   "changes no weight");
    assert_refused(RUN("weights", MODEL, "-e", "blocks.1.attn.W_QQ = 0"), 1, "blocks.1.attn.W_Q");
    assert_refused(RUN("hooks", MODEL, "-e", "blocks.1.attn.hook_y = 0"), 1, "edit 1");
}

/* A row of W_U is said by its own token most where it is long enough; the sign of a singular pair
 * is free, the tokens must be of the vocabulary. */
static void directions_as_tokens(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("weights", "teach", "blocks.2.mlp.W_out[3:5]", "--as-tokens", "-k",
                                "2", "--json");
    struct js_node list = js_get(js_root(d), "directions");
    assert_string_equal(json_string(js_root(d), "through"), "unembedding");
    assert_int_equal(js_count(list), 2);
    assert_string_equal(json_string(js_at(list, 0), "index"), "3, :");
    struct js_node most = js_get(js_at(list, 0), "most"), least = js_get(js_at(list, 0), "least");
    assert_int_equal(js_count(most), 2);
    assert_true(json_number(js_at(most, 0), "value") >= json_number(js_at(most, 1), "value"));
    assert_true(json_number(js_at(least, 0), "value") <= json_number(js_at(least, 1), "value"));
    js_close(d);
    d = RUN_JSON("weights", "teach", "W_E[17]", "--as-tokens", "-k", "1",
                 "--json"); /* the embedding is tied: a token says itself */
    assert_int_equal(
        json_int(js_at(js_get(js_at(js_get(js_root(d), "directions"), 0), "most"), 0), "id"), 17);
    js_close(d);
    d = RUN_JSON("weights", "teach", "W_U[:, 17]", "--as-tokens", "-k", "1", "--json");
    assert_string_equal(json_string(js_root(d), "through"), "embedding");
    assert_int_equal(
        json_int(js_at(js_get(js_at(js_get(js_root(d), "directions"), 0), "most"), 0), "id"), 17);
    js_close(d);
    struct result r = RUN("weights", "teach", "--svd", "-l", "1", "-H", "2", "--as-tokens", "--tsv",
                          "-k", "2");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "\tquery\t"));
    assert_non_null(strstr(r.out, "\toutput\t"));
    assert_null(strstr(r.out, "L1H3"));
    result_free(&r);
}

static void circuits_of_heads(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("weights", MODEL, "--svd", "-l", "2", "-H", "1", "--json");
    struct js_node ov = js_at(js_root(d), 1), s = js_get(ov, "singular_values"),
                   left = js_get(ov, "left");
    assert_int_equal(js_count(js_root(d)), 2);
    assert_string_equal(json_string(ov, "product"), "OV");
    assert_int_equal(js_count(s), 5);
    assert_int_equal(js_count(left), 5);
    double norm = 0, length = 0;
    for (size_t i = 0; i < 5; i++)
        norm += json_number_at(s, i) * json_number_at(s, i);
    for (size_t i = 0; i < 15; i++)
        length += json_number_at(js_at(left, 2), i) * json_number_at(js_at(left, 2), i);
    assert_true(fabs(sqrt(norm) - json_number(ov, "norm")) < 1e-5 && fabs(length - 1) < 1e-5);
    js_close(d);
    d = RUN_JSON("weights", MODEL, "--eigenvalues", "-l", "0", "--json");
    assert_int_equal(js_count(js_root(d)), 9);
    struct js_node full = js_at(js_root(d), 2), e = js_get(full, "eigenvalues");
    assert_string_equal(json_string(full, "product"), "W_E OV W_U");
    double sum = 0, size = 0;
    for (size_t i = 0; i < js_count(e); i++) {
        double re = json_number_at(js_at(e, i), 0), im = json_number_at(js_at(e, i), 1);
        sum += re, size += hypot(re, im);
    }
    assert_true(fabs(sum / size - json_number(full, "score")) < 1e-9);
    js_close(d);
    struct result r = RUN("weights", MODEL, "--svd", "--tsv", "-k", "5");
    assert_non_null(strstr(r.out, "L2H2\tOV\t"));
    result_free(&r);
}

/* A token through a head, by hand from the weights: what it looks for, and what is said when it is
 * looked at. */
static void token_through_heads(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("weights", MODEL, "--target", "7", "-l", "1", "-H", "2", "-k", "3",
                                "--json");
    struct js_doc *e = RUN_JSON("weights", MODEL, "W_E[7]", "--json"),
                  *all = RUN_JSON("weights", MODEL, "W_E", "--json");
    struct js_doc *q = RUN_JSON("weights", MODEL, "blocks.1.attn.W_Q[2]", "--json"),
                  *k = RUN_JSON("weights", MODEL, "blocks.1.attn.W_K[2]", "--json");
    assert_int_equal(js_count(js_root(d)), 3);
    struct js_node row = js_at(js_root(d), 0), best = js_at(js_get(row, "most"), 0);
    assert_string_equal(json_string(row, "side"), "looks for");
    assert_string_equal(json_string(js_at(js_root(d), 1), "side"), "is looked for by");
    assert_string_equal(json_string(js_at(js_root(d), 2), "side"), "says");
    double score = 0;
    struct js_node key = js_at(js_get(js_root(all), "values"), (size_t)json_int(best, "id"));
    for (size_t i = 0; i < 5; i++) {
        double a = 0, b = 0;
        for (size_t x = 0; x < 15; x++) {
            a += json_number_at(js_get(js_root(e), "values"), x) *
                 json_number_at(js_at(js_get(js_root(q), "values"), x), i);
            b += json_number_at(key, x) * json_number_at(js_at(js_get(js_root(k), "values"), x), i);
        }
        score += a * b;
    }
    assert_true(fabs(score - json_number(best, "value")) < 1e-4);
    js_close(all), js_close(q), js_close(k);
    best = js_at(js_get(js_at(js_root(d), 2), "most"), 0);
    char column[32];
    snprintf(column, sizeof column, "W_U[:, %d]", (int)json_int(best, "id"));
    struct js_doc *v = RUN_JSON("weights", MODEL, "blocks.1.attn.W_V[2]", "--json"),
                  *o = RUN_JSON("weights", MODEL, "blocks.1.attn.W_O[2]", "--json");
    struct js_doc *u = RUN_JSON("weights", MODEL, column, "--json");
    score = 0;
    for (size_t i = 0; i < 5; i++) {
        double a = 0, b = 0;
        for (size_t x = 0; x < 15; x++) {
            a += json_number_at(js_get(js_root(e), "values"), x) *
                 json_number_at(js_at(js_get(js_root(v), "values"), x), i);
            b += json_number_at(js_at(js_get(js_root(o), "values"), i), x) *
                 json_number_at(js_get(js_root(u), "values"), x);
        }
        score += a * b;
    }
    assert_true(fabs(score - json_number(best, "value")) < 1e-4);
    js_close(d), js_close(e), js_close(v), js_close(o), js_close(u);
    assert_refused(RUN("weights", MODEL, "--target", "99"), 1, "0..46");
    assert_refused(RUN("weights", MODEL, "--target", "3", "--svd"), 2, "one of them");
}

/* Processing counts: composition reads the weights as the model runs with them. */
static void composition(void **state)
{
    (void)state;
    struct js_doc *raw = RUN_JSON("composition", MODEL, "--json"),
                  *usual = RUN_JSON("composition", MODEL, "--kind", "K", "--process", "usual",
                                    "--json");
    assert_int_equal(js_count(js_root(raw)), 3);
    assert_int_equal(js_count(js_root(usual)), 1);
    double x = json_number_at(
        js_at(js_at(js_at(js_get(js_at(js_root(raw), 1), "scores"), 0), 1), 2), 0);
    double y = json_number_at(
        js_at(js_at(js_at(js_get(js_at(js_root(usual), 0), "scores"), 0), 1), 2), 0);
    assert_true(x > 0 && y > 0 && fabs(x - y) > 1e-4);
    assert_true(
        json_number_at(js_at(js_at(js_at(js_get(js_at(js_root(raw), 0), "scores"), 2), 1), 2), 0) ==
        0);
    js_close(raw);
    js_close(usual);
    struct result r = RUN("composition", MODEL, "-k", "2", "--tsv");
    int lines = 0;
    for (const char *p = r.out; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, 7);
    result_free(&r);
}

static void refusals(void **state)
{
    (void)state;
    assert_refused(RUN("weights", MODEL, "--filter", "nothing"), 1, "matches no weight");
    assert_refused(RUN("weights", MODEL, "--svd", "-o", "x.npz"), 2, "-o");
    assert_refused(RUN("weights", MODEL, "--as-tokens"), 2, "W_out[5]");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.W_Q[7]"), 1, "head 0..2");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.W_Q[0,0,0,0]"), 1, "3 axes");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.W_Q[0:]["), 1, "nearest");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.W_Q[]"), 2, "one per axis");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.W_Q[{1,]"), 2, "one per axis");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.W_Q[2:1]"), 1, "holds none");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.b_Q", "--as-tokens"), 1, "d_model");
    assert_refused(RUN("weights", MODEL, "blocks.0.ln1.w", "--as-tokens"), 1, "norm");
    assert_refused(RUN("weights", MODEL, "blocks.0.attn.W_Q", "--stats"), 2, "one weight is named");
    assert_refused(RUN("weights", MODEL, "--names", "bridge"), 1, "nnsight");
    assert_refused(RUN("weights", MODEL, "-l", "1"), 2, "--svd");
    assert_refused(RUN("weights", MODEL, "--svd", "-l", "5"), 1, "0..2");
    assert_refused(RUN("composition", MODEL, "--kind", "q"), 2, "Q, K or V");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_read_no_weight),
        cmocka_unit_test(experts_are_one_line),
        cmocka_unit_test(values_by_any_name),
        cmocka_unit_test(files_hold_slices),
        cmocka_unit_test(edits_act),
        cmocka_unit_test(directions_as_tokens),
        cmocka_unit_test(circuits_of_heads),
        cmocka_unit_test(token_through_heads),
        cmocka_unit_test(composition),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
