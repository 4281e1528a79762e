/* test_status.c - what the rows above the views never leave out, at any width; NaN as a flag, in
 * its colour in every view, and the way to the first one. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_test.h"

/* The text of a row; to free. */
static char *row_text(int y)
{
    struct bytes b = {0};
    for (int x = 0; x < d.frame.canvas->w; x++)
        bytes_add_string(&b, canvas_at(d.frame.canvas, x, y)->text);
    assert_false(b.failed);
    return b.data;
}

static void row_has(int y, const char *text, bool has)
{
    char *row = row_text(y);
    if (!strstr(row, text) == has)
        fail_msg("%s at %d columns: \"%s\" in\n%s", has ? "missing" : "there", d.app->w, text, row);
    free(row);
}

static void draw_at(int w)
{
    app_resize(d.app, w, 30);
    driver_settle(&d);
    assert_true(app_draw(d.app, &d.frame));
}

/* Cost, process and name stay at every width; what is left out at one is left out at all narrower
 * ones, the least important first. */
static void test_widths(void **state)
{
    (void)state;
    static const char *const parts[] = {" borescope", "3 layers", "f32", "(+", "KL ", "1 edit"};
    bool gone[6] = {false};
    d.app->opt.fixed = false; /* times too */
    driver_keys(&d, ":edit<Space>blocks.1.attn.hook_z[-1,<Space>1]<Space>=<Space>0<Enter>");
    for (int w = 200; w >= 60; w--) {
        draw_at(w);
        row_has(0, " %", true);
        row_has(0, " ms", true);
        row_has(0, " gpt2", true);
        row_has(0, "raw", true);
        char *row = row_text(0);
        for (int i = 0; i < 6; i++) {
            bool there = strstr(row, parts[i]) != NULL;
            assert_false(there && gone[i]);
            gone[i] = !there;
            for (int k = i + 1; k < 6; k++)
                assert_true(!gone[k] || gone[i] || strcmp(parts[i], "(+") == 0);
        }
        free(row);
    }
    assert_true(gone[0] && gone[1]);
}

/* Where it was computed: all of it, at 120 columns at least which backend, as long as the model's
 * shape or type has room. */
static void test_device(void **state)
{
    (void)state;
    char backend[sizeof d.be->describe + 2];
    snprintf(backend, sizeof backend, " %.*s", (int)strcspn(d.be->describe, " "), d.be->describe);
    d.app->opt.fixed = false;
    driver_keys(&d, ":edit<Space>blocks.1.attn.hook_z[-1,<Space>1]<Space>=<Space>0<Enter>");
    draw_at(200);
    row_has(0, d.be->describe, true);
    draw_at(120);
    row_has(0, d.be->describe, false);
    for (int w = 200; w >= 60; w--) {
        draw_at(w);
        char *row = row_text(0);
        if (w >= 120 || strstr(row, "layers") || strstr(row, "f32"))
            row_has(0, backend, true);
        free(row);
    }
    snprintf(d.app->device, sizeof d.app->device, "cpu layers 0, cuda:0 NVIDIA 1-2");
    app_resize(d.app, 120, 30);
    assert_true(app_draw(d.app, &d.frame));
    row_has(0, " cpu…  raw", true);
}

/* Names of views as long as there is room beside what the view shows; clicks follow. */
static void test_tabs(void **state)
{
    (void)state;
    driver_keys(&d, "4");
    int before = 0;
    for (int w = 60; w <= 240; w++) {
        int named = 0;
        draw_at(w);
        char *row = row_text(1);
        for (int v = 0; v < VIEW_COUNT; v++) {
            int x, width;
            app_tab(d.app, v, &x, &width);
            named += width > 2;
            assert_true(width > 0 ? x + width <= w : true);
            if (width > 2)
                assert_non_null(strstr(row, view_names[v]));
        }
        assert_true(named >= before);
        before = named;
        if (strstr(row, "hooks]"))
            assert_non_null(strstr(row, "[4 hooks]"));
        free(row);
    }
    assert_int_equal(before, VIEW_COUNT);
    for (int v = 0; v < VIEW_COUNT; v++) {
        int x, width;
        app_tab(d.app, v, &x, &width);
        struct input click = {.kind = INPUT_MOUSE, .act = MOUSE_PRESS, .x = x + 1, .y = 1};
        app_input(d.app, &click);
        assert_int_equal(d.app->cur.view, v);
    }
}

