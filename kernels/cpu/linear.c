/* linear.c - linear, linears, head_result, result_patch: products with weights where they lie.
 *
 * A call is cut into units of UNIT_COLUMNS columns or more of one group by a block of rows.
 * How it is cut never changes a bit of the result (row_gemm.h), so the cut is free to follow the
 * number of threads.
 */
#include "tiled.h"

#include <string.h>

struct linear {
    const struct isa *isa;
    struct gemm g;                       /* the first group; n = columns of one group */
    int64_t groups;                      /* of columns */
    int64_t x_group, w_group, out_group; /* from one to the next, in elements */
    bool nk;                             /* weights contiguous along k, else along n */
    const struct kn_view *bias;          /* or NULL */
    int64_t bias_group;
    enum kn_act act;
    struct call_rows add; /* data NULL: nothing */
    int64_t column_units, row_units, unit_columns, unit_rows;
    bool all_groups;      /* a unit takes its columns through all groups */
    int64_t packed_group; /* bytes of packed rows of a group */
};

enum {
    UNIT_COLUMNS = 64, /* the least */
    LINEAR_FLOATS = GEMM_PACK + GEMM_PART
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Weights of n columns by k with these strides; false unless one of them is 1. */
static bool linear_weights(struct linear *l, const struct kn_view *w, int64_t n, int64_t k,
                           int64_t n_stride, int64_t k_stride)
{
    l->nk = k_stride == 1 || k == 1;
    if (!call_is_matrix(w) || n < 1 || k < 1 || !(l->nk || n_stride == 1 || n == 1))
        return false;
    l->g.w = w->data;
    l->g.w_first = w->first;
    l->g.w_type = w->dtype;
    l->g.w_stride = l->nk ? n_stride : k_stride;
    l->g.n = n;
    l->g.k = k;
    return true;
}

/* The product of columns [lo, hi) of one group and rows [row, row + m). */
static void linear_multiply(const struct linear *l, int64_t group, int64_t lo, int64_t hi,
                            int64_t row, int64_t m, float *out, int64_t out_stride, float *scratch)
{
    struct gemm g = l->g;
    int64_t skip = group * l->w_group + lo * (l->nk ? l->g.w_stride : 1);
    g.x += group * l->x_group + row * g.x_stride;
    gemm_skip(&g, skip);
    g.m = m;
    g.n = hi - lo;
    g.out = out;
    g.out_stride = out_stride;
    g.pack = scratch;
    g.part = scratch + GEMM_PACK;
    if (l->isa->tiles) {
        g.packed += group * l->packed_group + tiled_row(&g, row);
        tiled_gemm(l->isa, &g, l->nk);
    } else if (l->nk)
        l->isa->gemm_nk(&g);
    else
        l->isa->gemm_kn(&g);
}

static void linear_bias(const struct linear *l, int64_t group, int64_t lo, int64_t hi, int64_t m,
                        float *out)
{
    float bias[GEMM_FEW_COLUMNS];
    l->isa->widen(bias, l->bias->data, l->bias->dtype, group * l->bias_group + lo, hi - lo);
    for (int64_t i = 0; i < m; i++)
        for (int64_t n = 0; n < hi - lo; n++)
            out[i * l->g.out_stride + n] += bias[n];
}

struct unit {
    int64_t group, lo, hi, row, m;
};

/* What is left to do with a product, while it is in the cache. */
static void linear_finish(const struct linear *l, const struct unit *u, float *out)
{
    int64_t n = u->hi - u->lo;
    for (int64_t i = 0; i < u->m; i++, out += l->g.out_stride) {
        if (l->act)
            l->isa->act(out, out, NULL, n, l->act);
        const float *add = l->add.data ? cpu_row(&l->add, u->row + i) + u->group * l->g.n + u->lo
                                       : NULL;
        for (int64_t k = 0; add && k < n; k++)
            out[k] = add[k] + out[k];
    }
}

static struct unit linear_unit(const struct linear *l, int64_t u)
{
    /* Rows vary fastest: threads then share a panel of weights in a common cache. */
    int64_t row = u % l->row_units * l->unit_rows, columns = u / l->row_units;
    int64_t lo = columns % l->column_units * l->unit_columns;
    return (struct unit){columns / l->column_units, lo, least(lo + l->unit_columns, l->g.n), row,
                         least(l->unit_rows, l->g.m - row)};
}

static void linear_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct linear *l = ctx;
    for (int64_t i = first; i < end; i++) {
        struct unit u = linear_unit(l, i);
        float *out = l->g.out + u.group * l->out_group + u.row * l->g.out_stride + u.lo;
        linear_multiply(l, u.group, u.lo, u.hi, u.row, u.m, out, l->g.out_stride, scratch);
        if (l->bias)
            linear_bias(l, u.group, u.lo, u.hi, u.m, out);
        if (l->act || l->add.data)
            linear_finish(l, &u, out);
    }
}

