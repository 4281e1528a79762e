/* run_edits.c - the edits of a run, and applying them to rows as they are computed. */
#include "run/run_apply.h"
#include "run/run_parts.h"

#include <stdlib.h>
#include <string.h>

bool run_has_edits(const struct run *r, int32_t stage, enum site_id s)
{
    return r->instrs.first && r->instrs.first[run_slot(stage, s)] >= 0;
}

bool run_edited(const struct run *r, int32_t stage, enum site_id s)
{
    return run_has_edits(r, stage, s) || run_changed(r, stage, s);
}

enum site_id run_source(const struct run *r, int32_t stage, enum site_id s)
{
    enum site_id from = run_edited(r, stage, s) ? s : site_copied(&r->m->cfg, s);
    return from == s ? s : run_source(r, stage, from);
}

int32_t run_instr_stage(const struct run *r, const struct edit_instr *a)
{
    return plan_stage_of(r->m->plan, a->site);
}

bool run_stage_full(const struct run *r, int32_t stage)
{
    int32_t n;
    const struct step *steps = plan_stage(r->m->plan, stage, &n);
    for (int32_t i = 0; i < n; i++)
        if (steps[i].p.full)
            return true;
    for (int32_t i = 0; i < r->instrs.n; i++)
        if (r->instrs.list[i].full && run_instr_stage(r, &r->instrs.list[i]) == stage)
            return true;
    return r->called_full && r->called_full[stage];
}

void run_instrs_free(struct run_instrs *l)
{
    edit_program_free(l->program), free(l->first), free(l->sources), free(l->version);
    *l = (struct run_instrs){0};
}

void run_instr_rows(const struct edit_instr *a, int32_t *lo, int32_t *hi)
{
    const struct edit_axis *x = &a->axis[site_row_axis(a->site.id)];
    *lo = x->n == 0 ? 0 : x->list ? x->list[0] : x->lo;
    *hi = x->n == 0 ? 0 : x->list ? x->list[x->n - 1] + 1 : x->lo + x->n;
}

static bool reads_source(const struct edit_instr *a)
{
    return a->value == EDIT_FROM || a->value == EDIT_RESAMPLE;
}

/* A value read from another run must exist there, position for position. */
static int source_check(const struct run *r, const struct edit_instr *a, const struct run *src,
                        struct err *e)
{
    int32_t n = 0, lo, pos = a->source_pos;
    const char *name = a->source_name, *word = edit_value_words[a->value].word;
    run_instr_rows(a, &lo, &n);
    if (pos != EDIT_SAME_POS)
        n = pos < 0 ? -pos : pos + 1; /* how long it must be */
    for (int i = 0; i < a->rank; i++)
        if (site_table[a->site.id].dims[i] == DIM_SRC && a->axis[i].n &&
            a->full) { /* else none later than dest is read */
            const struct edit_axis *x = &a->axis[i];
            int32_t end = x->list ? x->list[x->n - 1] + 1 : x->lo + x->n;
            n = end > n ? end : n;
        }
    if (!src || src->dirty_order != ORDER_NONE)
        return err_set(e, ERR_BAD_INPUT,
                       "%s(%s) · there is no run of that name · name one with its prompt first",
                       word, name);
    if (src == r)
        return err_set(e, ERR_BAD_INPUT, "%s(%s) · a run cannot read itself", word, name);
    if (n > src->n) {
        char site[LIMIT_NAME];
        return err_set(e, ERR_BAD_INPUT,
                       "%s(%s) · %s · position %d is asked for, that run has 0..%d", word, name,
                       site_name(a->site, site), n - 1, src->n - 1);
    }
    return 0;
}

/* The sites of a layer are compared, not its instructions, of which there may be thousands: those
 * of a site stand together, as do those of a layer (edit.h). */
static int inputs_check(const struct run *r, const struct edit_program *p, struct err *e)
{
    bool edited[SITE_COUNT] = {false};
    for (int32_t i = 0; i < p->n_instrs; i++) {
        struct site_ref b = p->instrs[i].site, before = p->instrs[i ? i - 1 : 0].site;
        if (b.layer != before.layer)
            memset(edited, 0, sizeof edited);
        for (int a = 0; a < SITE_COUNT && !edited[b.id]; a++)
            if (edited[a] && r->m->plan->conflicts[a][b.id])
                return err_set(
                    e, ERR_BAD_INPUT,
                    "layer %d · %s and %s cannot both be edited · one would hide the other",
                    b.layer, site_table[a].name, site_table[b.id].name);
        edited[b.id] = true;
    }
    return 0;
}

static bool reads_base(const struct edit_instr *a)
{
    return a->value == EDIT_MEAN || a->value == EDIT_FROZEN;
}

