/* test_split.c - a model whose layers are spread over devices, each behind memory of its own: the
 * values are those of one device, to the bit, also after memory or a device failed.  That its
 * values are the reference library's is shown by the tests named split_*. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "faults.h"
#include "measure/capture.h"

enum { N = 9 };

static const char *const edits[] = {
    "blocks.0.attn.hook_z[2:, 1] *= 0.5",
    "blocks.1.attn.W_Q[1] *= 0.5",
    "blocks.1.hook_mlp_out[3] = mean()",
    "blocks.1.hook_resid_post[-1] += 0.25",
};
enum { EDITS = sizeof edits / sizeof *edits };

static struct model *opened(const char *backend, const char *name)
{
    char why[200], path[128];
    struct kn_options opt = {.backend = backend, .threads = 1, .cpu = -1};
    struct kn_backend *be = kn_open(&opt, why, sizeof why);
    struct model *m = NULL;
    struct err e = {0};
    snprintf(path, sizeof path, "tests/fixtures/models/%s", name);
    if (!be || model_open(&m, path, be, &e))
        fail_msg("%s%s", why, e.text);
    return m;
}

static void closed(struct model *m)
{
    struct kn_backend *be = m->be;
    model_close(m);
    kn_close(be);
}

/* A base run and its fork under edits. */
struct runs {
    struct run *base, *fork;
    struct edit_program *program;
};

static struct runs runs_new(const struct model *m, size_t cache_bytes)
{
    struct runs r = {fixture_run_new(m, NULL, cache_bytes), NULL, NULL};
    r.fork = fixture_run_new(m, r.base, cache_bytes);
    r.program = fixture_program(m, N, edits, EDITS);
    return r;
}

static int runs_sync(const struct runs *r, struct err *e)
{
    int32_t tokens[N];
    for (int i = 0; i < N; i++)
        tokens[i] = (i * 7 + 3) % 11;
    int rc = run_sync(r->base, run_ids(tokens, N), NULL, NULL, NULL, e);
    return rc ? rc : run_sync(r->fork, (struct run_input){0}, r->program, NULL, NULL, e);
}

static void runs_free(struct runs *r)
{
    edit_program_free(r->program);
    run_free(r->fork), run_free(r->base);
}

/* Gradients of a metric over the whole prompt, at every hook, as one number. */
static double gradients(const struct runs *r)
{
    const struct model *m = run_model(r->fork);
    struct err e = {0};
    struct metric metric;
    struct capture_list l = {.m = m, .run = r->fork, .columns = N};
    const char *names[] = {"*"};
    const struct capture_want want = {.names = names, .n_names = 1, .end = INT32_MAX};
    double sum = 0;
    if (metric_parse(&metric, "loss + kl", m->tok, m->cfg.d_vocab, &e) ||
        captures_select(&l, &want, &e) || captures_add_gradients(&l, l.n, &e) ||
        captures_differentiate(&l, r->base, &metric, &e))
        fail_msg("%s", e.text);
    for (int i = 0; i < l.n; i++)
        for (int64_t k = 0; l.item[i].gradient && k < capture_count(&l, &l.item[i]); k++)
            sum += (double)(k % 17 + 1) * (double)l.item[i].values[k];
    captures_close(&l);
    return sum;
}

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "gpt2", "mixtral", "gemma2"};
    static const char *const spread[] = {"split:fence:cpu,fence:cpu", "split:cpu,cpu,cpu",
                                         "split:cpu,fence:cpu"};
    enum { SPREADS = sizeof spread / sizeof *spread };
    static const size_t budgets[] = {SIZE_MAX / 4, 0};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int b = 0; b < 2; b++)
            for (int k = 0; k < SPREADS; k++) {
                uint64_t hash[2];
                double grad[2];
                for (int where = 0; where < 2; where++) {
                    struct model *m = opened(where ? spread[k] : "cpu", models[i]);
                    struct runs r = runs_new(m, budgets[b]);
                    struct err e = {0};
                    if (runs_sync(&r, &e))
                        fail_msg("%s", e.text);
                    hash[where] = fixture_hash(r.base) ^ 3 * fixture_hash(r.fork);
                    grad[where] = gradients(&r);
                    runs_free(&r);
                    closed(m);
                }
                assert_true(grad[0] != 0);
                if (hash[0] != hash[1] || grad[0] != grad[1])
                    fail_msg("%s on %s: %.17g, not %.17g", models[i], spread[k], grad[1], grad[0]);
            }
}

