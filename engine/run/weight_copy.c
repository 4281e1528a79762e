/* weight_copy.c - see weight_copy.h. */
#include "run/weight_copy.h"

#include <stdlib.h>

#include "run/run_apply.h"

/* A bias that the model does not have: zeros, in groups where its weight, the row before it in
 * weight.def, lies in groups. */
static struct kn_view absent_bias(const struct model *m, const struct edit_weight *w)
{
    const struct kn_view *of = model_weight(m, w->layer, w->id - 1);
    return of->ndim == 3 ? kn_view2(NULL, KN_F32, of->shape[0], of->shape[1])
                         : kn_view1(NULL, KN_F32, weight_n(&m->cfg, w->id));
}

/* The copy's axes: those of `from`, packed; *sn, *sk: the distance of two rows n, and of two
 * columns k. */
static void pack(struct kn_view *v, const struct kn_view *from, bool matrix, int64_t *sn,
                 int64_t *sk)
{
    int last = from->ndim - 1;
    int64_t k = matrix ? from->shape[last] : 1, n = kn_count(from) / k;
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

/* The elements in the order in which the copy lies, widened to f32. */
static void copy_values(const struct kn_view *from, bool columns_first, float *mem)
{
    struct kn_view v = *from;
    int last = v.ndim - 1;
    for (int i = 0; columns_first && i < v.ndim; i++) {
        v.shape[i] = from->shape[i ? i - 1 : last];
        v.stride[i] = from->stride[i ? i - 1 : last];
    }
    kn_decode_rows(&v, 0, v.shape[0], mem);
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
    return (size_t)kn_count(&from) * sizeof(float);
}

/* Elements that an instruction changed as their name shows them -> as they are stored.  What it
 * left keeps its bits: shown, or as it came. */
static void form_back(struct weight_form f, const float *was, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] == was[i] * f.factor + f.offset ? was[i] : (x[i] - f.offset) / f.factor;
}

/* The instructions on a copy whose rows and columns lie sn and sk apart. */
static int instrs_apply(const struct weight_copy *c, const struct edit_instr *instrs, int32_t n,
                        int64_t sn, int64_t sk, struct err *e)
{
    int rc = 0;
    for (int32_t i = 0; !rc && i < n; i++) {
        const struct edit_weight *named = instrs[i].weight;
        struct kn_view v = {.data = c->device.data,
                            .dtype = KN_F32,
                            .ndim = named->rank,
                            .first = named->first_n * sn};
        for (int d = 0; d < named->rank; d++) {
            v.shape[d] = named->shape[d] / (d == 0 ? named->repeat : 1);
            v.stride[d] = named->step_n[d] * sn + named->step_k[d] * sk;
        }
        rc = run_apply(c->be, &instrs[i], &v, 0, NULL, e);
    }
    return rc;
}

/* All of the copy, without its axes. */
static struct kn_view all_of(const struct weight_copy *c)
{
    return kn_view1(c->there, KN_F32, (int64_t)(c->bytes / sizeof(float)));
}

/* The host's values to the device. */
static int copy_up(const struct weight_copy *c, struct err *e)
{
    struct kn_view all = all_of(c);
    return c->there ? run_write(c->be, &all, c->host.data, e) : 0;
}

/* The device's to the host, queued. */
static int copy_down(const struct weight_copy *c, struct err *e)
{
    struct kn_view all = all_of(c);
    return c->there ? run_status(c->be->type->read(c->be, &all, c->host.data), e) : 0;
}

/* Instructions whose names show the weight in another form than the stored one: that form is made,
 * and taken back, on the host. */
static int formed_apply(const struct weight_copy *c, const struct edit_instr *instrs, int32_t n,
                        int64_t sn, int64_t sk, struct err *e)
{
    struct weight_form f = instrs->weight->form;
    int64_t count = (int64_t)(c->bytes / sizeof(float));
    float *mem = c->host.data, *was = malloc(c->bytes);
    if (!was)
        return err_memory(e, "%zu bytes for a copy of %s", c->bytes, instrs->weight->name);
    int rc = copy_down(c, e);
    if (!rc && !(rc = run_wait(c->be, e)))
        for (int64_t i = 0; i < count; i++) {
            was[i] = mem[i];
            mem[i] = was[i] * f.factor + f.offset;
        }
    if (!rc && !(rc = copy_up(c, e)) && !(rc = instrs_apply(c, instrs, n, sn, sk, e)) &&
        !(rc = copy_down(c, e)) && !(rc = run_wait(c->be, e))) {
        form_back(f, was, mem, count);
        rc = copy_up(c, e);
    }
    free(was);
    return rc;
}

static bool is_stored(struct weight_form f)
{
    return f.factor == 1 && f.offset == 0;
}

static bool same_form(const struct edit_instr *a, const struct edit_instr *b)
{
    struct weight_form x = a->weight->form, y = b->weight->form;
    return x.factor == y.factor && x.offset == y.offset;
}

int weight_copy_make(const struct model *m, const struct edit_instr *instrs, int32_t n,
                     struct weight_copy *out, struct err *e)
{
    struct kn_backend *be = model_weight_backend(m, instrs->weight->layer, instrs->weight->id);
    struct kn_view from = stored_or_zeros(m, instrs->weight);
    struct weight_copy c = {.be = be, .bytes = weight_copy_bytes(m, instrs)};
    int64_t sn, sk;
    float *mem = calloc(1, c.bytes);
    c.there = be->unified ? NULL : be->type->alloc(be, c.bytes);
    int rc = mem ? 0 : err_memory(e, "%zu bytes for a copy of %s", c.bytes, instrs->weight->name);
    if (!rc && !c.there && !be->unified)
        rc = run_no_room(be, e, "%zu bytes for a copy of %s", c.bytes, instrs->weight->name);
    pack(&c.host, &from, weight_table[instrs->weight->id].k != DIM_NONE, &sn, &sk);
    c.host.data = mem, c.host.first = 0;
    c.device = c.host, c.device.data = be->unified ? mem : c.there;
    if (!rc && from.data)
        copy_values(&from, sk != 1, mem);
    rc = rc ? rc : copy_up(&c, e);
    for (int32_t i = 0, end; !rc && i < n; i = end) {
        for (end = i + 1; end < n && same_form(&instrs[i], &instrs[end]);)
            end++;
        rc = is_stored(instrs[i].weight->form) ? instrs_apply(&c, instrs + i, end - i, sn, sk, e)
                                               : formed_apply(&c, instrs + i, end - i, sn, sk, e);
    }
    if (!rc && !(rc = copy_down(&c, e))) {
        *out = c;
        return 0;
    }
    be->type->sync(be); /* no read is left waiting */
    weight_copy_free(&c);
    return rc;
}

void weight_copy_free(struct weight_copy *c)
{
    c->be->type->release(c->be, c->there, c->bytes);
    free(c->host.data);
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
        struct weight_copy c;
        n = weight_copy_instrs(p, i);
        if ((rc = weight_copy_make(m, instr, n, &c, e)))
            break;
        if (!(rc = run_wait(m->be, e)) &&
            !(rc = model_own_weight(m, instr->weight->layer < 0 ? 0 : instr->weight->layer,
                                    instr->weight->id, c.host, e)))
            c.host.data = NULL; /* the model's now */
        weight_copy_free(&c);
    }
    return rc;
}
