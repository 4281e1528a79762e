/* test_looks.c - every view at three sizes and in truecolor, 256, 16 and no colours: golden screens
 * with their colours, and what must hold of any of them.
 *
 * tests/tui/looks/NAME.txt has a block for each size and depth.  To read: the text of the two
 * smaller sizes without colour; a letter for the style of each cell at 80x24, and what the letters
 * mean. Elsewhere a line of the screen is one number, of its text and styles; where that differs,
 * the test shows the screen as it is now. With BORE_UPDATE_SCREENS=1 the files are written instead.
 */
#include <ctype.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "driver_test.h"

#define LOOKS "tests/tui/looks/"
static const struct look {
    const char *name, *keys;
} looks[] = {{"grid", "1"},
             {"grid_difference", "khxb"},
             {"grid_selected", "vkkh"},
             {"attention", "2"},
             {"attention_map", "2K<Enter>"},
             {"attention_difference", "khxbb2<Enter>"},
             {"lens", "3"},
             {"hooks", "4jj"},
             {"tensor", ":tensor<Space>blocks.1.mlp.hook_post<Enter>ll"},
             {"edits", "khxoM6"},
             {"heads", "7"},
             {"wall", "7w"},
             {"neurons", "8"},
             {"sweep", "S"},
             {"attribution", "0"},
             {"log", "khxu@"},
             {"generate", ":generate<Space>count<Space>6<Enter>><Space>"},
             {"pairs", ":other<Space>0,5,9,5,7,9,13,21,5<Enter>=|"},
             {"check", "C"},
             {"pins", "3i2ikxb"},
             {"help", "?"},
             {"line", ":view<Space><Tab><Tab>"}};
static const int sizes[][2] = {{80, 24}, {120, 40}, {200, 60}};
static const char *const depth_names[COLOR_DEPTH_COUNT] = {"none", "16", "256", "true"};

static void draw_at(int w, int h, enum color_depth depth)
{
    app_resize(d.app, w, h);
    d.frame.caps = (struct frame_caps){
        .graphics = depth == COLOR_DEPTH_NONE ? GRAPHICS_NONE : GRAPHICS_BLOCKS, .depth = depth};
    assert_true(app_draw(d.app, &d.frame));
    driver_settle(&d); /* what it shows may depend on whether there are colours */
    assert_true(app_draw(d.app, &d.frame));
}

/* ---- golden ---- */

/* Deviations of the identities are rounding, which another libm does otherwise: "8.2e-08" is no
 * more than that there is one, in a place of a fixed width; nor is it fixed where it is worst,
 * which stands in the last columns of wide screens. */
static void mask_deviations(struct canvas *c)
{
    enum { WIDTH = 7, LIMIT = 20, PLACE = 30, PLACE_MIN = 110 };
    for (int y = 0; y < c->h; y++)
        for (int x = WIDTH; x + 3 < LIMIT; x++) {
            const struct canvas_cell *at = canvas_at(c, x, y);
            if (*at[0].text != 'e' || *at[1].text != '-' || !isdigit((unsigned char)*at[-1].text) ||
                !isdigit((unsigned char)*at[3].text))
                continue;
            canvas_put(c, canvas_rect(c), x + 4 - WIDTH, y, at->style, "  #e-##");
            if (c->w >= PLACE_MIN)
                canvas_fill(c, (struct rect){c->w - PLACE, y, PLACE, 1}, at->style, " ");
        }
}

/* Letters of blanks at the ends of lines say nothing. */
static void trim_dots(struct bytes *b, size_t from)
{
    size_t to = from;
    for (size_t i = from; i < b->len; i++) {
        size_t end = to;
        b->data[to++] = b->data[i];
        if (b->data[i] == '\n') {
            while (end > from && b->data[end - 1] == '.')
                end--;
            b->data[end] = '\n';
            to = end + 1;
        }
    }
    b->len = to;
}

