/* run_fuse.c - steps that are one call where nobody looks at what lies between them, and products
 * of the same rows that are made together.
 *
 * Which could be, the plan says (plan_fuse.c).  Here it is seen whether somebody looks: a value in
 * between that is kept, edited or called back is made by a step of its own, as is all of a stage
 * where a step on request runs.  Every value keeps its bits.  Tested in tests/engine/test_run.c. */
#include "run/run_pass.h"

/* Is the site's value nobody's but its readers' in this pass? */
static bool is_private(const struct pass *p, enum site_id s)
{
    int32_t stage = p->f->stage;
    return !p->r->keep[run_slot(stage, s)] && !run_edited(p->r, stage, s) &&
           !run_called(p->r, stage, s);
}

void pass_fuse_begin(struct pass *p, const struct step *steps, int32_t count, int32_t last,
                     bool shared, enum site_id want)
{
    p->unseen = p->quiet = p->f->unseen && want == SITE_COUNT;
    p->shared = shared, p->last = steps + last;
    for (int32_t i = 0; p->quiet && i < count; i++)
        p->quiet = steps[i].when == STEP_ALWAYS || !pass_step_active(p->r, p->f, &steps[i], want);
}

/* Rows [0, n_src) of keys or values as one view: own ones, or all of them the base's; false: some
 * are here and some there. */
static bool all_rows(const struct pass *p, enum site_id all, struct kn_view *out)
{
    const struct run *r = p->r;
    struct site_ref ref = {all, p->f->stage - 1};
    int32_t split = r->base && plan_order(r->m->plan, ref) >= r->fork_order ? r->fork_row : 0;
    if (split > 0 && split < p->n_src)
        return false;
    *out = run_rows(split ? r->base : r, NULL, p->f->stage, all, 0, p->n_src, 0);
    return true;
}

static bool attention_may(const struct pass *p, const struct step *s)
{
    struct kn_view v;
    return p->full == s[2].p.full && all_rows(p, (enum site_id)s->in[1].id, &v) &&
           all_rows(p, (enum site_id)s[2].in[1].id, &v);
}

static bool group_may(const struct pass *p, const struct step *s)
{
    if (s->op == KN_OP_ATTN_SCORES ? !p->unseen || !attention_may(p, s) : !p->quiet)
        return false;
    bool may = !(p->shared && s->op == KN_OP_LINEAR);
    for (int32_t i = 0; may && i < s->fuse; i++)
        may = s[i].when != STEP_ALWAYS || is_private(p, s[i].site);
    return may;
}

bool pass_fuse(struct pass *p)
{
    const struct step *s = p->step;
    if (p->end && s <= p->end)
        return s < p->end;
    p->end = NULL;
    if (s->through && p->quiet && is_private(p, s->site)) {
        p->through = s;
        return true;
    }
    if (!s->fuse || s + s->fuse >= p->last || !group_may(p, s))
        return false;
    p->group = s, p->end = s + s->fuse;
    return true;
}

/* Scores, softmax and mix. */
static void attention_call(const struct pass *p, struct kn_call *c)
{
    const struct step *scores = p->group, *softmax = scores + 1;
    *c = (struct kn_call){.op = KN_OP_ATTENTION, .p = scores->p};
    c->out[0] = pass_rows(p, p->f->stage, p->step->site);
    c->in[0] = pass_operand(p, &scores->in[0]);
    (void)all_rows(p, (enum site_id)scores->in[1].id, &c->in[1]);
    (void)all_rows(p, (enum site_id)p->step->in[1].id, &c->in[2]);
    c->in[3] = pass_operand(p, &softmax->in[1]);
    c->p.dest0 = p->f->r0;
}

static void norm_call(const struct pass *p, struct kn_call *c)
{
    const struct step *last = p->step;
    *c = (struct kn_call){.op = KN_OP_NORM, .p = p->group->p};
    c->p.offset = last->p.offset;
    c->out[0] = pass_rows(p, p->f->stage, last->site);
    c->in[0] = pass_operand(p, &p->group->in[0]);
    c->in[1] = pass_operand(p, &last->in[1]);
    c->in[2] = pass_operand(p, &last->in[2]);
    run_step_shape(last, c);
}

/* A product and what follows it. */
static void linear_call(const struct pass *p, struct kn_call *c)
{
    struct step product = *p->group;
    struct pass joined = *p;
    enum site_id all;
    product.site = p->step->site, joined.step = &product;
    *c = pass_call(&joined, &all);
    c->p.act = p->step->p.act;
    if (p->step->op == KN_OP_ADD)
        c->in[3] = pass_operand(p, &p->step->in[0]);
}

/* Can a product be made along with p->step, before its turn? */
static bool beside_may(const struct pass *p, const struct step *s)
{
    const struct run *r = p->r;
    enum site_id own = (enum site_id)p->step->in[0].id, its = (enum site_id)s->in[0].id;
    return s < p->last && run_source(r, p->f->stage, own) == run_source(r, p->f->stage, its) &&
           !(p->f == &r->look && run_called(r, p->f->stage, s->site)); /* what callbacks left */
}

bool pass_made(const struct pass *p)
{
    const struct step *s = p->step;
    return p->made && s > p->beside && s <= p->made && s->when == STEP_ALWAYS;
}

void pass_set_made(struct pass *p, int n)
{
    p->beside = p->made = p->step;
    while (--n > 0)
        p->made += p->made->beside;
}

int pass_products(struct pass *p, struct kn_call *c, int *n, struct err *e)
{
    const struct step *s = p->step;
    int rc = 0;
    *c = (struct kn_call){.op = KN_OP_LINEARS};
    *n = 0;
    for (bool more = true; !rc && more; ++*n) {
        struct pass one = *p;
        enum site_id all;
        one.step = s;
        if (!(rc = pass_reserve(p, s->site, e))) {
            struct kn_call own = pass_call(&one, &all);
            c->out[*n] = own.out[0], c->in[0] = own.in[0];
            c->in[1 + 2 * *n] = own.in[1], c->in[2 + 2 * *n] = own.in[2];
        }
        more = s->beside && beside_may(p, s + s->beside);
        s += s->beside;
    }
    return rc;
}

int pass_beside(struct pass *p, bool *made, struct err *e)
{
    struct kn_call c;
    int n = 1, rc = p->step->beside ? pass_products(p, &c, &n, e) : 0;
    if (rc || n == 1)
        return rc;
    pass_set_made(p, n);
    *made = true;
    return run_status(kn_run(stage_backend(p->r, p->f->stage), &c), e);
}

int pass_fused(const struct pass *p, struct err *e)
{
    struct kn_call c;
    switch (p->group->op) {
    case KN_OP_ATTN_SCORES: attention_call(p, &c); break;
    case KN_OP_NORM_SCALE: norm_call(p, &c); break;
    default: linear_call(p, &c);
    }
    return run_status(kn_run(stage_backend(p->r, p->f->stage), &c), e);
}
