/* frame.c - one screen as data (see frame.h). */
#include "frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS = 63 };

bool frame_begin(struct frame *f, int w, int h)
{
    for (int i = 0; i < f->n_pictures; i++)
        image_free(&f->picture[i].image);
    f->n_pictures = f->n_popups = 0;
    f->caret_x = f->caret_y = -1;
    f->panel = f->beside = (struct rect){0};
    f->panel_old = f->panel_waits = false;
    if (!f->canvas || f->canvas->w != w || f->canvas->h != h) {
        canvas_free(f->canvas);
        f->canvas = canvas_new(w, h);
    }
    if (!f->canvas)
        return false;
    f->canvas->ascii = f->caps.ascii;
    canvas_clear(f->canvas);
    return true;
}

void frame_free(struct frame *f)
{
    for (int i = 0; i < f->n_pictures; i++)
        image_free(&f->picture[i].image);
    canvas_free(f->canvas);
    *f = (struct frame){0};
}

bool frame_has_pixels(const struct frame *f)
{
    return (f->caps.graphics == GRAPHICS_SIXEL || f->caps.graphics == GRAPHICS_KITTY) &&
           f->caps.cell_w > 0 && f->caps.cell_h > 0;
}

/* Pixels that r gives a picture.  Terminals reckon with whole bands of six rows: directly above the
 * last row of the screen the height is a multiple of 6, anywhere else the last band may reach below
 * r, with nothing painted there. */
static void room_px(const struct frame *f, struct rect r, int *w, int *h)
{
    int below = (f->canvas->h - 1 - r.y) * f->caps.cell_h / 6 * 6;
    *w = r.w * f->caps.cell_w;
    *h = r.h * f->caps.cell_h;
    *h = *h < below ? *h : below;
}

static void add_picture(struct frame *f, struct rect r, const struct heat *m, int w, int h)
{
    if (f->n_pictures == FRAME_PICTURES_MAX || w > IMAGE_SIDE_MAX || h > IMAGE_SIDE_MAX)
        return;
    struct image im = {0};
    if (heat_image(m, LEVELS, &im) != IMAGE_OK)
        return;
    f->picture[f->n_pictures++] = (struct picture){.r = r, .image = im, .w = w, .h = h};
}

/* m shrunk to at most rows x cols in *own (malloc'ed values in own->value), or as it is. */
static struct heat pooled(const struct heat *m, int rows, int cols)
{
    if (m->rows <= rows && m->cols <= cols)
        return *m;
    struct heat own = *m;
    own.rows = m->rows < rows ? m->rows : rows;
    own.cols = m->cols < cols ? m->cols : cols;
    own.stride = own.cols;
    float *v = calloc((size_t)own.rows * (size_t)own.cols, sizeof *v);
    if (v)
        heat_pool(m, own.rows, own.cols, v);
    own.value = v;
    return own;
}

static void pooled_free(struct heat *own, const struct heat *m)
{
    if (own->value != m->value)
        free((void *)(uintptr_t)own->value);
}

static struct frame_place heat_characters(struct frame *f, struct rect r, const struct heat *m)
{
    bool color = f->caps.depth != COLOR_DEPTH_NONE && !f->caps.ascii;
    struct heat small = pooled(m, color ? 2 * r.h : r.h, r.w);
    if (!small.value)
        return (struct frame_place){.r = {r.x, r.y, 0, 0}};
    struct rect used = {r.x, r.y, small.cols, color ? (small.rows + 1) / 2 : small.rows};
    if (color)
        heat_half_blocks(&small, f->canvas, used);
    else
        heat_glyphs(&small, f->canvas, used, HEAT_SHADES);
    struct frame_place at = {used, (double)small.cols / m->cols,
                             (double)small.rows / m->rows / (color ? 2 : 1)};
    pooled_free(&small, m);
    return at;
}

struct frame_place frame_heat(struct frame *f, struct rect r, const struct heat *m)
{
    r = rect_intersect(r, canvas_rect(f->canvas));
    if (rect_is_empty(r) || m->rows <= 0 || m->cols <= 0)
        return (struct frame_place){.r = {r.x, r.y, 0, 0}};
    if (!frame_has_pixels(f))
        return heat_characters(f, r, m);
    int w, h;
    room_px(f, r, &w, &h);
    struct heat small = pooled(m, h > 0 ? h : 1, w);
    if (!small.value)
        return (struct frame_place){.r = {r.x, r.y, 0, 0}};
    heat_characters(f, r, &small); /* the strongest of the strongest is the strongest */
    if (h > 0)
        add_picture(f, r, &small, w, h);
    pooled_free(&small, m);
    return (struct frame_place){r, (double)r.w / m->cols, (double)h / f->caps.cell_h / m->rows};
}

