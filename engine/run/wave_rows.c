/* wave_rows.c - which rows of which site are a variant's own, and which of them matter.
 *
 * Two walks over the plan: backwards from what is wanted, once for a wave; forwards from what
 * differs, for every chunk and stage.  A step that reads own rows makes own rows; attention over
 * own keys or values makes all later ones (all of them where it looks both ways).  An edit of a
 * site of which nothing else differs begins with the base's values there: what comes before need
 * not be computed; and rows that it leaves as they were are not the variant's own. */
#include "run/wave_parts.h"

#include <string.h>

static void need_add(struct span *need, enum site_id s, struct span rows)
{
    need[s] = span_hull(need[s], rows);
}

void wave_need(struct wave *w)
{
    const struct plan *plan = w->base->m->plan;
    const struct config *cfg = &w->base->m->cfg;
    const struct wave_want *want = w->want;
    int32_t last = cfg->n_layers + 1, n = w->base->n;
    struct span wanted = {want->rows[0], want->rows[want->n_rows - 1] + 1};
    memset(w->need, 0, (size_t)plan_stages(plan) * SITE_COUNT * sizeof *w->need);
    need_add(w->need + run_slot(last, 0), site_logits(cfg), wanted);
    need_add(w->need + run_slot(last - 1, 0), site_stream(cfg, cfg->n_layers - 1), wanted);
    for (int32_t stage = last; stage >= 0; stage--) {
        int32_t n_steps;
        const struct step *steps = plan_stage(plan, stage, &n_steps);
        struct span *need = w->need + run_slot(stage, 0);
        for (const struct step *s = steps + n_steps; s-- > steps;) {
            struct span rows = need[s->site];
            struct span seen = {0, s->p.full ? n : rows.hi};
            if (!span_n(rows))
                continue;
            if (step_is_routed(s))
                need_add(need, SITE_EXPERT_INDICES, rows);
            for (int i = 0; i < KN_IN_MAX; i++)
                switch (s->in[i].kind) {
                case OPERAND_SITE:
                case OPERAND_FLAT:
                case OPERAND_REPEAT: need_add(need, (enum site_id)s->in[i].id, rows); break;
                case OPERAND_ALL: need_add(need, (enum site_id)s->in[i].id, seen); break;
                case OPERAND_PREV:
                    need_add(need - SITE_COUNT, (enum site_id)s->in[i].id, rows);
                    break;
                case OPERAND_TOKENS: need_add(need, SITE_TOKENS, rows); break;
                default: break;
                }
        }
    }
}

enum site_id wave_source(const struct wave *w, const struct chunk *c, enum site_id s)
{
    enum site_id from = c->edited[s] ? s : site_copied(&w->base->m->cfg, s);
    return from == s ? s : wave_source(w, c, from);
}

bool wave_step_active(const struct wave *w, const struct chunk *c, const struct live *v,
                      const struct step *s)
{
    switch (s->when) {
    case STEP_IF_WANTED: /* a copy that some variant edits is made for all: a product reads it */
        return site_copied(&w->base->m->cfg, s->site) != s->site
                   ? c->edited[s->site]
                   : wave_has_edits(v, c->stage, s->site);
    case STEP_IF_EDITED: return wave_has_edits(v, c->stage, s->edited);
    default: return true;
    }
}

/* Rows of an operand that are the variant's own, as rows of what is made from it. */
static struct span operand_rows(const struct wave *w, const struct chunk *c, const struct live *v,
                                const struct operand *o)
{
    struct span rows;
    switch (o->kind) {
    case OPERAND_SITE: return v->now[wave_source(w, c, (enum site_id)o->id)].rows;
    case OPERAND_FLAT:
    case OPERAND_REPEAT: return v->now[o->id].rows;
    case OPERAND_PREV: return v->prev[o->id].rows;
    case OPERAND_TOKENS: return v->now[SITE_TOKENS].rows;
    case OPERAND_ALL:
        rows = v->now[o->id].rows;
        return !span_n(rows) ? rows : (struct span){c->full ? 0 : rows.lo, w->base->n};
    default: return (struct span){0, 0};
    }
}

/* The same of all that the steps from i on make the site of step i from. */
static struct span made_from(const struct wave *w, const struct chunk *c, const struct live *v,
                             int32_t i)
{
    struct span rows = {0, 0};
    for (const struct step *s = c->steps + i; s < c->steps + c->n_steps; s++) {
        if (s->site != c->steps[i].site || !wave_step_active(w, c, v, s))
            continue;
        for (int k = 0; k < KN_IN_MAX; k++)
            if (s->in[k].kind != OPERAND_SITE || s->in[k].id != (uint32_t)s->site)
                rows = span_hull(rows, operand_rows(w, c, v, &s->in[k]));
        if (step_is_routed(s))
            rows = span_hull(rows, v->now[SITE_EXPERT_INDICES].rows);
    }
    return rows;
}

/* Rows that edits of a site select. */
static struct span edit_rows(const struct live *v, int32_t stage, enum site_id s)
{
    struct span rows = {0, 0};
    int32_t first = v->instrs.first[run_slot(stage, s)];
    struct site_ref site = first >= 0 ? v->instrs.list[first].site : (struct site_ref){0};
    for (int32_t i = first; i >= 0 && i < v->instrs.n && site_same(v->instrs.list[i].site, site);
         i++) {
        struct span one;
        run_instr_rows(&v->instrs.list[i], &one.lo, &one.hi);
        rows = span_hull(rows, one);
    }
    return rows;
}

