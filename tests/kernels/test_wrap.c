/* test_wrap.c - the backends that wrap others: memory of every backend, what fence: forbids, what
 * check: finds and what trace: counts. */
#include "ktest.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wrap.h"

static struct kn_backend *open_or_fail(const char *name)
{
    char why[128] = "";
    struct kn_backend *be = kn_open(&(struct kn_options){name, 2, -1}, why, sizeof why);
    if (!be)
        fail_msg("%s: %s", name, why);
    return be;
}

static void sync_ok(struct kn_backend *be)
{
    assert_int_equal(be->type->sync(be), KN_OK);
}

/* Zeroed; strided elements go there and back; what is written is taken at once; order holds. */
static void memory_of(const char *name)
{
    struct kn_backend *be = open_or_fail(name);
    const struct kn_backend_type *t = be->type;
    float host[24], back[24], middle[4];
    for (int i = 0; i < 24; i++)
        host[i] = (float)i;
    float *mem = t->alloc(be, 100 * sizeof *mem);
    struct kn_view whole = kn_view2(mem, KN_F32, 4, 6), turned = kn_swap(whole, 0, 1),
                   part = kn_slice(kn_slice(whole, 0, 1, 3), 1, 2, 4);
    whole.first = 3, turned.first += 3, part.first += 3;
    assert_int_equal((uintptr_t)mem % 64, 0);
    assert_int_equal(t->read(be, &whole, back), KN_OK);
    sync_ok(be);
    for (int i = 0; i < 24; i++)
        assert_true(back[i] == 0 && !signbit(back[i]));
    assert_int_equal(t->write(be, &turned, host), KN_OK);
    memset(host, 0, sizeof host);
    assert_int_equal(t->read(be, &whole, back), KN_OK);
    assert_int_equal(t->fill(be, &part, -1.5f), KN_OK);
    assert_int_equal(t->read(be, &part, middle), KN_OK);
    sync_ok(be);
    for (int i = 0; i < 24; i++)
        assert_true(back[i] == (float)(i % 6 * 4 + i / 6));
    for (int i = 0; i < 4; i++)
        assert_true(middle[i] == -1.5f);

    /* An import, a part of it as an operand, and everything let go of before it is done. */
    uint16_t half[40];
    for (int i = 0; i < 40; i++)
        half[i] = (uint16_t)(0x3c00 + i);
    struct kn_view weight = kn_swap(kn_view2(half, KN_F16, 5, 8), 0, 1), in, absent = {0};
    weight.first = 0;
    assert_int_equal(t->import(be, &weight, &in), KN_OK);
    assert_true(in.dtype == KN_F16 && in.ndim == 2 && in.shape[0] == 8 && in.shape[1] == 5);
    assert_int_equal(t->read(be, &part, middle), KN_OK);
    uint16_t column[8];
    struct kn_view one = kn_index(in, 1, 3);
    assert_int_equal(t->read(be, &one, column), KN_OK);
    t->forget(be, &in);
    assert_true(in.ndim == 0);
    assert_int_equal(t->import(be, &absent, &in), KN_OK);
    assert_int_equal(in.ndim, 0);
    t->forget(be, &in);
    t->release(be, mem, 100 * sizeof *mem);
    t->release(be, NULL, 0);
    sync_ok(be);
    assert_memory_equal(column, half + 24, sizeof column);
    assert_true(middle[3] == -1.5f);
    assert_null(t->alloc(be, SIZE_MAX / 2));
    size_t total, available;
    t->memory(be, &total, &available);
    assert_true(available <= total && be->rows_preferred > 0);
    kn_close(be);
}

static void test_memory(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"cpu",       "fence:cpu",           "check:cpu,cpu",
                                        "trace:cpu", "check:cpu,fence:cpu", "trace:fence:cpu"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        memory_of(NAMES[i]);
}

static struct kn_call sum_call(float *out, float *a, float *b)
{
    return (struct kn_call){.op = KN_OP_ADD,
                            .out = {kn_view2(out, KN_F32, 2, 3)},
                            .in = {kn_view2(a, KN_F32, 2, 3), kn_view2(b, KN_F32, 2, 3)},
                            .p = {.scale = 1}};
}

