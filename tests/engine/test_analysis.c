/* test_analysis.c - residual stacks, logit attributions and the head detector against
 * TransformerLens' own values. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/analysis.h"
#include "model/process.h"

static const char ANALYSIS[] = "analysis.safetensors";

struct opened {
    struct fixture f;
    struct checkpoint *ref;
    struct run *r;
};

static struct opened open_processed(const char *name)
{
    struct opened o = {.f = fixture_open(name), .ref = fixture_file(name, ANALYSIS)};
    struct err e = {0};
    struct run_options opt = {0};
    assert_int_equal(process_model(o.f.m, PROCESS_USUAL, &e), 0);
    o.r = run_create(o.f.m, NULL, &opt, &e);
    assert_int_equal(run_sync(o.r, run_ids(o.f.tokens, o.f.n), NULL, NULL, NULL, &e), 0);
    return o;
}

static void close_processed(struct opened *o)
{
    run_free(o->r);
    checkpoint_close(o->ref);
    fixture_close(&o->f);
}

static void test_stacks(void **state)
{
    (void)state;
    char **names = fixture_names_with(ANALYSIS);
    for (char **model = names; *model; model++) {
        struct opened o = open_processed(*model);
        int32_t answer = (int32_t)strtol(checkpoint_metadata(o.ref, "answer"), NULL, 10);
        int32_t wrong = (int32_t)strtol(checkpoint_metadata(o.ref, "wrong"), NULL, 10);
        for (enum stack_kind k = 0; k < STACK_KIND_COUNT; k++) {
            char key[80];
            struct stack s;
            struct err e = {0};
            if (stack_make(&s, o.r, &(struct stack_options){.kind = k, .layer = -1},
                           (int32_t[]){o.f.n - 1}, 1, &e))
                fail_msg("%s", e.text);
            snprintf(key, sizeof key, "labels.%s", stack_kind_name(k));
            struct js_doc *labels = fixture_json(o.ref, key);
            assert_int_equal(js_count(js_root(labels)), s.n);
            for (int32_t c = 0; c < s.n; c++) {
                const char *want;
                assert_int_equal(js_string(js_at(js_root(labels), (size_t)c), &want, NULL, NULL),
                                 0);
                assert_string_equal(s.label[c], want);
            }
            snprintf(key, sizeof key, "stack.%s", stack_kind_name(k));
            const struct st_tensor *t = checkpoint_find(o.ref, key);
            assert_int_equal(t->shape[0], s.n);
            double d = fixture_error(s.values, t->data, (size_t)s.n * (size_t)s.d_model);
            if (!(d <= 1e-5))
                fail_msg("%s %s: components differ by %g", *model, key, d);
            float *attrs = malloc((size_t)s.n * sizeof *attrs);
            double constant;
            assert_int_equal(stack_logit_attrs(&s, o.r, (int32_t[]){o.f.n - 1}, answer, wrong,
                                               attrs, &constant, &e),
                             0);
            snprintf(key, sizeof key, "attrs.%s", stack_kind_name(k));
            d = fixture_error(attrs, checkpoint_find(o.ref, key)->data, (size_t)s.n);
            if (!(d <= 1e-5))
                fail_msg("%s %s: attributions differ by %g", *model, key, d);
            free(attrs);
            stack_free(&s);
            js_close(labels);
        }
        close_processed(&o);
    }
    fixture_names_free(names);
}

/* Every stack that sums to the stream accounts for the whole logit difference, raw weights and
 * biases included. */
