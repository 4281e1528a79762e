/* test_cuda.c - the CUDA backend on a driver without a device (tests/fake): memory, transfers,
 * launches, several devices; and every call of the driver fails in turn, for want of memory or for
 * good. */
#include "ktest.h"

#include "cuda/cuda.h"
#include "device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_OF_MEMORY = 2, ILLEGAL_ADDRESS = 700 };

static struct kn_backend *opened(const char *name)
{
    char why[160] = "";
    struct kn_backend *be = kn_open(&(struct kn_options){.backend = name, .threads = 1, .cpu = -1},
                                    why, sizeof why);
    if (!be)
        fail_msg("%s: %s", name ? name : "auto", why);
    return be;
}

static void closed(struct kn_backend *be)
{
    kn_close(be);
    assert_int_equal(fake_cuda_left(), 0);
}

/* ---- a small work ---- */

enum { M = 3, N = 40, K = 128, TOP = 4 }; /* K: as matrix units take it */

struct work {
    float x[M * K], y[M * N], value[M * TOP];
    uint16_t w[N * K]; /* bf16 */
    int32_t index[M * TOP];
    int32_t list[2];
};

static float bf16(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void work_fill(struct work *k)
{
    for (int i = 0; i < M * K; i++)
        k->x[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int i = 0; i < N * K; i++) {
        float f = (float)(i * 53 % 97) / 48 - 1;
        uint32_t u;
        memcpy(&u, &f, sizeof u);
        k->w[i] = (uint16_t)(u >> 16);
    }
}

static void work_check(const struct work *k)
{
    for (int i = 0; i < M; i++) {
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int j = 0; j < K; j++)
                sum += (double)k->x[i * K + j] * (double)bf16(k->w[n * K + j]);
            assert_true(fabs(sum - (double)k->y[i * N + n]) < 1e-5);
        }
        for (int t = 0; t < TOP; t++)
            assert_true(k->value[i * TOP + t] == k->y[i * N + k->index[i * TOP + t]]);
    }
}

/* A product, its greatest elements, an operation with indices, all read with one wait. */
static enum kn_status work_queue(struct kn_backend *be, struct work *k, char *mem,
                                 const struct kn_view *w)
{
    const struct kn_backend_type *t = be->type;
    float *x = (float *)(void *)mem, *y = x + M * K, *value = y + M * N;
    int32_t *index = (int32_t *)(void *)(value + M * TOP), *list = index + M * TOP;
    struct kn_view vx = kn_view2(x, KN_F32, M, K), vy = kn_view2(y, KN_F32, M, N),
                   vv = kn_view2(value, KN_F32, M, TOP), vi = kn_view2(index, KN_I32, M, TOP),
                   vl = kn_view1(list, KN_I32, 2), columns = kn_slice(vx, 1, 1, 3);
    const struct kn_call product = {.op = KN_OP_LINEAR, .out = {vy}, .in = {vx, *w}},
                         top = {.op = KN_OP_TOPK, .out = {vv, vi}, .in = {vy}},
                         edit = {.op = KN_OP_EDIT,
                                 .out = {vx},
                                 .in = {{0}, {0}, vl},
                                 .p.scale = 1,
                                 .p.number = 7};
    static const int32_t which[2] = {1, 2};
    float seen[M * 2];
    enum kn_status st = t->write(be, &vx, k->x);
    st = st ? st : kn_run(be, &product);
    st = st ? st : kn_run(be, &top);
    st = st ? st : t->write(be, &vl, which);
    st = st ? st : kn_run(be, &edit);
    st = st ? st : t->read(be, &vy, k->y);
    st = st ? st : t->read(be, &vv, k->value);
    st = st ? st : t->read(be, &vi, k->index);
    st = st ? st : t->read(be, &columns, seen);
    enum kn_status waited = t->sync(be);
    st = st ? st : waited;
    for (int i = 0; !st && i < M * 2; i++)
        assert_true(seen[i] == 7);
    return st;
}

/* On a device, or with the weights on another one. */
static enum kn_status work_do(struct kn_backend *be, struct work *k)
{
    struct kn_backend *other = kn_part(be, 1, 2);
    struct kn_view host = kn_view2(k->w, KN_BF16, N, K), w = {0};
    size_t bytes = sizeof k->x + sizeof k->y + sizeof k->value + sizeof k->index + sizeof k->list;
    enum kn_status st = other->type->import(other, &host, &w);
    char *mem = st ? NULL : be->type->alloc(be, bytes);
    if (!st && !mem) {
        enum kn_status why = be->type->sync(be);
        st = why ? why : KN_OUT_OF_MEMORY;
    }
    st = st ? st : work_queue(be, k, mem, &w);
    be->type->release(be, mem, bytes);
    be->type->forget(be, &w);
    return st;
}

