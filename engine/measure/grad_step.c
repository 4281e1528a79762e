/* grad_step.c - the vector-Jacobian product of each step, as backend calls (see grad_parts.h). */
#include "measure/grad_parts.h"

static int call(struct walk *w, struct kn_call c, struct err *e)
{
    return run_status(kn_run(stage_backend(w->r, w->stage), &c), e);
}

/* Rows [*lo, *hi) of dy hold all that is not zero, as far as the host can see. */
static void rows_moved(const struct walk *w, const struct kn_view *dy, int64_t *lo, int64_t *hi)
{
    *lo = 0, *hi = dy->shape[0];
    if (!stage_backend(w->r, w->stage)->unified || dy->stride[1] != 1)
        return;
    for (int end = 0; end < 2; end++)
        while (*lo < *hi) {
            const float *row = kn_f32(dy) + (end ? *hi - 1 : *lo) * dy->stride[0];
            int64_t i = 0;
            while (i < dy->shape[1] && row[i] == 0)
                i++;
            if (i < dy->shape[1])
                break;
            *(end ? hi : lo) += end ? -1 : 1;
        }
}

/* out[r,K] = dy[r,N] . W[N,K] */
static int product_back(struct walk *w, struct kn_view dy, struct kn_view weight,
                        struct kn_view out, struct err *e)
{
    return call(
        w, (struct kn_call){.op = KN_OP_LINEAR, .out = {out}, .in = {dy, kn_swap(weight, 0, 1)}},
        e);
}

/* dx[r,K] += dy[r,N] . W[N,K], W perhaps in groups along N.  `fresh`: dx is all rows of this site,
 * or SITE_COUNT.  Rows that nothing flows back from are passed over: behind the last layer all but
 * those that the metric reads. */
static int linear_vjp(struct walk *w, struct kn_view dy, struct kn_view weight, struct kn_view dx,
                      enum site_id fresh, struct err *e)
{
    int64_t groups = weight.ndim == 3 ? weight.shape[0] : 1, n = dy.shape[1] / groups, lo, hi;
    rows_moved(w, &dy, &lo, &hi);
    bool first = fresh != SITE_COUNT && w->fresh[fresh] && lo == 0 && hi == dy.shape[0];
    int rc = 0;
    if (lo == hi)
        return 0;
    if (fresh != SITE_COUNT && !first)
        rc = grad_settle(w, fresh, e);
    dy = kn_slice(dy, 0, lo, hi), dx = kn_slice(dx, 0, lo, hi);
    if (!rc && !(first && groups == 1))
        rc = run_reserve(stage_backend(w->r, w->stage), &w->temp[0], (hi - lo) * dx.shape[1], e);
    struct kn_view part = kn_view2(w->temp[0].mem, KN_F32, hi - lo, dx.shape[1]);
    for (int64_t g = 0; !rc && g < groups; g++) {
        struct kn_view one = weight.ndim == 3 ? kn_index(weight, 0, g) : weight,
                       slice = kn_slice(dy, 1, g * n, (g + 1) * n);
        rc = product_back(w, slice, one, first && g == 0 ? dx : part, e);
        if (!rc && !(first && g == 0))
            rc = call(
                w,
                (struct kn_call){.op = KN_OP_ADD, .out = {dx}, .in = {dx, part}, .p = {.scale = 1}},
                e);
    }
    if (first)
        w->fresh[fresh] = false;
    return rc;
}

