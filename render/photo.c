/* photo.c - see photo.h. */
#include "photo.h"

#include <stdlib.h>
#include <string.h>

#include "heat.h"

/* The mean colour of pixel (x, y) of w x h. */
static void sample(const struct photo *p, int w, int h, int x, int y, uint8_t rgb[3])
{
    int64_t x0 = (int64_t)x * p->w / w, x1 = (int64_t)(x + 1) * p->w / w,
            y0 = (int64_t)y * p->h / h, y1 = (int64_t)(y + 1) * p->h / h, sum[3] = {0};
    x1 = x1 > x0 ? x1 : x0 + 1, y1 = y1 > y0 ? y1 : y0 + 1;
    for (int64_t i = y0; i < y1; i++)
        for (int64_t j = x0; j < x1; j++)
            for (int k = 0; k < 3; k++)
                sum[k] += p->rgb[3 * (i * p->w + j) + k];
    for (int k = 0; k < 3; k++)
        rgb[k] = (uint8_t)(sum[k] / ((x1 - x0) * (y1 - y0)));
}

static uint32_t color_of(const uint8_t rgb[3])
{
    return (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

void photo_half_blocks(const struct photo *p, struct canvas *c, struct rect r, bool color)
{
    bool blocks = color && !c->ascii;
    for (int y = 0; y < r.h; y++)
        for (int x = 0; x < r.w; x++) {
            struct rect cell = {r.x + x, r.y + y, 1, 1};
            uint8_t top[3], low[3];
            if (blocks) {
                sample(p, r.w, 2 * r.h, x, 2 * y, top);
                sample(p, r.w, 2 * r.h, x, 2 * y + 1, low);
                canvas_fill(c, cell, canvas_style(color_of(top), color_of(low), 0), "▀");
            } else {
                sample(p, r.w, r.h, x, y, top);
                canvas_fill(
                    c, cell, canvas_plain(0),
                    heat_glyph(color_luminance(color_of(top)), c->ascii ? HEAT_RAMP : HEAT_SHADES));
            }
        }
}

/* ---- few colours ---- */

enum { BITS = 5, SIDE = 1 << BITS, BINS = 1 << 3 * BITS };

/* Colours of 15 bits within bounds, both included. */
struct box {
    int lo[3], hi[3];
    int64_t count;
};

static int bin_at(const int at[3])
{
    return (at[0] * SIDE + at[1]) * SIDE + at[2];
}

/* How many pixels have each value of an axis. */
static void slices(const struct box *b, const int32_t *bins, int axis, int64_t count[SIDE])
{
    int at[3];
    memset(count, 0, SIDE * sizeof *count);
    for (at[0] = b->lo[0]; at[0] <= b->hi[0]; at[0]++)
        for (at[1] = b->lo[1]; at[1] <= b->hi[1]; at[1]++)
            for (at[2] = b->lo[2]; at[2] <= b->hi[2]; at[2]++)
                count[at[axis]] += bins[bin_at(at)];
}

/* Bounds that pixels reach, and their number. */
static void box_fit(struct box *b, const int32_t *bins)
{
    int64_t count[SIDE];
    for (int axis = 0; axis < 3; axis++) {
        slices(b, bins, axis, count);
        while (b->lo[axis] < b->hi[axis] && !count[b->lo[axis]])
            b->lo[axis]++;
        while (b->hi[axis] > b->lo[axis] && !count[b->hi[axis]])
            b->hi[axis]--;
    }
    b->count = 0;
    slices(b, bins, 0, count);
    for (int i = 0; i < SIDE; i++)
        b->count += count[i];
}

static int longest(const struct box *b)
{
    int axis = 0;
    for (int k = 1; k < 3; k++)
        axis = b->hi[k] - b->lo[k] > b->hi[axis] - b->lo[axis] ? k : axis;
    return axis;
}

/* The half above the median of the longest side is *upper. */
static void box_cut(struct box *b, struct box *upper, const int32_t *bins)
{
    int64_t count[SIDE], below = 0;
    int axis = longest(b), at = b->lo[axis];
    slices(b, bins, axis, count);
    for (below = count[at]; at + 1 < b->hi[axis] && below < b->count / 2; below += count[at])
        at++;
    *upper = *b;
    b->hi[axis] = at, upper->lo[axis] = at + 1;
    box_fit(b, bins), box_fit(upper, bins);
}

static int boxes_make(struct box boxes[PHOTO_COLORS], const int32_t *bins)
{
    int n = 1;
    boxes[0] = (struct box){.hi = {SIDE - 1, SIDE - 1, SIDE - 1}};
    box_fit(&boxes[0], bins);
    for (; n < PHOTO_COLORS; n++) {
        int best = -1;
        int64_t most = 0;
        for (int i = 0; i < n; i++) {
            int axis = longest(&boxes[i]);
            int64_t size = boxes[i].count * (boxes[i].hi[axis] - boxes[i].lo[axis]);
            if (size > most)
                most = size, best = i;
        }
        if (best < 0) /* every box is one colour */
            break;
        box_cut(&boxes[best], &boxes[n], bins);
    }
    return n;
}

static int bin_of(const uint8_t rgb[3])
{
    return bin_at((const int[3]){rgb[0] >> (8 - BITS), rgb[1] >> (8 - BITS), rgb[2] >> (8 - BITS)});
}

/* Colours of the samples [w * h, 3]: which one each bin has, and their means. */
static void palette_make(const uint8_t *rgb, size_t n, int32_t *bins, struct image *im)
{
    struct box boxes[PHOTO_COLORS];
    int64_t sum[PHOTO_COLORS][4] = {{0}};
    for (size_t i = 0; i < n; i++)
        bins[bin_of(rgb + 3 * i)]++;
    im->n_colors = boxes_make(boxes, bins);
    for (int b = 0; b < im->n_colors; b++) {
        int at[3];
        for (at[0] = boxes[b].lo[0]; at[0] <= boxes[b].hi[0]; at[0]++)
            for (at[1] = boxes[b].lo[1]; at[1] <= boxes[b].hi[1]; at[1]++)
                for (at[2] = boxes[b].lo[2]; at[2] <= boxes[b].hi[2]; at[2]++)
                    bins[bin_at(at)] = b;
    }
    for (size_t i = 0; i < n; i++) {
        int b = bins[bin_of(rgb + 3 * i)];
        im->pixel[i] = (uint8_t)b;
        for (int k = 0; k < 3; k++)
            sum[b][k] += rgb[3 * i + (size_t)k];
        sum[b][3]++;
    }
    for (int b = 0; b < im->n_colors; b++) {
        uint8_t mean[3] = {0};
        for (int k = 0; k < 3 && sum[b][3]; k++)
            mean[k] = (uint8_t)(sum[b][k] / sum[b][3]);
        im->palette[b] = color_of(mean);
    }
}

int photo_image(const struct photo *p, int w, int h, struct image *out)
{
    struct image im = {0};
    int rc = image_new(&im, w, h);
    if (rc)
        return rc;
    size_t n = (size_t)w * (size_t)h;
    int32_t *bins = calloc(BINS, sizeof *bins);
    uint8_t *rgb = malloc(3 * n);
    if (!bins || !rgb) {
        free(bins), free(rgb);
        image_free(&im);
        return IMAGE_NO_MEMORY;
    }
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            sample(p, w, h, x, y, rgb + 3 * ((size_t)y * (size_t)w + (size_t)x));
    palette_make(rgb, n, bins, &im);
    free(bins), free(rgb);
    *out = im;
    return IMAGE_OK;
}
