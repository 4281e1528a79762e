/* grad.c - the backward walk: stages from the output to the input, in each the rows from the last
 * block to the first, in each block the steps in reverse (see grad.h).
 *
 * Rows go backwards because a key or value collects gradient from later destinations only: when a
 * block is reached, that of its own keys and values is complete. */
#include "measure/grad_parts.h"

#include "edit/edit_whiten.h"
#include "run/run_apply.h"

#include <stdlib.h>

/* Is the site's gradient held for all rows? */
static bool grad_is_all(const struct walk *w, enum site_id s)
{
    return w->stage <= w->r->m->cfg.n_layers && w->r->m->plan->carried[s];
}

static struct kn_view attn_view(struct walk *w, enum site_id s)
{
    return kn_view3(w->rows[s].mem, KN_F32, w->r->m->cfg.n_heads, w->r1 - w->r0, w->r->n);
}

struct kn_view grad_view(struct walk *w, enum site_id s)
{
    if (site_is_attention(s))
        return attn_view(w, s);
    bool all = grad_is_all(w, s);
    return run_site_view(w->r, s, all ? w->all[s].mem : w->rows[s].mem, all ? w->r0 : 0,
                         w->r1 - w->r0, 0);
}

struct kn_view grad_view_all(struct walk *w, enum site_id s)
{
    return run_site_view(w->r, s, w->all[s].mem, 0, w->r->n, 0);
}

int grad_settle(struct walk *w, enum site_id s, struct err *e)
{
    if (!w->fresh[s])
        return 0;
    w->fresh[s] = false;
    struct kn_view g = grad_view(w, s);
    return run_fill(stage_backend(w->r, w->stage), &g, 0, e);
}

static int zeroed(struct walk *w, struct buffer *b, int64_t floats, struct err *e)
{
    struct kn_backend *be = stage_backend(w->r, w->stage);
    int rc = run_reserve(be, b, floats, e);
    struct kn_view v = kn_view1(b->mem, KN_F32, floats);
    return rc ? rc : run_fill(be, &v, 0, e);
}

static int64_t floats_of(const struct walk *w, enum site_id s, int32_t rows)
{
    bool attn = site_is_attention(s);
    return attn ? (int64_t)w->r->m->cfg.n_heads * rows * w->r->n : run_pitch(w->r, s) * rows;
}

static struct site_ref site_here(const struct walk *w, enum site_id s)
{
    return (struct site_ref){s, site_table[s].scope == SCOPE_BLOCK ? w->stage - 1 : SITE_ROOT};
}

/* Is the site's value or gradient changed?  An on-request site then stands in the way of what
 * flows. */
static bool is_live(const struct walk *w, enum site_id s)
{
    return w->grad_changed[s] || run_edited(w->r, w->stage, s);
}

/* Does the gradient of this step's site flow through this step? */
static bool step_carries(const struct walk *w, const struct step *steps, int32_t n, int32_t i)
{
    const struct step *s = &steps[i];
    const struct run *r = w->r;
    if (s->when == STEP_IF_EDITED && !is_live(w, s->edited))
        return false;
    /* Without edits a copy per head or a result is a dead end; others are read through. */
    if (s->when == STEP_IF_WANTED && site_copied(&r->m->cfg, s->site) == s->site &&
        !is_live(w, s->site))
        return false;
    /* Edited results replace the joint projection; an edited input overwrites what the joint input
     * gave. */
    for (int32_t j = i + 1; j < n; j++)
        if (steps[j].site == s->site && steps[j].when == STEP_IF_EDITED &&
            is_live(w, steps[j].edited))
            return false;
    return true;
}

static int slot_clamp_back(void *ctx, const struct edit_instr *a, const struct kn_view *g,
                           int32_t r0, const struct kn_view *value, struct err *e)
{
    return run_clamp_back(ctx, a, g, r0, value, e);
}

