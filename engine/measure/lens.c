/* lens.c - logit lens and output metrics: reduced over the vocabulary on the backend, in row
 * blocks.
 *
 * One scratch allocation per call holds a block's residual rows, logits and reductions; only the
 * reduced figures come to the host.  All ops used are row-invariant, so a cell has the same bits
 * whatever else is in its block.  Statistics and head scores stand in lens_stats.c. */
#include "measure/lens.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/run_device.h"

enum { BLOCK_BYTES = 16 << 20, BLOCK_ROWS = 256 };

/* One block's buffers on the backend. */
struct scratch {
    struct kn_backend *be;
    char *mem;
    size_t bytes;
    int32_t rows, k; /* capacity */
    float *x, *logits, *top_logit, *lse, *target_logit;
    int32_t *top_id, *ids, *rank;
};

static void scratch_close(struct scratch *s)
{
    if (s->mem)
        s->be->type->release(s->be, s->mem, s->bytes);
}

/* Room for up to `rows` rows; x and logits only when the logits are not the run's own. */
static int scratch_open(struct scratch *s, struct run *r, int32_t rows, int32_t k, bool unembed,
                        struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    size_t fit = (size_t)BLOCK_BYTES / ((size_t)c->d_vocab * sizeof(float));
    size_t n = (size_t)rows < BLOCK_ROWS ? (size_t)rows : BLOCK_ROWS;
    n = fit < 1 ? 1 : fit < n ? fit : n;

    *s = (struct scratch){.be = run_model(r)->be, .rows = (int32_t)n, .k = k};
    const size_t counts[] = {unembed ? n * (size_t)c->d_model : 0,
                             unembed ? n * (size_t)c->d_vocab : 0,
                             n * (size_t)k,
                             n * 2,
                             n,
                             n * (size_t)k,
                             n,
                             n};
    size_t at[sizeof counts / sizeof *counts];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        at[i] = s->bytes;
        s->bytes += (counts[i] * sizeof(float) + 63) & ~(size_t)63;
    }
    s->mem = s->be->type->alloc(s->be, s->bytes);
    if (!s->mem)
        return run_status(KN_OUT_OF_MEMORY, e);
    s->x = (float *)(void *)(s->mem + at[0]);
    s->logits = (float *)(void *)(s->mem + at[1]);
    s->top_logit = (float *)(void *)(s->mem + at[2]);
    s->lse = (float *)(void *)(s->mem + at[3]);
    s->target_logit = (float *)(void *)(s->mem + at[4]);
    s->top_id = (int32_t *)(void *)(s->mem + at[5]);
    s->ids = (int32_t *)(void *)(s->mem + at[6]);
    s->rank = (int32_t *)(void *)(s->mem + at[7]);
    return 0;
}

/* A device array of floats or ids brought to the host. */
static int fetch(struct kn_backend *be, void *host, const void *dev, size_t bytes, struct err *e)
{
    struct kn_view v = kn_view1((void *)(uintptr_t)dev, KN_I32, (int64_t)(bytes / sizeof(int32_t)));
    int rc = run_status(be->type->read(be, &v, host), e);
    return rc ? rc : run_status(be->type->sync(be), e);
}

/* log-sum-exp and entropy of each row of `logits`, into s->lse. */
static int reduce_lse(struct scratch *s, const struct kn_view *logits, struct err *e)
{
    struct kn_call call = {
        .op = KN_OP_LSE, .out = {kn_view2(s->lse, KN_F32, logits->shape[0], 2)}, .in = {*logits}};
    return run_status(kn_run(s->be, &call), e);
}

static int reduce_top(struct scratch *s, const struct kn_view *logits, struct lens_top *top,
                      struct err *e)
{
    int64_t n = logits->shape[0];
    struct kn_call call = {
        .op = KN_OP_TOPK,
        .in = {*logits},
        .out = {kn_view2(s->top_logit, KN_F32, n, s->k), kn_view2(s->top_id, KN_I32, n, s->k)}};
    int rc = run_status(kn_run(s->be, &call), e);
    float logit[LENS_TOP_MAX];
    int32_t id[LENS_TOP_MAX];
    for (int64_t i = 0; !rc && i < n; i++) {
        rc = fetch(s->be, logit, s->top_logit + i * s->k, (size_t)s->k * sizeof *logit, e);
        if (!rc)
            rc = fetch(s->be, id, s->top_id + i * s->k, (size_t)s->k * sizeof *id, e);
        for (int32_t j = 0; !rc && j < s->k; j++)
            top[i * s->k + j] = (struct lens_top){id[j], logit[j]};
    }
    return rc;
}

