/* lens_stats.c - statistics of a site and scores of an attention head: plain sums on the host, in
 * double. */
#include "measure/lens.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK_FLOATS = 1 << 20 };

/* Moments of the finite values seen so far. */
struct moments {
    int64_t n;
    double mean, m2; /* m2 = sum of squared deviations */
};

/* Add a chunk: its own mean first, then the exact pairwise merge (Chan, Golub, LeVeque 1979), so
 * that a large mean does not eat the variance. */
static void moments_add(struct moments *m, const float *x, int64_t n)
{
    int64_t count = 0;
    double sum = 0, m2 = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            sum += x[i], count++;
    if (!count)
        return;
    double mean = sum / (double)count;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            m2 += (x[i] - mean) * (x[i] - mean);
    int64_t all = m->n + count;
    double delta = mean - m->mean;
    m->m2 += m2 + delta * delta * (double)m->n * (double)count / (double)all;
    m->mean += delta * (double)count / (double)all;
    m->n = all;
}

static void stats_add(struct lens_stats *s, const float *x, int64_t n, bool masked)
{
    s->n += n;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i])) {
            s->n_nan++;
            continue;
        }
        bool hidden = masked && x[i] == -INFINITY;
        s->n_inf += isinf(x[i]) && !hidden;
        s->min = isnan(s->min) || x[i] < s->min ? x[i] : s->min;
        if (!hidden)
            s->max = isnan(s->max) || x[i] > s->max ? x[i] : s->max;
    }
}

static void finish(struct lens_stats *s, const struct moments *m)
{
    s->mean = m->n ? m->mean : NAN;
    s->std = m->n ? sqrt(m->m2 / (double)m->n) : NAN;
}

void lens_stats_values(const float *v, int64_t n, bool masked, struct lens_stats *out)
{
    struct moments m = {0};
    *out = (struct lens_stats){.min = NAN, .max = NAN};
    stats_add(out, v, n, masked);
    moments_add(&m, v, n);
    finish(out, &m);
}

int lens_stats(struct run *r, struct site_ref site, int32_t row0, int32_t row1,
               struct lens_stats *out, struct err *e)
{
    int64_t row = site_row_size(&run_model(r)->cfg, site.id, run_length(r));
    int32_t step = (int32_t)(row < CHUNK_FLOATS ? CHUNK_FLOATS / row : 1);
    if (step > row1 - row0)
        step = row1 - row0;
    float *buf = malloc((size_t)(row * (step > 0 ? step : 1)) * sizeof *buf);
    if (!buf)
        return err_set(e, ERR_SYSTEM, "out of memory · statistics");
    struct lens_stats s = {.min = NAN, .max = NAN};
    struct moments m = {0};
    int rc = 0;
    for (int32_t i = row0, k; !rc && i < row1; i += k) {
        int64_t count = 0;
        k = row1 - i < step ? row1 - i : step;
        rc = run_read(r, site, i, i + k, buf, &count, e);
        if (!rc) {
            stats_add(&s, buf, count, site.id == SITE_ATTN_SCORES);
            moments_add(&m, buf, count);
        }
    }
    free(buf);
    if (rc)
        return rc;
    finish(&s, &m);
    *out = s;
    return 0;
}

static float ratio(double sum, int32_t n)
{
    return n ? (float)(sum / n) : NAN;
}

/* What the scores of a head are means of, over the rows so far. */
struct head_sums {
    double previous, duplicate, induction, first, entropy;
    int32_t n_copied; /* rows whose token stood before: its successor then stands there too */
};

static void head_add(struct head_sums *h, const float *row, int32_t dest, const int32_t *tokens,
                     int32_t n)
{
    bool copied = false;
    for (int32_t s = 0; s < dest; s++) {
        if (tokens[s] == tokens[dest]) {
            h->duplicate += row[s];
            h->induction += row[s + 1];
            copied = true;
        }
    }
    for (int32_t s = 0; s < n; s++)
        if (row[s] > 0)
            h->entropy -= row[s] * log(row[s]);
    h->n_copied += copied;
    if (dest > 0) {
        h->previous += row[dest - 1];
        h->first += row[0];
    }
}

static struct lens_head head_end(const struct head_sums *h, int32_t n)
{
    return (struct lens_head){.previous = ratio(h->previous, n - 1),
                              .duplicate = ratio(h->duplicate, h->n_copied),
                              .induction = ratio(h->induction, h->n_copied),
                              .first = ratio(h->first, n - 1),
                              .entropy = ratio(h->entropy, n)};
}

void lens_head_scores(const float *pattern, int64_t stride, const int32_t *tokens, int32_t n,
                      struct lens_head *out)
{
    struct head_sums h = {0};
    for (int32_t d = 0; d < n; d++)
        head_add(&h, pattern + d * stride, d, tokens, n);
    *out = head_end(&h, n);
}

int lens_heads(struct run *r, int32_t layer, struct lens_head *out, struct err *e)
{
    const struct site_ref site = {SITE_PATTERN, layer};
    const struct config *cfg = &run_model(r)->cfg;
    int32_t n = run_length(r), heads = cfg->n_heads;
    int64_t row = site_row_size(cfg, site.id, n);
    int32_t step = row < CHUNK_FLOATS ? (int32_t)(CHUNK_FLOATS / row) : 1;
    step = step < n ? step : n;
    float *buf = malloc((size_t)(row * step) * sizeof *buf);
    struct head_sums *sums = calloc((size_t)heads, sizeof *sums);
    int rc = buf && sums ? 0 : err_set(e, ERR_SYSTEM, "out of memory · scores of heads");
    for (int32_t i = 0, rows; i < n && !rc; i += rows) {
        rows = n - i < step ? n - i : step;
        rc = run_read(r, site, i, i + rows, buf, NULL, e);
        for (int64_t h = 0; h < heads && !rc; h++)
            for (int64_t d = 0; d < rows; d++)
                head_add(&sums[h], buf + (h * rows + d) * n, i + (int32_t)d, run_tokens(r), n);
    }
    for (int32_t h = 0; h < heads && !rc; h++)
        out[h] = head_end(&sums[h], n);
    free(buf), free(sums);
    return rc;
}
