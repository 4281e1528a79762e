/* lower_linear.c - linear, linears, head_result, result_patch.
 *
 * Few rows read weights in blocks where they lie; for more of them columns are decoded first, a
 * piece at a time, and multiplied as f32: the same bits. */
#include "lower.h"

#include <assert.h>
#include <string.h>

enum {
    ROWS_EACH = 3,         /* up to so many, one row is taken at a time */
    PIECE_BYTES = 64 << 20 /* of products or decoded weights */
};

static bool product_weights(struct gpu_product *q, const struct kn_view *w, int64_t n, int64_t k,
                            int64_t n_stride, int64_t k_stride)
{
    q->nk = k_stride == 1 || k == 1;
    if (!call_is_matrix(w) || n < 1 || k < 1 || !(q->nk || n_stride == 1 || n == 1))
        return false;
    q->w = w->data, q->first = w->first, q->type = w->dtype;
    q->n = n, q->k = k, q->w_stride = q->nk ? n_stride : k_stride;
    return true;
}

/* The kernel for weights, one row or eight at a time, of one product or of several joined. */
static enum gpu_kernel kernel_of(const struct gpu_product *q, bool each, bool join)
{
    if (!q->nk)
        return join ? (each ? GPU_linears_kn_1 : GPU_linears_kn_8)
                    : (each ? GPU_linear_kn_1 : GPU_linear_kn_8);
    switch (q->type) {
    case KN_F32:
        return join ? (each ? GPU_linears_f32_1 : GPU_linears_f32_8)
                    : (each ? GPU_linear_f32_1 : GPU_linear_f32_8);
    case KN_F16:
        return join ? (each ? GPU_linears_f16_1 : GPU_linears_f16_8)
                    : (each ? GPU_linear_f16_1 : GPU_linear_f16_8);
    case KN_BF16:
        return join ? (each ? GPU_linears_bf16_1 : GPU_linears_bf16_8)
                    : (each ? GPU_linear_bf16_1 : GPU_linear_bf16_8);
    case KN_Q8_0: return join ? GPU_linears_q8_0_1 : GPU_linear_q8_0_1;
    case KN_Q4_0: return join ? GPU_linears_q4_0_1 : GPU_linear_q4_0_1;
    case KN_Q4_1: return join ? GPU_linears_q4_1_1 : GPU_linear_q4_1_1;
    case KN_Q5_0: return join ? GPU_linears_q5_0_1 : GPU_linear_q5_0_1;
    case KN_Q5_1: return join ? GPU_linears_q5_1_1 : GPU_linear_q5_1_1;
    case KN_IQ4_NL: return join ? GPU_linears_iq4_nl_1 : GPU_linear_iq4_nl_1;
    case KN_IQ4_XS: return join ? GPU_linears_iq4_xs_1 : GPU_linear_iq4_xs_1;
    case KN_Q2_K: return join ? GPU_linears_q2_k_1 : GPU_linear_q2_k_1;
    case KN_Q3_K: return join ? GPU_linears_q3_k_1 : GPU_linear_q3_k_1;
    case KN_Q4_K: return join ? GPU_linears_q4_k_1 : GPU_linear_q4_k_1;
    case KN_Q5_K: return join ? GPU_linears_q5_k_1 : GPU_linear_q5_k_1;
    case KN_Q6_K: return join ? GPU_linears_q6_k_1 : GPU_linear_q6_k_1;
    case KN_MXFP4: return join ? GPU_linears_mxfp4_1 : GPU_linear_mxfp4_1;
    case KN_INT8: return join ? GPU_linears_int8_1 : GPU_linear_int8_1;
    case KN_NF4: return join ? GPU_linears_nf4_1 : GPU_linear_nf4_1;
    case KN_FP4: return join ? GPU_linears_fp4_1 : GPU_linear_fp4_1;
    case KN_I32:
    case KN_DTYPE_COUNT: break;
    }
    assert(false && "not a type of weights");
    return GPU_KERNEL_COUNT;
}

/* Can 8 weights of a lane, and 8 of x, be taken at once? */
static bool product_wide(const struct gpu_product *q)
{
    enum { BYTES = 16, STEP = 8 };
    bool x = (uintptr_t)q->x % BYTES == 0 && q->x_stride * 4 % BYTES == 0 &&
             q->x_group * 4 % BYTES == 0;
    if (kn_dtype_block(q->type) > 1)
        return x && q->first % STEP == 0 && q->w_stride % STEP == 0 && q->w_group % STEP == 0;
    int64_t size = (int64_t)kn_dtype_bytes(q->type);
    return x && ((intptr_t)q->w + q->first * size) % BYTES == 0 &&
           q->w_stride * size % BYTES == 0 && q->w_group * size % BYTES == 0;
}

