/* stats_add.c - values of a batch into the statistics of a hook (see stats.h).
 *
 * Elements are taken in strips of a few columns, so that a strip's values and histograms lie in the
 * nearest cache while all pieces of the batch are added, and by several threads, each of which has
 * elements of its own.  Every column is added by the same operations in the same order wherever it
 * stands: the bits depend on the pieces alone.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/stats.h"

enum {
    TILE = KN_COLUMNS,
    STRIP = 4 * TILE, /* columns that are read together: what lies in one row is near in memory */
    SHARE = 32768     /* values from which on a thread is worth waking */
};

/* ---- bins ---- */

enum {
    HALF = STATS_BINS / 2,
    LOW = -8 /* 2^-8 is the least bound beside 0 */
};

int stats_bin(float x)
{
    uint8_t bin;
    kn_bins(&x, 1, LOW, HALF, &bin);
    return bin;
}

void stats_edges(double edge[STATS_BINS + 1])
{
    edge[HALF] = 0;
    for (int k = 1; k <= HALF; k++) {
        double v = k == HALF ? INFINITY : ldexp(1 + 0.5 * ((k - 1) % 2), (k - 1) / 2 + LOW);
        edge[HALF + k] = v, edge[HALF - k] = -v;
    }
}

double stats_quantile(const struct stats_site *s, int64_t element, float x)
{
    const int64_t *h = s->histogram + element * STATS_BINS;
    double edge[STATS_BINS + 1], below = 0, n = (double)stat_count(s, STAT_count)[element];
    double lo = (double)stat_bound(s, STAT_min)[element],
           hi = (double)stat_bound(s, STAT_max)[element];
    if (n == 0 || isnan(x))
        return NAN;
    if ((double)x >= hi || (double)x < lo)
        return (double)x >= hi;
    int bin = stats_bin(x);
    stats_edges(edge);
    for (int b = 0; b < bin; b++)
        below += (double)h[b];
    lo = lo > edge[bin] ? lo : edge[bin], hi = hi < edge[bin + 1] ? hi : edge[bin + 1];
    double share = hi > lo ? ((double)x - lo) / (hi - lo) : 1;
    double q = (below + (double)h[bin] * share) / n;
    return q >= 0 && q <= 1 ? q : NAN; /* a file's numbers may be anything */
}

/* ---- contexts ---- */

void stats_context(struct stats_site *s, int64_t unit, float value, int64_t text, int64_t pos,
                   const int32_t tokens[STATS_CONTEXT])
{
    int64_t first = unit * s->top, k = s->top;
    while (k > 0 && value > s->top_value[first + k - 1])
        k--;
    if (k == s->top)
        return;
    size_t later = (size_t)(s->top - 1 - k);
    int64_t at = first + k;
    memmove(s->top_value + at + 1, s->top_value + at, later * sizeof *s->top_value);
    memmove(s->top_text + at + 1, s->top_text + at, later * sizeof *s->top_text);
    memmove(s->top_pos + at + 1, s->top_pos + at, later * sizeof *s->top_pos);
    memmove(s->top_tokens + (at + 1) * STATS_CONTEXT, s->top_tokens + at * STATS_CONTEXT,
            later * STATS_CONTEXT * sizeof *s->top_tokens);
    s->top_value[at] = value, s->top_text[at] = text, s->top_pos[at] = pos;
    memcpy(s->top_tokens + at * STATS_CONTEXT, tokens, STATS_CONTEXT * sizeof *tokens);
}

static void unit_seen(struct stats_site *s, int64_t unit, float value, const struct text_piece *p,
                      int32_t row)
{
    int32_t around[STATS_CONTEXT];
    if (!isfinite(value) || !(value > s->top_value[unit * s->top + s->top - 1]))
        return;
    for (int32_t i = 0; i < STATS_CONTEXT; i++) {
        int32_t at = row + i - STATS_BEFORE;
        around[i] = at >= 0 && at < p->n ? p->tokens[at] : -1;
    }
    stats_context(s, unit, value, p->text, p->start + row, around);
}

/* ---- moments ---- */

/* Values of rows of some columns, which are finite where they are added: [row][column]. */
struct tile {
    float x[STATS_BLOCK][TILE];
};

