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
    const int shape[] = {p->r.x,
                         p->r.y,
                         p->r.w,
                         p->r.h,
                         p->w,
                         p->h,
                         p->image.w,
                         p->image.h,
                         caps->cell_w,
                         caps->cell_h,
                         (int)caps->graphics};
    uint64_t h = hash_add(0xcbf29ce484222325u, shape, sizeof shape);
    h = hash_add(h, p->image.palette, (size_t)p->image.n_colors * sizeof p->image.palette[0]);
    return hash_add(h, p->image.pixel, (size_t)p->image.w * (size_t)p->image.h);
}

/* A window of a picture whose samples are its pixels. */
static int cut_out(const struct image *im, struct rect window, struct image *out)
{
    int r = image_new(out, window.w, window.h);
    if (r != IMAGE_OK)
        return r;
    out->n_colors = im->n_colors;
    memcpy(out->palette, im->palette, sizeof out->palette);
    for (int y = 0; y < window.h; y++)
        memcpy(out->pixel + (size_t)y * (size_t)window.w,
               im->pixel + (size_t)(window.y + y) * (size_t)im->w + window.x, (size_t)window.w);
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

/* The pixels of a visible part, of those that the picture has. */
static struct rect part_px(const struct picture *p, struct rect part, const struct frame_caps *caps)
{
    return rect_intersect((struct rect){(part.x - p->r.x) * caps->cell_w,
                                        (part.y - p->r.y) * caps->cell_h, part.w * caps->cell_w,
                                        part.h * caps->cell_h},
                          (struct rect){0, 0, p->w, p->h});
}

static void sixel_part(const struct picture *p, struct rect part, const struct frame_caps *caps,
                       struct bytes *out)
{
    struct rect window = part_px(p, part, caps);
    if (rect_is_empty(window))
        return;
    struct bytes six = {0};
    struct image cut = {0};
    int r;
    if (p->w == p->image.w && p->h == p->image.h) { /* a photo: what libsixel is better at */
        r = cut_out(&p->image, window, &cut);
        r = r == IMAGE_OK ? sixel_out_image(&cut, &six) : r;
        image_free(&cut);
    } else {
        r = sixel_out_grid(&p->image, p->w, p->h, window, &six);
    }
    if (r == IMAGE_OK && !six.failed)
        sixel_at(part.x, part.y, &six, out);
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

/* Is the cell full of pixels that are there already, or that are about to be sent? */
static bool covered(const struct pictures *now, int x, int y)
{
    for (int i = 0; i < now->n; i++) {
        const struct shown *s = &now->shown[i];
        for (int k = 0; k < s->n_parts; k++)
            if (rect_has(s->part[k], x, y) && (s->same || rect_has(s->full, x, y)))
                return true;
    }
    return false;
}

/* Spaces over what was shown and is no more.  Cells that the new pixels fill are left alone: erased
 * first, they would flicker. */
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

/* What picture i of a frame puts on the screen. */
static struct shown shown_of(const struct frame *f, int i, const struct pictures *before,
                             bool afresh)
{
    const struct picture *p = &f->picture[i];
    const struct shown *was = &before->shown[i];
    struct shown s = {.hash = picture_hash(p, &f->caps)};
    s.n_parts = frame_visible(f, p->r, s.part, 1 + 4 * FRAME_POPUPS_MAX);
    s.full = f->caps.graphics == GRAPHICS_KITTY
                 ? p->r
                 : (struct rect){p->r.x, p->r.y, p->w / f->caps.cell_w, p->h / f->caps.cell_h};
    s.same = !afresh && i < before->n && s.hash == was->hash && s.n_parts == was->n_parts &&
             memcmp(s.part, was->part, (size_t)s.n_parts * sizeof s.part[0]) == 0;
    return s;
}

void pictures_update(struct pictures *p, const struct frame *f, const bool *show, bool afresh,
                     struct bytes *before, struct bytes *after)
{
    bool kitty = f->caps.graphics == GRAPHICS_KITTY;
    static struct pictures now; /* large */
    memset(&now, 0, sizeof now);
    memcpy(now.sent, p->sent, sizeof now.sent);
    for (int i = 0; i < f->n_pictures; i++) {
        now.n++;
        if (show[i])
            now.shown[i] = shown_of(f, i, p, afresh);
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
        const struct shown *s = &now.shown[i];
        bool on = i < now.n && s->n_parts;
        if (on && !s->same && kitty) {
            kitty_part(&f->picture[i], i, after);
            now.sent[i] = true;
        } else if (on && !s->same) {
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