/* The value of an operand in the forward pass.  An unedited on-request copy is what it copies. */
static int value(struct walk *w, const struct operand *o, struct kn_view *out, struct err *e)
{
    int32_t layer = w->stage >= 1 && w->stage <= w->r->m->cfg.n_layers ? w->stage - 1 : SITE_ROOT;
    enum site_id s = (enum site_id)o->id;
    if (o->kind == OPERAND_WEIGHT) {
        *out = *run_device_weight(w->r, w->stage - 1, (enum weight_id)o->id);
        return 0;
    }
    if (w->chain) {
        *out = run_chain_writes(w->chain, s) ? run_chain_view(w->r, s, w->chain_x.shape[0])
                                             : w->chain_x;
        return 0;
    }
    if (o->kind == OPERAND_PREV)
        return run_view(w->r, (struct site_ref){s, w->stage == 1 ? SITE_ROOT : w->stage - 2}, w->r0,
                        w->r1, out, e);
    if (o->kind == OPERAND_ROOT)
        return run_view(w->r, (struct site_ref){s, SITE_ROOT}, w->r0, w->r1, out, e);
    s = run_source(w->r, w->stage, s);
    bool all = o->kind == OPERAND_ALL;
    return run_view(w->r, (struct site_ref){s, layer}, all ? 0 : w->r0, all ? w->r->n : w->r1, out,
                    e);
}

/* Where an operand's gradient is collected. */
static struct kn_view gradient(struct walk *w, const struct operand *o)
{
    enum site_id s = (enum site_id)o->id;
    if (w->chain)
        return run_chain_writes(w->chain, s)
                   ? run_site_view(w->r, s, w->aside[s].mem, 0, (int32_t)w->chain_x.shape[0], 0)
                   : w->chain_dx;
    if (o->kind == OPERAND_ALL)
        return grad_view_all(w, s);
    return o->kind == OPERAND_PREV
               ? run_site_view(w->r, s, w->before[s].mem, w->r0, w->r1 - w->r0, 0)
               : grad_view(w, s);
}

/* The site whose rows[] an operand's gradient is, or SITE_COUNT. */
static enum site_id own_rows(const struct walk *w, const struct operand *o)
{
    bool own = o->kind == OPERAND_SITE || o->kind == OPERAND_FLAT || o->kind == OPERAND_REPEAT;
    return own && !w->chain ? (enum site_id)o->id : SITE_COUNT;
}

static int settle_inputs(struct walk *w, const struct step *s, struct err *e)
{
    int rc = 0;
    for (int i = 0; !rc && i < KN_IN_MAX; i++) {
        enum site_id id = own_rows(w, &s->in[i]);
        rc = id != SITE_COUNT ? grad_settle(w, id, e) : 0;
    }
    return rc;
}

static int add_to(struct walk *w, struct kn_view dx, struct kn_view dy, struct err *e)
{
    return call(
        w, (struct kn_call){.op = KN_OP_ADD, .out = {dx}, .in = {dx, dy}, .p = {.scale = 1}}, e);
}

/* The same to an operand, whose first one it may be. */
static int add_to_operand(struct walk *w, const struct operand *o, struct kn_view dy, struct err *e)
{
    enum site_id own = own_rows(w, o);
    if (own == SITE_COUNT || !w->fresh[own])
        return add_to(w, gradient(w, o), dy, e);
    struct kn_view dx = gradient(w, o);
    w->fresh[own] = false;
    return run_copy(stage_backend(w->r, w->stage), &dx, &dy, e);
}

/* Each expert's product back, to the rows that go to it: those of its slots, or their sum. */
static int routed_vjp(struct walk *w, const struct step *s, struct err *e)
{
    int32_t rows = w->r1 - w->r0, slots = w->r->m->cfg.n_active;
    struct kn_view dy = kn_join(grad_view(w, s->site), 0),
                   dx = grad_view(w, (enum site_id)s->in[0].id);
    bool per_slot = dx.ndim == 3;
    int64_t k = dx.shape[dx.ndim - 1];
    struct expert_product p = {
        .rows = rows, .x = dy, .weight = (enum weight_id)s->in[1].id, .back = true};
    int rc = run_routes(w->r, NULL, w->stage, w->r0, w->r1, &p.expert, e);
    if (rc || (rc = run_reserve(stage_backend(w->r, w->stage), &w->slots, rows * slots * k, e)))
        return rc;
    p.out = kn_view2(w->slots.mem, KN_F32, rows * slots, k);
    if ((rc = run_experts(w->r, w->stage, &p, e)) || per_slot)
        return rc ? rc : add_to(w, kn_join(dx, 0), p.out, e);
    struct kn_view part = kn_view3(p.out.data, KN_F32, rows, slots, k);
    for (int32_t i = 0; !rc && i < slots; i++)
        rc = add_to(w, dx, kn_index(part, 1, i), e);
    return rc;
}

