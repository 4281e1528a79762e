/* Tests of canvas.h: canvases as text, style maps, SGR output, and its invariants under random
 * drawing. */
#include "canvas.h"
#include "unit.h"

static void assert_plain(const struct canvas *c, const char *expected)
{
    struct bytes out = {0};
    canvas_dump_plain(c, &out);
    assert_string_equal(out.data, expected);
    bytes_free(&out);
}

static void assert_styles(const struct canvas *c, const char *expected)
{
    struct bytes out = {0};
    canvas_dump_styles(c, COLOR_DEPTH_TRUE, &out);
    assert_string_equal(out.data, expected);
    bytes_free(&out);
}

static void assert_ansi(const struct canvas *c, enum color_depth depth, const char *expected)
{
    struct bytes out = {0};
    canvas_dump_ansi(c, depth, &out);
    assert_string_equal(out.data, expected);
    bytes_free(&out);
}

static void put_and_clip(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(12, 3);
    struct rect all = canvas_rect(c), inner = {2, 1, 5, 1};
    assert_int_equal(canvas_put(c, all, 0, 0, canvas_plain(0), "token  emb"), 10);
    assert_int_equal(canvas_put(c, inner, -2, 0, canvas_plain(0), "abcdefghijk"), 11);
    canvas_put(c, inner, 0, 1, canvas_plain(0), "below the clip");
    canvas_put(c, inner, 0, -1, canvas_plain(0), "above");
    assert_int_equal(canvas_putf(c, all, 9, 2, canvas_plain(0), "%d%%", 1234), 5);
    assert_plain(c, "token  emb\n  cdefg\n         123\n");
    assert_null(canvas_at(c, 12, 0));
    assert_null(canvas_at(c, 0, -1));
    assert_string_equal(canvas_at(c, 2, 1)->text, "c");
    canvas_free(c);
}

static void wide_characters(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(6, 4);
    struct rect all = canvas_rect(c), left = {0, 0, 3, 4};
    canvas_put(c, all, 0, 0, canvas_plain(0), "\u4e2d\u6587\u5b57");
    canvas_put(c, all, 1, 0, canvas_plain(0), "x"); /* right half of the first */
    canvas_put(c, all, 4, 0, canvas_plain(0), "y"); /* left half of the last */
    assert_plain(c, " x\u6587y\n\n\n\n");
    canvas_put(c, left, 0, 1, canvas_plain(0), "\u4e2d\u6587"); /* the second one does not fit */
    canvas_put(c, all, -1, 2, canvas_plain(0), "\u4e2dab");     /* its left half is outside */
    canvas_put(c, all, 0, 3, canvas_plain(0), "a\u4e2d\u6587b");
    canvas_put(c, all, 2, 3, canvas_plain(0), "\u5b57"); /* over the halves of two */
    assert_plain(c, " x\u6587y\n\u4e2d\n ab\na \u5b57 b\n");
    canvas_free(c);
}

static void data_is_cleaned_and_marked(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(16, 2);
    struct rect all = canvas_rect(c);
    canvas_put_text(c, all, 0, 0, canvas_plain(0), "a\x1b[2J\x9b", 6, TEXT_TOKEN);
    canvas_put_text(c, all, 0, 1, canvas_plain(CANVAS_REVERSE), " \n", 2, TEXT_TOKEN);
    assert_plain(c, "a\u241b[2J<9B>\n\u00b7\u21b5\n");
    assert_styles(c, ".a...aaaa.......\n................\na default on default reverse\n");
    canvas_free(c);
}

static void put_field(struct canvas *c, int x, int y, const char *s, int width, bool padded)
{
    canvas_put_field(c, (struct rect){1, 0, 10, 4}, x, y, canvas_plain(CANVAS_BOLD), s, strlen(s),
                     0, width, padded);
}

