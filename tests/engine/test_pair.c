/* test_pair.c - what a pair says changed, and where its faces can differ, covers what really did.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"
#include "run/pair.h"
#include "run/pair_about.h"

/* The values of every default site of a face, one after the other. */
struct values {
    struct site_ref *site;
    float **value;
    int64_t *count;
    int n;
};

static struct values values_read(struct pair *p, enum face f)
{
    struct run *r = pair_run(p, f);
    const struct config *cfg = &run_model(r)->cfg;
    size_t most = ((size_t)cfg->n_layers + 1) * SITE_COUNT;
    struct values v = {calloc(most, sizeof *v.site), calloc(most, sizeof(float *)),
                       calloc(most, sizeof *v.count), 0};
    int n = site_list(cfg, v.site);
    for (int i = 0; i < n; i++) {
        if (!site_fires(cfg, v.site[i].id))
            continue;
        int64_t shape[SITE_RANK_MAX], count = 1;
        int rank = site_shape(cfg, v.site[i].id, run_length(r), shape);
        for (int k = 0; k < rank; k++)
            count *= shape[k];
        v.site[v.n] = v.site[i];
        v.value[v.n] = malloc((size_t)count * sizeof(float));
        v.count[v.n] = count;
        assert_int_equal(run_read(r, v.site[i], 0, run_length(r), v.value[v.n], NULL, NULL), 0);
        v.n++;
    }
    return v;
}

static void values_free(struct values *v)
{
    for (int i = 0; i < v->n; i++)
        free(v->value[i]);
    free(v->site), free(v->value), free(v->count);
}