/* A copy repeated along heads gathers them again. */
static int repeat_vjp(struct walk *w, struct kn_view dx, struct kn_view dy, struct err *e)
{
    int rc = 0;
    for (int64_t h = 0; !rc && h < dy.shape[1]; h++)
        rc = add_to(w, dx, kn_index(dy, 1, h), e);
    return rc;
}

/* Steps whose product is one call of their own op's twin: what it reads besides dy, what it adds
 * to. */
static int twin_vjp(struct walk *w, const struct step *s, enum kn_op op, struct err *e)
{
    struct operand own = {OPERAND_SITE, s->site};
    struct kn_call c = {.op = op, .in = {gradient(w, &own)}, .p = s->p};
    /* scores are masked first, edits may then unmask */
    c.p.full |= w->full && op != KN_OP_ATTN_SCORES_VJP;
    c.p.dest0 = w->r0;
    int rc = 0, n_in = 1, n_out = 0;
    for (int i = 0; !rc && i < KN_IN_MAX - 1 && s->in[i].kind != OPERAND_NONE; i++) {
        const struct operand *o = &s->in[i];
        bool joined = o->kind == OPERAND_FLAT, differentiable = joined || o->kind == OPERAND_SITE ||
                                                                o->kind == OPERAND_ALL ||
                                                                o->kind == OPERAND_PREV;
        bool linear_in = op == KN_OP_AFFINE_VJP || op == KN_OP_ROPE_VJP; /* does not read x */
        if (differentiable)
            c.out[n_out++] = joined ? run_flat(gradient(w, o)) : gradient(w, o);
        if (!(linear_in && differentiable) && !(op == KN_OP_AFFINE_VJP && i == 2)) {
            rc = value(w, o, &c.in[n_in], e);
            c.in[n_in] = joined ? run_flat(c.in[n_in]) : c.in[n_in];
            n_in++;
        }
    }
    if (s->flat_out)
        c.in[0] = run_flat(c.in[0]);
    for (int i = 0; s->heads_are_rows && i < KN_IN_MAX; i++)
        c.in[i] = run_heads_as_rows(c.in[i]);
    for (int i = 0; s->heads_are_rows && i < KN_OUT_MAX; i++)
        c.out[i] = run_heads_as_rows(c.out[i]);
    return rc ? rc : call(w, c, e);
}

/* Per-head results: from the sum to each head, or from each head to its z. */
static int result_vjp(struct walk *w, const struct step *s, struct err *e)
{
    int rc = grad_settle(w, SITE_RESULT, e);
    if (rc)
        return rc;
    if (s->op == KN_OP_RESULT_PATCH) {
        struct kn_view dy = grad_view(w, s->site), g = grad_view(w, SITE_RESULT), rep = g;
        rep.data = dy.data, rep.first = dy.first, rep.stride[0] = dy.stride[0], rep.stride[1] = 0;
        return call(w, (struct kn_call){.op = KN_OP_COPY, .out = {g}, .in = {rep}}, e);
    }
    struct kn_view g = grad_view(w, SITE_RESULT), dz = grad_view(w, SITE_Z),
                   wo = *run_device_weight(w->r, w->stage - 1, W_O);
    rc = grad_settle(w, SITE_Z, e);
    for (int64_t h = 0; !rc && h < dz.shape[1]; h++) {
        int64_t dh = dz.shape[2];
        rc = linear_vjp(w, kn_index(g, 1, h), kn_slice(wo, 1, h * dh, (h + 1) * dh),
                        kn_index(dz, 1, h), SITE_COUNT, e);
    }
    return rc;
}