/* Sums of nb values of each of `columns` elements into those from `at` on. */
static void elements_add(struct stats_site *s, int64_t at, int columns, const struct kn_columns *b,
                         int32_t nb)
{
    const struct {
        enum stat k;
        const double *v;
    } means[] = {{STAT_variance, b->variance},
                 {STAT_sqrt_abs_mean, b->root},
                 {STAT_pos_mass, b->pos},
                 {STAT_neg_mass, b->neg}};
    int64_t *count = stat_count(s, STAT_count) + at, *pos = stat_count(s, STAT_pos_count) + at;
    double *mean = stat_mean(s, STAT_mean) + at, share[TILE], apart[TILE];
    float *min = stat_bound(s, STAT_min) + at, *max = stat_bound(s, STAT_max) + at;
    for (int i = 0; i < columns; i++) {
        double d = b->mean[i] - mean[i];
        count[i] += nb, pos[i] += b->pos_count[i];
        share[i] = nb / (double)count[i];
        mean[i] += d * share[i];
        apart[i] = d * d * share[i] * (1 - share[i]);
        min[i] = b->min[i] < min[i] ? b->min[i] : min[i];
        max[i] = b->max[i] > max[i] ? b->max[i] : max[i];
    }
    for (size_t k = 0; k < sizeof means / sizeof *means; k++) {
        double *m = stat_mean(s, means[k].k) + at;
        for (int i = 0; i < columns; i++)
            m[i] += (means[k].v[i] - m[i]) * share[i];
    }
    for (int i = 0; i < columns; i++)
        stat_mean(s, STAT_variance)[at + i] += apart[i];
}

/* n rows of a tile into `columns` elements from `first` on; *sums: what kn_columns gave. */
static void tile_add(struct stats_site *s, int64_t first, int columns, const struct tile *t,
                     int32_t n, const struct kn_columns *sums)
{
    uint8_t bin[STATS_BLOCK][TILE];
    int64_t *h = s->histogram + first * STATS_BINS;
    elements_add(s, first, columns, sums, n);
    kn_bins(t->x[0], (int64_t)n * TILE, LOW, HALF, bin[0]);
    for (int32_t r = 0; r < n; r++)
        if (columns == TILE)
            for (int i = 0; i < TILE; i++)
                h[i * STATS_BINS + bin[r][i]]++;
        else
            for (int i = 0; i < columns; i++)
                h[i * STATS_BINS + bin[r][i]]++;
}

/* Column by column, without what is not finite; of the sums the maxima are good then. */
static void tile_add_finite(struct stats_site *s, int64_t first, int columns, const struct tile *t,
                            int32_t n, struct kn_columns *sums)
{
    struct tile one = {{{0}}};
    for (int i = 0; i < columns; i++) {
        struct kn_columns own;
        int32_t m = 0;
        for (int32_t r = 0; r < n; r++)
            if (isfinite(t->x[r][i]))
                one.x[m++][0] = t->x[r][i];
        bool finite = !m || kn_columns(one.x[0], m, &own);
        assert(finite);
        if (m)
            tile_add(s, first + i, 1, &one, m, &own);
        sums->max[i] = m ? own.max[0] : -INFINITY;
    }
}

/* ---- pieces ---- */

/* Where element i of a row lies. */
static int64_t offset(const struct stats_site *s, const struct kn_view *v, int64_t i)
{
    return v->ndim == 3 ? i / s->shape[1] * v->stride[1] + i % s->shape[1] * v->stride[2]
                        : i * v->stride[1];
}

/* What stats_add is called with. */
struct piece_job {
    struct stats_site *s;
    const struct stats_piece *piece;
    int32_t n_pieces;
    const float *center;
    int64_t unit; /* elements, or heads, that one thread takes */
};

/* `columns` elements from `first` on, in rows row[n], to tiles side by side. */
static void strip_take(const struct piece_job *j, const struct kn_view *v, const int32_t *row,
                       int32_t n, int64_t first, int columns, struct tile *t)
{
    int64_t at[STRIP];
    for (int i = 0; i < columns; i++)
        at[i] = offset(j->s, v, first + i);
    /* whatever the strides, offsets rise */
    bool together = columns % TILE == 0 && !j->center && at[columns - 1] - at[0] == columns - 1;
    for (int32_t r = 0; r < n; r++) {
        const float *x = kn_f32(v) + row[r] * v->stride[0];
        for (int k = 0; together && k < columns; k += TILE)
            memcpy(t[k / TILE].x[r], x + at[0] + k, sizeof t->x[r]);
        for (int i = 0; !together && i < columns; i++)
            t[i / TILE].x[r][i % TILE] = x[at[i]] - (j->center ? j->center[first + i] : 0);
        for (int i = columns; i % TILE; i++)
            t[i / TILE].x[r][i % TILE] = 0;
    }
}