/* Of true colours the first three bits: rounding elsewhere may move the last ones. */
static uint32_t rough(uint32_t rgb)
{
    return rgb == COLOR_DEFAULT ? rgb : rgb & 0xe0e0e0;
}

static unsigned row_number(const struct canvas *c, int y, enum color_depth depth)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (int x = 0; x < c->w; x++) {
        const struct canvas_cell *cell = canvas_at(c, x, y);
        struct canvas_style st = canvas_style_shown(cell, depth);
        const uint32_t style[] = {depth == COLOR_DEPTH_TRUE ? rough(st.fg) : st.fg,
                                  depth == COLOR_DEPTH_TRUE ? rough(st.bg) : st.bg, st.attr};
        for (const char *s = cell->text; *s; s++)
            h = (h ^ (unsigned char)*s) * 0x100000001b3u;
        for (int i = 0; i < 3; i++)
            h = (h ^ style[i]) * 0x100000001b3u;
    }
    return (unsigned)(h ^ h >> 16 ^ h >> 32) & 0xffff;
}

static void add_numbers(const struct canvas *c, enum color_depth depth, struct bytes *out)
{
    for (int y = 0; y < c->h; y++)
        bytes_addf(out, "%04x%c", row_number(c, y, depth),
                   y % 16 == 15 || y + 1 == c->h ? '\n' : ' ');
}

static void add_styles(const struct canvas *c, enum color_depth depth, struct bytes *out)
{
    size_t from = out->len;
    canvas_dump_styles(c, depth, out);
    trim_dots(out, from);
}

/* All of the screen as it is, for whoever reads a failure. */
static void show(enum color_depth depth)
{
    struct bytes now = {0};
    canvas_dump_plain(d.frame.canvas, &now);
    add_styles(d.frame.canvas, depth, &now);
    fprintf(stderr, "%.*s", (int)now.len, now.data);
    bytes_free(&now);
}

static void add_block(struct canvas *c, enum color_depth depth, struct bytes *out)
{
    if (d.app->cur.view == VIEW_CHECK)
        mask_deviations(c);
    bool small = c->h == sizes[0][1];
    if (depth == COLOR_DEPTH_NONE && c->h < sizes[2][1])
        canvas_dump_plain(c, out);
    if (small && depth != COLOR_DEPTH_TRUE)
        add_styles(c, depth, out);
    else
        add_numbers(c, depth, out);
}

/* The golden block under this heading, "" without one; its length. */
static const char *block_of(const char *golden, const char *heading, size_t *len)
{
    const char *s = strstr(golden, heading);
    s = s ? s + strlen(heading) : "";
    const char *end = strstr(s, "\n== ");
    *len = end ? (size_t)(end - s) + 1 : strlen(s);
    return s;
}

static void check_block(const struct look *look, const char *golden, enum color_depth depth,
                        struct bytes *all)
{
    struct canvas *c = d.frame.canvas;
    char heading[64];
    struct bytes now = {0};
    size_t len;
    snprintf(heading, sizeof heading, "== %dx%d %s\n", c->w, c->h, depth_names[depth]);
    add_block(c, depth, &now);
    bytes_add_string(all, heading);
    bytes_add(all, now.data, now.len);
    assert_false(now.failed || all->failed);
    const char *want = golden ? block_of(golden, heading, &len) : now.data;
    if (golden && (len != now.len || memcmp(want, now.data, len) != 0)) {
        fprintf(stderr, "it was:\n%.*snow it is:\n%.*sthe screen:\n", (int)len, want, (int)now.len,
                now.data);
        show(depth);
        fail_msg(LOOKS "%s.txt: %s", look->name, heading);
    }
    bytes_free(&now);
}

static void open_look(const char *keys)
{
    driver_open(&d, "tests/fixtures/models/gpt2", tokens, sizeof tokens / sizeof *tokens, 80, 24);
    driver_keys(&d, keys);
}

