/* prune_plot.c - the losses of `prune` over its steps: blocks in the terminal, lines in a PNG file.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_write.h"
#include "image.h"
#include "png_out.h"
#include "prune_print.h"
#include "spark.h"

static const char *const sets[SCORE_SETS] = {"focus", "cripple"};

/* Of the finite losses on sets [from, to); false: there is none. */
static bool bounds(const struct prune_history *h, int from, int to, double *lo, double *hi)
{
    *lo = INFINITY, *hi = -INFINITY;
    for (int i = 0; i < h->n; i++)
        for (int k = from; k < to; k++) {
            double x = prune_loss(&h->record[i], k);
            if (isfinite(x))
                *lo = fmin(*lo, x), *hi = fmax(*hi, x);
        }
    return *lo <= *hi;
}

int prune_plot(struct cli *c, const struct prune_history *h)
{
    double lo, hi;
    float *v = malloc(((size_t)h->n + 1) * sizeof *v);
    struct canvas *canvas = canvas_new(h->n + 48, 1);
    int rc = v && canvas ? 0 : cli_memory(c);
    for (int k = 0; k < SCORE_SETS && !rc; k++) {
        double first = prune_loss(&h->record[0], k), last = prune_loss(&h->record[h->n - 1], k);
        if (!bounds(h, k, k + 1, &lo, &hi))
            continue;
        for (int i = 0; i < h->n; i++)
            v[i] = (float)prune_loss(&h->record[i], k);
        struct rect r = canvas_rect(canvas);
        canvas_clear(canvas);
        canvas_put(canvas, r, 0, 0, canvas_plain(0), sets[k]);
        int x = 9 + spark_put(canvas, r, 9, 0, canvas_plain(0), v, (size_t)h->n,
                              (struct scale){.lo = (float)lo, .hi = (float)hi});
        canvas_putf(canvas, r, x + 1, 0, canvas_plain(0), "loss %.4f -> %.4f", first, last);
        canvas_dump_plain(canvas, &c->out);
    }
    canvas_free(canvas);
    free(v);
    return rc;
}

/* ---- PNG ---- */

enum { WIDE = 640, HIGH = 400, EDGE = 24, PAPER = 0, GRID, FOCUS, CRIPPLE, COLORS };

static void dot(struct image *im, int x, int y, int color)
{
    for (int dy = -1; dy <= 1; dy++)
        for (int dx = -1; dx <= 1; dx++)
            if (x + dx >= 0 && x + dx < im->w && y + dy >= 0 && y + dy < im->h)
                im->pixel[(y + dy) * im->w + x + dx] = (uint8_t)color;
}

static void line(struct image *im, double x0, double y0, double x1, double y1, int color)
{
    int n = (int)(fmax(fabs(x1 - x0), fabs(y1 - y0))) + 1;
    for (int i = 0; i <= n; i++)
        dot(im, (int)(x0 + (x1 - x0) * i / n + 0.5), (int)(y0 + (y1 - y0) * i / n + 0.5), color);
}

static void grid(struct image *im)
{
    for (int i = 0; i <= 4; i++) {
        int y = EDGE + (HIGH - 2 * EDGE) * i / 4, x = EDGE + (WIDE - 2 * EDGE) * i / 4;
        for (int k = EDGE; k < WIDE - EDGE; k++)
            im->pixel[y * im->w + k] = GRID;
        for (int k = EDGE; k < HIGH - EDGE; k++)
            im->pixel[k * im->w + x] = GRID;
    }
}

static void curve(struct image *im, const struct prune_history *h, int set, double lo, double hi)
{
    double steps = h->n > 1 ? h->n - 1 : 1, span = hi > lo ? hi - lo : 1, x0 = 0, y0 = NAN;
    for (int i = 0; i < h->n; i++) {
        double loss = prune_loss(&h->record[i], set), x = EDGE + (WIDE - 2 * EDGE) * i / steps,
               y = HIGH - EDGE - (HIGH - 2 * EDGE) * (loss - lo) / span;
        if (isfinite(y) && isfinite(y0))
            line(im, x0, y0, x, y, FOCUS + set);
        for (int r = -2; r <= 2 && isfinite(y); r++)
            line(im, x - 2, y + r, x + 2, y + r, FOCUS + set);
        x0 = x, y0 = y;
    }
}

int prune_png(struct cli *c, const struct prune_history *h, const char *path)
{
    double lo, hi;
    struct image im;
    struct bytes png = {0};
    if (!bounds(h, 0, SCORE_SETS, &lo, &hi))
        return err_set(&c->err, ERR_BAD_INPUT, "--png · no loss is a finite number");
    if (image_new(&im, WIDE, HIGH))
        return cli_memory(c);
    im.n_colors = COLORS;
    im.palette[PAPER] = 0xffffff, im.palette[GRID] = 0xd8d8d8;
    im.palette[FOCUS] = 0x0072b2, im.palette[CRIPPLE] = 0xd55e00; /* told apart by every eye */
    grid(&im);
    for (int k = 0; k < SCORE_SETS; k++)
        curve(&im, h, k, lo, hi);
    int rc = png_out_image(&im, &png) ? cli_memory(c)
                                      : file_write_all(path, png.data, png.len, &c->err);
    image_free(&im);
    bytes_free(&png);
    if (!rc)
        snprintf(c->note, sizeof c->note,
                 "%.80s · steps 0 to %d, loss %.4f to %.4f · focus blue, cripple orange", path,
                 (int)h->record[h->n - 1].step, lo, hi);
    return rc;
}
