/* edit.c - changes of selected elements in place: edit, hide, project, renormalize and its product.
 *
 * Sums of a line are in double, in order; lines do not know of each other. */
#include "cpu.h"

#include <math.h>

/* What is selected on one axis, and how far its elements and values lie apart. */
struct axis {
    const int32_t *list; /* or NULL */
    int64_t start, step, n, out, value;
};

/* Axes that a view lacks stand in front and hold one element. */
struct edit_job {
    const struct kn_param *p;
    struct axis axis[KN_SELECT_MAX];
    float *out;
    const float *value; /* or NULL */
    int64_t len;        /* elements of the last axis, selected or not */
    bool by_place;
};

static int64_t place(const struct axis *a, int64_t i)
{
    return a->list ? a->list[i] : a->start + i * a->step;
}

static int64_t value_at(const struct edit_job *j, int axis, int64_t i)
{
    const struct axis *a = &j->axis[axis];
    return (j->by_place ? place(a, i) : i) * a->value;
}

static bool axis_list(struct axis *a, const struct kn_view *list, int64_t size)
{
    if (!call_is(list, KN_I32, 1))
        return false;
    a->list = list->data;
    a->n = list->shape[0];
    for (int64_t i = 0; i < a->n; i++)
        if (a->list[i] < 0 || a->list[i] >= size || (i > 0 && a->list[i] <= a->list[i - 1]))
            return false;
    return true;
}

static bool axis_take(struct axis *a, const struct kn_range *r, const struct kn_view *list,
                      int64_t size)
{
    if (!call_absent(list))
        return axis_list(a, list, size);
    a->start = r->start, a->step = r->step, a->n = r->n;
    if (r->step == 0)
        a->start = 0, a->step = 1, a->n = size;
    return a->start >= 0 && a->step > 0 && a->n >= 0 &&
           (a->n == 0 || a->start + (a->n - 1) * a->step < size);
}

/* The selection of a call that changes its output in place; `lines`: the last axis is whole. */
static bool edit_job(struct edit_job *j, const struct kn_call *call, bool lines)
{
    const struct kn_view *out = &call->out[0];
    int last = out->ndim - 1, lead = KN_SELECT_MAX - 1 - last;
    *j = (struct edit_job){.p = &call->p, .out = out->data, .by_place = call->p.by_place};
    if (last < 0 || lead < 0 || out->dtype != KN_F32 || (call->p.causal && last < 1) ||
        call->p.dest0 < 0)
        return false;
    if (lines && (!call_absent(&call->in[1 + last]) || call->p.range[last].step))
        return false;
    for (int i = 0; i < lead; i++)
        j->axis[i] = (struct axis){.step = 1, .n = 1};
    for (int i = 0; i <= last; i++) {
        struct axis *a = &j->axis[lead + i];
        if ((out->stride[i] == 0 && out->shape[i] > 1) ||
            !axis_take(a, &call->p.range[i], &call->in[1 + i], out->shape[i]))
            return false;
        a->out = out->stride[i];
    }
    for (int i = last + 1; i < KN_SELECT_MAX; i++)
        if (!call_absent(&call->in[1 + i]) || call->p.range[i].step)
            return false;
    j->len = out->shape[last];
    return true;
}

/* The values: one for each element of `out`, or for each selected one. */
static bool edit_values(struct edit_job *j, const struct kn_call *call)
{
    const struct kn_view *v = &call->in[0], *out = &call->out[0];
    int lead = KN_SELECT_MAX - out->ndim;
    if (v->dtype != KN_F32 || v->ndim != out->ndim)
        return false;
    for (int i = 0; i < v->ndim; i++) {
        struct axis *a = &j->axis[lead + i];
        if (v->shape[i] != (j->by_place ? out->shape[i] : a->n))
            return false;
        a->value = v->stride[i];
    }
    j->value = v->data;
    return true;
}

static int64_t edit_lines(const struct edit_job *j)
{
    return j->axis[0].n * j->axis[1].n;
}

/* A line of the selection: where it begins in out and in the values, and how long it may be. */
struct line {
    float *x;
    const float *value;
    int64_t end; /* elements from here on are not the line's */
};

static struct line edit_line(const struct edit_job *j, int64_t i)
{
    int64_t a = i / j->axis[1].n, b = i % j->axis[1].n, row = place(&j->axis[1], b);
    struct line l = {.x = j->out + place(&j->axis[0], a) * j->axis[0].out + row * j->axis[1].out,
                     .end = j->len};
    if (j->value)
        l.value = j->value + value_at(j, 0, a) + value_at(j, 1, b);
    if (j->p->causal && j->p->dest0 + row + 1 < l.end)
        l.end = j->p->dest0 + row + 1;
    return l;
}

static float edited(const struct kn_param *p, float x, float v)
{
    switch (p->edit) {
    case KN_EDIT_ADD: return x + v;
    case KN_EDIT_MULTIPLY: return x * v;
    case KN_EDIT_CLAMP: return x < p->lo ? p->lo : x > p->hi ? p->hi : x;
    case KN_EDIT_CLAMP_VJP: return v < p->lo || v > p->hi ? 0 : x;
    default: return v;
    }
}

