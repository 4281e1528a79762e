/* test_cpu_choice.c - names of instruction sets, what is chosen of a measurement, its file: kept,
 * torn, foreign, unwritable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cache_folder.h"
#include "base/file_read.h"
#include "run/cpu_choice.h"
#include "run/place_model.h"

static char top[64];

static int folder_make(void **state)
{
    (void)state;
    snprintf(top, sizeof top, "/tmp/cpu_choice.XXXXXX");
    if (!mkdtemp(top))
        return -1;
    return setenv("XDG_CACHE_HOME", top, 1);
}

static int folder_drop(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    return system(command);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < KN_CPU_COUNT; i++) {
        assert_int_equal(cpu_choose(kn_cpu_name((enum kn_cpu)i)).set, i);
        assert_non_null(strstr(KN_CPU_NAMES, kn_cpu_name((enum kn_cpu)i)));
    }
    assert_int_equal(cpu_choose("fma").set, (int)kn_cpu_best());
    assert_int_equal(cpu_choose("sse9").set, -1);
    assert_int_equal(cpu_choose("").set, -1);
}

/* Without AMX nothing is measured, kept or told. */
static void test_nothing_to_measure(void **state)
{
    (void)state;
    if (kn_cpu_has(KN_CPU_AMX_BF16X3)) {
        printf("SKIP: this processor has AMX\n");
        skip();
    }
    struct cpu_choice c = cpu_choose("auto");
    assert_int_equal(c.set, (int)kn_cpu_best());
    assert_string_equal(c.why, "");
    char path[PATH_MAX];
    assert_true(cache_path("", "x", false, path));
    *strrchr(path, '/') = 0;
    assert_int_equal(access(path, F_OK), -1);
}

static void test_amx_measured(void **state)
{
    (void)state;
    if (!kn_cpu_has(KN_CPU_AMX_BF16X3)) {
        printf("SKIP: this processor has no AMX, so no measurement of it was kept\n");
        skip();
    }
    struct cpu_choice c = cpu_choose("auto"), again = cpu_choose("auto");
    assert_true(c.set == (int)kn_cpu_best() || c.set == KN_CPU_AMX_BF16X3);
    assert_true(c.why[0] && !strcmp(c.why, again.why) && c.set == again.set);
    printf("%s\n", c.why);
}

static void test_choice(void **state)
{
    (void)state;
    static const struct {
        struct cpu_measure m;
        int set;
        const char *why;
    } CASES[] = {
        {{2.5, 2e-7}, KN_CPU_AMX_BF16X3, "measured: amx-bf16x3 has 2.50 of avx512's speed"},
        {{1.05, 2e-7}, KN_CPU_AVX512, "measured: amx-bf16x3 has 1.05 of avx512's speed"},
        {{0.5, 0}, KN_CPU_AVX512, "measured: amx-bf16x3 has 0.50 of avx512's speed"},
        {{9, 3e-6}, KN_CPU_AVX512, "amx-bf16x3 not taken: its products differ by 3.0e-06"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct cpu_choice c = cpu_choice_of(&CASES[i].m, KN_CPU_AVX512);
        assert_int_equal(c.set, CASES[i].set);
        assert_string_equal(c.why, CASES[i].why);
    }
}

/* Two sets that every machine has: the same numbers, and times of both. */
static void test_measure(void **state)
{
    (void)state;
    char why[128];
    struct kn_options o = {.backend = "cpu", .threads = 1, .cpu = KN_CPU_PORTABLE};
    struct kn_backend *a = kn_open(&o, why, sizeof why);
    o.cpu = -1;
    struct kn_backend *b = kn_open(&o, why, sizeof why);
    struct cpu_measure m = {0};
    assert_true(cpu_measure(a, b, 96, 16, &m));
    assert_true(m.speed > 0 && m.error < 1e-6);
    kn_close(b);
    /* What has less than f32's precision is seen. */
    o.backend = "amx:bf16x2";
    assert_non_null(b = kn_open(&o, why, sizeof why));
    assert_true(cpu_measure(a, b, 96, 16, &m));
    assert_true(m.error > 1e-6 && cpu_choice_of(&m, KN_CPU_AVX512).set == KN_CPU_AVX512);
    kn_close(a), kn_close(b);
}

/* A model with weights in blocks is moved to the set for those, another is not. */
static void test_blocks(void **state)
{
    (void)state;
    static const char *const MODELS[] = {"tests/fixtures/models/gpt2",
                                         "tests/fixtures/gguf/types.gguf"};
    for (int i = 0; i < 2; i++) {
        struct err e = {0};
        struct model *m;
        struct kn_backend *be, *first;
        struct placed placed;
        const struct place_wish w = {.options = {.backend = "trace:cpu", .threads = 1, .cpu = -1},
                                     .cpu_blocks = KN_CPU_PORTABLE};
        assert_int_equal(place_open(&w.options, &first, &e), 0);
        be = first;
        assert_int_equal(model_open(&m, MODELS[i], be, &e), 0);
        assert_int_equal(model_in_blocks(m), i);
        assert_int_equal(place_model(m, &be, &w, &placed, &e), 0);
        assert_int_equal(be != first, i);
        assert_true(!i || strstr(be->describe, "portable"));
        assert_ptr_equal(m->be, be);
        model_close(m);
        kn_close(be);
    }
}

static void test_file(void **state)
{
    (void)state;
    static const char KEY[] = "0.1.0 · some processor · 1 2 3";
    struct cpu_measure m = {1.75, 2.25e-7}, got = {0};
    char path[PATH_MAX], text[CPU_MEASURE_BYTES];
    assert_false(cpu_measure_read(KEY, &got));
    cpu_measure_write(KEY, &m);
    assert_true(cpu_measure_read(KEY, &got));
    assert_true(got.speed == m.speed && got.error == m.error);
    assert_false(cpu_measure_read("another", &got));

    cpu_measure_text(&m, KEY, text);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        assert_false(cpu_measure_parse(text, i, KEY, &got)); /* torn */
    assert_true(cpu_measure_parse(text, len, KEY, &got));
    assert_false(cpu_measure_parse(text, len, "0.1.0 · another", &got));
    for (size_t i = 0; i < len; i++) { /* foreign: a digit may be another one, the rest may not */
        char was = text[i];
        text[i] = 'x';
        assert_false(cpu_measure_parse(text, len, KEY, &got));
        text[i] = was;
    }

    /* A folder that is a file: nothing is kept, and nothing fails. */
    snprintf(path, sizeof path, "%s/file", top);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    setenv("XDG_CACHE_HOME", path, 1);
    cpu_measure_write(KEY, &m);
    assert_false(cpu_measure_read(KEY, &got));
    setenv("XDG_CACHE_HOME", top, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_nothing_to_measure),
        cmocka_unit_test(test_choice),       cmocka_unit_test(test_measure),
        cmocka_unit_test(test_blocks),       cmocka_unit_test(test_file),
        cmocka_unit_test(test_amx_measured),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_drop);
}
