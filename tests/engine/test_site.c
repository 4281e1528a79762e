/* test_site.c - hook points: existence, shapes, firing order, lookup, patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/site.h"

static const struct config gpt2 = {.n_layers = 4,
                                   .n_heads = 5,
                                   .n_kv_heads = 5,
                                   .d_model = 35,
                                   .d_head = 7,
                                   .d_mlp = 33,
                                   .d_vocab = 101,
                                   .n_ctx = 64,
                                   .pos = POS_LEARNED,
                                   .norm_center = true};
static const struct config neox = {.n_layers = 3,
                                   .n_heads = 4,
                                   .n_kv_heads = 4,
                                   .d_model = 24,
                                   .d_head = 6,
                                   .d_mlp = 50,
                                   .d_vocab = 90,
                                   .n_ctx = 64,
                                   .n_rot = 2,
                                   .pos = POS_ROTARY,
                                   .norm_center = true,
                                   .parallel = true};
static const struct config llama = {.n_layers = 2,
                                    .n_heads = 6,
                                    .n_kv_heads = 2,
                                    .d_model = 36,
                                    .d_head = 6,
                                    .d_mlp = 44,
                                    .d_vocab = 77,
                                    .n_ctx = 64,
                                    .n_rot = 6,
                                    .pos = POS_ROTARY,
                                    .gated = true};

static int count(const struct config *cfg, bool fires_only)
{
    struct site_ref list[4 * SITE_COUNT + SITE_COUNT];
    int n = site_list(cfg, list), k = 0;
    for (int i = 0; i < n; i++)
        k += !fires_only || site_fires(cfg, list[i].id);
    return k;
}

/* 17L+6, 18L+5, 20L+5: what TransformerLens 3.5.1 caches for these three shapes. */
static void fires_as_often_as_transformer_lens(void **state)
{
    (void)state;
    assert_int_equal(count(&gpt2, true), 17 * 4 + 6);
    assert_int_equal(count(&neox, true), 18 * 3 + 5);
    assert_int_equal(count(&llama, true), 20 * 2 + 5);
    struct config sequential = neox;
    sequential.parallel = false;
    assert_int_equal(count(&sequential, true), 19 * 3 + 5);
    struct config big = gpt2;
    big.n_layers = 12;
    struct site_ref *list = malloc(13 * SITE_COUNT * sizeof *list);
    int n = site_list(&big, list), fires = 0;
    for (int i = 0; i < n; i++)
        fires += site_fires(&big, list[i].id);
    free(list);
    assert_int_equal(fires, 210);
}

/* The keys of TransformerLens 3.5.1's cache for one block, in its order (parallel rotary, then the
 * sequential grouped gated one). */
static const char *const want_neox[] = {"hook_embed",
                                        "blocks.0.hook_resid_pre",
                                        "blocks.0.ln1.hook_scale",
                                        "blocks.0.ln1.hook_normalized",
                                        "blocks.0.attn.hook_q",
                                        "blocks.0.attn.hook_k",
                                        "blocks.0.attn.hook_v",
                                        "blocks.0.attn.hook_rot_q",
                                        "blocks.0.attn.hook_rot_k",
                                        "blocks.0.attn.hook_attn_scores",
                                        "blocks.0.attn.hook_pattern",
                                        "blocks.0.attn.hook_z",
                                        "blocks.0.hook_attn_out",
                                        "blocks.0.ln2.hook_scale",
                                        "blocks.0.ln2.hook_normalized",
                                        "blocks.0.mlp.hook_pre",
                                        "blocks.0.mlp.hook_post",
                                        "blocks.0.hook_mlp_out",
                                        "blocks.0.hook_resid_post",
                                        "ln_final.hook_scale",
                                        "ln_final.hook_normalized",
                                        "unembed.hook_in",
                                        "unembed.hook_out"};
