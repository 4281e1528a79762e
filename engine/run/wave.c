/* wave.c - many variants of one run (see wave.h): their order, chunks, and those that go alone.
 *
 * Variants join a chunk until its rows are as many as products need to be fast.  A chunk that
 * fails, but for being cancelled, goes alone, variant by variant, so that an error comes where and
 * as a fork tells it. */
#include "run/wave.h"

#include <assert.h>
#include <stdlib.h>

#include "run/wave_parts.h"

/* Multiply-adds of a chunk: a second or two, so that answers keep coming from a large model. */
#define WAVE_WORK 2.5e11

/* The edits of a variant with its tokens among them; *own: to be freed by the caller. */
static int variant_program(const struct wave *w, const struct wave_variant *v,
                           const struct edit_program **out, struct edit_program **own,
                           struct err *e)
{
    const struct run *base = w->base;
    *own = NULL;
    *out = v->prog;
    if (!v->tokens)
        return 0;
    if (base->image || base->given)
        return err_set(e, ERR_BAD_INPUT, "a variant with other tokens · this run has no tokens");
    *own = edit_program_tokens(v->prog, &base->m->cfg, v->tokens, base->tokens, base->n);
    *out = *own;
    return *own ? 0 : err_memory(e, "%d tokens", base->n);
}

static int alone(struct wave *w, int32_t i, struct err *e)
{
    const struct wave_variant *v = &w->variants[i];
    const struct edit_program *prog;
    struct edit_program *own;
    struct run_options opt = {w->base->cache_bytes, w->base->frame_bytes};
    int rc = variant_program(w, v, &prog, &own, e);
    if (!rc && !w->fork && !(w->fork = run_create(w->base->m, w->base, &opt, e)))
        rc = err_code(e);
    if (!rc)
        rc = run_sync(w->fork, (struct run_input){0}, prog, v->sources, NULL, e);
    if (!rc)
        rc = wave_read(w, w->fork, w->resid, w->logits, e);
    struct wave_value value = {i, wave_has_logits(w) ? w->logits : NULL, w->resid};
    rc = rc ? rc : w->done(w->user, &value, e);
    edit_program_free(own);
    return rc;
}

/* Does no edit need more than its own rows' values, in the order of the steps? */
static bool travels(const struct wave *w, const struct edit_program *p)
{
    bool both_ways = w->base->m->cfg.bidirectional;
    for (int32_t i = 0; p && i < p->n_instrs; i++) {
        const struct edit_instr *a = &p->instrs[i];
        enum site_id s = a->site.id;
        if ((a->full && !both_ways) || a->expert || s == SITE_ROT_COS || s == SITE_ROT_SIN ||
            s == SITE_ROT_COS_LOCAL || s == SITE_ROT_SIN_LOCAL)
            return false;
    }
    return !p || !p->n_weights;
}

/* The rows that a variant can have where it has the most. */
static int32_t most_rows(const struct wave *w, const struct run_instrs *l)
{
    struct span rows = {w->base->n, w->base->n};
    for (int32_t i = 0; i < l->n; i++)
        rows.lo = l->list[i].row_min < rows.lo ? l->list[i].row_min : rows.lo;
    rows.hi = w->base->m->cfg.bidirectional ? rows.hi : w->want->rows[w->want->n_rows - 1] + 1;
    return span_n(rows) ? span_n(rows) : 1;
}

/* Take variant i into the chunk, which then has *rows; *joins: false where it has to go alone, or
 * must wait for the next one. */
static int chunk_join(struct wave *w, struct chunk *c, int32_t i, int32_t *rows, bool *joins,
                      struct err *e)
{
    struct run *worker = w->worker;
    const struct edit_program *prog;
    struct edit_program *own;
    *joins = false;
    int rc = variant_program(w, &w->variants[i], &prog, &own, e);
    if (!rc && travels(w, prog) &&
        !run_edits_set(worker, prog, w->variants[i].sources, NULL)) { /* refused: told alone */
        struct run_instrs l = worker->instrs;
        int32_t n = most_rows(w, &l);
        worker->instrs = (struct run_instrs){0};
        *joins = *rows + n <= w->rows_max;
        if (*joins) {
            c->v[c->n++] = (struct live){.variant = i, .clip = {0, w->base->n}, .instrs = l};
            *rows += n;
        } else {
            run_instrs_free(&l);
        }
    }
    edit_program_free(own);
    return rc;
}

/* The chunk through all stages, from that of the first edit on. */
static int chunk_run(struct wave *w, struct chunk *c, int32_t *done, struct err *e)
{
    int32_t n_layers = w->base->m->cfg.n_layers;
    int rc = 0;
    c->stage = n_layers;
    for (int32_t i = 0; i < c->n; i++) {
        const struct run_instrs *l = &c->v[i].instrs;
        int32_t stage = l->n ? run_instr_stage(w->base, &l->list[0]) : n_layers;
        c->stage = stage < c->stage ? stage : c->stage;
    }
    for (;; c->stage++) {
        if ((rc = wave_stage(w, c, e)))
            return rc;
        wave_stage_leave(w, c);
        if (c->stage == n_layers)
            return wave_answer(w, c, done, e);
    }
}

