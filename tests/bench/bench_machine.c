/* bench_machine.c - see bench_roof.h. */
#include "bench.h"
#include "bench_roof.h"
#include "cpu/pool.h"

const struct roof *roof_of(int cpu)
{
    enum kn_cpu set = cpu < 0 ? kn_cpu_best() : (enum kn_cpu)cpu;
#ifdef BENCH_X86
    if (set != KN_CPU_PORTABLE)
        return set >= KN_CPU_AVX512 ? &roof_avx512 : &roof_avx2;
#endif
    (void)set;
    return &roof_portable;
}

struct fma_work {
    const struct roof *roof;
    double done; /* by every chunk the same */
};

static void fma_chunk(void *ctx, int64_t chunk, void *scratch)
{
    (void)scratch;
    struct fma_work *w = ctx;
    double done = w->roof->fma(4000000);
    if (chunk == 0)
        w->done = done;
}

double roof_flops(struct pool *pool, const struct roof *r, int threads)
{
    struct fma_work w = {r, 0};
    double start = bench_now();
    pool_run(pool, NULL, threads, fma_chunk, &w);
    return w.done * threads / (bench_now() - start) * 1e3;
}

enum { PIECE = 1 << 20 };
struct read_work {
    const struct roof *roof;
    const char *memory;
};

static void read_chunk(void *ctx, int64_t chunk, void *scratch)
{
    (void)scratch;
    const struct read_work *w = ctx;
    volatile float keep = w->roof->read((const float *)(const void *)(w->memory + chunk * PIECE),
                                        PIECE / (int64_t)sizeof(float));
    (void)keep;
}

double roof_bytes(struct pool *pool, const struct roof *r, const void *memory, size_t bytes)
{
    struct read_work w = {r, memory};
    double start = bench_now();
    pool_run(pool, NULL, (int64_t)(bytes / PIECE), read_chunk, &w);
    return (double)(bytes / PIECE * PIECE) / (bench_now() - start) * 1e3;
}
