/* tensor_side.c - what the values of a slice add up to, and the panel of the tensor view (see
 * tensor.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"
#include "statistics.h"
#include "tensor.h"

enum { LARGEST = 8, LINES_MAX = 16, BAR_X = 11 };

/* Beyond what this share of the values keeps within, a scale is not widened. */
static const double kept = 0.98;

static void limit_of(struct tensor_sum *t)
{
    int32_t left = (int32_t)((1 - kept) * t->n), lo = 0, hi = TENSOR_BINS - 1;
    double width = ((double)t->max - (double)t->min) / TENSOR_BINS;
    float most = fmaxf(fabsf(t->min), fabsf(t->max));
    t->limit = most;
    while (lo < hi) { /* the outermost bin goes first */
        bool low = fabs((double)t->min + lo * width) >
                   fabs((double)t->max - (TENSOR_BINS - 1 - hi) * width);
        int32_t in = t->bin[low ? lo : hi];
        if (in > left)
            break;
        left -= in;
        low ? lo++ : hi--;
        t->limit = (float)fmax(fabs((double)t->min + lo * width),
                               fabs((double)t->max - (TENSOR_BINS - 1 - hi) * width));
    }
    if (!(t->limit > 0) || t->limit > most / 2) /* near enough: all of it */
        t->limit = most;
}

void tensor_sum(struct tensor_sum *t, const float *v, size_t n)
{
    double sum = 0, squares = 0;
    *t = (struct tensor_sum){.min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        t->nan += isnan(v[i]) != 0, t->inf += isinf(v[i]) != 0;
        if (!isfinite(v[i]))
            continue;
        t->n++;
        sum += (double)v[i], squares += (double)v[i] * (double)v[i];
        t->min = v[i] < t->min ? v[i] : t->min;
        t->max = v[i] > t->max ? v[i] : t->max;
    }
    if (!t->n) {
        t->min = t->max = t->limit = 0;
        return;
    }
    double variance;
    t->mean = sum / t->n;
    variance = squares / t->n - t->mean * t->mean;
    t->std = variance > 0 ? sqrt(variance) : 0;
    double scale = t->max > t->min ? TENSOR_BINS / ((double)t->max - (double)t->min) : 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(v[i])) {
            int32_t b = (int32_t)(((double)v[i] - (double)t->min) * scale);
            t->bin[b < TENSOR_BINS ? b : TENSOR_BINS - 1]++;
        }
    limit_of(t);
}

bool tensor_statistics(const struct app *a, struct canvas *c, struct rect r,
                       const struct tensor_slice *s, const struct tensor_values *values)
{
    struct stats_site stats;
    const char *of;
    float v;
    if (values->at.show == SHOW_DIFFERENCE || s->expert ||
        !statistics_of(a, a->cur.site, &stats, &of) ||
        !tensor_value(values, tensor_cursor(a, s), a->cur.element, &v))
        return false;
    int64_t element = a->cur.element + (s->rank == 3 ? tensor_head(a, s) * stats.shape[1] : 0);
    char n[NUMBER_BYTES];
    canvas_putf(c, r, 0, 0, canvas_plain(0), "of %.12s at or below it %.1f %%, mean %s", of,
                100 * stats_quantile(&stats, element, v),
                number_short(n, stat_mean(&stats, STAT_mean)[element]));
    return true;
}

