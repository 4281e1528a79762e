/* run.c - what must be computed again: from (tokens, edits) to the first dirty step and row (see
 * run.h).
 *
 * A change at step s, row r reaches only rows from config_first_reached_row on: r itself where
 * attention is causal.  So what awaits computing is one pair (dirty_order, dirty_row); several
 * changes join by taking the smaller of each. */
#include "run/run_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct run *run_create(const struct model *m, struct run *base, const struct run_options *opt,
                       struct err *e)
{
    struct run *r = calloc(1, sizeof *r);
    if (r)
        r->keep = calloc((size_t)plan_stages(m->plan) * SITE_COUNT, sizeof *r->keep);
    if (!r || !r->keep) {
        free(r);
        err_memory(e, "a run of %d layers", m->cfg.n_layers);
        return NULL;
    }
    r->m = m;
    r->base = base;
    r->cache_bytes = opt->cache_bytes;
    r->frame_bytes = opt->frame_bytes ? opt->frame_bytes : LIMIT_FRAME_BYTES;
    r->dirty_order = r->fork_order = base ? ORDER_NONE : 0;
    r->version = 1;
    r->instr_stop = -1;
    r->stop = INT32_MAX;
    return r;
}

void run_free(struct run *r)
{
    if (!r)
        return;
    run_drop(r);
    for (int i = 0; i < SITE_COUNT; i++) {
        run_release(&r->work.site[i]);
        run_release(&r->look.site[i]);
        run_release(&r->aside[i]);
    }
    run_release(&r->gather);
    run_release(&r->wide);
    run_release(&r->picked);
    run_release(&r->shared[0]);
    run_release(&r->shared[1]);
    run_release(&r->mean);
    run_release(&r->replay);
    run_weights_free(r);
    run_instrs_free(&r->instrs);
    run_called_free(r);
    for (int i = 0; i < RUN_OPERANDS; i++)
        run_release(&r->operand[i]);
    image_drop(r->image);
    free(r->tokens), free(r->types), free(r->keep), free(r->routes.expert);
    free(r);
}

int32_t run_length(const struct run *r)
{
    return r->n;
}

const int32_t *run_tokens(const struct run *r)
{
    return r->tokens;
}

const int32_t *run_types(const struct run *r)
{
    return r->types;
}

const struct image_input *run_image(const struct run *r)
{
    return r->image;
}

void run_stop(struct run *r, int32_t stop)
{
    r->stop = stop > r->m->cfg.n_layers ? INT32_MAX : (stop + 1) * PLAN_STAGE_ORDER;
}

void run_stop_after(struct run *r, const struct site_ref *sites, int32_t n)
{
    r->stop = 0;
    for (int32_t i = 0; i < n; i++) {
        int32_t end = plan_order_end(r->m->plan, sites[i]);
        r->stop = end > r->stop ? end : r->stop;
    }
}

void run_differentiate(struct run *r, bool on)
{
    r->keep_marks = on;
}

const struct model *run_model(const struct run *r)
{
    return r->m;
}

struct site_ref run_lens_site(const struct model *m, int32_t column)
{
    if (column > 0)
        return (struct site_ref){site_stream(&m->cfg, column - 1), column - 1};
    return site_exists(&m->cfg, SITE_POS_EMBED)
               ? (struct site_ref){SITE_RESID_PRE, 0}
               : (struct site_ref){site_stream(&m->cfg, SITE_ROOT), SITE_ROOT};
}

void run_dirty(struct run *r, int32_t order, int32_t row)
{
    if (r->dirty_order == ORDER_NONE)
        r->dirty_row = row;
    r->dirty_order = order < r->dirty_order ? order : r->dirty_order;
    r->dirty_row = row < r->dirty_row ? row : r->dirty_row;
}

static bool instr_same(const struct run_instrs *now, int32_t i, const struct run_instrs *old,
                       int32_t j)
{
    const struct edit_instr *a = &now->list[i], *b = &old->list[j];
    if (!edit_instr_equal(a, b) || now->version[i] != old->version[j])
        return false;
    return a->source < 0 || now->sources[a->source] == old->sources[b->source];
}

/* The i-th instruction if it is on this site, else NULL. */
static const struct edit_instr *instr_on(const struct run_instrs *l, int32_t i, struct site_ref s)
{
    return i >= 0 && i < l->n && site_same(l->list[i].site, s) ? &l->list[i] : NULL;
}

