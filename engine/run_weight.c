/* run_weight.c - weights that a run's edits change: private f32 copies, made from the mapped ones and dropped with the edits.
 *
 * Mapped weights are never written.  A copy has the axes of the weight as it lies (groups of heads, unit stride on what a
 * Conv1D or a Linear has it on), so that its products take the same way through the kernels.  Copies count against the run's cache
 * budget.  A weight whose edits did not change keeps its copy.  Tested in tests/engine/test_weight_edit.c. */
#include "run_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool is_root(enum weight_id w)
{
    return w == W_E || w == W_POS || w == W_LNF || w == B_LNF || w == W_U || w == B_U;
}

const struct kn_view *run_weight(const struct run *r, int32_t layer, enum weight_id w)
{
    int32_t at = is_root(w) ? SITE_ROOT : layer;
    for (int32_t i = 0; i < r->weights.n; i++)
        if (r->weights.list[i].id == w && r->weights.list[i].layer == at)
            return &r->weights.list[i].v;
    return model_weight(r->m, layer, w);
}

/* A bias that the model does not have: zeros, in groups where its weight lies in groups. */
static struct kn_view absent_bias(const struct run *r, const struct edit_weight *w)
{
    bool heads = w->id == B_Q || w->id == B_K || w->id == B_V;
    const struct kn_view *q = model_weight(r->m, w->layer, W_Q);
    int64_t count = 1;
    for (int i = 0; i < w->rank; i++)
        count *= w->shape[i];
    count /= w->repeat;
    return heads && q->ndim == 3 ? kn_view2(NULL, KN_F32, q->shape[0], q->shape[1]) : kn_view1(NULL, KN_F32, count);
}

static int64_t count_of(const struct kn_view *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->ndim; i++)
        n *= v->shape[i];
    return n;
}

static bool is_matrix(const struct edit_weight *w)
{
    int64_t k = 0;
    for (int i = 0; i < w->rank; i++)
        k += w->step_k[i];
    return k > 0;
}

/* The copy's axes: those of `from`, packed; *sn, *sk: the distance of two rows n, and of two columns k. */
static void pack(struct kn_view *v, const struct kn_view *from, bool matrix, int64_t *sn, int64_t *sk)
{
    int last = from->ndim - 1;
    int64_t k = matrix ? from->shape[last] : 1, n = count_of(from) / k;
    bool unit_n = matrix && from->stride[last] != 1; /* as a Conv1D */
    *sn = unit_n ? 1 : k;
    *sk = unit_n ? n : 1;
    *v = *from;
    v->dtype = KN_F32;
    if (matrix)
        v->stride[last] = *sk;
    int64_t stride = *sn;
    for (int i = last - matrix; i >= 0; i--) {
        v->stride[i] = stride;
        stride *= from->shape[i];
    }
}

/* Rows of elements that lie side by side on both sides, widened to f32; ids counts 0, 1, ... */
static int copy_rows(struct run *r, struct kn_view to, struct kn_view from, int row, int unit, int32_t *ids, struct err *e)
{
    int64_t n = to.shape[row], len = to.shape[unit];
    struct kn_view out = kn_view2(to.data, KN_F32, n, len), table = kn_view2(from.data, from.dtype, n, len);
    out.stride[0] = to.stride[row];
    table.stride[0] = from.stride[row];
    struct kn_call c = { .op = KN_OP_EMBED, .out = { out }, .in = { kn_view1(ids, KN_I32, n), table } };
    return run_status(kn_run(r->m->be, &c), e);
}

static int copy_values(struct run *r, const struct kn_view *to, const struct kn_view *from, struct err *e)
{
    int unit = to->ndim - 1;
    int64_t most = 1;
    while (unit > 0 && from->stride[unit] != 1)
        unit--;
    assert(from->stride[unit] == 1 && to->stride[unit] == 1);
    for (int i = 0; i < to->ndim; i++)
        most = to->shape[i] > most ? to->shape[i] : most;
    int32_t *ids = malloc((size_t)most * sizeof *ids);
    if (!ids)
        return err_set(e, ERR_SYSTEM, "out of memory · a copy of a weight");
    for (int32_t i = 0; i < most; i++)
        ids[i] = i;
    int rc = 0;
    struct kn_view a = *to, b = *from;
    if (to->ndim == 1) { /* one row */
        a = kn_view2(to->data, KN_F32, 1, to->shape[0]), b = kn_view2(from->data, from->dtype, 1, to->shape[0]);
        unit = 1;
    }
    if (to->ndim < 3)
        rc = copy_rows(r, a, b, unit == 1 ? 0 : 1, unit, ids, e);
    for (int64_t g = 0; to->ndim == 3 && !rc && g < to->shape[0]; g++) {
        a.data = (float *)to->data + g * to->stride[0];
        b.data = (char *)from->data + (size_t)(g * from->stride[0]) * kn_dtype_size(from->dtype);
        rc = copy_rows(r, a, b, unit == 2 ? 1 : 2, unit, ids, e);
    }
    free(ids);
    return rc;
}

