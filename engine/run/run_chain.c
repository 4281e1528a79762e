/* run_chain.c - some steps of a stage on rows that belong to no prompt: the lens, norms per head.
 *
 * What the plan says of a norm, a cap or the unembedding holds here too, since its own steps run;
 * values lie aside of those of the prompt.  Tested in tests/engine/test_lens.c, test_grad_wide.c.
 */
#include "run/run_parts.h"

#include <assert.h>

struct run_chain run_chain_of(const struct run *r, int32_t stage, enum site_id first,
                              enum site_id last)
{
    struct run_chain c = {.stage = stage};
    int32_t n, lo = -1, hi = 0;
    const struct step *steps = plan_stage(r->m->plan, stage, &n);
    for (int32_t i = 0; i < n; i++) {
        lo = steps[i].site == first && lo < 0 ? i : lo;
        hi = steps[i].site == last ? i + 1 : hi;
    }
    assert(lo >= 0 && lo < hi && "the stage has no such steps");
    c.steps = steps + lo, c.n = hi - lo;
    return c;
}

bool run_chain_writes(const struct run_chain *c, enum site_id s)
{
    for (int32_t i = 0; i < c->n; i++)
        if (c->steps[i].when == STEP_ALWAYS && c->steps[i].site == s)
            return true;
    return false;
}

struct kn_view run_chain_view(const struct run *r, enum site_id s, int64_t rows)
{
    return run_site_view(r, s, r->aside[s].mem, 0, (int32_t)rows, 0);
}

int run_chain(struct run *r, const struct run_chain *c, const struct kn_view *x,
              const struct kn_view *out, struct err *e)
{
    enum site_id last = c->steps[c->n - 1].site;
    struct kn_backend *be = stage_backend(r, c->stage);
    int64_t rows = x->shape[0];
    int rc = run_status(model_import_stage(r->m, c->stage, NULL), e);
    for (const struct step *s = c->steps; !rc && s < c->steps + c->n; s++) {
        if (s->when != STEP_ALWAYS)
            continue;
        struct kn_call call = {.op = s->op, .p = s->p};
        bool own = !out || s->site != last;
        if (own && (rc = run_reserve(be, &r->aside[s->site], run_pitch(r, s->site) * rows, e)))
            break;
        call.out[0] = own ? run_chain_view(r, s->site, rows) : *out;
        for (int i = 0; i < KN_IN_MAX; i++) {
            enum site_id from = (enum site_id)s->in[i].id;
            if (s->in[i].kind == OPERAND_WEIGHT)
                call.in[i] = *run_device_weight(r, c->stage - 1, (enum weight_id)s->in[i].id);
            else if (s->in[i].kind != OPERAND_NONE)
                call.in[i] = !run_chain_writes(c, from) ? *x
                             : out && from == last      ? *out
                                                        : run_chain_view(r, from, rows);
        }
        rc = run_status(kn_run(be, &call), e);
    }
    return rc;
}

static struct run_chain final_chain(const struct run *r, enum site_id last)
{
    int32_t n, stage = r->m->cfg.n_layers + 1;
    return run_chain_of(r, stage, plan_stage(r->m->plan, stage, &n)->site, last);
}

int run_unembed(struct run *r, const struct kn_view *x, struct kn_view *logits, struct err *e)
{
    struct run_chain c = final_chain(r, site_logits(&r->m->cfg));
    return run_chain(r, &c, x, logits, e);
}

int run_unembed_tokens(struct run *r, const struct kn_view *x, const int32_t *ids, int32_t n,
                       const struct kn_view *logits, struct err *e)
{
    enum site_id last = run_unembed_input(r);
    struct run_chain c = final_chain(r, last);
    struct run_picked p;
    int rc = run_chain(r, &c, x, NULL, e);
    if (rc || (rc = run_picked_open(&p, r, ids, n, e)))
        return rc;
    struct kn_view in = run_chain_view(r, last, x->shape[0]);
    rc = run_pick(&p, r, &in, logits, e);
    run_picked_close(&p);
    return rc;
}

int run_final_norm(struct run *r, float *x, int64_t n, struct err *e)
{
    struct run_chain c = final_chain(r, SITE_UNEMBED_IN);
    int64_t d = r->m->cfg.d_model;
    int rc = run_reserve(stage_backend(r, c.stage), &r->gather, RUN_CHUNK * d, e);
    for (int64_t row = 0, rows; !rc && row < n; row += rows) {
        rows = n - row < RUN_CHUNK ? n - row : RUN_CHUNK;
        struct kn_view in = kn_view2(r->gather.mem, KN_F32, rows, d), out;
        if ((rc = run_write(r->m->be, &in, x + row * d, e)) ||
            (rc = run_chain(r, &c, &in, NULL, e)))
            break;
        out = run_chain_view(r, SITE_UNEMBED_IN, rows);
        rc = run_fetch(r->m->be, &out, x + row * d, e);
    }
    return rc;
}
