/* lower_edit.c - changes of selected elements in place: edit, hide, project, renormalize and its
 * product. */
#include "lower.h"

/* Bits of `flags` in edit.k. */
enum { LIST0 = 1, BY_PLACE = 8, CAUSAL = 16, GIVEN = 32, KIND = 256 };

/* What is selected on one axis, and how far its elements and values lie apart. */
struct axis {
    const struct kn_view *list; /* or NULL */
    int64_t start, step, n, size, y, value;
};

/* Axes that a view lacks stand in front and hold one element. */
struct selection {
    struct axis axis[KN_SELECT_MAX];
    char *y, *value;
    i32 flags;
};

static bool axis_take(struct axis *a, const struct kn_range *r, const struct kn_view *list)
{
    if (!call_absent(list)) {
        a->list = list, a->start = 0, a->step = 1, a->n = list->shape[0];
        return call_is(list, KN_I32, 1);
    }
    a->start = r->start, a->step = r->step, a->n = r->n;
    if (r->step == 0)
        a->start = 0, a->step = 1, a->n = a->size;
    return a->start >= 0 && a->step > 0 && a->n >= 0 &&
           (a->n == 0 || a->start + (a->n - 1) * a->step < a->size);
}

/* The selection of a call that changes its output in place; `lines`: the last axis is whole. */
static bool selection_take(struct selection *s, const struct kn_call *call, bool lines)
{
    const struct kn_view *out = &call->out[0];
    int last = out->ndim - 1, lead = KN_SELECT_MAX - 1 - last;
    *s = (struct selection){.y = out->data, .flags = call->p.causal ? CAUSAL : 0};
    if (last < 0 || lead < 0 || out->dtype != KN_F32 || (call->p.causal && last < 1) ||
        call->p.dest0 < 0)
        return false;
    if (lines && (!call_absent(&call->in[1 + last]) || call->p.range[last].step))
        return false;
    for (int i = 0; i < lead; i++)
        s->axis[i] = (struct axis){.step = 1, .n = 1, .size = 1};
    for (int i = 0; i <= last; i++) {
        struct axis *a = &s->axis[lead + i];
        a->size = out->shape[i], a->y = out->stride[i];
        if ((a->y == 0 && a->size > 1) || !axis_take(a, &call->p.range[i], &call->in[1 + i]))
            return false;
    }
    for (int i = last + 1; i < KN_SELECT_MAX; i++)
        if (!call_absent(&call->in[1 + i]) || call->p.range[i].step)
            return false;
    return true;
}

/* The values: one for each element of `out`, or for each selected one. */
static bool selection_values(struct selection *s, const struct kn_call *call, bool by_place)
{
    const struct kn_view *v = &call->in[0], *out = &call->out[0];
    int lead = KN_SELECT_MAX - out->ndim;
    if (v->dtype != KN_F32 || v->ndim != out->ndim)
        return false;
    for (int i = 0; i < v->ndim; i++) {
        struct axis *a = &s->axis[lead + i];
        if (v->shape[i] != (by_place ? a->size : a->n))
            return false;
        a->value = v->stride[i];
    }
    s->value = v->data;
    s->flags |= GIVEN | (by_place ? BY_PLACE : 0);
    return true;
}

/* Ranges become part of addresses and strides; lists are looked at and copied. */
static enum kn_status selection_place(struct selection *s, struct gpu *g, char *list[KN_SELECT_MAX])
{
    int64_t words = 0;
    for (int i = 0; i < KN_SELECT_MAX; i++) {
        struct axis *a = &s->axis[i];
        words += a->list ? a->n : 0;
        s->y += a->start * a->y * 4, a->y *= a->step;
        if (s->flags & BY_PLACE)
            s->value += a->start * a->value * 4, a->value *= a->step;
        if (a->y > INT32_MAX || a->value > INT32_MAX)
            return KN_BAD_CALL;
    }
    char *to = words ? gpu_scratch(g, GPU_SCRATCH_LIST, (size_t)words * sizeof(int32_t)) : NULL;
    char *bad = words ? gpu_bad(g) : NULL;
    if (words && (!to || !bad))
        return KN_OUT_OF_MEMORY;
    enum kn_status st = KN_OK;
    for (int i = 0; i < KN_SELECT_MAX && !st; i++) {
        const struct axis *a = &s->axis[i];
        list[i] = NULL;
        if (!a->list)
            continue;
        checked_params p = {to, a->list->data, bad, gpu_i32(a->n), gpu_i32(a->size)};
        s->flags |= LIST0 << i;
        list[i] = to, to += a->n * (int64_t)sizeof(int32_t);
        st = GPU_LAUNCH(g, checked, p, (a->n + 255) / 256, 1);
    }
    return st;
}

