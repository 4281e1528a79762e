/* test_run.c - every site and every edit of the fixture models against the reference libraries. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double FORWARD_ERROR_MAX = 1e-5; /* of the site's largest value */

static void sync_ok(struct run *r, struct run_input in, const struct edit_program *p,
                    struct run *const *src)
{
    struct err e = {0};
    if (run_sync(r, in, p, src, NULL, &e))
        fail_msg("%s", e.text);
}

static double site_error(struct run *r, const char *name, const struct st_tensor *t)
{
    int64_t shape[SITE_RANK_MAX], count = 1;
    int rank;
    float *mine = fixture_hook(r, name, shape, &rank);
    assert_int_equal(t->rank, rank + 1);
    for (int i = 0; i < rank; i++) {
        assert_int_equal(shape[i], t->shape[i + 1]);
        count *= shape[i];
    }
    double error = 0;
    if (t->dtype == ST_I64) {
        for (int64_t i = 0; i < count; i++)
            error += fabs((double)mine[i] - (double)((const int64_t *)t->data)[i]);
    } else {
        error = fixture_error(mine, t->data, (size_t)count);
    }
    free(mine);
    return error;
}

/* All names of the cache file, for several budgets: kept, some kept, all rematerialised. */
static void test_sites(void **state)
{
    (void)state;
    char **names = fixture_names(false);
    double worst = 0;
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        for (int budget = 0; budget < 3; budget++) {
            struct run *r = fixture_run_new(f.m, NULL,
                                            budget == 0   ? SIZE_MAX / 2
                                            : budget == 1 ? 60000
                                                          : 0);
            sync_ok(r, fixture_input(&f), NULL, NULL);
            for (size_t i = 0; i < checkpoint_count(f.ref); i++) {
                const struct st_tensor *t = checkpoint_at(f.ref, i);
                double d = site_error(r,
                                      strcmp(t->name, "logits")
                                          ? t->name
                                          : site_table[site_logits(&run_model(r)->cfg)].name,
                                      t);
                worst = fmax(worst, d);
                if (!(d <= FORWARD_ERROR_MAX))
                    fail_msg("%s: %s differs by %g of its largest value", *name, t->name, d);
            }
            run_free(r);
        }
        fixture_close(&f);
    }
    fixture_names_free(names);
    print_message("largest error of any site of any model: %.2g\n", worst);
}

/* The names that fire, in order, are the library's. */
static void test_names(void **state)
{
    (void)state;
    char **names = fixture_names(false);
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct js_doc *doc = fixture_json(f.ref, "fired");
        struct alias_pick *all;
        int n = alias_list(&f.m->cfg, LIBRARY_LENS, &all, NULL);
        size_t k = 0;
        for (int i = 0; i < n; i++) {
            if (!alias_fires(&f.m->cfg, &all[i].value))
                continue;
            const char *want;
            assert_int_equal(js_string(js_at(js_root(doc), k++), &want, NULL, NULL), 0);
            assert_string_equal(all[i].name, want);
        }
        assert_int_equal(k, js_count(js_root(doc)));
        free(all);
        js_close(doc);
        fixture_close(&f);
    }
    fixture_names_free(names);
}

static int edits_of_model(const char *name, double *worst)
{
    struct fixture f = fixture_open(name);
    struct checkpoint *st = fixture_file(name, "edits.safetensors");
    int32_t n_corrupt = 0;
    int32_t *corrupt_ids = checkpoint_metadata(st, "corrupt")
                               ? fixture_ids(st, "corrupt", &n_corrupt)
                               : NULL;
    struct js_doc *doc = fixture_json(st, "edits");
    struct run *base = fixture_run_new(f.m, NULL, SIZE_MAX / 2),
               *fork = fixture_run_new(f.m, base, SIZE_MAX / 2),
               *corrupt = fixture_run_new(f.m, NULL, 0);
    sync_ok(base, fixture_input(&f), NULL, NULL);
    if (corrupt_ids)
        sync_ok(corrupt, run_ids(corrupt_ids, n_corrupt), NULL, NULL);
    int done = 0;
    for (size_t i = 0; i < js_count(js_root(doc)); i++) {
        struct js_node row = js_at(js_root(doc), i), list = js_get(row, "edits");
        const char *texts[8], *logits;
        for (size_t k = 0; k < js_count(list); k++)
            assert_int_equal(js_string(js_at(list, k), &texts[k], NULL, NULL), 0);
        assert_int_equal(js_string(js_get(row, "logits"), &logits, NULL, NULL), 0);
        struct edit_program *p = fixture_program(f.m, f.n, texts, (int32_t)js_count(list));
        sync_ok(fork, (struct run_input){0}, p, &corrupt);
        double d = site_error(fork, site_table[site_logits(&run_model(fork)->cfg)].name,
                              checkpoint_find(st, logits));
        *worst = fmax(*worst, d);
        if (!(d <= FORWARD_ERROR_MAX))
            fail_msg("%s: after %s the logits differ by %g", name, texts[0], d);
        edit_program_free(p);
        done++;
    }
    assert_int_equal(done, strtol(checkpoint_metadata(st, "count"), NULL, 10));
    run_free(fork), run_free(corrupt), run_free(base);
    js_close(doc);
    free(corrupt_ids);
    checkpoint_close(st);
    fixture_close(&f);
    return done;
}

