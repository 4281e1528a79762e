/* wire_frame.c - screens as messages: rows that changed, as runs of one style, and pictures that
 * changed (see wire.h). */
#include "share/wire_parts.h"

#include <stdlib.h>
#include <string.h>

void wire_sent_free(struct wire_sent *s)
{
    free(s->cell);
    *s = (struct wire_sent){0};
}

static bool same_row(const struct canvas_cell *a, const struct canvas_cell *b, int w)
{
    for (int x = 0; x < w; x++)
        if (!canvas_same_cell(&a[x], &b[x]))
            return false;
    return true;
}

/* ---- writing ---- */

static void add_rect(struct bytes *out, struct rect r)
{
    wire_u16(out, r.x);
    wire_u16(out, r.y);
    wire_u16(out, r.w);
    wire_u16(out, r.h);
}

/* Cells from x on that share a style. */
static int run_end(const struct canvas_cell *row, int x, int w)
{
    int end = x + 1;
    while (end < w && canvas_same_style(&row[end].style, &row[x].style))
        end++;
    return end;
}

static void add_row(struct bytes *out, const struct canvas_cell *row, int y, int w)
{
    int runs = 0;
    for (int x = 0; x < w; x = run_end(row, x, w))
        runs++;
    wire_u16(out, y);
    wire_u16(out, runs);
    for (int x = 0, end; x < w; x = end) {
        end = run_end(row, x, w);
        size_t len = 0;
        for (int i = x; i < end; i++)
            len += strlen(row[i].text);
        wire_u16(out, x);
        wire_u32(out, row[x].style.fg);
        wire_u32(out, row[x].style.bg);
        wire_u8(out, row[x].style.attr);
        wire_u32(out, (uint32_t)len);
        for (int i = x; i < end; i++)
            bytes_add_string(out, row[i].text);
    }
}

static void add_rows(struct bytes *out, const struct canvas *c, const struct wire_sent *sent)
{
    bool all = !sent->cell || sent->w != c->w || sent->h != c->h;
    int rows = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            wire_u16(out, rows);
        for (int y = 0; y < c->h; y++) {
            const struct canvas_cell *row = &c->cell[y * c->w];
            if (!all && same_row(row, &sent->cell[y * c->w], c->w))
                continue;
            rows += !pass;
            if (pass)
                add_row(out, row, y, c->w);
        }
    }
}

