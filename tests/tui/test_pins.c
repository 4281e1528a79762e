/* test_pins.c - figures that stay in sight: what they were and are, across edits, prompts, views
 * and sessions. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "run/run.h"
#include "save/session_app.h"

static const struct pin *pin(int i)
{
    assert_true(i < d.app->pins.n);
    return &d.app->pins.pin[i];
}

/* What a pin says is what the views show: of the lens, of an element, of a head, of an edge. */
static void test_values(void **state)
{
    (void)state;
    driver_keys(&d, "3i");
    assert_string_equal(pin(0)->text, "blocks.3.hook_resid_post[-1]");
    const struct want *w = NULL;
    for (int32_t i = 0; i < d.app->snap->n_wants && !w; i++) /* the view's own */
        if (d.app->snap->wants[i].kind == WANT_CELL && d.app->snap->wants[i].site.layer == 3)
            w = &d.app->snap->wants[i];
    const struct want_cell *cell = snapshot_at(d.app->snap, FACE_BASE, w, 14);
    assert_int_equal(pin(0)->token, cell->top.id);
    assert_true(pin(0)->known);
    assert_true(fabs(pin(0)->was - exp((double)cell->top.logit - (double)cell->cell.lse)) < 1e-6);
    driver_command(&d, "tensor blocks.1.attn.hook_z");
    driver_keys(&d, "llll");
    driver_keys(&d, "i");
    assert_string_equal(pin(1)->text, "blocks.1.attn.hook_z[-1, 0, 4]");
    w = snapshot_want(d.app->snap, WANT_VALUES, SITE_Z);
    const float *z = snapshot_at(d.app->snap, FACE_BASE, w, 14);
    assert_true(pin(1)->was == (double)z[4]);
    driver_keys(&d, "2");
    driver_command(&d, "head 2");
    driver_command(&d, "layer 3");
    driver_keys(&d, "i");
    assert_string_equal(pin(2)->text, "blocks.3.attn.hook_z[-1, 2]");
    driver_command(&d, "tensor blocks.3.attn.hook_z");
    driver_command(&d, "head 2");
    double sum = 0;
    w = snapshot_want(d.app->snap, WANT_VALUES, SITE_Z);
    z = snapshot_at(d.app->snap, FACE_BASE, w, 14);
    size_t width = want_floats(&d.m->cfg, w, d.app->n) / want_heads(&d.m->cfg, w);
    size_t head = w->head1 ? 0 : 2 * width;
    for (size_t i = 0; i < width; i++)
        sum += (double)z[head + i] * (double)z[head + i];
    assert_true(fabs(pin(2)->was - sqrt(sum)) < 1e-3);
    driver_command(&d, "pin blocks.3.attn.hook_pattern[2, -1, 2]");
    driver_shows(&d, "pin 4 blocks.3.attn.hook_pattern[2, -1, 2]");
    assert_true(pin(3)->was > 0.5 && pin(3)->was <= 1); /* the head that moves the name */
    driver_shows(&d, "value was ");
}

/* Edits change what it is, not what it was; a prompt without the place says so, and it comes back.
 */
static void test_across(void **state)
{
    (void)state;
    driver_keys(&d, "3i");
    driver_command(&d, "pin blocks.0.hook_resid_pre[14]");
    double was = pin(0)->was;
    assert_true(was > 0.9);
    driver_keys(&d, "2");
    driver_command(&d, "edit blocks.3.hook_resid_post[-1] = 0");
    assert_true(pin(0)->was == was);
    driver_shows(&d, "base   0.984 edited ");
    driver_shows(&d, "−0.98");
    driver_keys(&d, "u");
    driver_shows(&d, "is   0.984    0.000");
    driver_command(&d, "prompt Tom went");
    driver_shows(&d, "pos 14 is out of range"); /* an index from the end follows the end */
    assert_true(pin(0)->there && !pin(1)->there);
    driver_command(&d, "prompt \"" DRIVER_PROMPT "\"");
    assert_true(pin(1)->there);
    driver_lacks(&d, "out of range");
    driver_command(&d, "pin blocks.0.hook_resid_pre[pos=\" John\"#2]");
    driver_command(&d, "prompt When Tom and John went home, John");
    assert_true(pin(2)->there);
    assert_int_equal(pin(2)->want.row0, 8);
    driver_keys(&d, "3i"); /* another token of the lens is another pin */
    assert_int_equal(d.app->pins.n, 4);
    driver_keys(&d, "i");
    assert_int_equal(d.app->pins.n, 3);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"pin blocks.0.hook_mlp_out", "one element, or all of a position"},
        {"pin blocks.0.hook_mlp_out[0:2]", "one element, or all of a position"},
        {"pin blocks.0.attn.hook_z[-1, :, 3]", "one element, or all of a position"},
        {"pin blocks.*.hook_mlp_out[-1]", "a figure of one hook"},
        {"pin blocks.0.attn.W_Q[0]", "a figure of one hook"},
        {"pin blocks.0.hook_nothing[-1]", "no hook"},
        {"pin blocks.0.hook_mlp_out[-1", "expected"},
        {"pin blocks.0.hook_mlp_out[-1] = 3", "token"},
        {"pin blocks.0.hook_mlp_out[-1] \" Mary\"", "the lens reads"},
        {"pin blocks.0.hook_resid_post[-1] \" qqqq\"", "qqqq"},
        {"pin blocks.0.hook_resid_post[99]", "out of range"},
        {"pin 1", "nothing is pinned"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        driver_command(&d, rows[i][0]);
        if (!d.app->message_bad || !strstr(d.app->message, rows[i][1]) || d.app->pins.n)
            fail_msg("%s · %s", rows[i][0], d.app->message);
        app_line_cancel(d.app);
    }
    char text[64];
    for (int i = 0; i < PINS_MAX + 1; i++) {
        snprintf(text, sizeof text, "pin blocks.0.hook_mlp_out[-1, %d]", i);
        driver_command(&d, text);
    }
    assert_int_equal(d.app->pins.n, PINS_MAX);
    assert_non_null(strstr(d.app->message, "pin NUMBER lets one go"));
    driver_command(&d, "pin 3");
    assert_int_equal(d.app->pins.n, PINS_MAX - 1);
    assert_string_equal(pin(2)->text, "blocks.0.hook_mlp_out[-1, 3]");
    driver_command(&d, "pin off");
    assert_int_equal(d.app->pins.n, 0);
    driver_keys(&d, "6i");
    assert_non_null(strstr(d.app->message, "nothing here to pin"));
}

