/* run_exec.c - the executor: steps of one stage on rows of one frame.
 *
 * Each step becomes one backend call on views of those rows; attention over a fork's keys and
 * values takes two, the base's rows first (ops.def promises the same bits).  A site's edits act
 * right after the last step that writes it.  Several runs can go through the steps side by side:
 * their products are then one call. */
#include "run/run_pass.h"

#include <assert.h>
#include <stdlib.h>

bool run_cancelled(const struct run *r)
{
    const atomic_bool *c = r->m->be->cancel;
    return c && atomic_load_explicit(c, memory_order_relaxed);
}

struct kn_view pass_rows(const struct pass *p, int32_t stage, enum site_id s)
{
    const struct frame *f = p->f;
    return run_rows(p->r, f, stage, s, f->r0, f->r1 - f->r0, p->n_src);
}

struct kn_view run_repeat(const struct config *cfg, enum site_id s, struct kn_view x)
{
    int64_t shape[SITE_RANK_MAX];
    site_shape(cfg, s, (int32_t)x.shape[0], shape);
    struct kn_view v = kn_moved(kn_view3(x.data, KN_F32, x.shape[0], shape[1], shape[2]), x.first);
    v.stride[0] = x.stride[0], v.stride[1] = 0;
    return v;
}

struct kn_view pass_operand(const struct pass *p, const struct operand *o)
{
    struct run *r = p->r;
    int32_t r0 = p->f->r0, r1 = p->f->r1;
    struct kn_view v = {0};
    switch (o->kind) {
    case OPERAND_SITE: {
        enum site_id from = run_source(p->r, p->f->stage, (enum site_id)o->id);
        return p->through && p->through->site == from ? pass_operand(p, &p->through->in[0])
                                                      : pass_rows(p, p->f->stage, from);
    }
    case OPERAND_FLAT: return run_flat(pass_rows(p, p->f->stage, (enum site_id)o->id));
    case OPERAND_PREV: return pass_rows(p, p->f->stage - 1, (enum site_id)o->id);
    case OPERAND_ROOT: return pass_rows(p, 0, (enum site_id)o->id);
    case OPERAND_REPEAT: {
        struct kn_view x = pass_rows(p, p->f->stage, (enum site_id)o->id);
        return run_repeat(&r->m->cfg, p->step->site, x);
    }
    case OPERAND_WEIGHT: return *run_device_weight(r, p->f->stage - 1, (enum weight_id)o->id);
    case OPERAND_TOKENS: return run_operand_view(r, RUN_IDS, r0, r1);
    case OPERAND_POSITIONS: return run_operand_view(r, RUN_POSITIONS, r0, r1);
    case OPERAND_TYPES: return run_operand_view(r, RUN_TYPES, r0, r1);
    case OPERAND_PATCHES: return run_operand_view(r, RUN_PATCHES, r0, r1);
    case OPERAND_COS:
    case OPERAND_SIN: {
        enum run_operand table = o->kind == OPERAND_COS ? RUN_COS : RUN_SIN;
        return run_operand_view(r, table + 2 * o->id, r0, r1);
    }
    case OPERAND_NONE:
    case OPERAND_EXPERT:
    case OPERAND_ALL: break;
    }
    return v;
}

/* Attention against keys or values of positions [0, n_src): the base's rows before the fork row,
 * own ones after. */
static int run_attention(const struct pass *p, struct kn_call *c, enum site_id all, struct err *e)
{
    struct run *r = p->r;
    struct site_ref ref = {all, p->f->stage - 1};
    int32_t split = r->base && plan_order(r->m->plan, ref) >= r->fork_order ? r->fork_row : 0;
    split = split < p->n_src ? split : p->n_src;
    bool scores = c->op == KN_OP_ATTN_SCORES;
    struct kn_view whole = scores ? c->out[0] : c->in[0];
    for (int part = 0; part < 2; part++) {
        int32_t lo = part ? split : 0, hi = part ? p->n_src : split;
        if (lo == hi)
            continue;
        c->in[1] = run_rows(part || !split ? r : r->base, NULL, p->f->stage, all, lo, hi - lo, 0);
        c->p.src0 = lo;
        *(scores ? &c->out[0] : &c->in[0]) = kn_slice(whole, 2, lo, hi);
        c->p.accumulate = !scores && lo > 0;
        int rc = run_status(kn_run(stage_backend(r, p->f->stage), c), e);
        if (rc)
            return rc;
    }
    return 0;
}

