/* lens.c - logit lens and output metrics: reduced over the vocabulary on the backend, in row
 * blocks.
 *
 * One scratch allocation per call holds a block's residual rows, logits and figures; only the
 * figures come to the host, with one wait for a block.  All ops used are row-invariant, so a cell
 * has the same bits whatever else is in its block.  Statistics and head scores stand in
 * lens_stats.c. */
#include "measure/lens.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/run_device.h"

enum { BLOCK_BYTES = 16 << 20, BLOCK_ROWS = 256 };

/* One block's memory on the backend.  Places are in words of 32 bits. */
struct scratch {
    struct kn_backend *be;
    float *mem;
    size_t bytes;
    int32_t rows, k, picks; /* capacity; figures per row */
    int64_t x, logits, ids;
    int64_t lse, picked, rank, top_logit, top_id, end; /* figures: [lse, end) */
    int32_t *host;                                     /* these words, once fetched */
};

int lens_check(const struct model *m, struct err *e)
{
    if (site_exists(&m->cfg, SITE_UNEMBED_OUT))
        return 0;
    return err_set(e, ERR_BAD_INPUT, "lens and logits · %s", config_lack(&m->cfg, PROPERTY_HEAD));
}

static void scratch_close(struct scratch *s)
{
    if (s->mem)
        s->be->type->release(s->be, s->mem, s->bytes);
    free(s->host);
}

/* Room for up to `rows` rows; x and logits only when the logits are not the run's own. */
static int scratch_open(struct scratch *s, struct run *r, int32_t rows, int32_t k, int32_t picks,
                        bool unembed, struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    int rc = lens_check(run_model(r), e);
    if (rc)
        return rc;
    int64_t fit = BLOCK_BYTES / ((int64_t)c->d_vocab * (int64_t)sizeof(float)), n;
    n = rows < BLOCK_ROWS ? rows : BLOCK_ROWS;
    n = fit < 1 ? 1 : fit < n ? fit : n;
    *s = (struct scratch){.be = model_backend(run_model(r), c->n_layers + 1),
                          .rows = (int32_t)n,
                          .k = k < c->d_vocab ? k : c->d_vocab,
                          .picks = picks};
    s->logits = s->x + (unembed ? n * c->d_model : 0);
    s->ids = s->logits + (unembed ? n * c->d_vocab : 0);
    s->lse = s->ids + n * picks;
    s->picked = s->lse + n * 2;
    s->rank = s->picked + n * picks;
    s->top_logit = s->rank + n;
    s->top_id = s->top_logit + n * s->k;
    s->end = s->top_id + n * s->k;
    s->bytes = (size_t)s->end * sizeof(float);
    s->mem = s->be->type->alloc(s->be, s->bytes);
    s->host = malloc((size_t)(s->end - s->lse) * sizeof *s->host);
    if (s->mem && s->host)
        return 0;
    rc = s->mem ? err_memory(e, "logit lens") : run_no_room(s->be, e, "logit lens");
    scratch_close(s);
    return rc;
}

static struct kn_view part(const struct scratch *s, int64_t at, enum kn_dtype t, int64_t rows,
                           int64_t columns)
{
    return kn_moved(kn_view2(s->mem, t, rows, columns), at);
}

static int run_op(const struct scratch *s, struct kn_call call, struct err *e)
{
    return run_status(kn_run(s->be, &call), e);
}

/* All figures of a block to s->host. */
static int figures_fetch(struct scratch *s, struct err *e)
{
    struct kn_view v = kn_moved(kn_view1(s->mem, KN_I32, s->end - s->lse), s->lse);
    return run_fetch(s->be, &v, s->host, e);
}

static float figure(const struct scratch *s, int64_t at)
{
    float x;
    memcpy(&x, &s->host[at - s->lse], sizeof x);
    return x;
}

/* log-sum-exp and entropy of each row. */
static int reduce_lse(struct scratch *s, const struct kn_view *logits, struct err *e)
{
    struct kn_view out = part(s, s->lse, KN_F32, logits->shape[0], 2);
    return run_op(s, (struct kn_call){.op = KN_OP_LSE, .out = {out}, .in = {*logits}}, e);
}

static int reduce_top(struct scratch *s, const struct kn_view *logits, struct err *e)
{
    int64_t n = logits->shape[0];
    struct kn_view value = part(s, s->top_logit, KN_F32, n, s->k),
                   id = part(s, s->top_id, KN_I32, n, s->k);
    return run_op(s, (struct kn_call){.op = KN_OP_TOPK, .out = {value, id}, .in = {*logits}}, e);
}

