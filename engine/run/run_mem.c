/* run_mem.c - where the values of a run lie (see run_parts.h): capacity, kept sites, frames, views.
 */
#include "run/run_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool is_attn(enum site_id s)
{
    return s == SITE_ATTN_SCORES || s == SITE_PATTERN;
}

int64_t run_pitch(const struct run *r, enum site_id s)
{
    if (is_attn(s))
        return (int64_t)r->m->cfg.n_heads * r->cap;
    return site_row_size(&r->m->cfg, s, 1);
}

bool run_resident(const struct run *r, int32_t stage)
{
    return stage <= r->n_resident;
}

bool run_is_kept(const struct run *r, int32_t stage, enum site_id s)
{
    if (!site_exists(&r->m->cfg, s))
        return false;
    if (stage == 0 || s == SITE_RESID_POST || s == SITE_V || s == plan_key_site(r->m->plan) ||
        run_called(r, stage, s))
        return true;
    const char *needs = site_table[s].needs;
    return run_resident(r, stage) && (!needs || s == SITE_LN1_OUT || s == SITE_LN2_OUT);
}

static enum site_scope scope_of(const struct run *r, int32_t stage)
{
    return stage == 0 ? SCOPE_EMBED : stage <= r->m->cfg.n_layers ? SCOPE_BLOCK : SCOPE_FINAL;
}

int run_keep_stage(struct run *r, int32_t stage, struct err *e)
{
    for (int s = 0; s < SITE_COUNT; s++) {
        enum site_id id = (enum site_id)s;
        float **at = &r->keep[run_slot(stage, (enum site_id)s)];
        if (*at || site_table[s].scope != scope_of(r, stage) || !run_is_kept(r, stage, id))
            continue;
        size_t bytes = (size_t)run_pitch(r, id) * (size_t)r->cap * sizeof(float);
        if (!(*at = r->m->be->type->alloc(r->m->be, bytes)))
            return err_set(
                e, ERR_SYSTEM,
                "out of memory · %zu bytes for %s of %d positions · a shorter prompt or a smaller --cache-mb",
                bytes, site_table[s].name, r->cap);
    }
    return 0;
}

void run_drop(struct run *r)
{
    for (int32_t i = 0; i < plan_stages(r->m->plan) * SITE_COUNT; i++)
        if (r->keep[i]) {
            size_t bytes = (size_t)run_pitch(r, (enum site_id)(i % SITE_COUNT)) * (size_t)r->cap *
                           sizeof(float);
            r->m->be->type->release(r->m->be, r->keep[i], bytes);
            r->keep[i] = NULL;
        }
    run_marks_drop(r);
    r->fork_order = r->base ? ORDER_NONE : 0;
    r->fork_row = 0;
    r->dirty_order = r->base ? ORDER_NONE : 0;
    r->dirty_row = 0;
    r->version++;
}

/* How many blocks may keep every site within the budget. */
static int32_t resident_count(const struct run *r)
{
    const struct config *cfg = &r->m->cfg;
    int64_t floats = 0;
    for (int s = 0; s < SITE_COUNT; s++)
        if (site_table[s].scope == SCOPE_BLOCK && site_exists(cfg, (enum site_id)s) &&
            !site_table[s].needs)
            floats += run_pitch(r, (enum site_id)s);
    size_t per_stage = (size_t)(floats + 2 * cfg->d_model) * (size_t)r->cap * sizeof(float);
    size_t n = (r->cache_bytes > r->weights.bytes ? r->cache_bytes - r->weights.bytes : 0) /
               per_stage;
    return n < (size_t)cfg->n_layers ? (int32_t)n : cfg->n_layers;
}

void run_resident_update(struct run *r)
{
    int32_t n = r->cap ? resident_count(r) : 0;
    if (n == r->n_resident)
        return;
    run_drop(r); /* rare: only where copies are large against the budget */
    r->n_resident = n;
}

/* Elements of an operand for one position. */
static int64_t operand_pitch(const struct run *r, enum run_operand o)
{
    return o == RUN_COS || o == RUN_SIN ? r->m->cfg.n_rot : 1;
}

struct kn_view run_operand_view(const struct run *r, enum run_operand o, int32_t r0, int32_t r1)
{
    int64_t pitch = operand_pitch(r, o);
    float *at = r->operand[o].mem + r0 * pitch;
    return o == RUN_COS || o == RUN_SIN ? kn_view2(at, KN_F32, r1 - r0, pitch)
                                        : kn_view1(at, KN_I32, r1 - r0);
}

