/* run_apply.c - see run_apply.h.
 *
 * Selected rows that follow one another are one call; on the other axes a list of indices becomes
 * an operand, as the values do, for the time of the call. */
#include "run/run_apply.h"

#include <assert.h>

#include "edit/edit_whiten.h"

static const struct {
    enum kn_edit edit;
    float sign;
} OPERATORS[EDIT_OP_COUNT] = {
    [EDIT_SET] = {KN_EDIT_SET, 1},
    [EDIT_ADD] = {KN_EDIT_ADD, 1},
    [EDIT_SUB] = {KN_EDIT_ADD, -1},
    [EDIT_MUL] = {KN_EDIT_MULTIPLY, 1},
};

static bool sees_past_only(const struct edit_instr *instr)
{
    return !instr->full && site_is_attention(instr->site.id);
}

/* The axis that rows are counted on; a weight is always whole. */
static int row_axis(const struct edit_instr *instr)
{
    return instr->weight ? -1 : site_row_axis(instr->site.id);
}

/* How many of the selected values are below x. */
static int32_t count_below(const struct edit_axis *a, int64_t x)
{
    if (!a->list)
        return (int32_t)(x <= a->lo ? 0 : x - a->lo < a->n ? x - a->lo : a->n);
    int32_t lo = 0, hi = a->n;
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (a->list[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* A call under way: operands that live as long as it does. */
struct making {
    struct kn_backend *be;
    const struct edit_instr *instr;
    struct kn_call c;
    bool own[KN_IN_MAX];
};

static enum kn_status bring(struct making *m, int in, const struct kn_view *host)
{
    m->own[in] = true;
    return m->be->type->import(m->be, host, &m->c.in[in]);
}

static int finish(struct making *m, enum kn_status st, struct err *e)
{
    st = st ? st : kn_run(m->be, &m->c);
    for (int i = 0; i < KN_IN_MAX; i++)
        if (m->own[i])
            m->be->type->forget(m->be, &m->c.in[i]);
    return run_status(st, e);
}

/* What axis i selects of the view; *n: how many. */
static enum kn_status select_axis(struct making *m, int i, int64_t *n)
{
    const struct edit_axis *a = &m->instr->axis[i];
    int32_t count = count_below(a, m->c.out[0].shape[i]);
    *n = count;
    if (!a->list || !count) {
        m->c.p.range[i] = (struct kn_range){a->list ? 0 : a->lo, 1, count};
        return KN_OK;
    }
    struct kn_view list = kn_view1((void *)(uintptr_t)a->list, KN_I32, count);
    return bring(m, 1 + i, &list);
}

/* Axes 0 .. n_axes-1 of the selection; n[i]: how many on each. */
static enum kn_status select_axes(struct making *m, int n_axes, int64_t n[SITE_RANK_MAX])
{
    enum kn_status st = KN_OK;
    for (int i = 0; !st && i < n_axes; i++) {
        n[i] = m->c.out[0].shape[i];
        if (i != row_axis(m->instr)) /* rows are cut to what is selected */
            st = select_axis(m, i, &n[i]);
    }
    return st;
}

/* The i-th selected takes the i-th of the vector; `first` rows are selected before these. */
static enum kn_status bring_vector(struct making *m, const int64_t n[SITE_RANK_MAX], int32_t first)
{
    const struct edit_instr *instr = m->instr;
    int rows = row_axis(instr);
    struct kn_view v = {
        .data = (void *)(uintptr_t)instr->vec, .dtype = KN_F32, .ndim = instr->rank};
    for (int i = 0; i < instr->rank; i++)
        v.shape[i] = n[i], v.stride[i] = instr->vec_stride[i];
    v.first = rows < 0 ? 0 : first * instr->vec_stride[rows];
    return bring(m, 0, &v);
}

/* Rows of a site that are all selected, the first of them at position row0, become what the
 * instruction says. */
static int change(struct kn_backend *be, const struct edit_instr *instr, struct kn_view v,
                  int32_t row0, int32_t first, const struct kn_view *src, struct err *e)
{
    bool clamps = instr->value == EDIT_CLAMP;
    float factor = instr->value == EDIT_NUMBER ? 1.0f : instr->number;
    struct making m = {.be = be, .instr = instr, .c = {.op = KN_OP_EDIT, .out = {v}}};
    struct kn_param *p = &m.c.p;
    int64_t n[SITE_RANK_MAX];
    assert(!clamps || (instr->op == EDIT_SET && factor == 1.0f));
    if (src) {
        m.c.in[0] = *src;
        for (int i = 0; i < v.ndim; i++) { /* a source may know fewer positions, or more */
            int64_t both = v.shape[i] < src->shape[i] ? v.shape[i] : src->shape[i];
            m.c.in[0] = kn_slice(m.c.in[0], i, 0, both);
            m.c.out[0] = kn_slice(m.c.out[0], i, 0, both);
        }
    }
    p->edit = clamps ? KN_EDIT_CLAMP : OPERATORS[instr->op].edit;
    p->scale = factor * OPERATORS[instr->op].sign;
    p->number = instr->number, p->lo = instr->lo, p->hi = instr->hi;
    p->by_place = src != NULL;
    p->causal = sees_past_only(instr), p->dest0 = row0;
    enum kn_status st = select_axes(&m, instr->rank, n);
    if (!st && instr->vec)
        st = bring_vector(&m, n, first);
    return finish(&m, st, e);
}

static int project(struct kn_backend *be, const struct edit_instr *instr, struct kn_view v,
                   struct err *e)
{
    struct making m = {.be = be, .instr = instr, .c = {.op = KN_OP_PROJECT, .out = {v}}};
    struct kn_view d = kn_view1((void *)(uintptr_t)instr->vec, KN_F32, v.shape[v.ndim - 1]);
    int64_t n[SITE_RANK_MAX];
    enum kn_status st = select_axes(&m, instr->rank - 1, n);
    return finish(&m, st ? st : bring(&m, 0, &d), e);
}

/* Lines over their sums; value: instead the gradients of lines that it holds. */
static int renormalize(struct kn_backend *be, const struct edit_instr *instr, struct kn_view v,
                       int32_t row0, const struct kn_view *value, struct err *e)
{
    struct making m = {.be = be, .instr = instr, .c = {.op = KN_OP_RENORMALIZE, .out = {v}}};
    int64_t n[SITE_RANK_MAX];
    m.c.p.causal = sees_past_only(instr), m.c.p.dest0 = row0;
    if (value)
        m.c.op = KN_OP_RENORMALIZE_VJP, m.c.in[0] = *value;
    return finish(&m, select_axes(&m, instr->rank - 1, n), e);
}

/* Selected rows that follow one another. */
struct rows {
    int32_t lo, hi, first; /* positions; how many are selected before them */
};

/* The next ones in [row0, row1) from hi on; false: there are none. */
static bool rows_next(const struct edit_axis *a, int32_t row1, struct rows *r)
{
    r->first = count_below(a, r->hi);
    if (r->first == a->n)
        return false;
    r->lo = a->list ? a->list[r->first] : a->lo + r->first;
    int32_t i = r->first + 1;
    while (a->list && i < a->n && a->list[i] == a->list[i - 1] + 1)
        i++;
    r->hi = a->list ? a->list[i - 1] + 1 : a->lo + a->n;
    r->hi = r->hi < row1 ? r->hi : row1;
    return r->lo < r->hi;
}

static struct kn_view rows_of(const struct kn_view *v, int axis, const struct rows *r, int32_t row0)
{
    return axis < 0 ? *v : kn_slice(*v, axis, r->lo - row0, r->hi - row0);
}

/* What no operation does. */
static int on_host(struct kn_backend *be, const struct edit_instr *instr, const struct kn_view *v,
                   int32_t row0, struct err *e)
{
    struct host_view h;
    int rc = host_view_get(&h, be, v, e);
    if (!rc && instr->value == EDIT_NOISE)
        edit_noise_apply(instr, &h.v, row0);
    else if (!rc && edit_whiten_apply(instr, &h.v, row0))
        rc = err_memory(e, "edits");
    return host_view_end(&h, be, rc, e);
}

int run_apply(struct kn_backend *be, const struct edit_instr *instr, const struct kn_view *v,
              int32_t row0, const struct kn_view *src, struct err *e)
{
    int axis = row_axis(instr);
    bool reads = edit_reads_source(instr->value), hosted = edit_is_hosted(instr->value);
    assert(v->ndim == instr->rank && (!reads || src) &&
           (instr->value != EDIT_MEAN_REF || instr->vec));
    int rc = hosted ? on_host(be, instr, v, row0, e) : 0;
    int32_t row1 = axis < 0 ? row0 + 1 : row0 + (int32_t)v->shape[axis];
    static const struct edit_axis whole = {.n = 1};
    for (struct rows r = {.hi = row0};
         !rc && rows_next(axis < 0 ? &whole : &instr->axis[axis], row1, &r);) {
        struct kn_view at = rows_of(v, axis, &r, row0), from = {0};
        if (reads)
            from = rows_of(src, axis, &r, row0);
        if (instr->value == EDIT_PROJECT_OUT)
            rc = project(be, instr, at, e);
        else if (!hosted)
            rc = change(be, instr, at, r.lo, r.first, reads ? &from : NULL, e);
        if (!rc && instr->renormalize)
            rc = renormalize(be, instr, at, r.lo, NULL, e);
    }
    return rc;
}

/* Gradients of rows that are all selected: zero where the value lies outside the bounds. */
static int clamp_back(struct kn_backend *be, const struct edit_instr *instr, struct kn_view g,
                      int32_t row0, const struct kn_view *value, struct err *e)
{
    struct making m = {
        .be = be, .instr = instr, .c = {.op = KN_OP_EDIT, .out = {g}, .in = {*value}}};
    struct kn_param *p = &m.c.p;
    int64_t n[SITE_RANK_MAX];
    p->edit = KN_EDIT_CLAMP_VJP, p->lo = instr->lo, p->hi = instr->hi;
    p->by_place = true, p->causal = sees_past_only(instr), p->dest0 = row0;
    return finish(&m, select_axes(&m, instr->rank, n), e);
}

typedef int back_fn(struct kn_backend *be, const struct edit_instr *instr, struct kn_view g,
                    int32_t row0, const struct kn_view *value, struct err *e);

static int rows_back(back_fn *back, struct kn_backend *be, const struct edit_instr *instr,
                     const struct kn_view *g, int32_t row0, const struct kn_view *value,
                     struct err *e)
{
    int axis = row_axis(instr), rc = 0;
    int32_t row1 = row0 + (int32_t)g->shape[axis];
    for (struct rows r = {.hi = row0}; !rc && rows_next(&instr->axis[axis], row1, &r);) {
        struct kn_view from = rows_of(value, axis, &r, row0);
        rc = back(be, instr, rows_of(g, axis, &r, row0), r.lo, &from, e);
    }
    return rc;
}

int run_clamp_back(struct kn_backend *be, const struct edit_instr *instr, const struct kn_view *g,
                   int32_t row0, const struct kn_view *value, struct err *e)
{
    return rows_back(clamp_back, be, instr, g, row0, value, e);
}

int run_renormalize_back(struct kn_backend *be, const struct edit_instr *instr,
                         const struct kn_view *g, int32_t row0, const struct kn_view *value,
                         struct err *e)
{
    return rows_back(renormalize, be, instr, g, row0, value, e);
}
