/* run_view.c - reading values: kept ones where they lie, others rematerialised from their layer's
 * input. */
#include "run/run_parts.h"

#include <assert.h>
#include <math.h>

/* The frame r->look holds (stage, rows) of the present version; fill it up to and including site s.
 */
static int look_fill(struct run *r, int32_t stage, enum site_id s, int32_t row0, int32_t row1,
                     struct err *e)
{
    struct frame *f = &r->look;
    bool wide = f->r1 - f->r0 > run_frame_rows(r, stage, s) && f->r1 - f->r0 > row1 - row0;
    if (f->stage != stage || f->r0 > row0 || f->r1 < row1 || f->version != r->version ||
        f->r1 > r->n || wide) {
        run_frame_start(f, stage, row0, row1);
        f->version = r->version;
    }
    int32_t n, at = -1, rc;
    const struct step *steps = plan_stage(r->m->plan, stage, &n);
    for (int32_t i = 0; i < n; i++)
        if (steps[i].site == s)
            at = i;
    assert(at >= 0);
    bool on_request = steps[at].when == STEP_IF_WANTED;
    if (on_request && f->extra[s])
        return 0;
    bool all = !run_resident(r, stage) && at >= f->upto;
    if (!all && !on_request)
        return 0;
    rc = run_exec(r, f, all ? f->upto : at, at + 1, s, e);
    if (!rc && !(rc = run_wait(stage_backend(r, stage), e)) && all)
        f->upto = at + 1;
    if (rc)
        f->version = 0; /* holds a mixture now */
    return rc;
}

int run_look_all(struct run *const *runs, int32_t n, struct site_ref s, struct err *e)
{
    struct run *now[RUN_TOGETHER_MAX];
    struct frame *frames[RUN_TOGETHER_MAX];
    int32_t stage = plan_stage_of(runs[0]->m->plan, s),
            end = plan_order(runs[0]->m->plan, s) % PLAN_STAGE_ORDER + 1, count = 0;
    assert(n <= RUN_TOGETHER_MAX && stage > runs[0]->m->cfg.n_layers);
    for (int32_t i = 0; i < n; i++) {
        struct run *r = runs[i];
        int32_t row = r->n - 1;
        if (r->base && (plan_order(r->m->plan, s) < r->fork_order || row < r->fork_row))
            r = r->base;
        if (r->keep[run_slot(stage, s.id)] ||
            (r->look.version == r->version && r->look.stage == stage))
            continue;
        run_frame_start(&r->look, stage, row, row + 1);
        r->look.version = r->version;
        frames[count] = &r->look;
        now[count++] = r;
    }
    int rc = count ? run_exec_all(now, frames, count, 0, end, s.id, e) : 0;
    if (!rc && count)
        rc = run_wait(stage_backend(runs[0], stage), e);
    for (int32_t i = 0; i < count; i++) {
        frames[i]->upto = rc ? 0 : end;
        frames[i]->version = rc ? 0 : frames[i]->version;
    }
    return rc;
}

/* Sources after the destination are not computed; show them as the library does. */
static int fill_future(struct run *r, const struct kn_view *v, enum site_id s, int32_t row0,
                       struct err *e)
{
    float blank = s == SITE_PATTERN ? 0.0f : -INFINITY;
    struct kn_call c = {.op = KN_OP_HIDE, .out = {*v}, .p = {.number = blank, .dest0 = row0}};
    return run_status(kn_run(r->m->be, &c), e);
}