/* The first step that an instruction changes.  One that lets attention see later positions needs
 * their scores masked, which those of a pass without it, or of fewer positions, are not. */
static int32_t instr_order(const struct run *r, const struct edit_instr *a)
{
    struct site_ref scores = {SITE_ATTN_SCORES, a->site.layer};
    int32_t own = plan_order(r->m->plan, a->site),
            first = a->full ? plan_order(r->m->plan, scores) : own;
    return first < own ? first : own;
}

/* Dirty what differs between the old and the new instructions of every site.  Order matters on one
 * site only. */
static void instrs_compare(struct run *r, const struct run_instrs *old)
{
    const struct run_instrs *now = &r->instrs;
    int32_t n_index = plan_stages(r->m->plan) * SITE_COUNT;
    for (int32_t k = 0; k < n_index; k++) {
        int32_t i = now->first ? now->first[k] : -1, j = old->first ? old->first[k] : -1;
        if (i < 0 && j < 0)
            continue;
        struct site_ref s = i >= 0 ? now->list[i].site : old->list[j].site;
        while (true) {
            const struct edit_instr *a = instr_on(now, i, s), *b = instr_on(old, j, s);
            if (!a && !b)
                break;
            bool same = a && b && instr_same(now, i, old, j);
            if (a && !same)
                run_dirty(r, instr_order(r, a), a->row_min);
            if (b && !same)
                run_dirty(r, instr_order(r, b), b->row_min);
            i += a != NULL, j += b != NULL;
        }
    }
}

/* Where an edit lets attention see later positions, what changes before it changes every row. */
static void full_reach(struct run *r)
{
    for (int32_t i = 0; i < r->instrs.n; i++)
        if (r->instrs.list[i].full && r->dirty_order < instr_order(r, &r->instrs.list[i]))
            run_dirty(r, r->dirty_order, 0);
}

/* The first row whose values other tokens than those they stand for change. */
static int32_t tokens_differ(const struct run *r, const int32_t *tokens, int32_t n)
{
    int32_t i = 0, shared = n < r->n ? n : r->n;
    while (i < shared && tokens && tokens[i] == r->tokens[i])
        i++;
    return i < n || n < r->n ? config_first_reached_row(&r->m->cfg, i) : i;
}

static bool reads_site(const struct step *s, enum site_id id)
{
    for (int k = 0; k < KN_IN_MAX; k++) {
        enum operand_kind kind = s->in[k].kind;
        if (s->in[k].id == id && (kind == OPERAND_SITE || kind == OPERAND_FLAT ||
                                  kind == OPERAND_ALL || kind == OPERAND_REPEAT))
            return true;
    }
    return false;
}

/* A step in the middle of a stage can be the first to run only where the sites before it are kept.
 * On-request sites never are: what reads one that is edited runs after it. */
static int32_t order_start(const struct run *r, int32_t order)
{
    int32_t stage = order / PLAN_STAGE_ORDER, first = order % PLAN_STAGE_ORDER, n;
    const struct step *steps = plan_stage(r->m->plan, stage, &n);
    if (!run_resident(r, stage))
        return stage * PLAN_STAGE_ORDER;
    for (int32_t i = first - 1; i >= 0; i--) {
        bool read = false;
        if (steps[i].when != STEP_IF_WANTED || !run_edited(r, stage, steps[i].site))
            continue;
        for (int32_t j = first; j < n && !read; j++)
            read = reads_site(&steps[j], steps[i].site);
        first = read ? i : first;
    }
    return stage * PLAN_STAGE_ORDER + first;
}

/* Move a fork's branching point to where its instructions need it: what becomes its own must be
 * computed, what lies before is the base's.  Of a run that is differentiated all rows are its own,
 * so that sums over rows are cut at the same places whatever its edits. */
