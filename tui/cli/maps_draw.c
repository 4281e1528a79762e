/* maps_draw.c - maps side by side as pictures (see maps_draw.h). */
#include "maps_draw.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canvas.h"
#include "png_out.h"
#include "sixel_out.h"

enum { PICTURE_W = 1152, PICTURE_H = 960, LEVELS = 254, GAP_COLOR = 0x808080, CELLS_W = 120 };

static struct heat map_heat(const struct maps *m, int32_t i)
{
    return (struct heat){.value = m->value + (size_t)i * (size_t)m->rows * (size_t)m->cols,
                         .rows = m->rows,
                         .cols = m->cols,
                         .stride = m->cols,
                         .scale = m->scale,
                         .map = m->map};
}

/* ------------------------------------------------------------------ pixels */

/* All maps side by side, about as wide as high, one sample apart. */
struct sheet {
    int across, down, rows, cols; /* samples of one map */
    int w, h;
    float *value;
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int sheet_make(struct sheet *s, const struct maps *m)
{
    s->across = (int)ceil(sqrt((double)m->n * m->rows / m->cols));
    s->across = s->across < 1 ? 1 : least(s->across, m->n);
    s->down = (m->n + s->across - 1) / s->across;
    s->cols = least(m->cols, IMAGE_SIDE_MAX / s->across - 1);
    s->rows = least(m->rows, IMAGE_SIDE_MAX / s->down - 1);
    s->w = s->across * (s->cols + 1) - 1;
    s->h = s->down * (s->rows + 1) - 1;
    if (s->rows < 1 || s->cols < 1)
        return IMAGE_TOO_LARGE;
    s->value = calloc((size_t)s->w * (size_t)s->h, sizeof *s->value);
    float *one = malloc((size_t)s->rows * (size_t)s->cols * sizeof *one);
    bool ok = s->value && one;
    for (int i = 0; i < m->n && ok; i++) {
        struct heat h = map_heat(m, i);
        heat_pool(&h, s->rows, s->cols, one);
        for (int y = 0; y < s->rows; y++)
            memcpy(s->value + (size_t)(i / s->across * (s->rows + 1) + y) * (size_t)s->w +
                       i % s->across * (s->cols + 1),
                   one + (size_t)y * (size_t)s->cols, (size_t)s->cols * sizeof *one);
    }
    free(one);
    return ok ? 0 : IMAGE_NO_MEMORY;
}

/* One pixel per sample, the lines between maps in a colour of their own. */
static int sheet_image(const struct maps *m, struct image *out)
{
    struct sheet s = {0};
    int st = sheet_make(&s, m);
    if (!st) {
        struct heat h = {.value = s.value,
                         .rows = s.h,
                         .cols = s.w,
                         .stride = s.w,
                         .scale = m->scale,
                         .map = m->map};
        st = heat_image(&h, LEVELS, out);
    }
    if (!st && out->n_colors < IMAGE_COLORS_MAX) {
        int gap = out->n_colors++;
        out->palette[gap] = GAP_COLOR;
        for (int y = 0; y < s.h; y++)
            for (int x = 0; x < s.w; x++)
                if (y % (s.rows + 1) == s.rows || x % (s.cols + 1) == s.cols)
                    out->pixel[(size_t)y * (size_t)s.w + (size_t)x] = (uint8_t)gap;
    }
    free(s.value);
    return st;
}

static int picture_failed(struct cli *c, const struct maps *m, int status)
{
    return status == IMAGE_TOO_LARGE
               ? err_set(&c->err, ERR_BAD_INPUT, "the picture is too large · %d positions · %s",
                         (int)c->n, m->too_large)
               : cli_memory(c);
}

static int write_file(struct cli *c, const char *path, const struct bytes *b)
{
    FILE *f = fopen(path, "wbe");
    if (!f)
        return err_set(&c->err, ERR_SYSTEM, "%s · %s", path, strerror(errno));
    bool ok = fwrite(b->data, 1, b->len, f) == b->len;
    int code = errno;
    if (fclose(f)) {
        code = ok ? errno : code;
        ok = false;
    }
    return ok ? 0 : err_set(&c->err, ERR_SYSTEM, "%s · %s", path, strerror(code));
}

int maps_png(struct cli *c, const struct maps *m, const char *path, int side[2])
{
    struct image small = {0}, large = {0};
    struct bytes png = {0};
    int st = sheet_image(m, &small);
    int block = st ? 1 : heat_block_px(small.h, small.w, PICTURE_W, PICTURE_H);
    if (!st)
        st = image_enlarge(&small, block, block, &large);
    if (!st)
        st = png_out_image(&large, &png);
    int rc = st || png.failed ? picture_failed(c, m, st) : write_file(c, path, &png);
    side[0] = large.w, side[1] = large.h;
    image_free(&small);
    image_free(&large);
    bytes_free(&png);
    return rc;
}

int maps_sixel(struct cli *c, const struct maps *m)
{
    struct image small = {0};
    int st = sheet_image(m, &small);
    if (!st) {
        int block = heat_block_px(small.h, small.w, PICTURE_W, PICTURE_H);
        struct rect all = {0, 0, small.w * block, small.h * block};
        st = sixel_out_grid(&small, all.w, all.h, all, &c->out);
    }
    bytes_add_char(&c->out, '\n');
    image_free(&small);
    return st ? picture_failed(c, m, st) : 0;
}

/* ------------------------------------------------------------------ characters */

static enum color_depth depth(void)
{
    const char *mode = getenv("COLORTERM"), *none = getenv("NO_COLOR");
    if (none && *none)
        return COLOR_DEPTH_NONE;
    return mode && (!strcmp(mode, "truecolor") || !strcmp(mode, "24bit")) ? COLOR_DEPTH_TRUE
                                                                          : COLOR_DEPTH_256;
}

int maps_ansi(struct cli *c, const struct maps *m)
{
    enum color_depth d = depth();
    int cols = least(m->cols, CELLS_W), rows = least(m->rows, CELLS_W);
    int tile_w = (cols < 8 ? 8 : cols) + 2;
    int tile_h = (d == COLOR_DEPTH_NONE ? rows : (rows + 1) / 2) + 2;
    int across = CELLS_W / tile_w > 1 ? CELLS_W / tile_w : 1, down = (m->n + across - 1) / across;
    struct canvas *canvas = down * tile_h <= CANVAS_SIDE_MAX
                                ? canvas_new(across * tile_w, down * tile_h)
                                : NULL;
    float *pooled = malloc((size_t)rows * (size_t)cols * sizeof *pooled);
    for (int i = 0; i < m->n && canvas && pooled; i++) {
        struct heat h = map_heat(m, i);
        if (rows < h.rows || cols < h.cols) {
            heat_pool(&h, rows, cols, pooled);
            h.value = pooled, h.rows = rows, h.cols = cols, h.stride = cols;
        }
        struct rect r = {i % across * tile_w, i / across * tile_h, tile_w, tile_h};
        char title[64];
        m->title(m->user, i, title);
        canvas_put(canvas, r, 0, 0, canvas_plain(CANVAS_BOLD), title);
        rect_cut_top(&r, 1);
        if (d == COLOR_DEPTH_NONE)
            heat_glyphs(&h, canvas, r, HEAT_SHADES);
        else
            heat_half_blocks(&h, canvas, r);
    }
    int rc = canvas && pooled ? 0 : cli_memory(c);
    if (!rc) {
        cli_head(c);
        canvas_dump_ansi(canvas, d, &c->out);
    }
    canvas_free(canvas);
    free(pooled);
    return rc;
}
