/* test_vulkan.c - devices are chosen, their memory is cut, the queue keeps its order; what the
 * driver refuses is one line. */
#include "ktest.h"
#include "vkshim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- choosing ---- */

static struct vk_found made(const char *name, VkPhysicalDeviceType type, const char *lacks)
{
    struct vk_found f = {.of = {.deviceType = type},
                         .software = type == VK_PHYSICAL_DEVICE_TYPE_CPU};
    snprintf(f.of.deviceName, sizeof f.of.deviceName, "%s", name);
    snprintf(f.lacks, sizeof f.lacks, "%s", lacks);
    return f;
}

static void test_choose(void **state)
{
    (void)state;
    const struct vk_found list[] = {
        made("llvmpipe (LLVM)", VK_PHYSICAL_DEVICE_TYPE_CPU, ""),
        made("Small Graphics", VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU, ""),
        made("Old Card", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, "shaderInt64"),
        made("Large Card", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, ""),
        made("Large Card", VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU, "")};
    char why[256];
    assert_int_equal(vk_choose(list, 5, NULL, why, sizeof why), 3);
    assert_int_equal(vk_choose(list, 3, NULL, why, sizeof why), 1);
    assert_int_equal(vk_choose(list, 5, "LLVM", why, sizeof why), 0);
    assert_int_equal(vk_choose(list, 5, "4", why, sizeof why), 4);
    assert_int_equal(vk_choose(list, 5, "card", why, sizeof why), 3);

    assert_int_equal(vk_choose(list, 1, NULL, why, sizeof why), -1);
    assert_string_equal(why, "vulkan · no device but software · there is 0 llvmpipe (LLVM) "
                             "(software); by name, as vulkan:llvmpipe");
    assert_int_equal(vk_choose(list, 5, "2", why, sizeof why), -1);
    assert_string_equal(why, "vulkan · Old Card lacks shaderInt64");
    assert_int_equal(vk_choose(list, 2, "abacus", why, sizeof why), -1);
    assert_string_equal(why, "vulkan · no device abacus · there is 0 llvmpipe (LLVM) (software), 1 "
                             "Small Graphics");
    assert_int_equal(vk_choose(list, 0, NULL, why, sizeof why), -1);
    assert_string_equal(why, "vulkan · no device · no driver for one is installed");
}

/* ---- a software device ---- */

/* The device under test is started, or *state is NULL where there is none. */
static int open_device(void **state)
{
    static struct vk v;
    struct vk_found list[VK_DEVICES_MAX];
    char why[256];
    v = (struct vk){0};
    *state = NULL;
    vkshim_reset();
    int n = vk_load(&v, why, sizeof why) ? vk_find(&v, list, VK_DEVICES_MAX) : -1;
    int i = n < 0 ? -1 : vk_choose(list, n, "llvmpipe", why, sizeof why);
    if (i < 0) {
        print_message("SKIP %s\n", why);
        vk_stop(&v);
        return 0;
    }
    v.found = list[i];
    *state = &v;
    if (vk_start(&v, vk_modules, vk_module_count, why, sizeof why))
        return 0;
    print_error("%s\n", why);
    return -1;
}

static int close_device(void **state)
{
    if (!*state)
        return 0;
    vk_stop(*state);
    return vkshim.live == 0 ? 0 : -1;
}

#define DEVICE_OR_SKIP(state) \
    struct vk *v = *(state);  \
    if (!v)                   \
    skip()

/* Of thousands of pieces few are allocations; none overlaps another, freed memory is found again.
 */
static void test_memory(void **state)
{
    DEVICE_OR_SKIP(state);
    enum { N = 3000 };
    static VkDeviceAddress at[N];
    static uint64_t bytes[N];
    for (int i = 0; i < N; i++) {
        bytes[i] = kt_random() % (i % 100 ? 40000 : 4000000);
        at[i] = vk_alloc(v, bytes[i]);
        assert_true(at[i] && at[i] % 64 == 0);
        if (i % 3 == 2) {
            vk_free(v, at[i - 1]);
            at[i - 1] = 0;
        }
    }
    assert_in_range(vkshim.allocations, 2, 12);
    for (int i = 0; i < N; i++)
        for (int j = 0; at[i] && j < N; j++)
            assert_true(i == j || at[j] == 0 || at[j] + bytes[j] <= at[i] ||
                        at[i] + bytes[i] <= at[j]);
    uint64_t chunks = v->chunk_bytes;
    for (int i = 0; i < N; i += 3) {
        vk_free(v, at[i]);
        assert_true((at[i] = vk_alloc(v, bytes[i])) != 0);
    }
    assert_int_equal(v->chunk_bytes, chunks);
    size_t total, full, empty;
    vk_memory(v, &total, &full);
    for (int i = 0; i < N; i++)
        vk_free(v, at[i]);
    vk_memory(v, &total, &empty);
    assert_true(full < empty && empty <= total);
    assert_true(v->chunk_bytes < chunks);
    assert_int_equal(vk_alloc(v, v->found.alloc_max + 1), 0);
}

