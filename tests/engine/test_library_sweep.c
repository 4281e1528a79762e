/* test_library_sweep.c - bore_sweep: patching.py's values through the public header, stopping,
 * cancelling, sets of prompts, refusals. */
#include "library.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ear {
    struct bore_model *m;
    int64_t last, cells;
    int calls, stop_at, cancel_at;
};

static int hear(void *user, int64_t done, int64_t cells)
{
    struct ear *x = user;
    assert_true(done >= x->last && done <= cells);
    x->last = done, x->cells = cells;
    if (++x->calls == x->cancel_at)
        bore_cancel(x->m);
    return x->calls == x->stop_at;
}

/* The fixture's prompt with the clean one beside it. */
struct swept {
    struct library l;
    struct checkpoint *ref;
    int32_t *clean;
    struct bore_prompt run;
    struct bore_sweep_prompt prompt;
    struct bore_sweep sweep;
};

static void swept_open(struct swept *s, const char *name)
{
    int32_t n;
    *s = (struct swept){.l = library_open(name, 1 << 24),
                        .ref = fixture_file(name, "sweep.safetensors")};
    s->clean = fixture_ids(s->ref, "clean", &n);
    s->run = (struct bore_prompt){.name = "clean", .tokens = s->clean, .n = n};
    s->prompt = (struct bore_sweep_prompt){.tokens = s->l.pass.tokens,
                                           .n = s->l.pass.cols,
                                           .runs = &s->run,
                                           .n_runs = 1,
                                           .metric = checkpoint_metadata(s->ref, "metric")};
    s->sweep = (struct bore_sweep){.kind = "z", .prompts = &s->prompt, .n_prompts = 1};
}

static void swept_close(struct swept *s)
{
    free(s->clean);
    checkpoint_close(s->ref);
    library_close(&s->l);
}

static void test_values(void **state)
{
    (void)state;
    static const char *const kinds[] = {"resid_pre", "z", "head_by_pos_every", "edge"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct swept s;
        struct bore_sweep_result r;
        struct bore_error e;
        swept_open(&s, "llama");
        struct ear ear = {.m = s.l.m};
        s.sweep.kind = kinds[k];
        library_ok(bore_sweep(s.l.m, &s.sweep, hear, &ear, &r, &e), &e);
        const struct st_tensor *t = checkpoint_find(s.ref, kinds[k]);
        assert_int_equal(r.n_axes, t->rank);
        for (int i = 0; i < r.n_axes; i++)
            assert_int_equal(r.axes[i].size, t->shape[i]);
        assert_true(r.done == r.cells && ear.last == r.cells && ear.calls > 1);
        float *v = malloc((size_t)r.cells * sizeof *v);
        int absent = 0;
        for (int64_t i = 0; i < r.cells; i++) {
            absent += !r.has[i];
            assert_true(r.has[i] || isnan(r.values[i]));
            v[i] = r.has[i] ? (float)r.values[i] : 0;
            assert_true(r.errors[i] == 0);
        }
        assert_int_equal(absent, strstr(kinds[k], "every") ? 2 * 2 * 9 * 4 : 0); /* k, v heads */
        assert_true(fixture_error(v, t->data, (size_t)r.cells) <= 1e-5);
        free(v);
        bore_sweep_result_free(&r);
        swept_close(&s);
    }
}

static void test_stops(void **state)
{
    (void)state;
    struct swept s;
    struct bore_sweep_result r = {0}, all;
    struct bore_error e;
    swept_open(&s, "gpt2");
    library_ok(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &all, &e), &e);
    double *scores = calloc((size_t)all.cells, sizeof *scores);
    scores[17] = -3, scores[5] = 2, scores[40] = 1;
    s.sweep.scores = scores;
    struct ear ear = {.m = s.l.m, .stop_at = 3};
    library_ok(bore_sweep(s.l.m, &s.sweep, hear, &ear, &r, &e), &e);
    assert_true(r.done == 3 && r.has[17] && r.has[5] && r.has[40]);
    for (int64_t i = 0; i < r.cells; i++)
        assert_true(!r.has[i] || r.values[i] == all.values[i]);
    assert_true(r.base == all.base);
    bore_sweep_result_free(&r);
    ear = (struct ear){.m = s.l.m, .cancel_at = 2};
    assert_int_equal(bore_sweep(s.l.m, &s.sweep, hear, &ear, &r, &e), BORE_CANCELLED);
    assert_null(r.values);
    library_ok(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), &e);
    assert_memory_equal(r.values, all.values, (size_t)r.cells * sizeof *r.values);
    bore_sweep_result_free(&r), bore_sweep_result_free(&all);
    free(scores);
    swept_close(&s);
}

