/* test_mouse.c - what the pointer does: every word of the key bar is its key, a rectangle is
 * dragged, the help's rows are chosen and run, the wheel moves. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"
#include "keybar.h"

static unsigned mouse(enum mouse_act act, int x, int y)
{
    struct input in = {.kind = INPUT_MOUSE, .act = act, .x = x, .y = y};
    unsigned react = app_input(d.app, &in);
    driver_settle(&d);
    free(driver_screen(&d));
    return react;
}

/* Column of a word in a row of the screen, -1: it is not there. */
static int column_of(int y, const char *word)
{
    char text[512] = "";
    for (int x = 0; x < d.frame.canvas->w; x++) { /* one byte a column */
        const char *s = canvas_at(d.frame.canvas, x, y)->text;
        text[x] = s[0] > 0 && !s[1] ? s[0] : '?';
    }
    const char *at = strstr(text, word);
    return at ? (int)(at - text) : -1;
}

/* At every width and in every view: what stands in the bar does what it says, and nothing else. */
static void test_bar(void **state)
{
    (void)state;
    static const struct {
        const char *word, *command;
    } words[] = {{"help", "help"},     {"quit", "quit"},
                 {"go in", "enter"},   {"all positions", "zero-all"},
                 {"on/off", "toggle"}, {"layer", "layer next"},
                 {"sweep", "sweep"}};
    for (int v = 0; v < VIEW_COUNT; v++)
        for (int w = 60; w <= 200; w += 35) {
            app_show_view(d.app, (enum view_id)v);
            app_resize(d.app, w, 30);
            free(driver_screen(&d));
            for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
                int x = column_of(29, words[i].word);
                const char *at = x < 0 ? NULL : keybar_at(d.app, w, x);
                if (x >= 0 && (!at || strcmp(at, words[i].command) != 0))
                    fail_msg("%s at %d in %s: %s", words[i].word, w, view_names[v], at ? at : "-");
            }
            assert_null(keybar_at(d.app, w, 2)); /* digits are eleven keys */
        }
    app_resize(d.app, 120, 36);
    driver_keys(&d, "1");
    free(driver_screen(&d));
    mouse(MOUSE_PRESS, column_of(35, "zero"), 35);
    assert_int_equal(d.app->edits.n, 1);
    mouse(MOUSE_PRESS, column_of(35, "undo") - 2, 35); /* on its key */
    assert_int_equal(d.app->edits.n, 0);
    mouse(MOUSE_PRESS, column_of(35, "help"), 35);
    assert_int_equal(d.app->mode, LINE_HELP);
    mouse(MOUSE_PRESS, column_of(35, "zero"), 35); /* not behind a popup */
    assert_int_equal(d.app->edits.n, 0);
    driver_keys(&d, "<Esc>");
    free(driver_screen(&d));
    assert_int_equal(mouse(MOUSE_PRESS, column_of(35, "quit"), 35), REACT_QUIT);
    driver_keys(&d, "<M-k>"); /* without the bar the row is the message's */
    assert_int_equal(mouse(MOUSE_PRESS, 12, 35), 0);
    assert_int_equal(d.app->mode, LINE_NONE);
}

/* From the cell where the button goes down to the one where it is let go. */
static void test_drag(void **state)
{
    (void)state;
    int x = d.app->columns_x, y = d.app->rows_y, w = d.app->column_width;
    mouse(MOUSE_PRESS, x + w, y + 2);
    assert_false(d.app->selecting);
    mouse(MOUSE_MOVE, x + w + 1, y + 2); /* the same cell */
    assert_false(d.app->selecting);
    mouse(MOUSE_MOVE, x + 2 * w, y + 5);
    mouse(MOUSE_MOVE, x + 2 * w, 2000); /* beyond: nothing is there */
    assert_true(d.app->selecting);
    mouse(MOUSE_RELEASE, x + 2 * w, y + 5);
    mouse(MOUSE_MOVE, x, y); /* the button is up */
    struct corners k = app_corners(d.app);
    assert_true(k.row[0] == 2 && k.row[1] == 5 && k.column[0] == 1 && k.column[1] == 2);
    driver_keys(&d, "x");
    assert_string_equal(d.app->edits.text[0], "blocks.{0..1}.hook_resid_post[2:6] = 0");
    mouse(MOUSE_PRESS, x, y);
    mouse(MOUSE_MOVE, x, y + 1);
    assert_true(d.app->selecting);
    mouse(MOUSE_PRESS, x, y + 3); /* a click anew forgets it */
    assert_false(d.app->selecting);
    mouse(MOUSE_RELEASE, x, y + 3);
    driver_keys(&d, "2");
    mouse(MOUSE_PRESS, 12, 1); /* tabs are no corner */
    mouse(MOUSE_MOVE, 40, 10);
    assert_false(d.app->selecting);
}