/* What instruction i does beyond arithmetic. */
static int words_vjp(struct walk *w, int32_t i, const struct kn_view *g, struct err *e)
{
    struct edit_instr a = w->r->instrs.list[i];
    struct kn_backend *be = stage_backend(w->r, w->stage);
    struct kn_view value;
    int rc = 0;
    if (a.renormalize) {
        a.renormalize = false;
        rc = run_replay(w->r, i, w->r0, w->r1, &value, e);
        if (!rc && !(rc = run_instr_apply(w->r, &a, &value, w->r0, e)))
            rc = run_renormalize_back(be, &a, g, w->r0, &value, e);
    }
    if (!rc && a.value == EDIT_CLAMP && !(rc = run_replay(w->r, i, w->r0, w->r1, &value, e)))
        rc = a.expert ? run_slots(w->r, &a, g, w->r0, &value, slot_clamp_back, be, e)
                      : run_clamp_back(be, &a, g, w->r0, &value, e);
    return rc;
}

static int whiten_back(struct walk *w, const struct edit_instr *a, const struct kn_view *g,
                       struct err *e)
{
    struct host_view h;
    int rc = host_view_get(&h, stage_backend(w->r, w->stage), g, e);
    if (!rc && edit_whiten_back(a, &h.v, w->r0))
        rc = err_memory(e, "a backward pass");
    return host_view_end(&h, stage_backend(w->r, w->stage), rc, e);
}

/* Products of the edits of one site, last edit first: what an edit replaced has no past; what it
 * scaled is scaled. */
static int edits_vjp(struct walk *w, enum site_id s, struct err *e)
{
    struct run *r = w->r;
    if (!run_has_edits(r, w->stage, s))
        return 0;
    int32_t first = r->instrs.first[run_slot(w->stage, s)], last = first;
    while (last < r->instrs.n && r->instrs.list[last].site.id == s &&
           plan_stage_of(r->m->plan, r->instrs.list[last].site) == w->stage)
        last++;
    struct kn_view g = grad_view(w, s);
    int rc = 0;
    for (int32_t i = last - 1; !rc && i >= first; i--) {
        struct edit_instr a = r->instrs.list[i];
        rc = words_vjp(w, i, &g, e);
        a.renormalize = false;
        if (!rc && a.value == EDIT_PROJECT_OUT)
            rc = run_instr_apply(r, &a, &g, w->r0, e); /* a projection is its own transpose */
        if (!rc && (a.value == EDIT_WHITEN || a.value == EDIT_UNWHITEN))
            rc = whiten_back(w, &a, &g, e);
        if (edit_changes_itself(a.value))
            continue;
        if (a.op == EDIT_SET)
            a.value = EDIT_NUMBER, a.number = 0, a.vec = NULL;
        if (!rc && (a.op == EDIT_SET || a.op == EDIT_MUL))
            rc = run_instr_apply(r, &a, &g, w->r0, e);
    }
    return rc;
}

/* A backward callback, and beside the gradient where its rows go, if it wants to see that. */
static int call_back(struct walk *w, const struct callback *c, int32_t r0, int32_t r1,
                     const struct kn_view *g, struct err *e)
{
    struct kn_view shown[1 + CALLBACK_WITH_MAX] = {*g};
    int32_t slots = w->r->m->cfg.n_active, n = (r1 - r0) * slots;
    const int32_t *expert;
    if (!c->n_with)
        return c->fn(c, r0, shown, e);
    float *index = malloc((size_t)n * sizeof *index);
    int rc = index ? run_routes(w->r, NULL, w->stage, r0, r1, &expert, e)
                   : err_memory(e, "a backward pass");
    for (int32_t i = 0; !rc && i < n; i++)
        index[i] = (float)expert[i];
    shown[1] = kn_view2(index, KN_F32, r1 - r0, slots);
    rc = rc ? rc : c->fn(c, r0, shown, e);
    free(index);
    return rc;
}

