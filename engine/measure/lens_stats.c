/* lens_stats.c - statistics of a site, an operation for a chunk of rows, and scores of attention
 * heads, plain sums on the host.  All in double. */
#include "measure/lens.h"

#include "run/run_device.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK_FLOATS = 1 << 20 };

/* Statistics so far; mean and m2 are of the finite values. */
struct sums {
    struct lens_stats s;
    int64_t n;
    double mean, m2;
};

static struct sums sums_none(void)
{
    return (struct sums){.s = {.min = NAN, .max = NAN}};
}

/* One more chunk by the exact pairwise merge (Chan, Golub, LeVeque 1979), so that a large mean does
 * not eat the variance. */
static void sums_add(struct sums *to, const struct kn_stats *k)
{
    struct lens_stats *s = &to->s;
    s->n += k->n, s->n_nan += k->n_nan, s->n_inf += k->n_inf;
    s->min = isnan(s->min) || k->min < s->min ? k->min : s->min;
    s->max = isnan(s->max) || k->max > s->max ? k->max : s->max;
    if (!k->n_finite)
        return;
    int64_t all = to->n + k->n_finite;
    double delta = k->mean - to->mean, count = (double)k->n_finite;
    to->m2 += k->m2 + delta * delta * (double)to->n * count / (double)all;
    to->mean += delta * count / (double)all;
    to->n = all;
}

static struct lens_stats sums_end(struct sums *to)
{
    to->s.mean = to->n ? to->mean : NAN;
    to->s.std = to->n ? sqrt(to->m2 / (double)to->n) : NAN;
    return to->s;
}

void lens_stats_values(const float *v, int64_t n, bool masked, struct lens_stats *out)
{
    struct kn_view host = kn_view1((void *)(uintptr_t)v, KN_F32, n);
    struct sums sums = sums_none();
    struct kn_stats k;
    kn_stats(&host, masked, &k);
    sums_add(&sums, &k);
    *out = sums_end(&sums);
}

/* Statistics of rows [row0, row1), which `to` has room for, by one operation. */
static int rows_stats(struct run *r, struct site_ref site, int32_t row0, int32_t row1,
                      struct kn_backend *be, const struct kn_view *to, const struct kn_view *words,
                      struct kn_stats *out, struct err *e)
{
    int32_t step = (int32_t)be->rows_preferred;
    int rc = 0, axis = site_row_axis(site.id);
    for (int32_t a = row0; !rc && a < row1; a += step) {
        int32_t b = row1 - a < step ? row1 : a + step;
        struct kn_view v, part = kn_slice(*to, axis, a - row0, b - row0);
        rc = run_view(r, site, a, b, &v, e);
        if (!rc)
            rc = run_copy(be, &part, &v, e);
    }
    struct kn_call call = {.op = KN_OP_STATS,
                           .out = {*words},
                           .in = {*to},
                           .p = {.masked = site.id == SITE_ATTN_SCORES}};
    if (!rc)
        rc = run_status(kn_run(be, &call), e);
    return rc ? rc : run_fetch(be, words, out, e);
}

int lens_stats(struct run *r, struct site_ref site, int32_t row0, int32_t row1,
               struct lens_stats *out, struct err *e)
{
    const struct config *cfg = &run_model(r)->cfg;
    const struct plan *plan = run_model(r)->plan;
    struct kn_backend *be = model_backend(run_model(r), plan_stage_of(plan, site));
    int64_t row = site_row_size(cfg, site.id, run_length(r)), shape[SITE_RANK_MAX];
    int rank = site_shape(cfg, site.id, run_length(r), shape), axis = site_row_axis(site.id);
    int32_t most = (int32_t)(row < CHUNK_FLOATS ? CHUNK_FLOATS / row : 1);
    most = most > row1 - row0 ? row1 - row0 : most;
    size_t bytes = sizeof(struct kn_stats) + (size_t)(row * most) * sizeof(float);
    void *mem = be->type->alloc(be, bytes);
    if (!mem)
        return run_no_room(be, e, "statistics");
    struct kn_view words = kn_view1(mem, KN_I32, KN_STATS_WORDS);
    struct sums sums = sums_none();
    int rc = 0;
    for (int32_t i = row0, k; !rc && i < row1; i += k) {
        struct kn_stats found;
        k = row1 - i < most ? row1 - i : most;
        shape[axis] = k;
        struct kn_view to = kn_moved(kn_packed(mem, KN_F32, rank, shape), KN_STATS_WORDS);
        rc = rows_stats(r, site, i, i + k, be, &to, &words, &found, e);
        if (!rc)
            sums_add(&sums, &found);
    }
    be->type->release(be, mem, bytes);
    if (!rc)
        *out = sums_end(&sums);
    return rc;
}

static float ratio(double sum, int32_t n)
{
    return n ? (float)(sum / n) : NAN;
}

/* What the scores of a head are means of, over the rows so far. */
struct head_sums {
    double previous, duplicate, induction, first, self, entropy;
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
        if (row[s] > 0 || isnan(row[s]))
            h->entropy -= row[s] * log(row[s]);
    h->n_copied += copied;
    h->self += row[dest];
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
                              .self = ratio(h->self, n),
                              .entropy = ratio(h->entropy, n),
                              .n_repeats = h->n_copied};
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
    int rc = buf && sums ? 0 : err_memory(e, "scores of heads");
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