/* Cut the columns, and the rows only if that does not make enough units to keep the threads busy to
 * the end: rows share the weights.  A unit is wide, since that is how memory is read best.
 * `beside`: columns of products that are made at the same time. */
static void linear_cut(struct linear *l, int64_t groups, int64_t beside, int threads,
                       int64_t rows_max)
{
    enum { ROWS_MIN = 24 };
    bool few = !l->nk && !l->all_groups && l->g.m <= GEMM_FEW;
    int64_t wanted = (int64_t)(few ? 2 : 3) * threads;
    int64_t width = (groups * l->g.n + beside) / wanted / UNIT_COLUMNS * UNIT_COLUMNS;
    width = least(width, few ? GEMM_FEW_COLUMNS : GEMM_COLUMNS);
    l->unit_columns = width < UNIT_COLUMNS ? UNIT_COLUMNS : width;
    l->column_units = (l->g.n + l->unit_columns - 1) / l->unit_columns;
    bool whole = l->nk && !l->isa->tiles;
    l->unit_rows = least(l->g.m, least(rows_max, whole ? rows_max : GEMM_ROWS));
    int64_t units = groups * l->column_units + beside / l->unit_columns;
    while (l->unit_rows > ROWS_MIN && units * ((l->g.m + l->unit_rows - 1) / l->unit_rows) < wanted)
        l->unit_rows = (l->unit_rows + 1) / 2;
    if (l->isa->tiles)
        l->unit_rows = (l->unit_rows + 15) / 16 * 16;
    l->row_units = (l->g.m + l->unit_rows - 1) / l->unit_rows;
}

/* A product costs a sixteenth of an element touched. */
static int64_t linear_cost(const struct linear *l)
{
    return (l->unit_rows + 1) * least(l->g.n, l->unit_columns) * l->g.k *
           (l->all_groups ? l->groups : 1) / 16;
}

/* Products of the same rows, whose tiles want them packed: once for each layout of weights. */
static enum kn_status linear_pack(struct cpu *c, struct linear *l, int n)
{
    size_t bytes = 0, at[2] = {0};
    struct linear *first[2] = {NULL};
    for (int i = 0; i < n && c->isa->tiles; i++) {
        size_t group = tiled_plan(c->isa, &l[i].g);
        l[i].packed_group = l[i].x_group ? (int64_t)group : 0;
        if (first[l[i].nk])
            continue;
        first[l[i].nk] = &l[i];
        at[l[i].nk] = bytes;
        bytes += group * (l[i].x_group ? (size_t)l[i].groups : 1);
    }
    enum kn_status st = tiled_reserve(c, bytes);
    for (int i = 0; i < n && bytes; i++)
        l[i].g.packed = c->packed + at[l[i].nk];
    for (int nk = 0; nk < 2 && st == KN_OK; nk++)
        if (first[nk])
            st = tiled_pack(c, &first[nk]->g, nk, first[nk]->x_group ? first[nk]->groups : 1,
                            first[nk]->x_group, c->packed + at[nk]);
    return st;
}

