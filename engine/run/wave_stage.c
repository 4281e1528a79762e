/* wave_stage.c - the steps of a stage on the rows of a chunk: one call of each for all variants.
 *
 * Operands lie as the step's own rows do, or are brought together so.  Steps that only some
 * variants need (plan.h, STEP_IF_EDITED) are a call for each of them; attention is in wave_attn.c.
 */
#include "run/wave_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a step: those of one variant, or of all that do not have them given. */
struct sel {
    const struct live *only; /* or NULL */
    enum site_id site;
    int32_t n;
};

static struct sel sel_of(const struct chunk *c, enum site_id s, const struct live *only)
{
    return (struct sel){only, s, only ? span_n(only->now[s].rows) : c->running[s]};
}

static bool selected(const struct sel *l, const struct live *v)
{
    return (!l->only || l->only == v) && !v->now[l->site].given && span_n(v->now[l->site].rows);
}

/* Do the selected rows of site s lie one below the other as those of the step do; from *at on. */
static bool lie_alike(const struct chunk *c, const struct sel *l, bool prev, enum site_id s,
                      int32_t *at)
{
    bool alike = true, begun = false;
    int32_t skip = 0;
    for (int32_t i = 0; i < c->n && alike; i++) {
        const struct live *v = &c->v[i];
        const struct place *p = prev ? &v->prev[s] : &v->now[s];
        struct span rows = v->now[l->site].rows;
        if (!selected(l, v))
            continue;
        alike = p->rows.lo <= rows.lo && p->rows.hi >= rows.hi &&
                (l->only || (p->rows.lo == rows.lo && p->rows.hi == rows.hi));
        if (!begun)
            *at = p->at + rows.lo - p->rows.lo, skip = p->at - v->now[l->site].at, begun = true;
        alike = alike && (l->only || p->at - v->now[l->site].at == skip);
    }
    return alike;
}

/* The selected rows of a site of a stage, in the order of the step's. */
static int rows_get(struct wave *w, const struct chunk *c, const struct sel *l, int32_t stage,
                    enum site_id s, struct buffer *b, struct kn_view *out, struct err *e)
{
    int32_t at = 0;
    bool prev = stage == c->stage - 1;
    if ((prev || stage == c->stage) && lie_alike(c, l, prev, s, &at)) {
        *out = run_site_view(w->worker, s, (prev ? w->prev : w->now)[s].mem, at, l->n, 0);
        return 0;
    }
    int rc = wave_reserve(w, c->stage, b, l->n * run_pitch(w->worker, s), e);
    *out = run_site_view(w->worker, s, b->mem, 0, l->n, 0);
    at = 0;
    for (int32_t i = 0; !rc && i < c->n; i++) {
        struct span rows = c->v[i].now[l->site].rows;
        if (!selected(l, &c->v[i]))
            continue;
        struct kn_view to = kn_slice(*out, 0, at, at + span_n(rows));
        rc = wave_copy_rows(w, c, &c->v[i], stage, s, rows, &to, e);
        at += span_n(rows);
    }
    return rc;
}

/* What the embedding looks up for the selected rows. */
static int ids_get(struct wave *w, const struct chunk *c, const struct sel *l,
                   enum operand_kind kind, struct buffer *b, struct kn_view *out, struct err *e)
{
    const struct run *base = w->base;
    int32_t n = 0, *ids = w->ids + w->rows_max;
    for (int32_t i = 0; i < c->n; i++) {
        const struct live *v = &c->v[i];
        const struct place *own = &v->now[SITE_TOKENS];
        struct span rows = v->now[l->site].rows;
        for (int32_t row = rows.lo; selected(l, v) && row < rows.hi; row++)
            ids[n++] = kind == OPERAND_POSITIONS ? base->m->cfg.pos_row0 + row
                       : kind == OPERAND_TYPES   ? base->types[row]
                       : row >= own->rows.lo && row < own->rows.hi
                           ? w->ids[own->at + row - own->rows.lo]
                           : base->tokens[row];
    }
    int rc = wave_reserve(w, c->stage, b, n, e);
    *out = kn_view1(b->mem, KN_I32, n);
    return rc ? rc : run_write(stage_backend(base, c->stage), out, ids, e);
}