static void chunk_clear(struct wave *w, struct chunk *c)
{
    for (int32_t i = 0; i < c->n; i++)
        run_instrs_free(&c->v[i].instrs);
    for (int s = 0; s < SITE_COUNT; s++)
        wave_release(w, &w->now[s]), wave_release(w, &w->prev[s]);
    c->n = 0;
}

/* Variants from *at on, which moves behind those that were handed out. */
static int next_chunk(struct wave *w, int32_t *at, int32_t n, struct err *e)
{
    struct chunk c = {.v = w->live};
    int32_t rows = 0, first = *at, done = 0;
    bool joins = w->rows_max > 0;
    int rc = 0;
    for (int32_t i = first; !rc && joins && i < n; i++)
        rc = chunk_join(w, &c, i, &rows, &joins, e);
    int32_t count = c.n ? c.n : 1;
    if (!rc && c.n > 1)
        rc = chunk_run(w, &c, &done, e);
    chunk_clear(w, &c);
    *at = first + count;
    bool again = rc && rc != ERR_CANCELLED && !done;
    if (rc && !again)
        return rc;
    for (int32_t i = first; i < *at && (again || count == 1); i++)
        if ((rc = alone(w, i, e)))
            return rc;
    return 0;
}

/* Rows of a chunk within the budget; none where the base is more than a plain run. */
static int32_t rows_max(const struct wave *w)
{
    const struct run *b = w->base;
    int64_t floats = 0;
    if (b->base || b->instrs.n || b->weights.n || b->called.n || b->stop != INT32_MAX)
        return 0;
    for (int s = 0; s < SITE_COUNT; s++)
        if (site_table[s].scope == SCOPE_BLOCK && b->m->plan->always[s] &&
            !site_is_attention((enum site_id)s))
            floats += run_pitch(b, (enum site_id)s);
    /* three quarters for these, though not all of them live at once; the rest for scores */
    size_t fit = b->cache_bytes / 4 * 3 / ((size_t)floats * sizeof(float)),
           work = (size_t)(WAVE_WORK / (double)(b->m->active + 1));
    work = work < WAVE_ROWS_LEAST ? WAVE_ROWS_LEAST : work < WAVE_ROWS ? work : WAVE_ROWS;
    return (int32_t)(fit < work ? fit : work);
}

static int wave_open(struct wave *w, struct err *e)
{
    struct run *base = w->base;
    const struct config *cfg = &base->m->cfg;
    const struct wave_want *want = w->want;
    size_t rows = (size_t)want->n_rows,
           columns = want->n_tokens ? (size_t)want->n_tokens : (size_t)cfg->d_vocab,
           d = (size_t)cfg->d_model, answer = rows * (d + (wave_has_logits(w) ? columns : 0));
    w->rows_max = rows_max(w);
    w->resid = malloc(2 * answer * sizeof *w->resid);
    w->need = calloc((size_t)plan_stages(base->m->plan) * SITE_COUNT, sizeof *w->need);
    w->live = malloc(((size_t)w->rows_max + 1) * sizeof *w->live);
    w->piece = malloc(((size_t)w->rows_max + 1) * sizeof *w->piece);
    w->ids = malloc((2 * (size_t)w->rows_max + 1) * sizeof *w->ids);
    if (!w->resid || !w->need || !w->live || !w->piece || !w->ids)
        return err_memory(e, "%d rows of logits", want->n_rows);
    w->logits = w->resid + rows * d;
    w->base_resid = w->resid + answer, w->base_logits = w->base_resid + rows * d;
    if (!w->rows_max)
        return 0;
    struct run_options opt = {.frame_bytes = base->frame_bytes};
    if (!(w->worker = run_create(base->m, base, &opt, e)))
        return err_code(e);
    w->worker->start = base->start;
    int rc = run_set_capacity(w->worker, base->n, e);
    w->worker->n = base->n;
    wave_need(w);
    return rc || !want->n_tokens || !wave_has_logits(w)
               ? rc
               : run_picked_open(&w->picked, base, want->tokens, want->n_tokens, e);
}

int wave_run(struct run *base, const struct wave_variant *v, int32_t n,
             const struct wave_want *want, wave_fn *done, void *user, struct err *e)
{
    struct wave w = {.base = base, .variants = v, .want = want, .done = done, .user = user};
    assert(base->dirty_order == ORDER_NONE && want->n_rows > 0 &&
           want->rows[want->n_rows - 1] < base->n);
    int rc = wave_open(&w, e);
    for (int32_t at = 0; !rc && at < n;)
        rc = next_chunk(&w, &at, n, e);
    if (rc)
        base->m->be->type->sync(base->m->be); /* no read is left waiting */
    run_picked_close(&w.picked);
    wave_free(&w);
    run_free(w.worker);
    run_free(w.fork);
    free(w.resid), free(w.need), free(w.live), free(w.piece), free(w.ids);
    free(w.rows_logits), free(w.rows_resid);
    return rc;
}
