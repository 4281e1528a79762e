/* pool.c - see pool.h.  Tested in tests/kernels/test_pool.c.
 *
 * The queue is one 64-bit ticket: the job's number in the high half, the chunks left in the low
 * half. A thread claims a chunk by compare-and-swap, so a late thread of an older job can never
 * touch a newer one: its ticket does not match.  Once a chunk is claimed its job cannot end before
 * that chunk does, so the job's fields are stable while anybody reads them.
 */
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
    SPIN_NS = 30000,    /* longest spin before sleeping */
    GAP_NS = 100000,    /* two looks at the clock further apart than this: the core is shared */
    SHARED_WAITS = 256, /* waits without spinning after that was seen */
    PAUSES = 32         /* between two looks at the clock */
};

struct worker {
    struct pool *pool;
    pthread_t thread;
    void *scratch;
    int shared; /* waits left without spinning */
};

struct pool {
    /* the job; written by the caller while no chunk can be claimed */
    pool_fn *fn;
    void *ctx;
    int64_t chunks;
    const atomic_bool *cancel;
    atomic_bool cancelled;

    _Alignas(64) atomic_uint_fast64_t ticket;
    _Alignas(64) atomic_int_fast64_t pending; /* chunks not yet returned */
    atomic_int sleepers;                      /* workers that sleep or are about to */
    atomic_bool caller_sleeps;
    atomic_bool quit;

    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    size_t scratch_size;
    int threads;
    struct worker *workers; /* [threads]; 0 is the caller */
};

static const uint64_t LEFT_MASK = 0xffffffffu;

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static bool has_work(struct pool *p)
{
    return (atomic_load(&p->ticket) & LEFT_MASK) != 0 || atomic_load(&p->quit);
}

static bool all_done(struct pool *p)
{
    return atomic_load(&p->pending) == 0;
}

/* Spin until ready(p) or the time is up; true if ready. */
static bool spin(struct worker *w, bool (*ready)(struct pool *))
{
    if (ready(w->pool))
        return true;
    if (w->shared > 0) {
        w->shared--;
        return false;
    }
    int64_t start = clock_ns(), last = start;
    while (last - start < SPIN_NS) {
        for (int i = 0; i < PAUSES; i++) {
            cpu_relax();
            if (ready(w->pool))
                return true;
        }
        int64_t now = clock_ns();
        if (now - last > GAP_NS)
            w->shared = SHARED_WAITS;
        last = now;
    }
    return false;
}

/* Claim and run chunks until the queue is empty. */
static void work(struct worker *w)
{
    struct pool *p = w->pool;
    uint_fast64_t ticket = atomic_load(&p->ticket);
    while (ticket & LEFT_MASK) {
        if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket - 1))
            continue;
        int64_t left = (int64_t)(ticket & LEFT_MASK);
        if (p->cancel && atomic_load_explicit(p->cancel, memory_order_relaxed))
            atomic_store_explicit(&p->cancelled, true, memory_order_relaxed);
        else
            p->fn(p->ctx, p->chunks - left, w->scratch);
        if (atomic_fetch_sub(&p->pending, 1) == 1 && atomic_load(&p->caller_sleeps)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
        ticket = atomic_load(&p->ticket);
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    while (!atomic_load(&p->quit)) {
        if (!spin(w, has_work)) {
            /* Announced before the last look, as the caller publishes before it counts sleepers:
             * one of the two sees the other. */
            pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->sleepers, 1);
            while (!has_work(p))
                pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->sleepers, 1);
            pthread_mutex_unlock(&p->lock);
        }
        work(w);
    }
    return NULL;
}

static void wake_workers(struct pool *p, int64_t wanted)
{
    int sleepers = atomic_load(&p->sleepers);
    if (sleepers == 0)
        return;
    pthread_mutex_lock(&p->lock);
    if (wanted >= sleepers)
        pthread_cond_broadcast(&p->wake);
    else
        for (int64_t i = 0; i < wanted; i++)
            pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void wait_done(struct pool *p)
{
    if (spin(&p->workers[0], all_done))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (!all_done(p))
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

/* Without waking anybody: one chunk, or one thread. */
static enum kn_status run_alone(struct pool *p, const atomic_bool *cancel, int64_t chunks,
                                pool_fn *fn, void *ctx)
{
    for (int64_t i = 0; i < chunks; i++) {
        if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
            return KN_CANCELLED;
        fn(ctx, i, p->workers[0].scratch);
    }
    return KN_OK;
}

enum kn_status pool_run(struct pool *p, const atomic_bool *cancel, int64_t chunks, pool_fn *fn,
                        void *ctx)
{
    if (chunks <= 1 || p->threads == 1 || chunks > (int64_t)LEFT_MASK)
        return run_alone(p, cancel, chunks, fn, ctx);
    p->fn = fn;
    p->ctx = ctx;
    p->chunks = chunks;
    p->cancel = cancel;
    atomic_store_explicit(&p->cancelled, false, memory_order_relaxed);
    atomic_store(&p->pending, chunks);
    uint64_t job = (atomic_load(&p->ticket) >> 32) + 1;
    atomic_store(&p->ticket, job << 32 | (uint64_t)chunks);
    wake_workers(p, chunks - 1);
    work(&p->workers[0]);
    wait_done(p);
    return atomic_load_explicit(&p->cancelled, memory_order_relaxed) ? KN_CANCELLED : KN_OK;
}

bool pool_reserve(struct pool *p, size_t bytes)
{
    if (bytes <= p->scratch_size)
        return true;
    bytes = (bytes + 4095) & ~(size_t)4095;
    p->scratch_size = 0; /* nothing is known to be whole until all are */
    for (int i = 0; i < p->threads; i++) {
        free(p->workers[i].scratch);
        p->workers[i].scratch = NULL;
    }
    for (int i = 0; i < p->threads; i++)
        if (!(p->workers[i].scratch = aligned_alloc(4096, bytes)))
            return false;
    p->scratch_size = bytes;
    return true;
}

struct pool *pool_new(int threads)
{
    struct pool *p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
    if (!p)
        return NULL;
    *p = (struct pool){.workers = calloc((size_t)threads, sizeof *p->workers)};
    if (!p->workers) {
        free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);

    /* Signals belong to the thread that owns the terminal, except those that a worker's own fault
     * raises (a truncated mapping, say): blocked, they would kill the process past its handlers. */
    sigset_t mask, before;
    sigfillset(&mask);
    static const int OWN[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++)
        sigdelset(&mask, OWN[i]);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    p->workers[0].pool = p;
    for (p->threads = 1; p->threads < threads; p->threads++) {
        struct worker *w = &p->workers[p->threads];
        w->pool = p;
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return p;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->quit, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i < p->threads; i++)
        pthread_join(p->workers[i].thread, NULL);
    for (int i = 0; i < p->threads; i++)
        free(p->workers[i].scratch);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->threads;
}