/* Every "NaN" in the body stands in the colour of NaN, none as a value that is still to come. */
static void check_colors(const char *view)
{
    int found = 0;
    d.frame.caps.depth = COLOR_DEPTH_TRUE;
    assert_true(app_draw(d.app, &d.frame));
    for (int y = 2; y < 34; y++) {
        for (int x = 0; x + 2 < 120; x++) {
            const struct canvas_cell *c = canvas_at(d.frame.canvas, x, y);
            if (strcmp(c[0].text, "N") || strcmp(c[1].text, "a") || strcmp(c[2].text, "N") ||
                (x + 3 < 120 && strcmp(c[3].text, " ") && strcmp(c[3].text, "]")))
                continue;
            found++;
            if (c->style.bg != COLORMAP_NAN)
                fail_msg("view %s: NaN at %d %d has the colour %06x", view, x, y,
                         (unsigned)c->style.bg);
        }
    }
    char *screen = driver_screen(&d);
    if (!found || strstr(screen, "…"))
        fail_msg("view %s shows no NaN, or something to come:\n%s", view, screen);
    free(screen);
}

static void test_nan(void **state)
{
    (void)state;
    draw_at(120);
    row_has(0, "NaN", false);
    driver_keys(&d, "!");
    assert_non_null(strstr(d.app->message, "no NaN"));
    driver_keys(&d,
                ":edit<Space>blocks.1.attn.hook_z[3:,<Space>1,<Space>2]<Space>=<Space>nan<Enter>");
    for (int w = 60; w <= 200; w += 20) {
        draw_at(w);
        row_has(0, "NaN from blocks.1.attn.hook_z on", true);
        row_has(0, " %", true);
    }
    row_has(0, "KL NaN", true); /* what is made of it says so */
    app_resize(d.app, 120, 36);
    driver_keys(&d, "1!");
    assert_int_equal(d.app->cur.view, VIEW_TENSOR);
    assert_true(d.app->cur.site.id == SITE_Z && d.app->cur.site.layer == 1);
    assert_true(d.app->cur.row == 3 && d.app->cur.head == 1 && d.app->cur.element == 2);
    assert_non_null(strstr(d.app->message, "the first NaN: blocks.1.attn.hook_z at position 3"));
    driver_keys(&d, "<C-o>");
    assert_int_equal(d.app->cur.view, VIEW_GRID); /* a place of the jump list */
    static const char *const views[] = {"1G",
                                        ":quantity<Space>norm<Enter>",
                                        ":quantity<Space>entropy<Enter>",
                                        ":quantity<Space>rank<Enter>",
                                        "2J",
                                        "3",
                                        "5"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        driver_keys(&d, views[i]);
        check_colors(views[i]);
    }
    driver_keys(&d, "4/blocks.1.attn.hook_z<Enter>"); /* their number is what statistics show */
    int colored = 0;
    assert_true(app_draw(d.app, &d.frame));
    for (int x = 0; x < 120; x++)
        colored += canvas_at(d.frame.canvas, x, 4)->style.bg == COLORMAP_NAN;
    assert_int_equal(colored, 5);
    driver_keys(&d, "u");
    draw_at(120);
    row_has(0, "NaN", false);
}

/* Without UTF-8: no escapes of our own signs, at any width. */
static void test_ascii(void **state)
{
    (void)state;
    d.frame.caps.ascii = true;
    driver_keys(&d, "x:quantity<Space>delta<Enter><F9>"); /* the last means nothing, and says so */
    assert_true(d.app->message_bad);
    for (int w = 60; w <= 160; w += 20) {
        draw_at(w);
        for (int y = 0; y < 30; y++) {
            row_has(y, "<U+", false);
            row_has(y, "D(", false);
        }
        row_has(0, "logit diff(", true);
    }
}

/* While weights are on their way to a device their number stands there at every width. */
static void test_loading(void **state)
{
    (void)state;
    draw_at(200);
    struct snapshot *snap = (struct snapshot *)(uintptr_t)d.app->snap;
    row_has(0, "loading", false);
    snap->loaded = 2, snap->loading = 5;
    for (int w = 200; w >= 60; w -= 20) {
        app_resize(d.app, w, 30);
        assert_true(app_draw(d.app, &d.frame));
        row_has(0, "loading 2/5", true);
    }
    snap->loaded = snap->loading = 0;
    draw_at(120);
    row_has(0, "loading", false);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
#define WITH(test) WITH_DRIVER(test, open_driver)
    const struct CMUnitTest tests[] = {WITH(test_widths), WITH(test_device), WITH(test_tabs),
                                       WITH(test_nan),    WITH(test_ascii),  WITH(test_loading)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
