/* test_score.c - scores of neurons, head dimensions and heads: against taker 1.2.3
 * (tests/fixtures/make_score.py), losses against runs one by one, ranks, draws, what is refused. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/score_run.h"
#include "lab/stats.h"
#include "measure/metric.h"

#define PROMPTS "tests/fixtures/prompts/"
static const char *const models[] = {"gpt2", "opt"};
static const char *const paths[SCORE_SETS] = {PROMPTS "score_focus.txt",
                                              PROMPTS "score_cripple.txt"};
static const struct texts_options texts = {.bos = 0};
static const struct pair_target plain;

static struct score_run run_of(const struct model *m, enum score_id id)
{
    return (struct score_run){
        .id = id,
        .eps = -1,
        .set = {{paths[0], &texts, NULL}, {paths[1], &texts, NULL}},
        .work = {.m = m, .target = &plain, .with = "zero", .cache_bytes = (size_t)16 << 20}};
}

static struct scores scored(const struct score_run *w, enum score_unit unit)
{
    struct scores s, *all = &s;
    struct err e = {0};
    if (scores_init(&s, &w->work.m->cfg, unit, &e) || score_run(&all, 1, w, &e))
        fail_msg("%s", e.text);
    return s;
}

static void same(const struct scores *s, const double *want, const char *what)
{
    for (int64_t i = 0; i < s->n_layers * s->n; i++)
        if (!(fabs(s->value[i] - want[i]) <= 2e-5 * fabs(want[i]) + 3e-7))
            fail_msg("%s %d: %.10g, taker has %.10g", what, (int)i, s->value[i], want[i]);
}

static const double *wanted(const struct checkpoint *ref, const char *name, int64_t n)
{
    const struct st_tensor *t = checkpoint_find(ref, name);
    assert_non_null(t);
    assert_true(t->dtype == ST_F64 && st_count(t) == n);
    return t->data;
}

/* taker's std and rms are those of a variance: here they have names of their own. */
static void as_taker(void **state)
{
    (void)state;
    static const struct {
        enum score_id id;
        const char *name;
    } of[] = {{SCORE_freq, "freq"}, {SCORE_sqrt, "sqrt"},     {SCORE_abs, "abs"},
              {SCORE_mean, "mean"}, {SCORE_taker_std, "std"}, {SCORE_taker_rms, "rms"}};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct fixture f = fixture_open(models[m]);
        struct checkpoint *ref = fixture_file(models[m], "score.safetensors");
        for (size_t i = 0; i < sizeof of / sizeof *of; i++)
            for (int u = SCORE_NEURONS; u <= SCORE_DIMS; u++) {
                char name[64];
                struct score_run w = run_of(f.m, of[i].id);
                struct scores s = scored(&w, (enum score_unit)u);
                snprintf(name, sizeof name, "%s.%s", score_unit_names[u], of[i].name);
                same(&s, wanted(ref, name, s.n_layers * s.n), name);
                scores_free(&s);
            }
        checkpoint_close(ref);
        fixture_close(&f);
    }
}

/* By their true names: taker's "mean" takes the median. */
static void heads_of_dims(void **state)
{
    (void)state;
    static const char *const names[] = {"heads.mean", "heads.median"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct fixture f = fixture_open(models[m]);
        struct checkpoint *ref = fixture_file(models[m], "score.safetensors");
        for (int by = SCORE_BY_MEAN; by <= SCORE_BY_MEDIAN; by++) {
            struct score_run w = run_of(f.m, SCORE_abs);
            w.by = (enum score_heads)by;
            struct scores s = scored(&w, SCORE_HEADS);
            same(&s, wanted(ref, names[by], s.n_layers * s.n), names[by]);
            scores_free(&s);
        }
        checkpoint_close(ref);
        fixture_close(&f);
    }
}

/* ---- std, rms: what they say they are ---- */

