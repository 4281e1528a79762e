/* test_sweep_attribute.c - what the cells of a sweep give to first order: as the maps of kinds have
 * it, as the sweep itself has it where edits are small, and of edits with holes of any form. */
#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute_set.h"

enum { CACHE = 1 << 22, LONG = 9 };
static const int32_t ids[2][LONG] = {{3, 17, 42, 8, 8, 29, 3, 17, 42},
                                     {5, 17, 11, 26, 26, 29, 44, 17, 2}};
#define METRIC "logit[-1, 5] - logprob[2, 11]"

/* A sweep and what its cells give. */
struct found {
    struct sweep *s;
    float *values, *errors;
    bool *there;
    int32_t n;
};

static struct found estimate(const struct fixture *f, const struct sweep_want *w)
{
    struct found x = {0};
    struct err e = {0};
    if (sweep_open(&x.s, f->m, w, &e))
        fail_msg("%s", e.text);
    x.n = sweep_cells(x.s);
    x.values = calloc((size_t)x.n, sizeof *x.values);
    x.errors = calloc((size_t)x.n, sizeof *x.errors);
    x.there = calloc((size_t)x.n, sizeof *x.there);
    if (sweep_attribute(x.s, x.values, x.errors, x.there, &e))
        fail_msg("%s", e.text);
    return x;
}

static void found_free(struct found *x)
{
    sweep_close(x->s);
    free(x->values), free(x->errors), free(x->there);
}

static struct pair_prompt clean = {"clean", ids[1], LONG, NULL};
static struct sweep_prompt prompt(const char *metric)
{
    return (struct sweep_prompt){run_ids(ids[0], LONG), &clean, 1, metric};
}

static struct edit *parsed(const char *text)
{
    struct edit *out = NULL;
    struct err e = {0};
    if (edit_parse(&out, text, &e))
        fail_msg("%s", e.text);
    return out;
}

/* Every kind, with whole-axis sums, bundles and grouped heads among them. */
static void kinds_are_as_their_maps(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama"};
    static const char *const withs[] = {"zero", "from(clean)", "*= 0.25", "freeze"};
    for (int i = 0; i < 2; i++) {
        struct fixture f = fixture_open(models[i]);
        struct edit *other = parsed("blocks.0.hook_mlp_out[3] *= 0.5");
        struct sweep_prompt p = prompt(METRIC);
        int done = 0;
        for (int k = 0; k < sweep_kind_count; k++) {
            struct sweep_want w = {.kind = sweep_kinds[k].name,
                                   .with = withs[k % 4],
                                   .edits = &other,
                                   .n_edits = 1,
                                   .prompts = &p,
                                   .n_prompts = 1,
                                   .cache_bytes = CACHE};
            struct pair_target shared = {.edits = &other, .n_edits = 1};
            struct attribute_options o = {.method = ATTRIBUTE_ATP,
                                          .kind = &sweep_kinds[k],
                                          .with = withs[k % 4],
                                          .cache_bytes = CACHE};
            struct attribution map = {0};
            struct err e = {0};
            float *errors = NULL;
            if (attribute_set(&map, &errors, f.m, &shared, &p, 1, &o, CACHE, &e))
                continue; /* this model has it not */
            struct found x = estimate(&f, &w);
            assert_int_equal(x.n, attribution_count(&map));
            assert_true(fabs(map.metric - sweep_base(x.s)) < 1e-6);
            double most = 0;
            for (int32_t c = 0; c < x.n; c++)
                most = fmax(most, fabs((double)map.values[c]));
            for (int32_t c = 0; c < x.n; c++)
                if (!map.there || map.there[c]) {
                    assert_true(x.there[c]);
                    if (!(fabs((double)x.values[c] - (double)map.values[c]) <=
                          1e-5 * (most + 1e-3)))
                        fail_msg("%s %s cell %d: %g, the map has %g", models[i], w.kind, (int)c,
                                 (double)x.values[c], (double)map.values[c]);
                }
            done++;
            attribution_free(&map);
            free(errors);
            found_free(&x);
        }
        assert_true(done >= 12);
        edit_free(other);
        fixture_close(&f);
    }
}

/* Edits that hardly change anything: the sweep's own changes, whatever the edits' form. */
static void small_edits_are_as_the_sweep(void **state)
{
    (void)state;
    static const char *const sets[][2] = {
        {"blocks.{layer}.attn.hook_z[{pos}, {head}] *= 0.999"},
        {"blocks.{layer}.hook_resid_post[{pos=1,-2,0}] += {times=0.001,0.002} * from(clean)"},
        {"blocks.{layer}.mlp.hook_post[:, {at=0|3:9|{1,5}}] *= 0.999",
         "blocks.{layer}.attn.hook_v[2:5] *= 1.0005"},
        {"blocks.{at=0.hook_mlp_out|1.attn.hook_z[:, 2]} *= 1.001"},
    };
    struct fixture f = fixture_open("gpt2");
    struct edit *other = parsed("blocks.0.hook_attn_out[2:] *= 0.5");
    struct sweep_prompt p[2] = {prompt(METRIC), prompt("2 * logit[-2, 7]")};
    p[1].input = run_ids(ids[1], LONG);
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        struct sweep_want w = {.set = sets[k],
                               .n_set = sets[k][1] ? 2 : 1,
                               .edits = &other,
                               .n_edits = 1,
                               .prompts = p,
                               .n_prompts = 2,
                               .cache_bytes = CACHE};
        struct err e = {0};
        struct found x = estimate(&f, &w);
        if (sweep_step(x.s, SWEEP_CELLS_MAX, NULL, NULL, &e))
            fail_msg("%s", e.text);
        double most = 0;
        for (int32_t c = 0; c < x.n; c++)
            most = fmax(most, fabs(sweep_value(x.s, c, NULL) - sweep_base(x.s)));
        assert_true(most > 0);
        for (int32_t c = 0; c < x.n; c++) {
            double change = sweep_value(x.s, c, NULL) - sweep_base(x.s);
            if (!(fabs((double)x.values[c] - change) <= 0.02 * most))
                fail_msg("set %zu cell %d: %g, the sweep has %g", k, (int)c, (double)x.values[c],
                         change);
            assert_true(x.there[c] && x.errors[c] >= 0);
        }
        found_free(&x);
    }
    edit_free(other);
    fixture_close(&f);
}