/* Logits of s->picks tokens of each row: ids[rows of logits][picks]. */
static int reduce_pick(struct scratch *s, const struct kn_view *logits, const int32_t *ids,
                       struct err *e)
{
    int64_t n = logits->shape[0];
    struct kn_view in = part(s, s->ids, KN_I32, n, s->picks),
                   out = part(s, s->picked, KN_F32, n, s->picks);
    int rc = run_write(s->be, &in, ids, e);
    return rc ? rc
              : run_op(s, (struct kn_call){.op = KN_OP_PICK, .out = {out}, .in = {*logits, in}}, e);
}

/* Logit and rank of a token of each row: ids[rows of logits]. */
static int reduce_target(struct scratch *s, const struct kn_view *logits, const int32_t *ids,
                         struct err *e)
{
    int64_t n = logits->shape[0];
    struct kn_view in = kn_moved(kn_view1(s->mem, KN_I32, n), s->ids),
                   out = kn_moved(kn_view1(s->mem, KN_I32, n), s->rank);
    int rc = reduce_pick(s, logits, ids, e);
    return rc ? rc
              : run_op(s, (struct kn_call){.op = KN_OP_RANK, .out = {out}, .in = {*logits, in}}, e);
}

/* Reduce one block of logits [n, V] to cells[n] and top[n*k]. */
static int reduce(struct scratch *s, const struct kn_view *logits, int32_t target,
                  struct lens_cell *cells, struct lens_top *top, struct err *e)
{
    int64_t n = logits->shape[0];
    bool aims = target >= 0;
    int32_t ids[BLOCK_ROWS];
    for (int64_t i = 0; i < n; i++)
        ids[i] = target;
    int rc = reduce_lse(s, logits, e);
    if (!rc && s->k)
        rc = reduce_top(s, logits, e);
    if (!rc && aims)
        rc = reduce_target(s, logits, ids, e);
    if (!rc)
        rc = figures_fetch(s, e);
    for (int64_t i = 0; !rc && i < n; i++)
        cells[i] = (struct lens_cell){.lse = figure(s, s->lse + 2 * i),
                                      .entropy = figure(s, s->lse + 2 * i + 1),
                                      .target_logit = aims ? figure(s, s->picked + i) : NAN,
                                      .target_rank = aims ? s->host[s->rank + i - s->lse] : -1};
    for (int64_t i = 0; !rc && i < n * s->k; i++)
        top[i] = (struct lens_top){s->host[s->top_id + i - s->lse], figure(s, s->top_logit + i)};
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
        struct kn_view v, to = part(s, s->x + i * d, KN_F32, j - i, d);
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
    int rc = n ? scratch_open(&s, r, n, k, 1, true, e) : 0;
    if (rc || !n)
        return rc;
    for (int32_t i = 0, m; !rc && i < n; i += m) {
        m = n - i < s.rows ? n - i : s.rows;
        struct kn_view x = part(&s, s.x, KN_F32, m, c->d_model),
                       logits = part(&s, s.logits, KN_F32, m, c->d_vocab);
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
    struct kn_backend *be = model_backend(run_model(r), run_model(r)->cfg.n_layers + 1);
    struct kn_view x, to;
    size_t bytes = (size_t)n * sizeof(float);
    int rc = lens_check(run_model(r), e);
    if (rc || !n ||
        (rc = run_view(r, run_lens_site(run_model(r), at.column), at.row, at.row + 1, &x, e)))
        return rc;
    to = kn_view2(be->type->alloc(be, bytes), KN_F32, 1, n);
    if (!to.data)
        return run_no_room(be, e, "logits of %d tokens", n);
    if (!(rc = run_unembed_tokens(r, &x, ids, n, &to, e)))
        rc = run_fetch(be, &to, out, e);
    be->type->release(be, to.data, bytes);
    return rc;
}

int lens_column(struct run *r, int32_t column, int32_t row0, int32_t row1, int32_t k,
                int32_t target, struct lens_cell *cells, struct lens_top *top, struct err *e)
{
    int32_t n = row1 - row0;
    struct lens_at *at = malloc((size_t)(n > 0 ? n : 1) * sizeof *at);
    if (!at)
        return err_memory(e, "logit lens");
    for (int32_t i = 0; i < n; i++)
        at[i] = (struct lens_at){column, row0 + i};
    int rc = lens_cells(r, at, n, k, target, cells, top, e);
    free(at);
    return rc;
}

static struct site_ref output_site(const struct run *r)
{
    return (struct site_ref){site_logits(&run_model(r)->cfg), SITE_ROOT};
}

int lens_output(struct run *r, int32_t row0, int32_t row1, int32_t k, int32_t target,
                struct lens_cell *cells, struct lens_top *top, struct err *e)
{
    assert(k >= 0 && k <= LENS_TOP_MAX && target < run_model(r)->cfg.d_vocab);
    struct scratch s;
    int rc = row0 < row1 ? scratch_open(&s, r, row1 - row0, k, 1, false, e) : 0;
    if (rc || row0 >= row1)
        return rc;
    for (int32_t row = row0, m; !rc && row < row1; row += m) {
        m = row1 - row < s.rows ? row1 - row : s.rows;
        struct kn_view logits;
        rc = run_view(r, output_site(r), row, row + m, &logits, e);
        if (!rc)
            rc = reduce(&s, &logits, target, cells + (row - row0),
                        top ? top + (int64_t)(row - row0) * s.k : NULL, e);
    }
    scratch_close(&s);
    return rc;
}

int lens_logits(struct run *r, int32_t row, float *out, struct err *e)
{
    return run_read(r, output_site(r), row, row + 1, out, NULL, e);
}

double lens_kl_logits(const float *p, const float *q, int64_t n)
{
    double lp = kn_log_sum_exp(p, n), lq = kn_log_sum_exp(q, n), sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double a = (double)p[i] - lp;
        if (a > -INFINITY || isnan(a))
            sum += exp(a) * (a - ((double)q[i] - lq));
    }
    /* Rounding can leave -1e-17 for equal distributions; less than zero means nothing. */
    return sum < 0 ? 0 : sum;
}

