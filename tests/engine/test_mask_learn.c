/* test_mask_learn.c - learned masks: the gradient of a step against differences, what steps do to
 * the objective, the file they leave. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab/mask_learn.h"
#include "measure/metric.h"

static const char *const set = "tests/fixtures/prompts/score_focus.txt";
static const struct texts_options texts = {.bos = 0, .limit = 2};
static const struct pair_target plain;

struct bed {
    struct fixture f;
    struct pruned p;
    float *theta[PRUNE_PARTS];
    char path[40];
};

static struct bed open_bed(const char *name)
{
    struct bed b = {.f = fixture_open(name), .path = "/tmp/bore-masks-XXXXXX.safetensors"};
    uint32_t seed = 9;
    assert_int_equal(pruned_init(&b.p, &b.f.m->cfg, NULL), 0);
    for (int k = 0; k < PRUNE_PARTS; k++) {
        size_t n = (size_t)b.p.n_layers * (size_t)b.p.part[k].n;
        assert_non_null(b.theta[k] = malloc(n * sizeof **b.theta));
        for (size_t i = 0; i < n; i++)
            b.theta[k][i] = (float)(fixture_random(&seed) % 400) / 100.0F - 1;
    }
    assert_int_equal(close(mkstemps(b.path, 12)), 0);
    return b;
}

static void close_bed(struct bed *b)
{
    unlink(b->path);
    free(b->theta[0]), free(b->theta[1]);
    pruned_free(&b->p);
    fixture_close(&b->f);
}

/* KL(base || masked), the mean over positions, of one window under the masks of a file. */
static double kl_of(const struct bed *b, const struct text_piece *p)
{
    char **text;
    int32_t n;
    struct pair *pair;
    struct edit *edits[16];
    double sum = 0;
    assert_int_equal(
        prune_masks_write(&b->p, &(struct prune_masks){{b->theta[0], b->theta[1]}, {NULL, NULL}},
                          "sigmoid", b->path, NULL),
        0);
    assert_int_equal(
        mask_edits(&b->p, (const float *const *)b->theta, b->path, "sigmoid", &text, &n, NULL), 0);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(edit_parse(&edits[i], text[i], NULL), 0);
    const struct pair_target t = {.input = run_ids(p->tokens, p->n), .edits = edits, .n_edits = n};
    assert_int_equal(pair_open(&pair, b->f.m, (size_t)16 << 20, NULL), 0);
    assert_int_equal(pair_sync(pair, &t, NULL, NULL), 0);
    for (int32_t i = 0; i < p->n; i++) { /* one position at a time, as the language has it */
        const struct metric m = {.n = 1, .terms = {{.kind = METRIC_KL, .factor = 1, .pos = i}}};
        double x;
        assert_int_equal(
            metric_value(&m, pair_run(pair, FACE_EDITED), pair_run(pair, FACE_BASE), &x, NULL), 0);
        sum += x / p->n;
    }
    pair_close(pair);
    for (int32_t i = 0; i < n; i++)
        edit_free(edits[i]);
    prune_edits_free(text, n);
    return sum;
}

static double kl_mean(const struct bed *b)
{
    struct texts *t;
    struct text_piece p;
    double sum = 0;
    int n = 0;
    assert_int_equal(texts_open(&t, b->f.m, set, &texts, NULL), 0);
    for (; texts_next(t, &p, NULL) > 0; n++)
        sum += kl_of(b, &p);
    texts_close(t);
    return sum / n;
}

static struct mask_learn work_of(const struct bed *b)
{
    return (struct mask_learn){.m = b->f.m,
                               .target = &plain,
                               .set = {set, &texts, NULL},
                               .theta = {b->theta[0], b->theta[1]},
                               .rate = 1e-4,
                               .steps = 1,
                               .windows = 2,
                               .cache_bytes = (size_t)16 << 20,
                               .path = b->path};
}

static void read_masks(struct bed *b)
{
    struct checkpoint *st = fixture_tensors(b->path);
    char name[80], buf[64];
    for (int k = 0; k < PRUNE_PARTS; k++)
        for (int32_t l = 0; l < b->p.n_layers; l++) {
            const struct pruned_part *q = &b->p.part[k];
            snprintf(name, sizeof name, "%s.param", prune_mask_name((enum prune_part)k, l, buf));
            const struct st_tensor *t = checkpoint_find(st, name);
            assert_non_null(t);
            assert_int_equal(st_count(t), q->n);
            memcpy(b->theta[k] + l * q->n, t->data, t->nbytes);
        }
    assert_string_equal(checkpoint_metadata(st, "mask_fn"), "sigmoid");
    checkpoint_close(st);
}