/* They take rows of every view, never more than a fifth, and nothing is drawn outside. */
static void test_rows(void **state)
{
    (void)state;
    static const int sizes[][2] = {{120, 40}, {80, 24}, {60, 12}, {40, 10}, {200, 60}};
    char text[64];
    for (int i = 0; i < PINS_MAX; i++) {
        snprintf(text, sizeof text, "pin blocks.0.hook_mlp_out[-1, %d]", i);
        driver_command(&d, text);
    }
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int v = 0; v < VIEW_COUNT; v++) {
            app_resize(d.app, sizes[k][0], sizes[k][1]);
            app_show_view(d.app, (enum view_id)v);
            driver_settle(&d);
            char *screen = driver_screen(&d);
            int pins = 0;
            for (const char *s = screen; (s = strstr(s, "\n pin ")); s++)
                pins++;
            if (pins > sizes[k][1] / 5 || (sizes[k][1] >= 24 && pins < 3))
                fail_msg("%dx%d %s: %d pins\n%s", sizes[k][0], sizes[k][1], view_names[v], pins,
                         screen);
            free(screen);
        }
}

/* A session keeps them with what they were; the log says them so that they can be pinned again. */
static void test_kept(void **state)
{
    (void)state;
    driver_keys(&d, "3i");
    driver_command(&d, "edit blocks.3.hook_resid_post[-1] *= 0.5");
    driver_command(&d, "pin blocks.0.attn.hook_pattern[1, -1, 0]");
    struct bytes first = {0}, second = {0}, warnings = {0};
    struct saved s = {0};
    session_text(d.app, &first);
    char want[80];
    snprintf(want, sizeof want, "\npin %.9g blocks.3.hook_resid_post[-1] \" Mary\"\n", pin(0)->was);
    assert_non_null(strstr(first.data, want));
    double was = pin(0)->was;
    driver_command(&d, "pin off");
    assert_int_equal(saved_parse(&s, "test", first.data, first.len, &warnings), 0);
    session_become_now(d.app, &s, &warnings, NULL);
    driver_settle(&d);
    assert_null(d.app->notice);
    session_text(d.app, &second);
    assert_string_equal(first.data, second.data);
    assert_true(fabs(pin(0)->was - was) < 1e-8);
    static const char bad[] = "model teach\nprompt \"Tom went\"\npin x blocks.0.hook_mlp_out[-1]\n"
                              "pin 1 nonsense\npin - blocks.0.hook_mlp_out[-1]\nend\n";
    saved_parse(&s, "bad", bad, sizeof bad - 1, &warnings);
    session_become_now(d.app, &s, &warnings, NULL);
    driver_settle(&d);
    assert_int_equal(d.app->pins.n, 1);
    assert_true(pin(0)->known); /* "-": from now on */
    assert_non_null(strstr(d.app->notice, "a number, or -, first"));
    assert_non_null(strstr(d.app->notice, "nonsense"));
    bytes_free(&first), bytes_free(&second), bytes_free(&warnings);
    const struct command_log *l = &d.app->log;
    assert_string_equal(l->line[1], "pin blocks.3.hook_resid_post[-1] \" Mary\"");
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define TEST(name) WITH_DRIVER(name, open_teach)
    const struct CMUnitTest tests[] = {TEST(test_values), TEST(test_across), TEST(test_refused),
                                       TEST(test_rows), TEST(test_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
