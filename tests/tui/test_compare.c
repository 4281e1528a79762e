/* test_compare.c - two prompts as the faces of every view: B's numbers are those of a program that
 * has B alone, at the positions that stand for A's. */
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "driver_test.h"
#include "detail.h"
#include "fixture.h"
#include "run/run.h"

#define PROMPT "When Mary and John went to the store, John gave a bag to"
#define LONGER "When Dan and Anna and John went to the store, John gave a bag to"

static void open_prompt(struct driver *to, const char *prompt, const char *other)
{
    const struct app_options o = {.prompt = prompt, .bos = -1, .pair = {-1, -1}, .other = other};
    driver_open_app(to, "models/teach", &o, 120, 40);
}

static int open_own(void **state)
{
    (void)state;
    open_prompt(&d, PROMPT, LONGER);
    return 0;
}

/* The rows of a want in the second face are the rows of the other program's first. */
static void check_rows(const struct driver *alone, const struct want *w, size_t bytes)
{
    int found = 0;
    for (int32_t row = 0; row < d.app->n; row++) {
        int32_t p = compare_partner(d.app)[row];
        const void *mine = snapshot_at(d.app->snap, FACE_EDITED, w, row),
                   *base = snapshot_at(d.app->snap, FACE_BASE, w, row),
                   *theirs = p < 0 ? base : snapshot_at(alone->app->snap, FACE_BASE, w, p);
        if (!mine)
            continue;
        assert_non_null(theirs); /* without a partner: no difference */
        assert_memory_equal(mine, theirs, bytes);
        found++;
    }
    if (found <= 10)
        fail_msg("kind %d, site %d of layer %d: %d rows", w->kind, w->site.id, w->site.layer,
                 found);
}

static void test_faces(void **state)
{
    (void)state;
    struct driver alone;
    driver_command(&d, "pair \" Mary\" \" Dan\"");
    driver_keys(&d, "=");
    open_prompt(&alone, LONGER, NULL);
    driver_command(&alone, "pair \" Mary\" \" Dan\"");
    assert_true(d.app->snap->edited && d.app->show == SHOW_DIFFERENCE);
    for (int32_t c = 0; c <= d.m->cfg.n_layers; c++) {
        struct want w = detail_cell(d.app, c, 0, d.app->n);
        check_rows(&alone, &w, sizeof(struct want_cell));
    }
    driver_command(&d, "quantity norm"), driver_command(&alone, "quantity norm");
    for (int32_t c = 1; c <= d.m->cfg.n_layers; c++) {
        struct want w = want_make(WANT_NORM, run_lens_site(d.m, c), 0, d.app->n);
        check_rows(&alone, &w, sizeof(float));
    }
    driver_close(&alone);
    driver_shows(&d, "b:B−A");
    driver_keys(&d, "b");
    driver_shows(&d, "b:A");
    driver_keys(&d, "b");
    driver_shows(&d, "b:B\n");
}

/* Attention: rows and sources both stand in A's order. */
static void test_attention(void **state)
{
    (void)state;
    struct driver alone;
    open_prompt(&alone, LONGER, NULL);
    driver_keys(&d, "=2LL<Enter>");
    driver_keys(&alone, "2LL<Enter>");
    const struct want *w = snapshot_want(d.app->snap, WANT_VALUES, SITE_PATTERN),
                      *o = snapshot_want(alone.app->snap, WANT_VALUES, SITE_PATTERN);
    assert_true(w && o);
    int32_t n = d.app->n, m = alone.app->n;
    size_t heads = want_heads(&d.m->cfg, w);
    float moved = 0;
    for (int32_t row = 0; row < n; row++) {
        int32_t p = d.app->partner[row];
        const float *mine = snapshot_at(d.app->snap, FACE_EDITED, w, row),
                    *theirs = p < 0 ? NULL : snapshot_at(alone.app->snap, FACE_BASE, o, p);
        for (size_t h = 0; theirs && h < heads; h++)
            for (int32_t s = 0; s < n; s++) {
                int32_t q = d.app->partner[s];
                float want = q < 0 ? 0 : theirs[h * (size_t)m + (size_t)q];
                assert_true(mine[h * (size_t)n + (size_t)s] == want);
                moved += fabsf(want);
            }
    }
    assert_true(moved > 10);
    driver_close(&alone);
}

static void test_commands(void **state)
{
    (void)state;
    app_edit_add(d.app, "blocks.3.attn.hook_z[-1, 2] = 0");
    driver_settle(&d);
    driver_keys(&d, "=");
    const struct want pair = app_pair_want(d.app);
    assert_non_null(snapshot_at(d.app->snap, FACE_EDITED, &pair, 0));
    driver_keys(&d, "|");
    driver_shows(&d, "A: the prompt");
    driver_shows(&d, "– no partner"); /* Dan and Anna are two for Mary */
    driver_keys(&d, "A");
    driver_shows(&d, "by end");
    driver_keys(&d, "=");
    driver_shows(&d, "one prompt again");
    assert_true(d.app->snap->edited); /* the edit's own face */
    assert_int_equal(d.app->show, SHOW_EDITED);
    driver_shows(&d, "KL ");
    driver_command(&d, "other");
    driver_keys(&d, "<C-u><Enter>");
    driver_keys(&d, "="); /* none: it is asked for */
    assert_int_equal(d.app->mode, LINE_OTHER);
    driver_shows(&d, "compare with another prompt");
    driver_keys(&d, "<C-u>When<Space>Tom<Enter>");
    assert_true(compare_is_on(d.app));
    driver_shows(&d, "b:B−A");
    driver_command(&d, "prompt When Mary");
    assert_true(d.app->snap->edited);
    driver_command(&d, "compare nonsense");
    assert_true(d.app->message_bad);
}

