/* test_kn.c - names, views, opening a backend, its memory. */
#include "ktest.h"

#include <math.h>
#include <string.h>

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(kn_op_name(KN_OP_LINEAR), "linear");
    assert_string_equal(kn_op_name(KN_OP_ROW_NORM), "row_norm");
    for (int i = 0; i < KN_OP_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(kn_op_name((enum kn_op)i), kn_op_name((enum kn_op)j));
    assert_string_equal(kn_dtype_name(KN_BF16), "bf16");
    assert_int_equal(kn_row_bytes(KN_F32, 3), 12);
    assert_int_equal(kn_row_bytes(KN_F16, 3), 6);
    assert_int_equal(kn_dtype_block(KN_BF16), 1);
    assert_int_equal(kn_dtype_bytes(KN_BF16), 2);
    for (int i = 0; i < KN_CPU_COUNT; i++)
        assert_int_equal(kn_cpu_parse(kn_cpu_name((enum kn_cpu)i)), i);
    assert_int_equal(kn_cpu_parse("sse9"), -1);
}

static void test_views(void **state)
{
    (void)state;
    float data[120];
    for (int i = 0; i < 120; i++)
        data[i] = (float)i;
    const struct kn_view whole = {data, KN_F32, 4, {2, 3, 4, 5}, {60, 20, 5, 1}, 0};
    struct kn_view v = kn_slice(kn_slice(whole, 1, 1, 3), 3, 2, 4);
    assert_int_equal(v.shape[1], 2);
    assert_int_equal(v.shape[3], 2);
    assert_ptr_equal(v.data, data);
    assert_int_equal(v.first, 22);
    assert_true(*kn_f32(&v) == 22 && kn_load(&v, 3) == 25);
    assert_int_equal(v.stride[1], 20);
    assert_int_equal(kn_count(&v), 2 * 2 * 4 * 2);
    v = kn_index(whole, 1, 2);
    assert_int_equal(v.ndim, 3);
    assert_true(v.first == 40 && v.stride[0] == 60 && v.shape[2] == 5);
    v = kn_join(kn_index(whole, 0, 1), 0);
    assert_true(v.ndim == 2 && v.shape[0] == 12 && v.stride[0] == 5 && v.first == 60);
    v = kn_swap(whole, 0, 3);
    assert_true(v.shape[0] == 5 && v.stride[0] == 1 && v.shape[3] == 2 && v.stride[3] == 60);
    assert_int_equal(kn_moved(v, 7).first, 7);
    assert_int_equal(kn_view3(data, KN_F32, 2, 3, 4).stride[0], 12);
    assert_int_equal(kn_view2(data, KN_F32, 2, 3).stride[0], 3);
    assert_int_equal(kn_view1(data, KN_F32, 7).shape[0], 7);

    uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x3f80};
    int32_t whole_number[] = {-5};
    struct kn_view f16 = kn_view1(half, KN_F16, 4), bf16 = kn_view1(half, KN_BF16, 4),
                   i32 = kn_view1(whole_number, KN_I32, 1);
    assert_true(kn_load(&f16, 0) == 1);
    assert_true(kn_load(&f16, 1) == -2);
    assert_true(kn_load(&f16, 2) == 0x1p-24f);
    assert_true(kn_load(&bf16, 3) == 1);
    assert_true(kn_load(&i32, 0) == -5);
}

/* Every stored type, rows side by side and rows that lie crosswise; copies there and back. */
static void test_elements(void **state)
{
    (void)state;
    for (enum kn_dtype t = KN_F32; t <= KN_I32; t++) {
        struct kn_view whole = KT(t, 3, 6, 5, 7), v = kn_slice(kn_slice(whole, 0, 1, 5), 2, 2, 6);
        if (t == KN_I32)
            kt_fill(&whole, -100, 100);
        for (int crossed = 0; crossed < 2; crossed++, v = kn_swap(v, 0, 2)) {
            float rows[2 * 5 * 4];
            char packed[4 * 4 * 5 * 4], *p = packed;
            kn_decode_rows(&v, 1, 2, rows);
            kn_pack(&v, packed);
            for (int64_t a = 0, i = 0; a < v.shape[0]; a++)
                for (int64_t b = 0; b < v.shape[1]; b++)
                    for (int64_t c = 0; c < v.shape[2]; c++, p += kn_row_bytes(t, 1)) {
                        struct kn_view one = kn_index(kn_index(kn_index(v, 0, a), 0, b), 0, c);
                        assert_memory_equal(p, kn_at(&one, 0), kn_row_bytes(t, 1));
                        if (a >= 1 && a < 3)
                            assert_true((double)rows[i++] == kt_at(&v, a, b, c));
                    }
            struct kn_view other = KT(t, 1, v.shape[0], v.shape[1], v.shape[2]);
            char again[sizeof packed];
            kn_unpack(&other, packed);
            kn_pack(&other, again);
            assert_memory_equal(packed, again, kn_row_bytes(t, kn_count(&v)));
        }
        kt_free();
    }
    struct kn_view x = KT(KN_F32, 0, 3, 4), part = kn_slice(x, 1, 1, 3);
    kn_fill(&x, 1);
    kn_fill(&part, -0.0f);
    for (int i = 0; i < 12; i++)
        assert_true(i % 4 == 1 || i % 4 == 2 ? signbit(kn_load(&x, i)) : kn_load(&x, i) == 1);
    kt_free();
}

