/* patches.c - see patches.h. */
#include "list/patches.h"

#include <stdlib.h>
#include <string.h>

#include "draw.h"

enum { GAP = 2, ROWS_MIN = 5, BODY_MIN = 20 };

struct rect patches_cut(const struct app *a, struct rect *side)
{
    int rows = (side->w - GAP) / 4, room = side->h - BODY_MIN;
    rows = rows < room ? rows : room;
    return rect_cut_top(side, a->image && rows >= ROWS_MIN ? rows + 2 : 0);
}

/* The image with a frame around the cursor's patch. */
static uint8_t *marked(const struct app *a)
{
    const struct config *cfg = &a->m->cfg;
    int32_t side = a->image->side, p = cfg->patch_size, grid = image_grid(cfg),
            at = a->cur.row - a->m->cfg.n_prefix;
    size_t bytes = 3 * (size_t)side * (size_t)side;
    uint8_t *rgb = malloc(bytes);
    if (!rgb)
        return NULL;
    memcpy(rgb, a->image->rgb, bytes);
    int32_t line = p > 8 ? p / 8 : 1;
    for (int32_t i = 0; at >= 0 && i < p * p; i++) {
        int32_t y = i / p, x = i % p, edge = y < x ? y : x, far = y > x ? y : x;
        uint8_t *to = rgb + 3 * ((int64_t)(at / grid * p + y) * side + at % grid * p + x);
        if (edge < line || far >= p - line)
            to[0] = 255, to[1] = 220, to[2] = 0;
    }
    return rgb;
}

/* A mark in the cell of the cursor's patch: of what characters show. */
static void mark(const struct app *a, struct frame *f, struct frame_place place, double by)
{
    int32_t grid = image_grid(&a->m->cfg), at = a->cur.row - a->m->cfg.n_prefix;
    if (at < 0)
        return;
    int x = place.r.x + (int)((at % grid + 0.5) * by * place.dx),
        y = place.r.y + (int)((at / grid + 0.5) * by * place.dy);
    const struct canvas_cell *was = canvas_at(f->canvas, x, y);
    if (!was)
        return;
    uint32_t bg = was->style.bg;
    canvas_put(f->canvas, (struct rect){x, y, 1, 1}, 0, 0,
               bg == COLOR_DEFAULT ? canvas_plain(CANVAS_BOLD)
                                   : canvas_style(color_text_over(bg), bg, CANVAS_BOLD),
               f->caps.ascii ? "+" : "◆");
}

static void draw_image(const struct app *a, struct frame *f, struct rect r)
{
    uint8_t *rgb = marked(a);
    if (!rgb)
        return;
    struct photo photo = {rgb, a->image->side, a->image->side};
    struct frame_place place = frame_photo(f, r, &photo);
    mark(a, f, place, a->m->cfg.patch_size);
    free(rgb);
}

static void draw_values(const struct app *a, struct frame *f, struct rect r, const float *value,
                        struct scale scale, enum colormap map)
{
    int grid = image_grid(&a->m->cfg);
    if (f->caps.graphics == GRAPHICS_SIXEL || f->caps.graphics == GRAPHICS_KITTY) {
        struct heat m = {value + a->m->cfg.n_prefix, grid, grid, grid, scale, map};
        mark(a, f, frame_heat(f, r, &m), 1);
        return;
    }
    /* as many characters as there are, so that both squares have one size */
    int w = r.w, h = f->caps.depth == COLOR_DEPTH_NONE || f->caps.ascii ? r.h : 2 * r.h;
    float *v = malloc((size_t)w * (size_t)h * sizeof *v);
    for (int i = 0; v && i < w * h; i++)
        v[i] = value[a->m->cfg.n_prefix + (i / w * grid / h) * grid + i % w * grid / w];
    struct heat m = {v, h, w, w, scale, map};
    struct frame_place place = v ? frame_heat(f, r, &m) : (struct frame_place){.r = r};
    place.dx = (double)r.w / grid, place.dy = (double)r.h / grid;
    mark(a, f, place, 1);
    free(v);
}

void patches_draw(const struct app *a, struct frame *f, struct rect r, const float *value,
                  struct scale scale, enum colormap map, const char *name)
{
    if (rect_is_empty(r))
        return;
    int rows = r.h - 2, width = 2 * rows;
    struct rect left = {r.x, r.y + 1, width, rows},
                right = {r.x + width + GAP, r.y + 1, width, rows};
    int x = canvas_put(f->canvas, r, 0, 0, canvas_plain(CANVAS_BOLD), "patch ");
    draw_input(a, f->canvas, r, x, 0, canvas_plain(CANVAS_BOLD), a->cur.row, width - x);
    canvas_put(f->canvas, r, width + GAP, 0, canvas_plain(CANVAS_DIM), name);
    draw_image(a, f, left);
    if (value)
        draw_values(a, f, right, value, scale, map);
    else
        canvas_put(f->canvas, right, 0, 0, canvas_plain(CANVAS_DIM), "…");
}