static void test_golden(void **state)
{
    (void)state;
    bool update = getenv("BORE_UPDATE_SCREENS") != NULL, seen[VIEW_COUNT] = {false};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        char path[64], *golden = NULL;
        size_t len;
        struct err e = {0};
        struct bytes all = {0};
        snprintf(path, sizeof path, LOOKS "%s.txt", looks[i].name);
        if (!update && file_read_all(path, 1 << 20, &golden, &len, &e) < 0)
            fail_msg("%s", e.text);
        open_look(looks[i].keys);
        seen[d.app->cur.view] = true;
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int depth = 0; depth < COLOR_DEPTH_COUNT; depth++) {
                draw_at(sizes[s][0], sizes[s][1], (enum color_depth)depth);
                check_block(&looks[i], golden, (enum color_depth)depth, &all);
            }
        driver_close(&d);
        FILE *f = update ? fopen(path, "we") : NULL;
        if (update)
            assert_true(f && fwrite(all.data, 1, all.len, f) == all.len && !fclose(f));
        bytes_free(&all);
        free(golden);
    }
    for (int v = 0; v < VIEW_COUNT; v++)
        if (!seen[v])
            fail_msg("no golden screen of view %s", view_names[v]);
}

/* ---- what must hold of any screen ---- */

static void fail_at(const char *name, int x, int y, enum color_depth depth, const char *why)
{
    show(depth);
    fail_msg("%s in %s, column %d of line %d: %s", name, depth_names[depth], x, y, why);
}

/* Blocks are pictures, not text, and so are the steps of a legend, of one colour with their text.
 */
static bool is_picture(const char *text, struct canvas_style st)
{
    if (st.fg == st.bg && st.fg != COLOR_DEFAULT)
        return true;
    static const char *const glyphs[] = {" ", "▀", "░", "▒", "▓", "█"};
    for (size_t i = 0; i < sizeof glyphs / sizeof *glyphs; i++)
        if (strcmp(text, glyphs[i]) == 0)
            return true;
    return false;
}

/* Cells of one colour from x on; whether there is more in them than blanks. */
static int run_of(const struct canvas *c, int x, int y, bool *says)
{
    uint32_t bg = canvas_at(c, x, y)->style.bg;
    int n = 0;
    *says = false;
    for (; x + n < c->w && canvas_at(c, x + n, y)->style.bg == bg; n++)
        *says = *says || *canvas_at(c, x + n, y)->text != ' ' ||
                canvas_at(c, x + n, y)->style.fg == bg; /* the first step of a legend */
    return n;
}

/* Text over a colour is readable; over the terminal's own, whatever that is, it has no colour of
 * its own; without colours nothing is a coloured blank, and where there are no pixels there is no
 * picture. */
static void check_cell(const char *name, int x, int y, enum color_depth depth)
{
    const struct canvas_cell *cell = canvas_at(d.frame.canvas, x, y);
    struct canvas_style st = canvas_style_shown(cell, depth);
    bool own = st.fg == COLOR_DEFAULT, over = st.bg != COLOR_DEFAULT;
    if (is_picture(cell->text, cell->style) || depth == COLOR_DEPTH_NONE)
        return;
    if (own == over)
        fail_at(name, x, y, depth, "a colour against one that nobody knows");
    if (over && color_contrast(st.fg, st.bg) < 3)
        fail_at(name, x, y, depth, "not readable");
}

static void check_cells(const char *name, enum color_depth depth)
{
    const struct canvas *c = d.frame.canvas;
    assert_int_equal(d.frame.n_pictures, 0);
    for (int y = 0; y < c->h; y++)
        for (int x = 0, n; x < c->w; x += n) {
            bool says;
            n = run_of(c, x, y, &says);
            if (depth == COLOR_DEPTH_NONE && canvas_at(c, x, y)->style.bg != COLOR_DEFAULT && !says)
                fail_at(name, x, y, depth, "blanks that only their colour tells from others");
            for (int i = 0; i < n; i++)
                check_cell(name, x + i, y, depth);
        }
}

