/* ktest.c - see ktest.h. */
#include "ktest.h"

#include "wrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct kn_backend *backends[KN_CPU_COUNT][KT_THREADS_MAX + 1];

struct kn_backend *kt_backend(enum kn_cpu cpu, int threads)
{
    struct kn_backend **be = &backends[cpu][threads];
    if (!*be) {
        char why[128] = "";
        *be = kn_open(&(struct kn_options){.backend = "cpu", .threads = threads, .cpu = (int)cpu},
                      why, sizeof why);
        if (!*be)
            fail_msg("%s", why);
    }
    return *be;
}

/* Backends that have memory of their own, or might. */
struct staged_row {
    const char *name;
    enum bits {
        BITS_CPU,      /* those of the cpu */
        BITS_OWN,      /* others within the same bounds, of any rows the same */
        BITS_PREVIOUS, /* those of the backend before it */
        BITS_UNITS /* its own, of products with weights of 16 bits, which matrix units do; no other
                      call */
    } bits;
};
static const struct staged_row STAGED[] = {
    {"cpu", BITS_CPU},
    {"fence:cpu", BITS_CPU},
    {"check:cpu,cpu", BITS_CPU},
    {"check:cpu,fence:cpu", BITS_CPU},
    {"trace:cpu", BITS_CPU},
    {"split:fence:cpu,fence:cpu", BITS_CPU},
    {"emu", BITS_OWN},
    {"emu:falling", BITS_PREVIOUS},
    {"emu:mixed", BITS_PREVIOUS},
    {"emu:mma", BITS_UNITS},
    {"amx", BITS_OWN},
    {"amx:portable", BITS_PREVIOUS},
};
enum { STAGED_COUNT = sizeof STAGED / sizeof *STAGED };

static struct kn_backend *staged[STAGED_COUNT];

/* Those, or the one that is asked for; NULL after the last. */
static const struct staged_row *staged_row(int i)
{
    static struct staged_row one;
    one = (struct staged_row){getenv("BORE_TEST_BACKEND"), BITS_OWN};
    return one.name ? (i == 0 ? &one : NULL) : i < STAGED_COUNT ? &STAGED[i] : NULL;
}

static struct kn_backend *staged_backend(int i)
{
    char why[128] = "";
    if (!staged[i])
        staged[i] = kn_open(
            &(struct kn_options){.backend = staged_row(i)->name, .threads = 2, .cpu = -1}, why,
            sizeof why);
    if (!staged[i])
        fail_msg("%s", why);
    return staged[i];
}

void kt_close(void)
{
    for (int i = 0; i < STAGED_COUNT; i++) {
        kn_close(staged[i]);
        staged[i] = NULL;
    }
    for (int i = 0; i < KN_CPU_COUNT; i++)
        for (int j = 0; j <= KT_THREADS_MAX; j++) {
            kn_close(backends[i][j]);
            backends[i][j] = NULL;
        }
}

