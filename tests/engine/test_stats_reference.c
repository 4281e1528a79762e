/* test_stats_reference.c - statistics over texts against numpy's over Hugging Face's activations,
 * and against taker's own, both in double precision (tests/fixtures/make_stats.py). */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/stats_run.h"

/* What a float32 pass may be off from a float64 one, in parts of a hook's largest value. */
#define FORWARD_ERROR 6e-6

static char path[] = "/tmp/bore-stats-reference-XXXXXX";

static const char *const names[] = {"blocks.*.mlp.hook_post", "blocks.*.attn.hook_z"};
static const struct point {
    const char *name, *hook;
} points[] = {{"mlp", "blocks.%d.mlp.hook_post"}, {"attn", "blocks.%d.attn.hook_z"}};
enum { POINTS = sizeof points / sizeof *points };

/* The texts of the file, as ids, a line for each. */
static void write_texts(const struct checkpoint *ref)
{
    const struct st_tensor *t = checkpoint_find(ref, "texts");
    FILE *f = fopen(path, "w");
    assert_non_null(t);
    assert_non_null(f);
    const int32_t *id = t->data;
    for (int64_t i = 0; i < t->shape[0]; i++) {
        for (int64_t k = 0; k < t->shape[1] && id[i * t->shape[1] + k] >= 0; k++)
            fprintf(f, "%d ", (int)id[i * t->shape[1] + k]);
        fputc('\n', f);
    }
    fclose(f);
}

static struct stats run_with(const struct model *m, const struct token_filter *filter)
{
    static const struct pair_target none = {0};
    const struct texts_options o = {.window = 24};
    const struct stats_work w = {.m = m, .options = &o, .target = &none, .filter = filter};
    struct stats s;
    struct texts *t;
    struct err e = {0};
    assert_int_equal(stats_init(&s, &m->cfg, names, 2, 0, &e), 0);
    assert_int_equal(stats_about(&s, &w, &e), 0);
    if (texts_open(&t, m, path, &o, &e) || stats_run(&s, t, &w, &e))
        fail_msg("%s", e.text);
    texts_close(t);
    return s;
}

/* One of the numbers of an element under numpy's name (borescope's), or taker's. */
static double number_of(const struct stats_site *s, const char *name, bool taker, int64_t i)
{
    double n = (double)stat_count(s, STAT_count)[i], var = stat_mean(s, STAT_variance)[i],
           pos = stat_mean(s, STAT_pos_mass)[i], neg = stat_mean(s, STAT_neg_mass)[i];
    if (!strcmp(name, "mean"))
        return stat_mean(s, STAT_mean)[i];
    if (!strcmp(name, "std"))
        return taker ? var * n / (n - 1) : sqrt(var);
    if (!strcmp(name, "variance"))
        return var;
    if (!strcmp(name, "sqrt_abs_mean") || !strcmp(name, "sqrt"))
        return stat_mean(s, STAT_sqrt_abs_mean)[i];
    if (!strcmp(name, "abs_mean"))
        return pos - neg;
    if (!strcmp(name, "pos_mass"))
        return pos;
    if (!strcmp(name, "neg_mass"))
        return neg;
    if (!strcmp(name, "min"))
        return (double)stat_bound(s, STAT_min)[i];
    if (!strcmp(name, "max"))
        return (double)stat_bound(s, STAT_max)[i];
    assert_true(!strcmp(name, "pos_frequency") || !strcmp(name, "pos_count"));
    return (double)stat_count(s, STAT_pos_count)[i] / n;
}

/* All layers of a point under one name; `scale`: of its values. */
static void compare(const struct stats *s, const struct checkpoint *ref, const struct point *p,
                    const char *who, const char *name, int32_t layers)
{
    char at[80];
    snprintf(at, sizeof at, "%s.%s.%s", who, p->name, name);
    const struct st_tensor *t = checkpoint_find(ref, at);
    assert_true(t && t->dtype == ST_F64 && t->shape[0] == layers);
    const double *want = t->data;
    for (int32_t l = 0; l < layers; l++) {
        char hook[LIMIT_NAME];
        snprintf(hook, sizeof hook, points[p - points].hook, (int)l);
        const struct stats_site *x = stats_find(s, hook);
        double most = 0;
        assert_non_null(x);
        for (int64_t i = 0; i < x->n; i++)
            most = fmax(most, fmax(-(double)stat_bound(x, STAT_min)[i],
                                   (double)stat_bound(x, STAT_max)[i]));
        bool square = !strcmp(name, "variance") || (!strcmp(name, "std") && who[0] == 't'),
             root = strstr(name, "sqrt") != NULL,
             share = !strncmp(name, "pos_", 4) && name[4] != 'm';
        double near = share    ? who[0] == 't' ? 1e-7 : 1e-12 /* taker's share is a float32 */
                      : root   ? sqrt(most * FORWARD_ERROR)   /* where a value is next to 0 */
                      : square ? 4 * most * most * FORWARD_ERROR
                               : most * FORWARD_ERROR;
        for (int64_t i = 0; i < x->n; i++) {
            double got = number_of(x, name, who[0] == 't', i);
            if (!(fabs(got - want[l * x->n + i]) <= near))
                fail_msg("%s %s[%d]: %.12g where %s has %.12g", hook, name, (int)i, got, who,
                         want[l * x->n + i]);
        }
    }
}

static void equal_numpy_and_taker(void **state)
{
    (void)state;
    static const char *const numpy[] = {"mean",     "variance",     "std",      "sqrt_abs_mean",
                                        "abs_mean", "pos_mass",     "neg_mass", "min",
                                        "max",      "pos_frequency"},
                             *const taker[] = {"mean",     "std",      "sqrt",
                                               "pos_mass", "neg_mass", "pos_count"},
                             *const models[] = {"gpt2", "opt"};
    const struct token_filter all = {0};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct fixture f = fixture_open(models[m]);
        struct checkpoint *ref = fixture_file(models[m], "stats.safetensors");
        write_texts(ref);
        struct stats s = run_with(f.m, &all);
        for (size_t k = 0; k < POINTS; k++) {
            for (size_t i = 0; i < sizeof numpy / sizeof *numpy; i++)
                compare(&s, ref, &points[k], "numpy", numpy[i], f.m->cfg.n_layers);
            for (size_t i = 0; i < sizeof taker / sizeof *taker; i++)
                compare(&s, ref, &points[k], "taker", taker[i], f.m->cfg.n_layers);
        }
        stats_free(&s);
        checkpoint_close(ref);
        fixture_close(&f);
    }
}

/* A blacklist of the tokens that follow: taker's check_skips. */
static void takers_blacklist(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct checkpoint *ref = fixture_file("gpt2", "stats.safetensors");
    const struct st_tensor *skip = checkpoint_find(ref, "skip");
    assert_non_null(skip);
    const struct token_filter filter = {.ids = skip->data, .n = 1, .without = true, .next = true},
                              all = {0};
    write_texts(ref);
    struct stats s = run_with(f.m, &filter), every = run_with(f.m, &all);
    assert_true(s.tokens < every.tokens);
    compare(&s, ref, &points[0], "taker.blacklist", "mean", f.m->cfg.n_layers);
    stats_free(&s), stats_free(&every);
    checkpoint_close(ref);
    fixture_close(&f);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equal_numpy_and_taker),
                                       cmocka_unit_test(takers_blacklist)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
