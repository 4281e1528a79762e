/* paint.c - see paint.h. */
#include "paint.h"

#include <stdlib.h>
#include <string.h>

struct paint {
    struct canvas_cell *was; /* what the terminal's screen holds */
    int w, h;
    bool pictures;             /* the last frame had some as pixels */
    struct rect panel, beside; /* of the last frame; empty: none, or something lay over it */
};

struct paint *paint_new(void)
{
    return calloc(1, sizeof(struct paint));
}

void paint_free(struct paint *p)
{
    if (p)
        free(p->was);
    free(p);
}

void paint_forget(struct paint *p)
{
    free(p->was);
    p->was = NULL;
}

/* What stands below a picture. */
static const struct canvas_cell below = {
    .text = " ", .width = 1, .style = {COLOR_DEFAULT, COLOR_DEFAULT, CELLS_PICTURE}};

static void keep_cells(const struct paint *p, struct rect r, struct rect was,
                       struct canvas_cell *now)
{
    for (int y = r.y; y < r.y + r.h && memcmp(&r, &was, sizeof r) == 0; y++)
        memcpy(&now[y * p->w + r.x], &p->was[y * p->w + r.x], (size_t)r.w * sizeof *now);
}

static void keep_panel(const struct paint *p, const struct frame *f, struct canvas_cell *now)
{
    if (f->panel_waits && !f->n_popups) {
        keep_cells(p, f->panel, p->panel, now);
        keep_cells(p, f->beside, p->beside, now);
    }
}

/* Rows that move together are moved by the terminal: where it can, without what stands beside them.
 */
static void move_rows(struct paint *p, const struct frame *f, const struct canvas_cell *now,
                      const struct cells_can *can, struct bytes *out)
{
    struct shift s;
    int w = p->w, judged = f->panel.x > w / 3 ? f->panel.x : w, moving = can->margins ? judged : w;
    if (p->was && can->regions && !p->pictures && !f->n_popups &&
        shift_find(p->was, now, w, p->h, judged, moving, &s))
        cells_scroll(&s, moving, p->was, w, out);
}

/* The frame's cells as the terminal is to have them; NULL: memory is out. */
static struct canvas_cell *cells_of(struct paint *p, const struct frame *f, const bool *show)
{
    const struct canvas *c = f->canvas;
    size_t cells = (size_t)c->w * (size_t)c->h;
    struct canvas_cell *now = malloc(cells * sizeof *now);
    if (!now)
        return NULL;
    memcpy(now, c->cell, cells * sizeof *now);
    for (int i = 0; i < f->n_pictures; i++) {
        struct rect part[1 + 4 * FRAME_POPUPS_MAX];
        int n = show[i] ? frame_visible(f, f->picture[i].r, part, 1 + 4 * FRAME_POPUPS_MAX) : 0;
        p->pictures |= n > 0;
        for (int k = 0; k < n; k++)
            for (int y = part[k].y; y < part[k].y + part[k].h; y++)
                for (int x = part[k].x; x < part[k].x + part[k].w; x++)
                    now[y * c->w + x] = below;
    }
    return now;
}

void paint_frame(struct paint *p, const struct frame *f, const bool *show,
                 const struct cells_can *can, struct bytes *out)
{
    const struct canvas *c = f->canvas;
    bool pictures = p->pictures;
    p->pictures = false;
    struct canvas_cell *now = cells_of(p, f, show);
    if (!now)
        return;
    if (!p->was || p->w != c->w || p->h != c->h)
        paint_forget(p);
    else
        keep_panel(p, f, now);
    p->w = c->w, p->h = c->h;
    if (!pictures)
        move_rows(p, f, now, can, out);
    cells_write(can, p->was, now, p->w, p->h, out);
    free(p->was);
    p->was = now;
    p->panel = f->n_popups ? (struct rect){0} : f->panel;
    p->beside = f->n_popups ? (struct rect){0} : f->beside;
}
