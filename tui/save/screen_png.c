/* screen_png.c - a screen as pixels: cells with their colours, pictures over them (see
 * screen_file.h). */
#include <stdlib.h>
#include <string.h>

#include "png_out.h"
#include "save/font.h"
#include "save/screen_file.h"

enum { EIGHTHS = 8, PIXELS_MAX = 1 << 26 };

struct sheet {
    uint8_t *rgb;
    int w, h, cell_w, cell_h, base;
    struct font *font;
};

static void put(struct sheet *s, int x, int y, uint32_t color, int cover)
{
    uint8_t *p = s->rgb + 3 * ((size_t)y * (size_t)s->w + (size_t)x);
    for (int i = 0; i < 3; i++) {
        int to = (int)(color >> (16 - 8 * i) & 255);
        p[i] = (uint8_t)(p[i] + (to - p[i]) * cover / 255);
    }
}

/* Pixels [x0, x1) x [y0, y1) of a cell's eighths, from its upper left corner. */
static void fill_eighths(struct sheet *s, struct rect cell, int x0, int y0, int x1, int y1,
                         uint32_t color, int cover)
{
    for (int y = cell.h * y0 / EIGHTHS; y < cell.h * y1 / EIGHTHS; y++)
        for (int x = cell.w * x0 / EIGHTHS; x < cell.w * x1 / EIGHTHS; x++)
            put(s, cell.x + x, cell.y + y, color, cover);
}

/* Block elements fill their part of the cell exactly, so that neighbours meet; false: it is none.
 */
static bool draw_block(struct sheet *s, struct rect cell, uint32_t code, uint32_t fg)
{
    int n = (int)code - 0x2580;
    if (n == 0) /* ▀ */
        fill_eighths(s, cell, 0, 0, 8, 4, fg, 255);
    else if (n > 0 && n <= 8) /* ▁ to █ */
        fill_eighths(s, cell, 0, 8 - n, 8, 8, fg, 255);
    else if (n > 8 && n < 16) /* ▉ to ▏ */
        fill_eighths(s, cell, 0, 0, 16 - n, 8, fg, 255);
    else if (n == 16) /* ▐ */
        fill_eighths(s, cell, 4, 0, 8, 8, fg, 255);
    else if (n > 16 && n < 20) /* ░ ▒ ▓ */
        fill_eighths(s, cell, 0, 0, 8, 8, fg, 64 * (n - 16));
    else
        return false;
    return true;
}

/* The code point at *s, of valid UTF-8, which is stepped over. */
static uint32_t next_code(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    int n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    uint32_t code = n == 1 ? *p : *p & (0x7fu >> n);
    for (int i = 1; i < n; i++)
        code = code << 6 | (p[i] & 0x3f);
    *s += n;
    return code;
}

/* Hexadecimal digits of 3 x 5 dots: three bits a line, the first line highest. */
enum { DOTS_W = 3, DOTS_H = 5 };
static const uint16_t hex_dots[16] = {0x7b6f, 0x2c97, 0x73e7, 0x72cf, 0x5bc9, 0x79cf,
                                      0x79ef, 0x7292, 0x7bef, 0x7bcf, 0x7bed, 0x6bae,
                                      0x7927, 0x6b6e, 0x79e7, 0x79e4};

static void draw_hex(struct sheet *s, int x, int y, int dot, unsigned digit, uint32_t color)
{
    for (int i = 0; i < DOTS_H * dot; i++)
        for (int j = 0; j < DOTS_W * dot; j++)
            if (hex_dots[digit & 15] >> (DOTS_H * DOTS_W - 1 - i / dot * DOTS_W - j / dot) & 1)
                put(s, x + j, y + i, color, 255);
}