static const char *const want_llama[] = {"hook_embed",
                                         "blocks.0.hook_resid_pre",
                                         "blocks.0.ln1.hook_scale",
                                         "blocks.0.ln1.hook_normalized",
                                         "blocks.0.attn.hook_q",
                                         "blocks.0.attn.hook_k",
                                         "blocks.0.attn.hook_v",
                                         "blocks.0.attn.hook_rot_q",
                                         "blocks.0.attn.hook_rot_k",
                                         "blocks.0.attn.hook_attn_scores",
                                         "blocks.0.attn.hook_pattern",
                                         "blocks.0.attn.hook_z",
                                         "blocks.0.hook_attn_out",
                                         "blocks.0.hook_resid_mid",
                                         "blocks.0.ln2.hook_scale",
                                         "blocks.0.ln2.hook_normalized",
                                         "blocks.0.mlp.hook_pre",
                                         "blocks.0.mlp.hook_pre_linear",
                                         "blocks.0.mlp.hook_post",
                                         "blocks.0.hook_mlp_out",
                                         "blocks.0.hook_resid_post",
                                         "ln_final.hook_scale",
                                         "ln_final.hook_normalized",
                                         "unembed.hook_in",
                                         "unembed.hook_out"};

static void lists_in_firing_order(void **state)
{
    (void)state;
    const struct {
        const struct config *cfg;
        const char *const *want;
        size_t n;
    } cases[] = {{&neox, want_neox, sizeof want_neox / sizeof *want_neox},
                 {&llama, want_llama, sizeof want_llama / sizeof *want_llama}};
    for (size_t c = 0; c < 2; c++) {
        struct config one = *cases[c].cfg;
        one.n_layers = 1;
        struct site_ref list[2 * SITE_COUNT];
        int n = site_list(&one, list);
        size_t k = 0;
        for (int i = 0; i < n; i++) {
            char name[LIMIT_NAME];
            if (!site_fires(&one, list[i].id))
                continue;
            assert_true(k < cases[c].n);
            assert_string_equal(site_name(list[i], name), cases[c].want[k++]);
        }
        assert_int_equal(k, cases[c].n);
    }
}

static void shapes_and_axes(void **state)
{
    (void)state;
    int64_t s[SITE_RANK_MAX];
    assert_int_equal(site_shape(&llama, SITE_K, 9, s), 3);
    assert_true(s[0] == 9 && s[1] == 2 && s[2] == 6);
    assert_int_equal(site_shape(&llama, SITE_Z, 9, s), 3);
    assert_true(s[0] == 9 && s[1] == 6 && s[2] == 6);
    assert_int_equal(site_shape(&llama, SITE_PATTERN, 9, s), 3);
    assert_true(s[0] == 6 && s[1] == 9 && s[2] == 9);
    assert_int_equal(site_shape(&gpt2, SITE_LN1_SCALE, 3, s), 2);
    assert_true(s[0] == 3 && s[1] == 1);
    assert_int_equal(site_shape(&gpt2, SITE_UNEMBED_OUT, 3, s), 2);
    assert_true(s[1] == 101);
    assert_int_equal(site_shape(&gpt2, SITE_TOKENS, 3, s), 1);
    assert_int_equal(site_row_axis(SITE_PATTERN), 1);
    assert_int_equal(site_row_axis(SITE_Z), 0);
    assert_string_equal(site_dim_name(DIM_D_HEAD), "d_head");
    for (int id = 0; id < SITE_COUNT; id++) {
        const struct site_info *info = &site_table[id];
        for (int i = 0; i < SITE_RANK_MAX; i++)
            assert_int_equal(i < info->rank, info->dims[i] != DIM_NONE);
        assert_in_range(site_row_axis((enum site_id)id), 0, info->rank - 1);
        assert_in_range(site_shape(&gpt2, (enum site_id)id, 1, s), 1, SITE_RANK_MAX);
    }
}