/* Adam's first step moves each mask by the rate against the sign of its gradient (where that is not
 * tiny): so signs tell, and along all of them KL falls by rate times the sum of their sizes. */
static void signs_of_the_gradient(void **state)
{
    (void)state;
    static const char *const models[] = {"gpt2", "llama"};
    for (size_t m = 0; m < 2; m++) {
        struct bed b = open_bed(models[m]);
        struct mask_learn w = work_of(&b);
        struct err e = {0};
        const struct {
            int part;
            int64_t at;
        } some[] = {{PRUNE_NEURONS, 3}, {PRUNE_NEURONS, 31}, {PRUNE_DIMS, 2}, {PRUNE_DIMS, 19}};
        double slope[4];
        float before[4];
        for (int i = 0; i < 4; i++) {
            float *x = &b.theta[some[i].part][some[i].at], at = *x;
            *x = at + 0.1F;
            double more = kl_mean(&b);
            *x = at - 0.1F;
            slope[i] = (more - kl_mean(&b)) / 0.2;
            *x = before[i] = at;
        }
        if (mask_learn(&b.p, &w, &e))
            fail_msg("%s", e.text);
        read_masks(&b);
        int told = 0;
        for (int i = 0; i < 4; i++) {
            double moved = (double)b.theta[some[i].part][some[i].at] - (double)before[i];
            if (fabs(slope[i]) < 1e-5)
                continue;
            told++;
            if (!(fabs(moved + copysign(w.rate, slope[i])) < 0.02 * w.rate))
                fail_msg("%s: unit %d moved by %g, the slope is %g", models[m], i, moved, slope[i]);
        }
        assert_true(told >= 2);
        close_bed(&b);
    }
}

struct seen {
    double first, last, mean;
    int n;
};

static int told(void *user, const struct mask_step *s, struct err *e)
{
    struct seen *x = user;
    (void)e;
    x->first = x->n++ ? x->first : s->kl;
    x->last = s->kl, x->mean = s->mean;
    assert_int_equal(s->step, x->n);
    return 0;
}

/* Without a price on masks KL falls; with one on nothing else masks do. */
static void both_ends(void **state)
{
    (void)state;
    struct bed b = open_bed("gpt2");
    struct mask_learn w = work_of(&b);
    struct seen free_of_charge = {0}, dear = {0};
    struct err e = {0};
    w.rate = 0.2, w.steps = 25, w.told = told, w.user = &free_of_charge;
    double before = kl_mean(&b);
    if (mask_learn(&b.p, &w, &e))
        fail_msg("%s", e.text);
    assert_int_equal(free_of_charge.n, 25);
    assert_true(fabs(free_of_charge.first - before) <
                1e-6 * (1 + before)); /* kl[:] is kl[i]'s mean */
    assert_true(free_of_charge.last < 0.3 * free_of_charge.first);
    w.l1 = 1e5, w.user = &dear;
    if (mask_learn(&b.p, &w, &e))
        fail_msg("%s", e.text);
    assert_true(dear.mean < 0.1 && dear.mean < free_of_charge.mean / 3);
    int64_t all = b.p.n_layers * (b.p.part[0].n + b.p.part[1].n);
    assert_true(b.p.part[0].count + b.p.part[1].count == all);
    close_bed(&b);
}

/* Where each step has the one text that there is, the second one begins where the first has ended.
 */
static void one_text(void **state)
{
    (void)state;
    static const struct texts_options first = {.bos = 0, .limit = 1};
    struct bed b = open_bed("gpt2");
    struct mask_learn w = work_of(&b);
    struct seen seen = {0};
    struct err e = {0};
    w.set.texts = &first, w.windows = 1, w.rate = 0.2, w.steps = 10;
    w.told = told, w.user = &seen;
    if (mask_learn(&b.p, &w, &e))
        fail_msg("%s", e.text);
    assert_true(seen.last < 0.6 * seen.first);
    close_bed(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_of_the_gradient),
        cmocka_unit_test(both_ends),
        cmocka_unit_test(one_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
