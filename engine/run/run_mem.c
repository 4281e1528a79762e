/* run_mem.c - where the values of a run lie (see run_parts.h): capacity, kept sites, frames, views.
 */
#include "run/run_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Where there is room for `cap` positions. */
static int64_t pitch_of(const struct config *cfg, enum site_id s, int32_t cap)
{
    return site_is_attention(s) ? (int64_t)cfg->n_heads * cap : site_row_size(cfg, s, 1);
}

static size_t bytes_of(const struct config *cfg, enum site_id s, int32_t cap)
{
    return (size_t)pitch_of(cfg, s, cap) * (size_t)cap * sizeof(float);
}

int64_t run_pitch(const struct run *r, enum site_id s)
{
    return pitch_of(&r->m->cfg, s, r->cap);
}

void run_memory(const struct model *m, int32_t n, size_t *kept, size_t *live)
{
    *kept = *live = 0;
    for (int s = 0; s < SITE_COUNT; s++) {
        size_t bytes = bytes_of(&m->cfg, (enum site_id)s, n);
        if (m->plan->carried[s])
            *kept += bytes * (size_t)(site_table[s].scope == SCOPE_BLOCK ? m->cfg.n_layers : 1);
        if (site_table[s].scope == SCOPE_BLOCK && m->plan->always[s])
            *live += bytes;
    }
}

bool run_resident(const struct run *r, int32_t stage)
{
    return stage <= r->n_resident;
}

/* Is the site kept for all rows in this stage? */
static bool is_kept(const struct run *r, int32_t stage, enum site_id s)
{
    if (!site_is_there(&r->m->cfg, (struct site_ref){s, stage - 1}))
        return false;
    const struct plan *plan = r->m->plan;
    return stage == 0 || plan->carried[s] || run_called(r, stage, s) ||
           (run_resident(r, stage) && plan->always[s]);
}

static enum site_scope scope_of(const struct run *r, int32_t stage)
{
    return stage == 0 ? SCOPE_EMBED : stage <= r->m->cfg.n_layers ? SCOPE_BLOCK : SCOPE_FINAL;
}

int run_keep_stage(struct run *r, int32_t stage, struct err *e)
{
    for (int s = 0; s < SITE_COUNT; s++) {
        enum site_id id = (enum site_id)s;
        void **at = &r->keep[run_slot(stage, id)];
        if (*at || site_table[s].scope != scope_of(r, stage) || !is_kept(r, stage, id))
            continue;
        size_t bytes = bytes_of(&r->m->cfg, id, r->cap);
        struct kn_backend *be = stage_backend(r, stage);
        if (!(*at = be->type->alloc(be, bytes)))
            return run_no_room(
                be, e,
                "%zu bytes for %s of %d positions · a shorter prompt or a smaller --cache-mb",
                bytes, site_table[s].name, r->cap);
    }
    return 0;
}

static void keep_release(struct run *r, int32_t slot)
{
    struct kn_backend *be = stage_backend(r, slot / SITE_COUNT);
    if (r->keep[slot])
        be->type->release(be, r->keep[slot],
                          bytes_of(&r->m->cfg, (enum site_id)(slot % SITE_COUNT), r->cap));
    r->keep[slot] = NULL;
}

void run_release_unkept(struct run *r)
{
    for (int32_t i = 0; i < plan_stages(r->m->plan) * SITE_COUNT; i++)
        if (!is_kept(r, i / SITE_COUNT, (enum site_id)(i % SITE_COUNT)))
            keep_release(r, i);
}

void run_drop(struct run *r)
{
    for (int32_t i = 0; i < plan_stages(r->m->plan) * SITE_COUNT; i++)
        keep_release(r, i);
    run_marks_drop(r);
    r->fork_order = r->base ? ORDER_NONE : 0;
    r->fork_row = 0;
    r->dirty_order = r->base ? ORDER_NONE : 0;
    r->dirty_row = 0;
    r->version++;
}

/* How many blocks may keep every site within the budget; of a fork no more than of its base, whose
 * rows it reads where they lie. */
static int32_t resident_count(const struct run *r, int32_t cap)
{
    const struct config *cfg = &r->m->cfg;
    int64_t floats = 0;
    for (int s = 0; s < SITE_COUNT; s++)
        if (site_table[s].scope == SCOPE_BLOCK && r->m->plan->always[s])
            floats += pitch_of(cfg, (enum site_id)s, cap);
    size_t per_stage = (size_t)floats * (size_t)cap * sizeof(float);
    size_t n = (r->cache_bytes > r->weights.bytes ? r->cache_bytes - r->weights.bytes : 0) /
               per_stage;
    size_t most = (size_t)(r->base ? r->base->n_resident : cfg->n_layers);
    return (int32_t)(n < most ? n : most);
}

