/* plan_read.c - what is asked of a plan: its stages, the order of sites and weights in it, what its
 * steps say of the sites that they write and read (see plan.h). */
#include "model/plan.h"

#include <assert.h>
#include <string.h>

/* A site of the same stage that a step reads? */
static bool reads_here(const struct operand *o)
{
    return o->kind == OPERAND_SITE || o->kind == OPERAND_FLAT || o->kind == OPERAND_ALL ||
           o->kind == OPERAND_REPEAT;
}

/* A site, and all that it is made of in its stage unless edits switch something on. */
static void sources_mark(const struct step *steps, int32_t n, enum site_id s,
                         bool marked[SITE_COUNT])
{
    if (marked[s])
        return;
    marked[s] = true;
    for (int32_t i = 0; i < n; i++)
        for (int k = 0; steps[i].site == s && steps[i].when != STEP_IF_EDITED && k < KN_IN_MAX; k++)
            if (reads_here(&steps[i].in[k]))
                sources_mark(steps, n, (enum site_id)steps[i].in[k].id, marked);
}

static void conflict(struct plan *p, enum site_id a, enum site_id b)
{
    p->conflicts[a][b] = p->conflicts[b][a] = true;
}

/* An edited site that has a step of its own write what another step wrote: it hides what that one
 * was made of and this one is not, and other such sites. */
static void conflicts_mark(struct plan *p, const struct step *steps, int32_t n)
{
    for (const struct step *s = steps; s < steps + n; s++) {
        bool usual[SITE_COUNT] = {false}, own[SITE_COUNT] = {false};
        if (s->when != STEP_IF_EDITED || s->in_place)
            continue;
        sources_mark(steps, n, s->site, usual);
        for (int k = 0; k < KN_IN_MAX; k++)
            if (reads_here(&s->in[k]))
                sources_mark(steps, n, (enum site_id)s->in[k].id, own);
        for (int id = 0; id < SITE_COUNT; id++)
            if (usual[id] && !own[id] && id != (int)s->site)
                conflict(p, s->edited, (enum site_id)id);
        for (const struct step *other = steps; other < s; other++)
            if (other->site == s->site && other->when == STEP_IF_EDITED && !other->in_place)
                conflict(p, s->edited, other->edited);
    }
}

void plan_sites_mark(struct plan *p, int32_t n)
{
    for (const struct step *s = p->steps; s < p->steps + n; s++) {
        p->always[s->site] |= s->when == STEP_ALWAYS;
        for (int k = 0; k < KN_IN_MAX; k++) {
            enum operand_kind kind = s->in[k].kind;
            if (kind == OPERAND_ALL || kind == OPERAND_PREV || kind == OPERAND_ROOT)
                p->carried[s->in[k].id] = true;
        }
    }
    for (int32_t stage = 0; stage < p->stages; stage++)
        conflicts_mark(p, p->steps + p->first[stage], p->count[stage]);
}

int32_t plan_stages(const struct plan *p)
{
    return p->stages;
}

const struct step *plan_stage(const struct plan *p, int32_t stage, int32_t *n)
{
    *n = p->count[stage];
    return p->steps + p->first[stage];
}

int32_t plan_stage_of(const struct plan *p, struct site_ref s)
{
    switch (site_table[s.id].scope) {
    case SCOPE_EMBED: return 0;
    case SCOPE_BLOCK: return s.layer + 1;
    default: return p->cfg.n_layers + 1;
    }
}

int32_t plan_order(const struct plan *p, struct site_ref s)
{
    int32_t stage = plan_stage_of(p, s), n;
    const struct step *steps = plan_stage(p, stage, &n);
    for (int32_t i = 0; i < n; i++)
        if (steps[i].site == s.id)
            return stage * PLAN_STAGE_ORDER + i;
    return stage * PLAN_STAGE_ORDER; /* hook_tokens: before the first step */
}

int32_t plan_order_end(const struct plan *p, struct site_ref s)
{
    int32_t stage = plan_stage_of(p, s), n;
    const struct step *steps = plan_stage(p, stage, &n);
    while (n > 0 && steps[n - 1].site != s.id)
        n--;
    return stage * PLAN_STAGE_ORDER + n;
}

static int32_t first_writer(const struct step *steps, enum site_id site)
{
    int32_t i = 0;
    while (steps[i].site != site)
        i++;
    return i;
}

int32_t plan_weight_order(const struct plan *p, int32_t row, enum weight_id w)
{
    const int32_t stages[] = {0, weight_row_layer(&p->cfg, row) + 1, p->cfg.n_layers + 1};
    for (int i = 0; i < 3; i++) {
        int32_t n;
        const struct step *steps = plan_stage(p, stages[i], &n);
        for (int32_t k = 0; k < n; k++)
            for (int j = 0; j < KN_IN_MAX; j++)
                if ((steps[k].in[j].kind == OPERAND_WEIGHT ||
                     steps[k].in[j].kind == OPERAND_EXPERT) &&
                    steps[k].in[j].id == w) {
                    while (steps[k].in_place) /* what it amends is made again */
                        k = first_writer(steps, steps[k].site);
                    return stages[i] * PLAN_STAGE_ORDER + k;
                }
    }
    assert(0 && "a weight that no step reads");
    return 0;
}

int32_t plan_window(const struct plan *p, int32_t layer)
{
    int32_t n, window = 0;
    const struct step *steps = plan_stage(p, layer + 1, &n);
    for (int32_t i = 0; i < n; i++)
        window = steps[i].p.window ? steps[i].p.window : window;
    return window;
}

double plan_step_flops(const struct plan *p, const struct step *s, int32_t n)
{
    const struct config *c = &p->cfg;
    double out = (double)site_row_size(c, s->site, n) * n;
    switch (s->op) {
    case KN_OP_LINEAR: return 2 * out * (double)weight_k(c, (enum weight_id)s->in[1].id);
    case KN_OP_HEAD_RESULT: return 2 * out * c->d_head;
    case KN_OP_RESULT_PATCH: return 2 * out * (double)weight_k(c, W_O);
    /* half of the square is masked */
    case KN_OP_ATTN_SCORES: return out * c->d_head;
    case KN_OP_ATTN_MIX: return out * n;
    case KN_OP_COPY:
    case KN_OP_EMBED: return 0;
    default: return out;
    }
}