static enum kn_status linear_run(struct cpu *c, struct linear *l, cpu_units_fn *fn,
                                 int64_t rows_max, size_t scratch)
{
    l->isa = c->isa;
    if (l->g.m == 0)
        return KN_OK;
    int64_t groups = l->all_groups ? 1 : l->groups;
    linear_cut(l, groups, 0, pool_threads(c->pool), rows_max);
    if (!pool_reserve(c->pool, scratch))
        return KN_OUT_OF_MEMORY;
    enum kn_status st = linear_pack(c, l, 1);
    return st != KN_OK
               ? st
               : cpu_each(c, groups * l->column_units * l->row_units, linear_cost(l), fn, l);
}

/* The bias's elements, if its shape is that of the columns. */
static bool linear_take_bias(struct linear *l, const struct kn_view *b)
{
    if (call_absent(b))
        return true;
    l->bias = b;
    l->bias_group = b->ndim == 2 ? b->stride[0] : l->g.n;
    if (!call_is_weight(b) || b->ndim > 2 || !call_is(b, b->dtype, b->ndim))
        return false;
    return b->ndim == 2 ? b->shape[0] == l->groups && b->shape[1] == l->g.n
                        : b->shape[0] == l->groups * l->g.n;
}

/* What follows the product, where the call says it. */
static bool linear_take_finish(struct linear *l, const struct kn_call *call)
{
    const struct kn_view *add = &call->in[3];
    struct call_rows out;
    if (call_absent(add) && !call->p.act)
        return true;
    l->act = call->p.act;
    if ((unsigned)l->act >= KN_ACT_COUNT || !call_rows(&call->out[0], KN_F32, &out))
        return false;
    return call_absent(add) ||
           (call_rows(add, KN_F32, &l->add) && l->add.n == out.n && l->add.len == out.len);
}

/* The product of rows x by the weights w, to `out`. */
static bool linear_take(struct linear *l, const struct kn_view *x_view, const struct kn_view *w,
                        const struct kn_view *bias, const struct kn_view *out)
{
    struct call_rows x;
    if (!call_rows(x_view, KN_F32, &x) || (w->ndim != 2 && w->ndim != 3) ||
        (out->ndim != 2 && out->ndim != 3) || !call_is(out, KN_F32, out->ndim))
        return false;
    int64_t n_axis = w->ndim - 2, all = w->shape[n_axis] * (w->ndim == 3 ? w->shape[0] : 1);
    l->groups = w->ndim == 3 ? w->shape[0] : out->ndim == 3 ? out->shape[1] : 1;
    if (l->groups < 1 || all % l->groups != 0 || out->shape[0] != x.n ||
        x.len != w->shape[w->ndim - 1])
        return false;
    int64_t n = all / l->groups;
    if (out->ndim == 3 ? out->shape[1] != l->groups || out->shape[2] != n : out->shape[1] != all)
        return false;
    if (!linear_weights(l, w, n, x.len, w->stride[n_axis], w->stride[w->ndim - 1]) ||
        !linear_take_bias(l, bias))
        return false;
    l->g.x = x.data;
    l->g.x_stride = x.stride;
    l->g.m = x.n;
    l->g.out = out->data;
    l->g.out_stride = out->stride[0];
    l->w_group = w->ndim == 3 ? w->stride[0] : n * w->stride[n_axis];
    l->out_group = out->ndim == 3 ? out->stride[1] : n;
    if (l->w_group == n * w->stride[n_axis] && l->out_group == n &&
        (!l->bias || l->bias_group == n)) {
        l->g.n = all; /* the groups lie side by side everywhere */
        l->groups = 1;
    }
    return true;
}

enum kn_status cpu_LINEAR(struct cpu *c, const struct kn_call *call)
{
    struct linear l = {0};
    if (!linear_take(&l, &call->in[0], &call->in[1], &call->in[2], &call->out[0]) ||
        !linear_take_finish(&l, call))
        return KN_BAD_CALL;
    return linear_run(c, &l, linear_units, INT64_MAX, LINEAR_FLOATS * sizeof(float));
}