static void test_help(void **state)
{
    (void)state;
    driver_keys(&d, "?");
    mouse(MOUSE_WHEEL_DOWN, 30, 10);
    assert_int_equal(d.app->help_at, 3);
    driver_keys(&d, "attention");
    free(driver_screen(&d));
    struct rect r = d.app->help_rows;
    int row = 0;
    while (row < r.h && column_of(r.y + row, ":view attention") < 0)
        row++;
    assert_true(row < r.h);
    d.app->help_at = row ? 0 : 1;
    mouse(MOUSE_PRESS, r.x + 3, r.y + row);
    assert_int_equal(d.app->mode, LINE_HELP);
    mouse(MOUSE_PRESS, r.x + 3, 0); /* beside it */
    assert_int_equal(d.app->mode, LINE_HELP);
    mouse(MOUSE_PRESS, r.x + 3, r.y + row);
    assert_int_equal(d.app->mode, LINE_NONE);
    assert_int_equal(d.app->cur.view, VIEW_ATTENTION);
}

/* In every view the wheel is three lines of what Up and Down do. */
static void test_wheel(void **state)
{
    (void)state;
    for (int v = 0; v < VIEW_COUNT; v++) {
        app_show_view(d.app, (enum view_id)v);
        driver_settle(&d);
        driver_keys(&d, "gg");
        struct place before = d.app->cur;
        mouse(MOUSE_WHEEL_DOWN, 20, 10);
        struct place wheel = d.app->cur;
        d.app->cur = before;
        app_view(d.app)->move(d.app, MOVE_DOWN, 3);
        free(driver_screen(&d));
        assert_memory_equal(&wheel, &d.app->cur, sizeof wheel);
    }
}

/* Row of the screen that begins with a word inside a popup's border, -1. */
static int row_of(const char *word)
{
    for (int y = 0; y < d.frame.canvas->h; y++)
        if (column_of(y, word) >= 0)
            return y;
    return -1;
}

/* What a command may go on with: the wheel shows the rest, a click takes one, and Tab goes on from
 * there; a click beside it does nothing. */
static void test_completion(void **state)
{
    (void)state;
    driver_keys(&d, ":edit<Space>blocks.0.");
    free(driver_screen(&d));
    struct completion *c = &d.app->complete;
    assert_true(c->n > 16 && c->at < 0 && c->rows.h == 10);
    char third[128], last[128];
    snprintf(third, sizeof third, "edit %s", c->item[2]);
    snprintf(last, sizeof last, "edit %s", c->item[c->n - 1]);
    int y = row_of(c->item[2]);
    assert_int_equal(y, c->rows.y + 2);
    mouse(MOUSE_PRESS, c->rows.x + 2, y);
    assert_string_equal(line_text(&d.app->line), third);
    mouse(MOUSE_WHEEL_DOWN, 5, 5);
    assert_int_equal(c->top, 3);
    assert_string_equal(line_text(&d.app->line), third); /* looking takes nothing */
    for (int i = 0; i < 40; i++)
        mouse(MOUSE_WHEEL_DOWN, 5, 5);
    assert_int_equal(c->top, c->n - 10);
    assert_int_equal(row_of(c->item[c->n - 1]), c->rows.y + 9);
    mouse(MOUSE_PRESS, c->rows.x + 2, c->rows.y + 9);
    assert_string_equal(line_text(&d.app->line), last);
    mouse(MOUSE_PRESS, 119, 1);
    mouse(MOUSE_PRESS, c->rows.x + 2, c->rows.y + 10);
    assert_string_equal(line_text(&d.app->line), last);
    driver_keys(&d, "<Tab>"); /* round to the first one, which is shown */
    assert_int_equal(c->at, 0);
    assert_int_equal(c->top, 0);
    mouse(MOUSE_WHEEL_UP, 5, 5);
    assert_int_equal(c->top, 0);
    driver_keys(&d, "<Esc>");
    mouse(MOUSE_PRESS, 30, 10); /* none is open: the view's */
    assert_int_equal(d.app->mode, LINE_NONE);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {WITH(test_bar), WITH(test_drag), WITH(test_help),
                                       WITH(test_wheel), WITH(test_completion)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