/* Rows [0, row) of site i have the same bits in a and b, which may differ in length. */
static bool rows_equal(const struct config *cfg, const struct values *a, int32_t na,
                       const struct values *b, int32_t nb, int i, int32_t row)
{
    int64_t sa[SITE_RANK_MAX], sb[SITE_RANK_MAX];
    enum site_id id = a->site[i].id;
    int rank = site_shape(cfg, id, na, sa);
    site_shape(cfg, id, nb, sb);
    int axis = site_row_axis(id);
    int64_t outer = axis ? sa[0] : 1, inner_a = 1, inner_b = 1;
    for (int k = axis + 1; k < rank; k++)
        inner_a *= sa[k], inner_b *= sb[k];
    int64_t inner = inner_a < inner_b ? inner_a : inner_b;
    for (int64_t o = 0; o < outer; o++)
        for (int32_t r = 0; r < row; r++)
            if (memcmp(a->value[i] + (o * sa[axis] + r) * inner_a,
                       b->value[i] + (o * sb[axis] + r) * inner_b, (size_t)inner * sizeof(float)))
                return false;
    return true;
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static const char *const edit_pool[] = {
    "blocks.0.attn.hook_z[-1, 0] = 0",
    "blocks.1.hook_resid_pre[2] *= 0.5",
    "blocks.0.mlp.hook_post[3:, 1] += 1",
    "blocks.1.attn.hook_pattern[0, 3, 1] = 0",
    "hook_embed[4] = mean()",
    "blocks.1.hook_mlp_out[1] = from(other, pos=1)",
    "blocks.0.attn.hook_pattern[0, 1, 3] = 0.5", /* attention sees a later position */
    "unembed.hook_out[-1, 3] = 2",
    "ln_final.hook_scale[2] *= 2",
};
enum { POOL = sizeof edit_pool / sizeof *edit_pool };

static uint32_t next(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

/* On a model of one layer all are of that. */
static void pool_parse(struct edit *edits[POOL], int32_t n_layers)
{
    for (int i = 0; i < POOL; i++) {
        char text[80];
        snprintf(text, sizeof text, "%s", edit_pool[i]);
        if (strstr(text, "blocks.1.") && n_layers == 1)
            text[strlen("blocks.")] = '0';
        assert_int_equal(edit_parse(&edits[i], text, NULL), 0);
    }
}

/* Random questions one after the other: what is not marked has not changed, what is outside the
 * cone is equal. */
static void walk(const char *name, uint32_t seed)
{
    struct fixture f = fixture_open(name);
    struct pair *p = NULL;
    struct edit *edits[POOL];
    bool on[POOL];
    int32_t tokens[12], other[12], n, before_n[FACE_COUNT] = {0};
    struct values before[FACE_COUNT] = {{0}};
    pool_parse(edits, f.m->cfg.n_layers);
    assert_int_equal(pair_open(&p, f.m, seed % 2 ? 1 << 20 : 0, NULL), 0);
    for (int i = 0; i < 12; i++)
        tokens[i] = (int32_t)(next(&seed) >> 8) % f.m->cfg.d_vocab, other[i] = tokens[i];
    for (int step = 0; step < 25; step++) {
        n = 6 + (int32_t)(next(&seed) >> 8) % 6;
        if (next(&seed) >> 31)
            tokens[(next(&seed) >> 8) % 12] = (int32_t)(next(&seed) >> 8) % f.m->cfg.d_vocab;
        if (next(&seed) >> 30 == 0)
            other[(next(&seed) >> 8) % 12] = (int32_t)(next(&seed) >> 8) % f.m->cfg.d_vocab;
        for (int i = 0; i < POOL; i++)
            on[i] = next(&seed) >> 30 == 0;
        struct pair_prompt prompt = {"other", other, 12, NULL};
        struct pair_target t = {.input.tokens = tokens,
                                .input.n = n,
                                .edits = edits,
                                .on = on,
                                .n_edits = POOL,
                                .prompts = &prompt,
                                .n_prompts = 1};
        struct err e = {0};
        if (pair_sync(p, &t, NULL, &e))
            fail_msg("%s", e.text);
        struct values now[FACE_COUNT] = {{0}};
        for (int face = 0; face < FACE_COUNT && pair_run(p, (enum face)face); face++) {
            now[face] = values_read(p, (enum face)face);
            for (int i = 0; i < now[face].n && before_n[face]; i++) {
                int32_t stage = plan_stage_of(f.m->plan, now[face].site[i]);
                int32_t row = least(pair_changed(p, (enum face)face, stage),
                                    least(n, before_n[face]));
                assert_true(
                    rows_equal(&f.m->cfg, &now[face], n, &before[face], before_n[face], i, row));
            }
        }
        for (int i = 0; i < now[FACE_EDITED].n; i++) {
            int32_t row = least(
                pair_first_changed_row(p, plan_stage_of(f.m->plan, now[FACE_EDITED].site[i])), n);
            assert_true(rows_equal(&f.m->cfg, &now[FACE_EDITED], n, &now[FACE_BASE], n, i, row));
        }
        /* Settled only when both faces are seen: the marks of a face that is away gather till it is
         * back. */
        if (pair_run(p, FACE_EDITED)) {
            for (int face = 0; face < FACE_COUNT; face++) {
                values_free(&before[face]);
                before[face] = now[face];
                before_n[face] = n;
            }
            pair_settle(p);
        } else {
            values_free(&now[FACE_BASE]);
        }
    }
    for (int face = 0; face < FACE_COUNT; face++)
        values_free(&before[face]);
    for (int i = 0; i < POOL; i++)
        edit_free(edits[i]);
    pair_close(p);
    fixture_close(&f);
}

static void marks_cover_every_change(void **state)
{
    (void)state;
    /* The last two: their rotation depends on the length. */
    static const char *const names[] = {"gpt2", "gpt_neox", "llama", "llama_dynamic",
                                        "llama_longrope"};
    for (uint32_t seed = 1; seed <= 3; seed++)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            walk(names[i], seed);
}

/* One edit lets a position see a later one; then the prompt grows and earlier rows see the new
 * token. */
static void rows_that_see_ahead_change_with_the_length(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct pair *p = NULL;
    struct edit *ed = NULL;
    assert_int_equal(edit_parse(&ed, "blocks.0.attn.hook_pattern[0, 1, 3] = 0.5", NULL), 0);
    assert_int_equal(pair_open(&p, f.m, 0, NULL), 0);
    struct pair_target t = {
        .input.tokens = f.tokens, .input.n = f.n - 1, .edits = &ed, .n_edits = 1};
    assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    pair_settle(p);
    t.input.n = f.n;
    assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    assert_int_equal(pair_changed(p, FACE_EDITED, 1), 0);
    assert_int_equal(pair_changed(p, FACE_BASE, 1), f.n - 1);
    edit_free(ed);
    pair_close(p);
    fixture_close(&f);
}

static void runs_that_are_not_there_are_named(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct pair *p = NULL;
    struct edit *ed = NULL;
    struct err e = {0};
    assert_int_equal(edit_parse(&ed, "blocks.1.hook_resid_pre[2] = from(corupt)", NULL), 0);
    assert_int_equal(pair_open(&p, f.m, 0, NULL), 0);
    struct pair_prompt prompt = {"corrupt", f.tokens, f.n, NULL};
    struct pair_target t = {.input.tokens = f.tokens,
                            .input.n = f.n,
                            .edits = &ed,
                            .n_edits = 1,
                            .prompts = &prompt,
                            .n_prompts = 1};
    assert_int_equal(pair_sync(p, &t, NULL, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "corupt"));
    assert_non_null(strstr(e.text, "the nearest is corrupt"));
    assert_int_equal(run_length(pair_run(p, FACE_BASE)), 0); /* nothing was done */
    edit_free(ed);
    pair_close(p);
    fixture_close(&f);
}

static void a_source_that_is_too_short_is_refused(void **state)
{
    (void)state;
    struct fixture f = fixture_open("gpt2");
    struct pair *p = NULL;
    struct edit *ed = NULL;
    struct err e = {0};
    assert_int_equal(edit_parse(&ed, "blocks.1.hook_resid_pre[:] = from(short)", NULL), 0);
    assert_int_equal(pair_open(&p, f.m, 0, NULL), 0);
    struct pair_prompt prompt = {"short", f.tokens, 2, NULL};
    struct pair_target t = {.input.tokens = f.tokens,
                            .input.n = f.n,
                            .edits = &ed,
                            .n_edits = 1,
                            .prompts = &prompt,
                            .n_prompts = 1};
    assert_int_equal(pair_sync(p, &t, NULL, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "short"));
    edit_free(ed);
    pair_close(p);
    fixture_close(&f);
}

/* Looking again opens no file: only other edits, another prompt or other sets do. */
static void edits_are_resolved_when_they_change(void **state)
{
    (void)state;
    static const char text
        [] = "blocks.1.hook_resid_pre[-1] = "
             "file(\"tests/fixtures/models/gpt2/model.safetensors\", \"transformer.ln_f.bias\")";
    struct fixture f = fixture_open("gpt2");
    struct pair *p = NULL;
    struct edit *ed[2] = {NULL};
    assert_int_equal(edit_parse(&ed[0], text, NULL), 0);
    assert_int_equal(edit_parse(&ed[1], "blocks.0.hook_mlp_out[0] = 0", NULL), 0);
    assert_int_equal(pair_open(&p, f.m, 1 << 20, NULL), 0);
    bool on[2] = {true, false};
    struct pair_target t = {
        .input.tokens = f.tokens, .input.n = f.n, .edits = ed, .on = on, .n_edits = 2};
    long before = fault_opens();
    for (int i = 0; i < 12; i++)
        assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    assert_int_equal(fault_opens() - before, 1);
    on[1] = true;
    assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    assert_int_equal(fault_opens() - before, 2);
    t.input.n--;
    assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    assert_int_equal(fault_opens() - before, 3);
    pair_differentiate(p, true);
    assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
    assert_int_equal(fault_opens() - before, 4);
    pair_close(p);
    edit_free(ed[0]), edit_free(ed[1]);
    fixture_close(&f);
}

/* Patches from one prompt after the other: what is not read any more is freed, and one that comes
 * back is computed again rightly. */
static void sources_do_not_pile_up(void **state)
{
    (void)state;
    enum { PROMPTS = 12 };
    struct fixture f = fixture_open("gpt2");
    fixture_count(f.m->be);
    struct pair *p = NULL;
    struct edit *ed[PROMPTS];
    struct pair_prompt prompts[PROMPTS];
    int32_t tokens[PROMPTS][8];
    char names[PROMPTS][8], text[80];
    assert_int_equal(pair_open(&p, f.m, 0, NULL), 0);
    for (int i = 0; i < PROMPTS; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        snprintf(text, sizeof text, "blocks.1.hook_resid_pre[2] = from(p%d, pos=2)", i);
        assert_int_equal(edit_parse(&ed[i], text, NULL), 0);
        for (int k = 0; k < 8; k++)
            tokens[i][k] = (i * 8 + k) % f.m->cfg.d_vocab;
        prompts[i] = (struct pair_prompt){names[i], tokens[i], 8, NULL};
    }
    size_t after[2 * PROMPTS];
    for (int i = 0; i < 2 * PROMPTS; i++) {
        struct pair_target t = {.input.tokens = f.tokens,
                                .input.n = f.n,
                                .edits = &ed[i % PROMPTS],
                                .n_edits = 1,
                                .prompts = prompts,
                                .n_prompts = PROMPTS};
        float *got = malloc((size_t)f.m->cfg.d_model * sizeof *got),
              *want = malloc((size_t)f.m->cfg.d_model * sizeof *want);
        struct site_ref site = {SITE_RESID_PRE, 1};
        assert_int_equal(pair_sync(p, &t, NULL, NULL), 0);
        after[i] = fixture_bytes();
        assert_int_equal(run_read(pair_run(p, FACE_EDITED), site, 2, 3, got, NULL, NULL), 0);
        struct run *r = fixture_run_new(f.m, NULL, 0);
        assert_int_equal(run_sync(r, run_ids(tokens[i % PROMPTS], 8), NULL, NULL, NULL, NULL), 0);
        assert_int_equal(run_read(r, site, 2, 3, want, NULL, NULL), 0);
        assert_memory_equal(got, want, (size_t)f.m->cfg.d_model * sizeof *got);
        run_free(r);
        free(got), free(want);
    }
    assert_true(after[2 * PROMPTS - 1] <= after[LIMIT_SOURCES]);
    pair_close(p);
    fixture_count(NULL);
    for (int i = 0; i < PROMPTS; i++)
        edit_free(ed[i]);
    fixture_close(&f);
}

/* What makes tokens of texts belongs to what numbers are of; a model without the file has none. */
static void the_tokenizer_is_told_apart(void **state)
{
    (void)state;
    char folder[] = "/tmp/borescope-test-XXXXXX", path[64];
    struct model m = {.folder = folder};
    struct fingerprint f[3] = {{0, 0}};
    struct err e;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_int_equal(pair_about_tokenizer(&f[0], &m, &e), 0);
    assert_true(!f[0].a && !f[0].b);
    for (int i = 1; i < 3; i++) {
        FILE *to = fopen(path, "w");
        assert_non_null(to);
        fprintf(to, "{\"version\": %d}", i);
        fclose(to);
        assert_int_equal(pair_about_tokenizer(&f[i], &m, &e), 0);
    }
    assert_true(f[1].a && f[1].a != f[2].a && f[1].b != f[2].b);
    remove(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_cover_every_change),
        cmocka_unit_test(rows_that_see_ahead_change_with_the_length),
        cmocka_unit_test(runs_that_are_not_there_are_named),
        cmocka_unit_test(a_source_that_is_too_short_is_refused),
        cmocka_unit_test(edits_are_resolved_when_they_change),
        cmocka_unit_test(sources_do_not_pile_up),
        cmocka_unit_test(the_tokenizer_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
