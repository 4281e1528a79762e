/* bench_share.c - a plain forward beside the roofline that the same rounds measure, beside a busy
 * competitor, and how soon it stops when it is cancelled.
 *
 *   bench_share [--threads N] [--busy] [--goals]
 *
 * A random model of GPT-2's small size, f32.  The roofline of a pass over n rows is the larger of
 * reading every weight once and of two operations for each weight and row, block by block; the
 * unembedding is of one row.  Attention, norms and activations are not in it: they are the
 * program's to hide.  It is measured before and after the passes of a round, which is dropped and
 * made again where the machine changed meanwhile: it was another's for a while.
 */
#include "bench_bed.h"
#include "bench_roof.h"
#include "bench_row.h"
#include "cpu/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MEMORY = 512 << 20, CANCELS = 200, CANCEL_TOKENS = 128 };

static struct bed b;
static struct run *plain;

/* Parameters of the products of a block, and of the unembedding. */
static double block_params(void)
{
    static const enum weight_id ids[] = {W_Q, W_K, W_V, W_O, W_IN, W_OUT};
    double n = 0;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        n += (double)kn_count(model_weight(b.m, 0, ids[i]));
    return n;
}

static double seconds(double params, double rows, double flops, double bytes)
{
    double read = params * sizeof(float) / bytes, work = 2 * params * rows / flops;
    return read > work ? read : work;
}

struct roof_at {
    double flops, bytes; /* a second */
};

static struct roof_at roof_now(struct pool *pool, char *memory)
{
    return (struct roof_at){.flops = roof_flops(pool, roof_of(-1), bench_options.threads),
                            .bytes = roof_bytes(pool, roof_of(-1), memory, MEMORY)};
}

static bool is_steady(double before, double after)
{
    const double change = .15;
    return before < after * (1 + change) && after < before * (1 + change);
}

/* Shares of the roofline in the rounds that were steady, and how many were not. */
static void shares_report(const int *lengths, const double *must, int n,
                          double (*share)[BENCH_ROUNDS], int rounds, double dropped)
{
    for (int i = 0; i < n; i++) {
        char what[80];
        snprintf(what, sizeof what, "plain forward, %d tokens: share of the roofline", lengths[i]);
        if (rounds)
            bench_report("G17", what, "%", ">=", must[i], share[i], rounds);
        else
            bench_report_absent("G17", what, ">=", must[i], "the machine was never steady");
    }
    bench_report("G17", "rounds dropped, the roof changed by 15 % in them", "", "", 0, &dropped, 1);
}

static void roofline(void)
{
    static const int lengths[] = {1, 16, 32, 128};
    static const double must[] = {80, 70, 60, 35};
    enum { LENGTHS = sizeof lengths / sizeof *lengths, TRIES = 3 * BENCH_ROUNDS };
    double share[LENGTHS][BENCH_ROUNDS], block = block_params();
    double u = (double)b.m->cfg.d_vocab * b.m->cfg.d_model;
    struct pool *pool = pool_new(bench_options.threads);
    char *memory = b.be->type->alloc(b.be, MEMORY);
    if (!pool || !memory)
        bed_check(-1, &(struct err){.text = "out of memory"});
    for (size_t i = 0; i < MEMORY; i += 64)
        memory[i] = 1; /* pages of their own */
    int kept = 0, dropped = 0;
    struct roof_at before = roof_now(pool, memory);
    for (int try = -1; try < TRIES && kept < BENCH_ROUNDS; try++) {
        double took[LENGTHS];
        for (int i = 0; i < LENGTHS; i++) {
            bed_length(&b, lengths[i]);
            took[i] = -bench_now();
            bed_forward(&b, plain);
            took[i] += bench_now();
        }
        struct roof_at after = roof_now(pool, memory);
        bool steady = is_steady(before.flops, after.flops) && is_steady(before.bytes, after.bytes);
        double flops = (before.flops + after.flops) / 2, bytes = (before.bytes + after.bytes) / 2;
        for (int i = 0; i < LENGTHS && steady && try >= 0; i++)
            share[i][kept] = 100e3 / took[i] *
                             (b.m->cfg.n_layers * seconds(block, lengths[i], flops, bytes) +
                              seconds(u, 1, flops, bytes));
        before = after;
        kept += steady && try >= 0, dropped += !steady && try >= 0;
    }
    shares_report(lengths, must, LENGTHS, share, kept, dropped);
    b.be->type->release(b.be, memory, MEMORY);
    pool_free(pool);
}