/* n rows of a tile, which are row[n] of a piece. */
static void tile_seen(const struct piece_job *j, const struct text_piece *p, const int32_t *row,
                      int32_t n, int64_t first, int columns, const struct tile *t)
{
    struct stats_site *s = j->s;
    struct kn_columns sums;
    if (kn_columns(t->x[0], n, &sums))
        tile_add(s, first, columns, t, n, &sums);
    else
        tile_add_finite(s, first, columns, t, n, &sums);
    for (int i = 0; s->units == s->n && s->top && i < columns; i++) {
        float least = s->top_value[(first + i) * s->top + s->top - 1];
        for (int32_t r = 0; r < n && sums.max[i] > least; r++)
            unit_seen(s, first + i, t->x[r][i], p, row[r]);
    }
}

/* A strip's rows, in blocks. */
static void strip_seen(const struct piece_job *j, const struct stats_piece *p, int64_t first,
                       int columns)
{
    struct tile t[STRIP / TILE];
    for (int32_t at = 0, n; at < p->n; at += n) {
        n = p->n - at < STATS_BLOCK ? p->n - at : STATS_BLOCK;
        strip_take(j, &p->v, p->row + at, n, first, columns, t);
        for (int i = 0; i < columns; i += TILE)
            tile_seen(j, p->p, p->row + at, n, first + i, columns - i < TILE ? columns - i : TILE,
                      &t[i / TILE]);
    }
}

static void columns_seen(void *ctx, int64_t unit)
{
    const struct piece_job *j = ctx;
    int64_t end = (unit + 1) * j->unit < j->s->n ? (unit + 1) * j->unit : j->s->n;
    for (int64_t first = unit * j->unit; first < end; first += STRIP)
        for (int32_t k = 0; k < j->n_pieces; k++)
            strip_seen(j, &j->piece[k], first, end - first < STRIP ? (int)(end - first) : STRIP);
}

/* Norms of some heads, for their contexts. */
static void heads_seen(void *ctx, int64_t unit)
{
    const struct piece_job *j = ctx;
    int64_t end = (unit + 1) * j->unit < j->s->units ? (unit + 1) * j->unit : j->s->units;
    for (const struct stats_piece *p = j->piece; p < j->piece + j->n_pieces; p++)
        for (int64_t h = unit * j->unit; h < end; h++)
            for (int32_t r = 0; r < p->n; r++) {
                const float *x = kn_f32(&p->v) + p->row[r] * p->v.stride[0] + h * p->v.stride[1];
                double sum = 0;
                for (int64_t d = 0; d < j->s->shape[1]; d++)
                    sum += (double)x[d * p->v.stride[2]] * (double)x[d * p->v.stride[2]];
                unit_seen(j->s, h, (float)sqrt(sum), p->p, p->row[r]);
            }
}

/* fn over n things of `size` values at each of so many rows, some `step`s of them at once, shared
 * out if there are many. */
static void share_out(struct piece_job *j, struct kn_backend *be, int64_t rows, int64_t n,
                      int64_t size, int64_t step, kn_each_fn *fn)
{
    int64_t least = SHARE / (size * (rows + 1)) + 1;
    j->unit = (least + step - 1) / step * step;
    kn_each(be, (n + j->unit - 1) / j->unit, fn, j);
}

void stats_add(struct stats_site *s, struct kn_backend *be, const struct stats_piece *piece,
               int32_t n, const float *center)
{
    struct piece_job j = {.s = s, .piece = piece, .n_pieces = n, .center = center};
    int64_t rows = 0;
    for (int32_t k = 0; k < n; k++)
        rows += piece[k].n;
    share_out(&j, be, rows, s->n, 1, STRIP, columns_seen);
    if (s->units < s->n && s->top)
        share_out(&j, be, rows, s->units, s->n / s->units, 1, heads_seen);
}