static void test_sums(void **state)
{
    (void)state;
    char **all = fixture_names(true);
    for (char **name = all; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct err e = {0};
        struct run_options opt = {0};
        struct run *r = run_create(f.m, NULL, &opt, &e);
        assert_int_equal(run_sync(r, run_ids(f.tokens, f.n), NULL, NULL, NULL, &e), 0);
        float *logits = malloc((size_t)f.m->cfg.d_vocab * sizeof *logits);
        struct site_ref uncapped = {SITE_UNEMBED_OUT, SITE_ROOT};
        assert_int_equal(run_read(r, uncapped, 3, 4, logits, NULL, &e), 0);
        for (enum stack_kind k = STACK_DECOMPOSED; k < STACK_KIND_COUNT; k++) {
            struct stack s;
            struct stack_options of = {.kind = k,
                                       .layer = -1,
                                       .flags = k == STACK_NEURONS ? STACK_ONE_LAYER
                                                : k == STACK_FULL  ? STACK_EXPAND_NEURONS
                                                                   : 0};
            assert_int_equal(stack_make(&s, r, &of, (int32_t[]){3}, 1, &e), 0);
            float *attrs = malloc((size_t)s.n * sizeof *attrs);
            double sum;
            assert_int_equal(stack_logit_attrs(&s, r, (int32_t[]){3}, 2, 7, attrs, &sum, &e), 0);
            for (int32_t i = 0; i < s.n; i++)
                sum += (double)attrs[i];
            double want = (double)logits[2] - (double)logits[7];
            if (!(fabs(sum - want) <= 2e-5 * fmax(1, fabs(want))))
                fail_msg("%s %s: sums to %g, the logit difference is %g", *name, stack_kind_name(k),
                         sum, want);
            free(attrs);
            stack_free(&s);
        }
        free(logits);
        run_free(r);
        fixture_close(&f);
    }
    fixture_names_free(all);
}

/* Every parameter of every stack, as the library was called: {name, kind, layer, with}. */
static void test_parameters(void **state)
{
    (void)state;
    int n_variants = 0;
    char **names = fixture_names_with(ANALYSIS);
    for (char **model = names; *model; model++) {
        struct opened o = open_processed(*model);
        struct js_doc *variants = fixture_json(o.ref, "variants");
        for (size_t v = 0; v < js_count(js_root(variants)); v++, n_variants++) {
            struct js_node item = js_at(js_root(variants), v), want;
            const char *name, *kind, *with, *label;
            int64_t layer;
            char key[120];
            struct stack s;
            struct stack_options of;
            struct err e = {0};
            assert_int_equal(js_string(js_get(item, "name"), &name, NULL, &e), 0);
            assert_int_equal(js_string(js_get(item, "kind"), &kind, NULL, &e), 0);
            assert_int_equal(js_string(js_get(item, "with"), &with, NULL, &e), 0);
            assert_int_equal(js_int(js_get(item, "layer"), -1, 99, &layer, &e), 0);
            of = (struct stack_options){.layer = (int32_t)layer};
            assert_int_equal(stack_kind_parse(kind, &of.kind, &e), 0);
            assert_true(!*with || !stack_flags_parse(with, &of.flags, &e));
            if (stack_make(&s, o.r, &of, (int32_t[]){o.f.n - 1}, 1, &e))
                fail_msg("%s %s: %s", *model, name, e.text);
            want = js_get(item, "labels");
            assert_int_equal(js_count(want), s.n);
            for (int32_t c = 0; c < s.n; c++) {
                assert_int_equal(js_string(js_at(want, (size_t)c), &label, NULL, &e), 0);
                assert_string_equal(s.label[c], label);
            }
            snprintf(key, sizeof key, "variant.%s", name);
            const struct st_tensor *t = checkpoint_find(o.ref, key);
            assert_int_equal(t->nbytes, (size_t)s.n * (size_t)s.d_model * sizeof(float));
            double d = fixture_error(s.values, t->data, (size_t)s.n * (size_t)s.d_model);
            if (!(d <= 1e-5))
                fail_msg("%s %s: components differ by %g", *model, name, d);
            stack_free(&s);
        }
        js_close(variants);
        close_processed(&o);
    }
    fixture_names_free(names);
    print_message("%d calls with parameters\n", n_variants);
    assert_true(n_variants > 40);
}

