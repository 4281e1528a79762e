/* attn.c - attn_scores, softmax, attn_mix, and attention, which is the three for a block of rows at
 * a time.
 *
 * Sources hidden by causality are not computed, so what lies in their rows (not yet written, or
 * NaN) cannot reach a result, and a row costs the same in an incremental rerun as in a full one.
 */
#include "cpu.h"
#include "half.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK_ROWS = 48,    /* dest rows of one head that are one unit of work */
    SCORE_SOURCES = 16, /* sources that rows which do not see them all are computed of together */
    MIX_ROWS = 6,       /* dest rows that go through their common sources together */
    MIX_SOURCES = 128   /* sources that all rows of a unit visit before the next ones */
};

/* Scores or shares of a unit's rows: row i of it at `row` + i * stride. */
struct square {
    float *row;
    int64_t stride;
};

struct attn_job {
    const struct isa *isa;
    const struct kn_call *call;
    int64_t heads, rows, sources, dh;
    int64_t block, blocks; /* rows of a unit, and units of a head */
    int64_t share;         /* query heads per key/value head */
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static float *view_row(const struct kn_view *v, int64_t i, int64_t j)
{
    return (float *)v->data + i * v->stride[0] + j * v->stride[1];
}

/* Sources of the call visible to dest row d: [first_visible, end_visible). */
static int64_t end_visible(const struct attn_job *j, int64_t d)
{
    const struct kn_param *p = &j->call->p;
    int64_t end = (int64_t)p->dest0 + d + 1 - p->src0;
    return p->full ? j->sources : end < 0 ? 0 : least(end, j->sources);
}

static int64_t first_visible(const struct attn_job *j, int64_t d)
{
    const struct kn_param *p = &j->call->p;
    int64_t first = (int64_t)p->dest0 + d + 1 - p->window - p->src0;
    return p->window <= 0 || first < 0 ? 0 : least(first, j->sources);
}

static bool same_shape3(const struct kn_view *v, int64_t a, int64_t b, int64_t c)
{
    return v->shape[0] == a && v->shape[1] == b && v->shape[2] == c;
}

/* `square` is [heads, rows, sources], `query` [rows, heads, dh], `source` [sources, kv heads, dh].
 */
static bool attn_job(struct attn_job *j, struct cpu *c, const struct kn_call *call,
                     const struct kn_view *square, const struct kn_view *query,
                     const struct kn_view *source)
{
    if (!call_is(square, KN_F32, 3) || !call_is(query, KN_F32, 3) || !call_is(source, KN_F32, 3))
        return false;
    *j = (struct attn_job){
        c->isa, call, query->shape[1], query->shape[0], source->shape[0], query->shape[2], 0, 0, 0};
    if (!same_shape3(square, j->heads, j->rows, j->sources) || source->shape[2] != j->dh ||
        j->dh < 1)
        return false;
    if (source->shape[1] < 1 || j->heads % source->shape[1] != 0 || call->p.dest0 < 0 ||
        call->p.src0 < 0)
        return false;
    j->share = j->heads / source->shape[1];
    j->block = BLOCK_ROWS;
    if (j->heads * (j->rows / BLOCK_ROWS) < 2 * pool_threads(c->pool))
        j->block /= 2;
    j->blocks = (j->rows + j->block - 1) / j->block;
    return true;
}

static enum kn_status attn_run(struct cpu *c, struct attn_job *j, cpu_units_fn *fn)
{
    /* A product costs an eighth of an element touched. */
    int64_t cost = least(j->rows, j->block) * j->sources * (j->dh / 8 + 1);
    return cpu_each(c, j->heads * j->blocks, cost, fn, j);
}

/* Biases of the sources of one row, less that of its own position. */
static void alibi_add(const struct kn_param *p, float slope, int64_t d, int64_t lo, int64_t hi,
                      float *row)
{
    int64_t dest = p->dest0 + d;
    if (!p->alibi_bf16) {
        for (int64_t s = lo; s < hi; s++)
            row[s] += p->alibi * slope * (float)(p->src0 + s - dest);
        return;
    }
    slope = half_round_bf16(slope);
    float own = half_round_bf16(slope * half_round_bf16((float)dest));
    for (int64_t s = lo; s < hi; s++)
        row[s] += p->alibi * (half_round_bf16(slope * half_round_bf16((float)(p->src0 + s))) - own);
}

/* Sources [lo, hi) of rows [first, end), times the scale. */
static void scores_part(const struct attn_job *j, int64_t h, int64_t first, int64_t end, float *out,
                        int64_t stride, int64_t lo, int64_t hi)
{
    const struct kn_view *q = &j->call->in[0], *k = &j->call->in[1];
    struct gemm g = {.x = view_row(q, first, h),
                     .x_stride = q->stride[0],
                     .w = view_row(k, lo, h / j->share),
                     .w_stride = k->stride[0],
                     .w_type = KN_F32,
                     .m = end - first,
                     .n = hi - lo,
                     .k = j->dh,
                     .out = out + lo,
                     .out_stride = stride};
    if (lo < hi)
        j->isa->scores(&g, j->call->p.scale);
}

/* Of rows [first, end) the sources before `stop`, which no row sees past.  First what all see, and
 * of the rest, some sources at a time, the rows that see any of them. */
static void scores_block(const struct attn_job *j, int64_t h, int64_t first, int64_t end,
                         const struct square *out, int64_t stop)
{
    const struct kn_param *p = &j->call->p;
    int64_t lo = first_visible(j, first), hi = end_visible(j, end - 1), from = first;
    for (int64_t s = lo, next; s < hi; s = next) {
        while (end_visible(j, from) <= s)
            from++;
        next = s + SCORE_SOURCES;
        if (next < end_visible(j, from))
            next = end_visible(j, from) - (end_visible(j, from) - lo) % SCORE_SOURCES;
        next = hi - next < SCORE_SOURCES ? hi : next;
        scores_part(j, h, from, end, out->row + (from - first) * out->stride, out->stride, s, next);
    }
    for (int64_t d = first; d < end; d++) {
        float *row = out->row + (d - first) * out->stride;
        lo = first_visible(j, d);
        hi = end_visible(j, d);
        hi = hi < lo ? lo : hi;
        for (int64_t s = 0; s < lo; s++)
            row[s] = -INFINITY;
        if (p->softcap > 0)
            j->isa->scale_cap(row + lo, hi - lo, 1, p->softcap);
        if (p->alibi != 0)
            alibi_add(p, kn_alibi_slope(h, j->heads), d, lo, hi, row);
        for (int64_t s = hi; s < stop; s++)
            row[s] = -INFINITY;
    }
}

static void scores_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct attn_job *j = ctx;
    for (int64_t u = first; u < end; u++) {
        int64_t row = u % j->blocks * j->block;
        struct square out = {view_row(&j->call->out[0], u / j->blocks, row),
                             j->call->out[0].stride[1]};
        scores_block(j, u / j->blocks, row, least(row + j->block, j->rows), &out, j->sources);
    }
}