/* As large as it fits into r in pixels, with its sides in their proportion. */
static void add_photo(struct frame *f, struct rect r, const struct photo *p)
{
    int w, h;
    room_px(f, r, &w, &h);
    if ((int64_t)w * p->h > (int64_t)h * p->w)
        w = (int)((int64_t)h * p->w / p->h);
    else
        h = (int)((int64_t)w * p->h / p->w);
    struct image im = {0};
    if (f->n_pictures == FRAME_PICTURES_MAX || w < 1 || h < 1 || w > IMAGE_SIDE_MAX ||
        h > IMAGE_SIDE_MAX || photo_image(p, w, h, &im) != IMAGE_OK)
        return;
    f->picture[f->n_pictures++] = (struct picture){.r = r, .image = im, .w = w, .h = h};
}

struct frame_place frame_photo(struct frame *f, struct rect r, const struct photo *p)
{
    r = rect_intersect(r, canvas_rect(f->canvas));
    if (rect_is_empty(r))
        return (struct frame_place){.r = {r.x, r.y, 0, 0}};
    photo_half_blocks(p, f->canvas, r, f->caps.depth != COLOR_DEPTH_NONE);
    if (frame_has_pixels(f))
        add_photo(f, r, p);
    return (struct frame_place){r, (double)r.w / p->w, (double)r.h / p->h};
}

void frame_heat_cells(struct frame *f, struct rect r, const struct heat *m, int cell_w)
{
    bool color = f->caps.depth != COLOR_DEPTH_NONE, symmetric = m->scale.kind == SCALE_SYMMETRIC;
    for (int i = 0; i < m->rows; i++)
        for (int j = 0; j < m->cols; j++) {
            float v = m->value[i * m->stride + j];
            double at = scale_at(m->scale, v);
            struct rect cell = {r.x + j * cell_w, r.y + i, cell_w, 1};
            cell = rect_intersect(cell, r);
            if (rect_is_empty(cell) || (symmetric && v == 0)) /* no change: blank */
                continue;
            uint32_t bg = isnan(at) ? COLORMAP_NAN : colormap_at(m->map, at);
            double size = symmetric ? fabs(at - 0.5) * 2 : at;
            if (color)
                canvas_fill(f->canvas, cell, canvas_style(color_text_over(bg), bg, 0),
                            isnan(at) ? "!" : " ");
            else
                canvas_fill(f->canvas, cell,
                            canvas_plain(symmetric && v < 0 ? CANVAS_UNDERLINE : 0),
                            heat_glyph(size, f->caps.ascii ? HEAT_RAMP : HEAT_SHADES));
        }
}

struct rect frame_popup(struct frame *f, struct rect r, const char *title)
{
    struct canvas *c = f->canvas;
    r = rect_intersect(r, canvas_rect(c));
    if (f->n_popups < FRAME_POPUPS_MAX)
        f->popup[f->n_popups++] = r;
    struct canvas_style st = canvas_plain(0);
    canvas_fill(c, r, st, " ");
    if (r.w < 2 || r.h < 2)
        return r;
    struct rect in = {r.x + 1, r.y + 1, r.w - 2, r.h - 2};
    canvas_fill(c, (struct rect){in.x, r.y, in.w, 1}, st, "─");
    canvas_fill(c, (struct rect){in.x, r.y + r.h - 1, in.w, 1}, st, "─");
    canvas_fill(c, (struct rect){r.x, in.y, 1, in.h}, st, "│");
    canvas_fill(c, (struct rect){r.x + r.w - 1, in.y, 1, in.h}, st, "│");
    canvas_put(c, r, 0, 0, st, "┌");
    canvas_put(c, r, r.w - 1, 0, st, "┐");
    canvas_put(c, r, 0, r.h - 1, st, "└");
    canvas_put(c, r, r.w - 1, r.h - 1, st, "┘");
    if (title && *title) {
        canvas_put(c, r, 2, 0, st, " ");
        int n = canvas_put(c, (struct rect){r.x, r.y, r.w - 2, 1}, 3, 0, canvas_plain(CANVAS_BOLD),
                           title);
        canvas_put(c, (struct rect){r.x, r.y, r.w - 1, 1}, 3 + n, 0, st, " ");
    }
    return in;
}

int frame_visible(const struct frame *f, struct rect r, struct rect *out, int max)
{
    int n = 0;
    if (max > 0 && !rect_is_empty(r))
        out[n++] = r;
    for (int p = 0; p < f->n_popups; p++) {
        int was = n;
        for (int i = 0; i < was; i++) {
            struct rect a = out[i], cut = rect_intersect(a, f->popup[p]);
            if (rect_is_empty(cut))
                continue;
            struct rect part[4] = {{a.x, a.y, a.w, cut.y - a.y},
                                   {a.x, cut.y + cut.h, a.w, a.y + a.h - cut.y - cut.h},
                                   {a.x, cut.y, cut.x - a.x, cut.h},
                                   {cut.x + cut.w, cut.y, a.x + a.w - cut.x - cut.w, cut.h}};
            out[i] = (struct rect){0};
            for (int k = 0; k < 4; k++)
                if (!rect_is_empty(part[k]) && n < max)
                    out[n++] = part[k];
        }
        int kept = 0;
        for (int i = 0; i < n; i++)
            if (!rect_is_empty(out[i]))
                out[kept++] = out[i];
        n = kept;
    }
    return n;
}