static void true_spread(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct score_run w = run_of(f.m, SCORE_std), r = run_of(f.m, SCORE_rms),
                     v = run_of(f.m, SCORE_taker_std), a = run_of(f.m, SCORE_mean);
    struct scores std = scored(&w, SCORE_NEURONS), rms = scored(&r, SCORE_NEURONS),
                  var = scored(&v, SCORE_NEURONS), mean = scored(&a, SCORE_NEURONS);
    double tokens = 0;
    struct texts *t;
    struct text_piece p;
    assert_int_equal(texts_open(&t, f.m, paths[SCORE_CRIPPLE], &texts, NULL), 0);
    while (texts_next(t, &p, NULL) > 0)
        tokens += p.n;
    texts_close(t);
    for (int64_t i = 0; i < std.n_layers * std.n; i++) {
        double s = std.cripple[i], m = mean.cripple[i];
        assert_true(fabs(s * s * tokens / (tokens - 1) - var.cripple[i]) < 1e-12);
        assert_true(fabs(sqrt(s * s + m * m) - rms.cripple[i]) < 1e-12);
        assert_true(std.value[i] == s / (std.focus[i] + 1e-3));
    }
    scores_free(&std), scores_free(&rms), scores_free(&var), scores_free(&mean);
    fixture_close(&f);
}

/* ---- losses ---- */

/* Mean loss per token over a set, with an edit. */
static double loss_with(const struct model *m, const char *path, const char *text)
{
    const struct metric loss = {.n = 1, .terms = {{.kind = METRIC_LOSS, .factor = 1}}};
    struct edit *ed = NULL;
    struct texts *t;
    struct text_piece p;
    struct pair *pair;
    double sum = 0, tokens = 0;
    if (text)
        assert_int_equal(edit_parse(&ed, text, NULL), 0);
    assert_int_equal(texts_open(&t, m, path, &texts, NULL), 0);
    assert_int_equal(pair_open(&pair, m, (size_t)16 << 20, NULL), 0);
    while (texts_next(t, &p, NULL) > 0) {
        const struct pair_target target = {
            .input = run_ids(p.tokens, p.n), .edits = &ed, .n_edits = text ? 1 : 0};
        double x;
        if (p.n < 2)
            continue;
        assert_int_equal(pair_sync(pair, &target, NULL, NULL), 0);
        assert_int_equal(metric_value(&loss, pair_shown(pair), NULL, &x, NULL), 0);
        sum += x * (p.n - 1), tokens += p.n - 1;
    }
    pair_close(pair);
    texts_close(t);
    edit_free(ed);
    return sum / tokens;
}

static const struct {
    enum score_unit unit;
    int64_t at;
    const char *all, *little;
} units[] = {
    {SCORE_HEADS, 4, "blocks.1.attn.hook_z[:, 1] = 0", "blocks.1.attn.hook_z[:, 1] *= %.9g"},
    {SCORE_NEURONS, 7, "blocks.0.mlp.hook_post[:, 7] = 0", "blocks.0.mlp.hook_post[:, 7] *= %.9g"},
    {SCORE_DIMS, 12, "blocks.0.attn.hook_z[:, 2, 2] = 0", "blocks.0.attn.hook_z[:, 2, 2] *= %.9g"},
};

static void ablation_is_exact(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2"); /* 3 heads of 5 */
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct score_run w = run_of(f.m, SCORE_ablation);
        struct scores s = scored(&w, units[i].unit);
        for (int k = 0; k < SCORE_SETS; k++) {
            double want = loss_with(f.m, paths[k], units[i].all) - loss_with(f.m, paths[k], NULL),
                   have = (k ? s.cripple : s.focus)[units[i].at];
            if (!(fabs(have - want) < 2e-6))
                fail_msg("%s: %.9g instead of %.9g", units[i].all, have, want);
        }
        assert_true(s.value[units[i].at] == s.cripple[units[i].at] - s.focus[units[i].at]);
        scores_free(&s);
    }
    fixture_close(&f);
}

