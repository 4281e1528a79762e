/* image_resize.c - see image_resize.h. */
#include "model/image_resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WEIGHT_BITS = 32 - 8 - 2 };

static double sinc(double x)
{
    x *= 3.14159265358979323846;
    return x == 0 ? 1 : sin(x) / x;
}

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1 : 0;
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double hamming(double x)
{
    x = fabs(x);
    return x >= 1 ? 0 : sinc(x) * (0.54 + 0.46 * cos(3.14159265358979323846 * x));
}

/* Keys' cubic with a = -1/2. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    return x < 1   ? ((a + 2) * x - (a + 3)) * x * x + 1
           : x < 2 ? (((x - 5) * x + 8) * x - 4) * a
                   : 0;
}

static double lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
    double (*weight)(double x);
    double support;
} filters[FILTER_COUNT] = {
    [FILTER_LANCZOS] = {lanczos, 3}, [FILTER_BILINEAR] = {triangle, 1},
    [FILTER_BICUBIC] = {cubic, 2},   [FILTER_BOX] = {box, 0.5},
    [FILTER_HAMMING] = {hamming, 1},
};

/* For each of `n` output pixels along an axis: which pixels of the input it is made of. */
struct windows {
    int32_t size;    /* weights of a pixel at most */
    int32_t *first;  /* [n] */
    int32_t *count;  /* [n] */
    int32_t *weight; /* [n][size] */
    double *real;    /* [size] of the pixel under way */
};

static void windows_free(struct windows *w)
{
    free(w->first), free(w->count), free(w->weight), free(w->real);
}

static void window_set(struct windows *w, int32_t i, double scale, int32_t from,
                       enum image_filter filter)
{
    double stretch = scale < 1 ? 1 : scale, support = filters[filter].support * stretch,
           center = (i + 0.5) * scale, inverse = 1 / stretch, sum = 0;
    int32_t lo = (int32_t)(center - support + 0.5), hi = (int32_t)(center + support + 0.5);
    lo = lo < 0 ? 0 : lo;
    hi = hi > from ? from : hi;
    for (int32_t k = 0; k < hi - lo; k++)
        sum += w->real[k] = filters[filter].weight((k + lo - center + 0.5) * inverse);
    for (int32_t k = 0; k < hi - lo; k++) {
        double x = w->real[k];
        if (sum != 0)
            x *= 1 / sum;
        w->weight[(int64_t)i * w->size + k] = (int32_t)(x * (1 << WEIGHT_BITS) +
                                                        (x < 0 ? -0.5 : 0.5));
    }
    w->first[i] = lo, w->count[i] = hi - lo;
}

static int windows_make(struct windows *w, int32_t from, int32_t to, enum image_filter filter,
                        struct err *e)
{
    double scale = (double)from / to, stretch = scale < 1 ? 1 : scale;
    *w = (struct windows){.size = 2 * (int32_t)ceil(filters[filter].support * stretch) + 1};
    w->first = calloc((size_t)to, sizeof *w->first);
    w->count = calloc((size_t)to, sizeof *w->count);
    w->weight = calloc((size_t)to * (size_t)w->size, sizeof *w->weight);
    w->real = calloc((size_t)w->size, sizeof *w->real);
    if (!w->first || !w->count || !w->weight || !w->real) {
        windows_free(w);
        return err_memory(e, "an image");
    }
    for (int32_t i = 0; i < to; i++)
        window_set(w, i, scale, from, filter);
    return 0;
}

static uint8_t clipped(int64_t sum)
{
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* `n` pixels, `step` values apart, into one output pixel. */
static void mix(const uint8_t *in, int64_t step, const int32_t *weight, int32_t n, uint8_t *out)
{
    int64_t sum[3] = {1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1)};
    for (int32_t k = 0; k < n; k++)
        for (int c = 0; c < 3; c++)
            sum[c] += in[k * step + c] * (int64_t)weight[k];
    for (int c = 0; c < 3; c++)
        out[c] = clipped(sum[c]);
}

/* Rows [row0, row1) to another width. */
static int columns_mix(const uint8_t *rgb, int32_t rows, int32_t width, uint8_t *out, int32_t to,
                       enum image_filter filter, struct err *e)
{
    struct windows w;
    int rc = windows_make(&w, width, to, filter, e);
    if (rc)
        return rc;
    for (int64_t y = 0; y < rows; y++)
        for (int32_t x = 0; x < to; x++)
            mix(rgb + 3 * (y * width + w.first[x]), 3, w.weight + (int64_t)x * w.size, w.count[x],
                out + 3 * (y * to + x));
    windows_free(&w);
    return 0;
}

static int rows_mix(const uint8_t *rgb, int32_t height, int32_t width, uint8_t *out, int32_t to,
                    enum image_filter filter, struct err *e)
{
    struct windows w;
    int rc = windows_make(&w, height, to, filter, e);
    if (rc)
        return rc;
    int64_t pitch = 3 * (int64_t)width;
    for (int64_t y = 0; y < to; y++)
        for (int32_t x = 0; x < width; x++)
            mix(rgb + w.first[y] * pitch + 3 * x, pitch, w.weight + y * w.size, w.count[y],
                out + y * pitch + 3 * x);
    windows_free(&w);
    return 0;
}

static void pick_nearest(const uint8_t *rgb, int32_t height, int32_t width, uint8_t *out,
                         int32_t to_height, int32_t to_width)
{
    double down = (double)height / to_height, across = (double)width / to_width;
    for (int64_t y = 0; y < to_height; y++)
        for (int64_t x = 0; x < to_width; x++) {
            int64_t from = (int64_t)(((double)y + 0.5) * down) * width +
                           (int64_t)(((double)x + 0.5) * across);
            memcpy(out + 3 * (y * to_width + x), rgb + 3 * from, 3);
        }
}

int image_resize(const uint8_t *rgb, int32_t height, int32_t width, uint8_t *out, int32_t to_height,
                 int32_t to_width, enum image_filter filter, struct err *e)
{
    if (filter == FILTER_NEAREST) {
        pick_nearest(rgb, height, width, out, to_height, to_width);
        return 0;
    }
    if (to_height == height && to_width == width) {
        memcpy(out, rgb, 3 * (size_t)height * (size_t)width);
        return 0;
    }
    if (to_height == height)
        return columns_mix(rgb, height, width, out, to_width, filter, e);
    if (to_width == width)
        return rows_mix(rgb, height, width, out, to_height, filter, e);
    uint8_t *between = malloc(3 * (size_t)height * (size_t)to_width);
    int rc = between ? columns_mix(rgb, height, width, between, to_width, filter, e)
                     : err_memory(e, "an image");
    if (!rc)
        rc = rows_mix(between, height, to_width, out, to_height, filter, e);
    free(between);
    return rc;
}