static void test_fence_waits(void **state)
{
    (void)state;
    struct kn_backend *be = open_or_fail("fence:cpu");
    atomic_bool cancel = false;
    be->cancel = &cancel;
    assert_false(be->unified);
    assert_true(be->exact_rows);
    assert_non_null(strstr(be->describe, "fence:cpu"));
    float *mem = be->type->alloc(be, 18 * sizeof *mem), got[6];
    struct kn_call call = sum_call(mem, mem + 6, mem + 12);
    assert_int_equal(be->type->fill(be, &call.in[0], 2), KN_OK);
    assert_int_equal(be->type->fill(be, &call.in[1], 3), KN_OK);
    assert_int_equal(kn_run(be, &call), KN_OK);
    assert_int_equal(be->type->read(be, &call.out[0], got), KN_OK);
    for (int i = 0; i < 6; i++)
        assert_true(isnan(got[i]));
    sync_ok(be);
    for (int i = 0; i < 6; i++)
        assert_true(got[i] == 5);

    /* Cancelled while it waits: no operation runs any more, memory still moves. */
    assert_int_equal(be->type->fill(be, &call.in[0], 7), KN_OK);
    assert_int_equal(kn_run(be, &call), KN_OK);
    assert_int_equal(be->type->read(be, &call.in[0], got), KN_OK);
    cancel = true;
    assert_int_equal(be->type->sync(be), KN_CANCELLED);
    assert_true(got[0] == 7);
    assert_int_equal(kn_run(be, &call), KN_CANCELLED);
    cancel = false;
    assert_int_equal(be->type->read(be, &call.out[0], got), KN_OK);
    sync_ok(be);
    assert_true(got[0] == 5);
    assert_int_equal(be->type->write(be, &call.in[0], got), KN_OK);
    kn_close(be); /* with work in the queue */
}

typedef void breach(struct kn_backend *be, float *mem);

static void host_input(struct kn_backend *be, float *mem)
{
    float own[6] = {0};
    struct kn_call call = sum_call(mem, mem + 6, own);
    kn_run(be, &call);
}

static void host_output(struct kn_backend *be, float *mem)
{
    float own[6] = {0};
    struct kn_call call = sum_call(own, mem + 6, mem);
    kn_run(be, &call);
}

static void past_the_end(struct kn_backend *be, float *mem)
{
    struct kn_call call = sum_call(mem, mem + 6, mem + 12);
    call.in[1].first = 1 << 20;
    kn_run(be, &call);
}

static void after_release(struct kn_backend *be, float *mem)
{
    struct kn_call call = sum_call(mem, mem + 6, mem + 12);
    kn_run(be, &call);
    be->type->release(be, mem, 18 * sizeof *mem);
    kn_run(be, &call);
}

static void host_written(struct kn_backend *be, float *mem)
{
    struct kn_view v = kn_view1(&(float){0}, KN_F32, 1);
    be->type->write(be, &v, &(float){1});
    (void)mem;
}

static void touched(struct kn_backend *be, float *mem)
{
    (void)be;
    *(volatile float *)mem = 1;
}

/* In a process of its own: how it ended, and what it said. */
static int breach_try(const char *name, breach *fn, char *said, size_t size)
{
    int pipes[2], status = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        static const int SIGNALS[] = {SIGSEGV, SIGABRT, SIGBUS}; /* cmocka takes them */
        for (int i = 0; i < 3; i++)
            signal(SIGNALS[i], SIG_DFL);
        dup2(pipes[1], STDERR_FILENO);
        struct kn_backend *be = open_or_fail(name);
        fn(be, be->type->alloc(be, 18 * sizeof(float)));
        _exit(0);
    }
    close(pipes[1]);
    ssize_t n = read(pipes[0], said, size - 1);
    said[n > 0 ? n : 0] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_fence_refuses(void **state)
{
    (void)state;
    static const struct {
        breach *fn;
        int signal;
        const char *says;
    } BREACHES[] = {
        {host_input, SIGABRT, "in1 of add"},   {host_output, SIGABRT, "out0 of add"},
        {past_the_end, SIGABRT, "in1 of add"}, {after_release, SIGABRT, "out0 of add"},
        {host_written, SIGABRT, "v of write"},
    };
    char said[512];
    for (size_t i = 0; i < sizeof BREACHES / sizeof *BREACHES; i++)
        for (int check = 0; check < 2; check++) {
            const char *name = check ? "check:cpu,cpu" : "fence:cpu";
            assert_int_equal(breach_try(name, BREACHES[i].fn, said, sizeof said),
                             BREACHES[i].signal);
            if (!strstr(said, BREACHES[i].says))
                fail_msg("%s does not say %s", said, BREACHES[i].says);
        }
    int ended = breach_try("fence:cpu", touched, said, sizeof said);
    assert_true(ended == SIGSEGV || said[0]); /* sanitizers say so instead */
}

