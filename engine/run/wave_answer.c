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

/* Positions of variants [from, *to) that the final stage computes: as many variants as logits have
 * room for, one at least. */
static int32_t pieces_make(struct wave *w, const struct chunk *c, int32_t from, int32_t *to)
{
    int32_t n = 0, last = w->base->m->cfg.n_layers + 1;
    enum site_id stream = site_stream(&w->base->m->cfg, last - 2);
    int64_t room = wave_piece_room(w), fit = WAVE_LOGITS / columns(w);
    fit = fit < room ? fit : room;
    for (*to = from; *to < c->n; ++*to) {
        const struct live *v = &c->v[*to];
        bool edits = v->instrs.n &&
                     run_instr_stage(w->base, &v->instrs.list[v->instrs.n - 1]) == last;
        if (*to > from && n + w->want->n_rows > fit)
            break;
        for (int32_t i = 0; i < w->want->n_rows; i++) {
            struct span row = {w->want->rows[i], w->want->rows[i] + 1};
            if (!edits && !span_n(span_cut(v->prev[stream].rows, row)))
                continue;
            w->piece[n] = *v;
            w->piece[n].clip = row;
            w->piece[n].variant = *to;
            n++;
        }
    }
    return n;
}

/* Logits that one piece came to. */
static void piece_take(const struct wave *w, const float *row, float *to)
{
    for (int64_t k = 0; k < columns(w); k++)
        to[k] = row[w->want->n_tokens && !w->picks ? w->want->tokens[k] : k];
}

/* Of one variant of the chunk, from the base's answer and what was computed. */
static int variant_answer(struct wave *w, const struct chunk *c, int32_t i,
                          const struct chunk *pieces, struct err *e)
{
    const struct live *v = &c->v[i];
    int64_t d = w->base->m->cfg.d_model, cols = columns(w),
            width = w->picks ? cols : w->base->m->cfg.d_vocab;
    const struct place
        *resid = &v->prev[site_stream(&w->base->m->cfg, w->base->m->cfg.n_layers - 1)];
    enum site_id out = w->picks ? SITE_UNEMBED_OUT : site_logits(&w->base->m->cfg);
    int32_t at = 0;
    int rc = 0;
    while (at < pieces->n && pieces->v[at].variant < i)
        at++;
    for (int32_t k = 0; !rc && k < w->want->n_rows; k++) {
        int32_t row = w->want->rows[k];
        bool own = row >= resid->rows.lo && row < resid->rows.hi;
        const struct live *p = at < pieces->n && pieces->v[at].variant == i &&
                                       pieces->v[at].clip.lo == row
                                   ? &pieces->v[at++]
                                   : NULL;
        bool made = p && span_n(p->now[out].rows);
        if (!own || (wave_has_logits(w) && !made))
            rc = base_read(w, e);
        if (rc)
            break;
        memcpy(w->resid + k * d,
               own ? w->rows_resid + (resid->at + row - resid->rows.lo) * d : w->base_resid + k * d,
               (size_t)d * sizeof(float));
        if (made)
            piece_take(w, w->rows_logits + p->now[out].at * width, w->logits + k * cols);
        else if (wave_has_logits(w))
            memcpy(w->logits + k * cols, w->base_logits + k * cols, (size_t)cols * sizeof(float));
    }
    struct wave_value value = {v->variant, wave_has_logits(w) ? w->logits : NULL, w->resid};
    return rc ? rc : w->done(w->user, &value, e);
}

/* The final stage of some positions, its logits to w->rows_logits. */
static int pieces_run(struct wave *w, struct chunk *p, struct err *e)
{
    int32_t last = w->base->m->cfg.n_layers + 1;
    *p = (struct chunk){.v = w->piece, .n = p->n, .stage = last};
    bool edited = false;
    for (int32_t i = 0; i < p->n; i++)
        edited |= wave_has_edits(&p->v[i], last, SITE_UNEMBED_OUT) ||
                  wave_has_edits(&p->v[i], last, SITE_LOGITS);
    w->picks = w->want->n_tokens && !edited;
    enum site_id out = w->picks ? SITE_UNEMBED_OUT : site_logits(&w->base->m->cfg);
    int rc = wave_stage(w, p, e);
    if (!rc && wave_has_logits(w))
        rc = rows_fetch(w, last, &w->now[out], p->rows[out],
                        w->picks ? w->want->n_tokens : w->base->m->cfg.d_vocab, &w->rows_logits, e);
    return rc;
}

int wave_answer(struct wave *w, struct chunk *c, int32_t *done, struct err *e)
{
    int32_t last = w->base->m->cfg.n_layers + 1;
    enum site_id stream = site_stream(&w->base->m->cfg, last - 2);
    int rc = rows_fetch(w, last - 1, &w->prev[stream], c->rows[stream], w->base->m->cfg.d_model,
                        &w->rows_resid, e);
    for (int32_t from = 0, to; !rc && from < c->n; from = to) {
        struct chunk pieces = {.n = pieces_make(w, c, from, &to)};
        rc = pieces_run(w, &pieces, e);
        for (int32_t i = from; !rc && i < to; i++) {
            ++*done;
            rc = variant_answer(w, c, i, &pieces, e);
        }
        for (int s = 0; s < SITE_COUNT; s++)
            wave_release(w, &w->now[s]);
    }
    return rc;
}