/* "base 1.20   edited 0.00   −1.20" */
static void draw_value(const struct app *a, struct canvas *c, struct rect r,
                       const struct tensor_values *v, int32_t row)
{
    float base, edited;
    if (!tensor_face_value(v, FACE_BASE, row, a->cur.element, &base)) {
        canvas_put(c, r, 1, 0, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    bool both = tensor_face_value(v, FACE_EDITED, row, a->cur.element, &edited) && v->at.s->edited;
    int x = 1 + canvas_put(c, r, 1, 0, canvas_plain(CANVAS_DIM),
                           !both          ? "value "
                           : a->comparing ? "A "
                                          : "base ");
    x += draw_number(c, r, x, 0, canvas_plain(CANVAS_BOLD), (double)base, 9, 4, NUMBER_LEFT);
    if (!both)
        return;
    x += canvas_put(c, r, x, 0, canvas_plain(CANVAS_DIM), a->comparing ? "  B " : "  edited ");
    x += draw_number(c, r, x, 0, canvas_plain(CANVAS_BOLD), (double)edited, 9, 4, NUMBER_LEFT) + 2;
    if (!(base == edited))
        draw_number(c, r, x, 0, canvas_plain(0), (double)edited - (double)base, 9, 4,
                    NUMBER_LEFT | NUMBER_SIGN);
}

static void draw_sums(struct canvas *c, struct rect r, const struct tensor_sum *t, bool change)
{
    char mean[NUMBER_BYTES], std[NUMBER_BYTES], lo[NUMBER_BYTES], hi[NUMBER_BYTES];
    canvas_putf(c, r, 1, 0, canvas_plain(0), "%s of this slice: mean %s, std %s",
                change ? "changes" : "values", number_short(mean, t->mean),
                number_short(std, t->std));
    int x = 1 + canvas_putf(c, r, 1, 1, canvas_plain(0), "%d from %s to %s", (int)t->n,
                            number_short(lo, (double)t->min), number_short(hi, (double)t->max));
    if (t->nan + t->inf)
        canvas_putf(c, r, x + 2, 1,
                    canvas_style(color_text_over(COLORMAP_NAN), COLORMAP_NAN, CANVAS_BOLD),
                    "%d NaN, %d infinite", (int)t->nan, (int)t->inf);
}

/* A line for each range of values, the one of the cursor marked; lengths by the logarithm: one
 * outlier is seen beside thousands. */
static void draw_histogram(struct canvas *c, struct rect r, const struct tensor_sum *t, float here)
{
    int lines = r.h < LINES_MAX ? r.h : LINES_MAX, room = r.w - BAR_X - 8;
    double width = ((double)t->max - (double)t->min) / lines;
    int32_t count[LINES_MAX] = {0}, most = 1;
    if (lines < 2 || !t->n || room < 4)
        return;
    for (int i = 0; i < TENSOR_BINS; i++)
        count[i * lines / TENSOR_BINS] += t->bin[i];
    for (int i = 0; i < lines; i++)
        most = count[i] > most ? count[i] : most;
    bool there = isfinite(here) && width > 0;
    int at = there ? (int)(((double)here - (double)t->min) / width) : 0;
    at = at < lines ? at : lines - 1;
    for (int i = 0; i < lines; i++) {
        bool on = isfinite(here) && i == at;
        struct canvas_style st = canvas_plain(on ? CANVAS_BOLD : CANVAS_DIM);
        canvas_put(c, r, 0, i, st, on ? "▶" : " ");
        draw_number(c, r, 1, i, st, (double)t->min + i * width, 9, 2, 0);
        int wide = count[i] ? 1 + (int)(log((double)count[i]) / log((double)most + 1) * room) : 0;
        if (wide)
            canvas_fill(c, (struct rect){r.x + BAR_X, r.y + i, wide < room ? wide : room, 1}, st,
                        "█");
        if (count[i])
            canvas_putf(c, r, BAR_X + wide + 1, i, st, "%d", (int)count[i]);
    }
}

/* The columns whose values are largest, whichever their sign. */
static void draw_largest(const struct app *a, struct canvas *c, struct rect r,
                         const struct tensor_slice *s, const struct tensor_values *v, int32_t row)
{
    int32_t best[LARGEST];
    float value[LARGEST];
    int n = 0;
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD), "largest of this row");
    for (int32_t i = 0; i < s->columns; i++) {
        float x;
        if (!tensor_value(v, row, i, &x) || isnan(x) || x == 0)
            continue;
        int at = n;
        while (at > 0 && fabsf(x) > fabsf(value[at - 1]))
            at--;
        if (at == LARGEST)
            continue;
        n += n < LARGEST;
        for (int k = n - 1; k > at; k--)
            best[k] = best[k - 1], value[k] = value[k - 1];
        best[at] = i, value[at] = x;
    }
    for (int i = 0; i < n && i + 1 < r.h; i++) {
        char name[40];
        tensor_column_name(a, s, best[i], name, sizeof name);
        canvas_putf(c, r, 0, 1 + i, canvas_plain(best[i] == a->cur.element ? CANVAS_BOLD : 0),
                    "%7d %-14.14s", (int)best[i], name);
        draw_number(c, r, 23, 1 + i, canvas_plain(0), (double)value[i], 9, 3, NUMBER_SIGN);
    }
}

void tensor_side(const struct app *a, struct frame *f, struct rect r)
{
    struct canvas *c = f->canvas;
    struct tensor_slice s = tensor_slice(a);
    struct tensor_values v;
    char noun[256];
    int32_t row = tensor_cursor(a, &s);
    if (app_noun_text(a, false, noun))
        canvas_put(c, r, 0, 0, canvas_plain(CANVAS_BOLD), noun);
    struct rect title = rect_cut_top(&r, 1);
    f->panel = r; /* it waits while the cursor moves fast, as the lens' does */
    f->panel_waits = a->panel_waits;
    f->panel_old = a->panel_waits;
    if (!tensor_open(&v, a, &s)) {
        canvas_put(c, r, 1, 0, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    struct rect top = r;
    draw_value(a, c, rect_cut_top(&r, 1), &v, row);
    struct rect line = r;
    rect_cut_left(&line, 1);
    rect_cut_top(&r, tensor_statistics(a, c, line, &s, &v));
    int lines = explain_draw(a, c, r, a->cur.site, a->cur.row, s.expert ? -1 : tensor_head(a, &s),
                             a->cur.element);
    rect_cut_top(&r, lines + 1);
    draw_sums(c, rect_cut_top(&r, 3), &a->tensor_kept->sum, v.at.show == SHOW_DIFFERENCE);
    int32_t edits = draw_edits(a, NULL, r);
    struct rect below = rect_cut_bottom(&r, edits ? edits + 1 : 0);
    struct rect largest = rect_cut_bottom(&r, r.h > LARGEST + 6 ? LARGEST + 1 : 0);
    float here = NAN;
    tensor_value(&v, row, a->cur.element, &here);
    draw_histogram(c, (struct rect){r.x, r.y, r.w, r.h - (largest.h > 0)}, &a->tensor_kept->sum,
                   here);
    if (largest.h) {
        int used = r.h - 1 < LINES_MAX ? r.h - 1 : LINES_MAX;
        largest.y = r.y + used + 1; /* they stay together */
        draw_largest(a, c, largest, &s, &v, row);
    }
    f->panel_old = v.at.stale || a->panel_waits;
    if (f->panel_old)
        canvas_put(c, title, title.w - 1, 0, canvas_plain(0), "…");
    if (v.at.stale && a->late)
        canvas_restyle(c, top, canvas_plain(CANVAS_DIM));
    rect_cut_top(&below, 1);
    draw_edits(a, c, below);
}