/* A backend that is right but for one element of one operation. */
static struct kn_backend_type wrong_type;
static enum kn_status (*right_run)(struct kn_backend *be, const struct kn_call *call);

static enum kn_status wrong_run(struct kn_backend *be, const struct kn_call *call)
{
    enum kn_status st = right_run(be, call);
    if (call->op == KN_OP_ADD)
        kn_f32(&call->out[0])[4] *= 1 + 1e-3f;
    if (call->op == KN_OP_ACT)
        kn_f32(&call->out[0])[4] *= 1 + 1e-6f;
    return st;
}

static void test_check_finds(void **state)
{
    (void)state;
    struct kn_backend *a = open_or_fail("cpu"), *b = open_or_fail("cpu");
    right_run = b->type->run;
    wrong_type = *b->type;
    wrong_type.run = wrong_run, wrong_type.name = "wrong";
    b->type = &wrong_type;
    struct kn_backend *be = check_new(a, b);
    float *mem = be->type->alloc(be, 18 * sizeof *mem), got[6];
    struct kn_call call = sum_call(mem, mem + 6, mem + 12);
    assert_int_equal(be->type->fill(be, &call.in[0], 2), KN_OK);
    call.op = KN_OP_ACT, call.p.act = KN_ACT_SILU;
    assert_int_equal(kn_run(be, &call), KN_OK);
    assert_null(kn_departure(be));
    assert_true(kn_seen(be, KN_OP_ACT)->calls == 1 && kn_seen(be, KN_OP_ACT)->worst > 0);
    call.op = KN_OP_ADD;
    for (int i = 0; i < 2; i++)
        assert_int_equal(kn_run(be, &call), KN_OK);
    const char *line = kn_departure(be);
    assert_non_null(line);
    if (!strstr(line, "add · call 1 · out0 · element 4 of 6") || !strstr(line, "on wrong"))
        fail_msg("%s", line);
    assert_true(fabs(kn_seen(be, KN_OP_ADD)->worst - 1e-3) < 1e-6);
    assert_int_equal(kn_seen(be, KN_OP_ADD)->calls, 2);
    /* What follows is A's. */
    assert_int_equal(be->type->read(be, &call.out[0], got), KN_OK);
    sync_ok(be);
    assert_true(got[4] == 2);
    kn_close(be);
}

static void test_trace_counts(void **state)
{
    (void)state;
    struct kn_backend *be = open_or_fail("trace:cpu");
    assert_true(be->unified && be->exact_rows);
    float *mem = be->type->alloc(be, 18 * sizeof *mem), got[6];
    struct kn_call call = sum_call(mem, mem + 6, mem + 12);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kn_run(be, &call), KN_OK);
    assert_int_equal(be->type->fill(be, &call.in[0], 2), KN_OK);
    assert_int_equal(be->type->read(be, &call.in[0], got), KN_OK);
    const struct kn_seen *add = kn_seen(be, KN_OP_ADD), *read = kn_seen(be, KN_SEEN_READ);
    assert_true(add->calls == 3 && add->bytes == 3 * 18 * 4 && add->seconds > 0);
    assert_true(read->calls == 1 && read->bytes == 24);
    assert_int_equal(kn_seen(be, KN_SEEN_FILL)->calls, 1);
    assert_int_equal(kn_seen(be, KN_OP_LINEAR)->calls, 0);
    assert_string_equal(kn_seen_name(KN_OP_ADD), "add");
    assert_string_equal(kn_seen_name(KN_SEEN_WRITE), "write");
    assert_null(kn_departure(be));
    be->type->release(be, mem, 18 * sizeof *mem);
    kn_close(be);
    be = open_or_fail("cpu");
    assert_null(kn_seen(be, KN_OP_ADD));
    kn_close(be);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
    } BAD[] = {
        {"fence:", "fence:B"},          {"fence:abacus", "abacus"},     {"check:cpu", "two"},
        {"check:cpu,abacus", "abacus"}, {"trace:abacus", "check:A,B"},  {"fences:cpu", "trace:B"},
        {"fence:fence:cpu", "host"},    {"check:abacus,cpu", "abacus"},
    };
    char why[160];
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_null(kn_open(&(struct kn_options){BAD[i].name, 1, -1}, why, sizeof why));
        if (!strstr(why, BAD[i].says))
            fail_msg("%s: '%s' does not say %s", BAD[i].name, why, BAD[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_fence_waits),
        cmocka_unit_test(test_fence_refuses), cmocka_unit_test(test_check_finds),
        cmocka_unit_test(test_trace_counts),  cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