static uint64_t hash_add(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t hash_of(const struct image *im)
{
    const int shape[] = {im->w, im->h, im->n_colors};
    uint64_t h = hash_add(0xcbf29ce484222325u, shape, sizeof shape);
    h = hash_add(h, im->palette, (size_t)im->n_colors * sizeof im->palette[0]);
    h = hash_add(h, im->pixel, (size_t)im->w * (size_t)im->h);
    return h + !h; /* 0 is none */
}

/* Place and size always; the pixels if they are others than those of the same number. */
static void add_picture(struct bytes *out, const struct picture *p, uint64_t hash, uint64_t was)
{
    add_rect(out, p->r);
    wire_u16(out, p->w);
    wire_u16(out, p->h);
    wire_u8(out, hash != was);
    if (hash == was)
        return;
    wire_u16(out, p->image.w);
    wire_u16(out, p->image.h);
    wire_u16(out, p->image.n_colors);
    for (int i = 0; i < p->image.n_colors; i++)
        wire_u32(out, p->image.palette[i]);
    bytes_add(out, p->image.pixel, (size_t)p->image.w * (size_t)p->image.h);
}

void wire_hash(const struct frame *f, uint64_t hash[FRAME_PICTURES_MAX])
{
    for (int i = 0; i < f->n_pictures; i++)
        hash[i] = hash_of(&f->picture[i].image);
}

void wire_frame_add(struct bytes *out, const struct frame *f, const uint64_t *hash,
                    struct wire_sent *sent)
{
    const struct canvas *c = f->canvas;
    size_t cells = (size_t)c->w * (size_t)c->h, at = wire_begin(out, DOWN_FRAME);
    wire_u16(out, c->w);
    wire_u16(out, c->h);
    wire_u16(out, f->caret_x);
    wire_u16(out, f->caret_y);
    add_rows(out, c, sent);
    wire_u8(out, (unsigned)f->n_popups);
    for (int i = 0; i < f->n_popups; i++)
        add_rect(out, f->popup[i]);
    wire_u8(out, (unsigned)f->n_pictures);
    for (int i = 0; i < f->n_pictures; i++) {
        add_picture(out, &f->picture[i], hash[i], i < sent->n_pictures ? sent->picture[i] : 0);
        sent->picture[i] = hash[i];
    }
    sent->n_pictures = f->n_pictures;
    wire_end(out, at);
    struct canvas_cell *grown = realloc(sent->cell, cells * sizeof *grown);
    if (!grown) {
        out->failed = true;
        return;
    }
    memcpy(grown, c->cell, cells * sizeof *grown);
    sent->cell = grown;
    sent->w = c->w;
    sent->h = c->h;
}

/* ---- reading ---- */

static bool read_rect(struct wire_reader *r, const struct canvas *c, struct rect *out)
{
    out->x = wire_i16(r);
    out->y = wire_i16(r);
    out->w = wire_i16(r);
    out->h = wire_i16(r);
    return !r->bad && out->x >= 0 && out->y >= 0 && out->w >= 0 && out->h >= 0 &&
           out->x + out->w <= c->w && out->y + out->h <= c->h;
}

static bool read_row(struct wire_reader *r, struct canvas *c)
{
    int y = wire_i16(r), runs = wire_i16(r);
    if (r->bad || y < 0 || y >= c->h || runs < 0 || runs > c->w)
        return false;
    struct rect row = {0, y, c->w, 1};
    canvas_fill(c, row, canvas_plain(0), " ");
    for (int i = 0; i < runs; i++) {
        int x = wire_i16(r);
        uint32_t fg = wire_number(r, 4), bg = wire_number(r, 4), attr = wire_number(r, 1);
        size_t len = wire_number(r, 4);
        const char *text = (const char *)wire_take(r, len);
        bool colors = (fg & 0xffffff) == fg || fg == COLOR_DEFAULT;
        colors = colors && ((bg & 0xffffff) == bg || bg == COLOR_DEFAULT);
        if (!text || !colors || attr > 15 || x < 0 || x >= c->w)
            return false;
        canvas_put_text(c, row, x, 0, canvas_style(fg, bg, attr), text, len, TEXT_PLAIN);
    }
    return true;
}

static bool read_pixels(struct wire_reader *r, struct image *to)
{
    struct image im = {0};
    int w = wire_i16(r), h = wire_i16(r), colors = wire_i16(r);
    if (r->bad || w < 1 || h < 1 || w > IMAGE_SIDE_MAX || h > IMAGE_SIDE_MAX || colors < 1 ||
        colors > IMAGE_COLORS_MAX || (size_t)w * (size_t)h > r->n || image_new(&im, w, h))
        return false;
    im.n_colors = colors;
    for (int i = 0; i < colors; i++)
        im.palette[i] = wire_number(r, 4) & 0xffffff;
    size_t n = (size_t)w * (size_t)h;
    const uint8_t *pixel = wire_take(r, n);
    bool ok = pixel != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = pixel[i] < colors;
    if (ok)
        memcpy(im.pixel, pixel, n);
    if (!ok) {
        image_free(&im);
        return false;
    }
    image_free(to);
    *to = im;
    return true;
}

static bool read_picture(struct wire_reader *r, const struct canvas *c, struct picture *p,
                         bool is_there)
{
    struct rect at;
    if (!read_rect(r, c, &at))
        return false;
    int w = wire_i16(r), h = wire_i16(r);
    uint32_t pixels = wire_number(r, 1);
    if (r->bad || pixels > 1 || w < 0 || h < 0 || w > IMAGE_SIDE_MAX || h > IMAGE_SIDE_MAX ||
        (!pixels && !is_there) || (pixels && !read_pixels(r, &p->image)))
        return false;
    p->r = at;
    p->w = w;
    p->h = h;
    return true;
}

/* Pictures keep their numbers, and what is known of their pixels, from one screen to the next. */
static bool read_pictures(struct wire_reader *r, struct frame *f)
{
    int n = (int)wire_number(r, 1), had = f->n_pictures;
    if (r->bad || n > FRAME_PICTURES_MAX)
        return false;
    for (int i = n; i < had; i++)
        image_free(&f->picture[i].image);
    f->n_pictures = n < had ? n : had;
    for (int i = 0; i < n; i++) {
        if (i >= had)
            f->picture[i] = (struct picture){0};
        if (!read_picture(r, f->canvas, &f->picture[i], i < had))
            return false;
        f->n_pictures = i < f->n_pictures ? f->n_pictures : i + 1;
    }
    return true;
}

static bool read_popups(struct wire_reader *r, struct frame *f)
{
    int n = (int)wire_number(r, 1);
    f->n_popups = 0;
    if (r->bad || n > FRAME_POPUPS_MAX)
        return false;
    for (int i = 0; i < n; i++, f->n_popups++)
        if (!read_rect(r, f->canvas, &f->popup[i]))
            return false;
    return true;
}

bool wire_frame_read(const uint8_t *body, size_t n, struct frame *f)
{
    struct wire_reader r = {body, n, false};
    int w = wire_i16(&r), h = wire_i16(&r), x = wire_i16(&r), y = wire_i16(&r), rows = wire_i16(&r);
    if (r.bad || w < 1 || h < 1 || w > CANVAS_SIDE_MAX || h > CANVAS_SIDE_MAX ||
        w * h > WIRE_CELLS_MAX || x < -1 || x >= w || y < -1 || y >= h || rows < 0 || rows > h)
        return false;
    if (!f->canvas || f->canvas->w != w || f->canvas->h != h) {
        struct canvas *c = canvas_new(w, h);
        if (!c)
            return false;
        canvas_free(f->canvas);
        f->canvas = c;
        f->n_popups = 0;
        for (int i = 0; i < f->n_pictures; i++) /* theirs were places on the old one */
            f->picture[i].r = (struct rect){0};
    }
    f->caret_x = x;
    f->caret_y = y;
    for (int i = 0; i < rows; i++)
        if (!read_row(&r, f->canvas))
            return false;
    return read_popups(&r, f) && read_pictures(&r, f) && wire_is_done(&r);
}