/* The axis of each operand that counts the call's rows; -1: shared by all of them. */
static const struct {
    int out[KN_OUT_MAX], in[KN_IN_MAX];
} AXES[KN_OP_COUNT] = {
    [KN_OP_EMBED] = {{0}, {0, -1}},
    [KN_OP_COPY] = {{0}, {0}},
    [KN_OP_ADD] = {{0}, {0, 0}},
    [KN_OP_NORM_SCALE] = {{0}, {0}},
    [KN_OP_NORMALIZE] = {{0}, {0, 0}},
    [KN_OP_AFFINE] = {{0}, {0, -1, -1}},
    [KN_OP_NORM] = {{0}, {0, -1, -1}},
    [KN_OP_LINEAR] = {{0}, {0, -1, -1, 0}},
    [KN_OP_LINEARS] = {{0, 0, 0}, {0, -1, -1, -1, -1, -1, -1}},
    [KN_OP_ACT] = {{0}, {0}},
    [KN_OP_SOFTCAP] = {{0}, {0}},
    [KN_OP_CLIP] = {{0}, {0}},
    [KN_OP_GATE] = {{0}, {0, 0}},
    [KN_OP_ROPE] = {{0}, {0, 0, 0}},
    [KN_OP_ATTN_SCORES] = {{1}, {0, -1}},
    [KN_OP_SOFTMAX] = {{1}, {1, -1}},
    [KN_OP_ATTN_MIX] = {{0}, {1, -1}},
    [KN_OP_ATTENTION] = {{0}, {0, -1, -1, -1}},
    [KN_OP_HEAD_RESULT] = {{0}, {0, -1}},
    [KN_OP_RESULT_PATCH] = {{0}, {0, 0, -1}},
    [KN_OP_TOPK] = {{0, 0}, {0}},
    [KN_OP_LSE] = {{0}, {0}},
    [KN_OP_RANK] = {{0}, {0, 0}},
    [KN_OP_ROW_NORM] = {{0}, {0}},
    [KN_OP_PICK] = {{0}, {0, 0}},
    [KN_OP_ROUTE] = {{0}, {0}},
    [KN_OP_TOP_INDEX] = {{0}, {0}},
    [KN_OP_TOP_VALUE] = {{0}, {0}},
    [KN_OP_PLACE] = {{-1}, {0, 0}},
    [KN_OP_BLEND] = {{0}, {0, 0}},
    [KN_OP_STATS] = {{-1}, {-1}},
    [KN_OP_EDIT] = {{1}, {1, -1, -1, -1}},
    [KN_OP_HIDE] = {{1}, {0}},
    [KN_OP_PROJECT] = {{0}, {-1, -1, -1, -1}},
    [KN_OP_RENORMALIZE] = {{1}, {-1, -1, -1, -1}},
    [KN_OP_RENORMALIZE_VJP] = {{1}, {1, -1, -1, -1}},
    [KN_OP_SOFTMAX_GRAD] = {{0}, {0, 0, 0}},
};

/* Can rows be computed a few at a time?  Not where they are selected. */
static int64_t rows_in_pieces(const struct kn_call *call)
{
    int axis = AXES[call->op].out[0];
    bool changes = call->op == KN_OP_EDIT || call->op == KN_OP_PROJECT ||
                   call->op == KN_OP_RENORMALIZE || call->op == KN_OP_RENORMALIZE_VJP;
    bool selected = changes && (call->p.range[axis < 0 ? 0 : axis].step || call->in[1 + axis].ndim);
    return axis < 0 || axis >= call->out[0].ndim || selected ? 0 : call->out[0].shape[axis];
}

/* The same 32 bits, or both NaN: which of two NaNs an addition hands on is not defined. */
static bool same_bits(const void *a, const void *b, enum kn_dtype t)
{
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return memcmp(a, b, 4) == 0 || (t == KN_F32 && isnan(x) && isnan(y));
}

/* The memory of the outputs, gaps included. */
struct snapshot {
    void *bytes[KN_OUT_MAX];
};

static struct snapshot snapshot_take(const struct kn_call *call)
{
    struct snapshot s = {{0}};
    for (int o = 0; o < KN_OUT_MAX; o++)
        if (call->out[o].ndim) {
            size_t n = wrap_span(&call->out[o]);
            s.bytes[o] = malloc(n);
            memcpy(s.bytes[o], kn_at(&call->out[o], 0), n);
        }
    return s;
}

static void snapshot_put(const struct snapshot *s, const struct kn_call *call)
{
    for (int o = 0; o < KN_OUT_MAX; o++)
        if (s->bytes[o])
            memcpy(kn_at(&call->out[o], 0), s->bytes[o], wrap_span(&call->out[o]));
}

static void snapshot_equal(const struct snapshot *s, const struct kn_call *call, const char *what,
                           int64_t a, int64_t b)
{
    for (int o = 0; o < KN_OUT_MAX; o++)
        for (size_t i = 0; s->bytes[o] && i < wrap_span(&call->out[o]) / 4; i++)
            if (!same_bits((const char *)s->bytes[o] + 4 * i,
                           (const char *)kn_at(&call->out[o], 0) + 4 * i, call->out[o].dtype))
                fail_msg("%s: out%d differs at %zu, %s %lld %lld", kn_op_name(call->op), o, i, what,
                         (long long)a, (long long)b);
}

