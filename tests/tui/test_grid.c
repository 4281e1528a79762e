/* test_grid.c - the grid at every width: all layers, probabilities without colour, small ones, the
 * panel and what its figures are called. */
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detail.h"
#include "driver_test.h"
#include "keybar.h"

static void settle_at(int w, enum color_depth depth)
{
    app_resize(d.app, w, 30);
    d.frame.caps.depth = depth;
    driver_settle(&d);
    assert_true(app_draw(d.app, &d.frame));
}

static const struct canvas_cell *cell(int32_t column, int32_t row)
{
    const struct app *a = d.app;
    return canvas_at(d.frame.canvas, a->columns_x + column * a->column_width, a->rows_y + row);
}

static double probability(int32_t column, int32_t row)
{
    struct want w = detail_cell(d.app, column, row, row + 1);
    const struct want_cell *c = snapshot_at(d.app->snap, FACE_BASE, &w, row);
    return exp((double)c->top.logit - (double)c->cell.lse);
}

static char *canvas_text(void)
{
    struct bytes b = {0};
    canvas_dump_plain(d.frame.canvas, &b);
    assert_false(b.failed);
    return b.data;
}

/* However narrow, every layer is there, in its colour; wide columns scroll instead. */
static void test_all_layers(void **state)
{
    (void)state;
    int32_t columns = d.m->cfg.n_layers + 1;
    for (int w = 22; w <= 200; w++) {
        settle_at(w, COLOR_DEPTH_TRUE);
        assert_int_equal(d.app->column_left, 0);
        assert_true(d.app->column_width * columns <= d.app->body.w - 18);
        for (int32_t c = 0; c < columns; c++)
            for (int32_t r = 0; r < N_TOKENS; r++)
                assert_true(cell(c, r)->style.bg ==
                            colormap_at(COLORMAP_SEQUENTIAL, (float)probability(c, r)));
    }
    for (int narrow = 0; narrow < 2; narrow++) { /* the bar tells how to see words */
        settle_at(120, COLOR_DEPTH_TRUE);
        d.app->column_width = narrow ? 3 : 8;
        keybar_draw(d.app, d.frame.canvas, (struct rect){0, 0, 120, 1});
        char *screen = canvas_text();
        assert_int_equal(strstr(screen, "z words") != NULL, narrow);
        free(screen);
    }
    driver_keys(&d, "z");
    settle_at(40, COLOR_DEPTH_TRUE);
    assert_true(d.app->column_width >= 7 && d.app->column_left > 0);
}

/* Without colour a glyph says what colour would, in a compact cell alone. */
static void test_shades(void **state)
{
    (void)state;
    for (int w = 22; w <= 140; w++) {
        settle_at(w, COLOR_DEPTH_NONE);
        int width = d.app->column_width - (d.app->column_width > 2);
        for (int32_t c = 0; c < 3; c++) /* the cursor's has brackets */
            for (int32_t r = 0; r < N_TOKENS - 1; r++) {
                const char *want = heat_glyph((double)(float)probability(c, r), HEAT_SHADES);
                int at = width >= 6 ? width - 2 : width - 1;
                assert_string_equal(cell(c, r)[at].text, want);
            }
    }
}

/* The cursor can be told from other cells at every width and depth, and its text be read. */
static void test_cursor(void **state)
{
    (void)state;
    driver_keys(&d, "kkh");
    for (int depth = COLOR_DEPTH_NONE; depth <= COLOR_DEPTH_TRUE; depth++)
        for (int w = 22; w <= 140; w++) {
            settle_at(w, (enum color_depth)depth);
            const struct canvas_cell *here = cell(2, 5), *other = cell(2, 4);
            bool bracket = strcmp(here->text, "[") == 0;
            assert_true(bracket || (here->style.attr & CANVAS_REVERSE));
            assert_true(strcmp(other->text, "[") != 0 && !(other->style.attr & CANVAS_REVERSE));
            int fg, bg;
            if (depth != COLOR_DEPTH_16 && depth != COLOR_DEPTH_256)
                continue;
            color_nearest_pair((enum color_depth)depth, here->style.fg, here->style.bg, &fg, &bg);
            assert_true(color_contrast(color_of_index(fg), color_of_index(bg)) >= 3);
        }
}

