/* test_present.c - the explorer before a class: rows apart and nothing lost by it, the last keys,
 * and edits that stay as they are while they are locked. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"

static int open_own(void **state)
{
    (void)state;
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, 8, 120, 60);
    return 0;
}

static bool shows(const char *text)
{
    char *screen = driver_screen(&d);
    bool there = strstr(screen, text) != NULL;
    free(screen);
    return there;
}

/* The lines of a screen, `step` apart; to free. */
static char *lines_of(struct driver *x, int step)
{
    struct bytes b = {0};
    assert_true(app_draw(x->app, &x->frame));
    const struct canvas *c = x->frame.canvas;
    for (int y = 0; y + step - 1 < c->h; y += step) {
        for (int i = 0; i < c->w; i++)
            bytes_add_string(&b, canvas_at(c, i, y)->text);
        bytes_add_char(&b, '\n');
    }
    assert_false(b.failed);
    return b.data;
}

static void test_rows_apart(void **state)
{
    (void)state;
    static const char *const views[] = {"1", "2", "3", "4", "5", "6", "?", "<Esc>:"};
    driver_keys(&d, "xK"); /* without the key bar, as in front of a class */
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        driver_keys(&d, views[i]);
        app_resize(d.app, 120, 30);
        driver_settle(&d);
        char *near = lines_of(&d, 1);
        d.app->present.on = true;
        app_resize(d.app, 120, 60);
        d.app->present.n_keys = 0;
        driver_settle(&d);
        char *apart = lines_of(&d, 2);
        assert_int_equal(d.frame.canvas->h, 60);
        assert_string_equal(near, apart);
        d.app->present.on = false;
        free(near);
        free(apart);
    }
}

/* Pictures are as many pixels high as their rows are. */
static void test_pictures_apart(void **state)
{
    (void)state;
    d.frame.caps = (struct frame_caps){GRAPHICS_SIXEL, COLOR_DEPTH_TRUE, 9, 18, false};
    driver_keys(&d, ":present<Enter>2");
    assert_true(app_draw(d.app, &d.frame));
    assert_true(d.frame.n_pictures > 2);
    for (int i = 0; i < d.frame.n_pictures; i++) {
        const struct picture *p = &d.frame.picture[i];
        assert_int_equal(p->r.y % 2, 0);
        assert_true(p->h <= p->r.h * 18 && p->h > p->r.h * 9); /* fills more than half of it */
        assert_true(p->r.y + p->r.h <= 60);
    }
    assert_int_equal(d.frame.caps.cell_h, 18);
}

static void test_small_screens(void **state)
{
    (void)state;
    driver_keys(&d, ":present<Enter>");
    app_resize(d.app, 80, 24);
    assert_int_equal(d.app->h, 24); /* no rows to spare */
    app_resize(d.app, 80, PRESENT_ROWS);
    assert_int_equal(d.app->h, PRESENT_ROWS / 2);
    app_resize(d.app, 80, PRESENT_ROWS + 1);
    char *screen = driver_screen(&d);
    assert_int_equal(d.frame.canvas->h, PRESENT_ROWS + 1);
    free(screen);
    driver_keys(&d, ":present<Space>off<Enter>");
    assert_int_equal(d.app->h, PRESENT_ROWS + 1);
}

static void test_last_keys(void **state)
{
    (void)state;
    driver_keys(&d, "kk");
    assert_false(shows("k k"));
    driver_keys(&d, ":present<Enter>kk");
    assert_true(shows("k k  move up"));
    driver_keys(&d, "x");
    assert_true(shows("k k x  zero"));
    driver_keys(&d, "ptyped<Esc><Left>");
    assert_true(shows("p <Esc> <Left>  move left")); /* what is typed into a line stood there */
    driver_keys(&d, "jjjjjjjjj");
    assert_true(shows(" j j j j j j j j  move down"));
    assert_false(shows("help"));
}

static void test_clicks(void **state)
{
    (void)state;
    driver_keys(&d, ":present<Enter>");
    struct input in = {
        .kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = 4, .y = 2 * (d.app->rows_y + 3) + 1};
    app_input(d.app, &in);
    assert_int_equal(d.app->cur.row, 3);
}

/* Whatever command there is, locked edits stay as they are. */
static void test_locked(void **state)
{
    (void)state;
    static const char *const args[] = {"", "1", "up", "0.25", "blocks.0.hook_mlp_out = 0"};
    driver_keys(&d, "xkx:present<Space>locked<Enter>");
    char *was = strdup(d.app->edits.past[d.app->edits.at]);
    driver_keys(&d, "ux");
    assert_true(d.app->message_bad && strstr(d.app->message, "locked"));
    driver_keys(&d, ":sweep z_all_pos<Enter>9<Enter>"); /* a cell's edit is tried where it acts */
    driver_settle(&d);
    if (!strstr(d.app->message, "locked"))
        fail_msg("%s", d.app->message);
    assert_int_equal(d.app->cur.view, VIEW_SWEEP);
    assert_string_equal(d.app->edits.past[d.app->edits.at], was);
    for (int i = 0; i < ACTION_COUNT; i++)
        for (size_t k = 0; k < sizeof args / sizeof *args; k++) {
            char command[128];
            if (i == ACTION_WRITE || i == ACTION_EXPORT || i == ACTION_PRESENT)
                continue; /* files; and the way to unlock */
            snprintf(command, sizeof command, "%s %s", action_table[i].name, args[k]);
            app_command(d.app, command);
            if (d.app->mode != LINE_NONE)
                app_line_cancel(d.app);
            d.app->cur.view = VIEW_GRID;
        }
    driver_settle(&d);
    assert_string_equal(d.app->edits.past[d.app->edits.at], was);
    driver_keys(&d, ":present<Space>open<Enter>u");
    assert_string_not_equal(d.app->edits.past[d.app->edits.at], was);
    free(was);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define TEST(name) WITH_DRIVER(name, open_own)
    const struct CMUnitTest tests[] = {TEST(test_rows_apart),    TEST(test_pictures_apart),
                                       TEST(test_small_screens), TEST(test_last_keys),
                                       TEST(test_clicks),        TEST(test_locked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