/* A complete gradient: edits of it and backward callbacks first, they may change what `fn` and the
 * walk see. */
static int given(struct walk *w, enum site_id s, int32_t r0, int32_t r1, const struct kn_view *g,
                 grad_fn *fn, void *user, struct err *e)
{
    struct site_ref here = site_here(w, s);
    const struct edit_program *p = w->r->instrs.program;
    struct host_view h;
    int rc = 0;
    for (int32_t i = 0; !rc && p && i < p->n_back; i++)
        if (site_same(p->back[i].site, here))
            rc = run_instr_apply(w->r, &p->back[i], g, r0, e);
    if (rc || (rc = host_view_get(&h, stage_backend(w->r, w->stage), g, e)))
        return rc;
    int32_t at = 0;
    for (const struct callback *c;
         !rc && (c = callbacks_next(&w->r->called, CALLBACK_BACKWARD, here, &at));)
        rc = call_back(w, c, r0, r1, &h.v, e);
    if (!rc && w->asked[s])
        rc = fn(user, here, r0, r1, &h.v, e);
    return host_view_end(&h, stage_backend(w->r, w->stage), rc, e);
}

static int site_done(struct walk *w, enum site_id s, grad_fn *fn, void *user, struct err *e)
{
    if (w->wanted[s]) {
        struct kn_view g = grad_view(w, s);
        int rc = given(w, s, w->r0, w->r1, &g, fn, user, e);
        if (rc)
            return rc;
    }
    if (run_changed(w->r, w->stage, s)) {
        struct kn_view g = grad_view(w, s);
        int rc = run_marks_apply(w->r, w->stage, s, w->r0, &g, e);
        if (rc)
            return rc;
    }
    return edits_vjp(w, s, e);
}

/* What is looked at but not edited and nothing reads: side branches off what is computed without
 * it. */
static int side_branches(struct walk *w, const struct step *steps, int32_t n, enum site_id from,
                         struct err *e)
{
    int rc = 0;
    for (int32_t i = 0; !rc && i < n; i++) {
        enum site_id input = (enum site_id)steps[i].in[0].id;
        if (steps[i].per_head && steps[i].site == from && w->wanted[input] && !is_live(w, input))
            rc = grad_step(w, &steps[i], e);
    }
    if (!rc && from == site_attn_made(&w->r->m->cfg) && w->wanted[SITE_RESULT] &&
        !is_live(w, SITE_RESULT))
        rc = grad_step(w, &(struct step){.op = KN_OP_RESULT_PATCH, .site = from}, e);
    if (!rc && from == SITE_POST && w->wanted[SITE_ACT_OUT] && !is_live(w, SITE_ACT_OUT))
        rc = grad_act_out(w, e);
    return rc;
}

static int block_back(struct walk *w, const struct step *steps, int32_t n, grad_fn *fn, void *user,
                      struct err *e)
{
    bool done[SITE_COUNT] = {false};
    int rc = 0;
    for (int32_t i = n - 1; !rc && i >= 0; i--) {
        enum site_id s = steps[i].site;
        if (grad_is_all(w, s) && !w->all[s].mem) /* a rotary table that nobody looks at */
            continue;
        if (!done[s]) {
            done[s] = true;
            rc = grad_settle(w, s, e);
            if (!rc)
                rc = site_done(w, s, fn, user, e);
            if (!rc)
                rc = side_branches(w, steps, n, s, e);
        }
        if (!rc && step_carries(w, steps, n, i))
            rc = grad_step(w, &steps[i], e);
    }
    return rc;
}