static void edit_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct edit_job *j = ctx;
    const struct axis *a = &j->axis[2];
    float scale = j->p->edit == KN_EDIT_CLAMP_VJP ? 1 : j->p->scale;
    for (int64_t u = first; u < end; u++) {
        struct line l = edit_line(j, u);
        for (int64_t i = 0; i < a->n && place(a, i) < l.end; i++) {
            float *x = l.x + place(a, i) * a->out,
                  v = l.value ? l.value[value_at(j, 2, i)] : j->p->number;
            *x = edited(j->p, *x, scale == 1 ? v : v * scale); /* not even a NaN's bits change */
        }
    }
}

enum kn_status cpu_EDIT(struct cpu *c, const struct kn_call *call)
{
    struct edit_job j;
    bool given = !call_absent(&call->in[0]);
    if ((unsigned)call->p.edit >= KN_EDIT_COUNT || !edit_job(&j, call, false) ||
        (given && !edit_values(&j, call)) || (call->p.edit == KN_EDIT_CLAMP_VJP && !given))
        return KN_BAD_CALL;
    return cpu_each(c, edit_lines(&j), j.axis[2].n * 2, edit_units, &j);
}

static void hide_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct kn_call *call = ctx;
    const struct kn_view *out = &call->out[0];
    for (int64_t u = first; u < end; u++) {
        int64_t h = u / out->shape[1], d = u % out->shape[1];
        float *x = kn_f32(out) + h * out->stride[0] + d * out->stride[1];
        for (int64_t s = call->p.dest0 + d + 1; s < out->shape[2]; s++)
            x[s * out->stride[2]] = call->p.number;
    }
}

enum kn_status cpu_HIDE(struct cpu *c, const struct kn_call *call)
{
    struct kn_call own = *call;
    const struct kn_view *out = &call->out[0];
    if (out->dtype != KN_F32 || out->ndim != 3 || call->p.dest0 < 0)
        return KN_BAD_CALL;
    return cpu_each(c, out->shape[0] * out->shape[1], out->shape[2], hide_units, &own);
}

static void project_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct edit_job *j = ctx;
    int64_t step = j->axis[2].out;
    for (int64_t u = first; u < end; u++) {
        float *x = edit_line(j, u).x;
        double along = 0;
        for (int64_t i = 0; i < j->len; i++)
            along += (double)x[i * step] * (double)j->value[i];
        for (int64_t i = 0; i < j->len; i++)
            x[i * step] = (float)((double)x[i * step] - along * (double)j->value[i]);
    }
}

enum kn_status cpu_PROJECT(struct cpu *c, const struct kn_call *call)
{
    struct edit_job j;
    const struct kn_view *d = &call->in[0];
    if (!edit_job(&j, call, true) || call->p.causal || !call_is(d, KN_F32, 1) ||
        d->shape[0] != j.len)
        return KN_BAD_CALL;
    j.value = d->data; /* its axes have stride 0: the same for every line */
    return cpu_each(c, edit_lines(&j), j.len * 2, project_units, &j);
}

static void renormalize_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct edit_job *j = ctx;
    int64_t step = j->axis[2].out;
    for (int64_t u = first; u < end; u++) {
        struct line l = edit_line(j, u);
        double sum = 0;
        for (int64_t i = 0; i < l.end; i++)
            sum += (double)l.x[i * step];
        for (int64_t i = 0; i < l.end; i++)
            l.x[i * step] = (float)((double)l.x[i * step] / sum);
    }
}

enum kn_status cpu_RENORMALIZE(struct cpu *c, const struct kn_call *call)
{
    struct edit_job j;
    if (!call_absent(&call->in[0]) || !edit_job(&j, call, true))
        return KN_BAD_CALL;
    return cpu_each(c, edit_lines(&j), j.len * 2, renormalize_units, &j);
}

/* y = x / S, S = the sum of x: dx = (dy - sum of dy * y) / S. */
static void renormalize_vjp_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct edit_job *j = ctx;
    int64_t step = j->axis[2].out, apart = j->axis[2].value;
    for (int64_t u = first; u < end; u++) {
        struct line l = edit_line(j, u);
        double sum = 0, along = 0;
        for (int64_t i = 0; i < l.end; i++) {
            sum += (double)l.value[i * apart];
            along += (double)l.x[i * step] * (double)l.value[i * apart];
        }
        for (int64_t i = 0; i < l.end; i++)
            l.x[i * step] = (float)(((double)l.x[i * step] - along / sum) / sum);
    }
}

enum kn_status cpu_RENORMALIZE_VJP(struct cpu *c, const struct kn_call *call)
{
    struct edit_job j;
    if (!edit_job(&j, call, true))
        return KN_BAD_CALL;
    j.by_place = true;
    if (!edit_values(&j, call))
        return KN_BAD_CALL;
    return cpu_each(c, edit_lines(&j), j.len * 3, renormalize_vjp_units, &j);
}