/* Queries, keys or values from an edited per-head residual input: ln1 and the projection, head by
 * head. The same kernels on the same rows as the joint projection: unedited heads keep their bits.
 */
int run_per_head(struct run *r, int32_t stage, const struct kn_call *c, struct err *e)
{
    struct kn_view x = c->in[0], w = c->in[1], b = c->in[2], out = c->out[0];
    int64_t rows = x.shape[0], heads = x.shape[1], d = x.shape[2], dh = out.shape[2];
    struct kn_view rows_of_heads = kn_join(x, 0), normed = x;
    int rc = 0;
    if (config_norm_before(&r->m->cfg)) {
        struct run_chain norm = run_chain_normed(r, stage);
        if ((rc = run_chain(r, &norm, &rows_of_heads, NULL, e)))
            return rc;
        normed = run_chain_view(r, SITE_LN1_OUT, rows * heads);
        normed = kn_view3(normed.data, KN_F32, rows, heads, d);
    }
    for (int64_t h = 0; h < heads; h++) {
        struct kn_call one = {.op = KN_OP_LINEAR, .p = c->p};
        one.out[0] = kn_index(out, 1, h);
        one.in[0] = kn_index(normed, 1, h);
        one.in[1] = run_head_rows(w, 2, h * dh, dh);
        if (b.ndim)
            one.in[2] = run_head_rows(b, 1, h * dh, dh);
        if ((rc = run_status(kn_run(stage_backend(r, stage), &one), e)))
            return rc;
    }
    return 0;
}

void run_step_shape(const struct step *s, struct kn_call *c)
{
    if (s->flat_out && !s->per_head)
        c->out[0] = run_flat(c->out[0]);
    for (int i = 0; s->heads_are_rows && i < KN_IN_MAX; i++)
        c->in[i] = run_heads_as_rows(c->in[i]);
    if (s->heads_are_rows)
        c->out[0] = run_heads_as_rows(c->out[0]);
}

struct kn_call pass_call(const struct pass *p, enum site_id *all)
{
    const struct step *s = p->step;
    struct kn_call c = {.op = s->op, .p = s->p};
    *all = SITE_COUNT;
    for (int i = 0; i < KN_IN_MAX; i++) {
        if (s->in[i].kind == OPERAND_ALL)
            *all = (enum site_id)s->in[i].id;
        else
            c.in[i] = pass_operand(p, &s->in[i]);
    }
    c.out[0] = pass_rows(p, p->f->stage, s->site);
    if (s->first_rows) {
        int32_t end = s->first_rows < p->f->r1 ? s->first_rows : p->f->r1;
        c.in[0] = kn_slice(c.in[0], 0, 0, end - p->f->r0);
        c.out[0] = kn_slice(c.out[0], 0, 0, end - p->f->r0);
    }
    run_step_shape(s, &c);
    c.p.dest0 = p->f->r0;
    /* scores are masked first, edits may then unmask */
    c.p.full |= p->full && s->op != KN_OP_ATTN_SCORES;
    return c;
}

/* The product of each expert with the rows that go to it. */
static int run_routed(const struct pass *p, const struct kn_call *c, struct err *e)
{
    const struct frame *f = p->f;
    struct expert_product product = {.rows = f->r1 - f->r0,
                                     .x = c->in[0],
                                     .out = kn_join(c->out[0], 0),
                                     .weight = (enum weight_id)p->step->in[1].id,
                                     .bias = (enum weight_id)p->step->in[2].id};
    if (product.x.ndim == 3)
        product.x = kn_join(product.x, 0);
    int rc = run_routes(p->r, f, f->stage, f->r0, f->r1, &product.expert, e);
    return rc ? rc : run_experts(p->r, f->stage, &product, e);
}

