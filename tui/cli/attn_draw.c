/* attn_draw.c - attention patterns as pictures (see attn_draw.h). */
#include "attn_draw.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canvas.h"
#include "heat.h"
#include "png_out.h"
#include "sixel_out.h"
#include "text.h"

enum {
    PICTURE_W = 1152,
    PICTURE_H = 960,
    LEVELS = 254,
    GAP_COLOR = 0x808080,
    CELLS_W = 120,
    LABEL_W = 16
};

static struct heat head_heat(const struct attn_maps *m, int32_t i)
{
    return (struct heat){.value = m->pattern + (size_t)i * (size_t)m->n * (size_t)m->n,
                         .rows = m->n,
                         .cols = m->n,
                         .stride = m->n,
                         .scale = scale_make(SCALE_LINEAR, 0, 1),
                         .map = COLORMAP_SEQUENTIAL};
}

/* ------------------------------------------------------------------ pixels */

/* All heads side by side, about as wide as high, one sample apart. */
struct sheet {
    int across, down, side; /* side: samples of one head */
    int w, h;
    float *value;
};

static int sheet_make(struct sheet *s, const struct attn_maps *m)
{
    s->across = (int)ceil(sqrt((double)m->n_heads));
    s->down = (m->n_heads + s->across - 1) / s->across;
    int room = IMAGE_SIDE_MAX / s->across - 1;
    s->side = m->n < room ? m->n : room;
    s->w = s->across * (s->side + 1) - 1;
    s->h = s->down * (s->side + 1) - 1;
    s->value = calloc((size_t)s->w * (size_t)s->h, sizeof *s->value);
    float *one = malloc((size_t)s->side * (size_t)s->side * sizeof *one);
    bool ok = s->value && one;
    for (int i = 0; i < m->n_heads && ok; i++) {
        struct heat h = head_heat(m, i);
        heat_pool(&h, s->side, s->side, one);
        for (int y = 0; y < s->side; y++)
            memcpy(s->value + (size_t)(i / s->across * (s->side + 1) + y) * (size_t)s->w +
                       i % s->across * (s->side + 1),
                   one + (size_t)y * (size_t)s->side, (size_t)s->side * sizeof *one);
    }
    free(one);
    return ok ? 0 : IMAGE_NO_MEMORY;
}

/* One pixel per sample, the lines between heads in a colour of their own. */
static int sheet_image(const struct attn_maps *m, struct image *out)
{
    struct sheet s;
    int st = sheet_make(&s, m);
    if (!st) {
        struct heat h = {.value = s.value,
                         .rows = s.h,
                         .cols = s.w,
                         .stride = s.w,
                         .scale = scale_make(SCALE_LINEAR, 0, 1),
                         .map = COLORMAP_SEQUENTIAL};
        st = heat_image(&h, LEVELS, out);
    }
    if (!st && out->n_colors < IMAGE_COLORS_MAX) {
        int gap = out->n_colors++;
        out->palette[gap] = GAP_COLOR;
        for (int y = 0; y < s.h; y++)
            for (int x = 0; x < s.w; x++)
                if (y % (s.side + 1) == s.side || x % (s.side + 1) == s.side)
                    out->pixel[(size_t)y * (size_t)s.w + (size_t)x] = (uint8_t)gap;
    }
    free(s.value);
    return st;
}

static int picture_failed(struct cli *c, int status)
{
    return status == IMAGE_TOO_LARGE
               ? err_set(&c->err, ERR_BAD_INPUT,
                         "the picture is too large · %d positions · draw one head with -H",
                         (int)c->n)
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

int attn_png(struct cli *c, const struct attn_maps *m, const char *path)
{
    struct image small = {0}, large = {0};
    struct bytes png = {0};
    int st = sheet_image(m, &small);
    int block = st ? 1 : heat_block_px(small.h, small.w, PICTURE_W, PICTURE_H);
    if (!st)
        st = image_enlarge(&small, block, block, &large);
    if (!st)
        st = png_out_image(&large, &png);
    int rc = st || png.failed ? picture_failed(c, st) : write_file(c, path, &png);
    if (!rc) {
        cli_head(c);
        bytes_addf(&c->out, "# layer %d, %d head%s, %d x %d pixels, written to ", (int)m->layer,
                   (int)m->n_heads, m->n_heads > 1 ? "s" : "", large.w, large.h);
        cli_plain_text(&c->out, path, strlen(path));
        bytes_add_char(&c->out, '\n');
    }
    image_free(&small);
    image_free(&large);
    bytes_free(&png);
    return rc;
}

int attn_sixel(struct cli *c, const struct attn_maps *m)
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
    return st ? picture_failed(c, st) : 0;
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

/* Patterns larger than this many columns are pooled. */
static struct heat fitted(const struct heat *h, int side, float *pooled)
{
    struct heat out = *h;
    if (side < h->rows) {
        heat_pool(h, side, side, pooled);
        out.value = pooled;
        out.rows = out.cols = side;
        out.stride = side;
    }
    return out;
}

int attn_ansi(struct cli *c, const struct attn_maps *m)
{
    enum color_depth d = depth();
    int side = m->n < CELLS_W ? m->n : CELLS_W, tile_w = (side < 8 ? 8 : side) + 2;
    int tile_h = (d == COLOR_DEPTH_NONE ? side : (side + 1) / 2) + 2;
    int across = CELLS_W / tile_w > 1 ? CELLS_W / tile_w : 1,
        down = (m->n_heads + across - 1) / across;
    struct canvas *canvas = down * tile_h <= CANVAS_SIDE_MAX
                                ? canvas_new(across * tile_w, down * tile_h)
                                : NULL;
    float *pooled = malloc((size_t)side * (size_t)side * sizeof *pooled);
    for (int i = 0; i < m->n_heads && canvas && pooled; i++) {
        struct heat whole = head_heat(m, i), h = fitted(&whole, side, pooled);
        struct rect r = {i % across * tile_w, i / across * tile_h, tile_w, tile_h};
        canvas_putf(canvas, r, 0, 0, canvas_plain(CANVAS_BOLD), "L%dH%d", (int)m->layer,
                    (int)(m->first + i));
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

int attn_glyphs(struct cli *c, const struct attn_maps *m)
{
    int side = m->n < CANVAS_SIDE_MAX - LABEL_W ? m->n : CANVAS_SIDE_MAX - LABEL_W;
    struct canvas *canvas = canvas_new(LABEL_W + side + 1, side);
    if (!canvas)
        return cli_memory(c);
    struct rect r = canvas_rect(canvas), labels = rect_cut_left(&r, LABEL_W);
    struct heat h = head_heat(m, 0);
    h.rows = h.cols = side;
    size_t len;
    for (int i = 0; i < side; i++) {
        const char *text = cli_input_text(c, i, &len);
        canvas_putf(canvas, labels, 0, i, canvas_plain(0), "%4d ", i);
        canvas_put_field(canvas, labels, 5, i, canvas_plain(0), text, len, TEXT_TOKEN, LABEL_W - 6,
                         true);
    }
    heat_glyphs(&h, canvas, r, HEAT_SHADES);
    canvas_dump_plain(canvas, &c->out);
    canvas_free(canvas);
    return 0;
}