/* ---- faults: first of all tests, for the driver is initialised once ---- */

/* false: the n-th call never came. */
static bool survives(const char *name, long n, int code)
{
    struct work k = {0};
    char why[160] = "";
    work_fill(&k);
    fake_cuda_fail(n, code);
    struct kn_backend *be = kn_open(&(struct kn_options){.backend = name, .threads = 1, .cpu = -1},
                                    why, sizeof why);
    enum kn_status st = be ? work_do(be, &k) : KN_OK;
    if (be && st == KN_OUT_OF_MEMORY) { /* it was once */
        enum kn_status again = work_do(be, &k);
        if (again)
            fail_msg("call %ld failed once, and then: %d", n, again);
        work_check(&k);
    } else if (be && st) {
        assert_int_equal(st, KN_DEVICE_LOST);
        assert_int_equal(work_do(be, &k), KN_DEVICE_LOST);
    } else if (be) {
        work_check(&k);
    } else if (!*why || strchr(why, '\n')) {
        fail_msg("call %ld fails with %d: '%s'", n, code, why);
    }
    kn_close(be);
    bool came = fake_cuda_calls() >= n;
    if (fake_cuda_left())
        fail_msg("call %ld fails with %d: %ld left", n, code, fake_cuda_left());
    fake_cuda_fail(0, 0);
    return came;
}

static void test_faults(void **state)
{
    (void)state;
    static const char *const names[] = {"cuda", "split:cuda:0,cuda:1"};
    static const int codes[] = {OUT_OF_MEMORY, ILLEGAL_ADDRESS};
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < 2; c++) {
            long n = 1;
            while (survives(names[i], n, codes[c]))
                n++;
            print_message("%-20s %3d: %ld calls\n", names[i], codes[c], n - 1);
            assert_true(n > 150);
        }
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *devices, *name, *says;
    } BAD[] = {
        {"1", "cuda:1", "has 1, from cuda:0"}, {"4", "cuda:4", "has 4"},
        {"1", "cuda:", "cuda:1+cublas"},       {"1", "cuda:first", "unknown device"},
        {"0", "cuda", "no CUDA device"},       {"2", "split:cuda:0,cuda:2", "no cuda:2"},
        {"1", "cudas", "unknown backend"},     {"1", "cuda+", "unknown device"},
        {"1", "cuda:0x", "unknown device"},
    };
    char why[160];
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        setenv("FAKE_CUDA_DEVICES", BAD[i].devices, 1);
        assert_null(kn_open(&(struct kn_options){.backend = BAD[i].name, .threads = 1, .cpu = -1},
                            why, sizeof why));
        if (!strstr(why, BAD[i].says))
            fail_msg("%s: '%s' does not say %s", BAD[i].name, why, BAD[i].says);
        assert_int_equal(fake_cuda_left(), 0);
    }
    setenv("FAKE_CUDA_DEVICES", "0", 1);
    struct kn_backend *be = opened("auto");
    assert_string_equal(be->type->name, "cpu");
    kn_close(be);
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    be = opened(NULL); /* as "auto" */
    assert_string_equal(be->type->name, "cuda");
    assert_string_equal(be->describe, "cuda:0 fake device 0");
    assert_string_equal(be->driver, "CUDA 12.8");
    assert_true(be->exact_rows && !be->unified);
    closed(be);
}

/* A driver without its compiler is told when the device is opened, and auto goes on; unless the
 * device's machine code was built, which needs none. */
static void test_compiler(void **state)
{
    (void)state;
    char why[160] = "";
    setenv("FAKE_CUDA_DEVICES", "1", 1);
    setenv("FAKE_CUDA_NO_COMPILER", "1", 1);
    struct kn_backend *code = kn_open(
        &(struct kn_options){.backend = "cuda", .threads = 1, .cpu = -1}, why, sizeof why);
    if (code) { /* CUDA_CUBINS has its machine code */
        struct work k = {0};
        work_fill(&k);
        assert_int_equal(work_do(code, &k), KN_OK);
        work_check(&k);
        closed(code);
        unsetenv("FAKE_CUDA_NO_COMPILER");
        return;
    }
    assert_non_null(strstr(why, "libnvidia-ptxjitcompiler"));
    assert_non_null(strstr(why, "CUDA_ERROR_JIT_COMPILER_NOT_FOUND (221)"));
    assert_int_equal(fake_cuda_left(), 0);
    struct kn_backend *be = opened("auto");
    assert_string_not_equal(be->type->name, "cuda");
    kn_close(be);
    unsetenv("FAKE_CUDA_NO_COMPILER");
}