static int operand_get(struct wave *w, const struct chunk *c, const struct sel *l,
                       const struct operand *o, struct buffer *b, struct kn_view *out,
                       struct err *e)
{
    enum site_id s = (enum site_id)o->id;
    int rc;
    switch (o->kind) {
    case OPERAND_SITE: return rows_get(w, c, l, c->stage, wave_source(w, c, s), b, out, e);
    case OPERAND_PREV: return rows_get(w, c, l, c->stage - 1, s, b, out, e);
    case OPERAND_ROOT: return rows_get(w, c, l, 0, s, b, out, e);
    case OPERAND_FLAT:
        rc = rows_get(w, c, l, c->stage, s, b, out, e);
        *out = run_flat(*out);
        return rc;
    case OPERAND_REPEAT:
        rc = rows_get(w, c, l, c->stage, s, b, out, e);
        *out = run_repeat(&w->base->m->cfg, l->site, *out);
        return rc;
    case OPERAND_WEIGHT:
        *out = *run_device_weight(w->base, c->stage - 1, (enum weight_id)o->id);
        return 0;
    case OPERAND_TOKENS:
    case OPERAND_POSITIONS:
    case OPERAND_TYPES: return ids_get(w, c, l, o->kind, b, out, e);
    default: /* what no edit changes is given to every variant; see also run_routed */
        assert(o->kind == OPERAND_NONE || o->kind == OPERAND_EXPERT);
        *out = (struct kn_view){0};
        return 0;
    }
}

/* The product of each expert with the rows that go to it. */
static int run_routed(struct wave *w, const struct chunk *c, const struct sel *l,
                      const struct step *s, struct kn_call *call, struct err *e)
{
    int32_t n = l->n * w->base->m->cfg.n_active;
    struct expert_product product = {.rows = l->n,
                                     .x = call->in[0],
                                     .out = kn_join(call->out[0], 0),
                                     .weight = (enum weight_id)s->in[1].id,
                                     .bias = (enum weight_id)s->in[2].id};
    if (product.x.ndim == 3)
        product.x = kn_join(product.x, 0);
    struct kn_view at;
    int rc = rows_get(w, c, l, c->stage, SITE_EXPERT_INDICES, &w->operand[KN_IN_MAX - 1], &at, e);
    int32_t *expert = malloc((size_t)n * (sizeof *expert + sizeof(float)));
    float *x = (float *)(expert + n);
    if (!rc && !expert)
        rc = err_memory(e, "where rows go");
    if (!rc && !(rc = run_fetch(stage_backend(w->base, c->stage), &at, x, e)))
        rc = run_expert_numbers(w->base, c->stage, 0, x, expert, n, e);
    product.expert = expert;
    if (!rc)
        rc = run_experts(w->worker, c->stage, &product, e);
    free(expert);
    return rc;
}

/* The base's values of a site, where they are all that an edit begins with. */
static int given_get(struct wave *w, const struct chunk *c, enum site_id s, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0; !rc && i < c->n; i++) {
        const struct place *p = &c->v[i].now[s];
        struct kn_view from, to;
        if (!p->given || !span_n(p->rows))
            continue;
        to = wave_own_view(w, c, &c->v[i], s, p->rows);
        if (!(rc = wave_base_view(w, c->stage, s, p->rows, &from, e)))
            rc = run_copy(stage_backend(w->base, c->stage), &to, &from, e);
    }
    return rc;
}

/* Room for all rows of a site, and those that are given. */
static int site_ready(struct wave *w, const struct chunk *c, enum site_id s, struct err *e)
{
    int rc = wave_reserve(w, c->stage, &w->now[s], c->rows[s] * run_pitch(w->worker, s), e);
    return rc ? rc : given_get(w, c, s, e);
}

/* The call of a step for its rows, which are there. */
static int step_call(struct wave *w, const struct chunk *c, const struct sel *l,
                     const struct step *s, struct kn_call *call, struct err *e)
{
    int rc = 0;
    *call = (struct kn_call){.op = s->op, .p = s->p};
    for (int i = 0; !rc && i < KN_IN_MAX; i++)
        rc = operand_get(w, c, l, &s->in[i], &w->operand[i], &call->in[i], e);
    call->out[0] = run_site_view(w->worker, s->site, w->now[s->site].mem,
                                 l->only ? l->only->now[s->site].at : 0, l->n, 0);
    if (!rc)
        run_step_shape(s, call);
    return rc;
}