/* Operands and tokens for `cap` positions; every value is dropped. */
static int capacity_change(struct run *r, int32_t cap, struct err *e)
{
    struct buffer operand[RUN_OPERANDS] = {{0}};
    int32_t *tokens = malloc((size_t)cap * sizeof *tokens),
            *positions = malloc((size_t)cap * sizeof *positions);
    int rc = tokens && positions ? 0 : err_set(e, ERR_SYSTEM, "out of memory · %d positions", cap);
    for (int i = 0; !rc && i < RUN_OPERANDS; i++)
        rc = run_reserve(r, &operand[i], operand_pitch(r, i) * cap + 1, e);
    for (int32_t i = 0; positions && i < cap; i++)
        positions[i] = i;
    struct kn_view to = kn_view1(operand[RUN_POSITIONS].mem, KN_I32, cap);
    if (!rc)
        rc = run_write(r->m->be, &to, positions, e);
    free(positions);
    if (rc) {
        free(tokens);
        for (int i = 0; i < RUN_OPERANDS; i++)
            run_release(r, &operand[i]);
        return rc;
    }
    if (r->tokens)
        run_drop(r);
    free(r->tokens);
    r->tokens = tokens;
    for (int i = 0; i < RUN_OPERANDS; i++) {
        run_release(r, &r->operand[i]);
        r->operand[i] = operand[i];
    }
    r->cap = cap, r->n = r->rope_n = 0;
    r->n_resident = resident_count(r);
    return 0;
}

int run_set_capacity(struct run *r, int32_t n, struct err *e)
{
    int32_t cap = r->cap ? r->cap : 32;
    while (cap < n)
        cap *= 2;
    if (r->base) /* so that a row of scores has one pitch in both */
        cap = r->base->cap;
    int rc = cap == r->cap ? 0 : capacity_change(r, cap, e);
    int32_t rope = run_rope_length(&r->m->cfg, n);
    if (rc || rope == r->rope_n)
        return rc;
    r->n = 0; /* no value stands any more */
    return run_rope_fill(r, rope, e);
}

int run_reserve(struct run *r, struct buffer *b, int64_t floats, struct err *e)
{
    if ((size_t)floats <= b->floats)
        return 0;
    run_release(r, b);
    if (!(b->mem = r->m->be->type->alloc(r->m->be, (size_t)floats * sizeof(float))))
        return err_set(e, ERR_SYSTEM,
                       "out of memory · %zu bytes of scratch · a shorter prompt needs less",
                       (size_t)floats * sizeof(float));
    b->floats = (size_t)floats;
    return 0;
}

void run_release(struct run *r, struct buffer *b)
{
    if (b->mem)
        r->m->be->type->release(r->m->be, b->mem, b->floats * sizeof(float));
    *b = (struct buffer){0};
}

float *run_row(struct run *r, const struct frame *f, int32_t stage, enum site_id s, int32_t row)
{
    struct site_ref ref = {s, site_table[s].scope == SCOPE_BLOCK ? stage - 1 : SITE_ROOT};
    if (r->base && plan_order(r->m->plan, ref) < r->fork_order)
        return run_row(r->base, NULL, stage, s, row);
    float *kept = r->keep[run_slot(stage, (enum site_id)s)];
    if (kept)
        return kept + (int64_t)row * run_pitch(r, s);
    assert(f && f->stage == stage && row >= f->r0 && row < f->r1 && f->site[s].mem);
    return f->site[s].mem + (int64_t)(row - f->r0) * run_pitch(r, s);
}

struct kn_view run_site_view(const struct run *r, enum site_id s, float *row, int32_t rows,
                             int32_t src)
{
    const struct config *cfg = &r->m->cfg;
    if (is_attn(s)) {
        struct kn_view v = kn_view3(row, KN_F32, cfg->n_heads, rows, src);
        v.stride[0] = r->cap;
        v.stride[1] = run_pitch(r, s);
        return v;
    }
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(cfg, s, rows, shape);
    return rank == 1   ? kn_view1(row, KN_F32, shape[0])
           : rank == 2 ? kn_view2(row, KN_F32, shape[0], shape[1])
                       : kn_view3(row, KN_F32, shape[0], shape[1], shape[2]);
}
