/* test_quant.c - types stored in blocks: elements of any span, and every operation that takes such
 * a weight beside the same operation on the decoded one, bit for bit.  What the bytes mean is
 * compared with the formats' own libraries in tests/engine/test_quantized.c. */
#include "ktest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "quant.h"

static int free_all(void **state)
{
    (void)state;
    kt_free();
    return 0;
}

#define EACH_TYPE(t)                                        \
    for (enum kn_dtype t = KN_F32; t < KN_DTYPE_COUNT; t++) \
        if (kn_dtype_block(t) > 1)

/* Memory of its own for what v spans, as floats; *n of them. */
static struct kn_view floats_like(const struct kn_view *v, int64_t *n)
{
    struct kn_view f = *v;
    *n = 1;
    for (int i = 0; i < v->ndim; i++)
        *n += (v->shape[i] - 1) * v->stride[i];
    f.data = kt_alloc((size_t)*n * sizeof(float)), f.dtype = KN_F32, f.first = 0;
    return f;
}

/* The same as floats. */
static struct kn_view decoded(const struct kn_view *v)
{
    int64_t n;
    struct kn_view f = floats_like(v, &n);
    quant_decode_span(v->dtype, v->data, v->first, n, f.data);
    return f;
}

/* Of a type, a k that is whole blocks but not much else. */
static int64_t odd_k(enum kn_dtype t, int64_t least)
{
    int64_t block = kn_dtype_block(t), n = (least + block - 1) / block;
    return n * block;
}

static void test_spans(void **state)
{
    (void)state;
    EACH_TYPE(t)
    {
        int64_t block = kn_dtype_block(t), k = 3 * block, n = 5;
        struct kn_view v = kt_blocks(t, 1, n, k);
        float *all = malloc((size_t)k * sizeof *all),
              *part = malloc((size_t)(n * k) * sizeof *part);
        for (int64_t b = 0; b < 3; b++)
            quant_decode(t, (char *)v.data + kn_row_bytes(t, v.stride[0] + b * block),
                         all + b * block);
        for (int i = 0; i < 200; i++) {
            int64_t at = kt_random() % k, len = 1 + kt_random() % (k - at);
            struct kn_view row = kn_slice(kn_slice(v, 0, 1, 2), 1, at, at + len);
            kn_decode_rows(&row, 0, 1, part);
            assert_memory_equal(part, all + at, (size_t)len * sizeof *part);
            assert_true(memcmp(&(float){kn_load(&row, len - 1)}, all + at + len - 1, 4) == 0);
        }
        struct kn_view crossed = kn_swap(v, 0, 1);
        kn_decode_rows(&crossed, 0, k, part);
        for (int64_t i = 0; i < k; i++)
            assert_memory_equal(part + i * n + 1, all + i, sizeof *part);
        /* whole blocks there and back */
        struct kn_view other = kt_blocks(t, 0, n, k);
        char *bytes = malloc(kn_row_bytes(t, n * k));
        kn_pack(&v, bytes);
        kn_unpack(&other, bytes);
        kn_decode_rows(&other, 1, 1, part);
        assert_memory_equal(part, all, (size_t)k * sizeof *part);
        free(all), free(part), free(bytes);
        kt_free();
    }
}

/* The call on weights in blocks (input `w`) and on the same as floats: the same bits on every
 * instruction set, whole and in pieces of rows, and on backends with memory of their own. */