static void snapshot_drop(struct snapshot *s)
{
    for (int o = 0; o < KN_OUT_MAX; o++)
        free(s->bytes[o]);
}

static struct kn_call rows_of(struct kn_call call, int64_t lo, int64_t hi)
{
    for (int o = 0; o < KN_OUT_MAX; o++)
        if (call.out[o].ndim)
            call.out[o] = kn_slice(call.out[o], AXES[call.op].out[o], lo, hi);
    for (int i = 0; i < KN_IN_MAX; i++)
        if (call.in[i].ndim && AXES[call.op].in[i] >= 0)
            call.in[i] = kn_slice(call.in[i], AXES[call.op].in[i], lo, hi);
    call.p.dest0 += (int32_t)lo;
    return call;
}

static void check_values(const struct kn_call *call, const struct snapshot *before,
                         kt_reference *reference, double tolerance, const char *where)
{
    struct kn_call was = *call;
    for (int o = 0; o < KN_OUT_MAX; o++)
        if (before->bytes[o]) {
            was.out[o].data = before->bytes[o], was.out[o].first = 0;
            for (int i = 0; i < KN_IN_MAX; i++) /* in place */
                if (call->in[i].data == call->out[o].data &&
                    call->in[i].first == call->out[o].first)
                    was.in[i].data = before->bytes[o], was.in[i].first = 0;
        }
    for (int o = 0; o < KN_OUT_MAX; o++) {
        const struct kn_view *v = &call->out[o];
        if (!v->ndim)
            continue;
        KT_EACH(v, a, b, c)
        {
            double size = 0, expect = reference(&was, o, a, b, c, &size), got = kt_at(v, a, b, c);
            if (size == 0)
                size = fabs(expect);
            bool same = isnan(expect)                  ? isnan(got)
                        : isinf(expect) || isinf(size) ? got == expect || isinf(size)
                                                       : fabs(got - expect) <= tolerance * size;
            if (!same)
                fail_msg(
                    "%s %s: out%d[%lld, %lld, %lld] is %.9g, expected %.9g (error %.3g of %.3g)",
                    kn_op_name(call->op), where, o, (long long)a, (long long)b, (long long)c, got,
                    expect, got - expect, size);
        }
    }
}

/* A block of host memory on a backend. */
struct stage {
    const struct kt_block *block;
    char *mem;
};

enum {
    STAGE_MAX = KN_OUT_MAX + KN_IN_MAX,
    STAGE_PAD = 4 /* bytes before what is staged: an address that is aligned for elements alone */
};

/* All of a block on the device. */
static struct kn_view stage_all(const struct stage *s)
{
    struct kn_view v = kn_view1(s->mem, KN_F16, (int64_t)s->block->bytes / 2);
    v.first = STAGE_PAD / 2;
    return v;
}

static struct stage *stage_of(struct stage *list, const struct kt_block *block)
{
    struct stage *s = list;
    while (s->block && s->block != block)
        s++;
    return s;
}

static void stage(struct kn_backend *be, struct stage *list, struct kn_view *v)
{
    const struct kt_block *block = kt_block_of(v);
    struct stage *s = stage_of(list, block);
    assert_non_null(block);
    if (!s->block) {
        s->block = block;
        s->mem = be->type->alloc(be, block->bytes + STAGE_PAD);
        assert_non_null(s->mem);
        struct kn_view all = stage_all(s);
        assert_int_equal(be->type->write(be, &all, block->start), KN_OK);
    }
    int64_t bytes = STAGE_PAD + ((char *)kn_at(v, 0) - block->start);
    v->data = s->mem;
    v->first = bytes / (int64_t)kn_row_bytes(v->dtype, 1);
}

