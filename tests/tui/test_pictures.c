/* test_pictures.c - the bytes of pictures beside text: once, in place, around popups, never on the
 * last row. */
#include <locale.h>
#include <sixel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "term/pictures.h"
#include "unit.h"

static const float values[] = {0, 1, 2, 3, 4, 5, 6, 7, 8};

static void draw(struct frame *f, float top, struct rect r)
{
    struct heat m = {values, 3, 3, 3, scale_make(SCALE_LINEAR, 0, top), COLORMAP_SEQUENTIAL};
    assert_true(frame_begin(f, 40, 20));
    frame_heat(f, r, &m);
}

static int count(const struct bytes *b, const char *what)
{
    int n = 0;
    for (size_t i = 0; i + strlen(what) <= b->len; i++)
        n += memcmp(b->data + i, what, strlen(what)) == 0;
    return n;
}

static void update(struct pictures *p, const struct frame *f, bool afresh, struct bytes *before,
                   struct bytes *after)
{
    bool show[FRAME_PICTURES_MAX] = {false};
    bytes_clear(before);
    bytes_clear(after);
    pictures_choose(f, show);
    pictures_update(p, f, show, afresh, before, after);
}

static void test_sixel(void **state)
{
    (void)state;
    struct frame f = {
        .caps = {.graphics = GRAPHICS_SIXEL, .depth = COLOR_DEPTH_TRUE, .cell_w = 9, .cell_h = 18}};
    struct pictures *p = calloc(1, sizeof *p);
    struct bytes before = {0}, after = {0};
    const struct rect r = {4, 3, 12, 6};
    draw(&f, 8, r);
    update(p, &f, true, &before, &after);
    assert_int_equal(count(&after, "\x1bP"), 1);
    assert_int_equal(count(&after, "\x1b"
                                   "7\x1b[r\x1b[4;5H"),
                     1);                           /* margins off, then the place */
    assert_int_equal(count(&after, "-\x1b\\"), 0); /* no trailing new line */
    assert_int_equal(before.len, 0);
    update(p, &f, false, &before, &after); /* nothing changed: nothing is sent */
    assert_int_equal(before.len + after.len, 0);
    draw(&f, 16, r); /* other values, same place: over it, without erasing */
    update(p, &f, false, &before, &after);
    assert_int_equal(count(&after, "\x1bP"), 1);
    assert_int_equal(before.len, 0);
    frame_popup(&f, (struct rect){6, 4, 4, 3}, NULL); /* four pieces around it */
    update(p, &f, false, &before, &after);
    assert_int_equal(count(&after, "\x1bP"), 4);
    draw(&f, 16, r); /* closed again: whole */
    update(p, &f, false, &before, &after);
    assert_int_equal(count(&after, "\x1bP"), 1);
    assert_true(frame_begin(&f, 40, 20)); /* gone: its cells are written over with spaces */
    update(p, &f, false, &before, &after);
    assert_int_equal(after.len, 0);
    assert_int_equal(count(&before, "H      "), 6);
    bytes_free(&before);
    bytes_free(&after);
    frame_free(&f);
    free(p);
}

static void test_last_row(void **state)
{
    (void)state;
    struct frame f = {
        .caps = {.graphics = GRAPHICS_SIXEL, .depth = COLOR_DEPTH_TRUE, .cell_w = 9, .cell_h = 18}};
    bool show[FRAME_PICTURES_MAX];
    draw(&f, 8, (struct rect){0, 14, 12, 6});
    pictures_choose(&f, show);
    assert_false(show[0]); /* would scroll the screen */
    frame_free(&f);
}

/* ---- a terminal of pixels ---- */

enum { WIDTH = 40, HEIGHT = 20, CELL_MAX = 40 };

/* What the bytes leave on the screen; 0 is empty, ' ' empties a cell. */
struct screen {
    int cell_w, cell_h;
    uint32_t px[HEIGHT * CELL_MAX][WIDTH * CELL_MAX];
};

static void blank(struct screen *s, int x, int y)
{
    for (int i = 0; i < s->cell_h; i++)
        for (int j = 0; j < s->cell_w; j++)
            s->px[y * s->cell_h + i][x * s->cell_w + j] = 0;
}

static void put_picture(struct screen *s, int x, int y, const char *from, size_t n)
{
    unsigned char *pixels = NULL, *palette = NULL;
    int w, h, colors;
    assert_false(SIXEL_FAILED(sixel_decode_raw((unsigned char *)(uintptr_t)from, (int)n, &pixels,
                                               &w, &h, &palette, &colors, NULL)));
    /* terminals scroll when a band reaches into the last row */
    assert_true(y * s->cell_h + (h + 5) / 6 * 6 <= (HEIGHT - 1) * s->cell_h);
    for (int i = 0; i < h; i++)
        for (int j = 0; j < w; j++) {
            const unsigned char *c = palette + 3 * pixels[i * w + j];
            s->px[y * s->cell_h + i][x * s->cell_w + j] = 1u << 24 |
                                                          (uint32_t)(c[0] << 16 | c[1] << 8 | c[2]);
        }
    free(pixels);
    free(palette);
}