static enum kn_status product_launch(struct gpu *g, const struct gpu_product *q)
{
    enum { COLUMNS = 8, MT = 8, NT = 4 };
    bool each = q->m <= ROWS_EACH || (q->nk && kn_dtype_block(q->type) > 1);
    int64_t columns = COLUMNS * (q->nk && !each ? NT : 1);
    linear_params p = {.y = q->y,
                       .x = q->x,
                       .w = q->w,
                       .b = q->b ? q->b->data : NULL,
                       .add = q->add,
                       .w_group = q->w_group,
                       .first = q->first,
                       .m = gpu_i32(q->m),
                       .n = gpu_i32(q->n),
                       .k = gpu_i32(q->k),
                       .y_stride = gpu_i32(q->y_stride),
                       .x_stride = gpu_i32(q->x_stride),
                       .w_stride = gpu_i32(q->w_stride),
                       .add_stride = q->add ? gpu_i32(q->add_stride) : -1,
                       .y_group = gpu_i32(q->y_group),
                       .x_group = gpu_i32(q->x_group),
                       .b_group = gpu_i32(q->b_group),
                       .b_type = q->b ? gpu_type(q->b) : -1,
                       .type = (i32)q->type,
                       .wide = product_wide(q),
                       .act = (i32)q->act};
    int64_t x = (q->n + columns - 1) / columns, y = each ? q->m : (q->m + MT - 1) / MT;
    return gpu_launch_all(g, kernel_of(q, each, false), &p, sizeof p, x, y, q->groups);
}

/* Are the groups pieces of the same rows of weights? */
static bool product_within(const struct gpu_product *q)
{
    return q->groups > 1 && q->w_group < q->w_stride;
}

/* Elements of a row to decode. */
static int64_t product_len(const struct gpu_product *q)
{
    return product_within(q) ? (q->groups - 1) * q->w_group + q->k : q->k;
}

/* Columns [lo, hi) of q as f32 in `to`, all groups together where they are pieces of the same rows:
 * the product by them, whose bias is *bias. */
static enum kn_status product_decode(struct gpu *g, const struct gpu_product *q, int64_t lo,
                                     int64_t hi, char *to, struct gpu_product *part,
                                     struct kn_view *bias)
{
    bool within = product_within(q);
    int64_t n = hi - lo, len = product_len(q);
    enum kn_status st = KN_OK;
    *part = *q;
    part->w = to, part->first = 0, part->type = KN_F32, part->n = n, part->w_stride = len;
    part->w_group = within ? q->w_group : n * len;
    part->y += lo * 4, part->add += q->add ? lo * 4 : 0;
    if (q->b) {
        *bias = kn_moved(*q->b, 0);
        bias->data = (char *)bias->data + kn_row_bytes(bias->dtype, lo);
        part->b = bias;
    }
    for (int64_t i = 0; i < (within ? 1 : q->groups) && !st; i++) {
        decode_params d = {.y = to + i * n * len * 4,
                           .w = q->w,
                           .first = q->first + i * q->w_group + lo * q->w_stride,
                           .len = gpu_i32(len),
                           .w_stride = gpu_i32(q->w_stride),
                           .type = (i32)q->type};
        if (!gpu_units(n, (len + 7) / 8, &d.units, &d.per_row))
            return KN_BAD_CALL;
        st = GPU_LAUNCH(g, decode, d, d.units, 1);
    }
    return st;
}

/* Are its weights decoded before they are multiplied? */
static bool product_decodes(const struct gpu_product *q)
{
    return q->nk && kn_dtype_block(q->type) > 1 && q->m > ROWS_EACH;
}

/* Products that matrix units do: the choice depends on the weights alone, never on the rows. */
static bool product_mma(const struct gpu *g, const struct gpu_product *q)
{
    enum { PIECE = 64, BYTES = 16 };
    return g->mma && q->nk && q->groups == 1 && (q->type == KN_BF16 || q->type == KN_F16) &&
           q->k % PIECE == 0 && (uintptr_t)q->w % BYTES == 0 && q->w_stride * 2 % BYTES == 0;
}