int run_edits_set(struct run *r, const struct edit_program *prog, struct run *const *sources,
                  struct err *e)
{
    int32_t n = prog ? prog->n_instrs : 0, n_src = prog ? prog->n_sources : 0;
    size_t n_index = (size_t)plan_stages(r->m->plan) * SITE_COUNT;
    int32_t *first = malloc(n_index * sizeof *first);
    struct run **src = calloc((size_t)n_src + 1, sizeof *src);
    uint64_t *version = calloc((size_t)n + 1, sizeof *version);
    int rc = 0;
    if (!first || !src || !version)
        rc = err_memory(e, "%d edits", n);
    if (!rc && n)
        rc = inputs_check(r, prog, e);
    for (int32_t i = 0; !rc && i < n; i++) {
        const struct edit_instr *a = &prog->instrs[i];
        char name[LIMIT_NAME];
        if (run_instr_stage(r, a) < r->start)
            rc = err_set(e, ERR_BAD_INPUT, "%s cannot be edited · this pass starts at layer %d",
                         site_name(a->site, name), r->start - 1);
        else if (reads_source(a))
            rc = source_check(r, a, sources ? sources[a->source] : NULL, e);
        else if (reads_base(a) && !r->base)
            rc = err_set(e, ERR_BAD_INPUT, "%s · needs a run without edits to read",
                         edit_value_words[a->value].form);
    }
    if (rc) {
        free(first), free(src), free(version);
        return rc;
    }
    run_instrs_free(&r->instrs);
    memset(first, -1, n_index * sizeof *first);
    for (int32_t i = 0; i < n; i++) {
        const struct edit_instr *a = &prog->instrs[i];
        int32_t *at = &first[run_slot(run_instr_stage(r, a), a->site.id)];
        if (*at < 0)
            *at = i;
        if (reads_source(a))
            version[i] = sources[a->source]->version;
        else if (reads_base(a))
            version[i] = r->base->version;
    }
    for (int32_t i = 0; i < n_src; i++)
        src[i] = sources ? sources[i] : NULL;
    r->instrs = (struct run_instrs){
        prog ? edit_program_copy(prog) : NULL, n ? prog->instrs : NULL, n, first, src, version};
    return 0;
}

/* Means over the row axis of a host view, in its order; sums are double, in row order. */
static void rows_mean(const struct kn_view *v, int axis, float *out)
{
    int64_t n[3], st[3], rows = v->shape[axis];
    int at = axis + 3 - v->ndim;
    run_axes(v, n, st);
    n[at] = 1;
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t c = 0; c < n[2]; c++) {
                const float *p = kn_f32(v) + a * st[0] + b * st[1] + c * st[2];
                double sum = 0;
                for (int64_t i = 0; i < rows; i++)
                    sum += (double)p[i * st[at]];
                *out++ = (float)(sum / (double)rows);
            }
}

/* The mean of the base run's value over its positions, as a view that repeats it for `rows` rows.
 */
static int mean_view(struct run *r, const struct edit_instr *a, int32_t rows, struct kn_view *out,
                     struct err *e)
{
    int axis = site_row_axis(a->site.id);
    struct kn_backend *be = stage_backend(r, run_instr_stage(r, a));
    struct kn_view v;
    struct host_view h;
    int rc = run_view(r->base, a->site, 0, r->base->n, &v, e);
    if (rc || (rc = host_view_get(&h, be, &v, e)))
        return rc;
    int64_t shape[3] = {v.shape[0], v.shape[1], v.shape[2]}, count = kn_count(&v) / v.shape[axis];
    float *mean = malloc((size_t)count * sizeof *mean);
    rc = mean ? run_reserve(be, &r->mean, count, e) : err_memory(e, "edits");
    shape[axis] = 1;
    struct kn_view to = kn_packed(r->mean.mem, KN_F32, v.ndim, shape);
    if (!rc) {
        rows_mean(&h.v, axis, mean);
        rc = run_write(be, &to, mean, e);
    }
    host_view_drop(&h);
    free(mean);
    to.shape[axis] = rows, to.stride[axis] = 0;
    if (!rc)
        *out = to;
    return rc;
}

/* What from() reads for rows [lo, hi). */
static int source_view(struct run *from, const struct edit_instr *a, int32_t lo, int32_t hi,
                       struct kn_view *out, struct err *e)
{
    if (a->source_pos == EDIT_SAME_POS)
        return run_view(from, a->site, lo, hi, out, e);
    int32_t pos = a->source_pos < 0 ? a->source_pos + from->n : a->source_pos;
    int axis = site_row_axis(a->site.id), rc = run_view(from, a->site, pos, pos + 1, out, e);
    out->shape[axis] = hi - lo;
    out->stride[axis] = 0;
    return rc;
}

