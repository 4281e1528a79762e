/* test_cli_analysis.c - logit_attrs, detect_head, test_prompt and loss through the program. */
#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define MODEL "tests/fixtures/models/gpt2"
#define IDS "--tokens", "3,17,42,8,8,29"

static void test_logit_attrs(void **state)
{
    (void)state;
    static const char *const stacks[] = {"decompose_resid", "stack_head_results",
                                         "stack_neuron_results", "get_full_resid_decomposition"};
    for (int i = 0; i < 4; i++) {
        struct js_doc *d = RUN_JSON("logit_attrs", MODEL, IDS, "--stack", stacks[i], "--pair",
                                    "5/11", "--pos", "3", "--json");
        struct js_node root = js_root(d), list = js_get(root, "components");
        double sum = json_number(root, "constant");
        for (size_t k = 0; k < js_count(list); k++)
            sum += json_number(js_at(list, k), "value");
        assert_int_equal(json_int(root, "position"), 3);
        assert_int_equal(json_int(js_get(root, "wrong"), "id"), 11);
        assert_true(fabs(sum - json_number(root, "logit")) < 1e-4);
        assert_true(fabs(sum - json_number(root, "sum")) < 1e-4);
        js_close(d);
    }
}

/* The library's stack of one layer's input, as a table, as JSON and as a file. */
static void test_stack(void **state)
{
    (void)state;
    char *folder = folder_make(), *path = folder_path(folder, "s.safetensors");
    static const char *const want[] = {"embed", "pos_embed", "0_attn_out", "0_mlp_out",
                                       "1_attn_out"};
    struct js_doc *d = RUN_JSON("stack", MODEL, IDS, "-l", "1", "--with", "mlp_input", "--pos",
                                "2:4", "-o", path, "--json");
    struct js_node list = js_get(js_root(d), "components");
    struct checkpoint *st = fixture_tensors(path);
    const struct st_tensor *t = checkpoint_find(st, "decompose_resid");
    assert_non_null(strstr(checkpoint_metadata(st, "labels"), "1_attn_out"));
    assert_int_equal(js_count(list), 5);
    assert_true(t->rank == 4 && t->shape[0] == 5 && t->shape[1] == 1 && t->shape[2] == 2 &&
                t->shape[3] == 15);
    for (int k = 0; k < 5; k++) {
        assert_string_equal(json_string(js_at(list, (size_t)k), "label"), want[k]);
        double sum = 0;
        for (int j = 0; j < 15; j++) {
            double x = (double)((const float *)t->data)[(k * 2 + 1) * 15 + j];
            sum += x * x;
        }
        assert_true(fabs(sqrt(sum) - json_number_at(js_get(js_at(list, (size_t)k), "norms"), 1)) <
                    1e-5);
    }
    checkpoint_close(st);
    js_close(d);
    struct result r = RUN("stack", MODEL, IDS, "--stack", "accumulated_resid", "--pos", "-1",
                          "--tsv");
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.out, "final_post"));
    result_free(&r);
    folder_remove(folder);
    free(path);
}

static void test_edits_count(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("logit_attrs", MODEL, IDS, "--target", "5", "-e",
                                "blocks.1.hook_attn_out = 0", "--json");
    struct js_node list = js_get(js_root(d), "components");
    bool seen = false;
    for (size_t k = 0; k < js_count(list); k++)
        if (!strcmp(json_string(js_at(list, k), "label"), "1_attn_out")) {
            seen = true;
            assert_true(json_number(js_at(list, k), "value") == 0);
        }
    assert_true(seen);
    js_close(d);
}

static void test_detect(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("detect_head", MODEL, IDS, "--exclude-bos", "--json");
    struct js_node p = js_get(js_root(d), "patterns");
    assert_int_equal(js_count(p), 3);
    assert_string_equal(json_string(js_at(p, 2), "pattern"), "induction_head");
    assert_int_equal(js_count(js_get(js_at(p, 0), "scores")), 3);
    assert_int_equal(js_count(js_at(js_get(js_at(p, 0), "scores"), 0)), 3);
    js_close(d);
}