static void fields(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(12, 4);
    canvas_fill(c, canvas_rect(c), canvas_plain(0), ".");
    put_field(c, 0, 0, "Mary", 6, true);
    put_field(c, 6, 0, "When", 3, true);
    put_field(c, 0, 1, "Mary", 6, true);
    put_field(c, 6, 1, "long word", 8, true); /* ends outside */
    put_field(c, -2, 2, "Johnny", 5, true);   /* begins outside */
    put_field(c, 4, 2, "ab", 6, false);
    put_field(c, -2, 3, "Jo", 5, true);
    assert_plain(c, ".Mary  Wh\u2026..\n.Mary  long.\n.hn\u2026.ab.....\n.   ........\n");
    assert_styles(
        c, ".aaaaaaaaa..\n.aaaaaaaaaa.\n.aaa.aa.....\n.aaa........\na default on default bold\n");
    canvas_free(c);
}

static void ascii_canvas(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(24, 3);
    struct rect all = canvas_rect(c);
    c->ascii = true;
    canvas_put(c, all, 0, 0, canvas_plain(0), "\u25b6 14 \u2502 \u22120.96");
    canvas_put_text(c, all, 0, 1, canvas_plain(0), "\u25b6\n", 4, TEXT_TOKEN);
    canvas_put_field(c, all, 0, 2, canvas_plain(0), "abcdef", 6, 0, 4, true);
    canvas_fill(c, (struct rect){23, 0, 1, 3}, canvas_plain(0), "\u2502");
    assert_plain(c,
                 "> 14 | -0.96           |\n<U+25B6>^J             |\nabc~                   |\n");
    canvas_free(c);
}

static void restyle_keeps_wide_cells_whole(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(6, 1);
    canvas_put(c, canvas_rect(c), 0, 0, canvas_style(0xff0000, COLOR_DEFAULT, 0), "\u4e2d\u6587ab");
    canvas_restyle(c, (struct rect){1, 0, 2, 1},
                   canvas_plain(CANVAS_DIM)); /* halves of two characters */
    canvas_restyle(c, (struct rect){5, 0, 9, 9},
                   canvas_style(COLOR_DEFAULT, 0x102030, CANVAS_BOLD));
    assert_styles(
        c, "aaaabc\na ff0000 on default dim\nb ff0000 on default\nc ff0000 on 102030 bold\n");
    canvas_free(c);
}

static void ansi(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(8, 3);
    struct rect all = canvas_rect(c);
    canvas_put(c, all, 0, 0, canvas_style(0xffffff, 0x5f87af, CANVAS_BOLD), "ab");
    canvas_put(c, all, 2, 0, canvas_plain(0), "c");
    canvas_put(c, all, 0, 1, canvas_style(0xff0000, COLOR_DEFAULT, CANVAS_UNDERLINE), "d");
    canvas_put(c, all, 5, 2, canvas_plain(CANVAS_REVERSE), " ");
    assert_ansi(c, COLOR_DEPTH_TRUE,
                "\033[0;1;38;2;255;255;255;48;2;95;135;175mab\033[0mc\n"
                "\033[0;4;38;2;255;0;0md\033[0m\n     \033[0;7m \033[0m\n");
    assert_ansi(
        c, COLOR_DEPTH_256,
        "\033[0;1;38;5;231;48;5;67mab\033[0mc\n\033[0;4;38;5;196md\033[0m\n     \033[0;7m \033[0m\n");
    assert_ansi(c, COLOR_DEPTH_16,
                "\033[0;1;97;100mab\033[0mc\n\033[0;4;91md\033[0m\n     \033[0;7m \033[0m\n");
    assert_ansi(c, COLOR_DEPTH_NONE,
                "\033[0;1mab\033[0mc\n\033[0;4md\033[0m\n     \033[0;7m \033[0m\n");
    canvas_free(c);
}

/* Wide cells are whole and rows as wide as the canvas. */
static void invariants(const struct canvas *c)
{
    for (int y = 0; y < c->h; y++) {
        for (int x = 0; x < c->w;) {
            const struct canvas_cell *cell = canvas_at(c, x, y);
            assert_in_range(cell->width, 1, 2);
            assert_int_equal(text_width(cell->text, strlen(cell->text), 0), cell->width);
            if (cell->width == 2) {
                assert_true(x + 1 < c->w);
                assert_int_equal(cell[1].width, 0);
                assert_string_equal(cell[1].text, "");
                assert_memory_equal(&cell[1].style, &cell->style, sizeof cell->style);
            }
            x += cell->width;
        }
    }
}