/* Products of the same rows. */
struct linears {
    struct linear of[KN_OUT_MAX];
    int64_t end[KN_OUT_MAX]; /* of the units of each, counted through */
    int n;
};

static void linears_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct linears *all = ctx;
    for (int i = 0; i < all->n; i++) {
        int64_t begin = i ? all->end[i - 1] : 0;
        int64_t lo = first > begin ? first : begin, hi = least(end, all->end[i]);
        if (lo < hi)
            linear_units((void *)(uintptr_t)&all->of[i], lo - begin, hi - begin, scratch);
    }
}

enum kn_status cpu_LINEARS(struct cpu *c, const struct kn_call *call)
{
    struct linears all = {.n = call_absent(&call->in[5]) ? 2 : 3};
    int64_t columns = 0, cost = 0;
    if (call->p.act || (all.n == 2 && !(call_absent(&call->out[2]) && call_absent(&call->in[6]))))
        return KN_BAD_CALL;
    for (int i = 0; i < all.n; i++) {
        struct linear *l = &all.of[i];
        if (!linear_take(l, &call->in[0], &call->in[1 + 2 * i], &call->in[2 + 2 * i],
                         &call->out[i]))
            return KN_BAD_CALL;
        l->isa = c->isa;
        columns += l->groups * l->g.n;
    }
    if (all.of[0].g.m == 0)
        return KN_OK;
    for (int i = 0; i < all.n; i++) {
        struct linear *l = &all.of[i];
        linear_cut(l, l->groups, columns - l->groups * l->g.n, pool_threads(c->pool), INT64_MAX);
        all.end[i] = (i ? all.end[i - 1] : 0) + l->groups * l->column_units * l->row_units;
        cost = linear_cost(l) > cost ? linear_cost(l) : cost;
    }
    if (!pool_reserve(c->pool, LINEAR_FLOATS * sizeof(float)))
        return KN_OUT_OF_MEMORY;
    enum kn_status st = linear_pack(c, all.of, all.n);
    return st != KN_OK ? st : cpu_each(c, all.end[all.n - 1], cost, linears_units, &all);
}

/* z [r,H,dh] by W_O [D,H*dh]: the heads are the groups, each with its own columns of W_O. */
static bool linear_heads(struct linear *l, const struct kn_view *z, const struct kn_view *w)
{
    if (!call_is(z, KN_F32, 3) || w->ndim != 2 || w->shape[1] != z->shape[1] * z->shape[2])
        return false;
    l->groups = z->shape[1];
    if (!linear_weights(l, w, w->shape[0], z->shape[2], w->stride[0], w->stride[1]))
        return false;
    /* One element per head reads as contiguous either way, but the heads' stride may say otherwise.
     */
    l->w_group = z->shape[2] * w->stride[1];
    l->g.x = z->data;
    l->g.x_stride = z->stride[0];
    l->x_group = z->stride[1];
    l->g.m = z->shape[0];
    return true;
}

/* Tiles are wide. */
static int64_t head_columns(const struct linear *l)
{
    return l->isa->tiles ? 32 : 4;
}

/* Weights in blocks, whose heads are short pieces of rows and may begin inside of a block: a few
 * columns are decoded for all heads. */
static void head_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct linear *l = ctx;
    int64_t len = l->groups * l->g.k;
    float *w = (float *)scratch + LINEAR_FLOATS;
    for (int64_t i = first; i < end; i++) {
        struct unit u = linear_unit(l, i);
        struct linear of = *l;
        of.g.w = w, of.g.w_first = 0, of.g.w_type = KN_F32;
        of.g.w_stride = len, of.w_group = l->g.k;
        for (int64_t n = u.lo, cols; n < u.hi; n += cols) {
            cols = least(head_columns(l), u.hi - n);
            for (int64_t j = 0; j < cols; j++)
                l->isa->widen(w + j * len, l->g.w, l->g.w_type,
                              l->g.w_first + (n + j) * l->g.w_stride, len);
            for (int64_t h = 0; h < l->groups; h++)
                linear_multiply(&of, h, 0, cols, u.row, u.m,
                                l->g.out + h * l->out_group + u.row * l->g.out_stride + n,
                                l->g.out_stride, scratch);
        }
    }
}