/* Every listed name is found again; the longest fits the buffer. */
static void names_round_trip(void **state)
{
    (void)state;
    const struct config *all[] = {&gpt2, &neox, &llama};
    for (size_t c = 0; c < 3; c++) {
        struct site_ref list[5 * SITE_COUNT];
        int n = site_list(all[c], list);
        assert_int_equal(n, count(all[c], false));
        for (int i = 0; i < n; i++) {
            char name[LIMIT_NAME];
            struct site_ref back = {SITE_COUNT, -7};
            struct err e;
            assert_int_equal(site_find(all[c], site_name(list[i], name), &back, &e), 0);
            assert_int_equal(back.id, list[i].id);
            assert_int_equal(back.layer, list[i].layer);
        }
    }
    struct config deep = llama;
    deep.n_layers = LIMIT_LAYERS;
    for (int id = 0; id < SITE_COUNT; id++) {
        char name[LIMIT_NAME];
        site_name((struct site_ref){(enum site_id)id, LIMIT_LAYERS - 1}, name);
        assert_in_range(strlen(name), 1, LIMIT_NAME - 2);
    }
    struct site_ref s;
    assert_int_equal(site_find(&deep, "blocks.511.attn.hook_k", &s, NULL), 0);
    assert_int_equal(s.layer, 511);
}

static void missing(const struct config *cfg, const char *name, const char *line)
{
    struct site_ref s = {SITE_COUNT, -7};
    struct err e = {0, ""};
    assert_int_equal(site_find(cfg, name, &s, &e), ERR_BAD_INPUT);
    assert_string_equal(e.text, line);
    assert_int_equal(s.id, SITE_COUNT);
    assert_int_equal(s.layer, -7);
}

static void says_what_would_work(void **state)
{
    (void)state;
    missing(&gpt2, "blocks.9.hook_resid_pre",
            "no hook \"blocks.9.hook_resid_pre\" · this model has layers 0..3");
    missing(&gpt2, "blocks.99999999999999999999.hook_resid_pre",
            "no hook \"blocks.99999999999999999999.hook_resid_pre\" · this model has layers 0..3");
    missing(&gpt2, "blocks.9.hook_residpre",
            "no hook \"blocks.9.hook_residpre\" · this model has layers 0..3");
    missing(&gpt2, "blocks.1.hook_resid_prr",
            "no hook \"blocks.1.hook_resid_prr\" · the nearest is blocks.1.hook_resid_pre");
    missing(&gpt2, "blocks.2.hook_z",
            "no hook \"blocks.2.hook_z\" · the nearest is blocks.2.attn.hook_z");
    missing(&gpt2, "blocks.1.hook_resid",
            "no hook \"blocks.1.hook_resid\" · the nearest is blocks.1.hook_resid_pre");
    missing(&gpt2, "ln_final", "no hook \"ln_final\" · the nearest is ln_final.hook_scale");
    missing(&gpt2, "hook_z", "no hook \"hook_z\" · the nearest is blocks.0.attn.hook_z");
    missing(&gpt2, "resid_post",
            "no hook \"resid_post\" · the nearest is blocks.0.hook_resid_post");
    missing(&gpt2, "blocks.01.hook_resid_pre",
            "no hook \"blocks.01.hook_resid_pre\" · the nearest is blocks.0.hook_resid_pre");
    missing(&gpt2, "hook_embd", "no hook \"hook_embd\" · the nearest is hook_embed");
    missing(&gpt2, "", "no hook \"\" · the nearest is hook_embed");
    missing(&neox, "blocks.0.hook_resid_mid",
            "no hook \"blocks.0.hook_resid_mid\" in this model · "
            "attention and MLP are parallel here, both read hook_resid_pre");
    missing(&llama, "hook_pos_embed",
            "no hook \"hook_pos_embed\" in this model · "
            "positions are rotary here, or slopes: nothing is added to the embedding");
    missing(&gpt2, "blocks.0.attn.hook_rot_q",
            "no hook \"blocks.0.attn.hook_rot_q\" in this model · "
            "positions are learned here, or slopes: queries and keys are not rotated");
    missing(&gpt2, "blocks.0.mlp.hook_pre_linear",
            "no hook \"blocks.0.mlp.hook_pre_linear\" in this model · the MLP here is not gated");
    missing(&llama, "blocks.0.ln1_post.hook_scale",
            "no hook \"blocks.0.ln1_post.hook_scale\" in this model · "
            "only models that normalize after attention and MLP too have it");
    char monster[9000];
    memset(monster, 'x', sizeof monster);
    monster[sizeof monster - 1] = '\0';
    struct site_ref s;
    struct err e;
    assert_int_equal(site_find(&gpt2, monster, &s, &e), ERR_BAD_INPUT);
    memcpy(monster, "blocks.1.", 9);
    assert_int_equal(site_find(&gpt2, monster, &s, &e), ERR_BAD_INPUT);
}