static void fork_place(struct run *r)
{
    int32_t called = run_called_order(r);
    if (!r->instrs.n && !r->weights.n && called == ORDER_NONE) {
        r->fork_order = r->dirty_order = ORDER_NONE;
        r->fork_row = 0;
        return;
    }
    int32_t order = called, row = r->called.n || r->keep_marks ? 0 : r->n;
    for (int32_t i = 0; i < r->instrs.n; i++) {
        int32_t o = instr_order(r, &r->instrs.list[i]);
        order = o < order ? o : order;
        row = r->instrs.list[i].row_min < row ? r->instrs.list[i].row_min : row;
    }
    for (int32_t i = 0; i < r->weights.n; i++) {
        const struct run_weight *w = &r->weights.list[i];
        int32_t o = plan_weight_order(r->m->plan, w->layer, w->id);
        order = o < order ? o : order;
        row = w->row_min < row ? w->row_min : row;
    }
    order = order_start(r, order);
    if (r->fork_order == ORDER_NONE || order < r->fork_order || row < r->fork_row)
        run_dirty(r, order, row); /* it may hold nothing of what is now its own */
    r->fork_order = order, r->fork_row = row;
    if (r->dirty_order != ORDER_NONE) { /* the rest of what changed is the base's again */
        r->dirty_order = order > r->dirty_order ? order : r->dirty_order;
        r->dirty_row = row > r->dirty_row ? row : r->dirty_row;
    }
}

/* Few rows: reading the weights is what takes the time. */
static bool is_short(const struct run *r)
{
    return r->n - r->dirty_row <= RUN_SHORT_ROWS;
}

/* So few rows that products are faster together, and that one pass takes them all. */
static bool shares(const struct run *r, int32_t stage)
{
    int32_t rows = r->n - r->dirty_row;
    return rows <= RUN_SHARED_ROWS &&
           (rows <= RUN_SHORT_ROWS || rows <= run_frame_rows(r, stage, SITE_COUNT));
}

/* Steps of a stage up to where the run stops. */
static int32_t stage_last(const struct run *r, int32_t stage)
{
    int32_t n, first = stage * PLAN_STAGE_ORDER;
    plan_stage(r->m->plan, stage, &n);
    return r->stop - first < n ? r->stop - first : n;
}

static int stage_compute(struct run *r, int32_t stage, int32_t first, struct err *e)
{
    int rc = run_keep_stage(r, stage, e);
    if (is_short(r) || stage == r->start)
        model_stage_ahead(r->m, stage + 1); /* while weights of this one come up */
    if (!rc && stage == 0)
        rc = run_embed_input(r, r->dirty_row, r->n, e);
    int32_t last = stage_last(r, stage),
            step = run_stage_full(r, stage) || run_stage_called(r, stage)
                       ? r->n
                       : run_frame_rows(r, stage, SITE_COUNT);
    struct frame *f = &r->work;
    for (int32_t a = r->dirty_row; !rc && a < r->n; a += step) {
        run_frame_start(f, stage, a, a + step < r->n ? a + step : r->n);
        f->unseen = true;
        rc = run_exec(r, f, first, last, SITE_COUNT, e);
    }
    if (rc || is_short(r))
        return rc;
    if (stage < r->m->cfg.n_layers && stage + 1 < r->stop) { /* its weights come up meanwhile */
        model_stage_ahead(r->m, stage + 2);
        rc = run_status(model_import_stage(r->m, stage + 1, r->m->be->cancel), e);
    }
    return rc ? rc : run_wait(r->m->be, e); /* so that it can be cancelled */
}

/* What a run that starts in the middle reads of stages before: the residual stream, the rotary
 * tables. */
static int given_place(struct run *r, struct err *e)
{
    int32_t before = r->start - 1;
    int rc = run_rope_place(r, e);
    if (rc || (rc = run_keep_stage(r, before, e)))
        return rc;
    enum site_id stream = site_stream(&r->m->cfg, before - 1);
    void *pos = before ? NULL : r->keep[run_slot(0, SITE_POS_EMBED)];
    struct kn_view to = run_site_view(r, stream, r->keep[run_slot(before, stream)], 0, r->n, 0);
    if ((rc = run_write(r->m->be, &to, r->given, e)) || !pos)
        return rc;
    to.data = pos;
    return run_fill(r->m->be, &to, -0.0f, e); /* adds nothing, not even to -0 */
}

/* The stage after the last one to compute; the final one is computed when somebody looks, unless
 * callbacks are there. */
static int32_t stage_end(const struct run *r)
{
    int32_t n_layers = r->m->cfg.n_layers;
    return n_layers + 1 + run_stage_called(r, n_layers + 1);
}

static bool is_due(const struct run *r, int32_t stage)
{
    return r->dirty_order / PLAN_STAGE_ORDER == stage && stage < stage_end(r) &&
           r->dirty_order < r->stop;
}