/* The kernel for a type, up to 8 rows or 32 at a time. */
static enum gpu_kernel mma_kernel(enum kn_dtype t, bool few)
{
    if (t == KN_BF16)
        return few ? GPU_linear_bf16_8_mma : GPU_linear_bf16_32_mma;
    return few ? GPU_linear_f16_8_mma : GPU_linear_f16_32_mma;
}

/* Rows of q's x as terms. */
static enum kn_status terms_launch(struct gpu *g, const struct gpu_product *q, char *terms)
{
    terms_params t = {.y = terms,
                      .x = q->x,
                      .m = gpu_i32(q->m),
                      .len = gpu_i32(q->k),
                      .x_stride = gpu_i32(q->x_stride)};
    return gpu_units(q->m, q->k, &t.units, &t.per_row) ? GPU_LAUNCH(g, terms, t, t.units, 1)
                                                       : KN_BAD_CALL;
}

/* Room for the terms of *rows of q's rows, NULL without memory. */
static char *mma_terms(struct gpu *g, const struct gpu_product *q, int64_t *rows)
{
    enum { TERMS = 3, BYTES = 2 };
    int64_t row = TERMS * BYTES * q->k, most = PIECE_BYTES / row;
    *rows = most < 1 ? 1 : most < q->m ? most : q->m;
    return gpu_scratch(g, GPU_SCRATCH_TERM, (size_t)(*rows * row));
}

static enum kn_status mma_rows(struct gpu *g, const struct gpu_product *q, char *terms)
{
    enum { FEW = 8, MANY = 32, COLUMNS = 16 };
    int64_t rows = q->m <= FEW ? FEW : MANY;
    mma_params p = {.y = q->y,
                    .terms = terms,
                    .w = q->w,
                    .b = q->b ? q->b->data : NULL,
                    .add = q->add,
                    .m = gpu_i32(q->m),
                    .n = gpu_i32(q->n),
                    .k = gpu_i32(q->k),
                    .y_stride = gpu_i32(q->y_stride),
                    .w_stride = gpu_i32(q->w_stride),
                    .add_stride = q->add ? gpu_i32(q->add_stride) : -1,
                    .b_type = q->b ? gpu_type(q->b) : -1,
                    .act = (i32)q->act};
    enum kn_status st = terms_launch(g, q, terms);
    return st ? st
              : gpu_launch_all(g, mma_kernel(q->type, rows == FEW), &p, sizeof p,
                               (q->n + COLUMNS - 1) / COLUMNS, (q->m + rows - 1) / rows, 1);
}

static enum kn_status mma_run(struct gpu *g, const struct gpu_product *q)
{
    int64_t step;
    char *terms = mma_terms(g, q, &step);
    enum kn_status st = terms ? KN_OK : KN_OUT_OF_MEMORY;
    struct gpu_product part = *q;
    for (int64_t lo = 0; lo < q->m && !st; lo += step) {
        part.m = lo + step < q->m ? step : q->m - lo;
        part.x = q->x + lo * q->x_stride * 4, part.y = q->y + lo * q->y_stride * 4;
        part.add = q->add ? q->add + lo * q->add_stride * 4 : NULL;
        st = mma_rows(g, &part, terms);
    }
    return st;
}

/* What follows a product that was made without it, in place. */
static enum kn_status product_finish(struct gpu *g, const struct gpu_product *q)
{
    struct kn_view y = kn_view2(q->y, KN_F32, q->m, q->n * q->groups), add = y;
    y.stride[0] = q->y_stride;
    add.data = q->add, add.stride[0] = q->add_stride;
    struct kn_call act = {.op = KN_OP_ACT, .out = {y}, .in = {y}, .p.act = q->act},
                   sum = {.op = KN_OP_ADD, .out = {y}, .in = {add, y}, .p.scale = 1};
    enum kn_status st = q->act ? gpu_ACT(g, &act) : KN_OK;
    return st || !q->add ? st : gpu_ADD(g, &sum);
}

