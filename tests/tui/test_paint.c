/* test_paint.c - the bytes of cursor moves, counted without a clock: what a move does not change is
 * not sent, figures of another cell are marked as such, and what was put off comes. */
#include <curses.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "term/paint.h"
#include "term/pictures.h"
#include "term/shift.h"
#include "unit.h"

enum { W = 120, H = 40, TOKENS = 64, MOVES = 40, BYTES = 400 };

static struct driver d;
static struct paint *paint;
static FILE *out;

static off_t sent(void)
{
    return lseek(fileno(out), 0, SEEK_END);
}

/* Draws what is there; the bytes that it took. */
static int draw(void)
{
    static const bool show[FRAME_PICTURES_MAX];
    off_t before = sent();
    assert_true(app_draw(d.app, &d.frame));
    paint_frame(paint, &d.frame, show);
    leaveok(stdscr, TRUE);
    wnoutrefresh(stdscr);
    doupdate();
    return (int)(sent() - before);
}

/* The cells of the terminal are those of the frame, within r. */
static bool arrived(struct rect r)
{
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++) {
            const struct canvas_cell *cell = canvas_at(d.frame.canvas, x, y);
            wchar_t is[CCHARW_MAX + 1] = L"", want[CCHARW_MAX + 1] = L"";
            attr_t attr;
            short pair;
            cchar_t cc;
            if (!cell->width)
                continue;
            assert_int_equal(mvwin_wch(curscr, y, x, &cc), OK);
            assert_int_equal(getcchar(&cc, is, &attr, &pair, NULL), OK);
            assert_true(mbstowcs(want, cell->text, CCHARW_MAX) <= CCHARW_MAX);
            if (wcscmp(is, want) != 0)
                return false;
        }
    return true;
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
    paint_forget(paint);
    clearok(curscr, TRUE);
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
        assert_true(shift_find(was, now, W, H, W - 20, &found));
        assert_int_equal(found.by, m.by);
        assert_in_range(found.lo, m.by < 0 ? m.lo + m.by < 0 ? 0 : m.lo + m.by : m.lo, m.lo);
        assert_in_range(found.hi, m.hi, H - 1);
    }
    struct shift none;
    assert_false(shift_find(was, was, W, H, W, &none));
    fill_rows(now, 20, 22, 1); /* a few rows: less is written as it is */
    now[21 * W].text[0] = '!', now[22 * W].text[0] = '!', now[20 * W].text[0] = '!';
    assert_false(shift_find(was, now, W, H, W, &none));
}

/* The attributes that the terminal has in a cell of the first row. */
static attr_t attributes(int x)
{
    cchar_t cc;
    wchar_t text[CCHARW_MAX + 1];
    attr_t attr = 0;
    short pair;
    assert_int_equal(mvwin_wch(curscr, 0, x, &cc), OK);
    assert_int_equal(getcchar(&cc, text, &attr, &pair, NULL), OK);
    return attr & (A_BOLD | A_REVERSE);
}

/* Blanks take the style of the words around them where that is one, does not show and is short. */
static void test_gaps(void **state)
{
    (void)state;
    static const bool show[FRAME_PICTURES_MAX];
    struct frame f = {.caps = {.depth = COLOR_DEPTH_256}};
    assert_true(frame_begin(&f, W, H));
    struct rect r = canvas_rect(f.canvas);
    canvas_put(f.canvas, r, 0, 0, canvas_plain(CANVAS_BOLD), "ab");
    canvas_put(f.canvas, r, 5, 0, canvas_plain(CANVAS_BOLD), "cd");
    canvas_put(f.canvas, r, 16, 0, canvas_plain(CANVAS_BOLD), "far");
    canvas_put(f.canvas, r, 22, 0, canvas_plain(CANVAS_REVERSE), "ef");
    canvas_put(f.canvas, r, 26, 0, canvas_plain(CANVAS_REVERSE), "gh");
    canvas_put(f.canvas, r, 30, 0, canvas_plain(0), "ij");
    paint_forget(paint);
    paint_frame(paint, &f, show);
    wnoutrefresh(stdscr);
    doupdate();
    for (int x = 2; x < 5; x++)
        assert_int_equal(attributes(x), A_BOLD);
    for (int x = 7; x < 16; x++)
        assert_int_equal(attributes(x), 0);
    for (int x = 19; x < 30; x++)
        assert_int_equal(attributes(x), (x & ~1) == 22 || (x & ~1) == 26 ? A_REVERSE : 0);
    frame_free(&f);
    paint_forget(paint);
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

/* Colours that a cell has on the screen. */
static void colours_at(int x, int *fg, int *bg)
{
    wchar_t text[CCHARW_MAX + 1];
    attr_t attr;
    short small;
    int pair;
    cchar_t cc;
    assert_int_equal(mvwin_wch(stdscr, 0, x, &cc), OK);
    assert_int_equal(getcchar(&cc, text, &attr, &small, &pair), OK);
    assert_int_equal(extended_pair_content(pair, fg, bg), OK);
}

/* Terminals of eight colours: text over each colour of the maps is readable, and the halves of a
 * block have their own. */
static void test_eight_colours(void **state)
{
    (void)state;
    static const bool show[FRAME_PICTURES_MAX];
    FILE *bytes = tmpfile();
    SCREEN *before = set_term(NULL), *eight = bytes ? newterm("xterm", bytes, stdin) : NULL;
    assert_non_null(eight);
    start_color();
    use_default_colors();
    assert_int_equal(COLORS, 8);
    struct frame f = {.caps = {.depth = COLOR_DEPTH_16}};
    assert_true(frame_begin(&f, 2, 1));
    for (int map = 0; map < COLORMAP_COUNT; map++)
        for (int i = 0; i < 256; i++) {
            uint32_t bg = colormap_entry((enum colormap)map, i),
                     other = colormap_entry((enum colormap)map, i * 7 % 256);
            int upper, lower, ink, paper;
            canvas_put(f.canvas, canvas_rect(f.canvas), 0, 0, canvas_style(other, bg, 0), "▀");
            canvas_put(f.canvas, canvas_rect(f.canvas), 1, 0,
                       canvas_style(color_text_over(bg), bg, 0), "x");
            struct paint *p = paint_new();
            paint_frame(p, &f, show);
            paint_free(p);
            colours_at(0, &upper, &lower);
            colours_at(1, &ink, &paper);
            assert_int_equal(upper, color_nearest_16(other) & 7);
            assert_int_equal(lower, color_nearest_16(bg) & 7);
            assert_true(color_contrast(color_of_index(ink), color_of_index(paper)) >= 3);
        }
    frame_free(&f);
    set_term(before);
    delscreen(eight);
    fclose(bytes);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    int32_t tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++)
        tokens[i] = i * 7 % 40;
    out = tmpfile();
    SCREEN *screen = out ? newterm("xterm-256color", out, stdin) : NULL;
    if (!screen) {
        fprintf(stderr, "no file, or no terminfo of xterm-256color\n");
        return 1;
    }
    start_color();
    use_default_colors();
    resize_term(H, W);
    paint = paint_new();
    driver_open(&d, "tests/fixtures/models/llama", tokens, TOKENS, W, H);
    d.frame.caps.depth = COLOR_DEPTH_256;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),  cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_old),    cmocka_unit_test(test_scroll),
        cmocka_unit_test(test_shift),  cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_pixels), cmocka_unit_test(test_eight_colours)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    driver_close(&d);
    paint_free(paint);
    endwin();
    delscreen(screen);
    fclose(out);
    return failed;
}
