/* test_plan.c - the block program by itself: every site has its step, orders follow the steps,
 * costs add up. */
#include "fixture.h"

#include <stdio.h>

#include "model/plan.h"

static struct plan *plan_of(const char *model)
{
    char path[128];
    struct config cfg;
    struct err e = {0};
    snprintf(path, sizeof path, "tests/fixtures/models/%s/config.json", model);
    if (config_load(&cfg, path, &e))
        fail_msg("%s", e.text);
    struct plan *p = plan_build(&cfg);
    assert_non_null(p);
    return p;
}

/* Every site of the model is written by one step of its own stage, or copies one that is. */
static void every_site_has_its_step(void **state)
{
    (void)state;
    char **models = fixture_names_with("weight_edits.safetensors");
    for (char **model = models; *model; model++) {
        struct plan *p = plan_of(*model);
        int sites = 0;
        for (int id = 0; id < SITE_COUNT; id++) {
            if (!site_exists(&p->cfg, (enum site_id)id) || site_refusal(&p->cfg, (enum site_id)id))
                continue;
            struct site_ref s = {(enum site_id)id,
                                 site_table[id].scope == SCOPE_BLOCK ? 0 : SITE_ROOT};
            int32_t n, writers = 0, stage = plan_stage_of(p, s);
            const struct step *steps = plan_stage(p, stage, &n);
            assert_true(stage >= 0 && stage < plan_stages(p));
            for (int32_t i = 0; i < n; i++)
                writers += steps[i].site == s.id && !steps[i].in_place &&
                           steps[i].when != STEP_IF_EDITED;
            if (id != SITE_TOKENS && writers != 1)
                fail_msg("%s: %d steps write site %d", *model, writers, id);
            sites++;
        }
        assert_true(sites > 25);
        plan_free(p);
    }
    fixture_names_free(models);
}

/* A site whose edit has another step write queries hides what the usual step reads alone: its port,
 * other such sites, and the norm before them, where there is one. */
static void edits_hide_what_they_replace(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        enum site_id a, b;
        bool hides;
    } rows[] = {
        {"gpt2", SITE_Q_INPUT, SITE_Q_IN, true},
        {"gpt2", SITE_Q_INPUT, SITE_ATTN_IN, true},
        {"gpt2", SITE_Q_INPUT, SITE_LN1_SCALE, true},
        {"gpt2", SITE_LN1_OUT, SITE_ATTN_IN, true},
        {"gpt2", SITE_Q_INPUT, SITE_K_IN, false},
        {"gpt2", SITE_Q_INPUT, SITE_K_INPUT, false},
        {"gpt2", SITE_Q_INPUT, SITE_RESID_PRE, false},
        {"gpt2", SITE_RESULT, SITE_Z, false}, /* it amends */
        {"llama", SITE_V_INPUT, SITE_LN1_NORMALIZED, true},
        {"llama", SITE_ACT_OUT, SITE_PRE, false}, /* it is made of it */
        {"olmo2", SITE_Q_INPUT, SITE_Q_IN, true},
        {"olmo2", SITE_Q_INPUT, SITE_LN1_SCALE, false}, /* the norm stands behind attention */
        {"bert", SITE_V_INPUT, SITE_LN1_OUT, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct plan *p = plan_of(rows[i].model);
        bool there = p->conflicts[rows[i].a][rows[i].b];
        if (there != rows[i].hides || there != p->conflicts[rows[i].b][rows[i].a])
            fail_msg("%s: %s and %s", rows[i].model, site_table[rows[i].a].name,
                     site_table[rows[i].b].name);
        plan_free(p);
    }
}

/* An operand of the same stage was written by an earlier step; orders rise from step to step and
 * stage to stage. */
static void operands_come_first(void **state)
{
    (void)state;
    char **models = fixture_names_with("weight_edits.safetensors");
    for (char **model = models; *model; model++) {
        struct plan *p = plan_of(*model);
        int32_t last = -1;
        for (int32_t stage = 0; stage < plan_stages(p); stage++) {
            bool block = stage > 0 && stage < plan_stages(p) - 1, written[SITE_COUNT] = {false};
            int32_t n;
            const struct step *steps = plan_stage(p, stage, &n);
            assert_true(n > 0 && n < PLAN_STAGE_ORDER);
            for (int32_t i = 0; i < n; i++) {
                for (int k = 0; k < KN_IN_MAX; k++) {
                    enum operand_kind kind = steps[i].in[k].kind;
                    if (kind == OPERAND_SITE || kind == OPERAND_FLAT || kind == OPERAND_ALL)
                        assert_true(written[steps[i].in[k].id]);
                    assert_false(kind == OPERAND_PREV && stage == 0);
                }
                int32_t order = plan_order(
                    p, (struct site_ref){steps[i].site, block ? stage - 1 : SITE_ROOT});
                if (!steps[i].in_place && steps[i].when != STEP_IF_EDITED) {
                    assert_false(written[steps[i].site]);
                    assert_true(order > last);
                    last = order;
                }
                written[steps[i].site] = true;
            }
        }
        plan_free(p);
    }
    fixture_names_free(models);
}