/* d loss / d s at 1 of x -> s x, backwards: what attribution puts 0 for. */
static void attribution_is_the_slope(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct score_run w = run_of(f.m, SCORE_attribution);
        struct scores s = scored(&w, units[i].unit);
        for (int k = 0; k < SCORE_SETS; k++) {
            char less[80], more[80];
            const double h = 0.01;
            snprintf(less, sizeof less, units[i].little, 1 - h); /* NOLINT: a format of this file */
            snprintf(more, sizeof more, units[i].little, 1 + h); /* NOLINT */
            double want = (loss_with(f.m, paths[k], less) - loss_with(f.m, paths[k], more)) /
                          (2 * h),
                   have = (k ? s.cripple : s.focus)[units[i].at];
            if (!(fabs(have - want) < 1e-5 + 0.01 * fabs(want)))
                fail_msg("%s: %.9g instead of %.9g", units[i].all, have, want);
        }
        scores_free(&s);
    }
    fixture_close(&f);
}

/* ---- ranks and draws ---- */

static void ranks(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct scores s;
    int64_t order[64], n;
    assert_int_equal(scores_init(&s, &f.m->cfg, SCORE_HEADS, NULL), 0);
    n = s.n_layers * s.n;
    for (int64_t i = 0; i < n; i++)
        s.value[i] = (double)(i % 3);
    s.value[2] = NAN;
    assert_int_equal(scores_rank(&s, order, NULL), 0);
    assert_int_equal(order[0], 5); /* equal ones in their order */
    assert_int_equal(order[1], 8);
    assert_int_equal(order[2], 1);
    assert_int_equal(order[n - 1], 2);
    scores_free(&s);
    fixture_close(&f);
}

static void draws(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct score_run w = run_of(f.m, SCORE_rand);
    struct scores a = scored(&w, SCORE_NEURONS), b = scored(&w, SCORE_NEURONS);
    w.seed = 8;
    struct scores c = scored(&w, SCORE_NEURONS);
    size_t n = (size_t)(a.n_layers * a.n);
    double mean = 0, square = 0;
    assert_memory_equal(a.value, b.value, n * sizeof *a.value);
    assert_memory_not_equal(a.value, c.value, n * sizeof *a.value);
    for (size_t i = 0; i < n; i++)
        mean += a.value[i] / (double)n, square += a.value[i] * a.value[i] / (double)n;
    assert_true(fabs(mean) < 0.3 && square > 0.7 && square < 1.3);
    scores_free(&a), scores_free(&b), scores_free(&c);
    fixture_close(&f);
}

/* ---- refused ---- */

static void refused(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct stats none = {0};
    struct scores s, *all = &s;
    struct err e = {0};
    enum score_id id;
    struct score_run w = run_of(f.m, SCORE_abs);
    assert_int_equal(scores_init(&s, &f.m->cfg, SCORE_NEURONS, NULL), 0);
    w.set[SCORE_CRIPPLE] = (struct score_set){.stats = &none};
    assert_int_equal(score_run(&all, 1, &w, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "cripple · blocks.0.mlp.hook_post"));
    w.id = SCORE_ablation;
    assert_int_equal(score_run(&all, 1, &w, &e), ERR_USAGE);
    const struct texts_options over = {.window = 4, .stride = 2};
    w = run_of(f.m, SCORE_attribution);
    w.set[SCORE_FOCUS].texts = &over;
    assert_int_equal(score_run(&all, 1, &w, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "windows overlap"));
    assert_int_equal(score_find("frequency", &id, &e), ERR_USAGE);
    assert_non_null(strstr(e.text, "freq"));
    scores_free(&s);
    fixture_close(&f);
    struct model *moe = fixture_shape("mixtral");
    assert_int_equal(scores_init(&s, &moe->cfg, SCORE_NEURONS, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "mixtures of experts"));
    scores_free(&s);
    model_close(moe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_taker),
        cmocka_unit_test(heads_of_dims),
        cmocka_unit_test(true_spread),
        cmocka_unit_test(ablation_is_exact),
        cmocka_unit_test(attribution_is_the_slope),
        cmocka_unit_test(ranks),
        cmocka_unit_test(draws),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