int lens_kl_rows(struct run *base, struct run *edited, int32_t row0, int32_t row1, double *kl,
                 struct err *e)
{
    int64_t n = run_model(base)->cfg.d_vocab, fit = BLOCK_BYTES / (n * (int64_t)sizeof(float));
    int32_t step = fit < 1 ? 1 : fit < row1 - row0 ? (int32_t)fit : row1 - row0;
    float *p = malloc(2 * (size_t)(n * step) * sizeof *p + 1), *q = p ? p + n * step : NULL;
    int rc = p ? 0 : err_memory(e, "KL");
    for (int32_t row = row0, m; !rc && row < row1; row += m) {
        m = row1 - row < step ? row1 - row : step;
        rc = run_read(base, output_site(base), row, row + m, p, NULL, e);
        if (!rc)
            rc = run_read(edited, output_site(edited), row, row + m, q, NULL, e);
        for (int32_t i = 0; !rc && i < m; i++)
            kl[row - row0 + i] = lens_kl_logits(p + i * n, q + i * n, n);
    }
    free(p);
    return rc;
}

int lens_kl(struct run *base, struct run *edited, int32_t row, double *kl, struct err *e)
{
    return lens_kl_rows(base, edited, row, row + 1, kl, e);
}

int lens_kl_final(struct run *r, int32_t column, int32_t row0, int32_t row1, float *out,
                  struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    struct scratch s = {0};
    int rc = scratch_open(&s, r, row1 - row0, 0, 0, true, e);
    if (rc)
        return rc;
    size_t count = (size_t)s.rows * (size_t)c->d_vocab;
    float *lens = malloc(2 * count * sizeof *lens), *own = lens ? lens + count : NULL;
    rc = lens ? 0 : err_memory(e, "KL");
    for (int32_t row = row0, m; !rc && row < row1; row += m) {
        m = row1 - row < s.rows ? row1 - row : s.rows;
        struct kn_view x = part(&s, s.x, KN_F32, m, c->d_model),
                       logits = part(&s, s.logits, KN_F32, m, c->d_vocab);
        struct lens_at at[BLOCK_ROWS];
        for (int32_t i = 0; i < m; i++)
            at[i] = (struct lens_at){column, row + i};
        rc = gather(&s, r, at, m, e);
        if (!rc)
            rc = run_unembed(r, &x, &logits, e);
        if (!rc)
            rc = run_fetch(s.be, &logits, lens, e);
        if (!rc)
            rc = run_read(r, output_site(r), row, row + m, own, NULL, e);
        for (int32_t i = 0; !rc && i < m; i++)
            out[row - row0 + i] = (float)lens_kl_logits(own + (size_t)i * (size_t)c->d_vocab,
                                                        lens + (size_t)i * (size_t)c->d_vocab,
                                                        c->d_vocab);
    }
    free(lens);
    scratch_close(&s);
    return rc;
}

