/* test_library_analysis.c - residual stacks, logit attributions, head detection and loss through
 * the public header, against TransformerLens' values. */
#include "library.h"

#include "../backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bore_model *open_usual(const char *name)
{
    char path[200];
    struct bore_model *m = NULL;
    struct bore_error e = {0};
    struct bore_options o = {.backend = test_backend(), .threads = 2, .process = "usual"};
    snprintf(path, sizeof path, "tests/fixtures/models/%s", name);
    library_ok(bore_open(&m, path, &o, &e), &e);
    return m;
}

static const char *text_of(struct js_node n)
{
    const char *s = NULL;
    assert_int_equal(js_string(n, &s, NULL, NULL), 0);
    return s;
}

static void test_stacks(void **state)
{
    (void)state;
    char **names = fixture_names_with("analysis.safetensors");
    int n = 0;
    for (char **model = names; *model; model++) {
        struct bore_model *m = open_usual(*model);
        struct checkpoint *ref = fixture_file(*model, "analysis.safetensors");
        struct js_doc *variants = fixture_json(ref, "variants");
        int32_t count, *tokens = fixture_ids(ref, "tokens", &count);
        struct bore_pass pass = {.tokens = tokens, .rows = 1, .cols = count};
        for (size_t v = 0; v < js_count(js_root(variants)); v++, n++) {
            struct js_node item = js_at(js_root(variants), v);
            char key[120];
            int64_t layer = 0;
            struct bore_error e = {0};
            struct bore_stack s;
            const char *with = text_of(js_get(item, "with"));
            assert_int_equal(js_int(js_get(item, "layer"), -1, 99, &layer, NULL), 0);
            struct bore_stack_options o = {.kind = text_of(js_get(item, "kind")),
                                           .with = *with ? with : NULL,
                                           .ends = layer >= 0,
                                           .layer = (int)layer,
                                           .pos = {.kind = BORE_ONE, .start = -1}};
            library_ok(bore_stack(m, &pass, &o, &s, &e), &e);
            snprintf(key, sizeof key, "variant.%s", text_of(js_get(item, "name")));
            const struct st_tensor *want = checkpoint_find(ref, key);
            assert_true(s.values.rank == 3 && s.values.shape[0] == s.n && s.values.shape[1] == 1);
            assert_int_equal(js_count(js_get(item, "labels")), s.n);
            for (int k = 0; k < s.n; k++)
                assert_string_equal(s.labels[k], text_of(js_at(js_get(item, "labels"), (size_t)k)));
            double error = fixture_error(s.values.data, want->data, want->nbytes / sizeof(float));
            if (!(error <= 1e-5))
                fail_msg("%s %s: components differ by %g", *model, key, error);
            bore_stack_free(&s);
        }
        free(tokens);
        js_close(variants);
        checkpoint_close(ref);
        bore_close(m);
    }
    fixture_names_free(names);
    assert_true(n > 60);
}

/* All positions at once are the positions one by one; what is attributed sums to the logit, edits
 * included. */
static void test_attributions(void **state)
{
    (void)state;
    struct library l = library_open("gpt_neox", 1 << 20);
    struct bore_error e = {0};
    struct bore_result out = {0};
    const char *edits[] = {"blocks.0.attn.hook_z[:, 1] = 0"};
    struct bore_stack all;
    double constant = 0;
    l.pass.edits = edits, l.pass.n_edits = 1;
    library_ok(bore_run(l.m, &l.pass, &out, &e), &e);
    struct bore_stack_options o = {.kind = "get_full_resid_decomposition",
                                   .with = "expand_neurons"};
    library_ok(bore_logit_attrs(l.m, &l.pass, &o, 5, 11, &all, &constant, &e), &e);
    assert_true(all.values.rank == 3 && all.values.shape[2] == l.pass.cols);
    for (int p = 0; p < l.pass.cols; p++) {
        struct bore_stack one;
        double sum = constant, want = (double)out.output.data[p * out.output.stride[1] + 5] -
                                      (double)out.output.data[p * out.output.stride[1] + 11];
        o.pos = (struct bore_slice){.kind = BORE_ONE, .start = p};
        library_ok(bore_logit_attrs(l.m, &l.pass, &o, 5, 11, &one, NULL, &e), &e);
        assert_int_equal(one.values.rank, 2);
        for (int k = 0; k < all.n; k++) {
            assert_true(one.values.data[k] == all.values.data[k * all.values.stride[0] + p]);
            sum += (double)one.values.data[k];
        }
        assert_true(fabs(sum - want) <= 2e-5 * fmax(1, fabs(want)));
        bore_stack_free(&one);
    }
    bore_stack_free(&all);
    bore_result_free(&out);
    library_close(&l);
}