static void test_sets(void **state)
{
    (void)state;
    struct swept s;
    struct bore_sweep_result r, one;
    struct bore_error e;
    swept_open(&s, "gpt2");
    struct bore_prompt own = {.name = "clean", .tokens = s.prompt.tokens, .n = s.prompt.n};
    struct bore_sweep_prompt two[] = {
        s.prompt,
        {.tokens = s.clean, .n = s.run.n, .runs = &own, .n_runs = 1, .metric = s.prompt.metric}};
    static const char *const edits[] = {"blocks.1.hook_mlp_out *= 0.5"}, *over[] = {"pos=-1"};
    s.sweep.edits = edits, s.sweep.n_edits = 1, s.sweep.over = over, s.sweep.n_over = 1;
    s.sweep.prompts = two, s.sweep.n_prompts = 2, s.sweep.normalize = "clean";
    s.sweep.align = "token";
    library_ok(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), &e);
    assert_int_equal(r.n_axes, 2);
    assert_true(r.base == 0);
    double sum[9] = {0}, square[9] = {0};
    for (int k = 0; k < 2; k++) {
        s.sweep.prompts = &two[k], s.sweep.n_prompts = 1;
        library_ok(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &one, &e), &e);
        assert_int_equal(one.cells, 9);
        for (int i = 0; i < 9; i++) {
            sum[i] += one.values[i];
            square[i] += (k ? -1 : 1) * one.values[i];
        }
        bore_sweep_result_free(&one);
    }
    for (int i = 0; i < 9; i++) {
        assert_true(fabs(r.values[i] - sum[i] / 2) < 1e-9);
        assert_true(fabs(r.errors[i] - fabs(square[i]) / 2) < 1e-9);
    }
    bore_sweep_result_free(&r);
    swept_close(&s);
}

/* Cells that are not run: what bore_attribute finds of the same kind. */
static void test_estimates(void **state)
{
    (void)state;
    struct swept s;
    struct bore_sweep_result r;
    struct bore_attribution a;
    struct bore_error e;
    swept_open(&s, "llama");
    s.sweep.estimate = true;
    library_ok(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), &e);
    s.l.pass.metric = s.prompt.metric;
    s.l.pass.prompts = &s.run, s.l.pass.n_prompts = 1;
    library_ok(bore_attribute(s.l.m, &s.l.pass, &(struct bore_attribute){.kind = "z"}, &a, &e), &e);
    assert_int_equal(r.cells, a.cells);
    assert_int_equal(r.done, r.cells);
    assert_true(fabs(r.base - a.base) < 1e-5);
    double most = 0;
    for (int64_t i = 0; i < a.cells; i++) {
        assert_true(r.has[i] && r.errors[i] == 0);
        assert_true(fabs(r.values[i] - r.base - (double)a.values[i]) < 1e-5);
        most = fmax(most, fabs((double)a.values[i]));
    }
    assert_true(most > 1e-3);
    bore_sweep_result_free(&r);
    bore_attribution_free(&a);
    s.sweep.normalize = "clean";
    assert_int_equal(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "no paths and no scores"));
    swept_close(&s);
}

static void test_refusals(void **state)
{
    (void)state;
    struct swept s;
    struct bore_sweep_result r = {0};
    struct bore_error e;
    swept_open(&s, "gpt2");
    s.sweep.kind = "w";
    assert_int_equal(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), BORE_BAD_INPUT);
    assert_non_null(strstr(e.text, "no kind \"w\""));
    s.sweep.kind = "z", s.sweep.align = "middle";
    assert_int_equal(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), BORE_BAD_INPUT);
    s.sweep.align = NULL, s.prompt.metric = NULL;
    assert_int_equal(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), BORE_BAD_INPUT);
    s.prompt.metric = "logit[-1, 999999]";
    assert_int_equal(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), BORE_BAD_INPUT);
    s.sweep.n_prompts = 0;
    assert_int_equal(bore_sweep(s.l.m, &s.sweep, NULL, NULL, &r, &e), BORE_BAD_INPUT);
    assert_null(r.values);
    bore_sweep_result_free(NULL);
    swept_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_stops), cmocka_unit_test(test_sets),
        cmocka_unit_test(test_estimates), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