void run_resident_update(struct run *r)
{
    int32_t n = r->cap ? resident_count(r, r->cap) : 0, before = r->n_resident;
    if (n > before)
        run_drop(r); /* rare: only where copies are large against the budget */
    r->n_resident = n;
    if (n < before)
        run_release_unkept(r);
}

/* Elements of an operand for one position. */
static int64_t operand_pitch(const struct run *r, enum run_operand o)
{
    const struct config *cfg = &r->m->cfg;
    bool local = o >= RUN_COS_LOCAL && !cfg->rope_by_window;
    return o < RUN_COS        ? 1
           : o == RUN_PATCHES ? cfg->patch_size ? site_dim_size(cfg, DIM_PATCH, 0) : 0
           : local            ? 0
                              : cfg->n_rot;
}

struct kn_view run_operand_view(const struct run *r, enum run_operand o, int32_t r0, int32_t r1)
{
    int64_t pitch = operand_pitch(r, o);
    void *mem = r->operand[o].mem;
    struct kn_view v = o >= RUN_COS ? kn_view2(mem, KN_F32, r->cap, pitch)
                                    : kn_view1(mem, KN_I32, r->cap);
    return kn_slice(v, 0, r0, r1);
}

static struct kn_view view_of(const struct config *cfg, enum site_id s, void *mem, int32_t row,
                              int32_t rows, int32_t src, int32_t cap)
{
    int64_t pitch = pitch_of(cfg, s, cap), shape[SITE_RANK_MAX];
    struct kn_view v;
    if (site_is_attention(s)) {
        v = kn_view3(mem, KN_F32, cfg->n_heads, rows, src);
        v.stride[0] = cap, v.stride[1] = pitch;
    } else {
        int rank = site_shape(cfg, s, rows, shape);
        v = kn_packed(mem, KN_F32, rank, shape);
    }
    return kn_moved(v, row * pitch);
}

void run_axes(const struct kn_view *v, int64_t shape[3], int64_t stride[3])
{
    int lead = 3 - v->ndim;
    for (int i = 0; i < 3; i++) {
        shape[i] = i < lead ? 1 : v->shape[i - lead];
        stride[i] = i < lead ? 0 : v->stride[i - lead];
    }
}

struct kn_view run_site_view(const struct run *r, enum site_id s, void *mem, int32_t row,
                             int32_t rows, int32_t src)
{
    return view_of(&r->m->cfg, s, mem, row, rows, src, r->cap);
}

/* Move what is kept, one site at a time, to where `cap` positions have room.  On failure what was
 * not moved is gone. */
static int kept_move(struct run *r, int32_t cap, struct err *e)
{
    const struct config *cfg = &r->m->cfg;
    int32_t row0 = r->base ? r->fork_row : 0, rows = r->n - row0;
    int rc = 0;
    for (int32_t i = 0; i < plan_stages(r->m->plan) * SITE_COUNT; i++) {
        enum site_id s = (enum site_id)(i % SITE_COUNT);
        struct kn_backend *be = stage_backend(r, i / SITE_COUNT);
        void *from = r->keep[i], *to = NULL;
        if (from && !rc && !(to = be->type->alloc(be, bytes_of(cfg, s, cap))))
            rc = run_no_room(be, e, "%zu bytes for %s of %d positions", bytes_of(cfg, s, cap),
                             site_table[s].name, cap);
        if (to && rows > 0) {
            struct kn_view old = view_of(cfg, s, from, row0, rows, r->n, r->cap),
                           moved = view_of(cfg, s, to, row0, rows, r->n, cap);
            rc = run_copy(be, &moved, &old, e);
        }
        keep_release(r, i);
        r->keep[i] = to;
    }
    return rc;
}

static void operands_take(struct run *r, struct buffer operand[RUN_OPERANDS])
{
    for (int i = 0; i < RUN_OPERANDS; i++) {
        run_release(&r->operand[i]);
        r->operand[i] = operand[i];
    }
}

/* Operands, tokens and values for `cap` positions; on failure the values are as they were or are
 * dropped. */