/* Logit and rank of one token in every row, into s->target_logit and s->rank. */
static int reduce_target(struct scratch *s, const struct kn_view *logits, int32_t target,
                         struct err *e)
{
    int64_t n = logits->shape[0];
    int32_t ids[BLOCK_ROWS];
    for (int64_t i = 0; i < n; i++)
        ids[i] = target;
    struct kn_call call = {.op = KN_OP_RANK,
                           .out = {kn_view1(s->rank, KN_I32, n)},
                           .in = {*logits, kn_view1(s->ids, KN_I32, n)}};
    int rc = run_write(s->be, &call.in[1], ids, e);
    if (rc)
        return rc;
    rc = run_status(kn_run(s->be, &call), e);
    struct kn_view column = kn_slice(*logits, 1, target, target + 1),
                   to = kn_view2(s->target_logit, KN_F32, n, 1);
    return rc ? rc : run_copy(s->be, &to, &column, e);
}

/* Reduce one block of logits [n, V] to cells[n] and top[n*k]. */
static int reduce(struct scratch *s, const struct kn_view *logits, int32_t target,
                  struct lens_cell *cells, struct lens_top *top, struct err *e)
{
    size_t n = (size_t)logits->shape[0];
    float lse[2 * BLOCK_ROWS], logit[BLOCK_ROWS];
    int32_t rank[BLOCK_ROWS];
    int rc = reduce_lse(s, logits, e);
    if (!rc)
        rc = fetch(s->be, lse, s->lse, 2 * n * sizeof *lse, e);
    if (!rc && s->k)
        rc = reduce_top(s, logits, top, e);
    if (!rc && target >= 0) {
        rc = reduce_target(s, logits, target, e);
        if (!rc)
            rc = fetch(s->be, logit, s->target_logit, n * sizeof *logit, e);
        if (!rc)
            rc = fetch(s->be, rank, s->rank, n * sizeof *rank, e);
    }
    for (size_t i = 0; !rc && i < n; i++)
        cells[i] = (struct lens_cell){.lse = lse[2 * i],
                                      .entropy = lse[2 * i + 1],
                                      .target_logit = target < 0 ? NAN : logit[i],
                                      .target_rank = target < 0 ? -1 : rank[i]};
    return rc;
}

/* Copy the residual rows of at[0..n) into s->x, runs of neighbouring rows at a time. */
static int gather(struct scratch *s, struct run *r, const struct lens_at *at, int32_t n,
                  struct err *e)
{
    int64_t d = run_model(r)->cfg.d_model;
    for (int32_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && at[j].column == at[i].column && at[j].row == at[j - 1].row + 1;)
            j++;
        struct kn_view v, to = kn_view2(s->x + i * d, KN_F32, j - i, d);
        int rc = run_view(r, run_lens_site(run_model(r), at[i].column), at[i].row,
                          at[i].row + (j - i), &v, e);
        if (!rc)
            rc = run_copy(s->be, &to, &v, e);
        if (rc)
            return rc;
    }
    return 0;
}