enum kn_status cpu_ATTN_SCORES(struct cpu *c, const struct kn_call *call)
{
    struct attn_job j;
    if (!attn_job(&j, c, call, &call->out[0], &call->in[0], &call->in[1]))
        return KN_BAD_CALL;
    return attn_run(c, &j, scores_units);
}

/* Add sources [lo, hi) to rows [first, end): a chain per element, which goes on where it is. */
static void mix_part(const struct attn_job *j, int64_t h, int64_t first, int64_t rows,
                     const float *share, int64_t stride, const struct kn_view *v, int64_t lo,
                     int64_t hi)
{
    const struct kn_view *out = &j->call->out[0];
    struct gemm g = {.x = share + lo,
                     .x_stride = stride,
                     .w = view_row(v, lo, h / j->share),
                     .w_stride = v->stride[0],
                     .w_type = KN_F32,
                     .m = rows,
                     .n = j->dh,
                     .k = hi - lo,
                     .out = view_row(out, first, h),
                     .out_stride = out->stride[0]};
    if (lo < hi)
        j->isa->gemm_chain(&g);
}

/* Values of some sources are used by all rows while they are near.  Rows that do not see all of
 * them come in small groups: what its first row sees, then each one's own rest. */
static void mix_block(const struct attn_job *j, int64_t h, int64_t first, int64_t end,
                      const struct square *pattern, const struct kn_view *v)
{
    const int64_t stride = pattern->stride, hi = end_visible(j, end - 1);
    const float *share = pattern->row;
    if (!j->call->p.accumulate)
        for (int64_t d = first; d < end; d++)
            memset(view_row(&j->call->out[0], d, h), 0, (size_t)j->dh * sizeof(float));
    for (int64_t s = 0; s < hi; s += MIX_SOURCES) {
        int64_t to = least(s + MIX_SOURCES, hi), d = first, seen, stop;
        for (; (seen = end_visible(j, d)) < to; d = stop) {
            stop = least(d + MIX_ROWS, end);
            mix_part(j, h, d, stop - d, share + (d - first) * stride, stride, v, s, seen);
            for (int64_t e = d + 1; e < stop; e++)
                mix_part(j, h, e, 1, share + (e - first) * stride, 0, v, seen < s ? s : seen,
                         least(end_visible(j, e), to));
        }
        if (d < end)
            mix_part(j, h, d, end - d, share + (d - first) * stride, stride, v, s, to);
    }
}