int lens_cosines(struct run *r, int32_t column, int32_t row0, int32_t row1, float *out,
                 struct err *e)
{
    const struct model *m = run_model(r);
    int64_t d = m->cfg.d_model, n = row1 - row0;
    float *x = malloc((size_t)(2 * n * d) * sizeof *x), *last = x ? x + n * d : NULL;
    int rc = x ? 0 : err_memory(e, "cosines");
    if (!rc)
        rc = run_read(r, run_lens_site(m, column), row0, row1, x, NULL, e);
    if (!rc)
        rc = run_read(r, run_lens_site(m, m->cfg.n_layers), row0, row1, last, NULL, e);
    for (int64_t i = 0; !rc && i < n; i++) {
        double xy = 0, xx = 0, yy = 0;
        for (int64_t k = i * d; k < (i + 1) * d; k++) {
            xy += (double)x[k] * (double)last[k];
            xx += (double)x[k] * (double)x[k];
            yy += (double)last[k] * (double)last[k];
        }
        out[i] = (float)(xy / (sqrt(xx) * sqrt(yy)));
    }
    free(x);
    return rc;
}

int lens_tokens(struct run *r, int32_t row0, int32_t row1, const int32_t *tokens,
                struct lens_next *out, struct err *e)
{
    struct scratch s;
    int rc = row0 < row1 ? scratch_open(&s, r, row1 - row0, 1, 1, false, e) : 0;
    if (rc || row0 >= row1)
        return rc;
    for (int32_t row = row0, m; !rc && row < row1; row += m) {
        m = row1 - row < s.rows ? row1 - row : s.rows;
        struct kn_view logits;
        rc = run_view(r, output_site(r), row, row + m, &logits, e);
        if (!rc)
            rc = reduce_lse(&s, &logits, e);
        if (!rc)
            rc = reduce_top(&s, &logits, e);
        if (!rc)
            rc = reduce_target(&s, &logits, tokens + (row - row0), e);
        if (!rc)
            rc = figures_fetch(&s, e);
        for (int32_t i = 0; !rc && i < m; i++)
            out[row - row0 + i] = (struct lens_next){.loss = figure(&s, s.lse + 2 * i) -
                                                             figure(&s, s.picked + i),
                                                     .rank = s.host[s.rank + i - s.lse],
                                                     .best = s.host[s.top_id + i - s.lse]};
    }
    scratch_close(&s);
    return rc;
}

int lens_next(struct run *r, int32_t row0, int32_t row1, struct lens_next *out, struct err *e)
{
    return lens_tokens(r, row0, row1, run_tokens(r) + row0 + 1, out, e);
}

int lens_loss(struct run *r, double *loss, float *per_token, struct err *e)
{
    int32_t n = run_length(r) - 1;
    if (run_model(r)->cfg.bidirectional)
        return err_set(e, ERR_BAD_INPUT, "loss · %s", LENS_NO_LOSS);
    struct lens_next *out = malloc((size_t)(n > 0 ? n : 1) * sizeof *out);
    if (!out)
        return err_memory(e, "loss");
    int rc = lens_next(r, 0, n, out, e);
    double sum = 0;
    for (int32_t i = 0; !rc && i < n; i++) {
        sum += out[i].loss;
        if (per_token)
            per_token[i] = out[i].loss;
    }
    if (!rc)
        *loss = n > 0 ? sum / n : NAN;
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
    const struct model *m = run_model(r);
    struct kn_backend *be = model_backend(m, plan_stage_of(m->plan, site));
    struct kn_view v;
    int rc = row0 < row1 ? run_view(r, site, row0, row1, &v, e) : 0;
    if (rc || row0 >= row1)
        return rc;
    int64_t n = v.shape[0], d = 1;
    for (int i = 1; i < v.ndim; i++)
        d *= v.shape[i];
    size_t bytes = (size_t)(n + n * d) * sizeof(float);
    float *mem = be->type->alloc(be, bytes);
    if (!mem)
        return run_status(KN_OUT_OF_MEMORY, e);
    struct kn_view rows = kn_moved(kn_packed(mem, KN_F32, v.ndim, v.shape), n),
                   norms = kn_view2(mem, KN_F32, n, 1); /* the rows lie behind the norms */
    rc = run_copy(be, &rows, &v, e);
    struct kn_call call = {
        .op = KN_OP_ROW_NORM, .out = {norms}, .in = {kn_moved(kn_view2(mem, KN_F32, n, d), n)}};
    if (!rc)
        rc = run_status(kn_run(be, &call), e);
    if (!rc)
        rc = run_fetch(be, &norms, out, e);
    be->type->release(be, mem, bytes);
    return rc;
}
