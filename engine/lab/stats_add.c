/* stats_add.c - a block of values into the statistics of a hook (see stats.h).
 *
 * Elements are taken in tiles of a few columns, so that a tile's values and histograms lie in the
 * nearest cache, and by several threads, each of which has elements of its own.  Every column is
 * added by the same operations in the same order wherever it stands: the bits depend on the piece
 * alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lab/stats.h"

enum {
    TILE = 16,
    SHARE = 32768 /* values from which on a thread is worth waking */
};

/* ---- bins ---- */

enum {
    HALF = STATS_BINS / 2,
    LEAST = (127 - 8) * 2 /* 2^-8 in half octaves, as exponent and first bit of a float are */
};

int stats_bin(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)((bits & 0x7fffffff) >> 22) - LEAST + 1, mirror = x < 0 ? STATS_BINS - 1 : 0;
    k = k < 0 ? 0 : k;
    k = k < HALF ? k : HALF - 1;
    return (HALF + k) ^ mirror; /* no branches: signs are as good as random */
}

void stats_edges(double edge[STATS_BINS + 1])
{
    edge[HALF] = 0;
    for (int k = 1; k <= HALF; k++) {
        double v = k == HALF ? INFINITY : ldexp(1 + 0.5 * ((k - 1) % 2), (k - 1) / 2 - 8);
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

/* Values of rows of a tile: [row][column], finite. */
struct tile {
    float x[STATS_BLOCK][TILE];
    int32_t n; /* rows */
};

struct sums {
    double mean[TILE], variance[TILE], root[TILE], pos[TILE], neg[TILE];
    float min[TILE], max[TILE];
    int32_t pos_count[TILE];
};

static void tile_sums(const struct tile *t, struct sums *out)
{
    struct sums s = {0};
    double n = t->n, sum[TILE] = {0};
    for (int i = 0; i < TILE; i++)
        s.min[i] = s.max[i] = t->x[0][i];
    for (int32_t r = 0; r < t->n; r++)
        for (int i = 0; i < TILE; i++) {
            float x = t->x[r][i], pos = x > 0 ? x : 0, neg = x < 0 ? x : 0;
            sum[i] += (double)x;
            s.pos[i] += (double)pos, s.neg[i] += (double)neg;
            s.pos_count[i] += x > 0;
            s.min[i] = x < s.min[i] ? x : s.min[i];
            s.max[i] = x > s.max[i] ? x : s.max[i];
        }
    for (int32_t r = 0; r < t->n; r++)
        for (int i = 0; i < TILE; i++)
            s.root[i] += (double)sqrtf(fabsf(t->x[r][i]));
    for (int i = 0; i < TILE; i++)
        s.mean[i] = sum[i] / n, s.pos[i] /= n, s.neg[i] /= n, s.root[i] /= n;
    for (int32_t r = 0; r < t->n; r++)
        for (int i = 0; i < TILE; i++) {
            double d = (double)t->x[r][i] - s.mean[i];
            s.variance[i] += d * d;
        }
    for (int i = 0; i < TILE; i++)
        s.variance[i] /= n;
    *out = s;
}

/* Sums of column i, of nb values, into element `at`. */
static void element_add(struct stats_site *s, int64_t at, const struct sums *b, int i, int32_t nb)
{
    int64_t n = stat_count(s, STAT_count)[at] += nb;
    double share = nb / (double)n, *mean = &stat_mean(s, STAT_mean)[at], d = b->mean[i] - *mean;
    const struct {
        enum stat k;
        double v;
    } means[] = {{STAT_variance, b->variance[i]},
                 {STAT_sqrt_abs_mean, b->root[i]},
                 {STAT_pos_mass, b->pos[i]},
                 {STAT_neg_mass, b->neg[i]}};
    *mean += d * share;
    for (size_t k = 0; k < sizeof means / sizeof *means; k++) {
        double *m = &stat_mean(s, means[k].k)[at];
        *m += (means[k].v - *m) * share;
    }
    stat_mean(s, STAT_variance)[at] += d * d * share * (1 - share);
    stat_count(s, STAT_pos_count)[at] += b->pos_count[i];
    float *min = &stat_bound(s, STAT_min)[at], *max = &stat_bound(s, STAT_max)[at];
    *min = b->min[i] < *min ? b->min[i] : *min;
    *max = b->max[i] > *max ? b->max[i] : *max;
}

static void tile_add(struct stats_site *s, int64_t first, int columns, const struct tile *t,
                     struct sums *sums)
{
    if (!t->n)
        return;
    uint8_t bin[STATS_BLOCK][TILE];
    tile_sums(t, sums);
    for (int32_t r = 0; r < t->n; r++)
        for (int i = 0; i < TILE; i++)
            bin[r][i] = (uint8_t)stats_bin(t->x[r][i]);
    for (int i = 0; i < columns; i++) {
        int64_t *h = s->histogram + (first + i) * STATS_BINS;
        element_add(s, first + i, sums, i, t->n);
        for (int32_t r = 0; r < t->n; r++)
            h[bin[r][i]]++;
    }
}

/* By the bits of exponents, which compilers can do for several at once. */
static bool is_finite(const struct tile *t)
{
    const uint32_t exponent = 0x7f800000;
    uint32_t bits[TILE], found = 0;
    for (int32_t r = 0; r < t->n; r++) {
        memcpy(bits, t->x[r], sizeof bits);
        for (int i = 0; i < TILE; i++)
            found |= (bits[i] & exponent) == exponent;
    }
    return !found;
}

/* Column by column, without what is not finite. */
static void tile_add_finite(struct stats_site *s, int64_t first, int columns, const struct tile *t,
                            struct sums *sums)
{
    struct tile one = {0};
    for (int i = 0; i < columns; i++) {
        struct sums own;
        one.n = 0;
        for (int32_t r = 0; r < t->n; r++)
            if (isfinite(t->x[r][i]))
                one.x[one.n++][0] = t->x[r][i];
        tile_add(s, first + i, 1, &one, &own);
        sums->max[i] = one.n ? own.max[0] : -INFINITY;
    }
}

/* ---- a piece ---- */

/* Where element i of a row lies. */
static int64_t offset(const struct stats_site *s, const struct kn_view *v, int64_t i)
{
    return v->ndim == 3 ? i / s->shape[1] * v->stride[1] + i % s->shape[1] * v->stride[2]
                        : i * v->stride[1];
}

static void tile_take(const struct stats_site *s, const struct kn_view *v, const int32_t *row,
                      int32_t n, int64_t first, int columns, const float *center, struct tile *t)
{
    int64_t at[TILE];
    t->n = n;
    for (int i = 0; i < columns; i++)
        at[i] = offset(s, v, first + i);
    bool together = columns == TILE && !center && at[TILE - 1] - at[0] == TILE - 1;
    for (int32_t r = 0; r < n; r++) {
        const float *x = kn_f32(v) + row[r] * v->stride[0];
        if (together) /* whatever the strides, offsets rise */
            memcpy(t->x[r], x + at[0], sizeof t->x[r]);
        for (int i = 0; i < columns && !together; i++)
            t->x[r][i] = x[at[i]] - (center ? center[first + i] : 0);
        for (int i = columns; i < TILE; i++)
            t->x[r][i] = 0;
    }
}

/* What stats_add is called with. */
struct piece_job {
    struct stats_site *s;
    const struct kn_view *v;
    const int32_t *row;
    int32_t n;
    const struct text_piece *p;
    const float *center;
    int64_t unit; /* elements, or heads, that one thread takes */
};

/* Norms of some heads, for their contexts. */
static void heads_seen(void *ctx, int64_t unit)
{
    const struct piece_job *j = ctx;
    const struct kn_view *v = j->v;
    int64_t end = (unit + 1) * j->unit < j->s->units ? (unit + 1) * j->unit : j->s->units;
    for (int64_t h = unit * j->unit; h < end; h++)
        for (int32_t r = 0; r < j->n; r++) {
            const float *x = kn_f32(v) + j->row[r] * v->stride[0] + h * v->stride[1];
            double sum = 0;
            for (int64_t d = 0; d < j->s->shape[1]; d++)
                sum += (double)x[d * v->stride[2]] * (double)x[d * v->stride[2]];
            unit_seen(j->s, h, (float)sqrt(sum), j->p, j->row[r]);
        }
}

/* A tile of columns, in rows [at, at + n) of the chosen ones. */
static void tile_seen(const struct piece_job *j, int64_t first, int32_t at, int32_t n,
                      struct tile *t)
{
    struct stats_site *s = j->s;
    int columns = s->n - first < TILE ? (int)(s->n - first) : TILE;
    struct sums sums;
    tile_take(s, j->v, j->row + at, n, first, columns, j->center, t);
    if (is_finite(t))
        tile_add(s, first, columns, t, &sums);
    else
        tile_add_finite(s, first, columns, t, &sums);
    for (int i = 0; s->units == s->n && s->top && i < columns; i++) {
        float least = s->top_value[(first + i) * s->top + s->top - 1];
        for (int32_t r = 0; r < n && sums.max[i] > least; r++)
            unit_seen(s, first + i, t->x[r][i], j->p, j->row[at + r]);
    }
}

static void columns_seen(void *ctx, int64_t unit)
{
    const struct piece_job *j = ctx;
    struct tile t = {0};
    int64_t end = (unit + 1) * j->unit < j->s->n ? (unit + 1) * j->unit : j->s->n;
    for (int64_t first = unit * j->unit; first < end; first += TILE)
        for (int32_t at = 0; at < j->n; at += STATS_BLOCK)
            tile_seen(j, first, at, j->n - at < STATS_BLOCK ? j->n - at : STATS_BLOCK, &t);
}

/* fn over n things of `size` values at each row, some `step`s of them at once, shared out if there
 * are many. */
static void share_out(struct piece_job *j, struct kn_backend *be, int64_t n, int64_t size,
                      int64_t step, kn_each_fn *fn)
{
    int64_t least = SHARE / (size * (j->n + 1)) + 1;
    j->unit = (least + step - 1) / step * step;
    kn_each(be, (n + j->unit - 1) / j->unit, fn, j);
}

void stats_add(struct stats_site *s, struct kn_backend *be, const struct kn_view *v,
               const int32_t *row, int32_t n, const struct text_piece *p, const float *center)
{
    struct piece_job j = {s, v, row, n, p, center, 0};
    share_out(&j, be, s->n, 1, TILE, columns_seen);
    if (s->units < s->n && s->top)
        share_out(&j, be, s->units, s->n / s->units, 1, heads_seen);
}