/* On failure what follows stays dirty. */
static void stage_done(struct run *r, int32_t stage, struct run_cost *cost)
{
    int32_t n_layers = r->m->cfg.n_layers, next = (stage + 1) * PLAN_STAGE_ORDER;
    cost->share += stage && stage <= n_layers
                       ? (double)(r->n - r->dirty_row) / ((double)n_layers * r->n)
                       : 0;
    r->dirty_order = r->stop < next ? r->stop : stage + 1 < stage_end(r) ? next : ORDER_NONE;
}

/* Ready for the first dirty stage, if there is one. */
static int compute_begin(struct run *r, struct run_cost *cost, struct err *e)
{
    *cost = (struct run_cost){.row = r->n, .stage = r->m->cfg.n_layers + 1};
    if (r->dirty_order == ORDER_NONE || r->dirty_row >= r->n) {
        r->dirty_order = ORDER_NONE;
        return 0;
    }
    r->version++;
    r->dirty_order = order_start(r, r->dirty_order);
    if (r->dirty_order / PLAN_STAGE_ORDER < r->start) {
        int rc = given_place(r, e);
        if (rc)
            return rc;
        r->dirty_order = r->start * PLAN_STAGE_ORDER;
    }
    cost->row = r->dirty_row, cost->stage = r->dirty_order / PLAN_STAGE_ORDER;
    if (cost->stage >= stage_end(r))
        r->dirty_order = ORDER_NONE;
    return 0;
}

/* One stage of runs that are at the same step of it. */
static int stage_compute_all(struct run *const *runs, int32_t n, struct err *e)
{
    struct frame *frames[RUN_TOGETHER_MAX];
    int32_t stage = runs[0]->dirty_order / PLAN_STAGE_ORDER, last = stage_last(runs[0], stage);
    int rc = 0;
    model_stage_ahead(runs[0]->m, stage + 1);
    for (int32_t i = 0; !rc && i < n; i++) {
        frames[i] = &runs[i]->work;
        run_frame_start(frames[i], stage, runs[i]->dirty_row, runs[i]->n);
        frames[i]->unseen = true;
        rc = run_keep_stage(runs[i], stage, e);
        if (!rc && stage == 0)
            rc = run_embed_input(runs[i], runs[i]->dirty_row, runs[i]->n, e);
    }
    return rc ? rc
              : run_exec_all(runs, frames, n, runs[0]->dirty_order % PLAN_STAGE_ORDER, last,
                             SITE_COUNT, e);
}

/* Nothing counts as computed before it has been waited for; after a failure of a backend that
 * queues, how far it came is not known. */
static int compute_end(struct run *const *runs, int32_t n, const int32_t *before, int rc,
                       struct err *e)
{
    struct kn_backend *be = runs[0]->m->be;
    if (rc)
        be->type->sync(be);
    else
        rc = run_wait(be, e);
    for (int32_t i = 0; rc && !be->unified && i < n; i++)
        if (before[i] != ORDER_NONE)
            run_dirty(runs[i], before[i], runs[i]->dirty_row);
    return rc;
}

int run_compute(struct run *const *runs, int32_t n, struct run_cost *costs, struct err *e)
{
    int32_t before[RUN_TOGETHER_MAX];
    assert(n <= RUN_TOGETHER_MAX);
    int rc = 0;
    for (int32_t i = 0; i < n; i++)
        before[i] = runs[i]->dirty_order;
    for (int32_t i = 0; !rc && i < n; i++)
        rc = compute_begin(runs[i], &costs[i], e);
    for (int32_t stage = 0; !rc && stage < plan_stages(runs[0]->m->plan); stage++) {
        struct run *here[RUN_TOGETHER_MAX];
        int32_t together = 0;
        for (int32_t i = 0; !rc && i < n; i++) {
            struct run *r = runs[i];
            if (is_due(r, stage) && n > 1 && shares(r, stage) &&
                (!together || (r->dirty_order == here[0]->dirty_order && r->stop == here[0]->stop)))
                here[together++] = r;
            else if (is_due(r, stage) &&
                     !(rc = stage_compute(r, stage, r->dirty_order % PLAN_STAGE_ORDER, e)))
                stage_done(r, stage, &costs[i]);
        }
        if (!rc && together && !(rc = stage_compute_all(here, together, e)))
            for (int32_t i = 0; i < n; i++)
                if (is_due(runs[i], stage)) /* the others are past it */
                    stage_done(runs[i], stage, &costs[i]);
    }
    return compute_end(runs, n, before, rc, e);
}

