/* wave_attn.c - attention of the variants of a chunk: scores, softmax and mix, one variant after
 * the other, over the base's keys and values and the variant's own.
 *
 * Keys and values before and behind a variant's own rows are the base's: three calls, which give
 * the bits of one (ops.def).  Scores and patterns live for one block of dest positions. */
#include "run/wave_parts.h"

#include <assert.h>

enum { SQUARE_FLOATS = 1 << 20 }; /* of a block's scores at most */

/* Attention over keys or values of every position. */
static int over_all(struct wave *w, const struct chunk *c, const struct live *v,
                    struct kn_call *call, enum site_id all, struct err *e)
{
    bool scores = call->op == KN_OP_ATTN_SCORES;
    struct kn_view whole = scores ? call->out[0] : call->in[0];
    struct span own = v->now[all].rows;
    int32_t n = w->base->n, end[4] = {0, own.lo, own.hi, n};
    if (!span_n(own))
        end[1] = end[2] = n;
    for (int part = 0; part < 3; part++) {
        struct span at = {end[part], end[part + 1]};
        if (!span_n(at))
            continue;
        call->in[1] = part == 1 ? wave_own_view(w, c, v, all, at)
                                : run_rows(w->base, NULL, c->stage, all, at.lo, span_n(at), 0);
        call->p.src0 = at.lo;
        *(scores ? &call->out[0] : &call->in[0]) = kn_slice(whole, 2, at.lo, at.hi);
        call->p.accumulate = !scores && at.lo > 0;
        int rc = run_status(kn_run(stage_backend(w->base, c->stage), call), e);
        if (rc)
            return rc;
    }
    return 0;
}

/* Rows of an operand: own ones where they lie, else brought together. */
static int operand_get(struct wave *w, const struct chunk *c, const struct live *v, enum site_id s,
                       struct span rows, struct buffer *b, struct kn_view *out, struct err *e)
{
    struct span own = v->now[s].rows;
    if (rows.lo >= own.lo && rows.hi <= own.hi) {
        *out = wave_own_view(w, c, v, s, rows);
        return 0;
    }
    int rc = wave_reserve(w, c->stage, b, span_n(rows) * run_pitch(w->worker, s), e);
    *out = run_site_view(w->worker, s, b->mem, 0, span_n(rows), w->base->n);
    return rc ? rc : wave_copy_rows(w, c, v, c->stage, s, rows, out, e);
}

/* One step of one variant on the rows of the block. */
static int attention_step(struct wave *w, struct chunk *c, const struct live *v,
                          const struct step *s, struct err *e)
{
    const struct place *p = &v->now[s->site];
    struct span rows = span_cut(p->rows, c->block);
    struct kn_call call = {.op = s->op, .p = s->p};
    enum site_id all = SITE_COUNT;
    int rc = 0;
    if (!span_n(rows))
        return 0;
    call.out[0] = wave_own_view(w, c, v, s->site, rows);
    call.p.dest0 = rows.lo;
    for (int i = 0; !rc && !p->given && i < KN_IN_MAX; i++) {
        const struct operand *o = &s->in[i];
        if (o->kind == OPERAND_ALL)
            all = (enum site_id)o->id;
        else if (o->kind == OPERAND_SITE)
            rc = operand_get(w, c, v, wave_source(w, c, (enum site_id)o->id), rows, &w->operand[i],
                             &call.in[i], e);
        else if (o->kind == OPERAND_WEIGHT)
            call.in[i] = *run_device_weight(w->base, c->stage - 1, (enum weight_id)o->id);
        else
            assert(o->kind == OPERAND_NONE);
    }
    if (!rc && p->given) {
        struct kn_view from;
        if (!(rc = wave_base_view(w, c->stage, s->site, rows, &from, e)))
            rc = run_copy(stage_backend(w->base, c->stage), &call.out[0], &from, e);
    } else if (!rc) {
        rc = all != SITE_COUNT ? over_all(w, c, v, &call, all, e)
                               : run_status(kn_run(stage_backend(w->base, c->stage), &call), e);
    }
    if (!rc && wave_has_edits(v, c->stage, s->site)) {
        struct kn_view view = wave_own_view(w, c, v, s->site, rows);
        rc = wave_edit(w, c, v, s->site, &view, rows, e);
    }
    return rc;
}

int wave_attention(struct wave *w, struct chunk *c, int32_t first, int32_t end, struct err *e)
{
    int32_t most = 0;
    int rc = 0;
    for (int32_t i = 0; i < c->n; i++) {
        struct span rows = {0, 0};
        for (int32_t k = first; k < end; k++)
            rows = span_hull(rows, c->v[i].now[c->steps[k].site].rows);
        most = span_n(rows) > most ? span_n(rows) : most;
    }
    if (!most)
        return 0;
    size_t part = w->base->cache_bytes / (8 * sizeof(float)); /* of the budget, for either */
    int64_t pitch = run_pitch(w->worker, SITE_ATTN_SCORES),
            fit = (part < SQUARE_FLOATS ? (int64_t)part : SQUARE_FLOATS) / pitch;
    c->block_rows = fit < 1 ? 1 : fit < most ? (int32_t)fit : most;
    for (int32_t k = first; !rc && k < end; k++) {
        enum site_id s = c->steps[k].site;
        int64_t rows = site_is_attention(s) ? c->block_rows : c->rows[s] ? c->rows[s] : 1;
        rc = wave_reserve(w, c->stage, &w->now[s], rows * run_pitch(w->worker, s), e);
    }
    for (int32_t i = 0; !rc && i < c->n; i++) {
        struct span rows = {0, 0};
        for (int32_t k = first; k < end; k++)
            rows = span_hull(rows, c->v[i].now[c->steps[k].site].rows);
        for (c->block.lo = rows.lo; !rc && c->block.lo < rows.hi; c->block.lo = c->block.hi) {
            c->block.hi = c->block.lo + c->block_rows;
            for (int32_t k = first; !rc && k < end; k++)
                rc = attention_step(w, c, &c->v[i], &c->steps[k], e);
        }
        if (!rc && run_cancelled(w->base))
            rc = run_status(KN_CANCELLED, e);
    }
    return rc;
}