static void mix_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct attn_job *j = ctx;
    for (int64_t u = first; u < end; u++) {
        int64_t row = u % j->blocks * j->block;
        struct square p = {view_row(&j->call->in[0], u / j->blocks, row), j->call->in[0].stride[1]};
        mix_block(j, u / j->blocks, row, least(row + j->block, j->rows), &p, &j->call->in[1]);
    }
}

enum kn_status cpu_ATTN_MIX(struct cpu *c, const struct kn_call *call)
{
    struct attn_job j;
    if (!attn_job(&j, c, call, &call->in[0], &call->out[0], &call->in[1]))
        return KN_BAD_CALL;
    return attn_run(c, &j, mix_units);
}

static float greatest(const float *x, int64_t n)
{
    float most = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* Shares of scores, the greatest of which is `most`, beside a sink: the greatest share is one over
 * the sum of all. */
static void sink_take(float *p, int64_t n, float most, float sink)
{
    double top = (double)greatest(p, n), keep = 1 / (1 + exp((double)sink - (double)most) * top);
    for (int64_t i = 0; i < n && top > 0; i++)
        p[i] = (float)((double)p[i] * keep);
}

/* One row, of which `visible` sources are seen. */
static void softmax_row(const struct attn_job *j, int64_t h, float *out, const float *x,
                        int64_t visible, const struct kn_view *sinks)
{
    float most = call_absent(sinks) ? 0 : greatest(x, visible);
    j->isa->softmax(out, x, visible);
    if (!call_absent(sinks))
        sink_take(out, visible, most, kn_load(sinks, h));
}

static void softmax_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    (void)scratch;
    const struct attn_job *j = ctx;
    for (int64_t u = first; u < end; u++) {
        int64_t h = u / j->rows, d = u % j->rows, visible = end_visible(j, d);
        float *out = view_row(&j->call->out[0], h, d);
        softmax_row(j, h, out, view_row(&j->call->in[0], h, d), visible, &j->call->in[1]);
        memset(out + visible, 0, (size_t)(j->sources - visible) * sizeof *out);
    }
}

enum kn_status cpu_SOFTMAX(struct cpu *c, const struct kn_call *call)
{
    enum { EXP_COST = 4 };
    const struct kn_view *out = &call->out[0], *in = &call->in[0];
    if (!call_is(out, KN_F32, 3) || !call_is(in, KN_F32, 3) || call->p.dest0 < 0 ||
        call->p.src0 != 0 || !same_shape3(out, in->shape[0], in->shape[1], in->shape[2]) ||
        !call_is_sinks(&call->in[1], in->shape[0]))
        return KN_BAD_CALL;
    struct attn_job j = {.isa = c->isa,
                         .call = call,
                         .heads = in->shape[0],
                         .rows = in->shape[1],
                         .sources = in->shape[2]};
    return cpu_each(c, j.heads * j.rows, j.sources * EXP_COST, softmax_units, &j);
}

static void attention_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct attn_job *j = ctx;
    const struct square own = {scratch, j->sources};
    for (int64_t u = first; u < end; u++) {
        int64_t h = u / j->blocks, r0 = u % j->blocks * j->block,
                r1 = least(r0 + j->block, j->rows);
        scores_block(j, h, r0, r1, &own, end_visible(j, r1 - 1));
        for (int64_t d = r0; d < r1; d++) {
            float *row = own.row + (d - r0) * own.stride;
            softmax_row(j, h, row, row, end_visible(j, d), &j->call->in[3]);
        }
        mix_block(j, h, r0, r1, &own, &j->call->in[2]);
    }
}

enum kn_status cpu_ATTENTION(struct cpu *c, const struct kn_call *call)
{
    const struct kn_view *q = &call->in[0], *k = &call->in[1], *v = &call->in[2], *out = call->out;
    int64_t sources = call_is(k, KN_F32, 3) ? k->shape[0] : 0;
    struct kn_view square = kn_view3(NULL, KN_F32, q->shape[1], q->shape[0], sources);
    struct attn_job j, mix;
    if (!attn_job(&j, c, call, &square, q, k) || !attn_job(&mix, c, call, &square, out, v) ||
        mix.share != j.share || call->p.src0 != 0 || call->p.accumulate ||
        !call_is_sinks(&call->in[3], j.heads) || mix.dh != j.dh)
        return KN_BAD_CALL;
    if (!pool_reserve(c->pool, (size_t)(j.block * sources) * sizeof(float)))
        return KN_OUT_OF_MEMORY;
    return attn_run(c, &j, attention_units);
}