/* What no font has, as terminals draw it: its code point in a frame. */
static void draw_unknown(struct sheet *s, struct rect r, uint32_t code, uint32_t color)
{
    int digits = code > 0xffff ? 6 : 4, per = r.w > s->cell_w ? digits / 2 : 2,
        lines = digits / per, dot = lines > 2 ? 1 : 2, step_x = (DOTS_W + 1) * dot,
        step_y = (DOTS_H + 1) * dot, high = lines * step_y + dot + 2,
        x = r.x + (r.w - per * step_x + dot) / 2, y = r.y + (r.h - high) / 2;
    for (int i = 0; i < r.w - 1; i++)
        put(s, r.x + i, y, color, 128), put(s, r.x + i, y + high - 1, color, 128);
    for (int i = 1; i + 1 < high; i++)
        put(s, r.x, y + i, color, 128), put(s, r.x + r.w - 2, y + i, color, 128);
    for (int i = 0; i < digits; i++)
        draw_hex(s, x + i % per * step_x, y + 1 + dot + i / per * step_y, dot,
                 code >> 4 * (digits - 1 - i), color);
}

static void draw_code(struct sheet *s, struct rect r, uint32_t code, const struct canvas_style *st,
                      uint32_t fg)
{
    struct glyph g;
    if (code == ' ' || draw_block(s, r, code, fg))
        return;
    if (!font_glyph(s->font, code, st->attr & CANVAS_BOLD, r.w / s->cell_w, &g)) {
        draw_unknown(s, r, code, fg);
        return;
    }
    for (int y = 0; y < g.h; y++)
        for (int x = 0; x < g.w; x++)
            if (rect_has((struct rect){0, 0, r.w, r.h}, g.x + x, g.y + y))
                put(s, r.x + g.x + x, r.y + g.y + y, fg, g.coverage[y * g.stride + x]);
}

static void draw_cells(struct sheet *s, const struct canvas *c, struct rect part)
{
    for (int y = part.y; y < part.y + part.h; y++)
        for (int x = part.x; x < part.x + part.w; x++) {
            const struct canvas_cell *cell = canvas_at(c, x, y);
            if (!cell || !cell->width)
                continue;
            struct screen_look look = screen_look(cell->style);
            struct rect r = {x * s->cell_w, y * s->cell_h, cell->width * s->cell_w, s->cell_h};
            fill_eighths(s, r, 0, 0, EIGHTHS, EIGHTHS, look.bg, 255);
            for (const char *t = cell->text; *t;)
                draw_code(s, r, next_code(&t), &cell->style, look.fg);
            if (cell->style.attr & CANVAS_UNDERLINE)
                for (int i = 0; i < r.w; i++)
                    put(s, r.x + i, r.y + s->base + 2, look.fg, 255);
        }
}

static void draw_picture(struct sheet *s, const struct picture *p)
{
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            int at = (int)((int64_t)y * p->image.h / p->h) * p->image.w +
                     (int)((int64_t)x * p->image.w / p->w);
            if (p->r.x * s->cell_w + x < s->w && p->r.y * s->cell_h + y < s->h)
                put(s, p->r.x * s->cell_w + x, p->r.y * s->cell_h + y,
                    p->image.palette[p->image.pixel[at]], 255);
        }
}

int screen_png(const struct frame *f, struct bytes *out, struct err *e)
{
    const struct canvas *c = f->canvas;
    struct sheet s = {.cell_w = SCREEN_CELL_W, .cell_h = SCREEN_CELL_H};
    int rc = font_open(&s.font, s.cell_w, s.cell_h, &s.base, e);
    if (rc)
        return rc;
    s.w = c->w * s.cell_w, s.h = c->h * s.cell_h;
    if (s.w > PIXELS_MAX / s.h)
        rc = err_set(e, ERR_BAD_INPUT, "%d x %d cells are too many for a .png · .svg has no limit",
                     c->w, c->h);
    else if (!(s.rgb = malloc(3 * (size_t)s.w * (size_t)s.h)))
        rc = err_memory(e, "the picture");
    if (!rc) {
        draw_cells(&s, c, canvas_rect(c));
        for (int i = 0; i < f->n_pictures; i++)
            draw_picture(&s, &f->picture[i]);
        for (int i = 0; i < f->n_popups; i++)
            draw_cells(&s, c, f->popup[i]);
        rc = png_out_rgb(s.rgb, s.w, s.h, out) ? err_memory(e, "the picture") : 0;
    }
    font_close(s.font);
    free(s.rgb);
    return rc;
}