/* The products that always run: 2 operations for each weight and row, and nothing else. */
static void products_cost_their_weights(void **state)
{
    (void)state;
    enum { ROWS = 7 };
    char **models = fixture_names_with("weight_edits.safetensors");
    for (char **model = models; *model; model++) {
        struct plan *p = plan_of(*model);
        const struct config *c = &p->cfg;
        double flops = 0, patch = (double)(c->patch_size ? site_dim_size(c, DIM_PATCH, 0) : 0),
               heads = (double)c->n_heads * c->d_head, kv = (double)c->n_kv_heads * c->d_head,
               d = c->d_model;
        for (int32_t stage = 0; stage < plan_stages(p); stage++) {
            int32_t n;
            const struct step *steps = plan_stage(p, stage, &n);
            for (int32_t i = 0; i < n; i++)
                if (steps[i].op == KN_OP_LINEAR && steps[i].when == STEP_ALWAYS)
                    flops += plan_step_flops(p, &steps[i], ROWS);
        }
        double mlp = (c->gated ? 3 : 2) * d * c->d_mlp, attention = 2 * d * heads + 2 * d * kv;
        if (c->n_moe) /* of the experts those that a row goes to */
            mlp = 3 * d * c->d_expert * c->n_active + d * c->n_experts;
        double wanted = 2.0 * ROWS *
                        (c->n_layers * (mlp + attention) + d * (c->mlm_head ? d : 0) +
                         (c->d_embed != c->d_model ? 2 * d * c->d_embed : 0) +
                         (double)c->d_embed * c->d_vocab + d * patch);
        if (flops != wanted)
            fail_msg("%s: %.0f operations, %.0f wanted", *model, flops, wanted);
        plan_free(p);
    }
    fixture_names_free(models);
}

static const struct step *scores_of(const struct plan *p, int32_t layer)
{
    int32_t n, i = 0;
    const struct step *steps = plan_stage(p, layer + 1, &n);
    while (i < n && steps[i].op != KN_OP_ATTN_SCORES)
        i++;
    assert_true(i < n);
    return &steps[i];
}

/* Layers have parameters of their own; those that are alike share their steps. */
static void layers_differ_where_they_should(void **state)
{
    (void)state;
    enum { LAYERS = 6, FROM = 3 };
    struct plan *shape = plan_of("qwen2");
    struct config cfg = shape->cfg;
    plan_free(shape);
    cfg.n_layers = LAYERS, cfg.window = 4;
    for (int32_t l = 0; l < LAYERS; l++)
        layer_put(&cfg.windowed, l, l >= FROM);
    struct plan *p = plan_build(&cfg);
    assert_non_null(p);
    for (int32_t l = 0; l < LAYERS; l++) {
        assert_int_equal(scores_of(p, l)->p.window, l < FROM ? 0 : 4);
        assert_int_equal(plan_window(p, l), l < FROM ? 0 : 4);
        assert_true(l < 2 || (scores_of(p, l) == scores_of(p, l - 1)) == (l != FROM));
    }
    plan_free(p);
}

/* Where nobody looks in between a norm, attention, a product and what follows it are one call each,
 * as are products of the same rows, and the stream is not copied. */
static void steps_become_one_call(void **state)
{
    (void)state;
    /* a letter for each step that always runs: its call; - of a copy that is read through, and
     * where its value lies nowhere ~ */
    static const struct {
        const char *model;
        int32_t steps, calls;
        const char *call, *unwritten;
    } rows[] = {{"gpt2", 19, 7, "-aaabbbcccddeeeffgg", "~~~....~~.~.~~.~.~."},
                {"llama", 22, 10, NULL, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct plan *p = plan_of(rows[i].model);
        int32_t n, always = 0, call[64];
        const struct step *steps = plan_stage(p, 2, &n);
        assert_in_range(n, 1, 64);
        assert_int_equal(plan_calls(steps, n, call), rows[i].calls);
        assert_int_equal(plan_calls(steps, n, NULL), rows[i].calls);
        for (int32_t k = 0; k < n; k++) {
            bool on = steps[k].when == STEP_ALWAYS;
            assert_true(on || (call[k] == -1 && !plan_unwritten(steps, k)));
            if (on && rows[i].call) {
                assert_int_equal(call[k] < 0 ? '-' : 'a' + call[k], rows[i].call[always]);
                assert_int_equal(plan_unwritten(steps, k) ? '~' : '.', rows[i].unwritten[always]);
            }
            always += on;
        }
        assert_int_equal(always, rows[i].steps);
        plan_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_site_has_its_step),
        cmocka_unit_test(edits_hide_what_they_replace),
        cmocka_unit_test(operands_come_first),
        cmocka_unit_test(products_cost_their_weights),
        cmocka_unit_test(layers_differ_where_they_should),
        cmocka_unit_test(steps_become_one_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