/* Buffers for one block of rows of a stage: zeros as soon as something is added or read. */
static int rows_prepare(struct walk *w, const struct step *steps, int32_t n, struct err *e)
{
    int rc = 0;
    bool seen[SITE_COUNT] = {false};
    for (int s = 0; s < SITE_COUNT; s++)
        w->fresh[s] = false;
    for (int32_t i = 0; !rc && i < n; i++) {
        enum site_id s = steps[i].site;
        bool needed = steps[i].when != STEP_IF_WANTED || site_copied(&w->r->m->cfg, s) != s ||
                      w->wanted[s] || is_live(w, s);
        if (needed && !seen[s] && !grad_is_all(w, s))
            rc = run_reserve(stage_backend(w->r, w->stage), &w->rows[s],
                             floats_of(w, s, w->r1 - w->r0), e);
        w->fresh[s] |= needed && !seen[s] && !grad_is_all(w, s);
        seen[s] |= needed;
    }
    return rc;
}

static int before_prepare(struct walk *w, const struct step *steps, int32_t n, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0; !rc && i < n; i++)
        for (int k = 0; !rc && k < KN_IN_MAX; k++) {
            enum site_id s = (enum site_id)steps[i].in[k].id;
            if (steps[i].in[k].kind == OPERAND_PREV)
                rc = zeroed(w, &w->before[s], run_pitch(w->r, s) * w->r->n, e);
            else if (steps[i].in[k].kind == OPERAND_ALL)
                rc = zeroed(w, &w->all[s], run_pitch(w->r, s) * w->r->n, e);
        }
    return rc;
}

/* The metric's gradient at the logits of rows [a, b). */
static int metric_back(struct walk *w, struct run *base, const struct metric *m, int32_t a,
                       int32_t b, struct err *e)
{
    enum site_id logits = site_logits(&w->r->m->cfg);
    struct kn_view g = kn_slice(grad_view(w, logits), 0, a - w->r0, b - w->r0);
    int rc = grad_settle(w, logits, e);
    return rc ? rc : metric_gradient(m, w->r, base, a, b, &g, e);
}

static bool any_wanted(const struct walk *w, const struct step *steps, int32_t n)
{
    bool any = false;
    for (int32_t i = 0; i < n; i++)
        any |= w->wanted[steps[i].site];
    return any;
}

/* One stage for all rows: blocks in falling order, never across a fork row (values there lie in two
 * runs). */
static int stage_back(struct walk *w, struct run *base, const struct metric *m, int32_t row0,
                      int32_t row1, grad_fn *fn, void *user, struct err *e)
{
    struct run *r = w->r;
    int32_t n, step = w->full || w->whole ? r->n : RUN_CHUNK,
               fork = r->base && r->fork_order != ORDER_NONE ? r->fork_row : 0;
    const struct step *steps = plan_stage(r->m->plan, w->stage, &n);
    bool final = w->stage == r->m->cfg.n_layers + 1;
    if (w->stage == 0 && !any_wanted(w, steps, n))
        return 0;
    int rc = run_status(model_import_stage(r->m, w->stage, NULL), e);
    rc = rc ? rc : before_prepare(w, steps, n, e);
    for (int32_t hi = r->n; !rc && hi > 0; hi = w->r0) {
        w->r1 = hi;
        w->r0 = hi > step ? hi - step : 0;
        if (w->r0 < fork && fork < hi)
            w->r0 = fork;
        if ((rc = rows_prepare(w, steps, n, e)))
            break;
        int32_t a = w->r0 > row0 ? w->r0 : row0, b = w->r1 < row1 ? w->r1 : row1;
        if (final && a < b)
            rc = metric_back(w, base, m, a, b, e);
        if (!rc && (!final || a < b || any_wanted(w, steps, n)))
            rc = block_back(w, steps, n, fn, user, e);
    }
    return rc;
}

