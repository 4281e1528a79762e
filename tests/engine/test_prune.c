/* test_prune.c - what is taken away and what it costs, step by step, against taker 1.2.3
 * (tests/fixtures/make_score.py); edits and masks of it mean the same. */
#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "edit/taker.h"
#include "lab/heads_left.h"
#include "lab/prune_run.h"

#define PROMPTS "tests/fixtures/prompts/"
static const char *const models[] = {"gpt2", "opt"};
static const char *const paths[SCORE_SETS] = {PROMPTS "score_focus.txt",
                                              PROMPTS "score_cripple.txt"};
static const struct texts_options texts = {.bos = 0};
static const struct pair_target plain;
enum { STEPS = 3 };
static const double TOP = 0.2;

static struct score_run score_of(const struct model *m, enum score_id id)
{
    return (struct score_run){
        .id = id,
        .eps = -1,
        .set = {{paths[0], &texts, NULL}, {paths[1], &texts, NULL}},
        .work = {.m = m, .target = &plain, .with = "zero", .cache_bytes = (size_t)16 << 20}};
}

static void same_mask(const struct checkpoint *ref, const char *name, const struct pruned *p,
                      int part)
{
    const struct st_tensor *t = checkpoint_find(ref, name);
    const struct pruned_part *q = &p->part[part];
    assert_non_null(t);
    assert_int_equal(st_count(t), p->n_layers * q->n);
    for (int64_t i = 0; i < p->n_layers * q->n; i++)
        if (q->gone[i] != (((const uint8_t *)t->data)[i] != 0))
            fail_msg("%s: unit %d", name, (int)i);
}

static void top_share(void **state)
{
    (void)state;
    static const char *const names[PRUNE_PARTS] = {"neurons.abs.gone", "dims.abs.gone"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        struct fixture f = fixture_open(models[m]);
        struct checkpoint *ref = fixture_file(models[m], "score.safetensors");
        for (int k = 0; k < PRUNE_PARTS; k++) {
            struct score_run w = score_of(f.m, SCORE_abs);
            struct scores s, *all = &s;
            struct pruned p;
            struct prune_choice c;
            assert_int_equal(scores_init(&s, &f.m->cfg, (enum score_unit)k, NULL), 0);
            assert_int_equal(score_run(&all, 1, &w, NULL), 0);
            assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
            assert_int_equal(prune_choose(&p, &s, TOP, false, 1, &c, NULL), 0);
            assert_int_equal(c.units, (int64_t)(TOP * (double)(s.n_layers * s.n)));
            same_mask(ref, names[k], &p, k);
            pruned_free(&p);
            scores_free(&s);
        }
        checkpoint_close(ref);
        fixture_close(&f);
    }
}

/* ---- steps ---- */

struct seen {
    const struct checkpoint *ref;
    const char *mode;
    const double *history; /* [STEPS + 1, 4] */
    int steps;
};

static int told(void *user, const struct prune_step *s, struct err *e)
{
    struct seen *x = user;
    char name[64];
    (void)e;
    assert_int_equal(s->step, x->steps++);
    for (int k = 0; k < PRUNE_PARTS && s->step; k++) {
        snprintf(name, sizeof name, "%s.%d.%s", x->mode, (int)s->step, score_unit_names[k]);
        same_mask(x->ref, name, s->gone, k);
    }
    for (int i = 0; i < SCORE_SETS; i++) {
        struct eval_value v[EVAL_MEASURES];
        assert_true(s->evaluated[i]);
        assert_true(eval_values(&s->eval[i], v) > MEASURE_accuracy);
        const double have[] = {s->step ? v[MEASURE_loss].edited : v[MEASURE_loss].base,
                               s->step ? v[MEASURE_accuracy].edited : v[MEASURE_accuracy].base};
        for (int k = 0; k < 2; k++)
            if (!(fabs(have[k] - x->history[s->step * 4 + i * 2 + k]) < 1e-5))
                fail_msg("%s, step %d, set %d: %.9g, taker has %.9g", x->mode, (int)s->step, i,
                         have[k], x->history[s->step * 4 + i * 2 + k]);
    }
    return 0;
}