enum kn_status cpu_HEAD_RESULT(struct cpu *c, const struct kn_call *call)
{
    const struct kn_view *out = &call->out[0];
    struct linear l = {.isa = c->isa};
    if (!linear_heads(&l, &call->in[0], &call->in[1]) || !call_is(out, KN_F32, 3) ||
        out->shape[0] != l.g.m || out->shape[1] != l.groups || out->shape[2] != l.g.n)
        return KN_BAD_CALL;
    l.g.out = out->data;
    l.g.out_stride = out->stride[0];
    l.out_group = out->stride[1];
    size_t floats = LINEAR_FLOATS;
    l.all_groups = l.nk && kn_dtype_block(l.g.w_type) > 1;
    if (l.all_groups)
        floats += (size_t)(head_columns(&l) * l.groups * l.g.k);
    return linear_run(c, &l, l.all_groups ? head_units : linear_units, INT64_MAX,
                      floats * sizeof(float));
}

struct patch {
    struct linear l; /* first: linear_run sees only this */
    const struct kn_view *result;
};

enum { PATCH_ROWS = 32, PATCH_FLOATS = PATCH_ROWS * GEMM_COLUMNS };

/* sum += result - product; nothing where the two are the same, Inf and NaN included */
static void patch_add(float *sum, const float *result, const float *product, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        bool both_nan = result[i] != result[i] && product[i] != product[i];
        sum[i] += result[i] == product[i] || both_nan ? 0 : result[i] - product[i];
    }
}

static void patch_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct patch *p = ctx;
    const struct linear *l = &p->l;
    float *product = (float *)scratch + LINEAR_FLOATS, *sum = product + PATCH_FLOATS;
    for (int64_t i = first; i < end; i++) {
        struct unit u = linear_unit(l, i);
        memset(sum, 0, PATCH_FLOATS * sizeof *sum);
        for (int64_t h = 0; h < l->groups; h++) {
            linear_multiply(l, h, u.lo, u.hi, u.row, u.m, product, GEMM_COLUMNS, scratch);
            for (int64_t r = 0; r < u.m; r++)
                patch_add(sum + r * GEMM_COLUMNS,
                          (const float *)p->result->data + (u.row + r) * p->result->stride[0] +
                              h * p->result->stride[1] + u.lo,
                          product + r * GEMM_COLUMNS, u.hi - u.lo);
        }
        for (int64_t r = 0; r < u.m; r++) {
            float *out = l->g.out + (u.row + r) * l->g.out_stride + u.lo;
            for (int64_t n = 0; n < u.hi - u.lo; n++)
                if (sum[r * GEMM_COLUMNS + n] != 0) /* adding 0 would turn -0 into 0 */
                    out[n] += sum[r * GEMM_COLUMNS + n];
        }
    }
}

enum kn_status cpu_RESULT_PATCH(struct cpu *c, const struct kn_call *call)
{
    const struct kn_view *result = &call->in[0];
    struct patch p = {.result = result};
    struct call_rows out;
    if (!linear_heads(&p.l, &call->in[1], &call->in[2]) ||
        !call_rows(&call->out[0], KN_F32, &out) || out.n != p.l.g.m || out.len != p.l.g.n ||
        !call_is(result, KN_F32, 3) || result->shape[0] != out.n ||
        result->shape[1] != p.l.groups || result->shape[2] != out.len)
        return KN_BAD_CALL;
    p.l.g.out = out.data;
    p.l.g.out_stride = out.stride;
    p.l.all_groups = true;
    return linear_run(c, &p.l, patch_units, PATCH_ROWS,
                      (LINEAR_FLOATS + 2 * PATCH_FLOATS) * sizeof(float));
}