static enum kn_status product_run(struct gpu *g, const struct gpu_product *q)
{
    struct gpu_product part;
    struct kn_view bias;
    enum kn_status st;
    if (q->m == 0)
        return KN_OK;
    if (q->linear && g->product && g->product(g, q, &st))
        return st ? st : product_finish(g, q);
    if (q->groups > 1 && (q->act || q->add)) {
        struct gpu_product bare = *q;
        bare.act = KN_ACT_NONE, bare.add = NULL;
        st = product_run(g, &bare);
        return st ? st : product_finish(g, q);
    }
    if (product_mma(g, q))
        return mma_run(g, q);
    if (!product_decodes(q))
        return product_launch(g, q);
    /* bytes of a column of every group */
    int64_t row = (product_within(q) ? 1 : q->groups) * product_len(q) * 4;
    int64_t step = PIECE_BYTES / row;
    step = step < 1 ? 1 : step < q->n ? step : q->n;
    char *to = gpu_scratch(g, GPU_SCRATCH_WEIGHT, (size_t)(step * row));
    st = to ? KN_OK : KN_OUT_OF_MEMORY;
    for (int64_t lo = 0; lo < q->n && !st; lo += step) {
        st = product_decode(g, q, lo, lo + step < q->n ? lo + step : q->n, to, &part, &bias);
        st = st ? st : product_run(g, &part);
    }
    return st;
}

static bool product_bias(struct gpu_product *q, const struct kn_view *b)
{
    if (call_absent(b))
        return true;
    q->b = b;
    q->b_group = b->ndim == 2 ? b->stride[0] : q->n;
    if (!call_is_weight(b) || b->ndim > 2 || !call_is(b, b->dtype, b->ndim))
        return false;
    return b->ndim == 2 ? b->shape[0] == q->groups && b->shape[1] == q->n
                        : b->shape[0] == q->groups * q->n;
}

/* What follows the product, where the call says it. */
static bool product_take_finish(struct gpu_product *q, const struct kn_call *call)
{
    const struct kn_view *add = &call->in[3];
    struct call_rows out, a;
    if (call_absent(add) && !call->p.act)
        return true;
    if ((unsigned)call->p.act >= KN_ACT_COUNT || !call_rows(&call->out[0], KN_F32, &out))
        return false;
    q->act = call->p.act;
    if (call_absent(add))
        return true;
    if (!call_rows(add, KN_F32, &a) || a.n != out.n || a.len != out.len)
        return false;
    q->add = a.data, q->add_stride = a.stride;
    return true;
}

/* The product of rows x by the weights w, to `out`. */
static bool product_take(struct gpu_product *q, const struct kn_view *x_view,
                         const struct kn_view *w, const struct kn_view *bias,
                         const struct kn_view *out)
{
    struct call_rows x;
    if (!call_rows(x_view, KN_F32, &x) || (w->ndim != 2 && w->ndim != 3) ||
        (out->ndim != 2 && out->ndim != 3) || !call_is(out, KN_F32, out->ndim))
        return false;
    int64_t n_axis = w->ndim - 2, all = w->shape[n_axis] * (w->ndim == 3 ? w->shape[0] : 1);
    q->groups = w->ndim == 3 ? w->shape[0] : out->ndim == 3 ? out->shape[1] : 1;
    if (q->groups < 1 || all % q->groups != 0 || out->shape[0] != x.n ||
        x.len != w->shape[w->ndim - 1])
        return false;
    int64_t n = all / q->groups;
    if (out->ndim == 3 ? out->shape[1] != q->groups || out->shape[2] != n : out->shape[1] != all)
        return false;
    if (!product_weights(q, w, n, x.len, w->stride[n_axis], w->stride[w->ndim - 1]) ||
        !product_bias(q, bias))
        return false;
    q->x = x.data, q->x_stride = x.stride, q->m = x.n, q->linear = true;
    q->y = out->data, q->y_stride = out->stride[0];
    q->w_group = w->ndim == 3 ? w->stride[0] : n * w->stride[n_axis];
    q->y_group = out->ndim == 3 ? out->stride[1] : n;
    if (q->w_group == n * w->stride[n_axis] && q->y_group == n && (!q->b || q->b_group == n)) {
        q->n = all; /* the groups lie side by side everywhere */
        q->groups = 1;
    }
    return true;
}

enum kn_status gpu_LINEAR(struct gpu *g, const struct kn_call *call)
{
    struct gpu_product q = {0};
    if (!product_take(&q, &call->in[0], &call->in[1], &call->in[2], &call->out[0]) ||
        !product_take_finish(&q, call))
        return KN_BAD_CALL;
    return product_run(g, &q);
}

static int32_t bias_type(const struct gpu_product *q)
{
    return q->b ? gpu_type(q->b) : -1;
}

/* Can one launch make n products of the same rows?  Where weights are decoded first all of them
 * have to find room together, of whatever types they were. */
