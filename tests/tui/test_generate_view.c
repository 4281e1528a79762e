/* test_generate_view.c - continuations in the explorer: the engine's own, step by step, under edits
 * that follow the end; stepping, breakpoints, taking over; what each edit does. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "measure/generate.h"

static int open_own(void **state)
{
    (void)state;
    driver_teach(&d, 120, 30);
    return 0;
}

static int open_small(void **state)
{
    (void)state;
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, 8, 120, 30);
    return 0;
}

static const struct voice_text *voice(enum voice v)
{
    return &d.app->generation_of.voice[v];
}

struct list {
    int32_t id[64];
    int n;
};

static bool keep(void *user, int32_t row, int32_t id, const float *logits)
{
    (void)row, (void)logits;
    struct list *l = user;
    l->id[l->n++] = id;
    return true;
}

/* What the engine writes. */
static struct list reference(bool edited, int count)
{
    struct list l = {0};
    struct err e = {0};
    const struct pair_target t = {.input = run_ids(d.app->tokens, d.app->n),
                                  .edits = d.app->edits.edit,
                                  .on = d.app->edits.in_force,
                                  .n_edits = edited ? d.app->edits.n : 0};
    const struct generate_options opt = {.top_p = 1};
    if (generate(d.m, &t, 1, count, &opt, -1, 1 << 26, keep, &l, &e) < 0)
        fail_msg("%s", e.text);
    return l;
}

static void test_engine(void **state)
{
    (void)state;
    driver_command(&d, "edit blocks.1.attn.hook_z[-1, 1] = 0");
    driver_command(&d, "edit blocks.0.hook_mlp_out[2:] *= 0.3");
    driver_command(&d, "generate count 12");
    driver_keys(&d, "><Space>");
    const struct generation *g = &d.app->generation_of;
    assert_false(g->running);
    for (int v = 0; v < VOICE_COUNT; v++) {
        struct list want = reference(v == VOICE_EDITED, 12);
        assert_int_equal(voice((enum voice)v)->n, 12);
        for (int i = 0; i < 12; i++) {
            const struct generated *s = &voice((enum voice)v)->step[i];
            assert_int_equal(s->id, want.id[i]);
            assert_int_equal(s->top[0].id, s->id);
            assert_true(isfinite(s->entropy) && s->entropy >= 0 && s->top[0].logp <= 0);
        }
    }
    int parts = generation_parts(g);
    assert_true(parts >= 0);
    for (int i = 0; i < parts; i++)
        assert_int_equal(voice(VOICE_CLEAN)->step[i].id, voice(VOICE_EDITED)->step[i].id);
}

static void test_stepping(void **state)
{
    (void)state;
    driver_command(&d, "generate count 6");
    driver_keys(&d, "><Space>");
    struct generation *g = &d.app->generation_of;
    assert_int_equal(voice(VOICE_CLEAN)->n, 6);
    assert_int_equal(g->at, 5);
    int32_t second = voice(VOICE_CLEAN)->step[1].id;
    driver_keys(&d, "<Left><Left><Left>");
    assert_int_equal(g->at, 2);
    g->running = false;
    driver_command(
        &d, "edit blocks.2.hook_resid_post[-1] *= -1"); /* from here on with another answer */
    driver_keys(&d, "r");
    assert_int_equal(voice(VOICE_CLEAN)->step[1].id, second);
    assert_true(g->edited);
    assert_int_equal(voice(VOICE_EDITED)->step[1].id, second); /* what stood stays */
    assert_true(voice(VOICE_EDITED)->step[2].id != voice(VOICE_CLEAN)->step[2].id);
    int32_t n = d.app->n;
    driver_keys(&d, "T");
    assert_int_equal(d.app->n, n + 6);
    assert_false(d.app->message_bad);
    assert_false(generation_is_current(d.app));
    driver_keys(&d, "<Space>"); /* goes on from there */
    assert_int_equal(g->n_prompt, n + 6);
}

/* Every step stands in a list with what it was drawn from, the one of the cursor among them, and a
 * click goes there; texts keep the room that they need. */
static void test_list(void **state)
{
    (void)state;
    static const int sizes[][2] = {{120, 40}, {80, 24}, {200, 60}, {120, 30}, {60, 13}};
    struct generation *g = &d.app->generation_of;
    driver_command(&d, "generate count 30");
    for (int edited = 0; edited < 2; edited++) {
        driver_keys(&d, "><Space>");
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            app_resize(d.app, sizes[s][0], sizes[s][1]);
            for (int at = 0; at < generation_steps(g); at += 7) {
                g->at = at;
                free(driver_screen(&d));
                char want[32];
                int found = 0, lists = 0;
                snprintf(want, sizeof want, "▶%5d", at + 1);
                char *screen = driver_screen(&d);
                for (char *x = screen; (x = strstr(x, want)); x++)
                    found++;
                lists = strstr(screen, "log p  entropy") != NULL;
                assert_int_equal(found, lists);
                assert_true(lists || sizes[s][1] < 30);
                free(screen);
            }
        }
        app_resize(d.app, 120, 40);
        g->at = 0;
        free(driver_screen(&d));
        int y = 0;
        while (y < 40 && strcmp(canvas_at(d.frame.canvas, 0, y)->text, "▶") != 0)
            y++;
        struct input click = {.kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = 12, .y = y + 4};
        app_input(d.app, &click);
        assert_int_equal(g->at, 4);
        driver_command(&d, "edit blocks.2.hook_resid_post[-1] *= -1");
    }
    driver_shows(&d, "edited ");
}