static void test_panel(void **state)
{
    (void)state;
    driver_shows(&d, "log p");
    driver_shows(&d, "│ blocks.2");
    driver_shows(&d, "first ");
    driver_shows(&d, "   here ");
    driver_shows(&d, "   last ");
    driver_keys(&d, "\\");
    driver_lacks(&d, "│ blocks.2");
    assert_int_equal(d.app->body.w, 120);
    driver_keys(&d, "2");
    assert_int_equal(d.app->body.w, 120); /* in every view */
    driver_keys(&d, "1\\");
    driver_shows(&d, "│ blocks.2");
    /* sharp logits: the others' probabilities have an exponent, their logarithm stands beside */
    driver_keys(&d, ":edit<Space>blocks.2.hook_resid_post[-1,<Space>0]<Space>+=<Space>30<Enter>");
    driver_shows(&d, "e-");
}

/* The text of a cell without its brackets. */
static double number_in(int32_t column, int32_t row)
{
    char text[32] = "";
    const struct canvas_cell *c = cell(column, row);
    for (int i = 1; i + 2 < d.app->column_width; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s",
                 strcmp(c[i].text, "\u2212") ? c[i].text : "-");
    return strtod(text, NULL);
}

/* What cells show is what the figures say: of the target, of the pair, against the last layer. */
static void test_quantities(void **state)
{
    (void)state;
    int32_t last = d.m->cfg.n_layers;
    driver_keys(&d, ":quantity<Space>p<Enter>");
    settle_at(120, COLOR_DEPTH_TRUE);
    double p = number_in(last, 7);
    assert_true(p > 0.45 && p < 0.47); /* the likeliest is the target */
    driver_keys(&d, ":quantity<Space>log-p<Enter>");
    settle_at(120, COLOR_DEPTH_TRUE);
    assert_true(fabs(number_in(last, 7) - log(p)) < 0.01);
    driver_keys(&d, ":quantity<Space>delta<Enter>");
    settle_at(120, COLOR_DEPTH_TRUE);
    const struct want w = app_pair_want(d.app);
    const float *pair = snapshot_at(d.app->snap, FACE_BASE, &w, 0);
    assert_true(fabs(number_in(last, 7) - (double)(pair[0] - pair[1])) < 0.006);
    driver_keys(&d, ":quantity<Space>kl<Enter>");
    settle_at(120, COLOR_DEPTH_TRUE);
    for (int32_t r = 0; r < N_TOKENS; r++) {
        assert_true(fabs(number_in(last, r)) < 0.01);
        assert_true(number_in(0, r) > 0.01);
    }
    driver_keys(&d, ":quantity<Space>cosine<Enter>");
    settle_at(120, COLOR_DEPTH_TRUE);
    for (int32_t r = 0; r < N_TOKENS; r++)
        for (int32_t c = 0; c <= last; c++)
            assert_true(c == last ? fabs(number_in(c, r) - 1) < 0.01 : fabs(number_in(c, r)) < 1);
    for (int q = 0; q < QUANTITY_COUNT; q++) { /* all of them, in all faces, by their key */
        driver_keys(&d, "<Tab>");
        if (q == 1)
            driver_keys(&d, "x");
        driver_keys(&d, "b");
        char *screen = driver_screen(&d);
        assert_null(strstr(screen, "…"));
        free(screen);
    }
}

