/* test_library_bounds.c - passes of the public library that start or stop at a layer: what they
 * give is the slice of a whole pass. */
#include "library.h"

#include <stdio.h>

/* Every pair of start and stop: the slices of one full run, and what lies outside is not captured.
 */
static void test_bounds(void **state)
{
    (void)state;
    char **models = fixture_names(true);
    for (char **model = models; *model; model++) {
        struct library l = library_open(*model, 1 << 20);
        struct bore_error e = {0};
        int n = bore_model_shape(l.m).n_layers;
        struct bore_cache *full = library_cache(l.m, &l.pass, NULL, 0);
        struct bore_result whole = {0};
        library_ok(bore_run(l.m, &l.pass, &whole, &e), &e);
        for (int start = -1; start < n; start++)
            for (int stop = start < 0 ? 0 : start; stop <= n + 1; stop++) {
                struct bore_tensor x = {0}, want = whole.output, got;
                struct bore_pass p = l.pass;
                struct bore_result out = {0};
                struct bore_cache *c = NULL;
                char name[64];
                if (start >= 0) {
                    snprintf(name, sizeof name, "blocks.%d.hook_resid_pre", start);
                    library_ok(bore_cache_get(full, name, &x, &e), &e);
                    p.residual = x.data, p.start_at_layer = start % 2 ? start : start - n,
                    p.tokens = NULL;
                }
                if (stop <= n) {
                    p.stops = true, p.stop_at_layer = stop == n ? n : stop % 2 ? stop : stop - n;
                    snprintf(name, sizeof name,
                             stop == n ? "blocks.%d.hook_resid_post" : "blocks.%d.hook_resid_pre",
                             stop == n ? n - 1 : stop);
                    library_ok(bore_cache_get(full, name, &want, &e), &e);
                }
                if (start == stop) { /* nothing is run, nothing can be captured */
                    library_ok(bore_run(l.m, &p, &out, &e), &e);
                } else {
                    struct bore_cache_options opt = {0};
                    library_ok(bore_run_with_cache(l.m, &p, &opt, &c, &out, &e), &e);
                    for (int i = 0; i < bore_cache_count(c); i++) {
                        const char *at_name = bore_cache_at(c, i, &got);
                        int layer = bore_point_at(l.m, bore_point_find(l.m, at_name, &e), 1, 1)
                                        .layer;
                        struct bore_tensor ref;
                        library_ok(bore_cache_get(full, at_name, &ref, &e), &e);
                        if (!library_same(&got, &ref))
                            fail_msg("%s: layers %d to %d: %s differs", *model, start, stop,
                                     at_name);
                        assert_true(layer < 0 || (layer >= start && layer < stop));
                    }
                }
                if (!library_same(&out.output, &want))
                    fail_msg("%s: layers %d to %d: the output differs", *model, start, stop);
                bore_cache_free(c);
                bore_result_free(&out);
            }
        struct bore_result after = {0};
        library_ok(bore_run(l.m, &l.pass, &after, &e), &e);
        assert_true(library_same(&after.output, &whole.output));
        bore_result_free(&after), bore_result_free(&whole);
        bore_cache_free(full);
        library_close(&l);
    }
    fixture_names_free(models);
}

struct counted {
    int calls, last_layer;
};

static int count_calls(struct bore_tensor *t, const struct bore_at *where, void *user)
{
    struct counted *c = user;
    t->data[0] += 0.5f;
    c->calls++;
    c->last_layer = where->layer;
    return 0;
}

static void test_bounds_with_hooks_and_edits(void **state)
{
    (void)state;
    struct library l = library_open("gpt2", 1 << 20);
    struct bore_error e = {0};
    struct counted c = {0};
    struct bore_hook h = {.name = "blocks.*.hook_resid_pre", .fn = count_calls, .user = &c};
    struct bore_pass p = l.pass;
    struct bore_result a = {0}, b = {0}, whole = {0};
    p.stops = true, p.stop_at_layer = 2;
    library_ok(bore_run_with_hooks(l.m, &p, &h, 1, NULL, 0, 0, &a, &e), &e);
    assert_int_equal(c.calls, 2);
    /* the rest from there, one more hook: the same as all at once */
    p = (struct bore_pass){.rows = 1,
                           .cols = l.pass.cols,
                           .residual = a.output.data,
                           .start_at_layer = 2,
                           .metric = "logit[-1, 3]"};
    library_ok(bore_run_with_hooks(l.m, &p, &h, 1, NULL, 0, 0, &b, &e), &e);
    assert_int_equal(c.calls, 3);
    assert_int_equal(c.last_layer, 2);
    library_ok(bore_run_with_hooks(l.m, &l.pass, &h, 1, NULL, 0, 0, &whole, &e), &e);
    assert_true(library_same(&whole.output, &b.output));
    static const char *const early[] = {"blocks.1.hook_mlp_out = 0"},
                             *const late[] = {"blocks.2.hook_mlp_out = mean()"};
    p.edits = early, p.n_edits = 1;
    assert_int_equal(bore_run(l.m, &p, NULL, &e), BORE_BAD_INPUT);
    assert_string_equal(e.text,
                        "blocks.1.hook_mlp_out cannot be edited · this pass starts at layer 2");
    p.edits = late;
    library_ok(bore_run(l.m, &p, NULL, &e), &e);
    struct bore_pass bad[] = {p, p, p};
    bad[0].start_at_layer = 3, bad[1].start_at_layer = -4, bad[2].stops = true,
    bad[2].metric = NULL, bad[2].stop_at_layer = 1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(bore_run(l.m, &bad[i], NULL, &e), BORE_BAD_INPUT);
    bore_result_free(&a), bore_result_free(&b), bore_result_free(&whole);
    library_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_bounds_with_hooks_and_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