int lens_cells(struct run *r, const struct lens_at *at, int32_t n, int32_t k, int32_t target,
               struct lens_cell *cells, struct lens_top *top, struct err *e)
{
    assert(n >= 0 && k >= 0 && k <= LENS_TOP_MAX && target < run_model(r)->cfg.d_vocab);
    const struct config *c = &run_model(r)->cfg;
    struct scratch s;
    int rc = n ? scratch_open(&s, r, n, k < c->d_vocab ? k : c->d_vocab, true, e) : 0;
    if (rc || !n)
        return rc;
    for (int32_t i = 0, m; !rc && i < n; i += m) {
        m = n - i < s.rows ? n - i : s.rows;
        struct kn_view x = kn_view2(s.x, KN_F32, m, c->d_model),
                       logits = kn_view2(s.logits, KN_F32, m, c->d_vocab);
        rc = gather(&s, r, at + i, m, e);
        if (!rc)
            rc = run_unembed(r, &x, &logits, e);
        if (!rc)
            rc = reduce(&s, &logits, target, cells + i, top ? top + (int64_t)i * s.k : NULL, e);
    }
    scratch_close(&s);
    return rc;
}

int lens_pick(struct run *r, struct lens_at at, const int32_t *ids, int32_t n, float *out,
              struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    struct scratch s;
    int rc = scratch_open(&s, r, 1, 0, true, e);
    if (rc)
        return rc;
    struct kn_view x = kn_view2(s.x, KN_F32, 1, c->d_model),
                   logits = kn_view2(s.logits, KN_F32, 1, c->d_vocab);
    rc = gather(&s, r, &at, 1, e);
    if (!rc)
        rc = run_unembed(r, &x, &logits, e);
    for (int32_t i = 0; i < n && !rc; i++)
        rc = fetch(run_model(r)->be, &out[i], kn_f32(&logits) + ids[i], sizeof *out, e);
    scratch_close(&s);
    return rc;
}

int lens_column(struct run *r, int32_t column, int32_t row0, int32_t row1, int32_t k,
                int32_t target, struct lens_cell *cells, struct lens_top *top, struct err *e)
{
    int32_t n = row1 - row0;
    struct lens_at *at = malloc((size_t)(n > 0 ? n : 1) * sizeof *at);
    if (!at)
        return err_set(e, ERR_SYSTEM, "out of memory · logit lens");
    for (int32_t i = 0; i < n; i++)
        at[i] = (struct lens_at){column, row0 + i};
    int rc = lens_cells(r, at, n, k, target, cells, top, e);
    free(at);
    return rc;
}

static const struct site_ref output_site = {SITE_UNEMBED_OUT, SITE_ROOT};

int lens_output(struct run *r, int32_t row0, int32_t row1, int32_t k, int32_t target,
                struct lens_cell *cells, struct lens_top *top, struct err *e)
{
    assert(k >= 0 && k <= LENS_TOP_MAX && target < run_model(r)->cfg.d_vocab);
    int32_t vocab = run_model(r)->cfg.d_vocab;
    struct scratch s;
    int rc = row0 < row1 ? scratch_open(&s, r, row1 - row0, k < vocab ? k : vocab, false, e) : 0;
    if (rc || row0 >= row1)
        return rc;
    for (int32_t row = row0, m; !rc && row < row1; row += m) {
        m = row1 - row < s.rows ? row1 - row : s.rows;
        struct kn_view logits;
        rc = run_view(r, output_site, row, row + m, &logits, e);
        if (!rc)
            rc = reduce(&s, &logits, target, cells + (row - row0),
                        top ? top + (int64_t)(row - row0) * s.k : NULL, e);
    }
    scratch_close(&s);
    return rc;
}

int lens_logits(struct run *r, int32_t row, float *out, struct err *e)
{
    return run_read(r, output_site, row, row + 1, out, NULL, e);
}

