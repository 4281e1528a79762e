/* test_edit_reach.c - where edits are said to act is where values change first; edits of weights
 * that become the model's own give the bits of a run with them. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit/edit_reach.h"
#include "names/named_weight.h"
#include "run/pair.h"
#include "run/weight_copy.h"

static void sync_one(struct pair *p, const struct fixture *f, struct edit *const *edits, int32_t n)
{
    struct err e = {0};
    struct pair_target t = {.input = fixture_input(f), .edits = edits, .n_edits = n};
    if (pair_sync(p, &t, NULL, &e))
        fail_msg("%s", e.text);
}

static float *site_values(struct run *r, struct site_ref s, int32_t n, size_t *bytes)
{
    int64_t shape[SITE_RANK_MAX], count = 1;
    int rank = site_shape(&run_model(r)->cfg, s.id, n, shape);
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    float *x = malloc((size_t)count * sizeof *x);
    assert_int_equal(run_read(r, s, 0, n, x, NULL, NULL), 0);
    *bytes = (size_t)count * sizeof *x;
    return x;
}

/* Every site in forward order whose value differs, until one is reached; that one, and none before
 * it, must be in the list. */
static void check_first(struct pair *p, const struct fixture *f, const char *text,
                        const struct edit_reach *reach, int32_t n_reach)
{
    struct site_ref *all = malloc((size_t)(f->m->cfg.n_layers + 1) * SITE_COUNT * sizeof *all);
    int n = site_list(&f->m->cfg, all);
    char name[LIMIT_NAME];
    bool met = false;
    for (int i = 0; i < n && !met; i++) {
        if (all[i].id == SITE_TOKENS || site_refusal(&f->m->cfg, all[i].id))
            continue;
        size_t bytes;
        float *a = site_values(pair_run(p, FACE_BASE), all[i], f->n, &bytes),
              *b = site_values(pair_run(p, FACE_EDITED), all[i], f->n, &bytes);
        bool differs = memcmp(a, b, bytes) != 0, listed = false;
        for (int32_t k = 0; k < n_reach; k++)
            listed |= reach[k].site.id == all[i].id && reach[k].site.layer == all[i].layer;
        if (differs != listed)
            fail_msg("%s: %s %s", text, site_name(all[i], name),
                     differs ? "changes first and is not listed" : "is listed and does not change");
        met = differs;
        free(a), free(b);
    }
    assert_true(met);
    free(all);
}

static void weights_reach(void **state)
{
    (void)state;
    char **names = fixture_names(true);
    int done = 0;
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        struct named_weight *list = NULL;
        struct pair *p;
        assert_int_equal(pair_open(&p, f.m, 0, NULL), 0);
        int n = named_weight_list(f.m, LIBRARY_LENS, &list, NULL);
        for (int i = 0; i < n; i++) {
            struct edit *ed;
            struct edit_reach *reach = NULL;
            char text[LIMIT_NAME + 16];
            snprintf(text, sizeof text, "%s += 0.25", list[i].name);
            if (f.m->cfg.gated && strstr(list[i].name, "b_in"))
                continue; /* refused: TransformerLens adds it elsewhere */
            assert_int_equal(edit_parse(&ed, text, NULL), 0);
            assert_true(edit_of_weights(ed));
            int32_t n_reach = edit_reach(&ed, 1, f.m, &reach, NULL);
            assert_true(n_reach > 0);
            sync_one(p, &f, &ed, 1);
            check_first(p, &f, text, reach, n_reach);
            free(reach);
            edit_free(ed);
            done++;
        }
        free(list);
        pair_close(p);
        fixture_close(&f);
    }
    fixture_names_free(names);
    print_message("%d weights\n", done);
    assert_true(done > 200);
}

static void hooks_reach(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "blocks.{0,1}.hook_mlp_out[40] = 0", "model.layers.1.self_attn.o_proj.input[:, 2] = 0",
        "blocks.1.attn.hook_pattern_grad *= 0", "blocks.*.mlp.W_out[2] = 0"};
    static const struct edit_reach want[] = {{{SITE_MLP_OUT, 0}, 0, 0}, {{SITE_MLP_OUT, 1}, 0, 0},
                                             {{SITE_Z, 1}, 0, 1},       {{SITE_PATTERN, 1}, 0, 2},
                                             {{SITE_MLP_OUT, 0}, 0, 3}, {{SITE_MLP_OUT, 1}, 0, 3}};
    struct fixture f = fixture_open("llama");
    struct edit *edits[5];
    struct edit_reach *reach = NULL;
    struct err e = {0};
    for (int i = 0; i < 4; i++)
        assert_int_equal(edit_parse(&edits[i], texts[i], NULL), 0);
    assert_int_equal(edit_reach(edits, 4, f.m, &reach, NULL), 6);
    for (int i = 0; i < 6; i++)
        assert_true(reach[i].site.id == want[i].site.id &&
                    reach[i].site.layer == want[i].site.layer && reach[i].edit == want[i].edit);
    free(reach);
    assert_int_equal(edit_parse(&edits[4], "blocks.0.attn.hook_zz = 0", NULL), 0);
    assert_true(edit_reach(edits, 5, f.m, &reach, &e) < 0);
    assert_non_null(strstr(e.text, "edit 5"));
    assert_non_null(strstr(e.text, "blocks.0.attn.hook_z"));
    for (int i = 0; i < 5; i++)
        edit_free(edits[i]);
    fixture_close(&f);
}

static void weights_kept(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "blocks.0.attn.W_Q[1] *= 2",       "blocks.1.attn.b_V += 0.25",
        "blocks.*.attn.W_O[:, 2] = 0",     "embed.W_E[3] -= 1",
        "blocks.0.attn.W_Q[:, 0] = 0.125", "ln_final.w *= 1.5"};
    enum { EDITS = sizeof texts / sizeof *texts };
    char **names = fixture_names(false);
    for (char **name = names; *name; name++) {
        struct fixture f = fixture_open(*name);
        if (f.m->cfg.n_layers > 1 && site_exists(&f.m->cfg, SITE_LNF_SCALE) &&
            config_has(&f.m->cfg, PROPERTY_TOKENS)) {
            struct edit *edits[EDITS];
            struct pair *p, *q;
            size_t bytes;
            struct site_ref logits = {SITE_UNEMBED_OUT, SITE_ROOT};
            for (int i = 0; i < EDITS; i++)
                assert_int_equal(edit_parse(&edits[i], texts[i], NULL), 0);
            assert_int_equal(pair_open(&p, f.m, 0, NULL), 0);
            sync_one(p, &f, edits, EDITS);
            float *want = site_values(pair_run(p, FACE_EDITED), logits, f.n, &bytes);
            pair_close(p);
            struct edit_program *prog = fixture_program(f.m, f.n, texts, EDITS);
            assert_int_equal(weight_copy_keep(f.m, prog, NULL), 0);
            edit_program_free(prog);
            assert_int_equal(pair_open(&q, f.m, 0, NULL), 0);
            sync_one(q, &f, NULL, 0);
            float *got = site_values(pair_run(q, FACE_BASE), logits, f.n, &bytes);
            assert_memory_equal(got, want, bytes);
            pair_close(q);
            free(want), free(got);
            for (int i = 0; i < EDITS; i++)
                edit_free(edits[i]);
        }
        fixture_close(&f);
    }
    fixture_names_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_reach),
                                       cmocka_unit_test(hooks_reach),
                                       cmocka_unit_test(weights_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