/* More than a stage holds, whole and in odd parts, there and back; in the order of the calls. */
static void test_queue(void **state)
{
    DEVICE_OR_SKIP(state);
    enum { BYTES = 3 * VK_STAGE_BYTES + 1234, PARTS = 500 };
    char *host = malloc(BYTES), *back = calloc(1, BYTES);
    assert_true(host && back);
    for (int i = 0; i < BYTES; i++)
        host[i] = (char)kt_random();
    VkDeviceAddress a = vk_alloc(v, BYTES), b = vk_alloc(v, BYTES);
    assert_true(a && b);
    assert_int_equal(vk_upload(v, a, host, BYTES), KN_OK);
    assert_int_equal(vk_copy(v, b, a, BYTES), KN_OK);
    assert_int_equal(vk_fill(v, a, 1024, 0x01010101), KN_OK); /* after the copy */
    assert_int_equal(vk_download(v, b, back, BYTES), KN_OK);
    char first[8];
    assert_int_equal(vk_download(v, a + 1016, first, sizeof first), KN_OK);
    assert_int_equal(vk_sync(v), KN_OK);
    assert_memory_equal(host, back, BYTES);
    assert_memory_equal(first, "\1\1\1\1\1\1\1\1", 8);

    long submits = vkshim.submits;
    memset(back, 0, BYTES);
    for (int i = 0; i < PARTS; i++) {
        char word[4] = {(char)i, (char)(i >> 8), 7, 9};
        assert_int_equal(vk_upload(v, a + 4 * (uint64_t)i, word, sizeof word), KN_OK);
        memset(word, 0, sizeof word); /* it was taken */
        assert_int_equal(vk_download(v, a + 4 * (uint64_t)i, back + 4 * i, 4), KN_OK);
    }
    assert_int_equal(vk_sync(v), KN_OK);
    for (int i = 0; i < PARTS; i++)
        assert_true(back[4 * i] == (char)i && back[4 * i + 1] == (char)(i >> 8) &&
                    back[4 * i + 3] == 9);
    submits = vkshim.submits - submits;
    assert_int_equal(submits, (2 * PARTS + VK_BATCH_COMMANDS - 1) / VK_BATCH_COMMANDS);
    assert_int_equal(vk_sync(v), KN_OK); /* nothing to do, nothing is submitted */
    assert_int_equal(vkshim.submits - submits > 0 && v->batches[v->current].n == 0, 1);

    /* More than all batches hold, some submitted before they are full, and nobody waits: each goes
     * once. */
    enum { FLUSH = 2 * VK_BATCH_COMMANDS + 8 };
    submits = vkshim.submits;
    for (uint32_t i = 0; i < PARTS; i++) {
        assert_int_equal(vk_fill(v, a, 4, i), KN_OK);
        if (i % FLUSH == FLUSH - 1)
            assert_int_equal(vk_flush(v, v->dropped), KN_OK);
    }
    assert_int_equal(vk_download(v, a, first, 4), KN_OK);
    assert_int_equal(vk_sync(v), KN_OK);
    assert_int_equal(vkshim.submits - submits, PARTS / FLUSH * 3 + 3);
    const uint32_t last = PARTS - 1;
    assert_memory_equal(first, &last, sizeof last);
    free(host);
    free(back);
}

/* ---- modules ---- */

enum { /* SPIR-V's numbers */
       OP_EXECUTION_MODE = 16,
       OP_DECORATE = 71,
       OP_F_ADD = 129,
       OP_F_SUB = 131,
       OP_F_MUL = 133,
       OP_F_DIV = 136,
       NO_CONTRACTION = 42,
       SIGNED_ZERO_INF_NAN_PRESERVE = 4461
};