static const struct kn_options CPU = {.backend = "cpu", .cpu = -1};

static void test_open(void **state)
{
    (void)state;
    char why[256] = "";
    struct kn_backend *be = kn_open(NULL, why, sizeof why);
    assert_non_null(be); /* whatever is there */
    kn_close(be);
    be = kn_open(&CPU, why, sizeof why);
    assert_non_null(be);
    assert_string_equal(be->type->name, "cpu");
    assert_non_null(strstr(be->describe, kn_cpu_name(kn_cpu_best())));
    assert_true(be->unified);
    kn_close(be);
    kn_close(NULL);

    static const struct {
        struct kn_options opt;
        const char *says[3];
    } BAD[] = {
        {{.backend = "abacus", .cpu = -1}, {"abacus", "auto", "cpu"}},
        {{.backend = "cpu:0", .cpu = -1}, {"cpu:0", "auto", "cpu"}},
        {{.backend = "fence:vulkan:abacus", .cpu = -1}, {"vulkan", "vulkan", "vulkan"}},
        {{.backend = "check:vulkan:abacus,cpu", .cpu = -1}, {"vulkan", "vulkan", "vulkan"}},
        {{.backend = "cpu", .threads = -3, .cpu = -1}, {"-3", "threads", "0"}},
        {{.backend = "cpu", .threads = 5000, .cpu = -1}, {"5000", "threads", "1024"}},
        {{.backend = "cpu", .cpu = KN_CPU_COUNT}, {"portable", "offers", "processor"}},
        {{.backend = "cpu", .cpu = -1, .blas = true}, {"cpu", "its own", "--blas"}},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_null(kn_open(&BAD[i].opt, why, sizeof why));
        for (int j = 0; j < 3; j++)
            if (!strstr(why, BAD[i].says[j]))
                fail_msg("'%s' does not name %s", why, BAD[i].says[j]);
        assert_null(strchr(why, '\n'));
    }
    if (kn_cpu_best() < KN_CPU_AVX512)
        assert_null(
            kn_open(&(struct kn_options){.backend = "cpu", .threads = 1, .cpu = KN_CPU_AVX512}, why,
                    sizeof why));
}

static void test_memory(void **state)
{
    (void)state;
    struct kn_backend *be = kn_open(&CPU, NULL, 0);
    assert_non_null(be);
    /* Far more than the machine has: only what is touched is committed. */
    size_t large = (size_t)1 << 40;
    char *p = be->type->alloc(be, large);
    if (p) {
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_int_equal(p[large - 1], 0);
        p[large / 2] = 1;
        be->type->release(be, p, large);
    }
    p = be->type->alloc(be, 100);
    assert_non_null(p);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    char text[] = "abc", back[4];
    struct kn_view v = kn_slice(kn_view1(p, KN_I32, 25), 0, 3, 4), in;
    assert_int_equal(be->type->write(be, &v, text), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    assert_int_equal(be->type->read(be, &v, back), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    assert_string_equal(back, "abc");
    be->type->release(be, p, 100);
    be->type->release(be, NULL, 0);
    struct kn_view host = kn_view1(text, KN_F16, 2);
    assert_int_equal(be->type->import(be, &host, &in), KN_OK);
    assert_ptr_equal(in.data, text);
    be->type->forget(be, &in);
    be->type->forget(be, &in);
    assert_true(in.ndim == 0 && !in.data);
    size_t total, available;
    be->type->memory(be, &total, &available);
    assert_true(total > 1 << 20 && available <= total);
    assert_true(be->exact_rows && be->alloc_max >= large && be->rows_preferred > 0);
    assert_null(be->type->alloc(be, SIZE_MAX / 2));
    kn_close(be);
}

/* An operation without rows is no work; one without operands is a bad call. */
static void test_empty_calls(void **state)
{
    (void)state;
    for (int op = 0; op < KN_OP_COUNT; op++)
        kt_refused(&(struct kn_call){.op = (enum kn_op)op});
    float weight[12], x[4];
    struct kn_call call = {.op = KN_OP_LINEAR,
                           .in = {kn_view2(x, KN_F32, 0, 4), kn_view2(weight, KN_F32, 3, 4)},
                           .out = {kn_view2(x, KN_F32, 0, 3)}};
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++)
        assert_int_equal(kn_run(kt_backend((enum kn_cpu)cpu, 2), &call), KN_OK);
    kt_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_views),
        cmocka_unit_test(test_elements), cmocka_unit_test(test_open),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_empty_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
