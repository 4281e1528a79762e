/* test_paint.c - the bytes of cursor moves, counted without a clock: what a move does not change is
 * not sent, figures of another cell are marked as such, and what was put off comes. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "emulator.h"
#include "term/pictures.h"
#include "term/shift.h"
#include "unit.h"

enum { W = 120, H = 40, TOKENS = 64, MOVES = 40, BYTES = 400 };

static struct driver d;
static struct emulator e;

/* Draws what is there; the bytes that it took. */
static int draw(void)
{
    assert_true(app_draw(d.app, &d.frame));
    return emulator_send(&e, &d.frame);
}

/* The cells of the terminal are those of the frame, within r. */
static bool arrived(struct rect r)
{
    int x, y;
    return !emulator_differs(&e, &d.frame, r, &x, &y);
}

static void press(const char *key) /* without an answer */
{
    struct input in = {.kind = INPUT_KEY};
    assert_true(keys_read_name(&key, &in.key));
    app_input(d.app, &in);
}

static const char *marker(void)
{
    struct rect r = d.frame.panel;
    return canvas_at(d.frame.canvas, r.x + r.w - 1, r.y - 1)->text;
}

static bool panel_is_dim(void)
{
    struct rect r = d.frame.panel;
    return canvas_at(d.frame.canvas, r.x + 1, r.y)->style.attr & CANVAS_DIM;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* The middle one of moves to and fro in a view, each answered; the panel waits or does not. */
static int median(const char *view, bool waits)
{
    int bytes[MOVES];
    driver_keys(&d, view);
    d.app->panel_waits = false;
    draw();
    d.app->panel_waits = waits;
    for (int i = 0; i < MOVES; i++) {
        driver_keys(&d, i / 2 % 2 ? "k" : "j");
        bytes[i] = draw();
        assert_true(bytes[i] > 0); /* it moved */
    }
    d.app->panel_waits = false;
    qsort(bytes, MOVES, sizeof bytes[0], compare);
    return bytes[MOVES / 2];
}

static void test_views(void **state)
{
    (void)state;
    /* a held key: panels wait between the times at which they are brought up to date */
    assert_in_range(median("1gg", true), 1, BYTES);
    assert_in_range(median("2", false), 1, BYTES);
    assert_in_range(median("3gg", true), 1, BYTES);
    assert_in_range(median("4", false), 1, BYTES);
    assert_in_range(median("5gg", true), 1, BYTES);
}

/* A panel that waits keeps what the terminal has; then all of it comes. */
static void test_waiting(void **state)
{
    (void)state;
    const struct rect all = {0, 0, W, H};
    driver_keys(&d, "1gg");
    draw();
    assert_true(arrived(all));
    assert_string_equal(marker(), " ");
    driver_keys(&d, "j");
    d.app->panel_waits = true;
    assert_in_range(draw(), 1, BYTES);
    assert_string_equal(marker(), "…");
    assert_false(arrived(d.frame.panel));
    assert_true(arrived((struct rect){0, 0, d.frame.panel.x, H}));
    d.app->panel_waits = false;
    assert_true(draw() > BYTES);
    assert_string_equal(marker(), " ");
    assert_true(arrived(all));
    d.app->panel_waits = true; /* what lay over it goes, whether it waits or not */
    driver_keys(&d, "?");
    draw();
    assert_true(arrived(all));
    driver_keys(&d, "<Esc>");
    draw();
    assert_true(arrived(all));
    driver_keys(&d, "3"); /* and so does another view's */
    draw();
    assert_true(arrived(all));
    d.app->panel_waits = false;
}

/* Figures of the cell before are marked at once, and dim where that takes long. */
static void test_old(void **state)
{
    (void)state;
    driver_keys(&d, "1gg");
    draw();
    press("j");
    assert_in_range(draw(), 1, BYTES);
    assert_true(d.frame.panel_old);
    assert_string_equal(marker(), "…");
    assert_false(panel_is_dim());
    d.app->late = true;
    assert_true(draw() > 0);
    assert_true(panel_is_dim());
    driver_settle(&d);
    d.app->late = false;
    draw();
    assert_false(d.frame.panel_old);
    assert_string_equal(marker(), " ");
    assert_false(panel_is_dim());
    assert_true(arrived((struct rect){0, 0, W, H}));
}

/* A list that scrolls by a row is moved by the terminal, which then has all of the frame. */
static void test_scroll(void **state)
{
    (void)state;
    const struct rect all = {0, 0, W, H};
    int bytes[MOVES], n = 0;
    driver_keys(&d, "1gg");
    paint_forget(e.paint);
    int whole = draw();
    for (int i = 1; i < TOKENS; i++) {
        int32_t top = d.app->row_top;
        driver_keys(&d, "j");
        int sent_now = draw();
        assert_true(arrived(all));
        if (d.app->row_top > top && n < MOVES)
            bytes[n++] = sent_now;
    }
    assert_true(n > 10);
    qsort(bytes, (size_t)n, sizeof bytes[0], compare);
    assert_in_range(bytes[n / 2], 1, whole / 4);
    driver_keys(&d, "gg");
    draw();
    assert_true(arrived(all));
    for (int i = 0; i < 16; i++) { /* several rows at once, both ways, popups in between */
        static const char *const keys[] = {"<C-d>", "3j", "<C-u>", "?", "<Esc>", "5j", "G", "9k"};
        driver_keys(&d, keys[i % 8]);
        draw();
        assert_true(arrived(all));
    }
}

/* Rows of a screen, each its own number; those of `lo` to `hi` moved by `by`. */
static void fill_rows(struct canvas_cell *c, int lo, int hi, int by)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            bool inside = y >= lo && y <= hi;
            struct canvas_cell *cell = &c[y * W + x];
            *cell = (struct canvas_cell){.width = 1, .style = canvas_plain(0)};
            /* beside the rows stands what does not move */
            snprintf(cell->text, sizeof cell->text, "%c",
                     x < W - 20 ? 33 + (7 * (inside ? y + by : y) + x + 900) % 90
                                : 33 + (y + x) % 90);
        }
}