/* Float operations of a module that a driver may fuse; -1: it may take a NaN for a number. */
static int loose(const struct vk_module *m)
{
    static bool exact[1 << 16];
    const uint32_t *end = m->words + m->bytes / 4;
    bool preserves = false;
    int n = 0;
    memset(exact, 0, sizeof exact);
    for (const uint32_t *i = m->words + 5; i < end; i += *i >> 16) {
        uint32_t op = *i & 0xffff;
        preserves |= op == OP_EXECUTION_MODE && i[2] == SIGNED_ZERO_INF_NAN_PRESERVE && i[3] == 32;
        if (op == OP_DECORATE && i[2] == NO_CONTRACTION)
            exact[i[1] & 0xffff] = true;
        if (op == OP_F_ADD || op == OP_F_SUB || op == OP_F_MUL || op == OP_F_DIV)
            n += !exact[i[2] & 0xffff];
    }
    return preserves ? n : -1;
}

static void test_modules(void **state)
{
    (void)state;
    assert_true(vk_module_count > 1);
    for (int i = 0; i < vk_module_count; i++)
        if (vk_modules[i].words && loose(&vk_modules[i]))
            fail_msg("%s: %d loose operations", vk_modules[i].name, loose(&vk_modules[i]));
}

/* ---- what can be missing ---- */

static void test_no_loader(void **state)
{
    (void)state;
    struct vk v = {0};
    char why[256];
    vkshim_reset();
    vkshim.absent = true;
    assert_false(vk_load(&v, why, sizeof why));
    vk_stop(&v);
    assert_string_equal(why, "vulkan · no libvulkan.so.1 · it comes with the driver, or as the "
                             "package libvulkan1");
}

/* A loader that finds no driver. */
static void test_no_driver(void **state)
{
    DEVICE_OR_SKIP(state);
    (void)v;
    const char *was = getenv("VK_ICD_FILENAMES");
    char why[256] = "", *keep = was ? strdup(was) : NULL;
    struct vk none = {0};
    setenv("VK_ICD_FILENAMES", "/nowhere.json", 1);
    assert_false(vk_load(&none, why, sizeof why));
    vk_stop(&none);
    assert_string_equal(why, "vulkan · no device · no driver for one is installed");
    if (keep)
        setenv("VK_ICD_FILENAMES", keep, 1);
    else
        unsetenv("VK_ICD_FILENAMES");
    free(keep);
}

/* A device whose subgroups are too small for the kernels is named with what it lacks. */
static void test_subgroup(void **state)
{
    DEVICE_OR_SKIP(state);
    struct vk_found list[VK_DEVICES_MAX];
    for (int lanes = 4; lanes <= 128; lanes *= 2) {
        vkshim.subgroup = lanes;
        int n = vk_find(v, list, VK_DEVICES_MAX);
        char why[256] = "", expect[256] = "";
        int i = vk_choose(list, n, "llvmpipe", why, sizeof why);
        bool good = lanes >= VK_SUBGROUP_MIN && lanes <= VK_SUBGROUP_MAX;
        assert_int_equal(i >= 0, good);
        if (!good)
            snprintf(expect, sizeof expect,
                     "vulkan · %.60s lacks subgroups of 8 to 64 lanes, it has %d",
                     list[0].of.deviceName, lanes);
        assert_string_equal(why, expect);
    }
    vkshim.subgroup = 0;
}

/* Memory that only a feature of AMD's allows is none. */
static void test_coherent(void **state)
{
    DEVICE_OR_SKIP(state);
    struct vk other = {0};
    struct vk_found list[VK_DEVICES_MAX];
    char why[256] = "", expect[256];
    assert_true(vk_load(&other, why, sizeof why));
    int n = vk_find(&other, list, VK_DEVICES_MAX);
    other.found = list[vk_choose(list, n, "llvmpipe", why, sizeof why)];
    snprintf(expect, sizeof expect, "vulkan · %.60s has no memory that both it and the host see",
             v->found.of.deviceName);
    vkshim.memory = VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD;
    assert_false(vk_start(&other, vk_modules, vk_module_count, why, sizeof why));
    assert_string_equal(why, expect);
    vkshim.memory = 0;
    vk_stop(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_no_loader),
        cmocka_unit_test(test_modules),
        cmocka_unit_test_setup_teardown(test_memory, open_device, close_device),
        cmocka_unit_test_setup_teardown(test_queue, open_device, close_device),
        cmocka_unit_test_setup_teardown(test_no_driver, open_device, close_device),
        cmocka_unit_test_setup_teardown(test_subgroup, open_device, close_device),
        cmocka_unit_test_setup_teardown(test_coherent, open_device, close_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
