/* pictures.c - pixels beside ncurses (see pictures.h). */
#include "pictures.h"

#include <string.h>

#include "kitty.h"
#include "sixel_out.h"

void pictures_choose(const struct frame *f, bool *show)
{
    bool pixels = (f->caps.graphics == GRAPHICS_SIXEL || f->caps.graphics == GRAPHICS_KITTY) &&
                  f->caps.cell_w > 0;
    for (int i = 0; i < f->n_pictures; i++) {
        struct rect r = f->picture[i].r;
        show[i] = pixels && r.y + r.h < f->canvas->h; /* the last row scrolls */
        for (int k = 0; k < f->n_popups && f->caps.graphics == GRAPHICS_KITTY; k++)
            if (!rect_is_empty(rect_intersect(r, f->popup[k])))
                show[i] = false;
    }
}

static uint64_t hash_add(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t picture_hash(const struct picture *p, const struct frame_caps *caps)
{
    const int shape[] = {
        p->r.x,     p->r.y,     p->r.w,       p->r.h,       p->block_w,         p->block_h,
        p->image.w, p->image.h, caps->cell_w, caps->cell_h, (int)caps->graphics};
    uint64_t h = hash_add(0xcbf29ce484222325u, shape, sizeof shape);
    h = hash_add(h, p->image.palette, (size_t)p->image.n_colors * sizeof p->image.palette[0]);
    return hash_add(h, p->image.pixel, (size_t)p->image.w * (size_t)p->image.h);
}

/* Pixels [x0,x1) x [y0,y1) of the picture as it is shown, blocks and all. */
static int cut_out(const struct picture *p, int x0, int y0, int x1, int y1, struct image *out)
{
    int r = image_new(out, x1 - x0, y1 - y0);
    if (r != IMAGE_OK)
        return r;
    out->n_colors = p->image.n_colors;
    memcpy(out->palette, p->image.palette, sizeof out->palette);
    for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
            out->pixel[(y - y0) * out->w + x - x0] = p->image.pixel[y / p->block_h * p->image.w +
                                                                    x / p->block_w];
    return IMAGE_OK;
}

static void sixel_at(int x, int y, const struct bytes *picture, struct bytes *out)
{
    bytes_addf(out,
               "\x1b"
               "7\x1b[r\x1b[%d;%dH",
               y + 1, x + 1);
    bytes_add(out, picture->data, picture->len);
    bytes_add_string(out, "\x1b"
                          "8");
}

/* One visible part; its height in pixels is cut to a multiple of 6, so that nothing scrolls. */
static void sixel_part(const struct picture *p, struct rect part, const struct frame_caps *caps,
                       struct bytes *out)
{
    int w = p->image.w * p->block_w, h = p->image.h * p->block_h;
    int x0 = (part.x - p->r.x) * caps->cell_w, y0 = (part.y - p->r.y) * caps->cell_h;
    int x1 = x0 + part.w * caps->cell_w, y1 = y0 + part.h * caps->cell_h;
    x1 = x1 < w ? x1 : w;
    y1 = y1 < h ? y1 : h;
    y1 -= (y1 - y0) % 6;
    if (x0 >= x1 || y0 >= y1)
        return;
    struct bytes six = {0};
    bool whole = x0 == 0 && y0 == 0 && x1 == w && y1 == h;
    if (whole && p->block_h % 6 == 0) {
        if (sixel_out_grid(&p->image, p->block_w, p->block_h, &six) == IMAGE_OK && !six.failed)
            sixel_at(part.x, part.y, &six, out);
    } else {
        struct image cut = {0};
        if (cut_out(p, x0, y0, x1, y1, &cut) == IMAGE_OK) {
            if (sixel_out_image(&cut, &six) == IMAGE_OK && !six.failed)
                sixel_at(part.x, part.y, &six, out);
            image_free(&cut);
        }
    }
    bytes_free(&six);
}

static void kitty_part(const struct picture *p, int i, struct bytes *out)
{
    bytes_addf(out,
               "\x1b"
               "7\x1b[%d;%dH",
               p->r.y + 1, p->r.x + 1);
    kitty_image(&p->image, (uint32_t)i + 1, p->r.w, p->r.h, out);
    bytes_add_string(out, "\x1b"
                          "8");
}

static bool covered(const struct pictures *now, int x, int y)
{
    for (int i = 0; i < now->n; i++)
        for (int k = 0; k < now->shown[i].n_parts; k++)
            if (rect_has(now->shown[i].part[k], x, y))
                return true;
    return false;
}

/* Spaces over what was shown and is no more. */
static void erase_rest(const struct pictures *was, const struct pictures *now, int w, int h,
                       struct bytes *out)
{
    for (int i = 0; i < was->n; i++)
        for (int k = 0; k < was->shown[i].n_parts; k++) {
            struct rect r = rect_intersect(was->shown[i].part[k], (struct rect){0, 0, w, h});
            for (int y = r.y; y < r.y + r.h; y++)
                for (int x = r.x; x < r.x + r.w; x++) {
                    int n = 0;
                    while (x + n < r.x + r.w && !covered(now, x + n, y))
                        n++;
                    if (n) {
                        bytes_addf(out, "\x1b[%d;%dH", y + 1, x + 1);
                        bytes_add_repeat(out, ' ', (size_t)n);
                        x += n;
                    }
                }
        }
}

void pictures_update(struct pictures *p, const struct frame *f, const bool *show, bool afresh,
                     struct bytes *before, struct bytes *after)
{
    bool kitty = f->caps.graphics == GRAPHICS_KITTY;
    static struct pictures now; /* large */
    memset(&now, 0, sizeof now);
    memcpy(now.sent, p->sent, sizeof now.sent);
    for (int i = 0; i < f->n_pictures; i++) {
        struct shown *s = &now.shown[now.n++];
        if (show[i]) {
            s->hash = picture_hash(&f->picture[i], &f->caps);
            s->n_parts = frame_visible(f, f->picture[i].r, s->part, 1 + 4 * FRAME_POPUPS_MAX);
        }
    }
    struct bytes erase = {0};
    if (!afresh && !kitty)
        erase_rest(p, &now, f->canvas->w, f->canvas->h, &erase);
    if (erase.len && !erase.failed) {
        bytes_add_string(before, "\x1b"
                                 "7\x1b[0m");
        bytes_add(before, erase.data, erase.len);
        bytes_add_string(before, "\x1b"
                                 "8");
    }
    bytes_free(&erase);
    for (int i = 0; i < FRAME_PICTURES_MAX; i++) {
        const struct shown *s = &now.shown[i], *was = &p->shown[i];
        bool same = !afresh && i < p->n && i < now.n && s->hash == was->hash &&
                    s->n_parts == was->n_parts &&
                    memcmp(s->part, was->part, (size_t)s->n_parts * sizeof s->part[0]) == 0;
        bool on = i < now.n && s->n_parts;
        if (on && !same && kitty) {
            kitty_part(&f->picture[i], i, after);
            now.sent[i] = true;
        } else if (on && !same) {
            for (int k = 0; k < s->n_parts; k++)
                sixel_part(&f->picture[i], s->part[k], &f->caps, after);
        } else if (!on && now.sent[i]) {
            kitty_delete((uint32_t)i + 1, before);
            now.sent[i] = false;
        }
    }
    *p = now;
}

void pictures_end(struct pictures *p, struct bytes *out)
{
    for (int i = 0; i < FRAME_PICTURES_MAX; i++)
        if (p->sent[i])
            kitty_delete((uint32_t)i + 1, out);
    *p = (struct pictures){0};
}