int run_slots(struct run *r, const struct edit_instr *a, const struct kn_view *v, int32_t r0,
              const struct kn_view *src, run_slot_fn *fn, void *ctx, struct err *e)
{
    int32_t n = (int32_t)v->shape[0], slots = r->m->cfg.n_active;
    const struct frame *f = r->passing;
    const int32_t *expert;
    int rc = run_routes(r, f, run_instr_stage(r, a), f ? f->r0 : r0, f ? f->r1 : r0 + n, &expert,
                        e);
    expert += f && !rc ? (r0 - f->r0) * slots : 0;
    for (int32_t i = 0; !rc && i < n * slots; i++) {
        struct kn_view one = kn_slice(*v, 0, i / slots, i / slots + 1), from;
        if (expert[i] != a->expert - 1)
            continue;
        one = kn_slice(one, 1, i % slots, i % slots + 1);
        if (src) {
            from = kn_slice(*src, 0, i / slots, i / slots + 1);
            from = kn_slice(from, 1, i % slots, i % slots + 1);
        }
        rc = fn(ctx, a, &one, r0 + i / slots, src ? &from : NULL, e);
    }
    return rc;
}

/* What an instruction on one expert reads of another run, where the slots are others: for rows
 * [lo, hi) of `slots`, 0 where no slot goes there. */
static int expert_source(struct run *r, struct run *from, const struct edit_instr *a, int32_t lo,
                         int32_t hi, struct kn_view *out, struct err *e)
{
    int32_t slots = r->m->cfg.n_active, rows = hi - lo;
    int64_t d = r->m->cfg.d_expert;
    const int32_t *expert;
    struct kn_backend *be = stage_backend(r, run_instr_stage(r, a));
    int rc = run_reserve(be, &r->mean, rows * d, e);
    struct kn_view all = kn_view2(r->mean.mem, KN_F32, rows, d), there;
    rc = rc ? rc : run_fill(be, &all, 0, e);
    for (int32_t i = 0; !rc && i < rows; i++) {
        int32_t pos = a->value == EDIT_FROZEN || a->source_pos == EDIT_SAME_POS ? lo + i
                      : a->source_pos < 0 ? a->source_pos + from->n
                                          : a->source_pos;
        rc = run_routes(from, NULL, run_instr_stage(r, a), pos, pos + 1, &expert, e);
        for (int32_t s = 0; !rc && s < slots; s++)
            if (expert[s] == a->expert - 1 &&
                !(rc = run_view(from, a->site, pos, pos + 1, &there, e))) {
                struct kn_view to = kn_slice(all, 0, i, i + 1), value = kn_index(there, 1, s);
                rc = run_copy(be, &to, &value, e);
                break;
            }
    }
    *out = kn_view3(all.data, KN_F32, rows, slots, d);
    out->stride[0] = d, out->stride[1] = 0;
    return rc;
}

static int slot_apply(void *ctx, const struct edit_instr *a, const struct kn_view *v, int32_t r0,
                      const struct kn_view *src, struct err *e)
{
    return run_apply(ctx, a, v, r0, src, e);
}

/* An instruction on what goes to one expert, on rows [lo, hi) of its site. */
static int expert_apply(struct run *r, const struct edit_instr *a, const struct kn_view *rows,
                        int32_t lo, int32_t hi, struct err *e)
{
    struct run *from = reads_source(a)           ? r->instrs.sources[a->source]
                       : a->value == EDIT_FROZEN ? r->base
                                                 : NULL;
    struct kn_view src;
    int rc = from ? expert_source(r, from, a, lo, hi, &src, e) : 0;
    return rc ? rc
              : run_slots(r, a, rows, lo, from ? &src : NULL, slot_apply,
                          stage_backend(r, run_instr_stage(r, a)), e);
}

int run_instr_apply(struct run *r, const struct edit_instr *a, const struct kn_view *v, int32_t r0,
                    struct err *e)
{
    int axis = site_row_axis(a->site.id);
    int32_t lo, hi, r1 = r0 + (int32_t)v->shape[axis];
    run_instr_rows(a, &lo, &hi);
    lo = lo < r0 ? r0 : lo, hi = hi > r1 ? r1 : hi;
    if (lo >= hi)
        return 0;
    struct kn_view rows = kn_slice(*v, axis, lo - r0, hi - r0), src = {0};
    if (a->expert)
        return expert_apply(r, a, &rows, lo, hi, e);
    int rc = reads_source(a) ? source_view(r->instrs.sources[a->source], a, lo, hi, &src, e)
             : a->value == EDIT_FROZEN ? run_view(r->base, a->site, lo, hi, &src, e)
             : a->value == EDIT_MEAN   ? mean_view(r, a, hi - lo, &src, e)
                                       : 0;
    return rc ? rc : run_apply(stage_backend(r, run_instr_stage(r, a)), a, &rows, lo, &src, e);
}

int run_edits_apply(struct run *r, int32_t stage, enum site_id s, const struct kn_view *v,
                    int32_t r0, struct err *e)
{
    int rc = 0;
    for (int32_t i = r->instrs.first[run_slot(stage, s)];
         !rc && i < r->instrs.n && i != r->instr_stop; i++) {
        if (r->instrs.list[i].site.id != s || run_instr_stage(r, &r->instrs.list[i]) != stage)
            break;
        rc = run_instr_apply(r, &r->instrs.list[i], v, r0, e);
    }
    return rc;
}