static void test_edits(void **state)
{
    (void)state;
    char **names = fixture_names_with("edits.safetensors");
    int done = 0;
    double worst = 0;
    for (char **name = names; *name; name++)
        done += edits_of_model(*name, &worst);
    print_message("%d edits, largest error of the logits: %.2g\n", done, worst);
    fixture_names_free(names);
}

struct traced {
    int64_t attention; /* calls that were all of it */
    int64_t all;       /* calls */
};

static struct traced traced_now(const struct kn_backend *be)
{
    struct traced t = {kn_seen(be, KN_OP_ATTENTION)->calls, 0};
    for (int op = 0; op < KN_OP_COUNT; op++)
        t.all += kn_seen(be, op)->calls;
    return t;
}

/* The last residual stream of a run that keeps `cache` bytes, and the calls that made it. */
static float *traced_stream(const struct fixture *f, struct kn_backend *be, size_t cache,
                            const char *edit, struct traced *calls)
{
    char path[300];
    struct err e = {0};
    struct model *m;
    snprintf(path, sizeof path, "tests/fixtures/models/%s", f->m->name);
    if (model_open(&m, path, be, &e))
        fail_msg("%s", e.text);
    struct edit_program *p = edit ? fixture_program(m, f->n, &edit, 1) : NULL;
    struct run *r = fixture_run_new(m, NULL, cache);
    struct traced before = traced_now(be);
    sync_ok(r, fixture_input(f), p, NULL);
    struct traced after = traced_now(be);
    *calls = (struct traced){after.attention - before.attention, after.all - before.all};
    int32_t layer = m->cfg.n_layers - 1;
    float *values = malloc((size_t)f->n * (size_t)m->cfg.d_model * sizeof *values);
    if (run_read(r, (struct site_ref){site_stream(&m->cfg, layer), layer}, 0, f->n, values, NULL,
                 &e))
        fail_msg("%s", e.text);
    run_free(r);
    edit_program_free(p);
    model_close(m);
    return values;
}

/* The calls of all stages but the last, `apart`: of every step one but for products together. */
static int64_t calls_of(const struct model *m, bool apart)
{
    int64_t calls = 0;
    for (int32_t stage = 0; stage <= m->cfg.n_layers; stage++) {
        int32_t n;
        const struct step *steps = plan_stage(m->plan, stage, &n);
        for (int32_t i = 0; apart && i < n; i++)
            calls += steps[i].when == STEP_ALWAYS && !steps[i].beside;
        calls += apart ? 0 : plan_calls(steps, n, NULL);
    }
    return calls;
}

static bool is_routed(const struct config *cfg)
{
    bool any = false;
    for (int32_t layer = 0; layer < cfg->n_layers; layer++)
        any |= layer_in(&cfg->moe, layer);
    return any;
}

/* Where nobody looks in between steps are one call, and every value keeps its bits; where a value
 * is kept or edited, it is made by itself. */
static void test_fused(void **state)
{
    (void)state;
    char **names = fixture_names_with("cache.safetensors"), why[200];
    struct kn_options o = {.backend = "trace:cpu", .threads = 2, .cpu = -1};
    struct kn_backend *be = kn_open(&o, why, sizeof why);
    int models = 0;
    assert_non_null(be);
    for (char **name = names; *name; name++, models++) {
        struct fixture f = fixture_open(*name);
        struct traced in_one, in_three, edited;
        size_t bytes = (size_t)f.n * (size_t)f.m->cfg.d_model * sizeof(float);
        float *a = traced_stream(&f, be, 0, NULL, &in_one),
              *b = traced_stream(&f, be, SIZE_MAX / 4, NULL, &in_three),
              *c = traced_stream(&f, be, 0, "blocks.0.attn.hook_pattern *= 1", &edited);
        assert_memory_equal(a, b, bytes);
        assert_memory_equal(a, c, bytes);
        assert_int_equal(in_one.attention, f.m->cfg.n_layers);
        assert_int_equal(in_three.attention, 0);
        assert_int_equal(edited.attention, f.m->cfg.n_layers - 1);
        int64_t one = calls_of(f.m, false), each = calls_of(f.m, true);
        if (!is_routed(&f.m->cfg) && (in_one.all != one || in_three.all != each))
            fail_msg("%s: %lld calls, not %lld, and apart %lld, not %lld", f.m->name,
                     (long long)in_one.all, (long long)one, (long long)in_three.all,
                     (long long)each);
        free(a), free(b), free(c);
        fixture_close(&f);
    }
    print_message("%d models\n", models);
    assert_true(models > 0);
    fixture_names_free(names);
    kn_close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_sites),
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