static int capacity_grow(struct run *r, int32_t cap, struct err *e)
{
    struct buffer operand[RUN_OPERANDS] = {{0}};
    int32_t *tokens = realloc(r->tokens, (size_t)cap * sizeof *tokens),
            *types = realloc(r->types, (size_t)cap * sizeof *types),
            *positions = malloc((size_t)cap * sizeof *positions);
    r->tokens = tokens ? tokens : r->tokens, r->types = types ? types : r->types;
    int rc = tokens && types && positions ? 0 : err_memory(e, "%d positions", cap);
    for (int i = 0; !rc && i < RUN_OPERANDS; i++)
        rc = run_reserve(stage_backend(r, 0), &operand[i],
                         operand_pitch(r, (enum run_operand)i) * cap + 1, e);
    for (int32_t i = 0; positions && i < cap; i++)
        positions[i] = r->m->cfg.pos_row0 + i;
    struct kn_view to = kn_view1(operand[RUN_POSITIONS].mem, KN_I32, cap);
    if (!rc)
        rc = run_write(r->m->be, &to, positions, e);
    free(positions);
    if (rc) {
        for (int i = 0; i < RUN_OPERANDS; i++)
            run_release(&operand[i]);
        return rc;
    }
    r->n_resident = resident_count(r, cap); /* never more than for fewer positions */
    run_release_unkept(r);
    run_marks_drop(r);
    rc = kept_move(r, cap, e);
    operands_take(r, operand);
    r->cap = cap, r->rope_n = 0, r->look.version = 0;
    if (rc) {
        run_drop(r);
        r->n = 0;
    }
    return rc;
}

int run_set_capacity(struct run *r, int32_t n, struct err *e)
{
    int32_t cap = r->cap ? r->cap : 32, rope = rope_length(&r->m->cfg, n), before = r->rope_n;
    while (cap < n)
        cap *= 2;
    if (r->base) /* so that a row of scores has one pitch in both */
        cap = r->base->cap;
    int rc = cap == r->cap ? 0 : capacity_grow(r, cap, e);
    if (rc || rope == r->rope_n)
        return rc;
    if (rope != before)
        r->n = 0; /* no value stands any more */
    return run_rope_fill(r, rope, e);
}

int run_reserve(struct kn_backend *be, struct buffer *b, int64_t floats, struct err *e)
{
    if ((size_t)floats <= b->floats && b->be == be)
        return 0;
    run_release(b);
    if (!(b->mem = be->type->alloc(be, (size_t)floats * sizeof(float))))
        return run_no_room(be, e, "%zu bytes of scratch · a shorter prompt needs less",
                           (size_t)floats * sizeof(float));
    b->floats = (size_t)floats, b->be = be;
    return 0;
}

void run_release(struct buffer *b)
{
    if (b->mem)
        b->be->type->release(b->be, b->mem, b->floats * sizeof(float));
    *b = (struct buffer){0};
}

int32_t run_frame_rows(const struct run *r, int32_t stage, enum site_id want)
{
    size_t row = 0;
    for (int s = 0; s < SITE_COUNT; s++)
        if (site_table[s].scope == scope_of(r, stage) &&
            !r->keep[run_slot(stage, (enum site_id)s)] && (r->m->plan->always[s] || s == (int)want))
            row += (size_t)run_pitch(r, (enum site_id)s) * sizeof(float);
    size_t rows = row ? r->frame_bytes / row : RUN_CHUNK;
    return rows < 1 ? 1 : rows < RUN_CHUNK ? (int32_t)rows : RUN_CHUNK;
}

void run_frame_start(struct frame *f, int32_t stage, int32_t r0, int32_t r1)
{
    f->stage = stage, f->r0 = r0, f->r1 = r1, f->upto = 0, f->unseen = false;
    memset(f->extra, 0, sizeof f->extra);
}

struct kn_view run_rows(const struct run *r, const struct frame *f, int32_t stage, enum site_id s,
                        int32_t row, int32_t rows, int32_t src)
{
    struct site_ref ref = {s, site_table[s].scope == SCOPE_BLOCK ? stage - 1 : SITE_ROOT};
    if (r->base && plan_order(r->m->plan, ref) < r->fork_order)
        return run_rows(r->base, NULL, stage, s, row, rows, src);
    void *kept = r->keep[run_slot(stage, s)];
    if (kept)
        return run_site_view(r, s, kept, row, rows, src);
    assert(f && f->stage == stage && row >= f->r0 && row < f->r1 && f->site[s].mem);
    return run_site_view(r, s, f->site[s].mem, row - f->r0, rows, src);
}
