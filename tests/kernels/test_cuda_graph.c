/* test_cuda_graph.c - launches given out as graphs (kernels/cuda/graph.c), on a driver without a
 * device: when there is one, what is changed of it, and every call of the driver failing in turn.
 */
#include "ktest.h"

#include "fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_OF_MEMORY = 2, ILLEGAL_ADDRESS = 700, BATCH = 32, LEN = 70 };

struct bench {
    struct kn_backend *be;
    char *mem;
    struct kn_view a, b;
};

static bool bench_open(struct bench *t)
{
    char why[160] = "";
    *t = (struct bench){
        .be = kn_open(&(struct kn_options){.backend = "cuda", .threads = 1, .cpu = -1}, why,
                      sizeof why)};
    if (t->be)
        t->mem = t->be->type->alloc(t->be, 2 * LEN * sizeof(float));
    t->a = kn_view2(t->mem, KN_F32, 1, LEN);
    t->b = kn_moved(t->a, LEN);
    return t->mem;
}

static void bench_close(struct bench *t)
{
    if (t->be)
        t->be->type->release(t->be, t->mem, 2 * LEN * sizeof(float));
    kn_close(t->be);
    assert_int_equal(fake_cuda_left(), 0);
}

static float start_of(int i)
{
    return (float)(i * 37 % 101) / 64 - 0.5f;
}

/* One pass: n times a += b * scale, with another scale from `half` on and every `relu`-th time (0:
 * never) an activation behind it; *right: what came is what the host makes of it. */
static enum kn_status pass(struct bench *t, int n, int half, float scale, int relu, bool *right)
{
    const struct kn_backend_type *type = t->be->type;
    float a[LEN], b[LEN], back[LEN];
    for (int i = 0; i < LEN; i++)
        a[i] = start_of(i), b[i] = start_of(i + 9);
    enum kn_status st = type->write(t->be, &t->a, a);
    st = st ? st : type->write(t->be, &t->b, b);
    for (int k = 0; k < n; k++) {
        const struct kn_call add = {.op = KN_OP_ADD,
                                    .out = {t->a},
                                    .in = {t->a, t->b},
                                    .p.scale = k < half ? scale : 2 * scale},
                             act = {.op = KN_OP_ACT,
                                    .out = {t->a},
                                    .in = {t->a},
                                    .p.act = KN_ACT_RELU};
        bool also = relu && k % relu == 0;
        st = st ? st : kn_run(t->be, &add);
        st = st || !also ? st : kn_run(t->be, &act);
        for (int i = 0; i < LEN; i++) {
            a[i] = a[i] + b[i] * add.p.scale;
            a[i] = also && !(a[i] > 0) ? 0 : a[i];
        }
    }
    st = st ? st : type->read(t->be, &t->a, back);
    enum kn_status waited = type->sync(t->be);
    st = st ? st : waited;
    *right = !st && memcmp(a, back, sizeof a) == 0;
    return st;
}

/* A pass that must succeed, and what it brought to the driver. */
static struct fake_launches passed(struct bench *t, int n, int half, float scale, int relu)
{
    bool right;
    struct fake_launches was = fake_cuda_launches();
    assert_int_equal(pass(t, n, half, scale, relu, &right), KN_OK);
    assert_true(right);
    struct fake_launches is = fake_cuda_launches();
    return (struct fake_launches){is.kernels - was.kernels, is.graphs - was.graphs,
                                  is.changed - was.changed};
}

#define EXPECT(got, kernels_, graphs_, changed_)                                                 \
    do {                                                                                         \
        struct fake_launches g_ = (got);                                                         \
        if (g_.kernels != (kernels_) || g_.graphs != (graphs_) || g_.changed != (changed_))      \
            fail_msg("%ld kernels, %ld graphs, %ld changed", g_.kernels, g_.graphs, g_.changed); \
    } while (0)

/* The first time launches, the second time a graph, which then stays as it is, or is changed. */
static void test_repeated(void **state)
{
    (void)state;
    struct bench t;
    assert_true(bench_open(&t));
    EXPECT(passed(&t, 40, 40, 0.5f, 0), 40, 0, 0); /* a batch of 32, one of 8 */
    EXPECT(passed(&t, 40, 40, 0.5f, 0), 0, 2, 0);
    EXPECT(passed(&t, 40, 40, 0.5f, 0), 0, 2, 0);
    EXPECT(passed(&t, 40, 40, 0.25f, 0), 0, 2, 40);
    EXPECT(passed(&t, 40, 39, 0.25f, 0), 0, 2, 1);
    EXPECT(passed(&t, 3, 3, 0.25f, 0), 3, 0, 0); /* too few */
    EXPECT(passed(&t, 3, 3, 0.25f, 0), 3, 0, 0);
    bench_close(&t);
}

/* Two batches of the same kernels in one pass get a graph each. */
static void test_twice_in_a_pass(void **state)
{
    (void)state;
    struct bench t;
    assert_true(bench_open(&t));
    EXPECT(passed(&t, 2 * BATCH, BATCH, 0.5f, 0), BATCH, 1, 0);
    EXPECT(passed(&t, 2 * BATCH, BATCH, 0.5f, 0), 0, 2, BATCH);
    EXPECT(passed(&t, 2 * BATCH, BATCH, 0.5f, 0), 0, 2, 0);
    bench_close(&t);
}