/* Of several devices, operands that are only read lie on another one than the results. */
static enum kn_status run_staged(struct kn_backend *be, const struct kn_call *call)
{
    struct kn_backend *other = kn_part(be, 1, 2);
    struct stage list[STAGE_MAX + 1] = {0};
    struct kn_view imports[KN_IN_MAX] = {0};
    struct kn_call c = *call;
    for (int i = 0; i < KN_OUT_MAX; i++)
        if (c.out[i].ndim)
            stage(be, list, &c.out[i]);
    for (int i = 0; i < KN_IN_MAX; i++) { /* weights in blocks and every second one are imported, if
                                             only read */
        if (!c.in[i].ndim)
            continue;
        if (stage_of(list, kt_block_of(&c.in[i]))->block ||
            (i % 2 == 0 && kn_dtype_block(c.in[i].dtype) == 1)) {
            stage(other, list, &c.in[i]);
        } else {
            assert_int_equal(other->type->import(other, &c.in[i], &imports[i]), KN_OK);
            c.in[i] = imports[i];
        }
    }
    enum kn_status st = kn_run(be, &c), later = be->type->sync(be);
    st = st ? st : later;
    for (struct stage *s = list; s->block; s++) {
        struct kn_view all = stage_all(s);
        if (!st)
            assert_int_equal(be->type->read(be, &all, s->block->start), KN_OK);
        be->type->release(be, s->mem, s->block->bytes + STAGE_PAD);
    }
    for (int i = 0; i < KN_IN_MAX; i++)
        be->type->forget(be, &imports[i]);
    assert_int_equal(be->type->sync(be), KN_OK);
    return st;
}

/* What stats found: counts and bounds exactly, mean and sum of squares to about the digits of two
 * floats. */
static bool same_stats(const void *a, const void *b)
{
    struct kn_stats x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return memcmp(&x, &y, offsetof(struct kn_stats, mean)) == 0 &&
           fabs(x.mean - y.mean) <= 1e-12 * fabs(y.mean) && fabs(x.m2 - y.m2) <= 1e-12 * y.m2 &&
           same_bits(&x.min, &y.min, KN_F32) && same_bits(&x.max, &y.max, KN_F32);
}

/* The greatest Euclidean length of v's rows. */
static double longest_row(const struct kn_view *v)
{
    double most = 0;
    for (int64_t r = 0; r < v->shape[0]; r++) {
        double sum = 0;
        for (int64_t i = 0; i < v->shape[1]; i++)
            sum += kt_at(v, r, i, 0) * kt_at(v, r, i, 0);
        most = fmax(most, sqrt(sum));
    }
    return most;
}

/* What two orders of one sum of products may differ by where its terms cancel: rounding follows
 * the terms, not their sum.  A float's half ulp is 6e-8. */
static double sum_slack(const struct kn_call *call)
{
    double most = 0;
    for (int i = 1; i < KN_IN_MAX && call->in[i].ndim; i += 2)
        most = fmax(most, longest_row(&call->in[i]));
    return call->op == KN_OP_LINEAR || call->op == KN_OP_LINEARS
               ? 6e-8 * longest_row(&call->in[0]) * most
               : 0;
}

/* The outputs are those of `result` within rounding, relative to the greatest of the call. */
static void check_near(const struct kn_call *call, const struct snapshot *result, const char *where)
{
    double slack = sum_slack(call);
    for (int o = 0; o < KN_OUT_MAX; o++) {
        const struct kn_view *v = &call->out[o];
        struct kn_view was = *v;
        double most = 1;
        if (!v->ndim)
            continue;
        was.data = result->bytes[o], was.first = 0;
        KT_EACH(v, a, b, c)
        most = isfinite(kt_at(&was, a, b, c)) ? fmax(most, fabs(kt_at(&was, a, b, c))) : most;
        if (call->op == KN_OP_STATS && !same_stats(kn_at(v, 0), was.data))
            fail_msg("stats %s: other figures", where);
        if (v->ndim > 3) {
            snapshot_equal(result, call, where, 0, 0);
            continue;
        }
        KT_EACH(v, a, b, c)
        {
            double x = kt_at(v, a, b, c), y = kt_at(&was, a, b, c);
            bool same = isfinite(y) ? fabs(x - y) <= slack + 4e-6 * most
                        : isnan(y)  ? isnan(x)
                                    : x == y;
            if (!same && call->op != KN_OP_STATS)
                fail_msg("%s %s: out%d[%lld, %lld, %lld] is %.9g, elsewhere %.9g",
                         kn_op_name(call->op), where, o, (long long)a, (long long)b, (long long)c,
                         x, y);
        }
    }
}