/* What of this stage somebody looks at; a backward callback gets all rows at once. */
static void wanted_set(struct walk *w, const struct site_ref *sites, int32_t n_sites)
{
    w->whole = false;
    for (int s = 0; s < SITE_COUNT; s++) {
        w->asked[s] = false;
        w->wanted[s] = run_called_back(w->r, w->stage, (enum site_id)s, 0);
        w->grad_changed[s] = run_called_back(w->r, w->stage, (enum site_id)s, CALLBACK_READS);
        w->whole |= w->wanted[s];
    }
    const struct edit_program *p = w->r->instrs.program;
    for (int32_t i = 0; p && i < p->n_back; i++)
        if (plan_stage_of(w->r->m->plan, p->back[i].site) == w->stage)
            w->grad_changed[p->back[i].site.id] = w->wanted[p->back[i].site.id] = true;
    for (int32_t i = 0; i < n_sites; i++)
        if (plan_stage_of(w->r->m->plan, sites[i]) == w->stage)
            w->asked[sites[i].id] = w->wanted[sites[i].id] = true;
}

static void swap(struct buffer *a, struct buffer *b)
{
    struct buffer t = *a;
    *a = *b, *b = t;
}

/* All rows of a site's gradient to where the stage before has its own. */
static int move_back(struct walk *w, enum site_id s, struct err *e)
{
    struct kn_backend *be = stage_backend(w->r, w->stage - 1);
    int64_t floats = run_pitch(w->r, s) * w->r->n;
    struct buffer to = {0};
    if (w->all[s].be == be)
        return 0;
    int rc = run_reserve(be, &to, floats, e);
    struct kn_view old = kn_view1(w->all[s].mem, KN_F32, floats),
                   moved = kn_view1(to.mem, KN_F32, floats);
    rc = rc ? rc : run_copy(be, &moved, &old, e);
    swap(&w->all[s], &to);
    run_release(&to);
    return rc;
}

/* On to the stage before: what this one read of it are gradients of its own sites; those of sites
 * that every block reads are complete at the first stage. */
static int stage_leave(struct walk *w, struct err *e)
{
    int rc = 0;
    int32_t n;
    const struct step *steps = plan_stage(w->r->m->plan, w->stage, &n);
    bool read[SITE_COUNT] = {false};
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; k < KN_IN_MAX; k++)
            if (steps[i].in[k].kind == OPERAND_PREV)
                read[steps[i].in[k].id] = true;
    for (int s = 0; !rc && s < SITE_COUNT; s++)
        if (read[s]) {
            swap(&w->all[s], &w->before[s]);
            rc = move_back(w, (enum site_id)s, e);
        } else if (w->stage == 1 && w->root[s].mem)
            swap(&w->all[s], &w->root[s]);
    return rc;
}

/* A per-head input has a value of its own only beside what it would replace: the site that is
 * edited, or SITE_COUNT. */
static enum site_id hidden_by(const struct run *r, struct site_ref s)
{
    bool per_head = s.id == SITE_ATTN_IN || s.id == SITE_Q_INPUT || s.id == SITE_K_INPUT ||
                    s.id == SITE_V_INPUT;
    for (int id = 0; per_head && id < SITE_COUNT; id++)
        if (r->m->plan->conflicts[s.id][id] && run_edited(r, s.layer + 1, (enum site_id)id))
            return (enum site_id)id;
    return SITE_COUNT;
}

static int sites_check(const struct run *r, const struct site_ref *sites, int32_t n, struct err *e)
{
    char name[LIMIT_NAME];
    for (int32_t i = 0; i < n; i++) {
        if (sites[i].id == SITE_TOKENS)
            return err_set(e, ERR_BAD_INPUT,
                           "hook_tokens · token ids have no gradient · take hook_embed");
        if (site_holds_ids(sites[i].id))
            return err_set(
                e, ERR_BAD_INPUT,
                "%s · indices of experts have no gradient · take mlp.hook_expert_weights",
                site_name(sites[i], name));
        if (!site_is_there(&r->m->cfg, sites[i]) || site_refusal(&r->m->cfg, sites[i].id))
            return err_set(e, ERR_BAD_INPUT, "no gradient at \"%s\" · this model does not have it",
                           site_name(sites[i], name));
        enum site_id hider = hidden_by(r, sites[i]);
        if (hider != SITE_COUNT)
            return err_set(e, ERR_BAD_INPUT,
                           "no gradient at \"%s\" · %s of that layer is edited and would hide it",
                           site_name(sites[i], name), site_table[hider].name);
    }
    return 0;
}

