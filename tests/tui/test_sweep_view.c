/* test_sweep_view.c - S in the explorer: which map, what it finds in the built-in model, and the
 * way into a cell and back. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "sweeps.h"

/* The built-in model with README's prompt. */
static int open_own(void **state)
{
    (void)state;
    static const char text[] = "When Mary and John went to the store, John gave a bag to";
    const int32_t one[] = {0};
    driver_open(&d, "models/teach", one, 1, 120, 40);
    d.app->opt.bos = -1; /* as the model has it: with one */
    driver_keys(&d, "p<C-u>");
    for (const char *p = text; *p; p++)
        driver_keys(&d, *p == ' ' ? "<Space>" : (const char[]){*p, 0});
    driver_keys(&d, "<Enter>:pair<Space>\"<Space>Mary\"<Space>\"<Space>John\"<Enter>G");
    assert_int_equal(d.app->n, 15);
    return 0;
}

static const struct sweep_map *map(void)
{
    const struct sweep_map *m = sweeps_map(d.app);
    assert_non_null(m);
    if (m->err.code)
        fail_msg("%s", m->err.text);
    assert_int_equal(m->done, m->cells);
    return m;
}

static double change(int32_t cell)
{
    return (double)map()->value[cell] - map()->base;
}

/* The mover L3H2 and the head of layer 0 that it needs are the largest cells. */
static void test_heads(void **state)
{
    (void)state;
    driver_keys(&d, ":view<Space>sweep<Enter>"); /* all of it, though the panel is beside it */
    driver_shows(&d, "them all");
    driver_keys(&d, "2");
    d.app->cur.column = 4, d.app->cur.head = 1;
    driver_keys(&d, "S");
    assert_int_equal(d.app->cur.view, VIEW_SWEEP);
    const struct sweep_map *m = map();
    assert_string_equal(m->of.kind, "z_all_pos");
    assert_int_equal(m->cells, 24);
    assert_int_equal(d.app->cur.cell, 3 * 6 + 1); /* where it was asked */
    const int32_t *best = sweeps_sorted(d.app);
    assert_true((best[0] == 4 && best[1] == 20) || (best[0] == 20 && best[1] == 4));
    assert_true(change(4) < -20 && change(20) < -20);
    driver_shows(&d, "24/24");
    driver_shows(&d, "z_all_pos · zero · logit[-1, \" Mary\"] - logit[-1, \" John\"]");
    /* as a list, and into the cell */
    driver_keys(&d, "s<PgUp>");
    assert_true(d.app->sweep_list && d.app->cur.cell == sweeps_sorted(d.app)[0]);
    driver_keys(&d, "sl");
    d.app->cur.cell = 20;
    driver_keys(&d, "<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_ATTENTION);
    assert_true(app_layer(d.app) == 3 && d.app->cur.head == 2);
    assert_int_equal(d.app->edits.n, 1);
    assert_string_equal(d.app->edits.text[0], "blocks.3.attn.hook_z[:, 2] = 0");
    assert_true(d.app->snap->edited);
    driver_shows(&d, "Backspace takes it back");
    driver_keys(&d, "<Backspace>");
    assert_true(d.app->cur.view == VIEW_SWEEP && d.app->edits.n == 0);
    assert_int_equal(d.app->cur.cell, 20);
    assert_int_equal(map()->of.id, 1);
    /* what was changed there stays changed */
    driver_keys(&d, "<Enter>Kx<Backspace>");
    assert_int_equal(d.app->edits.n, 2);
    driver_shows(&d, "of what was before · S again");
}

/* The name stands at its own position until the last layer moves it to the end. */
static void test_stream(void **state)
{
    (void)state;
    driver_keys(&d, "S");
    const struct sweep_map *m = map();
    assert_string_equal(m->of.kind, "resid_post");
    assert_int_equal(d.app->cur.cell, 3 * 15 + 14);
    for (int32_t l = 0; l < 4; l++)
        for (int32_t p = 0; p < 15; p++) {
            double c = fabs(change(l * 15 + p));
            if (p == 14)
                assert_true(c > 5);
            else if (l == 3)
                assert_true(c == 0); /* nothing reads it any more */
            else if (p != 2 && p != 3 && p != 10)
                assert_true(c < fabs(change(l * 15 + 2)));
        }
    driver_keys(&d, "<Enter>");
    assert_int_equal(d.app->cur.view, VIEW_GRID);
    assert_string_equal(d.app->edits.text[0], "blocks.3.hook_resid_post[14] = 0");
}

static void test_edges(void **state)
{
    (void)state;
    driver_keys(&d, "2");
    d.app->cur.column = 4, d.app->cur.head = 2;
    driver_keys(&d, "<Enter>S");
    const struct sweep_map *m = map();
    assert_string_equal(m->of.kind, "edge");
    assert_string_equal(m->of.over[0], "layer=3");
    assert_int_equal(m->cells, 225);
    assert_int_equal(sweeps_sorted(d.app)[0], 14 * 15 + 2); /* " to" looks at " Mary" */
    d.app->cur.cell = 14 * 15 + 2;
    driver_keys(&d, "<Enter>");
    assert_true(d.app->cur.view == VIEW_ATTENTION && d.app->cur.map && d.app->cur.src == 2);
    assert_string_equal(d.app->edits.text[0], "blocks.3.attn.hook_pattern[2, 14, 2] = 0");
}

/* From the other prompt; other kinds; the map as text. */
static void test_commands(void **state)
{
    (void)state;
    driver_keys(&d, ":other<Space>When<Space>John<Space>and<Space>Mary<Space>went<Space>to<Space>"
                    "the<Space>store,<Space>Mary<Space>gave<Space>a<Space>bag<Space>to<Enter>");
    driver_keys(&d, ":sweep<Space>z<Enter>");
    assert_string_equal(map()->of.with, "from(other)");
    assert_int_equal(map()->cells, 4 * 15 * 6);
    int32_t before = d.app->cur.cell;
    driver_keys(&d, "H");
    assert_int_equal(d.app->cur.cell, before - 90);
    driver_shows(&d, "layer 2, plane 3 of 4");
    driver_keys(&d, ":sweep<Space>mlp_out<Space>*=<Space>0.5<Enter>");
    assert_string_equal(map()->of.with, "*= 0.5");
    driver_keys(&d, "y");
    assert_int_equal(strncmp(d.app->copied.data, "layer\tpos\tvalue\tchange\n0\t0\t", 27), 0);
    driver_keys(&d, "c");
    driver_shows(&d, "log from");
    driver_keys(&d, ":sweep<Space>nothing<Enter>");
    driver_shows(&d, "no kind \"nothing\"");
    driver_keys(&d, "<Esc>:sweep<Space>q_all_pos<Space>nonsense(<Enter>");
    assert_true(sweeps_map(d.app)->err.code < 0);
    driver_shows(&d, "nonsense");
    char longer[200] = "sweep q_all_pos file(\"";
    memset(longer + strlen(longer), 'x', 120); /* never cut to another value */
    app_command(d.app, longer);
    assert_string_equal(d.app->message, "a value of 126 bytes · 95 at most");
    driver_keys(&d, "S<Esc>"); /* nothing runs: nothing to stop */
    assert_false(d.app->sweep.paused);
}

/* From a prompt of another length, asked for or typed: paired as the explorer pairs them. */
static void test_align(void **state)
{
    (void)state;
    driver_keys(&d, ":other<Space>When<Space>John<Space>and<Space>Anna<Space>and<Space>Mary<Space>"
                    "went<Space>to<Space>the<Space>store,<Space>Mary<Space>gave<Space>a<Space>bag"
                    "<Space>to<Enter>");
    assert_int_equal(d.app->n_other, 17);
    static const char *const typed[] = {":sweep<Space>resid_pre<Enter>",
                                        ":sweep<Space>resid_pre<Space>from(other)<Enter>"};
    float value[2][60];
    for (int i = 0; i < 2; i++) {
        driver_keys(&d, typed[i]);
        assert_int_equal(map()->err.code, 0);
        assert_int_equal(map()->of.align, TOKEN_ALIGN_TOKEN);
        assert_string_equal(map()->of.with, "from(other)");
        assert_int_equal(map()->cells, 60);
        memcpy(value[i], map()->value, sizeof value[i]);
    }
    assert_memory_equal(value[0], value[1], sizeof value[0]);
    driver_keys(&d, "1A7<Esc>:sweep<Space>resid_pre<Enter>"); /* A: from the end */
    assert_int_equal(map()->of.align, TOKEN_ALIGN_END);
    assert_int_equal(map()->err.code, 0);
}

/* Another pair: the same cells under another metric, without the model. */
static void test_pair(void **state)
{
    (void)state;
    driver_keys(&d, "2S");
    double before = change(20);
    driver_keys(&d, ":pair<Space>\"<Space>John\"<Space>\"<Space>Mary\"<Enter>");
    driver_shows(&d, "of what was before");
    driver_keys(&d, "S");
    assert_string_equal(map()->of.metric, "logit[-1, \" John\"] - logit[-1, \" Mary\"]");
    assert_true(fabs(change(20) + before) < 1e-4);
    char *screen = driver_screen(&d);
    assert_null(strstr(screen, "of what was before"));
    free(screen);
}

/* Asked for before the first numbers it is of the pair that comes with them. */
static void test_early(void **state)
{
    (void)state;
    static const char *const keys[] = {"S", "S<Esc>"};
    for (int i = 0; i < 2; i++) {
        driver_keys(&d, "1");
        d.app->pair_wanted = true; /* as when a prompt was just entered */
        for (const char *at = keys[i]; *at;) {
            struct input in = {.kind = INPUT_KEY};
            if (*at == '<')
                assert_true(keys_read_name(&at, &in.key));
            else
                in.key = (uint32_t)*at++;
            app_input(d.app, &in);
        }
        assert_int_equal(d.app->cur.view, VIEW_GRID);
        driver_settle(&d);
        assert_int_equal(d.app->cur.view, i ? VIEW_GRID : VIEW_SWEEP);
        if (!i)
            assert_non_null(strstr(map()->of.metric, "logit"));
        char *screen = driver_screen(&d);
        assert_null(strstr(screen, "of what was before"));
        free(screen);
    }
}

/* At every size something is seen, and the cursor with it. */
static void test_sizes(void **state)
{
    (void)state;
    static const int sizes[][2] = {{80, 24}, {200, 60}, {40, 10}, {20, 5}, {300, 100}};
    driver_keys(&d, "S");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        app_resize(d.app, sizes[i][0], sizes[i][1]);
        driver_keys(&d, "<PgUp>Gs");
        driver_keys(&d, "<PgUp>Gs");
        char *screen = driver_screen(&d);
        assert_true(strlen(screen) > 60);
        if (sizes[i][1] > 8)
            assert_non_null(strstr(screen, "▶"));
        free(screen);
    }
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        WITH_DRIVER(test_heads, open_own), WITH_DRIVER(test_stream, open_own),
        WITH_DRIVER(test_edges, open_own), WITH_DRIVER(test_commands, open_own),
        WITH_DRIVER(test_align, open_own), WITH_DRIVER(test_pair, open_own),
        WITH_DRIVER(test_early, open_own), WITH_DRIVER(test_sizes, open_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