/* Can the product s be made along with `with`, whose rows are there: of the same rows? */
static bool beside_may(const struct wave *w, const struct chunk *c, const struct step *with,
                       const struct step *s)
{
    bool may = wave_source(w, c, (enum site_id)with->in[0].id) ==
               wave_source(w, c, (enum site_id)s->in[0].id);
    for (int32_t i = 0; i < c->n && may; i++) {
        const struct place *a = &c->v[i].now[with->site], *b = &c->v[i].now[s->site];
        bool none = !span_n(a->rows) && !span_n(b->rows);
        may = none ||
              (a->given == b->given && a->rows.lo == b->rows.lo && a->rows.hi == b->rows.hi);
    }
    return may;
}

/* `first` is the call of the step s: products beside it that the same rows go through come into
 * it, and are made until c->made. */
static int beside_join(struct wave *w, struct chunk *c, const struct step *s, struct kn_call *first,
                       struct err *e)
{
    int rc = 0;
    c->beside = c->made = s;
    for (int n = 1; !rc && s->beside && beside_may(w, c, c->beside, s + s->beside); n++) {
        struct step other = *(s += s->beside);
        struct sel l = sel_of(c, s->site, NULL);
        struct kn_call call;
        other.in[0].kind = OPERAND_NONE; /* they have been brought together */
        if (!(rc = site_ready(w, c, s->site, e)) && !(rc = step_call(w, c, &l, &other, &call, e))) {
            first->op = KN_OP_LINEARS, c->made = s;
            first->in[1 + 2 * n] = call.in[1], first->in[2 + 2 * n] = call.in[2];
            first->out[n] = call.out[0];
        }
    }
    return rc;
}

static int step_run(struct wave *w, struct chunk *c, const struct step *s, const struct live *only,
                    struct err *e)
{
    struct sel l = sel_of(c, s->site, only);
    struct kn_backend *be = stage_backend(w->base, c->stage);
    struct kn_call call;
    if (c->made && s > c->beside && s <= c->made && s->when == STEP_ALWAYS)
        return 0;
    if (run_cancelled(w->base))
        return run_status(KN_CANCELLED, e);
    int rc = step_call(w, c, &l, s, &call, e);
    if (!rc && s->beside)
        rc = beside_join(w, c, s, &call, e);
    if (rc)
        return rc;
    return step_is_routed(s) ? run_routed(w, c, &l, s, &call, e)
           : s->per_head     ? run_per_head(w->worker, c->stage, &call, e)
                             : run_status(kn_run(be, &call), e);
}

/* All steps of a site are done: its edits act. */
static int site_edit(struct wave *w, const struct chunk *c, enum site_id s, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0; !rc && i < c->n && c->edited[s]; i++) {
        const struct place *p = &c->v[i].now[s];
        if (!span_n(p->rows) || !wave_has_edits(&c->v[i], c->stage, s))
            continue;
        struct kn_view view = wave_own_view(w, c, &c->v[i], s, p->rows);
        rc = wave_edit(w, c, &c->v[i], s, &view, p->rows, e);
    }
    return rc;
}

/* Is there no other step of the site before, or behind, step i? */
static bool is_end(const struct chunk *c, int32_t i, int direction)
{
    for (int32_t k = i + direction; k >= 0 && k < c->n_steps; k += direction)
        if (c->steps[k].site == c->steps[i].site)
            return false;
    return true;
}

static int step_all(struct wave *w, struct chunk *c, int32_t i, struct err *e)
{
    const struct step *s = &c->steps[i];
    enum site_id site = s->site;
    int rc = 0;
    if (!c->rows[site])
        return 0;
    if (is_end(c, i, -1))
        rc = site_ready(w, c, site, e);
    if (!rc && s->when != STEP_IF_EDITED && c->running[site])
        rc = step_run(w, c, s, NULL, e);
    for (int32_t k = 0; !rc && s->when == STEP_IF_EDITED && k < c->n; k++) {
        const struct place *p = &c->v[k].now[site];
        if (!p->given && span_n(p->rows) && wave_step_active(w, c, &c->v[k], s))
            rc = step_run(w, c, s, &c->v[k], e);
    }
    return !rc && is_end(c, i, 1) ? site_edit(w, c, site, e) : rc;
}