/* A gradient that is changed where another change of the layer takes its place. */
static int conflicts_check(const struct walk *w, struct err *e)
{
    for (int a = 0; a < SITE_COUNT; a++)
        for (int b = 0; w->grad_changed[a] && b < SITE_COUNT; b++)
            if (w->r->m->plan->conflicts[a][b] && is_live(w, (enum site_id)b))
                return err_set(
                    e, ERR_BAD_INPUT,
                    "layer %d · the gradient at %s cannot be changed beside %s · one would hide the other",
                    w->stage - 1, site_table[a].name, site_table[b].name);
    return 0;
}

/* What every block adds to, if somebody looks at any of it. */
static int root_prepare(struct walk *w, const struct site_ref *sites, int32_t n_sites,
                        struct err *e)
{
    bool root[SITE_COUNT] = {false}, wanted = false;
    int rc = 0;
    wanted_set(w, sites, n_sites);
    for (int32_t stage = 1, n; stage < plan_stages(w->r->m->plan); stage++) {
        const struct step *steps = plan_stage(w->r->m->plan, stage, &n);
        for (int32_t i = 0; i < n; i++)
            for (int k = 0; k < KN_IN_MAX; k++)
                if (steps[i].in[k].kind == OPERAND_ROOT)
                    root[steps[i].in[k].id] = true, wanted |= w->wanted[steps[i].in[k].id];
    }
    for (int s = 0; !rc && wanted && s < SITE_COUNT; s++)
        if (root[s])
            rc = zeroed(w, &w->root[s], run_pitch(w->r, (enum site_id)s) * w->r->n, e);
    return rc;
}

/* The earliest stage where somebody looks at a gradient: nothing flows on from there. */
static int32_t stage_end(struct walk *w, const struct site_ref *sites, int32_t n_sites)
{
    int32_t stage = w->r->start, n = plan_stages(w->r->m->plan);
    for (bool any = false; stage < n && !any; stage += !any) {
        w->stage = stage;
        wanted_set(w, sites, n_sites);
        for (int s = 0; s < SITE_COUNT; s++)
            any |= w->wanted[s];
    }
    return stage;
}

int grad_run(struct run *r, struct run *base, const struct metric *m, const struct site_ref *sites,
             int32_t n_sites, grad_fn *fn, void *user, struct err *e)
{
    struct walk *w = calloc(1, sizeof *w);
    int32_t row0, row1, end = 0, last = r->m->cfg.n_layers + 1;
    int rc = w ? sites_check(r, sites, n_sites, e) : err_memory(e, "a backward pass");
    if (!rc)
        rc = metric_rows(m, r->n, &row0, &row1, e);
    if (!rc) {
        w->r = r;
        end = stage_end(w, sites, n_sites);
        w->stage = 0;
        rc = root_prepare(w, sites, n_sites, e);
    }
    for (int32_t stage = last; !rc && stage >= end; stage--) {
        w->stage = stage;
        w->full = run_stage_full(r, stage);
        wanted_set(w, sites, n_sites);
        rc = conflicts_check(w, e);
        if (!rc)
            rc = stage_back(w, base, m, row0, row1, fn, user, e);
        if (!rc)
            rc = stage_leave(w, e);
    }
    for (int s = 0; w && s < SITE_COUNT; s++) {
        run_release(&w->rows[s]);
        run_release(&w->all[s]);
        run_release(&w->before[s]);
        run_release(&w->root[s]);
        run_release(&w->aside[s]);
    }
    for (int i = 0; w && i < 2; i++)
        run_release(&w->temp[i]);
    if (w)
        run_release(&w->slots);
    free(w);
    return rc;
}