static void test_detect(void **state)
{
    (void)state;
    char **names = fixture_names_with(ANALYSIS);
    for (char **model = names; *model; model++) {
        struct opened o = open_processed(*model);
        for (int p = 0; p < HEAD_PATTERN_COUNT + 2; p++)
            for (int k = 0; k < 8; k++) {
                static const char *const own[2] = {"binary", "graded"};
                struct detect_options opt = {
                    .exclude_bos = k & 2, .exclude_current_token = k & 1, .abs = k & 4};
                char key[80];
                float scores[64], pattern[256];
                const char *name = p < HEAD_PATTERN_COUNT ? head_pattern_name((enum head_pattern)p)
                                                          : own[p - HEAD_PATTERN_COUNT];
                assert_true(o.f.n * o.f.n <= 256);
                snprintf(key, sizeof key,
                         "tests/fixtures/models/%s/analysis.safetensors:pattern.%s", *model, name);
                if (p < HEAD_PATTERN_COUNT)
                    head_pattern_fill((enum head_pattern)p, o.f.tokens, o.f.n, pattern);
                else
                    assert_int_equal(head_pattern_read(key, o.f.n, pattern, NULL), 0);
                snprintf(key, sizeof key, "detect.%s.%s.%d%d", name, opt.abs ? "abs" : "mul",
                         opt.exclude_bos, opt.exclude_current_token);
                const struct st_tensor *t = checkpoint_find(o.ref, key);
                assert_non_null(t);
                assert_int_equal(detect_head(o.r, pattern, &opt, scores, NULL), 0);
                for (size_t s = 0; s < t->nbytes / sizeof(float); s++)
                    if (!(fabs((double)scores[s] - (double)((const float *)t->data)[s]) <=
                          (opt.abs ? 1.01e-3 : 1e-5)))
                        fail_msg("%s %s [%zu]: %g, the library has %g", *model, key, s,
                                 (double)scores[s], (double)((const float *)t->data)[s]);
            }
        close_processed(&o);
    }
    fixture_names_free(names);
}

static void test_refusals(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct err e = {0};
    struct run_options opt = {0};
    struct run *r = run_create(f.m, NULL, &opt, &e);
    assert_int_equal(run_sync(r, run_ids(f.tokens, 1), NULL, NULL, NULL, &e), 0);
    struct stack s;
    struct detect_options d = {0};
    float scores[64];
    enum stack_kind k;
    enum head_pattern p;
    assert_int_equal(
        stack_make(&s, r, &(struct stack_options){STACK_HEADS, 0, -1}, (int32_t[]){0, 1}, 2, &e),
        ERR_BAD_INPUT);
    static const struct {
        struct stack_options of;
        const char *says;
    } bad[] = {
        {{STACK_NEURONS, 0, 99}, "layers go to 3"},
        {{STACK_NEURONS, 0, -2}, "layers go to 3"},
        {{STACK_HEADS, STACK_MLP_INPUT, 1},
         "stack_head_results has no mlp_input · it has apply_ln, no_remainder"},
        {{STACK_DECOMPOSED, STACK_MLP_INPUT, -1}, "layer 0..2"},
        {{STACK_DECOMPOSED, STACK_NO_ATTN | STACK_NO_MLP, -1}, "one of them"},
        {{STACK_NEURONS, STACK_ONE_LAYER, 0}, "layers 1..3"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(stack_make(&s, r, &bad[i].of, (int32_t[]){0}, 1, &e), ERR_BAD_INPUT);
        if (!strstr(e.text, bad[i].says))
            fail_msg("%s", e.text);
    }
    unsigned flags;
    assert_int_equal(stack_flags_parse("mlp_input,apply_ln", &flags, &e), 0);
    assert_int_equal(flags, STACK_MLP_INPUT | STACK_APPLY_LN);
    assert_int_equal(stack_flags_parse("mlp_input,", &flags, &e), ERR_USAGE);
    assert_int_equal(detect_head(r, (float[]){1}, &d, scores, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "two tokens"));
    assert_int_equal(stack_kind_parse("heads", &k, &e), ERR_USAGE);
    assert_int_equal(head_pattern_parse("induction", &p, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "induction_head"));
    static const struct {
        const char *where, *says;
        int32_t n;
    } files[] = {
        {"analysis.safetensors:pattern.binary",
         "pattern.binary is [9, 9] · a detection pattern is [4, 4]", 4},
        {"analysis.safetensors:detect.binary.mul.00", "[3, 3]", 9},
        {"analysis.safetensors:pattern.bin",
         "the nearest is tests/fixtures/models/gpt2/analysis.safetensors:pattern.binary", 9},
        {"analysis.safetensors", "several tensors", 9},
        {"model.safetensors:transformer.h.0.attn.c_proj.weight",
         "lower triangular, 0 where src > dest", 15},
        {"nothing.safetensors", "nothing.safetensors", 9},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char where[160];
        float pattern[256];
        snprintf(where, sizeof where, "tests/fixtures/models/gpt2/%s", files[i].where);
        assert_true(head_pattern_read(where, files[i].n, pattern, &e) < 0);
        if (!strstr(e.text, files[i].says))
            fail_msg("%s", e.text);
    }
    run_free(r);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stacks),   cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_sums),     cmocka_unit_test(test_detect),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