static void test_shift(void **state)
{
    (void)state;
    static struct canvas_cell was[W * H], now[W * H];
    static const struct shift moves[] = {{2, 38, 1}, {2, 38, -1}, {5, 30, 3}, {0, 39, -9}};
    fill_rows(was, 0, -1, 0);
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        struct shift m = moves[i], found = {0};
        fill_rows(now, m.lo, m.hi, m.by);
        assert_true(shift_find(was, now, W, H, W - 20, W, &found));
        assert_int_equal(found.by, m.by);
        assert_in_range(found.lo, m.by < 0 ? m.lo + m.by < 0 ? 0 : m.lo + m.by : m.lo, m.lo);
        assert_in_range(found.hi, m.hi, H - 1);
    }
    struct shift none;
    assert_false(shift_find(was, was, W, H, W, W, &none));
    fill_rows(now, 20, 22, 1); /* a few rows: less is written as it is */
    now[21 * W].text[0] = '!', now[22 * W].text[0] = '!', now[20 * W].text[0] = '!';
    assert_false(shift_find(was, now, W, H, W, W, &none));
}

/* Random cells of every style, wide and combined ones too, one screen after the other, in terminals
 * that can less and less: each arrives. */
static struct canvas_style any_style(unsigned *seed)
{
    static const uint32_t colors[] = {COLOR_DEFAULT, COLOR_DEFAULT, 0x440154, 0xfde725, 0x21918c};
    unsigned v = *seed = *seed * 1664525 + 1013904223, attr = v >> 28;
    return canvas_style(colors[(v >> 8) % 5], colors[(v >> 14) % 5], v >> 20 & 1 ? attr : 0);
}