static int run_step(struct pass *p, struct err *e)
{
    enum site_id all;
    if (p->step == p->end)
        return pass_fused(p, e);
    bool made = false;
    int rc = pass_beside(p, &made, e);
    if (rc || made)
        return rc;
    struct kn_call c = pass_call(p, &all);
    if (p->step->op == KN_OP_TOP_INDEX)
        p->r->routes.of = NULL;
    return all != SITE_COUNT         ? run_attention(p, &c, all, e)
           : step_is_routed(p->step) ? run_routed(p, &c, e)
           : p->step->per_head       ? run_per_head(p->r, p->f->stage, &c, e)
                                     : run_status(kn_run(stage_backend(p->r, p->f->stage), &c), e);
}

static bool same_place(const struct kn_view *a, const struct kn_view *b)
{
    return a->data == b->data && a->first == b->first;
}

/* The calls of several runs as one of rows that lie one below the other: how many products, the
 * same of all, it can be. */
static int shared_products(struct pass *const *p, int32_t n, struct kn_call *c, struct err *e)
{
    int least = KN_OUT_MAX, own;
    for (int32_t j = 0; j < n; j++) {
        int rc = pass_products(p[j], &c[j], &own, e);
        if (rc)
            return rc;
        least = own < least ? own : least;
    }
    for (int32_t j = 1; j < n; j++)
        for (int i = 0; i < least; i++)
            if (!same_place(&c[j].in[1 + 2 * i], &c[0].in[1 + 2 * i]) ||
                !same_place(&c[j].in[2 + 2 * i], &c[0].in[2 + 2 * i]))
                least = i;
    return least;
}

/* Products of several runs, their rows one below the other; *same: false, and nothing was done,
 * where weights differ. */
static int run_shared(struct pass *const *p, int32_t n, bool *same, struct err *e)
{
    struct run *own = p[0]->r;
    struct kn_backend *be = stage_backend(own, p[0]->f->stage);
    struct kn_call c[RUN_TOGETHER_MAX];
    int64_t rows = 0, at = 0, columns = 0;
    int count = shared_products(p, n, c, e), rc = count < 0 ? count : 0;
    *same = count > 0;
    if (count <= 0)
        return rc;
    for (int32_t j = 0; j < n; j++)
        rows += c[j].in[0].shape[0];
    for (int i = 0; i < count; i++)
        columns += c[0].out[i].shape[1];
    int64_t k = c[0].in[0].shape[1];
    if ((rc = run_reserve(be, &own->shared[0], rows * k, e)) ||
        (rc = run_reserve(be, &own->shared[1], rows * columns, e)))
        return rc;
    struct kn_call whole = {.op = count > 1 ? KN_OP_LINEARS : KN_OP_LINEAR};
    whole.in[0] = kn_view2(own->shared[0].mem, KN_F32, rows, k);
    for (int i = 0; i < count; i++) {
        int64_t width = c[0].out[i].shape[1];
        whole.in[1 + 2 * i] = c[0].in[1 + 2 * i], whole.in[2 + 2 * i] = c[0].in[2 + 2 * i];
        whole.out[i] = kn_moved(kn_view2(own->shared[1].mem, KN_F32, rows, width), rows * at);
        at += width;
    }
    at = 0;
    for (int32_t j = 0; !rc && j < n; at += c[j++].in[0].shape[0]) {
        struct kn_view part = kn_slice(whole.in[0], 0, at, at + c[j].in[0].shape[0]);
        rc = run_copy(be, &part, &c[j].in[0], e);
    }
    if (!rc)
        rc = run_status(kn_run(be, &whole), e);
    at = 0;
    for (int32_t j = 0; !rc && j < n; at += c[j++].in[0].shape[0]) {
        pass_set_made(p[j], count);
        for (int i = 0; !rc && i < count; i++) {
            struct kn_view part = kn_slice(whole.out[i], 0, at, at + c[j].in[0].shape[0]);
            rc = run_copy(be, &c[j].out[i], &part, e);
        }
    }
    return rc;
}

