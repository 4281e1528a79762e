/* sweep_keep.c - the final residual rows of cells, so that another metric needs no more runs
 * (sweep_parts.h).
 *
 * They are the input of the final norm; a program that edits what comes after, or weights, has no
 * value from them and is run again. */
#include "measure/sweep_parts.h"

#include <stdlib.h>
#include <string.h>

#include "run/run_device.h"

enum { BLOCK_BYTES = 16 << 20 };

static bool ends_with_stream(const struct sweep *s, const struct edit_program *p)
{
    for (int32_t i = 0; i < p->n_instrs; i++)
        if (plan_stage_of(s->m->plan, p->instrs[i].site) > s->m->cfg.n_layers)
            return false;
    return !p->n_weights;
}

/* Room for the rows of every cell. */
static void keep_open(struct sweep *s, struct sweep_side *d, size_t row)
{
    struct metric_reads *r = &d->kept_reads;
    if (row * sizeof(float) > s->cache_bytes / (size_t)(4 * s->n_sides) / (size_t)s->cells)
        return;
    r->rows = malloc((size_t)d->by.reads.n_rows * sizeof *r->rows);
    d->kept = r->rows ? malloc(row * (size_t)s->cells * sizeof *d->kept) : NULL;
    if (!d->kept) {
        metric_reads_free(r);
        return;
    }
    memcpy(r->rows, d->by.reads.rows, (size_t)d->by.reads.n_rows * sizeof *r->rows);
    r->n_rows = d->by.reads.n_rows;
}

uint8_t sweep_keep(struct sweep *s, struct sweep_side *d, int32_t cell,
                   const struct edit_program *p, const struct wave_value *v)
{
    size_t row = (size_t)d->by.reads.n_rows * (size_t)s->m->cfg.d_model;
    if (!d->kept)
        keep_open(s, d, row);
    if (!d->kept || !ends_with_stream(s, p) || d->kept_reads.n_rows != d->by.reads.n_rows ||
        memcmp(d->kept_reads.rows, d->by.reads.rows,
               (size_t)d->by.reads.n_rows * sizeof(int32_t)) != 0)
        return CELL_DONE;
    memcpy(d->kept + (size_t)cell * row, v->resid, row * sizeof *d->kept);
    return CELL_KEPT;
}

/* Where a row that the metric reads is among the kept ones, or -1. */
static int32_t kept_row(const struct sweep_side *d, int32_t row)
{
    for (int32_t i = 0; i < d->kept_reads.n_rows; i++)
        if (d->kept_reads.rows[i] == row)
            return i;
    return -1;
}

/* Memory on the device for `rows` rows of the stream and the logits that a metric reads of them,
 * and what comes to the host. */
struct unembedding {
    struct kn_backend *be;
    struct run *run;
    float *mem, *x, *logits;
    size_t bytes;
    int64_t rows, d, v; /* v: logits of a row */
};

static int unembedding_open(struct unembedding *u, struct run *r, const struct metric_reads *reads,
                            int64_t rows, struct err *e)
{
    const struct config *c = &run_model(r)->cfg;
    *u = (struct unembedding){.be = model_backend(run_model(r), c->n_layers + 1),
                              .run = r,
                              .rows = rows,
                              .d = c->d_model,
                              .v = reads->n_tokens ? reads->n_tokens : c->d_vocab};
    u->bytes = (size_t)rows * (size_t)(u->d + u->v) * sizeof(float);
    u->mem = u->be->type->alloc(u->be, u->bytes);
    u->x = malloc((size_t)rows * (size_t)u->d * sizeof *u->x);
    u->logits = malloc((size_t)rows * (size_t)u->v * sizeof *u->logits);
    if (!u->mem)
        return run_no_room(u->be, e, "logits");
    return u->x && u->logits ? 0 : err_memory(e, "logits");
}

static void unembedding_close(struct unembedding *u)
{
    if (u->mem)
        u->be->type->release(u->be, u->mem, u->bytes);
    free(u->x), free(u->logits);
}

/* u->x -> u->logits, n rows. */
static int unembedding_run(struct unembedding *u, const struct metric_reads *r, int64_t n,
                           struct err *e)
{
    struct kn_view x = kn_view2(u->mem, KN_F32, n, u->d),
                   out = kn_moved(kn_view2(u->mem, KN_F32, n, u->v), u->rows * u->d);
    int rc = run_write(u->be, &x, u->x, e);
    if (!rc)
        rc = r->n_tokens ? run_unembed_tokens(u->run, &x, r->tokens, r->n_tokens, &out, e)
                         : run_unembed(u->run, &x, &out, e);
    return rc ? rc : run_fetch(u->be, &out, u->logits, e);
}

/* The metric of cells list[n] from their kept rows; together no more than u->rows. */
static int cells_measure(struct sweep_side *d, struct unembedding *u, const int32_t *list,
                         int32_t n, struct err *e)
{
    const struct metric_reads *r = &d->by.reads;
    size_t kept = (size_t)d->kept_reads.n_rows * (size_t)u->d;
    for (int32_t i = 0; i < n; i++)
        for (int32_t k = 0; k < r->n_rows; k++)
            memcpy(u->x + (size_t)(i * r->n_rows + k) * (size_t)u->d,
                   d->kept + (size_t)list[i] * kept +
                       (size_t)kept_row(d, r->rows[k]) * (size_t)u->d,
                   (size_t)u->d * sizeof *u->x);
    int rc = unembedding_run(u, r, (int64_t)n * r->n_rows, e);
    for (int32_t i = 0; i < n && !rc; i++) {
        const float *logits = u->logits + (size_t)i * (size_t)r->n_rows * (size_t)u->v;
        d->value[list[i]] = metric_of(&d->by.metric, r, logits, d->by.logits,
                                      d->target.input.tokens, d->target.input.n,
                                      run_model(u->run)->cfg.d_vocab);
    }
    return rc;
}

int sweep_keep_measure(struct sweep *s, struct sweep_side *d, struct err *e)
{
    const struct metric_reads *r = &d->by.reads;
    bool all = d->kept != NULL;
    for (int32_t k = 0; k < r->n_rows; k++)
        all &= d->kept && kept_row(d, r->rows[k]) >= 0;
    int64_t v = r->n_tokens ? r->n_tokens : s->m->cfg.d_vocab,
            fit = BLOCK_BYTES / (v * (int64_t)sizeof(float)) / r->n_rows;
    int32_t list[256], n = 0, most = fit < 1 ? 1 : fit < 256 ? (int32_t)fit : 256;
    struct unembedding u = {0};
    int rc = all ? unembedding_open(&u, d->base, r, (int64_t)most * r->n_rows, e) : 0;
    for (int32_t cell = 0; cell <= s->cells && !rc; cell++) {
        if (cell < s->cells && d->state[cell] == CELL_DONE)
            d->state[cell] = CELL_WAITS;
        else if (cell < s->cells && all && d->state[cell] == CELL_KEPT)
            list[n++] = cell;
        if (n == most || (cell == s->cells && n)) {
            rc = cells_measure(d, &u, list, n, e);
            n = 0;
        }
    }
    for (int32_t cell = 0; cell < s->cells && (rc || !all); cell++)
        d->state[cell] = d->state[cell] == CELL_GONE ? CELL_GONE : CELL_WAITS;
    unembedding_close(&u);
    return rc;
}