/* A click on a layer of the lens view goes to it, beside the panel and above it. */
static void test_lens_click(void **state)
{
    (void)state;
    static const int sizes[][2] = {{120, 36}, {80, 24}};
    driver_keys(&d, "3");
    for (int s = 0; s < 2; s++) {
        app_resize(d.app, sizes[s][0], sizes[s][1]);
        driver_settle(&d);
        for (int32_t layer = 0; layer <= d.m->cfg.n_layers; layer++) {
            struct input click = {
                .kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = 12, .y = d.app->body.y + 1 + layer};
            app_input(d.app, &click);
            assert_int_equal(d.app->cur.column, layer);
        }
        struct input beside = {.kind = INPUT_MOUSE,
                               .act = MOUSE_PRESS,
                               .x = s ? 12 : 100,
                               .y = s ? 20 : d.app->body.y + 1};
        app_input(d.app, &beside);
        assert_int_equal(d.app->cur.column, d.m->cfg.n_layers); /* the panel is none */
    }
}

/* The figures of the n-th line of the screen that the cursor is on, to the panel's edge; to free.
 */
static char *cursor_line(int n)
{
    char *screen = driver_screen(&d), *at = screen;
    for (int i = 0; i <= n && at; i++)
        at = strstr(i ? at + 1 : at, "\n▶");
    assert_non_null(at);
    at += strlen("\n▶") + 17; /* behind the label */
    char *line = strndup(at, (size_t)(strstr(at, "│") - at));
    free(screen);
    return line;
}

/* The lens' layers and positions cross in the cursor's cell; a click goes to a position; where
 * there is no room for both they give way, and the panel is whole. */
static void test_lens_cross(void **state)
{
    (void)state;
    driver_keys(&d, "3");
    for (const char *keys = "khhj"; *keys; keys++) {
        char key[2] = {*keys}, *layer, *position;
        driver_keys(&d, key);
        layer = cursor_line(0), position = cursor_line(1);
        assert_string_equal(layer, position);
        free(layer), free(position);
    }
    struct input click = {.kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = 20};
    click.y = d.app->body.y + d.app->m->cfg.n_layers + 2 + 2 + 3; /* under both headings */
    app_input(d.app, &click);
    assert_int_equal(d.app->cur.row, 3);
    app_resize(d.app, 100, 30);
    driver_settle(&d);
    driver_lacks(&d, "position  ");
    driver_shows(&d, "    p   log p   logit\n");
    app_resize(d.app, 120, 14);
    driver_settle(&d);
    driver_lacks(&d, "position  ");
    driver_shows(&d, "logit     log p  rank   │");
}

/* A wide panel of the lens has more of the best tokens beside each other and the target's logits as
 * a chart: no line of it is empty to the right of the first column. */
static void test_lens_wide(void **state)
{
    (void)state;
    driver_keys(&d, "3");
    for (int edited = 0; edited < 2; edited++) {
        app_resize(d.app, 200, 60);
        driver_settle(&d);
        free(driver_screen(&d));
        int lines = 0;
        for (int y = 0; y < 60; y++) {
            const struct canvas_cell *second = canvas_at(d.frame.canvas, 77 + 40 + (edited ? 2 : 4),
                                                         y),
                                     *third = canvas_at(d.frame.canvas, 77 + 80 + (edited ? 2 : 4),
                                                        y);
            lines += *second->text != ' ' && *third->text != ' ';
        }
        assert_true(lines > 10);
        driver_shows(&d, edited ? "edited   diff    p of " : "logit   top ");
        driver_shows(&d, "emb      0        1        2");
        driver_keys(&d, "x");
    }
    app_resize(d.app, 120, 36); /* one column: a line of bars */
    driver_settle(&d);
    driver_lacks(&d, "emb      0 ");
    driver_keys(&d, "xb"); /* what the edit does not reach is blank in the difference, here too */
    assert_int_equal(d.app->show, SHOW_DIFFERENCE);
    driver_lacks(&d, "0.00     0.00");
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {
        WITH(test_all_layers), WITH(test_shades),     WITH(test_cursor),     WITH(test_panel),
        WITH(test_quantities), WITH(test_lens_click), WITH(test_lens_cross), WITH(test_lens_wide)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