/* A process that keeps one core busy while it is let. */
static pid_t competitor(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (volatile uint64_t i = 0;; i++)
            ;
    kill(pid, SIGSTOP);
    return pid;
}

static void competition(void)
{
    static const char what[] = "one busy competitor / alone, 128 tokens";
    double alone[BENCH_ROUNDS], beside[BENCH_ROUNDS];
    if (bench_options.busy) {
        bench_report_absent("G15", what, "<=", 1.7, "only the clock can tell");
        return;
    }
    pid_t pid = competitor();
    if (pid < 0)
        bed_check(-1, &(struct err){.text = "cannot fork"});
    bed_length(&b, 128);
    for (int round = -1; round < BENCH_ROUNDS; round++)
        for (int busy = 0; busy < 2; busy++) {
            kill(pid, busy ? SIGCONT : SIGSTOP);
            nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
            double from = bench_now();
            bed_forward(&b, plain);
            if (round >= 0)
                (busy ? beside : alone)[round] = bench_now() - from;
        }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    bench_report_ratio("G15", what, "<=", 1.7, beside, alone, BENCH_ROUNDS);
}

/* ---- cancelling ---- */

static atomic_bool cancel_flag, running;
static atomic_int_fast64_t ended_ns; /* when the pass came back */

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *pass(void *unused)
{
    struct err e;
    (void)unused;
    b.tokens[0] = ++b.passes % b.m->cfg.d_vocab;
    atomic_store(&running, true);
    (void)run_sync(plain, run_ids(b.tokens, b.n), NULL, NULL, NULL, &e);
    atomic_store(&ended_ns, clock_ns());
    return NULL;
}

static void cancelling(void)
{
    static double took[CANCELS];
    int n = 0;
    bed_length(&b, CANCEL_TOKENS);
    double whole = -(double)clock_ns();
    bed_forward(&b, plain);
    whole += (double)clock_ns();
    b.be->cancel = &cancel_flag;
    for (int i = 0; i < CANCELS; i++) {
        pthread_t t;
        atomic_store(&running, false);
        if (pthread_create(&t, NULL, pass, NULL))
            bed_check(-1, &(struct err){.text = "cannot start a thread"});
        while (!atomic_load(&running))
            ;
        nanosleep(&(struct timespec){.tv_nsec = (long)(whole * .9 * i / CANCELS)}, NULL);
        int64_t asked = clock_ns();
        atomic_store(&cancel_flag, true);
        pthread_join(t, NULL);
        atomic_store(&cancel_flag, false);
        if (atomic_load(&ended_ns) > asked) /* else it was through before */
            took[n++] = 1e-6 * (double)(atomic_load(&ended_ns) - asked);
    }
    b.be->cancel = NULL;
    bench_report("G16", "cancelled in the middle -> idle, 128 tokens", "ms", "<=", 5, took, n);
    if (n)
        bench_report("G16", "the same, the 95th of 100", "ms", "<=", 5, took + n * 95 / 100, 1);
}

int main(int argc, char **argv)
{
    bench_take_options(&argc, argv);
    if (argc > 1) {
        fprintf(stderr, "bench_share: %s · --threads N, --busy, --goals\n", argv[1]);
        return 2;
    }
    bed_open(&b, bench_model(ST_F32));
    plain = bed_run(&b, NULL, 0);
    roofline();
    competition();
    cancelling();
    run_free(plain);
    bed_close(&b);
    bench_model_remove();
    return 0;
}