/* Rows of a site that is not kept, looked at in as many passes as frames of frame_bytes need. */
static int look_view(struct run *r, struct site_ref s, int32_t stage, int32_t row0, int32_t row1,
                     struct kn_view *out, struct err *e)
{
    int32_t step = run_frame_rows(r, stage, s.id), rows = row1 - row0;
    bool once = rows <= step;
    struct kn_view seen = {0};
    int rc = once ? 0
                  : run_reserve(stage_backend(r, stage), &r->wide, rows * run_pitch(r, s.id), e);
    for (int32_t a = row0; !rc && a < row1; a += step) {
        int32_t b = a + step < row1 ? a + step : row1;
        if ((rc = look_fill(r, stage, s.id, a, b, e)))
            break;
        seen = run_site_view(r, s.id, r->look.site[s.id].mem, a - r->look.r0, b - a, r->n);
        if (once)
            break;
        struct kn_view to = run_site_view(r, s.id, r->wide.mem, a - row0, b - a, r->n);
        rc = run_copy(r->m->be, &to, &seen, e);
    }
    if (!rc)
        *out = once ? seen : run_site_view(r, s.id, r->wide.mem, 0, rows, r->n);
    return rc;
}

static int own_view(struct run *r, struct site_ref s, int32_t stage, int32_t row0, int32_t row1,
                    struct kn_view *out, struct err *e)
{
    void *kept = r->keep[run_slot(stage, s.id)];
    int rc = kept ? 0 : look_view(r, s, stage, row0, row1, out, e);
    if (rc)
        return rc;
    if (kept)
        *out = run_site_view(r, s.id, kept, row0, row1 - row0, r->n);
    bool attn = site_is_attention(s.id);
    return attn && !run_stage_full(r, stage) ? fill_future(r, out, s.id, row0, e) : 0;
}

int run_replay(struct run *r, int32_t instr, int32_t r0, int32_t r1, struct kn_view *out,
               struct err *e)
{
    struct site_ref s = r->instrs.list[instr].site;
    int32_t n, stage = plan_stage_of(r->m->plan, s), slot = run_slot(stage, s.id);
    const struct step *steps = plan_stage(r->m->plan, stage, &n);
    int rc = look_fill(r, stage, s.id, r0, r1, e); /* what its steps read */
    if (rc)
        return rc;
    /* The same steps again, into a buffer of their own. */
    struct frame f = r->look;
    f.site[s.id] = r->replay;
    void *kept = r->keep[slot];
    r->keep[slot] = NULL;
    r->instr_stop = instr;
    for (int32_t i = 0; !rc && i < n; i++)
        if (steps[i].site == s.id)
            rc = run_exec(r, &f, i, i + 1, s.id, e);
    r->instr_stop = -1;
    r->keep[slot] = kept;
    r->replay = f.site[s.id];
    if (!rc)
        *out = run_site_view(r, s.id, r->replay.mem, r0 - f.r0, r1 - r0, r->n);
    return rc;
}

/* Rows on both sides of the fork row: the base's and own ones, brought together. */
static int gather_view(struct run *r, struct site_ref s, int32_t stage, int32_t row0, int32_t row1,
                       struct kn_view *out, struct err *e)
{
    int axis = site_row_axis(s.id);
    int64_t shape[SITE_RANK_MAX], before = r->fork_row - row0;
    int rank = site_shape(&r->m->cfg, s.id, r->n, shape);
    shape[axis] = row1 - row0;
    struct kn_view whole = kn_packed(NULL, KN_F32, rank, shape), part, to;
    int rc = run_reserve(stage_backend(r, stage), &r->gather, kn_count(&whole), e);
    whole.data = r->gather.mem;
    to = kn_slice(whole, axis, 0, before);
    if (rc || (rc = run_view(r->base, s, row0, r->fork_row, &part, e)) ||
        (rc = run_copy(r->m->be, &to, &part, e)))
        return rc;
    to = kn_slice(whole, axis, before, row1 - row0);
    if ((rc = own_view(r, s, stage, r->fork_row, row1, &part, e)) ||
        (rc = run_copy(r->m->be, &to, &part, e)))
        return rc;
    *out = whole;
    return 0;
}