/* One step of the runs where it is active. */
static int step_all(struct pass *const *p, int32_t n, struct err *e)
{
    struct pass *left[RUN_TOGETHER_MAX];
    bool done = false;
    int32_t m = 0;
    int rc = 0;
    bool exact = stage_backend(p[0]->r, p[0]->f->stage)->exact_rows; /* its bits as if alone */
    for (int32_t j = 0; j < n; j++)
        if (!pass_made(p[j]))
            left[m++] = p[j];
    if (m > 1 && exact && p[0]->step->op == KN_OP_LINEAR && !p[0]->step->per_head &&
        !step_is_routed(p[0]->step))
        rc = run_shared(left, m, &done, e);
    for (int32_t j = 0; !done && !rc && j < m; j++)
        rc = run_step(left[j], e);
    return rc;
}

bool pass_step_active(const struct run *r, const struct frame *f, const struct step *s,
                      enum site_id want)
{
    int32_t stage = f->stage;
    if (s->first_rows && f->r0 >= s->first_rows)
        return false;
    switch (s->when) {
    case STEP_IF_WANTED:
        return s->site == want || run_edited(r, stage, s->site) || run_called(r, stage, s->site);
    case STEP_IF_EDITED: return run_edited(r, stage, s->edited);
    default: return true;
    }
}

int pass_reserve(struct pass *p, enum site_id s, struct err *e)
{
    struct run *r = p->r;
    struct frame *f = p->f;
    if (r->keep[run_slot(f->stage, s)])
        return 0;
    return run_reserve(stage_backend(r, f->stage), &f->site[s], run_pitch(r, s) * (f->r1 - f->r0),
                       e);
}

/* All steps of a site are done: its edits act, then its callbacks. */
static int site_written(struct pass *p, enum site_id s, struct err *e)
{
    struct run *r = p->r;
    struct frame *f = p->f;
    int rc = 0;
    if (run_has_edits(r, f->stage, s)) {
        struct kn_view v = run_rows(r, f, f->stage, s, f->r0, f->r1 - f->r0, r->n);
        rc = run_edits_apply(r, f->stage, s, &v, f->r0, e);
    }
    if (!rc && run_called(r, f->stage, s) && r->instr_stop < 0)
        rc = run_call(r, f->stage, s, f->r0, f->r1, p->n_src, &p->full, e);
    return rc;
}

/* Is a step to be run; if so its site has room. */
static int step_ready(struct pass *p, const struct step *s, enum site_id want, bool *ready,
                      struct err *e)
{
    struct run *r = p->r;
    p->step = s;
    *ready = pass_step_active(r, p->f, s, want) && !pass_fuse(p) &&
             !(p->f == &r->look &&
               run_called(r, p->f->stage, s->site)); /* kept: what callbacks left */
    if (*ready && run_cancelled(r))
        return run_status(KN_CANCELLED, e);
    return *ready ? pass_reserve(p, s->site, e) : 0;
}

/* After a step, which is `s` of those up to `end`. */
static int step_written(struct pass *p, const struct step *s, const struct step *end,
                        enum site_id want, struct err *e)
{
    bool amended = false;
    for (const struct step *later = s + 1; later < end; later++)
        amended |= later->site == s->site && pass_step_active(p->r, p->f, later, want);
    int rc = amended ? 0 : site_written(p, s->site, e);
    if (!rc && s->when == STEP_IF_WANTED)
        p->f->extra[s->site] = true;
    return rc;
}

static int exec_all(struct run *const *runs, struct frame *const *frames, int32_t n, int32_t first,
                    int32_t last, enum site_id want, struct err *e)
{
    int32_t count;
    const struct step *steps = plan_stage(runs[0]->m->plan, frames[0]->stage, &count);
    struct pass pass[RUN_TOGETHER_MAX], *now[RUN_TOGETHER_MAX];
    assert(n <= RUN_TOGETHER_MAX);
    for (int32_t j = 0; j < n; j++) {
        pass[j] = (struct pass){
            .r = runs[j], .f = frames[j], .full = run_stage_full(runs[j], frames[j]->stage)};
        pass[j].n_src = pass[j].full ? runs[j]->n : frames[j]->r1;
        pass_fuse_begin(&pass[j], steps, count, last, n > 1, want);
    }
    int rc = run_status(model_import_stage(runs[0]->m, frames[0]->stage, NULL), e);
    for (int32_t i = first; !rc && i < last; i++) {
        int32_t active = 0;
        for (int32_t j = 0; !rc && j < n; j++) {
            bool ready;
            rc = step_ready(&pass[j], &steps[i], want, &ready, e);
            if (ready)
                now[active++] = &pass[j];
        }
        if (!rc && active)
            rc = step_all(now, active, e);
        for (int32_t j = 0; !rc && j < active; j++)
            rc = step_written(now[j], &steps[i], steps + count, want, e);
    }
    return rc;
}