/* Room for the gradients of what the chain writes, zeroed. */
static int chain_prepare(struct walk *w, struct err *e)
{
    struct kn_backend *be = stage_backend(w->r, w->stage);
    int rc = 0;
    for (int s = 0; !rc && s < SITE_COUNT; s++) {
        enum site_id id = (enum site_id)s;
        if (!run_chain_writes(w->chain, id))
            continue;
        struct operand own = {OPERAND_SITE, id};
        rc = run_reserve(be, &w->aside[s], run_pitch(w->r, id) * w->chain_x.shape[0], e);
        struct kn_view g = gradient(w, &own);
        rc = rc ? rc : run_fill(be, &g, 0, e);
    }
    return rc;
}

/* Gradient of a per-head residual input (hook_q_input, ...) from that of the heads it feeds. */
static int per_head_vjp(struct walk *w, enum site_id heads, enum site_id input,
                        enum weight_id weight, struct err *e)
{
    struct kn_view dy = grad_view(w, heads), dx = grad_view(w, input), x,
                   wq = *run_device_weight(w->r, w->stage - 1, weight);
    int64_t rows = dx.shape[0], n = dx.shape[1], d = dx.shape[2], dh = dy.shape[2];
    struct run_chain norm = {0};
    bool normed = config_norm_before(&w->r->m->cfg);
    int rc = value(w, &(struct operand){OPERAND_SITE, input}, &x, e);
    if (rc)
        return rc;
    if (normed) {
        norm = run_chain_normed(w->r, w->stage);
        w->chain = &norm, w->chain_x = kn_join(x, 0), w->chain_dx = kn_join(dx, 0);
        if (!(rc = run_chain(w->r, &norm, &w->chain_x, NULL, e)) && !(rc = chain_prepare(w, e)))
            dx = kn_view3(w->aside[SITE_LN1_OUT].mem, KN_F32, rows, n, d);
    }
    for (int64_t h = 0; !rc && h < n; h++)
        rc = linear_vjp(w, kn_index(dy, 1, h), run_head_rows(wq, 2, h * dh, dh), kn_index(dx, 1, h),
                        SITE_COUNT, e);
    for (int32_t i = norm.n - 1; !rc && i >= 0; i--)
        rc = norm.steps[i].when == STEP_ALWAYS ? grad_step(w, &norm.steps[i], e) : 0;
    w->chain = NULL;
    return rc;
}

int grad_act_out(struct walk *w, struct err *e)
{
    struct kn_view b, dy = grad_view(w, SITE_POST), dx = grad_view(w, SITE_ACT_OUT);
    struct operand gate = {OPERAND_SITE, SITE_PRE_LINEAR}, instr = {OPERAND_SITE, SITE_ACT_OUT};
    struct kn_view x = {0};
    int64_t floats = dx.shape[0] * dx.shape[1];
    struct kn_backend *be = stage_backend(w->r, w->stage);
    int rc = grad_settle(w, SITE_ACT_OUT, e);
    rc = rc ? rc : run_reserve(be, &w->temp[0], floats, e);
    if (rc || (rc = value(w, &instr, &x, e)) || (rc = value(w, &gate, &b, e)))
        return rc;
    struct kn_view all = kn_view1(w->temp[0].mem, KN_F32, floats);
    if ((rc = run_fill(be, &all, 0, e)))
        return rc;
    struct kn_view unused = kn_view2(w->temp[0].mem, KN_F32, dx.shape[0],
                                     dx.shape[1]); /* b's share comes through the joint step */
    return call(w, (struct kn_call){.op = KN_OP_GATE_VJP, .out = {dx, unused}, .in = {dy, x, b}},
                e);
}

/* The rotation back, for what was rotated; for the tables only where somebody looks at them. */
static int rope_vjp(struct walk *w, const struct step *s, struct err *e)
{
    int rc = twin_vjp(w, s, KN_OP_ROPE_VJP, e);
    if (rc || !w->root[s->in[1].id].mem)
        return rc;
    struct kn_view x, dy = grad_view(w, s->site), table[2];
    for (int i = 0; i < 2; i++) {
        enum site_id t = (enum site_id)s->in[i + 1].id;
        table[i] = run_site_view(w->r, t, w->root[t].mem, w->r0, w->r1 - w->r0, 0);
    }
    if ((rc = value(w, &s->in[0], &x, e)))
        return rc;
    return call(
        w,
        (struct kn_call){
            .op = KN_OP_ROPE_TABLE_VJP, .out = {table[0], table[1]}, .in = {dy, x}, .p = s->p},
        e);
}