/* The acts [first, first + n) of a program on one weight, on a fresh copy. */
static int weight_make(struct run *r, const struct edit_act *acts, int32_t n, struct run_weight *out, struct err *e)
{
    const struct edit_weight *w = acts[0].weight;
    const struct kn_view *stored = model_weight(r->m, w->layer < 0 ? 0 : w->layer, w->id);
    struct kn_view zeros = absent_bias(r, w);
    const struct kn_view *from = stored->ndim ? stored : &zeros;
    int64_t sn, sk;
    struct run_weight x = { .id = w->id, .layer = w->layer };
    pack(&x.v, from, is_matrix(w), &sn, &sk);
    x.bytes = (size_t)count_of(from) * sizeof(float);
    if (!(x.v.data = r->m->be->type->alloc(r->m->be, x.bytes)))
        return err_set(e, ERR_SYSTEM, "out of memory · %zu bytes for a copy of %s", x.bytes, w->name);
    int rc = stored->ndim ? copy_values(r, &x.v, stored, e) : 0;
    if (rc) {
        r->m->be->type->release(r->m->be, x.v.data, x.bytes);
        return rc;
    }
    for (int32_t i = 0; i < n; i++) {
        const struct edit_weight *named = acts[i].weight;
        struct kn_view v = { .data = x.v.data, .dtype = KN_F32, .ndim = named->rank };
        for (int d = 0; d < named->rank; d++) {
            v.shape[d] = named->shape[d] / (d == 0 ? named->repeat : 1);
            v.stride[d] = named->step_n[d] * sn + named->step_k[d] * sk;
        }
        edit_apply(&acts[i], &v, 0, NULL);
    }
    *out = x;
    return 0;
}

/* How many acts from i on are on the same weight. */
static int32_t group_size(const struct edit_program *p, int32_t i)
{
    int32_t n = 1;
    while (i + n < p->n_weights && edit_same_weight(&p->weights[i], &p->weights[i + n]))
        n++;
    return n;
}

static int32_t group_row(const struct edit_program *p, int32_t i, int32_t n)
{
    int32_t row = INT32_MAX;
    for (int32_t k = i; k < i + n; k++)
        row = p->weights[k].row_min < row ? p->weights[k].row_min : row;
    return row;
}

/* The copy that was made by the same acts, or NULL. */
static struct run_weight *same_copy(const struct run *r, const struct edit_program *old, const struct edit_program *p, int32_t i, int32_t n)
{
    for (int32_t k = 0; old && k < r->weights.n; k++) {
        struct run_weight *x = &r->weights.list[k];
        bool same = x->n == n;
        for (int32_t j = 0; same && j < n; j++)
            same = edit_act_equal(&old->weights[x->first + j], &p->weights[i + j]);
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
            return err_set(e, ERR_BAD_INPUT, "%s cannot be edited · this pass starts at layer %d", w->name, r->start - 1);
    }
    return 0;
}

static void release(struct run *r, struct run_weight *x)
{
    if (x->v.data)
        r->m->be->type->release(r->m->be, x->v.data, x->bytes);
}

int run_weights_set(struct run *r, const struct edit_program *p, const struct edit_program *old, struct err *e)
{
    struct run_weights fresh = { 0 };
    int32_t most = p ? p->n_weights : 0;
    if (!most && !r->weights.n)
        return 0;
    fresh.list = calloc((size_t)most + 1, sizeof *fresh.list);
    int rc = fresh.list ? 0 : err_set(e, ERR_SYSTEM, "out of memory · %d edits of weights", most);
    if (!rc && p)
        rc = start_check(r, p, e);
    for (int32_t i = 0, n; !rc && i < most; i += n) {
        struct run_weight *x = &fresh.list[fresh.n], *kept;
        n = group_size(p, i);
        kept = same_copy(r, old, p, i, n);
        if (kept)
            *x = *kept;
        else
            rc = weight_make(r, p->weights + i, n, x, e);
        x->first = i, x->n = n, x->row_min = group_row(p, i, n), x->kept = kept != NULL;
        fresh.n += !rc;
        fresh.bytes += x->bytes;
    }
    for (int32_t i = 0; rc && i < fresh.n; i++)
        if (!fresh.list[i].kept)
            release(r, &fresh.list[i]);
    if (rc) {
        free(fresh.list);
        return rc;
    }
    for (int32_t i = 0; i < r->weights.n; i++) { /* what is no longer in force */
        struct run_weight *x = &r->weights.list[i];
        bool moved = false;
        for (int32_t k = 0; k < fresh.n; k++)
            moved |= fresh.list[k].v.data == x->v.data;
        if (moved)
            continue;
        run_dirty(r, plan_weight_order(r->m->plan, x->layer, x->id), x->row_min);
        release(r, x);
    }
    for (int32_t i = 0; i < fresh.n; i++)
        if (!fresh.list[i].kept)
            run_dirty(r, plan_weight_order(r->m->plan, fresh.list[i].layer, fresh.list[i].id), fresh.list[i].row_min);
    free(r->weights.list);
    r->weights = fresh;
    run_resident_update(r);
    return 0;
}

void run_weights_free(struct run *r)
{
    for (int32_t i = 0; i < r->weights.n; i++)
        release(r, &r->weights.list[i]);
    free(r->weights.list);
    r->weights = (struct run_weights){ 0 };
}