static void scribble(struct frame *f, unsigned *seed)
{
    static const char *const words[] = {
        "a",       "word",         " ",      "     ", "            ", "\u4e16\u754c",
        "e\u0301", "\u2588\u2588", "\u25b6", "12.5"};
    struct rect r = canvas_rect(f->canvas);
    for (int i = 0; i < 60; i++) {
        unsigned v = *seed = *seed * 1664525 + 1013904223;
        struct canvas_style st = any_style(seed);
        canvas_put(f->canvas, r, (int)(v >> 10) % r.w, (int)(v >> 20) % r.h, st, words[v % 10]);
    }
}

static void test_random(void **state)
{
    (void)state;
    struct cells_can was = e.can;
    unsigned seed = 1;
    for (int less = 0; less < 4; less++) {
        emulator_blank(&e, 31, 9);
        e.can.off = less < 1, e.can.erase_characters = less < 2, e.can.regions = less < 3;
        for (int i = 0; i < 400; i++) {
            struct frame *f = &d.frame;
            assert_true(frame_begin(f, 31, 9));
            scribble(f, &seed);
            emulator_send(&e, f);
            if (!arrived((struct rect){0, 0, 31, 9}))
                fail_msg("screen %d of terminal %d", i, less);
        }
    }
    e.can = was;
    emulator_blank(&e, W, H);
}

/* What is stepped over is not written again, and what blanks look like is all that they are. */
static void test_few_bytes(void **state)
{
    (void)state;
    struct frame f = {0};
    struct canvas_style map = canvas_style(0xffffff, 0x440154, 0);
    assert_true(frame_begin(&f, W, H));
    struct rect r = canvas_rect(f.canvas);
    paint_forget(e.paint);
    emulator_send(&e, &f);
    for (int i = 0; i < 10; i++) /* cells of a map: their colours once */
        canvas_put(f.canvas, r, 10 + 6 * i, 3, map, "abcd");
    assert_in_range(emulator_send(&e, &f), 1, 30 + 10 * 9);
    canvas_restyle(f.canvas, (struct rect){0, 10, W, 20}, canvas_plain(CANVAS_DIM));
    assert_int_equal(emulator_send(&e, &f), 0); /* blanks that are dim */
    canvas_put(f.canvas, r, 2, 5, canvas_plain(CANVAS_BOLD), "ab   cd");
    assert_in_range(emulator_send(&e, &f), 1, 24);
    frame_free(&f);
    paint_forget(e.paint);
}

/* Widths that terminals do not agree on (libvterm takes this one for narrow, the C library for
 * wide) shift nothing that stands behind them, and leave nothing of what was there. */
static void test_doubtful_widths(void **state)
{
    (void)state;
    struct frame f = {0};
    int x, y;
    emulator_blank(&e, 20, 2);
    for (int i = 0; i < 5; i++) {
        static const char *const rows[] = {"XXXXXXXXXX", "ab\U0001f9e0cd\U0001f9e0\U0001f9e0 e",
                                           "abXXXXXXXXX", "aX\u0616XXXXXXXXX", "aXXXXXXXXX"};
        assert_true(frame_begin(&f, 20, 2));
        canvas_put(f.canvas, canvas_rect(f.canvas), 0, 0, canvas_plain(0), rows[i]);
        emulator_send(&e, &f);
        assert_false(emulator_differs(&e, &f, (struct rect){0, 0, 20, 2}, &x, &y));
        assert_int_equal(emulator_cell(&e, 3, 0).chars[0], i == 1 ? ' ' : 'X');
    }
    frame_free(&f);
    emulator_blank(&e, W, H);
}

/* Between margins rows scroll, and what stands beside them stays. */
static void test_margins(void **state)
{
    (void)state;
    const struct rect all = {0, 0, W, H};
    int bytes[TOKENS], n = 0;
    e.can.margins = true;
    driver_keys(&d, "1gg");
    draw();
    d.app->panel_waits = true; /* a held key */
    for (int i = 1; i < TOKENS; i++) {
        int32_t top = d.app->row_top;
        driver_keys(&d, "j");
        int took = draw();
        assert_true(arrived((struct rect){0, 0, d.frame.panel.x, H}));
        if (d.app->row_top > top)
            bytes[n++] = took;
    }
    d.app->panel_waits = false;
    draw();
    assert_true(arrived(all));
    driver_keys(&d, "gg");
    draw();
    assert_true(arrived(all));
    e.can.margins = false;
    assert_true(n > 10);
    qsort(bytes, (size_t)n, sizeof bytes[0], compare);
    assert_in_range(bytes[n / 2], 1, BYTES);
}