/* ---- two models ---- */

#define GPT2 "tests/fixtures/models/gpt2"

static void open_pair(const struct model *b)
{
    const struct app_options o = {
        .tokens = tokens, .n = 8, .bos = -1, .pair = {38, 24}, .against = b};
    driver_open_app(&d, GPT2, &o, 120, 40);
}

/* Do A and B differ in what the last row says at the end? */
static bool faces_differ(void)
{
    struct want w = detail_cell(d.app, d.m->cfg.n_layers, 0, 8);
    const void *a = snapshot_at(d.app->snap, FACE_BASE, &w, 7),
               *b = snapshot_at(d.app->snap, FACE_EDITED, &w, 7);
    assert_true(a && b);
    return memcmp(a, b, sizeof(struct want_cell)) != 0;
}

/* B's face is what a program that has B alone shows; A's is untouched; below the changed weight the
 * difference is exactly nothing. */
static void test_models(void **state)
{
    (void)state;
    char folder[] = "/tmp/borescope-test-XXXXXX", why[160];
    struct kn_options ko = {.backend = "cpu", .threads = 1, .cpu = KN_CPU_PORTABLE};
    struct kn_backend *be = kn_open(&ko, why, sizeof why);
    struct model *b = NULL;
    struct err e = {0};
    struct driver alone;
    fixture_altered(folder, GPT2, "transformer.h.1.mlp.c_fc.bias", 9);
    assert_non_null(be);
    assert_int_equal(model_open(&b, folder, be, &e), 0);
    open_pair(b);
    assert_int_equal(compare_models(d.m, b, &e), 0);
    const struct app_options o = {.tokens = tokens, .n = 8, .bos = -1, .pair = {38, 24}};
    driver_open_app(&alone, folder, &o, 120, 40);
    assert_true(compare_is_of_models(d.app) && d.app->snap->edited);
    bool differs = false;
    for (int32_t c = 0; c <= d.m->cfg.n_layers; c++) {
        struct want w = detail_cell(d.app, c, 0, 8);
        for (int32_t row = 0; row < 8; row++) {
            const void *first = snapshot_at(d.app->snap, FACE_BASE, &w, row),
                       *second = snapshot_at(d.app->snap, FACE_EDITED, &w, row),
                       *theirs = snapshot_at(alone.app->snap, FACE_BASE, &w, row);
            assert_true(first && second && theirs);
            assert_memory_equal(second, theirs, sizeof(struct want_cell));
            bool same = memcmp(first, second, sizeof(struct want_cell)) == 0;
            assert_true(same || c >= 2);
            differs = differs || !same;
        }
    }
    assert_true(differs);
    driver_shows(&d, "b:B−A");
    driver_shows(&d, "gpt2 | ");
    driver_keys(&d, "2b7b8b4b5b|"); /* every view has it */
    driver_shows(&d, "B: the other model");
    driver_keys(&d, "=");
    driver_lacks(&d, "gpt2 | ");
    assert_false(compare_is_on(d.app));
    driver_keys(&d, "=");
    assert_true(compare_is_of_models(d.app));
    driver_command(&d, "other 1,2,3"); /* prompts are compared when asked for */
    driver_command(&d, "compare prompts");
    assert_true(compare_is_on(d.app) && !compare_is_of_models(d.app));
    driver_command(&d, "other 0,5,9,5,9,13,21,5"); /* B is the same tokens, and not the same */
    for (int i = 0; i < 3; i++) {
        driver_command(&d, "compare prompts");
        assert_false(faces_differ());
        driver_command(&d, "compare models");
        assert_true(faces_differ());
    }
    driver_command(&d, "prompt 3,4,5,6,7,8,9,10,11,12,13");
    assert_true(compare_is_of_models(d.app) && d.app->snap->edited && d.app->snap->n == 11);
    driver_close(&alone);
    driver_close(&d);
    model_close(b);
    kn_close(be);
    fixture_drop(folder);
}

/* Models of another shape do not stand beside this one. */
static void test_other_shapes(void **state)
{
    (void)state;
    static const char *const others[] = {"llama", "bert", "gpt2_bare", "mixtral"};
    struct err e = {0};
    open_pair(NULL);
    driver_command(&d, "compare models");
    assert_true(d.app->message_bad && strstr(d.app->message, "--against"));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char path[64];
        struct model *b = NULL;
        snprintf(path, sizeof path, "tests/fixtures/models/%s", others[i]);
        assert_int_equal(model_open(&b, path, NULL, &e), 0);
        assert_true(compare_models(d.m, b, &e) < 0);
        assert_non_null(strstr(e.text, "models to compare are of one shape"));
        model_close(b);
    }
    driver_close(&d);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_own)
    const struct CMUnitTest tests[] = {WITH(test_faces), WITH(test_attention), WITH(test_commands),
                                       cmocka_unit_test(test_models),
                                       cmocka_unit_test(test_other_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