/* Logits of the wanted tokens in the place of all. */
static int step_pick(struct wave *w, const struct chunk *c, const struct step *s, struct err *e)
{
    struct sel l = sel_of(c, s->site, NULL);
    struct kn_view x, out;
    if (!l.n)
        return 0;
    int rc = operand_get(w, c, &l, &s->in[0], &w->operand[0], &x, e);
    if (!rc)
        rc = wave_reserve(w, c->stage, &w->now[s->site], (int64_t)l.n * w->picked.n, e);
    out = kn_view2(w->now[s->site].mem, KN_F32, l.n, w->picked.n);
    return rc ? rc : run_pick(&w->picked, w->base, &x, &out, e);
}

/* The ids of own tokens, after their edits. */
static int tokens_get(struct wave *w, const struct chunk *c, struct err *e)
{
    int32_t n = c->rows[SITE_TOKENS];
    if (!n)
        return 0;
    float *x = malloc((size_t)n * sizeof *x);
    int rc = x ? wave_reserve(w, 0, &w->now[SITE_TOKENS], n, e) : err_memory(e, "%d tokens", n);
    if (!rc && !(rc = given_get(w, c, SITE_TOKENS, e)) && !(rc = site_edit(w, c, SITE_TOKENS, e))) {
        struct kn_view all = run_site_view(w->worker, SITE_TOKENS, w->now[SITE_TOKENS].mem, 0, n,
                                           0);
        rc = run_fetch(stage_backend(w->base, 0), &all, x, e);
    }
    if (!rc)
        rc = run_token_ids(w->base, 0, x, n, w->ids, e);
    free(x);
    return rc;
}

/* Does something behind the stage read the site? */
static bool is_kept(const struct wave *w, int32_t stage, enum site_id s)
{
    const struct config *cfg = &w->base->m->cfg;
    return stage > cfg->n_layers
               ? s == site_logits(cfg) || s == SITE_UNEMBED_OUT
               : s == site_stream(cfg, stage - 1) || (stage == 0 && s == SITE_POS_EMBED);
}

static void let_go(struct wave *w, const struct chunk *c, int32_t done)
{
    for (int s = 0; s < SITE_COUNT; s++)
        if (c->reader[s] <= done && !is_kept(w, c->stage, (enum site_id)s))
            wave_release(w, &w->now[s]);
}

/* Does the step write or read scores or a pattern? */
static bool is_square(const struct step *s)
{
    bool square = site_is_attention(s->site);
    for (int k = 0; k < KN_IN_MAX; k++)
        square |= s->in[k].kind == OPERAND_SITE && site_is_attention((enum site_id)s->in[k].id);
    return square;
}

int wave_stage(struct wave *w, struct chunk *c, struct err *e)
{
    int rc = run_status(model_import_stage(w->base->m, c->stage, NULL), e);
    c->beside = c->made = NULL;
    if (!rc)
        rc = wave_rows(w, c, e);
    if (!rc && c->stage == 0)
        rc = tokens_get(w, c, e);
    for (int32_t i = 0, end; !rc && i < c->n_steps; i = end) {
        for (end = i; end < c->n_steps && is_square(&c->steps[end]);)
            end++;
        if (end > i)
            rc = wave_attention(w, c, i, end, e);
        else if (w->picks && c->steps[i].site == SITE_UNEMBED_OUT)
            return step_pick(w, c, &c->steps[i], e);
        else
            rc = step_all(w, c, i, e);
        end = end > i ? end : i + 1;
        let_go(w, c, end - 1);
    }
    return rc;
}

void wave_stage_leave(struct wave *w, struct chunk *c)
{
    for (int s = 0; s < SITE_COUNT; s++) {
        wave_release(w, &w->prev[s]);
        if (is_kept(w, c->stage, (enum site_id)s))
            w->prev[s] = w->now[s], w->now[s] = (struct buffer){0};
        else
            wave_release(w, &w->now[s]);
    }
    for (int32_t i = 0; i < c->n; i++)
        memcpy(c->v[i].prev, c->v[i].now, sizeof c->v[i].prev);
}