/* Of a list of n; other backends may have devices of their own in it. */
static const struct kn_device *device_named(const struct kn_device *list, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

static void test_devices(void **state)
{
    (void)state;
    struct kn_device list[KN_DEVICES_MAX];
    setenv("FAKE_CUDA_DEVICES", "2", 1);
    int n = kn_devices(&(struct kn_options){.backend = NULL, .threads = 1, .cpu = -1}, list);
    const struct kn_device *d = device_named(list, n, "cuda:1");
    assert_non_null(d);
    assert_string_equal(d->describe, "cuda:1 fake device 1");
    assert_true(d->there && d->exact_rows && !d->unified);
    assert_true(d->total == (size_t)4096 << 20 && d->available <= d->total);
    assert_non_null(device_named(list, n, "cuda:0"));
    assert_null(device_named(list, n, "cuda:2"));
    d = device_named(list, n, "cpu");
    assert_true(d && d->there && d->unified);
    setenv("FAKE_CUDA_DEVICES", "0", 1);
    n = kn_devices(&(struct kn_options){.backend = NULL, .threads = 1, .cpu = -1}, list);
    assert_null(device_named(list, n, "cuda:0"));
    d = device_named(list, n, "cuda");
    assert_true(d && !d->there && strstr(d->describe, "no CUDA device"));
    setenv("FAKE_CUDA_DEVICES", "1", 1);
    assert_int_equal(fake_cuda_left(), 0);
}

/* ---- memory ---- */

static int32_t pattern(int32_t i)
{
    return (int32_t)((uint32_t)i * 2654435761u >> 3);
}

/* More than the pinned halves hold, up and down again, from an odd place; and what changes after
 * it was taken. */
static void test_large(void **state)
{
    (void)state;
    enum { COUNT = 11 << 20 };
    struct kn_backend *be = opened("cuda");
    int32_t *mem = be->type->alloc(be, (COUNT + 1) * sizeof *mem),
            *host = malloc(COUNT * sizeof *host), *back = malloc(COUNT * sizeof *back);
    struct kn_view v = kn_moved(kn_view1(mem, KN_I32, COUNT), 1);
    assert_true(mem && host && back);
    assert_int_equal((uintptr_t)mem % 64, 0);
    for (int i = 0; i < COUNT; i++)
        host[i] = pattern(i);
    assert_int_equal(be->type->write(be, &v, host), KN_OK);
    memset(host, 0, COUNT * sizeof *host);
    assert_int_equal(be->type->read(be, &v, back), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    for (int i = 0; i < COUNT; i++)
        if (back[i] != pattern(i))
            fail_msg("element %d", i);
    be->type->release(be, mem, 0);
    free(host), free(back);
    closed(be);
}

static void test_views(void **state)
{
    (void)state;
    struct kn_backend *be = opened("cuda");
    float *mem = be->type->alloc(be, 24 * sizeof *mem), back[24];
    struct kn_view all = kn_view3(mem, KN_F32, 2, 3, 4),
                   part = kn_swap(kn_slice(all, 2, 1, 3), 0, 2);
    float in[12];
    for (int i = 0; i < 12; i++)
        in[i] = (float)i + 1;
    assert_int_equal(be->type->write(be, &part, in), KN_OK);
    assert_int_equal(be->type->read(be, &all, back), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++)
                assert_true(back[(a * 3 + b) * 4 + c] ==
                            (c == 1 || c == 2 ? in[((c - 1) * 3 + b) * 2 + a] : 0));
    assert_int_equal(be->type->fill(be, &part, -0.0f), KN_OK);
    assert_int_equal(be->type->read(be, &part, back), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    for (int i = 0; i < 12; i++)
        assert_true(back[i] == 0 && signbit(back[i]));
    be->type->release(be, mem, 24 * sizeof *mem);
    closed(be);
}

/* The device is full, and has room again once something went. */
static void test_full(void **state)
{
    (void)state;
    enum { PIECE = 1 << 30 };
    struct kn_backend *be = opened("cuda");
    char *piece[8];
    int n = 0;
    while (n < 8 && (piece[n] = be->type->alloc(be, PIECE)))
        n++;
    assert_int_equal(n, 3); /* of 4 GiB, less what lies between */
    size_t total, available;
    be->type->memory(be, &total, &available);
    assert_true(total == (size_t)4 << 30 && available < (size_t)PIECE);
    be->type->release(be, piece[--n], PIECE);
    assert_non_null(piece[n] = be->type->alloc(be, PIECE)); /* waits for what was let go of */
    for (; n >= 0; n--)
        be->type->release(be, piece[n], PIECE);
    assert_null(be->type->alloc(be, SIZE_MAX / 2));
    closed(be);
}

static void test_cancel(void **state)
{
    (void)state;
    struct kn_backend *be = opened("cuda");
    struct work k = {0};
    atomic_bool cancel = true;
    work_fill(&k);
    be->cancel = &cancel;
    assert_int_equal(work_do(be, &k), KN_CANCELLED);
    cancel = false;
    assert_int_equal(work_do(be, &k), KN_OK);
    work_check(&k);
    closed(be);
}

/* A weight of several halves of pinned memory comes up while what was queued before has not begun,
 * and what is queued behind it waits for it. */
static void test_import_beside(void **state)
{
    (void)state;
    enum { ROWS = 40 << 10, COLUMNS = 256, TURNS = 3 };
    struct kn_backend *be = opened("cuda");
    const struct cuda *c = (struct cuda *)be;
    float *big = malloc((size_t)ROWS * COLUMNS * sizeof *big), last[COLUMNS];
    assert_non_null(big);
    float *mem = be->type->alloc(be, sizeof last);
    struct kn_view out = kn_view1(mem, KN_F32, COLUMNS), weight[TURNS];
    assert_int_equal(be->type->fill(be, &out, 1), KN_OK);
    long done = c->stream->done;
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < ROWS * COLUMNS; i++)
            big[i] = (float)(i % 1000 + turn);
        struct kn_view host = kn_view2(big, KN_F32, ROWS, COLUMNS);
        assert_int_equal(be->type->import(be, &host, &weight[turn]), KN_OK);
        struct kn_view row = kn_index(weight[turn], 0, ROWS - 1);
        const struct kn_call add = {.op = KN_OP_ADD, .out = {out}, .in = {out, row}, .p.scale = 1};
        assert_int_equal(kn_run(be, &add), KN_OK);
        assert_int_equal(c->stream->done, done);
        assert_true(c->imports.stream->done > 0);
    }
    assert_int_equal(be->type->read(be, &out, last), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    for (int i = 0; i < COLUMNS; i++)
        assert_true(last[i] == (float)(1 + 3 * (((ROWS - 1) * COLUMNS + i) % 1000) + 0 + 1 + 2));
    for (int turn = 0; turn < TURNS; turn++)
        be->type->forget(be, &weight[turn]);
    be->type->release(be, mem, sizeof last);
    free(big);
    closed(be);
}

/* What lies on one device serves on the other, also when it changes behind what is queued. */
static void test_several(void **state)
{
    (void)state;
    setenv("FAKE_CUDA_DEVICES", "3", 1);
    struct kn_backend *be = opened("split:cuda:0,cuda:1,cuda:2"), *last = kn_part(be, 2, 3);
    struct work k = {0};
    work_fill(&k);
    assert_int_equal(work_do(be, &k), KN_OK);
    work_check(&k);
    float *a = be->type->alloc(be, 6 * sizeof *a), *b = last->type->alloc(last, 6 * sizeof *b);
    struct kn_view va = kn_view2(a, KN_F32, 2, 3), vb = kn_view2(b, KN_F32, 2, 3), turned = va;
    float back[6];
    turned = kn_swap(kn_view2(a, KN_F32, 3, 2), 0, 1); /* columns side by side */
    for (int turn = 1; turn < 4; turn++) {
        float in[6];
        for (int i = 0; i < 6; i++)
            in[i] = (float)(turn * 10 + i);
        const struct kn_call add = {
            .op = KN_OP_ADD, .out = {vb}, .in = {vb, turn == 2 ? turned : va}, .p.scale = 1};
        const struct kn_call copy = {
            .op = KN_OP_COPY, .out = {vb}, .in = {turn == 2 ? turned : va}};
        assert_int_equal(be->type->write(be, &va, in), KN_OK);
        assert_int_equal(kn_run(be, turn == 3 ? &add : &copy), KN_OK);
        assert_int_equal(be->type->fill(be, &va, 1000), KN_OK);
    }
    assert_int_equal(be->type->read(be, &vb, back), KN_OK);
    assert_int_equal(be->type->sync(be), KN_OK);
    for (int i = 0; i < 6; i++)
        assert_true(back[i] == (float)(20 + i / 3 + i % 3 * 2 + 30 + i));
    be->type->release(be, a, 6 * sizeof *a);
    be->type->release(be, b, 6 * sizeof *b);
    closed(be);
}

/* The same on a machine whose devices give each other no access. */
static void test_apart(void **state)
{
    setenv("FAKE_CUDA_APART", "1", 1);
    test_several(state);
    unsetenv("FAKE_CUDA_APART");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_devices),       cmocka_unit_test(test_large),
        cmocka_unit_test(test_views),         cmocka_unit_test(test_full),
        cmocka_unit_test(test_cancel),        cmocka_unit_test(test_several),
        cmocka_unit_test(test_apart),         cmocka_unit_test(test_compiler),
        cmocka_unit_test(test_import_beside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
