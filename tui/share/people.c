/* people.c - cursors of others (see people.h). */
#include "share/people.h"

#include <stdio.h>
#include <string.h>

static const uint32_t colors[] = {0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442,
                                  0xd55e00, 0xcc79a7, 0x0072b2, 0xbbbbbb}; /* of Okabe and Ito */

static struct canvas_style style_of(int i, bool color)
{
    if (!color)
        return canvas_plain(CANVAS_REVERSE | CANVAS_UNDERLINE);
    uint32_t bg = colors[(size_t)i % (sizeof colors / sizeof *colors)];
    return canvas_style(color_text_over(bg), bg, CANVAS_UNDERLINE);
}

/* Blank cells from (x, y) on, at most n. */
static int blanks(const struct canvas *c, int x, int y, int n)
{
    int have = 0;
    for (const struct canvas_cell *cell; have < n && (cell = canvas_at(c, x + have, y)); have++)
        if (strcmp(cell->text, " ") != 0 || cell->style.bg != COLOR_DEFAULT ||
            (cell->style.attr & CANVAS_REVERSE))
            break;
    return have;
}

static void draw_one(struct frame *f, const struct person *p, struct canvas_style st)
{
    struct canvas *c = f->canvas;
    const struct canvas_cell *cell = canvas_at(c, p->x, p->y);
    if (!cell)
        return;
    int x = p->x - (cell->width == 0), width = canvas_at(c, x, p->y)->width;
    struct rect at = {x, p->y, width, 1};
    struct canvas_cell *own = &c->cell[p->y * c->w + x];
    for (int i = 0; i < width; i++)
        own[i].style = st;
    if (f->n_popups < FRAME_POPUPS_MAX) /* a picture makes room for it */
        f->popup[f->n_popups++] = at;
    int free = blanks(c, x + width, p->y, (int)strlen(p->name) + 1) - 1;
    st.attr = 0;
    if (free > 0)
        canvas_put_text(c, (struct rect){x + width, p->y, free, 1}, 0, 0, st, p->name,
                        strlen(p->name), TEXT_PLAIN);
}

void people_draw(struct frame *f, const struct person *p, int n)
{
    bool color = f->caps.depth != COLOR_DEPTH_NONE;
    for (int i = 0; i < n; i++)
        if (!p[i].you && p[i].x >= 0)
            draw_one(f, &p[i], style_of(i, color));
}

int people_list(struct canvas *c, int y, const struct person *p, int n, bool color)
{
    int at = c->w;
    struct rect r = {0, y, c->w, 1};
    for (int i = n - 1; i >= 0; i--) {
        char text[WIRE_NAME_MAX + 8];
        int width = snprintf(text, sizeof text, p[i].keyboard ? "[%s%s]" : " %s%s ", p[i].name,
                             p[i].you ? " (you)" : "");
        if (at - width < c->w / 2)
            break;
        at -= width;
        struct canvas_style st = style_of(i, color);
        st.attr = color ? 0 : CANVAS_REVERSE;
        canvas_put(c, r, at, 0, st, text);
    }
    return c->w - at;
}