/* More sequences than graphs are kept. */
static void test_many(void **state)
{
    (void)state;
    struct bench t;
    assert_true(bench_open(&t));
    for (int relu = 0; relu < 4; relu++)
        for (int n = 4; n < 16; n++)
            for (int turn = 0; turn < 3; turn++) {
                struct fake_launches got = passed(&t, n, n, 0.5f, relu == 1 ? 3 : relu);
                int all = n +
                          (relu ? (n + (relu == 1 ? 3 : relu) - 1) / (relu == 1 ? 3 : relu) : 0);
                if (turn == 2 && all < BATCH)
                    EXPECT(got, 0, 1, 0);
            }
    for (int n = BATCH + 4; n < 2 * BATCH; n++)
        for (int turn = 0; turn < 2; turn++)
            passed(&t, n, n, 0.5f, n % 7 + 2);
    bench_close(&t);
}

/* false: the n-th call never came. */
static bool survives(long n, int code)
{
    struct bench t;
    fake_cuda_fail(n, code);
    bool right = true, lost = !bench_open(&t);
    for (int i = 0; i < 4 && !lost; i++) {
        enum kn_status st = pass(&t, 40, 30 + i / 2, 0.5f, 0, &right);
        if (st == KN_OUT_OF_MEMORY) /* it was once */
            st = pass(&t, 40, 30 + i / 2, 0.5f, 0, &right);
        lost = st == KN_DEVICE_LOST;
        if (!lost && (st || !right))
            fail_msg("call %ld fails with %d: pass %d gives %d", n, code, i, (int)st);
        assert_true(code == ILLEGAL_ADDRESS || !lost);
    }
    if (t.be)
        t.be->type->release(t.be, t.mem, 2 * LEN * sizeof(float));
    kn_close(t.be);
    bool came = fake_cuda_calls() >= n;
    if (fake_cuda_left())
        fail_msg("call %ld fails with %d: %ld left", n, code, fake_cuda_left());
    fake_cuda_fail(0, 0);
    return came;
}

static void test_faults(void **state)
{
    (void)state;
    static const int codes[] = {OUT_OF_MEMORY, ILLEGAL_ADDRESS};
    for (int c = 0; c < 2; c++) {
        long n = 1;
        while (survives(n, codes[c]))
            n++;
        print_message("%3d: %ld calls\n", codes[c], n - 1);
        assert_true(n > 150);
    }
}

/* Three products of the same rows, of two types of weights, are so many launches. */
static void products_together(const struct bench *t, char *mem, int64_t rows, enum kn_dtype two,
                              enum kn_dtype third, int launches)
{
    enum { K = 256, N = 24 };
    const struct kn_backend_type *type = t->be->type;
    char *at = mem;
    struct kn_call c = {.op = KN_OP_LINEARS, .in = {kn_view2(at, KN_F32, rows, K)}};
    at += rows * K * 4;
    for (int p = 0; p < 3; p++) {
        enum kn_dtype type_of = p < 2 ? two : third;
        c.in[1 + 2 * p] = kn_view2(at, type_of, N, K), at += (size_t)N * kn_row_bytes(type_of, K);
        c.out[p] = kn_view2(at, KN_F32, rows, N), at += rows * N * 4;
    }
    assert_int_equal(type->sync(t->be), KN_OK);
    struct fake_launches was = fake_cuda_launches();
    assert_int_equal(kn_run(t->be, &c), KN_OK);
    float back[N];
    struct kn_view last = kn_slice(c.out[2], 0, rows - 1, rows);
    assert_int_equal(type->sync(t->be), KN_OK);
    if (fake_cuda_launches().kernels - was.kernels != launches)
        fail_msg("%lld rows of %s, %s: %ld launches, not %d", (long long)rows, kn_dtype_name(two),
                 kn_dtype_name(third), fake_cuda_launches().kernels - was.kernels, launches);
    assert_int_equal(type->read(t->be, &last, back), KN_OK);
    assert_int_equal(type->sync(t->be), KN_OK);
    for (int k = 0; k < N && two == KN_F32; k++)
        assert_true(back[k] == K);
}

/* One launch, on matrix units two; where weights in blocks are decoded for many rows another one
 * for each, and where few rows meet two types one for each type. */
static void test_products_together(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    static const struct {
        int64_t rows;
        enum kn_dtype two, third;
        int launches;
    } CASES[] = {{1, KN_F32, KN_F32, 1},   {4, KN_F32, KN_F32, 1},   {1, KN_BF16, KN_BF16, 2},
                 {4, KN_BF16, KN_BF16, 2}, {1, KN_Q8_0, KN_Q8_0, 1}, {3, KN_Q4_K, KN_Q4_K, 1},
                 {3, KN_Q4_K, KN_Q6_K, 2}, {4, KN_Q4_K, KN_Q6_K, 4}};
    struct bench t;
    assert_true(bench_open(&t));
    const struct kn_backend_type *type = t.be->type;
    char *mem = type->alloc(t.be, BYTES);
    assert_non_null(mem);
    struct kn_view all = kn_view1(mem, KN_F32, BYTES / 4);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_int_equal(type->fill(t.be, &all, 1), KN_OK);
        products_together(&t, mem, CASES[i].rows, CASES[i].two, CASES[i].third, CASES[i].launches);
    }
    type->release(t.be, mem, BYTES);
    bench_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_together),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_twice_in_a_pass),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