int run_view(struct run *r, struct site_ref s, int32_t row0, int32_t row1, struct kn_view *out,
             struct err *e)
{
    const struct config *cfg = &r->m->cfg;
    char name[LIMIT_NAME];
    if (!site_is_there(cfg, s))
        return err_set(e, ERR_BAD_INPUT, "no hook \"%s\" in this model", site_name(s, name));
    if (site_refusal(cfg, s.id))
        return err_set(e, ERR_BAD_INPUT, "%s · %s", site_name(s, name), site_refusal(cfg, s.id));
    if (row0 < 0 || row0 >= row1 || row1 > r->n)
        return err_set(e, ERR_BAD_INPUT, "%s · rows %d..%d are asked for, the prompt has 0..%d",
                       site_name(s, name), row0, row1 - 1, r->n - 1);
    assert(plan_order(r->m->plan, s) < r->dirty_order);
    int32_t stage = plan_stage_of(r->m->plan, s);
    if (r->base && (plan_order(r->m->plan, s) < r->fork_order || row1 <= r->fork_row))
        return run_view(r->base, s, row0, row1, out, e);
    if (r->base && row0 < r->fork_row)
        return gather_view(r, s, stage, row0, row1, out, e);
    return own_view(r, s, stage, row0, row1, out, e);
}

int run_view_between(struct run *r, struct site_ref s, int32_t edit, int32_t row,
                     struct kn_view *out, struct err *e)
{
    bool own = row < r->n &&
               !(r->base && (plan_order(r->m->plan, s) < r->fork_order || row < r->fork_row));
    for (int32_t i = 0; own && i < r->instrs.n; i++) /* in list order within a site */
        if (site_same(r->instrs.list[i].site, s) && r->instrs.list[i].edit >= edit)
            return run_replay(r, i, row, row + 1, out, e);
    return run_view(r, s, row, row + 1, out, e);
}

/* Queue the elements of a view to their places among those of `rows` rows, from row `at` on. */
static int rows_read(struct run *r, const struct kn_view *v, int axis, int64_t rows, int64_t at,
                     float *dst, struct err *e)
{
    int64_t outer = axis ? v->shape[0] : 1, row = kn_count(v) / outer / v->shape[axis];
    int rc = 0;
    for (int64_t i = 0; !rc && i < outer; i++) {
        struct kn_view part = axis ? kn_slice(*v, 0, i, i + 1) : *v;
        rc = run_status(r->m->be->type->read(r->m->be, &part, dst + (i * rows + at) * row), e);
    }
    return rc;
}

/* Rows of a site, as run_read has them; by_row: of some heads, as run_read_heads. */
static int site_read(struct run *r, struct site_ref s, int32_t row0, int32_t row1, bool by_row,
                     int32_t head0, int32_t head1, float *dst, struct err *e)
{
    int rc = 0, axis = site_row_axis(s.id);
    int32_t step = run_frame_rows(r, plan_stage_of(r->m->plan, s), s.id);
    for (int32_t a = row0; !rc && a < row1; a += step) {
        int32_t b = a + step < row1 ? a + step : row1;
        struct kn_view v;
        if ((rc = run_view(r, s, a, b, &v, e)))
            break;
        v = head1 ? kn_slice(v, axis ? 0 : 1, head0, head1) : v;
        v = by_row && axis ? kn_swap(v, 0, 1) : v;
        rc = rows_read(r, &v, by_row ? 0 : axis, row1 - row0, a - row0, dst, e);
    }
    if (rc)
        r->m->be->type->sync(r->m->be); /* no read is left waiting */
    return rc ? rc : run_wait(r->m->be, e);
}

int run_read(struct run *r, struct site_ref s, int32_t row0, int32_t row1, float *dst,
             int64_t *count, struct err *e)
{
    int rc = site_read(r, s, row0, row1, false, 0, 0, dst, e);
    if (!rc && count)
        *count = site_row_size(&r->m->cfg, s.id, r->n) * (row1 - row0);
    return rc;
}

int run_read_heads(struct run *r, struct site_ref s, int32_t row0, int32_t row1, int32_t head0,
                   int32_t head1, float *dst, struct err *e)
{
    return site_read(r, s, row0, row1, true, head0, head1, dst, e);
}