static bool joined(const struct gpu *g, const struct gpu_product *q, int n)
{
    bool decodes = product_decodes(q), may = !g->product;
    int64_t columns = 0;
    for (int i = 0; i < n; i++) {
        may = may && q[i].groups == 1 && q[i].nk == q->nk && q[i].y_stride == q[i].n &&
              q[i].first % kn_dtype_block(q[i].type) == 0 && bias_type(&q[i]) == bias_type(q) &&
              product_decodes(&q[i]) == decodes && product_mma(g, &q[i]) == product_mma(g, q) &&
              (decodes || (q[i].type == q->type && q[i].w_stride == q->w_stride));
        columns += q[i].n;
    }
    return may && (!decodes || columns * q->k * 4 <= PIECE_BYTES);
}

static void joined_params(const struct gpu_product *q, int n, linears_params *p)
{
    addr *y[] = {&p->y0, &p->y1, &p->y2}, *w[] = {&p->w0, &p->w1, &p->w2},
         *b[] = {&p->b0, &p->b1, &p->b2};
    i32 *columns[] = {&p->n0, &p->n1, &p->n2};
    *p = (linears_params){.x = q->x,
                          .m = gpu_i32(q->m),
                          .k = gpu_i32(q->k),
                          .x_stride = gpu_i32(q->x_stride),
                          .w_stride = gpu_i32(q->w_stride),
                          .b_type = bias_type(q),
                          .type = (i32)q->type,
                          .wide = true};
    for (int i = 0; i < n; i++) {
        *y[i] = q[i].y, *columns[i] = gpu_i32(q[i].n);
        *w[i] = q[i].w + kn_row_bytes(q->type, q[i].first);
        *b[i] = q[i].b ? q[i].b->data : NULL;
        p->wide &= product_wide(&q[i]);
    }
}

/* Groups along x, of so many columns each. */
static int64_t joined_groups(const struct gpu_product *q, int n, int64_t columns)
{
    int64_t groups = 0;
    for (int i = 0; i < n; i++)
        groups += (q[i].n + columns - 1) / columns;
    return groups;
}

static enum kn_status joined_launch(struct gpu *g, const struct gpu_product *q, int n)
{
    enum { COLUMNS = 8, MT = 8, NT = 4 };
    bool each = q->m <= ROWS_EACH;
    linears_params p;
    joined_params(q, n, &p);
    return gpu_launch_all(g, kernel_of(q, each, true), &p, sizeof p,
                          joined_groups(q, n, COLUMNS * (q->nk && !each ? NT : 1)),
                          each ? q->m : (q->m + MT - 1) / MT, 1);
}

/* The same on matrix units: activations become terms once. */
static enum kn_status joined_mma(struct gpu *g, struct gpu_product *q, int n)
{
    enum { FEW = 8, MANY = 32, COLUMNS = 16 };
    int64_t all = q->m, step;
    char *terms = mma_terms(g, q, &step), *x = q->x;
    enum kn_status st = terms ? KN_OK : KN_OUT_OF_MEMORY;
    for (int64_t lo = 0; lo < all && !st; lo += step) {
        linears_params p;
        q->m = lo + step < all ? step : all - lo, q->x = x + lo * q->x_stride * 4;
        bool few = q->m <= FEW, bf16 = q->type == KN_BF16;
        enum gpu_kernel k = bf16  ? few ? GPU_linears_bf16_8_mma : GPU_linears_bf16_32_mma
                            : few ? GPU_linears_f16_8_mma
                                  : GPU_linears_f16_32_mma;
        joined_params(q, n, &p);
        p.x = terms;
        st = terms_launch(g, q, terms);
        st = st ? st
                : gpu_launch_all(g, k, &p, sizeof p, joined_groups(q, n, COLUMNS),
                                 (q->m + (few ? FEW : MANY) - 1) / (few ? FEW : MANY), 1);
        for (int i = 0; i < n; i++)
            q[i].y += step * q[i].y_stride * 4;
    }
    return st;
}

/* The same of weights in blocks, as f32 side by side. */
static enum kn_status joined_decoded(struct gpu *g, const struct gpu_product *q, int n)
{
    struct gpu_product part[KN_OUT_MAX];
    struct kn_view bias[KN_OUT_MAX];
    int64_t columns = 0;
    for (int i = 0; i < n; i++)
        columns += q[i].n;
    char *to = gpu_scratch(g, GPU_SCRATCH_WEIGHT, (size_t)(columns * q->k * 4));
    enum kn_status st = to ? KN_OK : KN_OUT_OF_MEMORY;
    for (int i = 0; i < n && !st; to += q[i++].n * q->k * 4)
        st = product_decode(g, &q[i], 0, q[i].n, to, &part[i], &bias[i]);
    return st ? st : joined_launch(g, part, n);
}