/* Log-sum-exp in double: KL subtracts nearly equal numbers. */
static double log_sum_exp(const float *x, int32_t n)
{
    double max = -INFINITY, sum = 0;
    for (int32_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    if (!isfinite(max))
        return max;
    for (int32_t i = 0; i < n; i++)
        sum += exp(x[i] - max);
    return max + log(sum);
}

int lens_kl(struct run *base, struct run *edited, int32_t row, double *kl, struct err *e)
{
    int32_t n = run_model(base)->cfg.d_vocab;
    float *p = malloc(2 * (size_t)n * sizeof *p);
    if (!p)
        return err_set(e, ERR_SYSTEM, "out of memory · KL");
    float *q = p + n;
    int rc = lens_logits(base, row, p, e);
    if (!rc)
        rc = lens_logits(edited, row, q, e);
    if (!rc) {
        double lp = log_sum_exp(p, n), lq = log_sum_exp(q, n), sum = 0;
        for (int32_t i = 0; i < n; i++) {
            double a = p[i] - lp;
            if (a > -INFINITY || isnan(a))
                sum += exp(a) * (a - (q[i] - lq));
        }
        /* Rounding can leave -1e-17 for equal distributions; less than zero means nothing. */
        *kl = sum < 0 ? 0 : sum;
    }
    free(p);
    return rc;
}

int lens_losses(struct run *r, int32_t row0, int32_t row1, float *out, struct err *e)
{
    assert(row1 < run_length(r) || row0 >= row1);
    struct scratch s;
    int rc = row0 < row1 ? scratch_open(&s, r, row1 - row0, 0, false, e) : 0;
    if (rc || row0 >= row1)
        return rc;
    for (int32_t row = row0, m; !rc && row < row1; row += m) {
        m = row1 - row < s.rows ? row1 - row : s.rows;
        struct kn_view logits;
        float lse[2 * BLOCK_ROWS], logit;
        rc = run_view(r, output_site, row, row + m, &logits, e);
        if (!rc)
            rc = reduce_lse(&s, &logits, e);
        if (!rc)
            rc = fetch(s.be, lse, s.lse, 2 * (size_t)m * sizeof *lse, e);
        for (int32_t i = 0; !rc && i < m; i++) {
            const float *cell = kn_f32(&logits) + i * logits.stride[0] + run_tokens(r)[row + i + 1];
            rc = fetch(s.be, &logit, cell, sizeof logit, e);
            out[row - row0 + i] = lse[2 * i] - logit;
        }
    }
    scratch_close(&s);
    return rc;
}

int lens_loss(struct run *r, double *loss, float *per_token, struct err *e)
{
    int32_t n = run_length(r) - 1;
    float *out = per_token ? per_token : malloc((size_t)(n > 0 ? n : 1) * sizeof *out);
    if (!out)
        return err_set(e, ERR_SYSTEM, "out of memory · loss");
    int rc = lens_losses(r, 0, n, out, e);
    if (!rc) {
        double sum = 0;
        for (int32_t i = 0; i < n; i++)
            sum += out[i];
        *loss = n > 0 ? sum / n : NAN;
    }
    if (!per_token)
        free(out);
    return rc;
}

int lens_norms(struct run *r, struct site_ref site, int32_t row0, int32_t row1, float *out,
               struct err *e)
{
    if (site_row_axis(site.id) != 0) {
        char name[LIMIT_NAME];
        return err_set(e, ERR_BAD_INPUT,
                       "%s has no norm per position · it is [head, dest, src] · "
                       "norms are of sites [pos, …]",
                       site_name(site, name));
    }
    struct kn_backend *be = run_model(r)->be;
    struct kn_view v;
    int rc = row0 < row1 ? run_view(r, site, row0, row1, &v, e) : 0;
    if (rc || row0 >= row1)
        return rc;
    int64_t n = v.shape[0], d = 1;
    for (int i = 1; i < v.ndim; i++)
        d *= v.shape[i];
    size_t row_bytes = (size_t)n * sizeof(float),
           bytes = row_bytes + (size_t)(n * d) * sizeof(float);
    float *mem = be->type->alloc(be, bytes);
    if (!mem)
        return run_status(KN_OUT_OF_MEMORY, e);
    struct kn_view flat = v;
    flat.data = mem + n, flat.first = 0;
    int64_t stride = 1;
    for (int i = v.ndim - 1; i >= 0; stride *= v.shape[i--])
        flat.stride[i] = stride;
    rc = run_copy(be, &flat, &v, e);
    struct kn_call call = {.op = KN_OP_ROW_NORM,
                           .out = {kn_view2(mem, KN_F32, n, 1)},
                           .in = {kn_view2(mem + n, KN_F32, n, d)}};
    if (!rc)
        rc = run_status(kn_run(be, &call), e);
    if (!rc)
        rc = fetch(be, out, mem, row_bytes, e);
    be->type->release(be, mem, bytes);
    return rc;
}