static void test_detect_and_loss(void **state)
{
    (void)state;
    struct bore_model *m = open_usual("llama");
    struct checkpoint *ref = fixture_file("llama", "analysis.safetensors");
    int32_t n, *tokens = fixture_ids(ref, "tokens", &n);
    struct bore_pass pass = {.tokens = tokens, .rows = 1, .cols = n, .metric = "loss"};
    struct bore_error e = {0};
    struct bore_result out = {0};
    float scores[64], each[16];
    double mean, sum = 0;
    library_ok(bore_detect_head(m, &pass, "induction_head", BORE_EXCLUDE_BOS, scores, &e), &e);
    const struct st_tensor *want = checkpoint_find(ref, "detect.induction_head.mul.10");
    for (size_t i = 0; i < want->nbytes / sizeof(float); i++)
        assert_true(fabs((double)scores[i] - (double)((const float *)want->data)[i]) <= 1e-5);
    const struct st_tensor *own = checkpoint_find(ref, "pattern.graded");
    float pattern[256];
    assert_true(own->nbytes <= sizeof pattern);
    memcpy(pattern, own->data, own->nbytes);
    library_ok(bore_detect_pattern(m, &pass, pattern, BORE_EXCLUDE_CURRENT_TOKEN, scores, &e), &e);
    want = checkpoint_find(ref, "detect.graded.mul.01");
    for (size_t i = 0; i < want->nbytes / sizeof(float); i++)
        assert_true(fabs((double)scores[i] - (double)((const float *)want->data)[i]) <= 1e-5);
    pattern[1] = 0.5f;
    assert_int_equal(bore_detect_pattern(m, &pass, pattern, 0, scores, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "[0, 1] is 0.5"));
    library_ok(bore_run(m, &pass, &out, &e), &e);
    library_ok(bore_loss(m, &pass, &mean, each, &e), &e);
    for (int32_t i = 0; i + 1 < n; i++)
        sum += (double)each[i] / (n - 1);
    assert_true(fabs(mean - sum) < 1e-6 && fabs(mean - out.metric[0]) < 1e-6);
    bore_result_free(&out);

    struct bore_stack s;
    struct bore_stack_options bad = {.kind = "heads"}, word = {.with = "mlp_input"},
                              far = {.ends = true, .layer = 9};
    assert_int_equal(bore_stack(m, &pass, &bad, &s, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "stack_head_results"));
    assert_int_equal(bore_stack(m, &pass, &word, &s, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_stack(m, &pass, &far, &s, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_logit_attrs(m, &pass, NULL, 99999, -1, &s, NULL, &e), BORE_BAD_INPUT);
    assert_int_equal(bore_detect_head(m, &pass, "induction", 0, scores, &e), BORE_BAD_INPUT);
    pass.cols = 1, pass.metric = NULL;
    assert_int_equal(bore_loss(m, &pass, &mean, NULL, &e), BORE_BAD_INPUT);
    pass.rows = 2;
    assert_int_equal(bore_stack(m, &pass, NULL, &s, &e), BORE_BAD_INPUT);
    free(tokens);
    checkpoint_close(ref);
    bore_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stacks),
        cmocka_unit_test(test_attributions),
        cmocka_unit_test(test_detect_and_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
