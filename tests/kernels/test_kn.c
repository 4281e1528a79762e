/* test_kn.c - names, views, opening a backend, its memory. */
#include "ktest.h"

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
    assert_int_equal(kn_dtype_size(KN_F32), 4);
    assert_int_equal(kn_dtype_size(KN_F16), 2);
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
    struct kn_view v = {data, KN_F32, 4, {2, 3, 4, 5}, {60, 20, 5, 1}};
    v = kn_slice(kn_slice(v, 1, 1, 3), 3, 2, 4);
    assert_int_equal(v.shape[1], 2);
    assert_int_equal(v.shape[3], 2);
    assert_true(*(float *)v.data == 22);
    assert_int_equal(v.stride[1], 20);
    assert_int_equal(kn_view3(data, KN_F32, 2, 3, 4).stride[0], 12);
    assert_int_equal(kn_view2(data, KN_F32, 2, 3).stride[0], 3);
    assert_int_equal(kn_view1(data, KN_F32, 7).shape[0], 7);

    uint16_t half[] = {0x3c00, 0xc000, 0x0001, 0x3f80};
    int32_t whole[] = {-5};
    assert_true(kn_load(KN_F16, half, 0) == 1);
    assert_true(kn_load(KN_F16, half, 1) == -2);
    assert_true(kn_load(KN_F16, half, 2) == 0x1p-24f);
    assert_true(kn_load(KN_BF16, half, 3) == 1);
    assert_true(kn_load(KN_I32, whole, 0) == -5);
}

static void test_open(void **state)
{
    (void)state;
    char why[128] = "";
    struct kn_backend *be = kn_open(NULL, why, sizeof why);
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
        {{"abacus", 0, -1}, {"abacus", "auto", "cpu"}},
        {{"cpu", -3, -1}, {"-3", "threads", "0"}},
        {{"cpu", 5000, -1}, {"5000", "threads", "1024"}},
        {{"cpu", 0, KN_CPU_COUNT}, {"portable", "offers", "processor"}},
    };
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_null(kn_open(&BAD[i].opt, why, sizeof why));
        for (int j = 0; j < 3; j++)
            if (!strstr(why, BAD[i].says[j]))
                fail_msg("'%s' does not name %s", why, BAD[i].says[j]);
        assert_null(strchr(why, '\n'));
    }
    if (kn_cpu_best() < KN_CPU_AVX512)
        assert_null(kn_open(&(struct kn_options){"cpu", 1, KN_CPU_AVX512}, why, sizeof why));
}

static void test_memory(void **state)
{
    (void)state;
    struct kn_backend *be = kn_open(NULL, NULL, 0);
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
    assert_int_equal(be->type->write(be, p, text, 4), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    assert_int_equal(be->type->read(be, back, p, 4), KN_OK);
    assert_string_equal(back, "abc");
    be->type->release(be, p, 100);
    be->type->release(be, NULL, 0);
    assert_ptr_equal(be->type->import(be, text, 4), text);
    be->type->forget(be, text, 4);
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
        cmocka_unit_test(test_names),       cmocka_unit_test(test_views),
        cmocka_unit_test(test_open),        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_empty_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
