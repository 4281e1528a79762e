/* wave_answer.c - the final stage of a chunk, and what is handed out of it.
 *
 * From here on a variant is its wanted positions, each on its own; one that holds the base's
 * values gets what the base has there. */
#include "run/wave_parts.h"

#include <stdlib.h>
#include <string.h>

static int64_t columns(const struct wave *w)
{
    return w->want->n_tokens ? w->want->n_tokens : w->base->m->cfg.d_vocab;
}

int wave_read(const struct wave *w, struct run *r, float *resid, float *logits, struct err *e)
{
    const struct wave_want *want = w->want;
    int64_t d = w->base->m->cfg.d_model;
    struct site_ref stream = run_lens_site(w->base->m, w->base->m->cfg.n_layers);
    int rc = 0;
    for (int32_t i = 0; !rc && i < want->n_rows; i++)
        rc = run_read(r, stream, want->rows[i], want->rows[i] + 1, resid + i * d, NULL, e);
    return rc || !wave_has_logits(w)
               ? rc
               : run_logits(r, want->rows, want->n_rows, want->tokens, want->n_tokens, logits, e);
}

/* The base's answer, computed when first needed. */
static int base_read(struct wave *w, struct err *e)
{
    int rc = w->base_read ? 0 : wave_read(w, w->base, w->base_resid, w->base_logits, e);
    w->base_read |= !rc;
    return rc;
}

/* Rows of a buffer of the device, without gaps, to the host. */
static int rows_fetch(struct wave *w, int32_t stage, const struct buffer *b, int64_t rows,
                      int64_t width, float **to, struct err *e)
{
    struct kn_view v = kn_view2(b->mem, KN_F32, rows, width);
    float *more = realloc(*to, (size_t)(rows * width) * sizeof *more + 1);
    if (!more)
        return err_memory(e, "%lld rows of logits", (long long)rows);
    *to = more;
    return rows ? run_fetch(stage_backend(w->base, stage), &v, more, e) : 0;
}

/* Answers are counted by row: n_rows of every variant, one variant after the other. */
static const struct live *row_variant(const struct wave *w, const struct chunk *c, int64_t at)
{
    return &c->v[at / w->want->n_rows];
}

/* The positions of answers [from, *to) that the final stage computes, as many as logits have room
 * for. */
static int32_t pieces_make(struct wave *w, const struct chunk *c, int64_t from, int64_t *to)
{
    int32_t n = 0, last = w->base->m->cfg.n_layers + 1;
    int64_t fit = WAVE_LOGITS / columns(w), all = (int64_t)c->n * w->want->n_rows;
    enum site_id stream = site_stream(&w->base->m->cfg, last - 2);
    fit = fit < 1 ? 1 : fit < w->rows_max ? fit : w->rows_max;
    for (*to = from; *to < all && n < fit; ++*to) {
        const struct live *v = row_variant(w, c, *to);
        int32_t row = w->want->rows[*to % w->want->n_rows];
        struct span here = {row, row + 1};
        bool edits = v->instrs.n &&
                     run_instr_stage(w->base, &v->instrs.list[v->instrs.n - 1]) == last;
        if (!edits && !span_n(span_cut(v->prev[stream].rows, here)))
            continue;
        w->piece[n] = *v;
        w->piece[n].clip = here;
        w->piece[n++].answer = *to;
    }
    return n;
}

/* The final stage of some positions, its logits to w->rows_logits. */
static int pieces_run(struct wave *w, struct chunk *p, struct err *e)
{
    int32_t last = w->base->m->cfg.n_layers + 1;
    bool edited = false;
    p->v = w->piece, p->stage = last;
    for (int32_t i = 0; i < p->n; i++)
        edited |= wave_has_edits(&p->v[i], last, SITE_UNEMBED_OUT) ||
                  wave_has_edits(&p->v[i], last, SITE_LOGITS);
    w->picks = w->want->n_tokens && !edited;
    w->out = w->picks ? SITE_UNEMBED_OUT : site_logits(&w->base->m->cfg);
    int rc = wave_stage(w, p, e);
    return rc || !wave_has_logits(w)
               ? rc
               : rows_fetch(w, last, &w->now[w->out], p->rows[w->out],
                            w->picks ? w->want->n_tokens : w->base->m->cfg.d_vocab, &w->rows_logits,
                            e);
}

/* One row of an answer: what was computed (p: of its piece, or NULL), else the base's. */
static int row_answer(struct wave *w, const struct chunk *c, int64_t at, const struct live *p,
                      struct err *e)
{
    const struct config *cfg = &w->base->m->cfg;
    const struct place *resid = &row_variant(w, c, at)->prev[site_stream(cfg, cfg->n_layers - 1)];
    int64_t k = at % w->want->n_rows, d = cfg->d_model, cols = columns(w),
            width = w->picks ? cols : cfg->d_vocab;
    int32_t row = w->want->rows[k];
    bool own = row >= resid->rows.lo && row < resid->rows.hi,
         made = p && span_n(p->now[w->out].rows);
    int rc = own && (made || !wave_has_logits(w)) ? 0 : base_read(w, e);
    if (rc)
        return rc;
    memcpy(w->resid + k * d,
           own ? w->rows_resid + (resid->at + row - resid->rows.lo) * d : w->base_resid + k * d,
           (size_t)d * sizeof(float));
    if (!wave_has_logits(w))
        return 0;
    const float *from = made ? w->rows_logits + p->now[w->out].at * width
                             : w->base_logits + k * cols;
    bool all = made && w->want->n_tokens && !w->picks;
    for (int64_t i = 0; i < cols; i++)
        w->logits[k * cols + i] = from[all ? w->want->tokens[i] : i];
    return 0;
}

int wave_answer(struct wave *w, struct chunk *c, int32_t *done, struct err *e)
{
    int32_t last = w->base->m->cfg.n_layers + 1, n_rows = w->want->n_rows;
    enum site_id stream = site_stream(&w->base->m->cfg, last - 2);
    int rc = rows_fetch(w, last - 1, &w->prev[stream], c->rows[stream], w->base->m->cfg.d_model,
                        &w->rows_resid, e);
    for (int64_t from = 0, to; !rc && from < (int64_t)c->n * n_rows; from = to) {
        struct chunk pieces = {.n = pieces_make(w, c, from, &to)};
        const struct live *p = w->piece, *end = p + pieces.n;
        rc = pieces_run(w, &pieces, e);
        for (int64_t at = from; !rc && at < to; at++) {
            bool made = p < end && p->answer == at;
            struct wave_value value = {row_variant(w, c, at)->variant,
                                       wave_has_logits(w) ? w->logits : NULL, w->resid};
            rc = row_answer(w, c, at, made ? p : NULL, e);
            p += made;
            if (rc || (at + 1) % n_rows)
                continue;
            ++*done;
            rc = w->done(w->user, &value, e);
        }
        for (int s = 0; s < SITE_COUNT; s++)
            wave_release(w, &w->now[s]);
    }
    return rc;
}