static void same_as_decoded(struct kn_call call, int w)
{
    struct kn_call plain = call;
    struct kn_view *out = &call.out[0];
    plain.in[w] = decoded(&call.in[w]);
    int64_t n_out;
    plain.out[0] = floats_like(out, &n_out);
    struct kn_call start = {.op = KN_OP_COPY, .in = {*out}};
    start.out[0] = KT(KN_F32, 0, kn_count(out));
    start.out[0] = kn_packed(start.out[0].data, KN_F32, out->ndim, out->shape);
    assert_int_equal(kn_run(kt_backend(kn_cpu_best(), 1), &start), KN_OK);
    struct kn_call reset = {.op = KN_OP_COPY, .in = {start.out[0]}};
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++)
        for (int threads = 1; threads <= KT_THREADS_MAX; threads++) {
            struct kn_backend *be = kt_backend((enum kn_cpu)cpu, threads);
            char what[96];
            snprintf(what, sizeof what, "%s %s %s, %d threads", kn_op_name(call.op),
                     kn_dtype_name(call.in[w].dtype), kn_cpu_name((enum kn_cpu)cpu), threads);
            struct kn_call *both[] = {&plain, &call};
            for (int i = 0; i < 2; i++) {
                reset.out[0] = both[i]->out[0];
                assert_int_equal(kn_run(be, &reset), KN_OK);
                assert_int_equal(kn_run(be, both[i]), KN_OK);
            }
            kt_same_bits(out, &plain.out[0], what);
            reset.out[0] = *out;
            assert_int_equal(kn_run(be, &reset), KN_OK);
            int rows_in = call.op == KN_OP_RESULT_PATCH ? 2 : 1;
            for (int64_t lo = 0, n = 1; lo < out->shape[0]; lo += n, n = n % 5 + 1) {
                struct kn_call part = call;
                int64_t hi = lo + n < out->shape[0] ? lo + n : out->shape[0];
                part.out[0] = kn_slice(*out, 0, lo, hi);
                for (int i = 0; i < rows_in; i++)
                    part.in[i] = kn_slice(call.in[i], 0, lo, hi);
                assert_int_equal(kn_run(be, &part), KN_OK);
            }
            kt_same_bits(out, &plain.out[0], what);
        }
    reset.out[0] = *out;
    assert_int_equal(kn_run(kt_backend(kn_cpu_best(), 1), &reset), KN_OK);
    kt_staged(&call);
    kt_same_bits(out, &plain.out[0], "staged");
    kt_staged_twins(&call, &plain);
}

static const struct {
    int64_t m, n, k;
} SHAPES[] = {{1, 1, 1},   {1, 70, 700}, {2, 5, 256}, {3, 66, 300}, {4, 33, 64},
              {5, 18, 96}, {6, 65, 513}, {8, 34, 33}, {14, 37, 1},  {37, 21, 2060}};

static void test_linear(void **state)
{
    (void)state;
    EACH_TYPE(t)
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        int64_t m = SHAPES[i].m, n = SHAPES[i].n, k = odd_k(t, SHAPES[i].k);
        struct kn_call call = {.op = KN_OP_LINEAR};
        call.in[0] = KT(KN_F32, (int64_t)(i % 3), m, k);
        call.in[1] = kt_blocks(t, (int64_t)(i % 2), n, k);
        if (i % 2)
            call.in[2] = KT(KN_F32, 0, n);
        call.out[0] = KT(KN_F32, 3, m, n);
        same_as_decoded(call, 1);
        kt_free();
    }
}

/* Products that share their rows, for so few of these that weights are decoded in the kernel and
 * for more; and of two types, as files of Q4_K have for queries, keys and values. */
static void test_together(void **state)
{
    (void)state;
    for (enum kn_dtype t = KN_F32; t < KN_DTYPE_COUNT; t++)
        for (int kind = 0; kind < 4; kind++) {
            int64_t m = kind % 2 ? 7 : 2, k = 256, skip = kind / 2 * 4;
            if (kn_dtype_block(t) == 1)
                continue;
            enum kn_dtype last = kind / 2 ? KN_Q6_K : t;
            struct kn_call all = {.op = KN_OP_LINEARS, .in = {KT(KN_F32, 1, m, k)}}, one[3];
            for (int p = 0; p < 3; p++) {
                int64_t columns = 9 + 4 * p;
                struct kn_view w = kt_blocks(p < 2 ? t : last, 0, columns + skip, k);
                all.in[1 + 2 * p] = kn_slice(w, 0, skip, columns + skip);
                all.in[2 + 2 * p] = KT(KN_F32, 0, columns);
                all.out[p] = KT(KN_F32, 0, m, columns);
                one[p] = (struct kn_call){.op = KN_OP_LINEAR,
                                          .out = {KT(KN_F32, p, m, columns)},
                                          .in = {all.in[0], all.in[1 + 2 * p], all.in[2 + 2 * p]}};
            }
            kt_beside(one, 3, &all);
            kt_free();
        }
}

