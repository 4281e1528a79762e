/* test_pictures.c - the bytes of pictures beside text: once, in place, around popups, never on the
 * last row. */
#include <locale.h>
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

/* Text rows whose height is no multiple of 6: every piece still is. */
static void test_heights(void **state)
{
    (void)state;
    for (int cell_h = 7; cell_h < 40; cell_h++) {
        struct frame f = {.caps = {.graphics = GRAPHICS_SIXEL,
                                   .depth = COLOR_DEPTH_TRUE,
                                   .cell_w = 8,
                                   .cell_h = cell_h}};
        struct pictures *p = calloc(1, sizeof *p);
        struct bytes before = {0}, after = {0};
        draw(&f, 8, (struct rect){0, 0, 20, 12});
        frame_popup(&f, (struct rect){2, 2, 2, 1}, NULL);
        update(p, &f, true, &before, &after);
        for (size_t i = 0; i + 4 < after.len; i++) {
            int pan, pad, w, h; /* raster attributes: "pan;pad;w;h */
            if (after.data[i] == '"' &&
                sscanf(after.data + i, "\"%d;%d;%d;%d", &pan, &pad, &w, &h) == 4)
                assert_int_equal(h % 6, 0);
        }
        bytes_free(&before);
        bytes_free(&after);
        frame_free(&f);
        free(p);
    }
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
        cmocka_unit_test(test_heights), cmocka_unit_test(test_kitty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
