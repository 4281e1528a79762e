/* plan_fuse.c - which steps of a stage can be one call where nobody looks in between (see plan.h):
 * the three of a norm, the three of attention, a product and the activation or sum that follows;
 * products of the same rows (queries, keys and values; the two of a gated MLP).
 * Such a call has the bits of its steps (ops.def).  Whether somebody looks is for the executor to
 * say.  Tested in tests/engine/test_plan.c. */
#include "model/plan.h"

#include <string.h>

static bool same_operand(const struct operand *a, const struct operand *b)
{
    return a->kind == b->kind && a->id == b->id;
}

static bool reads_here(const struct operand *o, enum site_id site)
{
    return o->id == (uint32_t)site && (o->kind == OPERAND_SITE || o->kind == OPERAND_FLAT ||
                                       o->kind == OPERAND_ALL || o->kind == OPERAND_REPEAT);
}

/* Is what step i writes read by step `reader` alone, as its operand k and as it lies, of those that
 * always run, and amended by none? */
static bool only_for(const struct step *steps, int32_t n, int32_t i, int32_t reader, int k)
{
    enum site_id site = steps[i].site;
    const struct operand *o = &steps[reader].in[k];
    bool only = o->kind == OPERAND_SITE && reads_here(o, site);
    for (int32_t j = 0; only && j < n; j++) {
        only = j == i || steps[j].when != STEP_ALWAYS || steps[j].site != site;
        for (int m = 0; only && steps[j].when == STEP_ALWAYS && m < KN_IN_MAX; m++)
            only = (j == reader && m == k) || !reads_here(&steps[j].in[m], site);
    }
    return only;
}

/* The next step that always runs, or n. */
static int32_t next_of(const struct step *steps, int32_t n, int32_t i)
{
    do
        i++;
    while (i < n && steps[i].when != STEP_ALWAYS);
    return i;
}

static bool is_norm(const struct step *steps, int32_t n, int32_t i)
{
    const struct step *s = &steps[i];
    return i + 2 < n && s->op == KN_OP_NORM_SCALE && s[1].op == KN_OP_NORMALIZE &&
           s[2].op == KN_OP_AFFINE && same_operand(&s->in[0], &s[1].in[0]) &&
           s->heads_are_rows == s[2].heads_are_rows &&
           s[2].flat_out == (s->in[0].kind == OPERAND_FLAT) && only_for(steps, n, i, i + 1, 1) &&
           only_for(steps, n, i + 1, i + 2, 0);
}

static bool is_attention(const struct step *steps, int32_t n, int32_t i)
{
    const struct step *s = &steps[i];
    return i + 2 < n && s->op == KN_OP_ATTN_SCORES && s[1].op == KN_OP_SOFTMAX &&
           s[2].op == KN_OP_ATTN_MIX && only_for(steps, n, i, i + 1, 0) &&
           only_for(steps, n, i + 1, i + 2, 0);
}

/* Is `end` an activation of the product i, or a sum that it is the second term of? */
static bool is_finished(const struct step *steps, int32_t n, int32_t i, int32_t end)
{
    const struct step *s = &steps[i], *last = &steps[end];
    bool act = last->op == KN_OP_ACT,
         sum = last->op == KN_OP_ADD && !last->in_place && last->p.scale == 1;
    return s->op == KN_OP_LINEAR && !step_is_routed(s) && !s->flat_out && !s->first_rows &&
           (act || sum) && only_for(steps, n, i, end, act ? 0 : 1);
}

/* Do those that always run read the copy only as it lies? */
static bool is_through(const struct step *steps, int32_t n, int32_t i)
{
    bool may = steps[i].op == KN_OP_COPY && steps[i].in[0].kind == OPERAND_PREV;
    for (int32_t j = i + 1; may && j < n; j++)
        for (int k = 0; may && steps[j].when == STEP_ALWAYS && k < KN_IN_MAX; k++)
            may = steps[j].site != steps[i].site && (steps[j].in[k].kind == OPERAND_SITE ||
                                                     !reads_here(&steps[j].in[k], steps[i].site));
    return may;
}

/* The rows that a product reads: what a copy on request in between would copy. */
static struct operand rows_of(const struct step *steps, int32_t n, int32_t i)
{
    struct operand o = steps[i].in[0];
    for (int32_t j = 0; o.kind == OPERAND_SITE && j < n; j++)
        if (steps[j].when == STEP_IF_WANTED && steps[j].op == KN_OP_COPY &&
            steps[j].site == (enum site_id)o.id)
            return steps[j].in[0];
    return o;
}

static bool is_product(const struct step *s)
{
    return s->op == KN_OP_LINEAR && !step_is_routed(s) && !s->heads_are_rows && !s->first_rows &&
           !s->in_place && !s->fuse;
}

/* Products that follow one another, so many as one call has room for. */
static void mark_beside(struct step *steps, int32_t n)
{
    int32_t before = 0;
    for (int32_t i = next_of(steps, n, -1), next; i < n; i = next) {
        next = next_of(steps, n, i);
        struct operand mine = rows_of(steps, n, i);
        bool may = next < n && before + 1 < KN_OUT_MAX && is_product(&steps[i]) &&
                   is_product(&steps[next]);
        struct operand its = may ? rows_of(steps, n, next) : mine;
        may = may && mine.kind == OPERAND_SITE && same_operand(&mine, &its);
        steps[i].beside = may ? next - i : 0;
        before = may ? before + 1 : 0;
    }
}

void plan_fuse_mark(struct step *steps, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (steps[i].when != STEP_ALWAYS || steps[i].in_place)
            continue;
        int32_t next = next_of(steps, n, i);
        if (is_norm(steps, n, i) || is_attention(steps, n, i))
            steps[i].fuse = 2;
        else if (next < n && is_finished(steps, n, i, next))
            steps[i].fuse = next - i;
        steps[i].through = is_through(steps, n, i);
    }
    mark_beside(steps, n);
}

int32_t plan_calls(const struct step *steps, int32_t n, int32_t *call)
{
    int32_t calls = 0, end = -1, beside = -1; /* the last step of the call before; one of its */
    for (int32_t i = 0; i < n; i++) {
        bool none = steps[i].when != STEP_ALWAYS || steps[i].through;
        if (!none && i > end && i != beside)
            calls++, end = i + steps[i].fuse;
        if (steps[i].beside)
            beside = i + steps[i].beside;
        if (call)
            call[i] = none ? -1 : calls - 1;
    }
    return calls;
}

bool plan_unwritten(const struct step *steps, int32_t i)
{
    bool inside = steps[i].through || steps[i].fuse;
    for (int32_t k = 0; k < i; k++)
        inside |= k + steps[k].fuse > i;
    return inside && steps[i].when == STEP_ALWAYS;
}