static enum kn_status joined_run(struct gpu *g, struct gpu_product *q, int n)
{
    return n == 1               ? product_run(g, q)
           : product_mma(g, q)  ? joined_mma(g, q, n)
           : product_decodes(q) ? joined_decoded(g, q, n)
                                : joined_launch(g, q, n);
}

enum kn_status gpu_LINEARS(struct gpu *g, const struct kn_call *call)
{
    struct gpu_product q[KN_OUT_MAX] = {{0}};
    int n = call_absent(&call->in[5]) ? 2 : 3;
    enum kn_status st = KN_OK;
    if (call->p.act || (n == 2 && !(call_absent(&call->out[2]) && call_absent(&call->in[6]))))
        return KN_BAD_CALL;
    for (int i = 0; i < n; i++)
        if (!product_take(&q[i], &call->in[0], &call->in[1 + 2 * i], &call->in[2 + 2 * i],
                          &call->out[i]))
            return KN_BAD_CALL;
    if (q->m == 0)
        return KN_OK;
    for (int i = 0, end; i < n && !st; i = end) {
        for (end = i + 1; end < n && joined(g, q + i, end + 1 - i);)
            end++;
        st = joined_run(g, q + i, end - i);
    }
    return st;
}

/* z [r,H,dh] by W_O [D,H*dh]: the heads are the groups, each with its own columns of W_O. */
static bool product_heads(struct gpu_product *q, const struct kn_view *z, const struct kn_view *w)
{
    if (!call_is(z, KN_F32, 3) || w->ndim != 2 || w->shape[1] != z->shape[1] * z->shape[2])
        return false;
    q->groups = z->shape[1];
    if (!product_weights(q, w, w->shape[0], z->shape[2], w->stride[0], w->stride[1]))
        return false;
    q->w_group = z->shape[2] * w->stride[1];
    q->x = z->data, q->x_stride = z->stride[0], q->x_group = z->stride[1], q->m = z->shape[0];
    return true;
}

enum kn_status gpu_HEAD_RESULT(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *out = &call->out[0];
    struct gpu_product q = {0};
    if (!product_heads(&q, &call->in[0], &call->in[1]) || !gpu_is3(out, q.m, q.groups, q.n))
        return KN_BAD_CALL;
    q.y = out->data, q.y_stride = out->stride[0], q.y_group = out->stride[1];
    return product_run(g, &q);
}

enum kn_status gpu_RESULT_PATCH(struct gpu *g, const struct kn_call *call)
{
    const struct kn_view *result = &call->in[0];
    struct gpu_product q = {0};
    struct call_rows out;
    if (!product_heads(&q, &call->in[1], &call->in[2]) || !call_rows(&call->out[0], KN_F32, &out) ||
        out.n != q.m || out.len != q.n || !gpu_is3(result, out.n, q.groups, out.len))
        return KN_BAD_CALL;
    int64_t all = q.m, row = q.groups * q.n * 4, step = PIECE_BYTES / row;
    step = step < 1 ? 1 : step < all ? step : all;
    q.y = gpu_scratch(g, GPU_SCRATCH_PART, (size_t)(step * row));
    q.y_stride = q.groups * q.n, q.y_group = q.n;
    enum kn_status st = q.y ? KN_OK : KN_OUT_OF_MEMORY;
    char *x = q.x;
    for (int64_t lo = 0; lo < all && !st; lo += step) {
        q.m = lo + step < all ? step : all - lo;
        q.x = x + lo * q.x_stride * 4;
        patch_params p = {.y = (char *)out.data + lo * out.stride * 4,
                          .result = (char *)result->data + lo * result->stride[0] * 4,
                          .product = q.y,
                          .rows = gpu_i32(q.m),
                          .heads = gpu_i32(q.groups),
                          .len = gpu_i32(q.n),
                          .y_stride = gpu_i32(out.stride),
                          .r0 = gpu_i32(result->stride[0]),
                          .r1 = gpu_i32(result->stride[1]),
                          .p0 = gpu_i32(q.y_stride),
                          .p1 = gpu_i32(q.n)};
        st = product_run(g, &q);
        st = st ? st : GPU_LAUNCH(g, patch, p, p.rows, 1);
    }
    return st;
}
