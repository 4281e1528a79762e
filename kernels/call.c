/* call.c - see call.h. */
#include "call.h"

static const struct {
    int n_out, n_in;
} OPERANDS[KN_OP_COUNT] = {
#define KN_OP(id, name, n_out, n_in) {n_out, n_in},
#include "ops.def"
#undef KN_OP
};

/* Blocks lie side by side along one axis, and whole ones apart along the others. */
static bool blocks_sound(const struct kn_view *v)
{
    int side_by_side = 0;
    for (int i = 0; i < v->ndim; i++)
        if (v->stride[i] == 1 && v->shape[i] > 1)
            side_by_side++;
        else if (v->shape[i] > 1 && v->stride[i] % kn_dtype_block(v->dtype) != 0)
            return false;
    return side_by_side <= 1;
}

/* Everything that holds for any operand of any operation. */
static bool view_sound(const struct kn_view *v)
{
    if (v->ndim < 0 || v->ndim > KN_DIM_MAX || (unsigned)v->dtype >= KN_DTYPE_COUNT)
        return false;
    int64_t elements = 1;
    for (int i = 0; i < v->ndim; i++) {
        if (v->shape[i] < 0 || v->stride[i] < 0)
            return false;
        elements *= v->shape[i];
    }
    if (v->ndim == 0 || elements == 0)
        return true;
    if (kn_dtype_block(v->dtype) > 1)
        return v->data && blocks_sound(v);
    /* The address of an element is a multiple of its size. */
    return v->data && (uintptr_t)v->data % kn_dtype_bytes(v->dtype) == 0;
}

static bool view_contiguous(const struct kn_view *v)
{
    int64_t expect = 1;
    for (int i = v->ndim - 1; i >= 0; expect *= v->shape[i--])
        if (v->shape[i] != 1 && v->stride[i] != expect)
            return false;
    return v->ndim > 0 && expect > 0;
}

/* Whether two operands certainly share memory.  Interleaved views of one buffer (the heads of a
 * fused projection) need not, so only contiguous ones are compared. */
static bool views_overlap(const struct kn_view *a, const struct kn_view *b)
{
    if (!view_contiguous(a) || !view_contiguous(b))
        return false;
    if (kn_dtype_block(a->dtype) > 1 || kn_dtype_block(b->dtype) > 1)
        return false; /* never an output */
    const char *pa = a->data, *pb = b->data;
    size_t na = kn_row_bytes(a->dtype, kn_count(a)), nb = kn_row_bytes(b->dtype, kn_count(b));
    return pa < pb + nb && pb < pa + na;
}

/* Same place, shape and strides. */
static bool same_view(const struct kn_view *a, const struct kn_view *b)
{
    if (a->data != b->data || a->dtype != b->dtype || a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i] || (a->shape[i] > 1 && a->stride[i] != b->stride[i]))
            return false;
    return true;
}

static bool may_replace_first(enum kn_op op)
{
    return op == KN_OP_ADD || op == KN_OP_ACT || op == KN_OP_GATE || op == KN_OP_SOFTMAX ||
           op == KN_OP_SOFTCAP || op == KN_OP_CLIP;
}

bool call_sound(const struct kn_call *call)
{
    if ((unsigned)call->op >= KN_OP_COUNT)
        return false;
    int n_out = OPERANDS[call->op].n_out, n_in = OPERANDS[call->op].n_in;
    for (int i = 0; i < n_in; i++)
        if (!view_sound(&call->in[i]))
            return false;
    for (int o = 0; o < n_out; o++) {
        if (!view_sound(&call->out[o]))
            return false;
        for (int i = 0; i < n_in; i++) {
            bool in_place = i == 0 && may_replace_first(call->op) &&
                            same_view(&call->out[o], &call->in[i]);
            if (!in_place && views_overlap(&call->out[o], &call->in[i]))
                return false;
        }
    }
    return true;
}

bool call_resolve(const struct kn_call *call, struct kn_call *own)
{
    bool moved = false;
    for (int i = 0; i < KN_OUT_MAX; i++)
        moved |= call->out[i].first != 0;
    for (int i = 0; i < KN_IN_MAX; i++)
        moved |= call->in[i].first != 0;
    if (!moved)
        return false;
    *own = *call;
    for (int i = 0; i < KN_OUT_MAX + KN_IN_MAX; i++) {
        struct kn_view *v = i < KN_OUT_MAX ? &own->out[i] : &own->in[i - KN_OUT_MAX];
        if (v->data)
            v->data = kn_at(v, 0), v->first %= kn_dtype_block(v->dtype);
    }
    return true;
}

bool call_absent(const struct kn_view *v)
{
    return v->ndim == 0;
}

bool call_is(const struct kn_view *v, enum kn_dtype t, int ndim)
{
    return v->dtype == t && v->ndim == ndim &&
           (v->stride[ndim - 1] == 1 || v->shape[ndim - 1] <= 1);
}

bool call_is_weight(const struct kn_view *v)
{
    return v->ndim > 0 && (v->dtype == KN_F32 || v->dtype == KN_F16 || v->dtype == KN_BF16);
}

bool call_is_matrix(const struct kn_view *v)
{
    return call_is_weight(v) || (v->ndim > 0 && kn_dtype_block(v->dtype) > 1);
}

bool call_is_sinks(const struct kn_view *v, int64_t heads)
{
    return call_absent(v) || (call_is_weight(v) && call_is(v, v->dtype, 1) && v->shape[0] == heads);
}

bool call_rows(const struct kn_view *v, enum kn_dtype t, struct call_rows *ret)
{
    if (v->dtype != t || v->ndim < 1)
        return false;
    struct call_rows r = {v->data, v->shape[0], 1, v->stride[0]};
    for (int i = v->ndim - 1; i > 0; r.len *= v->shape[i--])
        if (v->shape[i] != 1 && v->stride[i] != r.len)
            return false;
    *ret = r;
    return true;
}