static void test_own_pattern(void **state)
{
    (void)state;
    static const char ids[] = "3,17,42,8,8,29,3,17,42",
                      file[] = MODEL "/analysis.safetensors:pattern.graded";
    struct checkpoint *st = fixture_tensors(MODEL "/analysis.safetensors");
    const float *want = checkpoint_find(st, "detect.graded.abs.10")->data;
    struct js_doc *d = RUN_JSON("detect_head", MODEL, "--tokens", ids, "--process", "usual",
                                "--exclude-bos", "--abs", "--pattern", file, "--json");
    struct js_node p = js_get(js_root(d), "patterns"), scores = js_get(js_at(p, 0), "scores");
    assert_int_equal(js_count(p), 1);
    assert_string_equal(json_string(js_at(p, 0), "pattern"), file);
    for (size_t i = 0; i < 9; i++)
        assert_true(fabs(json_number_at(js_at(scores, i / 3), i % 3) - (double)want[i]) < 1.01e-3);
    js_close(d);
    checkpoint_close(st);
    struct result r = RUN("detect_head", MODEL, "--tokens", ids, "--pattern", file);
    assert_int_equal(r.status, 0);
    assert_non_null(strstr(r.err, "other values than 0 and 1"));
    result_free(&r);
    assert_refused(RUN("detect_head", MODEL, IDS, "--pattern", file), 1,
                   "is [9, 9] · a detection pattern is [6, 6]");
    assert_refused(RUN("detect_head", MODEL, IDS, "--pattern", "none.safetensors:x"), 1,
                   "none.safetensors");
}

static void test_answer_and_loss(void **state)
{
    (void)state;
    struct js_doc *d = RUN_JSON("test_prompt", MODEL, "--tokens", "3,17,42", "--answer", "8", "-k",
                                "2", "--json");
    struct js_node a = js_at(js_get(js_root(d), "answer"), 0);
    double logprob = json_number(a, "logprob");
    assert_int_equal(json_int(a, "position"), 3);
    assert_int_equal(js_count(js_get(a, "top")), 2);
    js_close(d);
    d = RUN_JSON("loss", MODEL, "--tokens", "3,17,42,8", "--json");
    struct js_node each = js_get(js_root(d), "per_token");
    assert_int_equal(js_count(each), 3);
    assert_true(fabs(json_number_at(each, 2) + logprob) < 1e-5);
    double mean = (json_number_at(each, 0) + json_number_at(each, 1) + json_number_at(each, 2)) / 3;
    assert_true(fabs(mean - json_number(js_root(d), "loss")) < 1e-5);
    js_close(d);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused(RUN("logit_attrs", MODEL, IDS, "--stack", "heads"), 2, "stack_head_results");
    assert_refused(RUN("logit_attrs", MODEL, IDS, "--pos", "1:3"), 2, "one position");
    assert_refused(RUN("logit_attrs", MODEL, IDS, "--stack", "stack_neuron_results", "-l", "9"), 1,
                   "layers go to 3");
    assert_refused(RUN("logit_attrs", MODEL, IDS, "--with", "apply_ln"), 2, "itself");
    assert_refused(RUN("stack", MODEL, IDS, "--with", "mlp"), 2, "mlp_input, incl_mid");
    assert_refused(RUN("stack", MODEL, IDS, "--with", "incl_mid"), 1,
                   "decompose_resid has no incl_mid");
    assert_refused(RUN("stack", MODEL, IDS, "--stack", "stack_head_results", "--with",
                       "no_remainder", "-l", "0"),
                   1, "layers 1..3");
    assert_refused(RUN("detect_head", MODEL, IDS, "--pattern", "induction"), 2, "induction_head");
    assert_refused(RUN("detect_head", MODEL, "--tokens", "1"), 1, "two tokens");
    assert_refused(RUN("loss", MODEL, "--tokens", "1"), 1, "two tokens");
    assert_refused(RUN("test_prompt", MODEL, IDS), 2, "--answer");
    assert_refused(RUN("test_prompt", MODEL, IDS, "--answer", "99"), 1, "0..46");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logit_attrs), cmocka_unit_test(test_stack),
        cmocka_unit_test(test_edits_count), cmocka_unit_test(test_detect),
        cmocka_unit_test(test_own_pattern), cmocka_unit_test(test_answer_and_loss),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