static const int64_t PIECES[] = {1, 2, 3, 5, 8, 17, 64};
enum { PIECE_COUNT = sizeof PIECES / sizeof *PIECES };

/* A backend with bits of its own: within the tolerance, and of pieces of rows the same. */
static void check_own(struct kn_backend *be, const struct kn_call *call, const char *where,
                      const struct snapshot *before, const struct snapshot *cpu,
                      kt_reference *reference, double tolerance)
{
    /* Gradients have no row of their own in every output; AXES does not list them. */
    bool by_rows = reference || !strstr(kn_op_name(call->op), "_vjp");
    int64_t rows = by_rows ? rows_in_pieces(call) : 0;
    if (reference)
        check_values(call, before, reference, tolerance, where);
    else
        check_near(call, cpu, where);
    struct snapshot own = snapshot_take(call);
    for (int p = 0; p < PIECE_COUNT && PIECES[p] < rows; p++) {
        snapshot_put(before, call);
        for (int64_t lo = 0, hi = 1 + PIECES[p] / 2; lo < rows; lo = hi, hi += PIECES[p]) {
            struct kn_call piece = rows_of(*call, lo, hi < rows ? hi : rows);
            assert_int_equal(run_staged(be, &piece), KN_OK);
        }
        snapshot_equal(&own, call, where, -1, PIECES[p]);
    }
    snapshot_put(&own, call);
    snapshot_drop(&own);
}

/* On memory of every backend's own: the same bits, or its own within the tolerance of the reference
 * (without one, of the cpu's). */
static void check_staged(const struct kn_call *call, const struct snapshot *before,
                         const struct snapshot *result, kt_reference *reference, double tolerance)
{
    struct snapshot previous = {{0}};
    for (int i = 0; staged_row(i); i++) {
        const char *name = staged_row(i)->name;
        struct kn_backend *be = staged_backend(i);
        bool units = staged_row(i)->bits == BITS_UNITS &&
                     (call->op == KN_OP_LINEAR || call->op == KN_OP_LINEARS) &&
                     (call->in[1].dtype == KN_F16 || call->in[1].dtype == KN_BF16);
        if (staged_row(i)->bits == BITS_UNITS && !units)
            continue;
        snapshot_put(before, call);
        assert_int_equal(run_staged(be, call), KN_OK);
        if (staged_row(i)->bits == BITS_OWN || units)
            check_own(be, call, name, before, result, reference, tolerance);
        else
            snapshot_equal(staged_row(i)->bits == BITS_CPU ? result : &previous, call, name, 0, 0);
        if (kn_departure(be))
            fail_msg("%s", kn_departure(be));
        snapshot_drop(&previous);
        previous = snapshot_take(call);
    }
    snapshot_drop(&previous);
    snapshot_put(result, call);
}

void kt_staged(const struct kn_call *call)
{
    struct snapshot before = snapshot_take(call);
    assert_int_equal(kn_run(kt_backend(kn_cpu_best(), 2), call), KN_OK);
    struct snapshot result = snapshot_take(call);
    check_staged(call, &before, &result, NULL, 0);
    snapshot_drop(&before);
    snapshot_drop(&result);
}

void kt_staged_twins(const struct kn_call *a, const struct kn_call *b)
{
    struct snapshot before = snapshot_take(a), before_b = snapshot_take(b);
    for (int i = 0; staged_row(i); i++) {
        if (staged_row(i)->bits != BITS_OWN)
            continue;
        snapshot_put(&before, a);
        snapshot_put(&before_b, b);
        assert_int_equal(run_staged(staged_backend(i), a), KN_OK);
        assert_int_equal(run_staged(staged_backend(i), b), KN_OK);
        kt_same_bits(&a->out[0], &b->out[0], staged_row(i)->name);
    }
    snapshot_put(&before, a);
    snapshot_put(&before_b, b);
    snapshot_drop(&before);
    snapshot_drop(&before_b);
}

