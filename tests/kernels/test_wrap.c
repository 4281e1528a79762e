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
    struct kn_backend *be = kn_open(&(struct kn_options){.backend = name, .threads = 2, .cpu = -1},
                                    why, sizeof why);
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
    static const char *const NAMES[] = {"cpu",
                                        "fence:cpu",
                                        "check:cpu,cpu",
                                        "trace:cpu",
                                        "check:cpu,fence:cpu",
                                        "trace:fence:cpu",
                                        "split:cpu,cpu",
                                        "split:fence:cpu,fence:cpu"};
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
        for (int k = 0; k < 3; k++) {
            const char *name = k == 0 ? "fence:cpu" : k == 1 ? "check:cpu,cpu" : "split:cpu,cpu";
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

/* A part that counts what it does, promises little, and can be lost. */
static struct kn_backend_type part_type;
static const struct kn_backend_type *part_right;
static int part_runs, part_reads;
static bool part_lost;

static enum kn_status part_run(struct kn_backend *be, const struct kn_call *call)
{
    part_runs++;
    return part_lost ? KN_DEVICE_LOST : part_right->run(be, call);
}

static enum kn_status part_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    part_reads++;
    return part_right->read(be, v, host);
}

static struct kn_backend *counted(const char *name)
{
    struct kn_backend *be = open_or_fail(name);
    part_right = be->type;
    part_type = *be->type;
    part_type.run = part_run, part_type.read = part_read;
    be->type = &part_type;
    return be;
}

/* Both parts counted, little room for copies. */
static struct kn_backend *split_counted(const char *name, size_t copies_bytes)
{
    struct kn_backend *parts[2] = {counted(name), counted(name)};
    part_runs = part_reads = 0, part_lost = false;
    parts[1]->exact_rows = false, parts[1]->alloc_max = 1 << 20;
    struct kn_backend *be = split_new(parts, 2, copies_bytes);
    assert_non_null(be);
    return be;
}

static void test_split_promises(void **state)
{
    (void)state;
    struct kn_backend *be = split_counted("cpu", 1 << 20), *cpu = open_or_fail("cpu");
    assert_true(!be->unified && !be->exact_rows && be->alloc_max == 1 << 20);
    assert_non_null(strstr(be->describe, "split:cpu"));
    assert_ptr_equal(kn_part(cpu, 2, 3), cpu);
    struct kn_backend *first = kn_part(be, 0, 5), *last = kn_part(be, 4, 5);
    assert_ptr_not_equal(first, last);
    assert_ptr_equal(kn_part(last, 1, 5), first);
    assert_ptr_equal(kn_part(first, 3, 5), last);
    size_t total, available, one, unused;
    be->type->memory(be, &total, &available);
    cpu->type->memory(cpu, &one, &unused);
    assert_true(total == one); /* both work in the host's */
    assert_null(kn_seen(be, KN_OP_ADD));
    kn_close(cpu);
    kn_close(be);
    be = open_or_fail("split:trace:cpu,trace:cpu");
    for (int i = 0; i < 3; i++) { /* of either part */
        struct kn_backend *part = kn_part(be, i % 2, 2);
        float *mem = part->type->alloc(part, 18 * sizeof *mem);
        struct kn_call call = sum_call(mem, mem + 6, mem + 12);
        assert_int_equal(kn_run(be, &call), KN_OK);
        be->type->release(be, mem, 18 * sizeof *mem);
    }
    assert_true(kn_seen(be, KN_OP_ADD)->calls == 3 && !kn_departure(be));
    kn_close(be);
}