/* Have rows [0, n) of two host views of one shape the same bits at row i? */
static bool row_same(const struct kn_view *a, const struct kn_view *b, int axis, int64_t i)
{
    struct kn_view x = kn_slice(*a, axis, i, i + 1), y = kn_slice(*b, axis, i, i + 1);
    int64_t n[3], p[3], q[3];
    run_axes(&x, n, p), run_axes(&y, n, q);
    for (int64_t j = 0; j < n[0]; j++)
        for (int64_t k = 0; k < n[1]; k++)
            for (int64_t l = 0; l < n[2]; l++)
                if (memcmp(kn_f32(&x) + j * p[0] + k * p[1] + l * p[2],
                           kn_f32(&y) + j * q[0] + k * q[1] + l * q[2], sizeof(float)))
                    return false;
    return true;
}

/* Of rows that are the base's but for their edits, those that the edits change: known where the
 * host sees the values. */
static int rows_changed(struct wave *w, const struct chunk *c, const struct live *v, enum site_id s,
                        struct span *rows, struct err *e)
{
    struct kn_backend *be = stage_backend(w->base, c->stage);
    if (!be->unified || !span_n(*rows))
        return 0;
    int32_t n = span_n(*rows);
    struct kn_view now, was;
    int axis = site_row_axis(s);
    int rc = wave_reserve(w, c->stage, &w->operand[0], n * run_pitch(w->worker, s), e);
    now = run_site_view(w->worker, s, w->operand[0].mem, 0, n, w->base->n);
    if (rc || (rc = wave_base_view(w, c->stage, s, *rows, &was, e)) ||
        (rc = run_copy(be, &now, &was, e)) || (rc = wave_edit(w, c, v, s, &now, *rows, e)) ||
        (rc = wave_base_view(w, c->stage, s, *rows, &was, e)) || (rc = run_wait(be, e)))
        return rc;
    int64_t lo = 0, hi = n;
    while (lo < hi && row_same(&now, &was, axis, lo))
        lo++;
    while (hi > lo && row_same(&now, &was, axis, hi - 1))
        hi--;
    *rows = (struct span){rows->lo + (int32_t)lo, rows->lo + (int32_t)hi};
    return 0;
}

/* Rows of a site, `made` of which come from own ones. */
static int place_rows(struct wave *w, const struct chunk *c, struct live *v, enum site_id s,
                      struct span made, struct err *e)
{
    struct span need = span_cut(w->need[run_slot(c->stage, s)], v->clip);
    struct span edits = span_cut(edit_rows(v, c->stage, s), need);
    struct place *p = &v->now[s];
    made = span_cut(made, need);
    *p = (struct place){.rows = span_hull(made, edits), .given = !span_n(made)};
    return p->given ? rows_changed(w, c, v, s, &p->rows, e) : 0;
}

static int variant_rows(struct wave *w, const struct chunk *c, struct live *v, struct err *e)
{
    int rc = 0;
    if (c->stage == 0)
        rc = place_rows(w, c, v, SITE_TOKENS, (struct span){0, 0}, e);
    for (int32_t i = 0; !rc && i < c->n_steps; i++) {
        int32_t first = 0;
        while (c->steps[first].site != c->steps[i].site)
            first++;
        bool wanted = c->steps[i].when != STEP_IF_WANTED || wave_step_active(w, c, v, &c->steps[i]);
        if (first == i && wanted)
            rc = place_rows(w, c, v, c->steps[i].site, made_from(w, c, v, i), e);
    }
    return rc;
}

/* One below the other: first what steps compute, then what is given. */
static void rows_place(struct chunk *c, enum site_id s)
{
    int32_t at = 0;
    for (int given = 0; given < 2; given++) {
        for (int32_t i = 0; i < c->n; i++)
            if (c->v[i].now[s].given == given) {
                c->v[i].now[s].at = at;
                at += span_n(c->v[i].now[s].rows);
            }
        if (!given)
            c->running[s] = at;
    }
    c->rows[s] = at;
}

/* What the steps say of the stage, and the edits of its variants. */
static void stage_look(struct wave *w, struct chunk *c)
{
    c->steps = plan_stage(w->base->m->plan, c->stage, &c->n_steps);
    c->full = false;
    for (int s = 0; s < SITE_COUNT; s++) {
        c->edited[s] = false;
        c->reader[s] = -1;
        for (int32_t i = 0; i < c->n; i++)
            c->edited[s] |= wave_has_edits(&c->v[i], c->stage, (enum site_id)s);
    }
    for (int32_t i = 0; i < c->n_steps; i++) {
        const struct step *s = &c->steps[i];
        c->full |= s->p.full;
        c->reader[s->site] = i;
        if (step_is_routed(s))
            c->reader[SITE_EXPERT_INDICES] = i;
        for (int k = 0; k < KN_IN_MAX; k++)
            if (s->in[k].kind == OPERAND_SITE)
                c->reader[wave_source(w, c, (enum site_id)s->in[k].id)] = i;
            else if (s->in[k].kind == OPERAND_FLAT || s->in[k].kind == OPERAND_REPEAT ||
                     s->in[k].kind == OPERAND_ALL)
                c->reader[s->in[k].id] = i;
    }
}

int wave_rows(struct wave *w, struct chunk *c, struct err *e)
{
    int rc = 0;
    stage_look(w, c);
    for (int32_t i = 0; !rc && i < c->n; i++) {
        memset(c->v[i].now, 0, sizeof c->v[i].now);
        rc = variant_rows(w, c, &c->v[i], e);
    }
    for (int s = 0; s < SITE_COUNT; s++)
        rows_place(c, (enum site_id)s);
    return rc;
}