static void test_cells(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        open_look(looks[i].keys);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int depth = 0; depth < COLOR_DEPTH_COUNT; depth++) {
                draw_at(sizes[s][0], sizes[s][1], (enum color_depth)depth);
                check_cells(looks[i].name, (enum color_depth)depth);
            }
        driver_close(&d);
    }
}

/* Where the terminal has no UTF-8, every sign of ours has one of ASCII: none is spelt out. */
static void test_ascii(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        open_look(looks[i].keys);
        for (int depth = 0; depth < COLOR_DEPTH_COUNT; depth += COLOR_DEPTH_TRUE) {
            app_resize(d.app, 120, 40);
            d.frame.caps = (struct frame_caps){.depth = (enum color_depth)depth, .ascii = true};
            assert_true(app_draw(d.app, &d.frame));
            const struct canvas *c = d.frame.canvas;
            for (int y = 0; y < c->h; y++)
                for (int x = 0; x < c->w; x++) {
                    const char *s = canvas_at(c, x, y)->text;
                    bool spelt = *s == '<' && x + 1 < c->w && *canvas_at(c, x + 1, y)->text == 'U';
                    if (spelt || (*s && (*s < ' ' || *s > '~')))
                        fail_at(looks[i].name, x, y, (enum color_depth)depth, "no ASCII for this");
                }
        }
        driver_close(&d);
    }
}

/* The screen without its colours: text and attributes.  To free. */
static char *colourless(struct rect r)
{
    struct bytes b = {0};
    for (int y = r.y; y < r.y + r.h; y++)
        for (int x = r.x; x < r.x + r.w; x++) {
            const struct canvas_cell *cell = canvas_at(d.frame.canvas, x, y);
            bytes_add_string(&b, cell->text);
            bytes_addf(&b, "%x", (unsigned)cell->style.attr);
        }
    assert_false(b.failed);
    return b.data;
}

/* In every depth, the state of the program is told by more than colour: where the cursor stands,
 * which face is shown, what is selected, edited or switched off. */
static void test_state_without_colour(void **state)
{
    (void)state;
    static const struct {
        const char *before, *key;
    } steps[] = {{"1g", "j"},       {"1", "h"},
                 {"1", "x"},        {"1x", "o"},
                 {"1x", "b"},       {"1xb", "b"},
                 {"1v", "k"},       {"1", "<Tab>"},
                 {"1z", "k"},       {"1z", "h"},
                 {"2", "k"},        {"2", "L"},
                 {"2", "x"},        {"2<Enter>", "h"},
                 {"2<Enter>", "k"}, {"2<Enter>", "m"},
                 {"2<Enter>", "x"}, {"3", "k"},
                 {"4", "j"},        {"4jjj", "x"},
                 {"5", "l"},        {"5", "k"},
                 {"5v", "k"},       {"5", "x"},
                 {"xM6", "k"},      {"x6", "o"},
                 {"7", "k"},        {"7w", "l"},
                 {"7w", "k"},       {"7", "x"},
                 {"8", "j"},        {"S", "k"},
                 {"S", "h"},        {"0", "j"},
                 {"0", "<Tab>"},    {"xu@", "k"},
                 {"?", "<Down>"},   {":view<Space><Tab>", "<Tab>"}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        for (int depth = 0; depth < COLOR_DEPTH_COUNT; depth++) {
            open_look(steps[i].before);
            draw_at(80, 24, (enum color_depth)depth);
            char *before = colourless(d.app->body);
            driver_keys(&d, steps[i].key);
            draw_at(80, 24, (enum color_depth)depth);
            char *after = colourless(d.app->body);
            if (strcmp(before, after) == 0)
                fail_at(steps[i].before, 0, 0, (enum color_depth)depth, steps[i].key);
            free(before);
            free(after);
            driver_close(&d);
        }
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_cells),
                                       cmocka_unit_test(test_ascii),
                                       cmocka_unit_test(test_state_without_colour)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