/* Of a fused projection one part of every head; k from the middle of a block on. */
static void test_slices(void **state)
{
    (void)state;
    EACH_TYPE(t)
    {
        const int64_t heads = 3, dh = 6, m = 4, k = 2 * kn_dtype_block(t);
        struct kn_view all = kt_blocks(t, 0, heads * 2 * dh, k);
        struct kn_call call = {.op = KN_OP_LINEAR, .in = {KT(KN_F32, 0, m, k)}};
        call.in[1] = (struct kn_view){.data = all.data,
                                      .dtype = t,
                                      .ndim = 3,
                                      .shape = {heads, dh, k},
                                      .stride = {2 * dh * k, k, 1},
                                      .first = dh * k};
        call.out[0] = KT(KN_F32, 1, m, heads, dh);
        same_as_decoded(call, 1);
        struct kn_call some = {.op = KN_OP_LINEAR, .in = {KT(KN_F32, 0, m, k - 20)}};
        some.in[1] = kn_slice(all, 1, 13, k - 7);
        some.out[0] = KT(KN_F32, 1, m, heads * 2 * dh);
        same_as_decoded(some, 1);
        kt_free();
    }
}

/* dx = dy . W: reduced over the rows of what is stored, columns from anywhere. */
static void test_transposed(void **state)
{
    (void)state;
    EACH_TYPE(t)
    for (int64_t m = 1; m < 12; m += 5) {
        const int64_t n = 70, k = odd_k(t, 300);
        struct kn_view w = kt_blocks(t, 0, n, k);
        struct kn_call call = {.op = KN_OP_LINEAR, .in = {KT(KN_F32, 1, m, n), kn_swap(w, 0, 1)}};
        call.out[0] = KT(KN_F32, 0, m, k);
        same_as_decoded(call, 1);
        call.in[1] = kn_swap(kn_slice(w, 1, 37, 137), 0, 1);
        call.out[0] = KT(KN_F32, 2, m, 100);
        same_as_decoded(call, 1);
        kt_free();
    }
}

static void test_heads(void **state)
{
    (void)state;
    EACH_TYPE(t)
    for (int64_t dh = 16; dh <= 80; dh += 64) {
        /* heads that begin inside of blocks */
        const int64_t heads = kn_dtype_block(t) * 2 / 16, r = 5, d = 70, k = heads * dh;
        struct kn_call call = {.op = KN_OP_HEAD_RESULT, .in = {KT(KN_F32, 1, r, heads, dh)}};
        call.in[1] = kt_blocks(t, 0, d, k);
        call.out[0] = KT(KN_F32, 2, r, heads, d);
        same_as_decoded(call, 1);
        struct kn_call patch = {.op = KN_OP_RESULT_PATCH,
                                .in = {KT(KN_F32, 0, r, heads, d), call.in[0], call.in[1]}};
        patch.out[0] = KT(KN_F32, 2, r, d);
        same_as_decoded(patch, 2);
        kt_free();
    }
}

static void test_embed(void **state)
{
    (void)state;
    EACH_TYPE(t)
    {
        const int64_t n = 9, d = odd_k(t, 100);
        struct kn_call call = {.op = KN_OP_EMBED,
                               .in = {KT(KN_I32, 0, 6, 1), kt_blocks(t, 1, n, d)},
                               .p = {.scale = 1.5f}};
        for (int64_t i = 0; i < 6; i++)
            kt_set(&call.in[0], (float)(i * 5 % n), i, 0, 0);
        call.out[0] = KT(KN_F32, 1, 6, d);
        same_as_decoded(call, 1);
        kt_free();
    }
}

static void test_bad_calls(void **state)
{
    (void)state;
    struct kn_call good = {.op = KN_OP_LINEAR,
                           .in = {KT(KN_F32, 0, 3, 64), kt_blocks(KN_Q4_0, 0, 10, 64)},
                           .out = {KT(KN_F32, 0, 3, 10)}};
    same_as_decoded(good, 1);
    struct kn_call bad = good;
    bad.in[1].stride[0] = 40; /* not whole blocks */
    kt_refused(&bad);
    bad = good;
    bad.in[2] = kn_view1(good.in[1].data, KN_Q4_0, 10); /* a bias */
    kt_refused(&bad);
    bad = good;
    bad.in[0].dtype = KN_Q8_0;
    kt_refused(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_spans, free_all),
        cmocka_unit_test_teardown(test_linear, free_all),
        cmocka_unit_test_teardown(test_together, free_all),
        cmocka_unit_test_teardown(test_slices, free_all),
        cmocka_unit_test_teardown(test_transposed, free_all),
        cmocka_unit_test_teardown(test_heads, free_all),
        cmocka_unit_test_teardown(test_embed, free_all),
        cmocka_unit_test_teardown(test_bad_calls, free_all),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    kt_close();
    return failed;
}
