/* weight_copy.c - see weight_copy.h. */
#include "run/weight_copy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "run/run_parts.h"

/* A bias that the model does not have: zeros, in groups where its weight lies in groups. */
static struct kn_view absent_bias(const struct model *m, const struct edit_weight *w)
{
    bool heads = w->id == B_Q || w->id == B_K || w->id == B_V;
    const struct kn_view *q = model_weight(m, w->layer, W_Q);
    int64_t count = 1;
    for (int i = 0; i < w->rank; i++)
        count *= w->shape[i];
    count /= w->repeat;
    return heads && q->ndim == 3 ? kn_view2(NULL, KN_F32, q->shape[0], q->shape[1])
                                 : kn_view1(NULL, KN_F32, count);
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

/* The copy's axes: those of `from`, packed; *sn, *sk: the distance of two rows n, and of two
 * columns k. */
static void pack(struct kn_view *v, const struct kn_view *from, bool matrix, int64_t *sn,
                 int64_t *sk)
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
static int copy_rows(const struct model *m, struct kn_view to, struct kn_view from, int row,
                     int unit, int32_t *ids, struct err *e)
{
    int64_t n = to.shape[row], len = to.shape[unit];
    struct kn_view out = kn_moved(kn_view2(to.data, KN_F32, n, len), to.first),
                   table = kn_moved(kn_view2(from.data, from.dtype, n, len), from.first);
    out.stride[0] = to.stride[row];
    table.stride[0] = from.stride[row];
    struct kn_call c = {.op = KN_OP_EMBED, .out = {out}, .in = {kn_view1(ids, KN_I32, n), table}};
    return run_status(kn_run(m->be, &c), e);
}

static int copy_values(const struct model *m, const struct kn_view *to, const struct kn_view *from,
                       struct err *e)
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
        a = kn_moved(kn_view2(to->data, KN_F32, 1, to->shape[0]), to->first),
        b = kn_moved(kn_view2(from->data, from->dtype, 1, to->shape[0]), from->first);
        unit = 1;
    }
    if (to->ndim < 3)
        rc = copy_rows(m, a, b, unit == 1 ? 0 : 1, unit, ids, e);
    for (int64_t g = 0; to->ndim == 3 && !rc && g < to->shape[0]; g++) {
        a.first = to->first + g * to->stride[0];
        b.first = from->first + g * from->stride[0];
        rc = copy_rows(m, a, b, unit == 2 ? 1 : 2, unit, ids, e);
    }
    free(ids);
    return rc;
}

/* The weight as stored, or its zeros. */
static struct kn_view stored_or_zeros(const struct model *m, const struct edit_weight *w)
{
    const struct kn_view *stored = model_weight(m, w->layer < 0 ? 0 : w->layer, w->id);
    return stored->ndim ? *stored : absent_bias(m, w);
}

size_t weight_copy_bytes(const struct model *m, const struct edit_instr *instr)
{
    struct kn_view from = stored_or_zeros(m, instr->weight);
    return (size_t)count_of(&from) * sizeof(float);
}

int weight_copy_make(const struct model *m, const struct edit_instr *instrs, int32_t n, float *mem,
                     struct kn_view *out, struct err *e)
{
    struct kn_view from = stored_or_zeros(m, instrs->weight), copy;
    int64_t sn, sk;
    pack(&copy, &from, is_matrix(instrs->weight), &sn, &sk);
    copy.data = mem, copy.first = 0;
    int rc = 0;
    if (from.data)
        rc = copy_values(m, &copy, &from, e);
    else
        memset(mem, 0, weight_copy_bytes(m, instrs));
    if (rc)
        return rc;
    for (int32_t i = 0; i < n; i++) {
        const struct edit_weight *named = instrs[i].weight;
        struct kn_view v = {.data = mem, .dtype = KN_F32, .ndim = named->rank};
        for (int d = 0; d < named->rank; d++) {
            v.shape[d] = named->shape[d] / (d == 0 ? named->repeat : 1);
            v.stride[d] = named->step_n[d] * sn + named->step_k[d] * sk;
        }
        edit_apply(&instrs[i], &v, 0, NULL);
    }
    *out = copy;
    return 0;
}

int32_t weight_copy_instrs(const struct edit_program *p, int32_t i)
{
    int32_t n = 1;
    while (i + n < p->n_weights && edit_same_weight(&p->weights[i], &p->weights[i + n]))
        n++;
    return n;
}

int weight_copy_keep(struct model *m, const struct edit_program *p, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0, n; i < p->n_weights && !rc; i += n) {
        const struct edit_instr *instr = &p->weights[i];
        struct kn_view v;
        n = weight_copy_instrs(p, i);
        float *mem = malloc(weight_copy_bytes(m, instr));
        rc = mem ? weight_copy_make(m, instr, n, mem, &v, e)
                 : err_set(e, ERR_SYSTEM, "out of memory · a copy of %s", instr->weight->name);
        if (!rc)
            rc = model_own_weight(m, instr->weight->layer < 0 ? 0 : instr->weight->layer,
                                  instr->weight->id, v, e);
        if (rc)
            free(mem);
    }
    return rc;
}