/* A copy is made once, and again when its source changed: by an operation, write or fill. */
static void split_copies(const char *name)
{
    struct kn_backend *be = split_counted(name, 1 << 20), *b = kn_part(be, 1, 2);
    const struct kn_backend_type *t = be->type;
    float *in = t->alloc(be, 12 * sizeof *in), *out = b->type->alloc(b, 6 * sizeof *out), got[6],
          one[6] = {1, 1, 1, 1, 1, 1};
    struct kn_call call = sum_call(out, in, in + 6), own = sum_call(in, in + 6, in + 6);
    static const struct {
        float sum;
        int reads;
    } want[] = {{5, 2}, {5, 0}, {4, 2}, {8, 2}, {8, 0}};
    assert_int_equal(t->fill(be, &call.in[0], 2), KN_OK);
    assert_int_equal(t->fill(b, &call.in[1], 3), KN_OK);
    for (int i = 0; i < 5; i++) {
        if (i == 2)
            assert_int_equal(t->write(b, &call.in[0], one), KN_OK);
        if (i == 3) {
            assert_int_equal(t->fill(b, &call.in[1], 0), KN_OK);
            assert_int_equal(kn_run(b, &own), KN_OK); /* on the first part, whoever is asked */
            assert_int_equal(t->fill(b, &call.in[1], 8), KN_OK);
        }
        part_reads = 0;
        assert_int_equal(kn_run(i % 2 ? b : be, &call), KN_OK);
        assert_int_equal(part_reads, want[i].reads);
        assert_int_equal(t->read(be, &call.out[0], got), KN_OK);
        sync_ok(be);
        for (int k = 0; k < 6; k++)
            assert_true(got[k] == want[i].sum);
    }
    /* What is let go of is not found again; results of one call lie on one part. */
    t->release(b, in, 12 * sizeof *in);
    float *anew = t->alloc(be, 12 * sizeof *anew);
    call = sum_call(out, anew, anew + 6);
    assert_int_equal(kn_run(be, &call), KN_OK);
    assert_int_equal(t->read(be, &call.out[0], got), KN_OK);
    sync_ok(be);
    assert_true(got[0] == 0);
    call = (struct kn_call){.op = KN_OP_NORMALIZE_VJP,
                            .out = {kn_view2(out, KN_F32, 2, 3), kn_view2(anew, KN_F32, 2, 1)}};
    assert_int_equal(kn_run(be, &call), KN_BAD_CALL);
    part_lost = true;
    call = sum_call(out, anew, anew + 6);
    assert_int_equal(kn_run(be, &call), KN_DEVICE_LOST);
    kn_close(be);
}

static void test_split_copies(void **state)
{
    (void)state;
    split_copies("cpu");
    split_copies("fence:cpu");
}

/* The copy that was not used for longest goes. */
static void test_split_room(void **state)
{
    (void)state;
    enum { N = 64 };
    struct kn_backend *be = split_counted("fence:cpu", 2 * N * sizeof(float)),
                      *b = kn_part(be, 1, 2);
    float *in = be->type->alloc(be, 3 * N * sizeof *in), *out = b->type->alloc(b, N * sizeof *out);
    static const int order[] = {0, 1, 0, 2, 0, 1}, read[] = {1, 1, 0, 1, 0, 1};
    for (int i = 0; i < 6; i++) {
        part_reads = 0;
        struct kn_call call = {.op = KN_OP_COPY,
                               .out = {kn_view1(out, KN_F32, N)},
                               .in = {kn_view1(in + order[i] * N, KN_F32, N)}};
        assert_int_equal(kn_run(be, &call), KN_OK);
        assert_int_equal(part_reads, read[i]);
    }
    kn_close(be);
}

/* What a call makes of host operands, its results on the last part. */
static void made(struct kn_backend *be, struct kn_call call, const struct kn_view in[2], float *out)
{
    struct kn_backend *last = kn_part(be, 1, 2);
    size_t bytes = (size_t)kn_count(&call.out[0]) * sizeof *out;
    call.out[0].data = last->type->alloc(last, bytes);
    for (int i = 0; i < 2; i++)
        assert_int_equal(be->type->import(be, &in[i], &call.in[i]), KN_OK);
    assert_int_equal(kn_run(be, &call), KN_OK);
    for (int i = 0; i < 2; i++)
        be->type->forget(be, &call.in[i]);
    assert_int_equal(be->type->read(be, &call.out[0], out), KN_OK);
    sync_ok(be);
    be->type->release(be, call.out[0].data, bytes);
}