int grad_step(struct walk *w, const struct step *s, struct err *e)
{
    struct kn_view dy = gradient(w, &(struct operand){OPERAND_SITE, s->site});
    bool first = (s->op == KN_OP_LINEAR && !s->per_head && !step_is_routed(s)) ||
                 s->op == KN_OP_ADD ||
                 (s->op == KN_OP_COPY && s->in[0].kind != OPERAND_REPEAT); /* they may begin */
    int settled = first ? 0 : settle_inputs(w, s, e);
    if (settled)
        return settled;
    switch (s->op) {
    case KN_OP_TOP_INDEX: /* what is chosen does not move */
    case KN_OP_EMBED: return 0;
    case KN_OP_COPY:
        if (s->in[0].kind == OPERAND_COS || s->in[0].kind == OPERAND_SIN)
            return 0;
        return s->in[0].kind == OPERAND_REPEAT
                   ? repeat_vjp(w, grad_view(w, (enum site_id)s->in[0].id), dy, e)
                   : add_to_operand(w, &s->in[0], dy, e);
    case KN_OP_ADD: {
        int rc = s->in_place ? 0 : add_to_operand(w, &s->in[0], dy, e);
        return rc ? rc : add_to_operand(w, &s->in[1], dy, e);
    }
    case KN_OP_LINEAR:
        if (s->in[0].kind == OPERAND_PATCHES) /* pixels */
            return 0;
        if (s->per_head)
            return per_head_vjp(w, s->site, (enum site_id)s->in[0].id, (enum weight_id)s->in[1].id,
                                e);
        if (step_is_routed(s))
            return routed_vjp(w, s, e);
        return linear_vjp(w, run_flat(dy),
                          *run_device_weight(w->r, w->stage - 1, (enum weight_id)s->in[1].id),
                          run_flat(gradient(w, &s->in[0])), own_rows(w, &s->in[0]), e);
    case KN_OP_NORM_SCALE: return twin_vjp(w, s, KN_OP_NORM_SCALE_VJP, e);
    case KN_OP_NORMALIZE: return twin_vjp(w, s, KN_OP_NORMALIZE_VJP, e);
    case KN_OP_AFFINE: return twin_vjp(w, s, KN_OP_AFFINE_VJP, e);
    case KN_OP_SOFTCAP: return twin_vjp(w, s, KN_OP_SOFTCAP_VJP, e);
    case KN_OP_CLIP: return twin_vjp(w, s, KN_OP_CLIP_VJP, e);
    case KN_OP_ACT: return twin_vjp(w, s, KN_OP_ACT_VJP, e);
    case KN_OP_GATE: return twin_vjp(w, s, KN_OP_GATE_VJP, e);
    case KN_OP_ROUTE: return twin_vjp(w, s, KN_OP_ROUTE_VJP, e);
    case KN_OP_TOP_VALUE: return twin_vjp(w, s, KN_OP_TOP_VALUE_VJP, e);
    case KN_OP_BLEND: return twin_vjp(w, s, KN_OP_BLEND_VJP, e);
    case KN_OP_ROPE: return rope_vjp(w, s, e);
    case KN_OP_SOFTMAX: return twin_vjp(w, s, KN_OP_SOFTMAX_VJP, e);
    case KN_OP_ATTN_SCORES: return twin_vjp(w, s, KN_OP_ATTN_SCORES_VJP, e);
    case KN_OP_ATTN_MIX: return twin_vjp(w, s, KN_OP_ATTN_MIX_VJP, e);
    default: return result_vjp(w, s, e);
    }
}