static void choices_take_a_part(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct sweep_prompt p = prompt(METRIC);
    static const char *const choices[] = {"layer=1", "pos=-1,2"};
    struct sweep_want w = {
        .kind = "z", .with = "zero", .prompts = &p, .n_prompts = 1, .cache_bytes = CACHE};
    struct found all = estimate(&f, &w);
    w.choose = (struct sweep_choose){choices, 2};
    struct found some = estimate(&f, &w);
    int32_t heads = f.m->cfg.n_heads;
    assert_int_equal(some.n, 2 * heads);
    for (int32_t h = 0; h < heads; h++) {
        assert_true(some.values[h] == all.values[(LONG + LONG - 1) * heads + h]);
        assert_true(some.values[heads + h] == all.values[(LONG + 2) * heads + h]);
    }
    found_free(&all), found_free(&some);
    fixture_close(&f);
}

static void what_has_no_first_order_is_refused(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    static const struct {
        const char *set, *receiver, *normalize, *metric, *says;
    } rows[] = {
        {"blocks.{layer}.attn.W_O[0] = 0", NULL, NULL, METRIC, "an edit of weights"},
        {"blocks.{layer}.hook_mlp_out = 0", NULL, "clean", METRIC, "no paths and no scores"},
        {"blocks.0.attn.hook_z[:, {head}] = 0", "blocks.1.hook_mlp_out", NULL, METRIC, "no paths"},
        {"blocks.{layer}.hook_mlp_out = 0", NULL, NULL, "rank[-1, 5]", "gradient"},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        struct sweep_prompt p = prompt(rows[k].metric);
        struct sweep_want w = {.set = &rows[k].set,
                               .n_set = 1,
                               .receivers = &rows[k].receiver,
                               .n_receivers = rows[k].receiver != NULL,
                               .normalize = rows[k].normalize,
                               .prompts = &p,
                               .n_prompts = 1,
                               .cache_bytes = CACHE};
        struct sweep *s = NULL;
        struct err e = {0};
        if (sweep_open(&s, f.m, &w, &e))
            fail_msg("%s", e.text);
        size_t n = (size_t)sweep_cells(s);
        float *v = calloc(2 * n, sizeof *v);
        bool *there = calloc(n, sizeof *there);
        assert_int_not_equal(sweep_attribute(s, v, v + n, there, &e), 0);
        if (!strstr(e.text, rows[k].says))
            fail_msg("\"%s\" lacks \"%s\"", e.text, rows[k].says);
        free(v), free(there);
        sweep_close(s);
    }
    fixture_close(&f);
}

/* kl is from the run without any edit, also where edits are in force in every cell. */
static void kl_is_from_the_run_without_edits(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct err e = {0};
    static const char *const sets[] = {"blocks.{layer}.hook_mlp_out = frozen"};
    struct edit *other = parsed("blocks.1.hook_mlp_out = 0");
    struct sweep_prompt p = prompt("kl");
    struct sweep_want w = {.set = sets,
                           .n_set = 1,
                           .edits = &other,
                           .n_edits = 1,
                           .prompts = &p,
                           .n_prompts = 1,
                           .cache_bytes = CACHE};
    struct found x = {0};
    struct pair *pair = NULL;
    struct metric m;
    double value;
    struct pair_target t = {.input = p.input, .edits = &other, .n_edits = 1};
    if (sweep_open(&x.s, f.m, &w, &e) || sweep_step(x.s, SWEEP_CELLS_MAX, NULL, NULL, &e) ||
        metric_parse(&m, "kl", f.m->tok, f.m->cfg.d_vocab, &e) ||
        pair_open(&pair, f.m, CACHE, &e) || pair_sync(pair, &t, NULL, &e) ||
        metric_value(&m, pair_shown(pair), pair_run(pair, FACE_BASE), &value, &e))
        fail_msg("%s", e.text);
    assert_true(value > 0 && sweep_base(x.s) == value);
    assert_true(sweep_value(x.s, 0, NULL) == value); /* layer 0 gives what it gave anyway */
    assert_true(sweep_value(x.s, 1, NULL) == 0);     /* layer 1 has its own again */
    const char *next[] = {"2 * kl"};
    if (sweep_metric(x.s, next, &e) || sweep_step(x.s, SWEEP_CELLS_MAX, NULL, NULL, &e))
        fail_msg("%s", e.text);
    assert_true(sweep_value(x.s, 0, NULL) == 2 * value && sweep_value(x.s, 1, NULL) == 0);
    pair_close(pair);
    sweep_close(x.s);
    edit_free(other);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_as_their_maps),
        cmocka_unit_test(small_edits_are_as_the_sweep),
        cmocka_unit_test(choices_take_a_part),
        cmocka_unit_test(what_has_no_first_order_is_refused),
        cmocka_unit_test(kl_is_from_the_run_without_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