enum kn_status gpu_EDIT(struct gpu *g, const struct kn_call *call)
{
    struct selection s;
    const struct kn_param *p = &call->p;
    bool given = !call_absent(&call->in[0]),
         clamps = p->edit == KN_EDIT_CLAMP || p->edit == KN_EDIT_CLAMP_VJP;
    if ((unsigned)p->edit >= KN_EDIT_COUNT || !selection_take(&s, call, false) ||
        (given && !selection_values(&s, call, p->by_place)) ||
        (p->edit == KN_EDIT_CLAMP_VJP && !given))
        return KN_BAD_CALL;
    const struct axis *a = s.axis;
    char *list[KN_SELECT_MAX];
    enum kn_status st = selection_place(&s, g, list);
    if (st)
        return st;
    edit_params e = {.y = s.y,
                     .value = s.value,
                     .list0 = list[0],
                     .list1 = list[1],
                     .list2 = list[2],
                     .y0 = gpu_i32(a[0].y),
                     .y1 = gpu_i32(a[1].y),
                     .y2 = gpu_i32(a[2].y),
                     .v0 = gpu_i32(a[0].value),
                     .v1 = gpu_i32(a[1].value),
                     .v2 = gpu_i32(a[2].value),
                     .n1 = gpu_i32(a[1].n),
                     .n2 = gpu_i32(a[2].n),
                     .step1 = gpu_i32(a[1].step),
                     .step2 = gpu_i32(a[2].step),
                     .limit = gpu_i32(p->dest0 + a[1].start - a[2].start),
                     .flags = s.flags + KIND * (i32)p->edit,
                     .a = clamps ? p->lo : p->scale,
                     .b = clamps ? p->hi : p->number};
    return GPU_LAUNCH(g, edit, e, a[2].n ? a[1].n : 0, a[0].n);
}

enum kn_status gpu_HIDE(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *out = &call->out[0];
    if (out->dtype != KN_F32 || out->ndim != 3 || call->p.dest0 < 0 ||
        out->shape[0] * out->shape[1] > INT32_MAX)
        return KN_BAD_CALL;
    hide_params p = {.y = out->data,
                     .y0 = out->stride[0],
                     .y1 = gpu_i32(out->stride[1]),
                     .y2 = gpu_i32(out->stride[2]),
                     .units = gpu_i32(out->shape[0] * out->shape[1]),
                     .rows = gpu_i32(out->shape[1]),
                     .len = gpu_i32(out->shape[2]),
                     .dest0 = call->p.dest0,
                     .number = call->p.number};
    return GPU_LAUNCH(g, hide, p, p.units, 1);
}

static enum kn_status lines_run(struct gpu *g, struct selection *s, enum gpu_kernel k, i32 dest0)
{
    const struct axis *a = s->axis;
    char *list[KN_SELECT_MAX];
    enum kn_status st = selection_place(s, g, list);
    if (st)
        return st;
    line_params p = {.y = s->y,
                     .value = s->value,
                     .list0 = list[0],
                     .list1 = list[1],
                     .y0 = gpu_i32(a[0].y),
                     .y1 = gpu_i32(a[1].y),
                     .y2 = gpu_i32(a[2].y),
                     .v0 = gpu_i32(a[0].value),
                     .v1 = gpu_i32(a[1].value),
                     .v2 = gpu_i32(a[2].value),
                     .n1 = gpu_i32(a[1].n),
                     .len = gpu_i32(a[2].size),
                     .step1 = gpu_i32(a[1].step),
                     .limit = gpu_i32(dest0 + a[1].start),
                     .flags = s->flags};
    return gpu_launch(g, k, &p, sizeof p, a[1].n, a[0].n);
}

enum kn_status gpu_PROJECT(struct gpu *g, const struct kn_call *call)
{
    struct selection s;
    const struct kn_view *d = &call->in[0];
    if (!selection_take(&s, call, true) || call->p.causal || !call_is(d, KN_F32, 1) ||
        d->shape[0] != s.axis[2].size)
        return KN_BAD_CALL;
    s.value = d->data, s.axis[2].value = 1; /* the same for every line */
    return lines_run(g, &s, GPU_project, 0);
}

enum kn_status gpu_RENORMALIZE(struct gpu *g, const struct kn_call *call)
{
    struct selection s;
    if (!call_absent(&call->in[0]) || !selection_take(&s, call, true))
        return KN_BAD_CALL;
    return lines_run(g, &s, GPU_renormalize, call->p.dest0);
}

enum kn_status gpu_RENORMALIZE_VJP(struct gpu *g, const struct kn_call *call)
{
    struct selection s;
    if (!selection_take(&s, call, true) || !selection_values(&s, call, true))
        return KN_BAD_CALL;
    return lines_run(g, &s, GPU_renormalize_vjp, call->p.dest0);
}