void kt_chain(const struct kn_call *parts, int n, const struct kn_call *one)
{
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
        for (int c = 0; c < n; c++)
            assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 1 + c % 2), &parts[c]), KN_OK);
        assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 3), one), KN_OK);
        kt_same_bits(&parts[n - 1].out[0], &one->out[0], kn_cpu_name((enum kn_cpu)cpu));
    }
    for (int i = 0; staged_row(i); i++) {
        if (staged_row(i)->bits != BITS_OWN && staged_row(i)->bits != BITS_UNITS)
            continue;
        for (int c = 0; c < n; c++)
            assert_int_equal(run_staged(staged_backend(i), &parts[c]), KN_OK);
        assert_int_equal(run_staged(staged_backend(i), one), KN_OK);
        kt_same_bits(&parts[n - 1].out[0], &one->out[0], staged_row(i)->name);
    }
}

void kt_beside(const struct kn_call *each, int n, const struct kn_call *all)
{
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
        assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 3), all), KN_OK);
        for (int c = 0; c < n; c++) {
            assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 1 + c % 2), &each[c]), KN_OK);
            kt_same_bits(&each[c].out[0], &all->out[c], kn_cpu_name((enum kn_cpu)cpu));
        }
    }
    for (int i = 0; staged_row(i); i++) {
        assert_int_equal(run_staged(staged_backend(i), all), KN_OK);
        for (int c = 0; c < n; c++) {
            assert_int_equal(run_staged(staged_backend(i), &each[c]), KN_OK);
            kt_same_bits(&each[c].out[0], &all->out[c], staged_row(i)->name);
        }
    }
}

void kt_check(const struct kn_call *call, kt_reference *reference, double tolerance)
{
    int64_t rows = rows_in_pieces(call);
    struct snapshot before = snapshot_take(call);
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
        const char *where = kn_cpu_name((enum kn_cpu)cpu);
        snapshot_put(&before, call);
        assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 1), call), KN_OK);
        if (reference)
            check_values(call, &before, reference, tolerance, where);
        struct snapshot result = snapshot_take(call);
        for (int threads = 2; threads <= KT_THREADS_MAX; threads++) {
            snapshot_put(&before, call);
            assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, threads), call), KN_OK);
            snapshot_equal(&result, call, where, threads, 0);
        }
        for (int p = 0; p < PIECE_COUNT && PIECES[p] < rows; p++) {
            snapshot_put(&before, call);
            /* A first piece of another size, so that rows fall on all places of a tile. */
            for (int64_t lo = 0, hi = 1 + PIECES[p] / 2; lo < rows; lo = hi, hi += PIECES[p]) {
                struct kn_call piece = rows_of(*call, lo, hi < rows ? hi : rows);
                assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 2), &piece), KN_OK);
            }
            snapshot_equal(&result, call, where, -1, PIECES[p]);
        }
        if (cpu == (int)kn_cpu_best())
            check_staged(call, &before, &result, reference, tolerance);
        snapshot_drop(&result);
    }
    snapshot_put(&before, call);
    snapshot_drop(&before);
}

void kt_refused(const struct kn_call *call)
{
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++)
        assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 2), call), KN_BAD_CALL);
    bool inside = true; /* what reaches past its memory is no call at all */
    for (int i = 0; i < KN_OUT_MAX; i++)
        inside &= !call->out[i].ndim || kt_block_of(&call->out[i]);
    for (int i = 0; i < KN_IN_MAX; i++)
        inside &= !call->in[i].ndim || kt_block_of(&call->in[i]);
    for (int i = 0; inside && staged_row(i); i++)
        assert_int_equal(run_staged(staged_backend(i), call), KN_BAD_CALL);
}

void kt_same_bits(const struct kn_view *x, const struct kn_view *y, const char *what)
{
    KT_EACH(x, a, b, c)
    if (!same_bits(kt_element(x, a, b, c), kt_element(y, a, b, c), x->dtype))
        fail_msg("%s: [%lld, %lld, %lld] is %.9g and %.9g", what, (long long)a, (long long)b,
                 (long long)c, kt_at(x, a, b, c), kt_at(y, a, b, c));
}
