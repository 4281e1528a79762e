/* test_pool.c - the thread pool and what it promises: every chunk once, cancellation, no spinning.
 */
#include "cpu/pool.h"
#include "ktest.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { CHUNKS = 1000 };

struct job {
    atomic_int ran[CHUNKS];
    atomic_bool *cancel;
    int cancel_at;
};

static void count_chunk(void *ctx, int64_t chunk, void *scratch)
{
    struct job *j = ctx;
    atomic_fetch_add(&j->ran[chunk], 1);
    if (scratch)
        memset(scratch, (int)chunk, 1000); /* under tsan: nobody shares it */
    if (j->cancel && chunk == j->cancel_at)
        atomic_store(j->cancel, true);
}

static void test_every_chunk_once(void **state)
{
    (void)state;
    static const int64_t COUNTS[] = {0, 1, 2, 3, 7, CHUNKS};
    for (int threads = 1; threads <= 5; threads++) {
        struct pool *p = pool_new(threads);
        assert_non_null(p);
        assert_int_equal(pool_threads(p), threads);
        for (int round = 0; round < 300; round++) {
            struct job j;
            memset(&j, 0, sizeof j);
            int64_t chunks = COUNTS[round % 6];
            if (round == 100)
                assert_true(pool_reserve(p, 5000));
            assert_int_equal(pool_run(p, NULL, chunks, count_chunk, &j), KN_OK);
            for (int64_t i = 0; i < CHUNKS; i++)
                assert_int_equal(atomic_load(&j.ran[i]), i < chunks);
            if (round % 50 == 0)
                usleep(1000); /* let the workers fall asleep */
        }
        pool_free(p);
    }
    pool_free(NULL);
}

static void test_cancel(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        struct pool *p = pool_new(threads);
        atomic_bool cancel = false;
        struct job j;
        memset(&j, 0, sizeof j);
        j.cancel = &cancel;
        j.cancel_at = 10;
        assert_int_equal(pool_run(p, &cancel, CHUNKS, count_chunk, &j), KN_CANCELLED);
        int ran = 0;
        for (int i = 0; i < CHUNKS; i++)
            ran += atomic_load(&j.ran[i]);
        /* Chunks start in order, and none after the flag is seen. */
        assert_in_range(ran, 11, threads == 1 ? 11 : CHUNKS - 1);
        atomic_store(&cancel, false);
        memset(&j, 0, sizeof j);
        assert_int_equal(pool_run(p, &cancel, CHUNKS, count_chunk, &j), KN_OK);
        pool_free(p);
    }
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void test_idle_pool_sleeps(void **state)
{
    (void)state;
    struct pool *p = pool_new(4);
    struct job j;
    memset(&j, 0, sizeof j);
    assert_int_equal(pool_run(p, NULL, CHUNKS, count_chunk, &j), KN_OK);
    usleep(20000); /* past any spin */
    double before = cpu_seconds();
    usleep(200000);
    assert_true(cpu_seconds() - before < 0.005);
    pool_free(p);
}

/* A call through the backend: cancelled before it starts, and while it runs. */
static void test_backend_cancel(void **state)
{
    (void)state;
    atomic_bool cancel = true;
    struct kn_call call = {
        .op = KN_OP_ACT, .in = {KT(KN_F32, 0, 3, 5)}, .out = {KT(KN_F32, 0, 3, 5)}};
    for (int cpu = 0; cpu <= (int)kn_cpu_best(); cpu++) {
        struct kn_backend *be = kt_backend((enum kn_cpu)cpu, 2);
        be->cancel = &cancel;
        atomic_store(&cancel, true);
        kt_fill(&call.out[0], 9, 9);
        assert_int_equal(kn_run(be, &call), KN_CANCELLED);
        assert_true(kt_at(&call.out[0], 0, 0, 0) == 9); /* nothing was done */
        atomic_store(&cancel, false);
        assert_int_equal(kn_run(be, &call), KN_OK);
        assert_true(kt_at(&call.out[0], 0, 0, 0) == kt_at(&call.in[0], 0, 0, 0));
        be->cancel = NULL;
    }
    kt_free();
    kt_close();
}

static void count_each(void *ctx, int64_t i)
{
    count_chunk(ctx, i, NULL);
}

/* The host's own work on a backend's threads; in order where a backend has none of its own. */
static void test_each(void **state)
{
    (void)state;
    static const char *const BACKENDS[] = {"cpu", "fence:cpu"};
    for (size_t k = 0; k < sizeof BACKENDS / sizeof *BACKENDS; k++) {
        char why[200];
        struct job j;
        struct kn_backend *be = kn_open(
            &(struct kn_options){.backend = BACKENDS[k], .threads = 3, .cpu = -1}, why, sizeof why);
        assert_non_null(be);
        memset(&j, 0, sizeof j);
        atomic_bool cancel = true; /* does not concern it */
        be->cancel = &cancel;
        kn_each(be, CHUNKS - 1, count_each, &j);
        kn_each(be, 0, count_each, &j);
        for (int i = 0; i < CHUNKS; i++)
            assert_int_equal(atomic_load(&j.ran[i]), i < CHUNKS - 1);
        kn_close(be);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_chunk_once),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_idle_pool_sleeps),
        cmocka_unit_test(test_backend_cancel),
        cmocka_unit_test(test_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