static void test_single(void **state)
{
    (void)state;
    driver_keys(&d, ">:generate<Space>start<Enter>");
    struct generation *g = &d.app->generation_of;
    int n = generation_steps(g);
    assert_true(n >= 3);         /* " Mary", ".", the end */
    driver_keys(&d, "g<Right>"); /* looks at the second */
    assert_int_equal(g->at, 1);
    assert_int_equal(generation_steps(g), n);
    driver_keys(&d, "r<Space>");
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, " Mary"));
    free(screen);
}

static void test_breakpoints(void **state)
{
    (void)state;
    struct generation *g = &d.app->generation_of;
    driver_command(&d, "break entropy > 1");
    driver_keys(&d, "><Space>");
    assert_int_equal(voice(VOICE_CLEAN)->n, 3);
    assert_non_null(strstr(g->why, "clean, step 3: entropy > 1"));
    driver_command(&d, "break off");
    driver_command(
        &d, "break attends 3 2 \" Mary\" > 0.9"); /* the head that looks at the name, at once */
    driver_command(&d, "generate start");
    assert_int_equal(voice(VOICE_CLEAN)->n, 1);
    assert_non_null(strstr(g->why, "attends 3 2 \" Mary\" > 0.9"));
    driver_command(&d, "break off");
    driver_command(&d, "break nan");
    driver_command(&d, "edit blocks.2.hook_resid_post[-1] = nan");
    driver_command(&d, "generate start");
    assert_false(g->running);
    assert_non_null(strstr(g->why, "edited"));
    static const char *const bad[] = {"entropy",
                                      "entropy 3",
                                      "entropy > x",
                                      "norm >",
                                      "nonsense",
                                      "attends 9 0 \" Mary\" > 1",
                                      "attends 0 0 \" Mary > 1",
                                      "attends 0 0 qqqq > 1",
                                      "entropy > nan"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[64];
        snprintf(line, sizeof line, "break %s", bad[i]);
        driver_command(&d, line);
        assert_true(d.app->message_bad);
        assert_int_equal(g->n_stops, 1);
    }
}

/* The same seed draws the same text, at every temperature. */
static void test_temperature(void **state)
{
    (void)state;
    int32_t first[8] = {0};
    driver_command(&d, "generate count 8");
    driver_command(&d, "generate temperature 5");
    driver_command(&d, "generate seed 7");
    for (int turn = 0; turn < 3; turn++) {
        driver_command(&d, "generate start");
        assert_int_equal(voice(VOICE_CLEAN)->n, 8);
        for (int i = 0; i < 8 && turn == 1; i++)
            assert_int_equal(voice(VOICE_CLEAN)->step[i].id, first[i]);
        int same = 0;
        for (int i = 0; i < 8; i++) {
            same += voice(VOICE_CLEAN)->step[i].id == first[i];
            first[i] = voice(VOICE_CLEAN)->step[i].id;
        }
        assert_true(turn != 2 || same < 8);
        if (turn == 1)
            driver_command(&d, "generate seed 8");
    }
    driver_command(&d, "generate temperature x");
    assert_true(d.app->message_bad);
}

/* ---- what each edit does ---- */

static void answer(double *delta, double *kl)
{
    const struct want pair = app_pair_want(d.app), divergence = app_kl_want(d.app);
    enum face face = d.app->snap->edited ? FACE_EDITED : FACE_BASE;
    const float *logits = snapshot_at(d.app->snap, face, &pair, 0);
    const double *nats = snapshot_at(d.app->snap, face, &divergence, 0);
    assert_true(logits && nats);
    *delta = (double)logits[0] - (double)logits[1];
    *kl = *nats;
}

static void test_effects(void **state)
{
    (void)state;
    driver_command(&d, "edit blocks.1.attn.hook_z[-1, 1] = 0");
    driver_command(&d, "edit blocks.0.hook_mlp_out[2:] *= 0.3");
    driver_command(&d, "edit blocks.2.hook_resid_post[3] = 0");
    driver_command(&d, "toggle 3");
    driver_keys(&d, "6");
    struct effect e[3];
    for (int i = 0; i < 2; i++) {
        assert_non_null(effects_at(d.app, i));
        e[i] = *effects_at(d.app, i);
    }
    assert_null(effects_at(d.app, 2)); /* it is off */
    for (int i = 0; i < 2; i++) {      /* what one sees when it is switched off */
        char line[16];
        double delta, kl;
        snprintf(line, sizeof line, "toggle %d", i + 1);
        driver_command(&d, line);
        answer(&delta, &kl);
        assert_true(delta == e[i].delta && kl == e[i].kl);
        driver_command(&d, line);
    }
    for (int i = 0; i < 40; i++) { /* more than fit on the screen: those that do are answered */
        char line[64];
        snprintf(line, sizeof line, "edit blocks.1.hook_resid_mid[%d] *= 1.%02d", i % 8, i + 1);
        app_command(d.app, line);
    }
    driver_settle(&d);
    for (int i = d.app->edit_top; i < d.app->edit_top + d.app->page; i++)
        assert_non_null(effects_at(d.app, i));
    driver_keys(&d, ":other<Space>1,2,3<Enter>=="); /* and again after another question */
    char *screen = driver_screen(&d);
    assert_non_null(strstr(screen, "Δ without"));
    assert_null(strstr(screen, "…"));
    free(screen);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        WITH_DRIVER(test_engine, open_small),    WITH_DRIVER(test_stepping, open_small),
        WITH_DRIVER(test_list, open_small),      WITH_DRIVER(test_single, open_own),
        WITH_DRIVER(test_breakpoints, open_own), WITH_DRIVER(test_temperature, open_small),
        WITH_DRIVER(test_effects, open_small)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