static void refuses_attn_in_with_grouped_heads(void **state)
{
    (void)state;
    assert_null(site_refusal(&gpt2, SITE_ATTN_IN));
    assert_non_null(strstr(site_refusal(&llama, SITE_ATTN_IN), "grouped"));
    for (int id = 0; id < SITE_COUNT; id++)
        if (id != SITE_ATTN_IN)
            assert_null(site_refusal(&llama, (enum site_id)id));
}

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool match;
    } cases[] = {
        {"*", "blocks.0.attn.hook_z", true},
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"blocks.*.hook_z", "blocks.0.attn.hook_z", true},
        {"blocks.*.attn.hook_z", "blocks.11.attn.hook_z", true},
        {"blocks.?.attn.hook_z", "blocks.11.attn.hook_z", false},
        {"blocks.??.attn.hook_z", "blocks.11.attn.hook_z", true},
        {"blocks.{4..7}.hook_mlp_out", "blocks.4.hook_mlp_out", true},
        {"blocks.{4..7}.hook_mlp_out", "blocks.7.hook_mlp_out", true},
        {"blocks.{4..7}.hook_mlp_out", "blocks.8.hook_mlp_out", false},
        {"blocks.{4..7}.hook_mlp_out", "blocks.3.hook_mlp_out", false},
        {"blocks.{9..12}.x", "blocks.10.x", true},
        {"blocks.{9..12}.x", "blocks.1.x", false},
        {"blocks.{1..12}.x", "blocks.12.x", true},
        {"blocks.{1..12}.x", "blocks.13.x", false},
        {"blocks.{0,2}.x", "blocks.2.x", true},
        {"blocks.{0,2}.x", "blocks.1.x", false},
        {"blocks.{0,2..5}.x", "blocks.4.x", true},
        {"blocks.{0, 2..5}.x", "blocks.0.x", true},
        {"{0..3}", "00", false},
        {"{0..3}", "0", true},
        {"{0..30}{0..30}", "123", true},
        {"{2..1}", "1", false},
        {"a{b,c}d", "acd", true},
        {"a{b,c}d", "ad", false},
        {"a{b,}d", "ad", true},
        {"{}", "", true},
        {"hook_{resid_{pre,post},embed}", "hook_resid_post", true},
        {"hook_{resid_{pre,post},embed}", "hook_embed", true},
        {"hook_{resid_{pre,post},embed}", "hook_resid_mid", false},
        {"*{q,k}", "hook_k", true},
        {"hook_[qk]", "hook_q", true},
        {"hook_[qk]", "hook_v", false},
        {"hook_[!qk]", "hook_v", true},
        {"hook_[a-m]", "hook_k", true},
        {"hook_[a-m]", "hook_z", false},
        {"[a-]", "-", true},
        {"[]", "x", false},
        {"a[b", "a[b", true},
        {"a{b", "a{b", true},
        {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaac", false},
        {"hook_*", "hook_", true},
        {"*_pre", "hook_resid_pre", true},
        {"*_pre", "hook_resid_pre_", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (site_glob(cases[i].pattern, cases[i].name) != cases[i].match)
            fail_msg("%s against %s: expected %s", cases[i].pattern, cases[i].name,
                     cases[i].match ? "match" : "none");
}

/* Patterns at and over the bounds end quickly and do not match by accident. */
static void glob_bounds(void **state)
{
    (void)state;
    char name[LIMIT_NAME + 1], pattern[LIMIT_PATTERN + 1];
    memset(name, 'a', LIMIT_NAME - 1);
    name[LIMIT_NAME - 1] = '\0';
    assert_true(site_glob("*", name));
    name[LIMIT_NAME - 1] = 'a';
    name[LIMIT_NAME] = '\0';
    assert_false(site_glob("*", name));
    name[LIMIT_NAME - 1] = '\0';
    memset(pattern, '*', LIMIT_PATTERN - 1);
    pattern[LIMIT_PATTERN - 1] = '\0';
    assert_true(site_glob(pattern, name));
    for (int i = 0; i < LIMIT_PATTERN - 4; i += 4)
        memcpy(pattern + i, "a*a*", 4);
    assert_false(site_glob(pattern, name));
    memset(pattern, '{', LIMIT_PATTERN / 2 - 1);
    memset(pattern + LIMIT_PATTERN / 2 - 1, '}', LIMIT_PATTERN / 2 - 1);
    pattern[LIMIT_PATTERN - 2] = '\0';
    assert_false(site_glob(pattern, name));
    memset(pattern, '*', LIMIT_PATTERN);
    pattern[LIMIT_PATTERN] = '\0';
    assert_false(site_glob(pattern, name));
    struct site_ref out[5 * SITE_COUNT];
    struct err e;
    assert_int_equal(site_select(&gpt2, pattern, out, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "at most 1023"));
}

static void selects(void **state)
{
    (void)state;
    struct site_ref out[5 * SITE_COUNT];
    char name[LIMIT_NAME];
    struct err e = {0, ""};
    assert_int_equal(site_select(&gpt2, "*", out, &e), 17 * 4 + 6);
    assert_int_equal(site_select(&gpt2, "blocks.0.*", out, &e), 17);
    assert_int_equal(site_select(&gpt2, "blocks.*.attn.hook_z", out, &e), 4);
    assert_int_equal(out[3].layer, 3);
    assert_int_equal(site_select(&gpt2, "blocks.{1,3}.attn.hook_{q,k,v}", out, &e), 6);
    assert_int_equal(site_select(&gpt2, "blocks.*.attn.hook_result", out, &e), 4);
    assert_int_equal(out[0].id, SITE_RESULT);
    assert_int_equal(site_select(&gpt2, "blocks.0.hook_{mlp_in,mlp_out}", out, &e), 2);
    assert_int_equal(site_select(&gpt2, "blocks.0.hook_mlp_*", out, &e), 1);
    assert_int_equal(site_select(&gpt2, "blocks.*.ln1.hook_out", out, &e), 4);
    assert_int_equal(site_select(&gpt2, "blocks.1.ln1.hook_*", out, &e), 2);
    assert_int_equal(site_select(&gpt2, "hook_tokens", out, &e), 1);
    assert_int_equal(site_select(&llama, "blocks.0.hook_attn_in", out, &e), 1);

    /* where nothing else matches, what the library has on request; a module's ports never */
    assert_int_equal(site_select(&gpt2, "blocks.*.attn.*result", out, &e), 4);
    assert_int_equal(site_select(&gpt2, "*_input", out, &e), 3 * 4);
    assert_string_equal(site_name(out[0], name), "blocks.0.hook_q_input");
    assert_int_equal(site_select(&gpt2, "blocks.*.hook_in", out, &e), ERR_BAD_INPUT);
    assert_int_equal(site_select(&gpt2, "blocks.*.nothing", out, &e), ERR_BAD_INPUT);
    assert_int_equal(
        strncmp(e.text, "no hook matches \"blocks.*.nothing\" · the nearest is blocks.0.", 61), 0);
    assert_non_null(strstr(e.text, " · this model has layers 0..3"));
    assert_int_equal(site_select(&gpt2, "blocks.{2..9}.attn.hook_z", out, &e), ERR_BAD_INPUT);
    assert_string_equal(
        e.text, "no layer 9 for \"blocks.{2..9}.attn.hook_z\" · this model has layers 0..3");
    assert_int_equal(site_select(&gpt2, "blocks.{0, 4}.attn.hook_z", out, &e), ERR_BAD_INPUT);
    assert_int_equal(site_select(&gpt2, "blocks.7.attn.hook_z", out, &e), ERR_BAD_INPUT);
    assert_string_equal(e.text, "no hook \"blocks.7.attn.hook_z\" · this model has layers 0..3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_as_often_as_transformer_lens),
        cmocka_unit_test(lists_in_firing_order),
        cmocka_unit_test(shapes_and_axes),
        cmocka_unit_test(names_round_trip),
        cmocka_unit_test(says_what_would_work),
        cmocka_unit_test(refuses_attn_in_with_grouped_heads),
        cmocka_unit_test(globs),
        cmocka_unit_test(glob_bounds),
        cmocka_unit_test(selects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
