/* heat.c - a matrix of numbers as cells or pixels.
 * It must not know what the numbers are.  Tested in tests/render/test_heat.c. */
#include "heat.h"
#include "number.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static float sample(const struct heat *m, int row, int col)
{
    return m->value[row * m->stride + col];
}

/* Of larger magnitude; NaN wins. */
static float stronger(float a, float b)
{
    return isnan(a) || fabsf(a) >= fabsf(b) ? a : b;
}

static uint32_t color_of(const struct heat *m, float v)
{
    return colormap_at(m->map, scale_at(m->scale, v));
}

const char *heat_glyph(double position, enum heat_glyphs glyphs)
{
    static const char *const shade[] = {" ", "\u2591", "\u2592", "\u2593", "\u2588"};
    static const char *const digit[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    static const char *const ramp[] = {" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"};
    if (isnan(position))
        return "!";
    if (glyphs == HEAT_SHADES && position >= 0.05 && position < 0.2)
        return "\u00b7"; /* most weights of a row are so small, and there all the same */
    int count = glyphs == HEAT_SHADES ? 5 : 10;
    int level = (int)(position * count);
    level = level < 0 ? 0 : level < count ? level : count - 1;
    return glyphs == HEAT_SHADES   ? shade[level]
           : glyphs == HEAT_DIGITS ? digit[level]
                                   : ramp[level];
}

static void put_glyph(const struct heat *m, struct canvas *c, struct rect r, int x, int y, float v,
                      enum heat_glyphs glyphs)
{
    double at = scale_at(m->scale, v);
    bool negative = m->scale.kind == SCALE_SYMMETRIC && at < 0.5;
    if (m->scale.kind == SCALE_SYMMETRIC)
        at = fabs(2 * at - 1);
    if (c->ascii && glyphs == HEAT_SHADES)
        glyphs = HEAT_RAMP;
    canvas_put(c, r, x, y, canvas_plain(negative ? CANVAS_UNDERLINE : 0), heat_glyph(at, glyphs));
}

void heat_glyphs(const struct heat *m, struct canvas *c, struct rect r, enum heat_glyphs glyphs)
{
    for (int i = 0; i < m->rows && i < r.h; i++)
        for (int j = 0; j < m->cols && j < r.w; j++)
            put_glyph(m, c, r, j, i, sample(m, i, j), glyphs);
}

void heat_half_blocks(const struct heat *m, struct canvas *c, struct rect r)
{
    for (int i = 0; i < m->rows && i / 2 < r.h; i += 2) {
        bool both = i + 1 < m->rows;
        for (int j = 0; j < m->cols && j < r.w; j++) {
            float top = sample(m, i, j), bottom = both ? sample(m, i + 1, j) : top;
            uint32_t below = both ? color_of(m, bottom) : COLOR_DEFAULT;
            if (c->ascii)
                put_glyph(m, c, r, j, i / 2, stronger(top, bottom), HEAT_RAMP);
            else if (isnan(top) || isnan(bottom))
                canvas_put(c, r, j, i / 2,
                           canvas_style(color_text_over(COLORMAP_NAN), COLORMAP_NAN, 0), "!");
            else
                canvas_put(c, r, j, i / 2, canvas_style(color_of(m, top), below, 0), "\u2580");
        }
    }
}

int heat_image(const struct heat *m, int levels, struct image *out)
{
    assert(levels >= 2 && levels < IMAGE_COLORS_MAX);
    if (m->scale.kind == SCALE_SYMMETRIC && levels > 2)
        levels -= levels % 2 == 0; /* an odd number has a level for zero alone */
    struct image im;
    int status = image_new(&im, m->cols, m->rows);
    if (status)
        return status;
    im.n_colors = levels + 1;
    for (int i = 0; i < levels; i++)
        im.palette[i] = colormap_at(m->map, (double)i / (levels - 1));
    im.palette[levels] = COLORMAP_NAN;
    uint8_t *to = im.pixel;
    for (int i = 0; i < m->rows; i++) {
        for (int j = 0; j < m->cols; j++) {
            int level = scale_level(m->scale, sample(m, i, j), levels);
            *to++ = (uint8_t)(level < 0 ? levels : level);
        }
    }
    *out = im;
    return IMAGE_OK;
}

int heat_block_px(int rows, int cols, int w_px, int h_px)
{
    assert(rows > 0 && cols > 0);
    int side = w_px / cols < h_px / rows ? w_px / cols : h_px / rows;
    return side >= 6 ? side - side % 6 : side > 1 ? side : 1;
}

/* Of v[n]. */
static float strongest(const float *v, int n)
{
    float best = v[0];
    for (int x = 1; x < n; x++)
        best = stronger(best, v[x]);
    return best;
}

/* Of each column [x0, x0 + n) over rows [y0, y1): one pass along memory. */
static void strongest_columns(const struct heat *m, int y0, int y1, int x0, int n, float *best)
{
    memcpy(best, m->value + y0 * m->stride + x0, (size_t)n * sizeof *best);
    for (int y = y0 + 1; y < y1; y++) {
        const float *v = m->value + y * m->stride + x0;
        for (int x = 0; x < n; x++)
            best[x] = fabsf(v[x]) > fabsf(best[x]) || v[x] != v[x] ? v[x] : best[x];
    }
}

void heat_pool(const struct heat *m, int out_rows, int out_cols, float *out)
{
    enum { CHUNK = 1024 };
    assert(out_rows > 0 && out_rows <= m->rows && out_cols > 0 && out_cols <= m->cols);
    float best[CHUNK];
    struct rect all = {0, 0, m->cols, m->rows};
    for (int j = 0, next; j < out_cols; j = next) { /* parts whose columns fit in `best` */
        int x0 = rect_part_columns(all, j, out_cols).x, width = 0, begin[CHUNK + 1], n = 0;
        for (next = j; next < out_cols; next++) {
            struct rect part = rect_part_columns(all, next, out_cols);
            if (part.x + part.w - x0 > CHUNK && next > j)
                break;
            begin[n++] = part.x - x0;
            width = part.x + part.w - x0;
        }
        begin[n] = width;
        for (int i = 0; i < out_rows; i++) {
            struct rect row = rect_part_rows(all, i, out_rows);
            float *to = out + (ptrdiff_t)i * out_cols + j;
            for (int from = 0; from < width; from += CHUNK) { /* more than once: one wide part */
                int held = width - from < CHUNK ? width - from : CHUNK;
                strongest_columns(m, row.y, row.y + row.h, x0 + from, held, best);
                if (width <= CHUNK)
                    for (int k = 0; k < n; k++)
                        to[k] = strongest(best + begin[k], begin[k + 1] - begin[k]);
                else
                    to[0] = from ? stronger(to[0], strongest(best, held)) : strongest(best, held);
            }
        }
    }
}

int heat_legend(struct canvas *c, struct rect r, int x, int y, const char *name, struct scale s,
                enum colormap map)
{
    enum { BAR = 8 };
    char lo[NUMBER_BYTES], hi[NUMBER_BYTES];
    int at = x;
    at += canvas_putf(c, r, at, y, canvas_plain(0), " %s  %s ", name,
                      number_short(lo, (double)s.lo));
    for (int i = 0; i < BAR; i++) {
        double position = i / (BAR - 1.0);
        double size = s.kind == SCALE_SYMMETRIC ? fabs(2 * position - 1) : position;
        uint32_t rgb = colormap_at(map, position);
        at += canvas_put(c, r, at, y, canvas_style(rgb, rgb, 0),
                         heat_glyph(size, c->ascii ? HEAT_RAMP : HEAT_SHADES));
    }
    at += canvas_putf(c, r, at, y, canvas_plain(0), " %s", number_short(hi, (double)s.hi));
    if (s.kind != SCALE_LINEAR)
        at += canvas_putf(c, r, at, y, canvas_plain(0), "  %s", scale_name(s.kind));
    return at - x;
}
