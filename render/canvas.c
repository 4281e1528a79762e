/* canvas.c - a grid of cells: drawing and clipping (printing is canvas_dump.c).
 * It must not know of terminals.  Tested in tests/render/test_canvas.c. */
#include "canvas.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void cell_blank(struct canvas_cell *cell, struct canvas_style st)
{
    *cell = (struct canvas_cell){.text = " ", .width = 1, .style = st};
}

struct canvas *canvas_new(int w, int h)
{
    assert(w > 0 && w <= CANVAS_SIDE_MAX && h > 0 && h <= CANVAS_SIDE_MAX);
    struct canvas *c = malloc(sizeof *c);
    struct canvas_cell *cell = malloc((size_t)w * (size_t)h * sizeof *cell);
    if (!c || !cell) {
        free(c);
        free(cell);
        return NULL;
    }
    *c = (struct canvas){.w = w, .h = h, .cell = cell};
    canvas_clear(c);
    return c;
}

void canvas_free(struct canvas *c)
{
    if (c)
        free(c->cell);
    free(c);
}

void canvas_clear(struct canvas *c)
{
    for (size_t i = 0; i < (size_t)c->w * (size_t)c->h; i++)
        cell_blank(&c->cell[i], canvas_plain(0));
}

struct rect canvas_rect(const struct canvas *c)
{
    return (struct rect){0, 0, c->w, c->h};
}

static struct canvas_cell *cell_at(const struct canvas *c, int x, int y)
{
    return &c->cell[(size_t)y * (size_t)c->w + (size_t)x];
}

const struct canvas_cell *canvas_at(const struct canvas *c, int x, int y)
{
    return rect_has(canvas_rect(c), x, y) ? cell_at(c, x, y) : NULL;
}

/* The cell is about to be overwritten: a wide character that it is half of leaves a blank in the
 * other half. */
static void cell_split(struct canvas *c, int x, int y)
{
    struct canvas_cell *cell = cell_at(c, x, y);
    if (cell->width == 0)
        cell_blank(cell - 1, cell[-1].style);
    else if (cell->width == 2)
        cell_blank(cell + 1, cell[1].style);
}

/* Put one item at absolute x, y; a wide one that is cut by the clip becomes a blank. */
static void put_item(struct canvas *c, struct rect clip, int x, int y, struct canvas_style st,
                     const struct text_item *item)
{
    bool first = rect_has(clip, x, y), second = item->width == 2 && rect_has(clip, x + 1, y);
    if (first)
        cell_split(c, x, y);
    if (second)
        cell_split(c, x + 1, y);
    if (first && (second || item->width == 1)) {
        struct canvas_cell *cell = cell_at(c, x, y);
        *cell = (struct canvas_cell){.width = item->width, .style = st};
        memcpy(cell->text, item->utf8, sizeof cell->text);
        if (second)
            cell[1] = (struct canvas_cell){.style = st};
    } else if (first) {
        cell_blank(cell_at(c, x, y), st);
    } else if (second) {
        cell_blank(cell_at(c, x + 1, y), st);
    }
}

static struct canvas_style item_style(struct canvas_style st, const struct text_item *item)
{
    return canvas_style(st.fg, st.bg, item->escaped ? st.attr ^ CANVAS_REVERSE : st.attr);
}

static unsigned canvas_flags(const struct canvas *c, unsigned flags)
{
    return c->ascii ? flags | TEXT_ASCII : flags;
}

int canvas_put_text(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                    const char *s, size_t n, unsigned flags)
{
    struct rect clip = rect_intersect(r, canvas_rect(c));
    struct text_reader reader;
    struct text_item item;
    int columns = 0;
    text_open(&reader, s, n, canvas_flags(c, flags));
    for (; text_next(&reader, &item); columns += item.width)
        put_item(c, clip, r.x + x + columns, r.y + y, item_style(st, &item), &item);
    return columns;
}

int canvas_put(struct canvas *c, struct rect r, int x, int y, struct canvas_style st, const char *s)
{
    return canvas_put_text(c, r, x, y, st, s, strlen(s), TEXT_OWN);
}

int canvas_putf(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                const char *fmt, ...)
{
    char text[CANVAS_SIDE_MAX]; /* longer than any line of a screen; the rest would be clipped */
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return canvas_put(c, r, x, y, st, text);
}

void canvas_put_field(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                      const char *s, size_t n, unsigned flags, int width, bool padded)
{
    if (width <= 0)
        return;
    struct rect field = rect_intersect(r, (struct rect){r.x + x, r.y + y, width, 1});
    int columns = text_width(s, n, canvas_flags(c, flags));
    if (padded)
        canvas_fill(c, field, st, " ");
    /* Positions count from the field's own corner, which a clip on the left may have moved. */
    int at = r.x + x - field.x;
    struct rect room = field;
    if (columns > width) /* the last column is the ellipsis' */
        room = rect_intersect(field, (struct rect){r.x + x, r.y + y, width - 1, 1});
    canvas_put_text(c, (struct rect){field.x, field.y, room.w, room.h}, at, 0, st, s, n, flags);
    if (columns > width)
        canvas_put(c, field, r.x + x + width - 1 - field.x, 0, st, "\u2026");
}

void canvas_fill(struct canvas *c, struct rect r, struct canvas_style st, const char *glyph)
{
    struct rect clip = rect_intersect(r, canvas_rect(c));
    struct text_reader reader;
    struct text_item item;
    text_open(&reader, glyph, strlen(glyph), canvas_flags(c, TEXT_OWN));
    bool some = text_next(&reader, &item);
    assert(some && item.width == 1);
    (void)some;
    for (int y = clip.y; y < clip.y + clip.h; y++)
        for (int x = clip.x; x < clip.x + clip.w; x++)
            put_item(c, clip, x, y, st, &item);
}

void canvas_restyle(struct canvas *c, struct rect r, struct canvas_style st)
{
    struct rect clip = rect_intersect(r, canvas_rect(c));
    for (int y = clip.y; y < clip.y + clip.h; y++) {
        for (int x = clip.x; x < clip.x + clip.w; x++) {
            struct canvas_cell *cell = cell_at(c, x, y);
            if (cell->width == 0)
                cell--;
            cell->style.fg = st.fg == COLOR_DEFAULT ? cell->style.fg : st.fg;
            cell->style.bg = st.bg == COLOR_DEFAULT ? cell->style.bg : st.bg;
            cell->style.attr |= st.attr;
            if (cell->width == 2)
                cell[1].style = cell->style;
        }
    }
}
