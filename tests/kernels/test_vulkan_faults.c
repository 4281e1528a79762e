/* test_vulkan_faults.c - every call of the driver fails once: one clear line or status, nothing is
 * left behind, and after a want of memory the backend goes on; the validation layers have nothing
 * to say. */
#include "ktest.h"
#include "vkshim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct kn_options SOFTWARE = {.backend = "vulkan:llvmpipe", .cpu = -1};

enum { M = 3, N = 40, K = 96, TOP = 4 };

struct numbers {
    float x[M * K], w[N * K], y[M * N], value[M * TOP], back[M * K];
    int32_t index[M * TOP];
};

static void numbers_make(struct numbers *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < M * K; i++)
        s->x[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int i = 0; i < N * K; i++)
        s->w[i] = (float)(i * 53 % 97) / 48 - 1;
}

static void numbers_right(const struct numbers *s)
{
    assert_memory_equal(s->back, s->x, sizeof s->x);
    for (int i = 0; i < M; i++)
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += (double)s->x[i * K + k] * (double)s->w[n * K + k];
            assert_true(fabs(sum - (double)s->y[i * N + n]) < 1e-4);
        }
    for (int i = 0; i < M; i++)
        for (int t = 0; t < TOP; t++) {
            float value = s->value[i * TOP + t];
            assert_true(value == s->y[i * N + s->index[i * TOP + t]]);
            assert_true(t == 0 || value <= s->value[i * TOP + t - 1]);
        }
}

/* A weight is imported, x written and read back, as the layers see who reads; two products in one
 * call and their greatest are computed and read.  The status of what failed first; of a device that
 * is lost, that. */
static enum kn_status work(struct kn_backend *be, struct numbers *s)
{
    enum { MEMORIES = 5 };
    const struct kn_backend_type *t = be->type;
    struct kn_view host = kn_view2(s->w, KN_F32, N, K), w = {0};
    char *mem[MEMORIES] = {t->alloc(be, sizeof s->x), t->alloc(be, sizeof s->y),
                           t->alloc(be, sizeof s->value), t->alloc(be, sizeof s->index),
                           t->alloc(be, sizeof s->y)};
    struct kn_view x = kn_view2(mem[0], KN_F32, M, K), y = kn_view2(mem[1], KN_F32, M, N),
                   value = kn_view2(mem[2], KN_F32, M, TOP),
                   index = kn_view2(mem[3], KN_I32, M, TOP), same = kn_view2(mem[4], KN_F32, M, N);
    struct kn_call product = {.op = KN_OP_LINEARS, .out = {same, y}, .in = {x}},
                   top = {.op = KN_OP_TOPK, .out = {value, index}, .in = {y}};
    enum kn_status st = KN_OK;
    for (int i = 0; i < MEMORIES; i++)
        st = mem[i] ? st : KN_OUT_OF_MEMORY;
    st = st ? st : t->import(be, &host, &w);
    product.in[1] = product.in[3] = w;
    st = st ? st : t->write(be, &x, s->x);
    st = st ? st : t->read(be, &x, s->back);
    st = st ? st : kn_run(be, &product);
    st = st ? st : kn_run(be, &top);
    st = st ? st : t->read(be, &y, s->y);
    st = st ? st : t->read(be, &value, s->value);
    st = st ? st : t->read(be, &index, s->index);
    enum kn_status later = t->sync(be);
    t->forget(be, &w);
    for (int i = 0; i < MEMORIES; i++)
        t->release(be, mem[i], 0);
    return st && later != KN_DEVICE_LOST ? st : later;
}

/* The same; numbers are right, or there is a status that says why not. */
static enum kn_status work_right(struct kn_backend *be, struct numbers *s)
{
    numbers_make(s);
    enum kn_status st = work(be, s);
    assert_true(st == KN_OK || st == KN_OUT_OF_MEMORY || st == KN_DEVICE_LOST);
    if (st == KN_OK)
        numbers_right(s);
    return st;
}

/* One session; false: the n-th call did not come. */
static bool session(long fail_at, VkResult failure)
{
    struct numbers s;
    char why[256] = "";
    vkshim_reset();
    vkshim.fail_at = fail_at, vkshim.failure = failure;
    struct kn_backend *be = kn_open(&SOFTWARE, why, sizeof why);
    if (!be) {
        assert_true(strncmp(why, "vulkan · ", strlen("vulkan · ")) == 0 && !strchr(why, '\n'));
    } else {
        enum kn_status st = work_right(be, &s);
        if (st == KN_OK && vkshim.calls < fail_at) /* pipelines are there now */
            st = work_right(be, &s);
        bool came = vkshim.calls >= fail_at;
        enum kn_status again = work_right(be, &s);
        if (came && again != (st == KN_DEVICE_LOST ? KN_DEVICE_LOST : KN_OK))
            fail_msg("call %ld: status %d, then %d", fail_at, st, again);
    }
    kn_close(be);
    if (vkshim.live)
        fail_msg("call %ld: %d objects are left", fail_at, vkshim.live);
    return vkshim.calls >= fail_at;
}

static int is_there(void **state)
{
    char why[256];
    static bool there;
    vkshim_reset();
    struct kn_backend *be = kn_open(&SOFTWARE, why, sizeof why);
    there = be != NULL;
    if (!be)
        print_message("SKIP %s\n", why);
    kn_close(be);
    *state = &there;
    return 0;
}

#define DEVICE_OR_SKIP(state)   \
    if (!*(const bool *)*state) \
    skip()

static void test_faults(void **state)
{
    DEVICE_OR_SKIP(state);
    static const VkResult FAILURES[] = {VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_DEVICE_LOST};
    for (int f = 0; f < 2; f++) {
        long n = 1;
        while (session(n, FAILURES[f]))
            n++;
        print_message("%ld calls, each failed once with %d\n", n - 1, FAILURES[f]);
        assert_in_range(n, 80, 2000);
    }
}

/* Sessions under the layers; that they would speak is shown by a queue without barriers. */
static void test_layers(void **state)
{
    DEVICE_OR_SKIP(state);
    struct numbers s;
    char why[256];
    if (!vkshim_has_layers()) {
        print_message("SKIP no VK_LAYER_KHRONOS_validation (vulkan-validationlayers)\n");
        skip();
    }
    for (int dropped = 0; dropped <= 1; dropped++) {
        vkshim_reset();
        vkshim.layers = true;
        vkshim.drop_barriers = dropped;
        struct kn_backend *be = kn_open(&SOFTWARE, why, sizeof why);
        assert_non_null(be);
        numbers_make(&s);
        assert_int_equal(work(be, &s), KN_OK);
        kn_close(be);
        if (!dropped && vkshim.complaints)
            fail_msg("%s", vkshim.complaint);
        if (dropped && !strstr(vkshim.complaint, "SYNC-HAZARD"))
            fail_msg("no hazard is found without barriers: %s", vkshim.complaint);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_layers),
    };
    return cmocka_run_group_tests(tests, is_there, NULL);
}
