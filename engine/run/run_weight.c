/* run_weight.c - weights that a run's edits change: private copies (weight_copy.h), dropped with
 * the edits.
 *
 * Copies count against the run's cache budget.  A weight whose edits did not change keeps its copy.
 * Tested in tests/engine/test_weight_edit.c. */
#include "run/run_parts.h"

#include <assert.h>
#include <stdlib.h>

/* The copy of a weight that the run's edits made, or NULL. */
static const struct run_weight *copy_of(const struct run *r, int32_t layer, enum weight_id w)
{
    int32_t at = weight_is_root(w) ? SITE_ROOT : layer;
    for (int32_t i = 0; i < r->weights.n; i++)
        if (r->weights.list[i].id == w && r->weights.list[i].layer == at)
            return &r->weights.list[i];
    return NULL;
}

const struct kn_view *run_weight(const struct run *r, int32_t layer, enum weight_id w)
{
    const struct run_weight *copy = copy_of(r, layer, w);
    return copy ? &copy->copy.host : model_weight(r->m, layer, w);
}

const struct kn_view *run_device_weight(const struct run *r, int32_t layer, enum weight_id w)
{
    const struct run_weight *copy = copy_of(r, layer, w);
    const struct kn_view *v = copy ? &copy->copy.device : model_device_weight(r->m, layer, w);
    assert(v->ndim || !run_weight(r, layer, w)->ndim); /* a bias may be absent: nobody else would
                                                          notice that its stage was not imported */
    return v;
}

static int32_t group_row(const struct edit_program *p, int32_t i, int32_t n)
{
    int32_t row = INT32_MAX;
    for (int32_t k = i; k < i + n; k++)
        row = p->weights[k].row_min < row ? p->weights[k].row_min : row;
    return row;
}

/* The copy that was made by the same instructions, or NULL. */
static struct run_weight *same_copy(const struct run *r, const struct edit_program *old,
                                    const struct edit_program *p, int32_t i, int32_t n)
{
    for (int32_t k = 0; old && k < r->weights.n; k++) {
        struct run_weight *x = &r->weights.list[k];
        bool same = x->n == n;
        for (int32_t j = 0; same && j < n; j++)
            same = edit_instr_equal(&old->weights[x->first + j], &p->weights[i + j]);
        if (same)
            return x;
    }
    return NULL;
}

static int start_check(const struct run *r, const struct edit_program *p, struct err *e)
{
    for (int32_t i = 0; i < p->n_weights; i++) {
        const struct edit_weight *w = p->weights[i].weight;
        int32_t stage = plan_weight_order(r->m->plan, w->layer, w->id) / PLAN_STAGE_ORDER;
        if (stage < r->start)
            return err_set(e, ERR_BAD_INPUT, "%s cannot be edited · this pass starts at layer %d",
                           w->name, r->start - 1);
    }
    return 0;
}

int run_weights_set(struct run *r, const struct edit_program *p, const struct edit_program *old,
                    struct err *e)
{
    struct run_weights fresh = {0};
    int32_t most = p ? p->n_weights : 0;
    if (!most && !r->weights.n)
        return 0;
    fresh.list = calloc((size_t)most + 1, sizeof *fresh.list);
    int rc = fresh.list ? 0 : err_memory(e, "%d edits of weights", most);
    if (!rc && p)
        rc = start_check(r, p, e);
    for (int32_t i = 0, n; !rc && i < most; i += n) {
        struct run_weight *x = &fresh.list[fresh.n], *kept;
        n = weight_copy_instrs(p, i);
        kept = same_copy(r, old, p, i, n);
        if (kept)
            *x = *kept;
        else
            rc = weight_copy_make(r->m, p->weights + i, n, &x->copy, e);
        x->id = p->weights[i].weight->id, x->layer = p->weights[i].weight->layer;
        x->first = i, x->n = n, x->row_min = group_row(p, i, n), x->kept = kept != NULL;
        fresh.n += !rc;
        fresh.bytes += x->copy.bytes;
    }
    if (rc)
        r->m->be->type->sync(r->m->be); /* no read is left waiting */
    else
        rc = run_wait(r->m->be, e);
    for (int32_t i = 0; rc && i < fresh.n; i++)
        if (!fresh.list[i].kept)
            weight_copy_free(&fresh.list[i].copy);
    if (rc) {
        free(fresh.list);
        return rc;
    }
    for (int32_t i = 0; i < r->weights.n; i++) { /* what is no longer in force */
        struct run_weight *x = &r->weights.list[i];
        bool moved = false;
        for (int32_t k = 0; k < fresh.n; k++)
            moved |= fresh.list[k].copy.host.data == x->copy.host.data;
        if (moved)
            continue;
        run_dirty(r, plan_weight_order(r->m->plan, x->layer, x->id), x->row_min);
        weight_copy_free(&x->copy);
    }
    for (int32_t i = 0; i < fresh.n; i++)
        if (!fresh.list[i].kept)
            run_dirty(r, plan_weight_order(r->m->plan, fresh.list[i].layer, fresh.list[i].id),
                      fresh.list[i].row_min);
    free(r->weights.list);
    r->weights = fresh;
    run_resident_update(r);
    return 0;
}

void run_weights_free(struct run *r)
{
    for (int32_t i = 0; i < r->weights.n; i++)
        weight_copy_free(&r->weights.list[i].copy);
    free(r->weights.list);
    r->weights = (struct run_weights){0};
}
