/* wave_values.c - where a wave's values lie: buffers, own rows, the base's rows. */
#include "run/wave_parts.h"

#include <string.h>

/* Let one of the spare buffers go for good. */
static void spare_drop(struct wave *w, int32_t i)
{
    run_release(&w->spare[i]);
    w->spare[i] = w->spare[--w->n_spare];
    w->spare[w->n_spare] = (struct buffer){0};
}

int wave_reserve(struct wave *w, int32_t stage, struct buffer *b, int64_t floats, struct err *e)
{
    struct kn_backend *be = stage_backend(w->base, stage);
    int32_t best = -1; /* the least that is large enough, else the largest */
    if (b->be == be && b->floats >= (size_t)floats)
        return 0;
    wave_release(w, b);
    for (int32_t i = 0; i < w->n_spare; i++) {
        size_t have = w->spare[i].floats, most = best < 0 ? 0 : w->spare[best].floats;
        if (w->spare[i].be == be &&
            (most < (size_t)floats ? have > most : have >= (size_t)floats && have < most))
            best = i;
    }
    if (best >= 0 && w->spare[best].floats < (size_t)floats) { /* what is too small has to go */
        spare_drop(w, best);
        best = -1;
    }
    if (best < 0)
        return run_reserve(be, b, floats, e);
    *b = w->spare[best];
    w->spare[best] = w->spare[--w->n_spare];
    w->spare[w->n_spare] = (struct buffer){0};
    return 0;
}

void wave_release(struct wave *w, struct buffer *b)
{
    if (!b->mem)
        return;
    int32_t least = 0;
    for (int32_t i = 0; i < w->n_spare; i++)
        least = w->spare[i].floats < w->spare[least].floats ? i : least;
    if (w->n_spare == WAVE_SPARE)
        spare_drop(w, least);
    w->spare[w->n_spare++] = *b;
    *b = (struct buffer){0};
}

void wave_free(struct wave *w)
{
    for (int s = 0; s < SITE_COUNT; s++)
        run_release(&w->now[s]), run_release(&w->prev[s]);
    for (int i = 0; i < KN_IN_MAX; i++)
        run_release(&w->operand[i]);
    while (w->n_spare)
        spare_drop(w, 0);
}

int wave_base_view(struct wave *w, int32_t stage, enum site_id s, struct span rows,
                   struct kn_view *out, struct err *e)
{
    struct run *base = w->base;
    struct site_ref site = {s, site_table[s].scope == SCOPE_BLOCK ? stage - 1 : SITE_ROOT};
    /* All rows at once, so that what has to be computed again is so once for all variants. */
    if (site_is_attention(s) || base->n > run_frame_rows(base, stage, s))
        return run_view(base, site, rows.lo, rows.hi, out, e);
    int rc = run_view(base, site, 0, base->n, out, e);
    if (!rc)
        *out = kn_slice(*out, site_row_axis(s), rows.lo, rows.hi);
    return rc;
}

/* Rows of a place, whose buffer is b. */
static struct kn_view place_view(const struct wave *w, enum site_id s, const struct buffer *b,
                                 const struct place *p, struct span rows)
{
    return run_site_view(w->worker, s, b->mem, p->at + rows.lo - p->rows.lo, span_n(rows), 0);
}

struct kn_view wave_own_view(const struct wave *w, const struct chunk *c, const struct live *v,
                             enum site_id s, struct span rows)
{
    if (site_is_attention(s))
        return run_site_view(w->worker, s, w->now[s].mem, rows.lo - c->block.lo, span_n(rows),
                             w->base->n);
    return place_view(w, s, &w->now[s], &v->now[s], rows);
}

int wave_copy_rows(struct wave *w, const struct chunk *c, const struct live *v, int32_t stage,
                   enum site_id s, struct span rows, const struct kn_view *to, struct err *e)
{
    int axis = site_row_axis(s), rc = 0;
    bool prev = stage == c->stage - 1;
    struct kn_backend *be = stage_backend(w->base, c->stage);
    struct span theirs = prev                ? v->prev[s].rows
                         : stage == c->stage ? v->now[s].rows
                                             : (struct span){0, 0},
                own = span_cut(theirs, rows), part[3] = {{rows.lo, own.lo}, own, {own.hi, rows.hi}};
    if (!span_n(own))
        part[0] = rows, part[1] = part[2] = own;
    for (int i = 0; !rc && i < 3; i++) {
        struct kn_view from, here;
        if (!span_n(part[i]))
            continue;
        here = kn_slice(*to, axis, part[i].lo - rows.lo, part[i].hi - rows.lo);
        if (i == 1)
            from = prev ? place_view(w, s, &w->prev[s], &v->prev[s], own)
                        : wave_own_view(w, c, v, s, own);
        else
            rc = wave_base_view(w, stage, s, part[i], &from, e);
        rc = rc ? rc : run_copy(be, &here, &from, e);
    }
    return rc;
}

int wave_edit(struct wave *w, const struct chunk *c, const struct live *v, enum site_id s,
              const struct kn_view *view, struct span rows, struct err *e)
{
    w->worker->instrs = v->instrs;
    int rc = run_edits_apply(w->worker, c->stage, s, view, rows.lo, e);
    w->worker->instrs = (struct run_instrs){0};
    return rc;
}