static void history(void **state)
{
    (void)state;
    static const char *const modes[] = {"recalculated", "cumulative"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (int mode = 0; mode < 2; mode++) {
            struct fixture f = fixture_open(models[m]);
            struct checkpoint *ref = fixture_file(models[m], "score.safetensors");
            char name[64];
            struct err e = {0};
            struct pruned p;
            snprintf(name, sizeof name, "%s.history", modes[mode]);
            const struct st_tensor *t = checkpoint_find(ref, name);
            assert_non_null(t);
            assert_int_equal(st_count(t), (STEPS + 1) * 4);
            struct seen seen = {.ref = ref, .mode = modes[mode], .history = t->data};
            struct prune_run w = {.score = score_of(f.m, SCORE_abs),
                                  .share = {[SCORE_NEURONS] = TOP, [SCORE_DIMS] = TOP},
                                  .cumulative = mode == 1,
                                  .steps = STEPS,
                                  .value = "0",
                                  .top = 5,
                                  .told = told,
                                  .user = &seen};
            memcpy(w.eval, w.score.set, sizeof w.eval);
            assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
            if (prune_run(&p, &w, &e))
                fail_msg("%s", e.text);
            assert_int_equal(seen.steps, STEPS + 1);
            pruned_free(&p);
            checkpoint_close(ref);
            fixture_close(&f);
        }
}

/* ---- edits and masks ---- */

/* Heads that share keys and values go together: the mean of their scores chooses, and what a share
 * has beyond whole groups stays. */
static void groups_of_heads(void **state)
{
    (void)state;
    struct fixture f = fixture_open("llama");
    const struct config *cfg = &f.m->cfg;
    int64_t each = cfg->n_heads / cfg->n_kv_heads;
    struct scores s;
    struct pruned p;
    struct prune_choice c;
    struct err e = {0};
    assert_true(each > 1 && cfg->n_kv_heads > 1);
    assert_int_equal(scores_init(&s, cfg, SCORE_HEADS, NULL), 0);
    for (int64_t i = 0; i < s.n_layers * s.n; i++) /* the last group's, but for one head between */
        s.value[i] = i % s.n >= s.n - each ? 2 : i % s.n == 0 ? 2.5 : 0;
    scores_share(&s, each);
    assert_int_equal(pruned_init(&p, cfg, NULL), 0);
    double share = ((double)each + 0.5) / (double)cfg->n_heads;
    assert_int_equal(prune_choose(&p, &s, share, true, each, &c, NULL), 0);
    assert_int_equal(c.units, each * cfg->n_layers);
    for (int32_t l = 0; l < cfg->n_layers; l++)
        for (int32_t h = 0; h < cfg->n_heads; h++)
            assert_int_equal(head_is_gone(&p, l, h), h >= cfg->n_heads - each);
    share = ((double)each - 0.5) / (double)cfg->n_heads;
    assert_int_equal(prune_choose(&p, &s, share, true, each, &c, &e), ERR_BAD_INPUT);
    scores_free(&s);
    pruned_free(&p);
    fixture_close(&f);
}

static void per_layer_and_heads(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct scores s;
    struct pruned p;
    struct prune_choice c;
    struct err e = {0};
    char **text;
    int32_t n;
    assert_int_equal(scores_init(&s, &f.m->cfg, SCORE_HEADS, NULL), 0);
    scores_draw(&s, 3);
    assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
    assert_int_equal(prune_choose(&p, &s, 0.4, true, 1, &c, NULL),
                     0); /* one of three in each layer */
    assert_int_equal(c.units, f.m->cfg.n_layers);
    for (int32_t l = 0; l < f.m->cfg.n_layers; l++)
        assert_int_equal(pruned_in(&p.part[PRUNE_DIMS], l), f.m->cfg.d_head);
    assert_int_equal(prune_edits(&p, "0", &text, &n, NULL), 0);
    assert_int_equal(n, f.m->cfg.n_layers);
    assert_non_null(strstr(text[0], "blocks.0.attn.hook_z[:, {"));
    prune_edits_free(text, n);
    assert_int_equal(prune_choose(&p, &s, 0.4, true, 1, &c, NULL), 0); /* those left */
    assert_int_equal(pruned_in(&p.part[PRUNE_DIMS], 0), 2 * f.m->cfg.d_head);
    assert_int_equal(prune_choose(&p, &s, 0.1, true, 1, &c, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "--heads 0.1 · that is none of 3 of a layer"));
    scores_free(&s);
    pruned_free(&p);
    fixture_close(&f);
}

static float *logits_of(const struct fixture *f, const char *const *text, int32_t n)
{
    struct edit_program *p = fixture_program(f->m, f->n, text, n);
    struct run *base = fixture_run(f, NULL, NULL, SIZE_MAX / 2),
               *fork = fixture_run(f, base, p, SIZE_MAX / 2);
    float *x = malloc((size_t)f->n * (size_t)f->m->cfg.d_vocab * sizeof *x);
    assert_non_null(x);
    assert_int_equal(
        run_read(fork, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, f->n, x, NULL, NULL), 0);
    run_free(fork), run_free(base);
    edit_program_free(p);
    return x;
}

/* The same elements by edits and by taker's masks, read by the program's own words for both. */
static void masks_are_edits(void **state)
{
    (void)state;
    static const char config[] = "mlp_pre_out: mask\nattn_pre_out: mask\n";
    char path[] = "/tmp/bore-prune-XXXXXX.safetensors";
    struct fixture f = fixture_open("gpt2");
    struct scores s;
    struct pruned p;
    struct prune_choice c;
    struct taker_hooks t;
    char **text;
    int32_t n;
    assert_true(close(mkstemps(path, 12)) == 0);
    assert_int_equal(pruned_init(&p, &f.m->cfg, NULL), 0);
    for (int u = SCORE_NEURONS; u <= SCORE_DIMS; u++) {
        assert_int_equal(scores_init(&s, &f.m->cfg, (enum score_unit)u, NULL), 0);
        scores_draw(&s, 5);
        assert_int_equal(prune_choose(&p, &s, 0.3, false, 1, &c, NULL), 0);
        scores_free(&s);
    }
    for (int with = 0; with < 2; with++) {
        float *put[PRUNE_PARTS] = {NULL, NULL};
        for (int k = 0; k < PRUNE_PARTS && with; k++) {
            size_t all = (size_t)p.n_layers * (size_t)p.part[k].n;
            assert_non_null(put[k] = malloc(all * sizeof **put));
            for (size_t i = 0; i < all; i++)
                put[k][i] = 0.25F;
        }
        assert_int_equal(prune_edits(&p, with ? "0.25" : "0", &text, &n, NULL), 0);
        assert_int_equal(prune_write(&p, (const float *const *)put, path, NULL), 0);
        assert_int_equal(taker_parse(&t, &f.m->cfg, config, strlen(config), path, NULL), 0);
        assert_int_equal(t.n_edits, 2 * f.m->cfg.n_layers);
        size_t size = (size_t)f.n * (size_t)f.m->cfg.d_vocab;
        float *none = logits_of(&f, NULL, 0), *a = logits_of(&f, (const char *const *)text, n),
              *b = logits_of(&f, (const char *const *)t.edit, t.n_edits);
        assert_true(fixture_error(a, b, size) < 1e-6);
        assert_true(fixture_error(a, none, size) > 1e-3);
        free(none), free(a), free(b), free(put[0]), free(put[1]);
        taker_free(&t);
        prune_edits_free(text, n);
    }
    unlink(path);
    pruned_free(&p);
    fixture_close(&f);
}

/* Sets that one edit's text cannot hold become several; more than a run takes are refused. */
static void long_sets(void **state)
{
    (void)state;
    struct config cfg;
    struct err e = {0};
    struct pruned p;
    char **text;
    int32_t n;
    struct fixture f = fixture_open("gpt2");
    cfg = f.m->cfg;
    cfg.d_mlp = 20000;
    assert_int_equal(pruned_init(&p, &cfg, NULL), 0);
    struct pruned_part *q = &p.part[PRUNE_NEURONS];
    for (int64_t i = 0; i < q->n; i += 2)
        q->gone[i] = true, q->count++;
    assert_int_equal(prune_edits(&p, "mean(x)", &text, &n, NULL), 0);
    assert_true(n > 10);
    int64_t commas = 0;
    for (int32_t i = 0; i < n; i++) {
        struct edit *ed = NULL;
        assert_true(strlen(text[i]) < LIMIT_EDIT_TEXT);
        if (edit_parse(&ed, text[i], &e))
            fail_msg("%s", e.text);
        edit_free(ed);
        for (const char *at = text[i]; *at; at++)
            commas += *at == ',';
    }
    assert_int_equal(commas, q->count); /* one between pos and set, and between the others */
    prune_edits_free(text, n);
    pruned_free(&p);
    cfg.d_mlp = LIMIT_D_MLP;
    assert_int_equal(pruned_init(&p, &cfg, NULL), 0);
    q = &p.part[PRUNE_NEURONS];
    for (int64_t i = 0; i < p.n_layers * q->n; i += 2)
        q->gone[i] = true, q->count++;
    char value[LIMIT_EDIT_TEXT - 90] = ""; /* leaves a line a few neurons */
    memset(value, '0', sizeof value - 1);
    assert_int_equal(prune_edits(&p, value, &text, &n, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "more than 65536 edits"));
    pruned_free(&p);
    fixture_close(&f);
}

/* Dims of many heads are an edit for each head, neurons a few for each layer, whatever their
 * number: as many as a model of billions has are a run's. */
static void many(void **state)
{
    (void)state;
    struct err e = {0};
    struct pruned p;
    char **text;
    int32_t n;
    struct fixture f = fixture_open("gpt2");
    struct config cfg = f.m->cfg;
    cfg.n_layers = 80, cfg.n_heads = cfg.n_kv_heads = 64, cfg.d_head = 128, cfg.d_mlp = 28672;
    assert_int_equal(pruned_init(&p, &cfg, NULL), 0);
    for (int k = 0; k < PRUNE_PARTS; k++)
        for (int64_t i = 0, all = p.n_layers * p.part[k].n; i < all; i += k ? 7 : 229)
            p.part[k].gone[i] = true, p.part[k].count++;
    assert_true(p.part[PRUNE_NEURONS].count > 10000);
    if (prune_edits(&p, "0", &text, &n, &e))
        fail_msg("%s", e.text);
    assert_int_equal(n, 80 + 80 * 64);
    struct edit **edits = calloc((size_t)n, sizeof *edits);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(edit_parse(&edits[i], text[i], &e), 0);
    const struct edit_context ctx = {.cfg = &cfg, .n_pos = 4};
    struct edit_program *prog = NULL;
    if (edit_resolve(&prog, edits, NULL, n, &ctx, &e))
        fail_msg("%s", e.text);
    assert_int_equal(prog->n_instrs, n);
    edit_program_free(prog);
    for (int32_t i = 0; i < n; i++)
        edit_free(edits[i]);
    free(edits);
    prune_edits_free(text, n);
    pruned_free(&p);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_share),
        cmocka_unit_test(history),
        cmocka_unit_test(groups_of_heads),
        cmocka_unit_test(per_layer_and_heads),
        cmocka_unit_test(masks_are_edits),
        cmocka_unit_test(long_sets),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