/* Pixels are sent where they changed: none when the cursor moves beside them. */
static void test_pixels(void **state)
{
    (void)state;
    static struct pictures p;
    struct frame f = {
        .caps = {.graphics = GRAPHICS_SIXEL, .depth = COLOR_DEPTH_256, .cell_w = 9, .cell_h = 18}};
    static const struct {
        const char *keys;
        bool changes;
    } steps[] = {{"2ggKK", true}, {"j", false}, {"jjj", false},
                 {"L", true},     {"k", false}, {"J", true}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        bool show[FRAME_PICTURES_MAX] = {false};
        struct bytes before = {0}, after = {0};
        driver_keys(&d, steps[i].keys);
        assert_true(app_draw(d.app, &f));
        assert_true(f.n_pictures > 0);
        pictures_choose(&f, show);
        pictures_update(&p, &f, show, i == 0, &before, &after);
        assert_int_equal(before.len + after.len > 0, steps[i].changes);
        bytes_free(&before);
        bytes_free(&after);
    }
    frame_free(&f);
}

/* Terminals of eight colours: text over each colour of the maps is readable, and the halves of a
 * block have their own. */
static void test_eight_colours(void **state)
{
    (void)state;
    struct cells_can was = e.can;
    struct frame f = {0};
    e.can.depth = COLOR_DEPTH_16, e.can.colors = 8;
    emulator_blank(&e, 2, 1);
    assert_true(frame_begin(&f, 2, 1));
    for (int map = 0; map < COLORMAP_COUNT; map++)
        for (int i = 0; i < 256; i++) {
            uint32_t bg = colormap_entry((enum colormap)map, i),
                     other = colormap_entry((enum colormap)map, i * 7 % 256);
            canvas_put(f.canvas, canvas_rect(f.canvas), 0, 0, canvas_style(other, bg, 0), "▀");
            canvas_put(f.canvas, canvas_rect(f.canvas), 1, 0,
                       canvas_style(color_text_over(bg), bg, CANVAS_BOLD), "x");
            paint_forget(e.paint);
            emulator_send(&e, &f);
            VTermScreenCell halves = emulator_cell(&e, 0, 0), text = emulator_cell(&e, 1, 0);
            assert_int_equal(emulator_color(halves.fg), color_nearest_16(other) & 7);
            assert_int_equal(emulator_color(halves.bg), color_nearest_16(bg) & 7);
            assert_true(color_contrast(color_of_index(emulator_color(text.fg)),
                                       color_of_index(emulator_color(text.bg))) >= 3);
            assert_false(emulator_color(text.fg) == 0 && text.attrs.bold); /* a grey to many */
        }
    frame_free(&f);
    e.can = was;
    emulator_blank(&e, W, H);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = i * 7 % 40;
    emulator_open(&e, W, H);
    driver_open(&d, "tests/fixtures/models/llama", tokens, TOKENS, W, H);
    d.frame.caps.depth = COLOR_DEPTH_256;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_views),
                                       cmocka_unit_test(test_waiting),
                                       cmocka_unit_test(test_old),
                                       cmocka_unit_test(test_scroll),
                                       cmocka_unit_test(test_shift),
                                       cmocka_unit_test(test_margins),
                                       cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_few_bytes),
                                       cmocka_unit_test(test_pixels),
                                       cmocka_unit_test(test_eight_colours),
                                       cmocka_unit_test(test_doubtful_widths)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    driver_close(&d);
    emulator_close(&e);
    return failed;
}