int run_exec_all(struct run *const *runs, struct frame *const *frames, int32_t n, int32_t first,
                 int32_t last, enum site_id want, struct err *e)
{
    const struct frame *outer[RUN_TOGETHER_MAX];
    for (int32_t j = 0; j < n; j++)
        outer[j] = runs[j]->passing, runs[j]->passing = frames[j];
    int rc = exec_all(runs, frames, n, first, last, want, e);
    for (int32_t j = 0; j < n; j++)
        runs[j]->passing = outer[j];
    return rc;
}

int run_exec(struct run *r, struct frame *f, int32_t first, int32_t last, enum site_id want,
             struct err *e)
{
    return run_exec_all(&r, &f, 1, first, last, want, e);
}

int run_token_ids(const struct run *r, int32_t r0, const float *x, int32_t n, int32_t *ids,
                  struct err *e)
{
    int32_t most = r->m->cfg.d_vocab - 1;
    for (int32_t i = 0; i < n; i++) {
        if (!(x[i] >= 0 && x[i] <= (float)most))
            return err_set(e, ERR_BAD_INPUT, "hook_tokens[%d] = %g · not a token id · 0..%d",
                           r0 + i, (double)x[i], most);
        ids[i] = (int32_t)x[i];
    }
    return 0;
}

/* Ids that hook_tokens shows after its edits and callbacks, as the embedding reads them; numbers:
 * room for as many. */
static int tokens_edited(struct run *r, struct kn_view *shown, int32_t r0, int32_t r1,
                         float *numbers, int32_t *ids, struct err *e)
{
    bool full = false;
    int rc = run_has_edits(r, 0, SITE_TOKENS) ? run_edits_apply(r, 0, SITE_TOKENS, shown, r0, e)
                                              : 0;
    if (!rc && run_called(r, 0, SITE_TOKENS))
        rc = run_call(r, 0, SITE_TOKENS, r0, r1, 0, &full, e);
    if (!rc)
        rc = run_fetch(stage_backend(r, 0), shown, numbers, e);
    return rc ? rc : run_token_ids(r, r0, numbers, r1 - r0, ids, e);
}

/* Rows of the image to where the embedding reads them. */
static int embed_image(struct run *r, int32_t r0, int32_t r1, struct err *e)
{
    struct kn_view to = run_operand_view(r, RUN_PATCHES, r0, r1);
    return run_write(stage_backend(r, 0), &to, r->image->values + (int64_t)r0 * r->image->patch, e);
}

/* hook_tokens: ids as floats (exact below 2^24), edited, and back to the ids that the embedding
 * reads. */
int run_embed_input(struct run *r, int32_t r0, int32_t r1, struct err *e)
{
    if (r->image)
        return embed_image(r, r0, r1, e);
    int32_t n = r1 - r0, *ids = malloc((size_t)n * (sizeof *ids + sizeof(float)));
    if (!ids)
        return err_memory(e, "%d tokens", n);
    float *numbers = (float *)(ids + n);
    for (int32_t i = 0; i < n; i++)
        ids[i] = r->tokens[r0 + i], numbers[i] = (float)ids[i];
    struct kn_view shown = run_site_view(r, SITE_TOKENS, r->keep[SITE_TOKENS], r0, n, 0),
                   to = run_operand_view(r, RUN_IDS, r0, r1);
    int rc = run_write(stage_backend(r, 0), &shown, numbers, e);
    if (!rc && run_edited(r, 0, SITE_TOKENS))
        rc = tokens_edited(r, &shown, r0, r1, numbers, ids, e);
    if (!rc)
        rc = run_write(stage_backend(r, 0), &to, ids, e);
    struct kn_view types = run_operand_view(r, RUN_TYPES, r0, r1);
    if (!rc)
        rc = run_write(stage_backend(r, 0), &types, r->types + r0, e);
    free(ids);
    return rc;
}