/* Outside r nothing changed but the other halves of wide characters. */
static void clipped(const struct canvas *c, const struct canvas_cell *before, struct rect r)
{
    for (int i = 0; i < c->w * c->h; i++)
        if (!rect_has(r, i % c->w, i / c->w) &&
            memcmp(&before[i], &c->cell[i], sizeof before[i]) != 0)
            assert_int_not_equal(before[i].width, 1);
}

static void random_drawing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\u4e2d\u6587\u5b57\u4e2d", "abc", "e\u0301\u4e2d", "\x1b\xe4", "a\u4e2d", " "};
    struct canvas *c = canvas_new(17, 5);
    struct canvas_cell before[17 * 5];
    uint64_t random = 3;
    for (int i = 0; i < 20000; i++) {
        uint64_t n = unit_random(&random);
        struct rect r = {(int)(n % 20) - 2, (int)(n >> 8) % 7 - 1, (int)(n >> 16) % 12,
                         (int)(n >> 24) % 5};
        int x = (int)(n >> 32) % 12 - 4, y = (int)(n >> 36) % 4 - 1;
        const char *s = texts[(n >> 40) % 6];
        struct canvas_style st = canvas_style(n >> 44 & 1 ? 0x123456 : COLOR_DEFAULT, COLOR_DEFAULT,
                                              n >> 45 & 15);
        memcpy(before, c->cell, sizeof before);
        switch ((n >> 50) % 4) {
        case 0: canvas_put_text(c, r, x, y, st, s, strlen(s), TEXT_TOKEN); break;
        case 1:
            canvas_put_field(c, r, x, y, st, s, strlen(s), 0, (int)(n >> 53) % 9, n >> 57 & 1);
            break;
        case 2: canvas_fill(c, r, st, "\u2502"); break;
        default: canvas_restyle(c, r, st); break;
        }
        invariants(c);
        clipped(c, before, r);
    }
    canvas_free(c);
}

/* In few colours the halves of a block are the nearest to what they are, whatever their contrast;
 * text over the same colours is made readable. */
static void halves_keep_their_colours(void **state)
{
    (void)state;
    struct canvas *c = canvas_new(2, 1);
    int differ = 0;
    for (int i = 0; i < 256; i += 5)
        for (int j = 0; j < 256; j += 5) {
            uint32_t fg = colormap_entry(COLORMAP_DIVERGING, i),
                     bg = colormap_entry(COLORMAP_DIVERGING, j);
            canvas_put(c, canvas_rect(c), 0, 0, canvas_style(fg, bg, 0), "\u2580x");
            struct canvas_style halves = canvas_style_shown(canvas_at(c, 0, 0), COLOR_DEPTH_16),
                                text = canvas_style_shown(canvas_at(c, 1, 0), COLOR_DEPTH_16);
            assert_int_equal(halves.fg, color_of_index(color_nearest_16(fg)));
            assert_int_equal(halves.bg, color_of_index(color_nearest_16(bg)));
            assert_true(color_contrast(fg, bg) < 3 || color_contrast(text.fg, text.bg) >= 3);
            differ += halves.fg != text.fg;
            struct bytes out = {0};
            canvas_dump_ansi(c, COLOR_DEPTH_16, &out);
            assert_true(halves.fg == text.fg || strstr(strstr(out.data, "\u2580"), "\033[0;"));
            bytes_free(&out);
        }
    assert_true(differ > 100);
    canvas_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(put_and_clip),
                                       cmocka_unit_test(wide_characters),
                                       cmocka_unit_test(data_is_cleaned_and_marked),
                                       cmocka_unit_test(fields),
                                       cmocka_unit_test(ascii_canvas),
                                       cmocka_unit_test(restyle_keeps_wide_cells_whole),
                                       cmocka_unit_test(ansi),
                                       cmocka_unit_test(halves_keep_their_colours),
                                       cmocka_unit_test(random_drawing)};
    return cmocka_run_group_tests_name("canvas", tests, NULL, NULL);
}