/* Take the input's image; the first row that another one changes. */
static int32_t image_set(struct run *r, const struct run_input *in)
{
    bool same = image_same(r->image, in->image);
    if (r->image != in->image) {
        image_drop(r->image);
        r->image = image_hold(in->image);
    }
    return same ? in->n : 0;
}

/* Take the input's token types; the first row where they are others. */
static int32_t types_set(struct run *r, const struct run_input *in)
{
    const struct model *m = r->m;
    int32_t differ = in->n;
    for (int32_t i = 0, type = 0; i < in->n; i++) {
        int32_t now = in->types ? in->types[i] : in->tokens ? type : 0;
        if (i < r->n && now != r->types[i] && i < differ)
            differ = config_first_reached_row(&m->cfg, i);
        r->types[i] = now;
        type = in->tokens ? model_type_after(m, type, in->tokens[i]) : 0;
    }
    return differ;
}

static void length_set(struct run *r, const struct run_input *in)
{
    const int32_t *tokens = in->tokens;
    int32_t n = in->n, same = tokens_differ(r, tokens, n), typed = types_set(r, in),
            seen = image_set(r, in);
    same = typed < same ? typed : same;
    same = seen < same ? seen : same;
    r->version += same < n || n < r->n;
    for (int32_t i = 0; i < r->instrs.n; i++)
        if (r->instrs.list[i].full && n != r->n) /* rows that saw positions which are gone or new */
            run_dirty(r, instr_order(r, &r->instrs.list[i]), 0);
    if (same < n && !(r->base && r->fork_order == ORDER_NONE)) {
        int32_t row = r->base && r->fork_row > same ? r->fork_row : same;
        bool full = false;
        for (int32_t i = 0; i < r->instrs.n; i++)
            full |= r->instrs.list[i].full;
        run_dirty(r, r->fork_order, full ? 0 : row);
    }
    if (tokens)
        memcpy(r->tokens + same, tokens + same, (size_t)(n - same) * sizeof *tokens);
    else
        memset(r->tokens, 0, (size_t)n * sizeof *tokens);
    r->n = n;
}

int run_target(struct run *r, struct run_input in, const struct edit_program *prog,
               struct run *const *sources, struct err *e)
{
    if (r->base) {
        assert(r->base->dirty_order == ORDER_NONE || r->base->dirty_order >= r->stop);
        in = (struct run_input){r->base->tokens, r->base->n,         r->base->types,
                                r->base->given,  r->base->start - 1, r->base->image};
    }
    if (in.n < 1 || in.n > LIMIT_TOKENS)
        return err_set(e, ERR_BAD_INPUT, "prompt · %d tokens · 1..%d can be run", in.n,
                       LIMIT_TOKENS);
    if (r->m->cfg.patch_size && !in.rows && (!in.image || in.image->rows != in.n))
        return err_set(e, ERR_BAD_INPUT,
                       "prompt · this model takes an image of %d x %d pixels · give --image FILE",
                       r->m->cfg.image_size, r->m->cfg.image_size);
    if (in.rows || r->given)
        r->n = 0; /* no value stands any more */
    r->given = in.rows, r->start = in.rows ? in.start + 1 : 0;
    /* All that can fail stands before what is taken over for good: a failure must not leave edits
     * in force whose values were not computed. */
    struct run_instrs old = r->instrs;
    r->instrs = (struct run_instrs){0};
    int rc = run_edits_set(r, prog, sources, e);
    if (!rc)
        rc = run_set_capacity(r, in.n, e);
    if (!rc)
        rc = run_weights_set(r, prog, old.program, e);
    if (rc) {
        run_instrs_free(&r->instrs);
        r->instrs = old;
        return rc;
    }
    length_set(r, &in);
    instrs_compare(r, &old);
    full_reach(r);
    if (r->base)
        fork_place(r);
    if (run_called_order(r) != ORDER_NONE)
        run_dirty(r, run_called_order(r), r->called_row);
    /* edits of the final stage change values without computing a block */
    r->version += old.n || old.program || r->instrs.n || r->weights.n || r->called.n;
    run_instrs_free(&old);
    return 0;
}

int run_sync(struct run *r, struct run_input in, const struct edit_program *prog,
             struct run *const *sources, struct run_cost *cost, struct err *e)
{
    struct run_cost unused;
    int rc = run_target(r, in, prog, sources, e);
    return rc ? rc : run_compute(&r, 1, cost ? cost : &unused, e);
}