/* Operands of every way to lie: the bits are those of one device. */
static void split_layouts(const char *name)
{
    enum { R = 3, K = 64, N = 5, BLOCK = 34, STORED = N * 4 * K / 32 * BLOCK };
    struct kn_backend *be = open_or_fail(name), *cpu = open_or_fail("cpu");
    float x[N * K], got[R * K], want[R * K];
    uint8_t q[STORED];
    for (int i = 0; i < N * K; i++)
        x[i] = sinf((float)i);
    for (int i = 0; i < STORED; i++) /* scales of 2^-4 */
        q[i] = (uint8_t)(i % BLOCK == 0 ? 0 : i % BLOCK == 1 ? 0x2c : i * 37);
    struct kn_view rows = kn_view2(x, KN_F32, R, K), absent = {0}, repeated = rows,
                   turned = kn_swap(kn_view2(x, KN_F32, K, R), 0, 1),
                   stored = kn_view2(q, KN_Q8_0, N, 4 * K);
    repeated.stride[0] = 0;
    const struct {
        enum kn_op op;
        int64_t columns;
        struct kn_view in[2];
    } cases[] = {
        {KN_OP_COPY, K, {rows, absent}},
        {KN_OP_COPY, K, {turned, absent}},
        {KN_OP_COPY, K, {repeated, absent}},
        {KN_OP_COPY, 30, {kn_slice(kn_slice(turned, 1, 4, 34), 0, 0, R), absent}},
        {KN_OP_LINEAR, N, {rows, kn_view2(x, KN_F32, N, K)}},
        {KN_OP_LINEAR, N, {rows, kn_swap(kn_view2(x, KN_F32, K, N), 0, 1)}}, /* as a Conv1D */
        {KN_OP_LINEAR, N, {rows, kn_slice(stored, 1, 37, 37 + K)}},
        {KN_OP_LINEAR, N, {rows, kn_slice(stored, 1, 3 * K, 4 * K)}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct kn_call call = {.op = cases[i].op,
                               .out = {kn_view2(NULL, KN_F32, R, cases[i].columns)}};
        made(cpu, call, cases[i].in, want);
        made(be, call, cases[i].in, got);
        assert_memory_equal(got, want, (size_t)(R * cases[i].columns) * sizeof *got);
        assert_true(want[1] != 0);
    }
    kn_close(cpu);
    kn_close(be);
}

static void test_split_layouts(void **state)
{
    (void)state;
    split_layouts("split:cpu,cpu");
    split_layouts("split:fence:cpu,fence:cpu");
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *says;
    } BAD[] = {
        {"fence:", "fence:B"},
        {"fence:abacus", "abacus"},
        {"check:cpu", "two"},
        {"check:cpu,abacus", "abacus"},
        {"trace:abacus", "check:A,B"},
        {"fences:cpu", "trace:B"},
        {"fence:fence:cpu", "host"},
        {"check:abacus,cpu", "abacus"},
        {"split:cpu", "two"},
        {"split:cpu,abacus", "abacus"},
        {"trace:split:cpu", "outside"},
        {"split:cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,cpu,"
         "cpu,cpu,cpu,cpu,cpu",
         "16"},
    };
    char why[160];
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_null(kn_open(&(struct kn_options){.backend = BAD[i].name, .threads = 1, .cpu = -1},
                            why, sizeof why));
        if (!strstr(why, BAD[i].says))
            fail_msg("%s: '%s' does not say %s", BAD[i].name, why, BAD[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),        cmocka_unit_test(test_fence_waits),
        cmocka_unit_test(test_fence_refuses), cmocka_unit_test(test_check_finds),
        cmocka_unit_test(test_trace_counts),  cmocka_unit_test(test_split_promises),
        cmocka_unit_test(test_split_copies),  cmocka_unit_test(test_split_room),
        cmocka_unit_test(test_split_layouts), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