/* Weights and values lie where their layer does. */
static void test_places(void **state)
{
    (void)state;
    struct model *m = opened("split:fence:cpu,fence:cpu", "llama_tied");
    struct kn_backend *first = model_backend(m, 0), *last = model_backend(m, m->cfg.n_layers + 1);
    assert_ptr_equal(first, m->be);
    assert_ptr_not_equal(first, last);
    assert_ptr_equal(model_weight_backend(m, 0, W_E), first);
    assert_ptr_equal(model_weight_backend(m, 0, W_U), last);
    assert_ptr_equal(model_weight_backend(m, m->cfg.n_layers - 1, W_Q),
                     model_backend(m, m->cfg.n_layers));
    for (int part = 0; part < 2; part++) {
        fixture_count(part ? last : first);
        struct runs r = runs_new(m, 0);
        struct err e = {0};
        assert_int_equal(runs_sync(&r, &e), 0);
        assert_true(fixture_bytes() > 0);
        runs_free(&r);
        assert_int_equal(fixture_bytes(), 0);
        fixture_count(NULL);
    }
    /* A weight that two stages share has a copy on each of their devices. */
    assert_ptr_equal(model_weight(m, 0, W_E)->data, model_weight(m, 0, W_U)->data);
    assert_int_equal(model_import_stage(m, m->cfg.n_layers + 1, NULL), KN_OK);
    assert_true(model_device_weight(m, 0, W_E)->ndim && model_device_weight(m, 0, W_U)->ndim);
    assert_ptr_not_equal(model_device_weight(m, 0, W_E)->data,
                         model_device_weight(m, 0, W_U)->data);
    closed(m);
}

/* A run that goes from prompt to prompt, edited and not, has each time the values of a new one: no
 * copy of an operand outlives what it was made of. */
static void test_reruns(void **state)
{
    (void)state;
    static const struct {
        int32_t n, step;
        bool edited;
    } targets[] = {{6, 3, false}, {6, 3, true},  {9, 3, true},  {9, 5, true},
                   {4, 5, false}, {40, 5, true}, {40, 3, true}, {39, 3, false}};
    struct model *m = opened("split:fence:cpu,fence:cpu", "llama");
    for (int b = 0; b < 2; b++) {
        struct run *r = fixture_run_new(m, NULL, b ? SIZE_MAX / 4 : 0);
        for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
            int32_t tokens[40], n = targets[i].n;
            for (int k = 0; k < n; k++)
                tokens[k] = (k * (k < 3 ? 7 : targets[i].step) + 3) % 11;
            struct edit_program *p = fixture_program(m, n, edits, targets[i].edited ? 2 : 0);
            struct run *anew = fixture_run_new(m, NULL, 0);
            struct err e = {0};
            assert_int_equal(run_sync(r, run_ids(tokens, n), p, NULL, NULL, &e), 0);
            assert_int_equal(run_sync(anew, run_ids(tokens, n), p, NULL, NULL, &e), 0);
            if (fixture_hash(r) != fixture_hash(anew))
                fail_msg("other values at target %zu", i);
            run_free(anew);
            edit_program_free(p);
        }
        run_free(r);
    }
    closed(m);
}

/* Wherever memory fails on the way, the next call is true. */
static void test_faults(void **state)
{
    (void)state;
    struct model *m = opened("split:fence:cpu,fence:cpu", "llama");
    struct runs r = runs_new(m, 0);
    struct err e = {0};
    assert_int_equal(runs_sync(&r, &e), 0);
    uint64_t want = fixture_hash(r.fork);
    runs_free(&r);
    long n = 0, met = 1;
    for (; met; n++) {
        r = runs_new(m, 0);
        fault_set(FAULT_MEMORY, n, false);
        int rc = runs_sync(&r, &e);
        met = fault_clear();
        assert_true(met || !rc);
        if (rc && ((e.code != ERR_SYSTEM && e.code != ERR_DEVICE) || !strstr(e.text, "memory")))
            fail_msg("%s", e.text);
        e = (struct err){0};
        assert_int_equal(runs_sync(&r, &e), 0);
        if (fixture_hash(r.fork) != want)
            fail_msg("other values after allocation %ld failed", n);
        runs_free(&r);
    }
    assert_true(n > 50);
    closed(m);
}

/* A device that is gone after so many calls; what it says is what the run says. */
static const struct kn_backend_type *right;
static int calls_left;

static enum kn_status lost_run(struct kn_backend *be, const struct kn_call *call)
{
    return --calls_left == 0 ? KN_DEVICE_LOST : right->run(be, call);
}

static void test_lost(void **state)
{
    (void)state;
    struct model *m = opened("split:fence:cpu,fence:cpu", "llama");
    struct kn_backend *last = model_backend(m, m->cfg.n_layers + 1);
    struct runs r = runs_new(m, 0);
    struct err e = {0};
    assert_int_equal(runs_sync(&r, &e), 0);
    uint64_t want = fixture_hash(r.fork);
    runs_free(&r);
    right = last->type;
    struct kn_backend_type type = *right;
    type.run = lost_run;
    last->type = &type;
    for (int n = 1; n < 8; n++) {
        r = runs_new(m, 0);
        calls_left = n;
        assert_int_equal(runs_sync(&r, &e), ERR_DEVICE);
        assert_non_null(strstr(e.text, "the device was lost"));
        e = (struct err){0};
        assert_int_equal(runs_sync(&r, &e), 0);
        assert_true(fixture_hash(r.fork) == want);
        runs_free(&r);
    }
    last->type = right;
    closed(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_places),
        cmocka_unit_test(test_reruns),    cmocka_unit_test(test_faults),
        cmocka_unit_test(test_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