static void show_bytes(struct screen *s, const struct bytes *b)
{
    int x = 0, y = 0, n = 0;
    for (size_t i = 0; i < b->len; i++) {
        const char *at = b->data + i;
        if (*at == ' ') {
            blank(s, x++, y);
        } else if (at[1] == '[' && sscanf(at, "\x1b[%d;%dH%n", &y, &x, &n) == 2 && n) {
            x--, y--;
            i += (size_t)n - 1;
        } else if (at[1] == 'P') {
            const char *end = strstr(at, "\x1b\\");
            put_picture(s, x, y, at, (size_t)(end - at) + 2);
            i = (size_t)(end - b->data) + 1;
        } else if (at[1] == '[') { /* margins, style */
            i += strcspn(at + 2, "rm") + 2;
        } else {
            i++; /* ESC 7, ESC 8 */
        }
        n = 0;
    }
}

static unsigned seed = 7;

static int any(int n)
{
    seed = seed * 1103515245u + 12345u;
    return (int)(seed >> 16) % n;
}

/* A frame of up to two pictures of any size, perhaps below a popup. */
static void draw_any(struct frame *f)
{
    static float v[60 * 60];
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        v[i] = (float)any(9);
    assert_true(frame_begin(f, WIDTH, HEIGHT));
    for (int i = any(3), y = 0; i > 0; i--, y = 10) {
        struct heat m = {
            v, 1 + any(60), 1 + any(60), 60, scale_make(SCALE_LINEAR, 0, 8), COLORMAP_SEQUENTIAL};
        struct rect r = {any(10), y, 1 + any(30), 1 + any(9)};
        static const uint8_t rgb[3 * 60 * 60];
        struct photo photo = {rgb, 1 + any(60), 1 + any(60)}; /* fills one direction of its slot */
        any(3) ? frame_heat(f, r, &m) : frame_photo(f, r, &photo);
    }
    if (any(2))
        frame_popup(f, (struct rect){any(20), any(10), 1 + any(20), 1 + any(9)}, NULL);
}

/* Whatever was there before, at every size of cells: what is on the screen is the last frame, as if
 * it had been drawn on an empty one. */
static void test_leftovers(void **state)
{
    (void)state;
    struct screen *seen = calloc(1, sizeof *seen), *fresh = calloc(1, sizeof *fresh);
    struct pictures *p = calloc(1, sizeof *p), *anew = calloc(1, sizeof *anew);
    struct bytes before = {0}, after = {0};
    for (int cell_h = 7; cell_h <= CELL_MAX; cell_h += 5) {
        struct frame f = {.caps = {.graphics = GRAPHICS_SIXEL,
                                   .depth = COLOR_DEPTH_TRUE,
                                   .cell_w = cell_h / 2,
                                   .cell_h = cell_h}};
        *p = (struct pictures){0};
        memset(seen, 0, sizeof *seen);
        seen->cell_w = fresh->cell_w = f.caps.cell_w;
        seen->cell_h = fresh->cell_h = cell_h;
        for (int i = 0; i < 40; i++) {
            draw_any(&f);
            update(p, &f, i == 0, &before, &after);
            show_bytes(seen, &before);
            show_bytes(seen, &after);
            memset(fresh->px, 0, sizeof fresh->px);
            *anew = (struct pictures){0};
            update(anew, &f, true, &before, &after);
            show_bytes(fresh, &after);
            assert_memory_equal(seen->px, fresh->px, sizeof fresh->px);
        }
        frame_free(&f);
    }
    bytes_free(&before);
    bytes_free(&after);
    free(seen), free(fresh), free(p), free(anew);
}

static void test_kitty(void **state)
{
    (void)state;
    struct frame f = {
        .caps = {.graphics = GRAPHICS_KITTY, .depth = COLOR_DEPTH_TRUE, .cell_w = 9, .cell_h = 18}};
    struct pictures *p = calloc(1, sizeof *p);
    struct bytes before = {0}, after = {0};
    draw(&f, 8, (struct rect){4, 3, 12, 6});
    update(p, &f, true, &before, &after);
    assert_true(count(&after, "\x1b_G") >= 1);
    frame_popup(&f, (struct rect){6, 4, 4, 3}, NULL);
    update(p, &f, false, &before, &after); /* taken away while something lies over it */
    assert_int_equal(after.len, 0);
    assert_int_equal(count(&before, "a=d"), 1);
    draw(&f, 8, (struct rect){4, 3, 12, 6});
    update(p, &f, false, &before, &after);
    bytes_clear(&after);
    pictures_end(p, &after);
    assert_int_equal(count(&after, "a=d"), 1);
    bytes_free(&before);
    bytes_free(&after);
    frame_free(&f);
    free(p);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sixel), cmocka_unit_test(test_last_row),
        cmocka_unit_test(test_leftovers), cmocka_unit_test(test_kitty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
