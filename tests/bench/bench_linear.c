/* bench_linear.c - the matrix products beside OpenBLAS, those of weights in blocks beside bf16, and
 * all beside the roofline of this run: the bytes of the weights as stored, the FMA rate.
 *
 *   bench_linear [--threads N] [--cpu portable|avx2|avx512] [--type TYPE] [--busy] [--quick]
 *
 * Weights are read from memory, not from a cache: each call takes the next of many copies.  The two
 * contenders take turns; figures are medians.  --busy, for a machine that does other work:
 * processor time of one thread instead of the clock, and the best sample instead of the median.
 */
#include "bench_roof.h"
#include "cpu/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef BENCH_OPENBLAS
#include <cblas.h>
/* OpenBLAS' own; not in every cblas.h */
extern void openblas_set_num_threads(int threads);
extern char *openblas_get_corename(void);
#endif

enum { SAMPLES = 9, MEMORY = 512 << 20, ROWS_MAX = 128 };

static struct {
    int threads, cpu;
    const char *type; /* NULL: all */
    bool busy, quick;
} opt = {.cpu = -1};

static double now(void)
{
    struct timespec t;
    clock_gettime(opt.busy ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double settle(double *samples)
{
    qsort(samples, SAMPLES, sizeof *samples, by_value);
    return samples[opt.busy ? 0 : SAMPLES / 2];
}

static struct {
    struct kn_backend *be;
    struct pool *pool;
    const struct roof *roof;
    char *memory;
    float *x, *out;
    double flops, bytes; /* per second, the most that was seen */
} bench;

static void fma_chunk(void *ctx, int64_t chunk, void *scratch)
{
    (void)chunk, (void)scratch;
    *(double *)ctx = bench.roof->fma(4000000);
}

static void read_chunk(void *ctx, int64_t chunk, void *scratch)
{
    (void)ctx, (void)scratch;
    enum { SIZE = 1 << 20 };
    volatile float keep = bench.roof->read(
        (const float *)(const void *)(bench.memory + chunk * SIZE), SIZE / 4);
    (void)keep;
}

static void measure_roof(void)
{
    double flops[SAMPLES], bytes[SAMPLES], done = 0;
    for (int s = 0; s < SAMPLES; s++) {
        double start = now();
        pool_run(bench.pool, NULL, opt.threads, fma_chunk, &done);
        flops[s] = (now() - start) / (done * opt.threads);
        start = now();
        pool_run(bench.pool, NULL, MEMORY >> 20, read_chunk, NULL);
        bytes[s] = (now() - start) / MEMORY;
    }
    bench.flops = 1 / settle(flops);
    bench.bytes = 1 / settle(bytes);
}

struct shape {
    int64_t n, k;
    enum kn_dtype t;
    bool conv1d;
};

static int64_t weight_bytes(const struct shape *s)
{
    return (int64_t)kn_row_bytes(s->t, s->n * s->k);
}

static double time_ours(const struct shape *s, int64_t m, int64_t calls, int64_t *at)
{
    int64_t copies = MEMORY / weight_bytes(s);
    struct kn_call call = {.op = KN_OP_LINEAR,
                           .in = {kn_view2(bench.x, KN_F32, m, s->k)},
                           .out = {kn_view2(bench.out, KN_F32, m, s->n)}};
    double start = now();
    for (int64_t i = 0; i < calls; i++) {
        char *w = bench.memory + (*at)++ % copies * weight_bytes(s);
        call.in[1] = kn_view2(w, s->t, s->n, s->k);
        if (s->conv1d) {
            call.in[1].stride[0] = 1;
            call.in[1].stride[1] = s->n;
        }
        if (kn_run(bench.be, &call) != KN_OK)
            abort();
    }
    return (now() - start) / (double)calls;
}

#ifdef BENCH_OPENBLAS
static double time_blas(const struct shape *s, int64_t m, int64_t calls, int64_t *at)
{
    int64_t copies = MEMORY / weight_bytes(s);
    double start = now();
    for (int64_t i = 0; i < calls; i++) {
        const float *w = (const float *)(const void *)(bench.memory +
                                                       (*at)++ % copies * weight_bytes(s));
        cblas_sgemm(CblasRowMajor, CblasNoTrans, s->conv1d ? CblasNoTrans : CblasTrans, (int)m,
                    (int)s->n, (int)s->k, 1, bench.x, (int)s->k, w, (int)(s->conv1d ? s->n : s->k),
                    0, bench.out, (int)s->n);
    }
    return (now() - start) / (double)calls;
}
#endif

/* What a product is compared with; NULL: nothing. */
static const char *rival_of(const struct shape *s)
{
    if (kn_dtype_block(s->t) > 1)
        return "bf16";
#ifdef BENCH_OPENBLAS
    if (s->t == KN_F32)
        return "OpenBLAS";
#endif
    return NULL;
}

static double time_rival(const struct shape *s, int64_t m, int64_t calls, int64_t *at)
{
    struct shape bf16 = *s;
    bf16.t = KN_BF16;
#ifdef BENCH_OPENBLAS
    if (s->t == KN_F32)
        return time_blas(s, m, calls, at);
#endif
    return time_ours(&bf16, m, calls, at);
}

static void measure(const struct shape *s, int64_t m)
{
    double flop = 2.0 * (double)(m * s->n * s->k), bytes = (double)weight_bytes(s);
    double memory = bytes / bench.bytes, fma = flop / bench.flops,
           least = memory > fma ? memory : fma;
    int64_t calls = 1 + (int64_t)((opt.quick ? 0.004 : 0.02) / least), at = 0;
    double ours[SAMPLES], theirs[SAMPLES];
    const char *rival = rival_of(s);
    for (int i = 0; i < SAMPLES; i++) {
        ours[i] = time_ours(s, m, calls, &at);
        theirs[i] = rival ? time_rival(s, m, calls, &at) : 0;
    }
    double t = settle(ours), other = settle(theirs);
    printf("%6lld x %-5lld %-6s %-6s %4lld %9.3f %8.1f %7.1f %7.0f%% %5.0f%%", (long long)s->n,
           (long long)s->k, kn_dtype_name(s->t), s->conv1d ? "conv1d" : "linear", (long long)m,
           t * 1e3, flop / t * 1e-9, bytes / t * 1e-9, memory / t * 100, fma / t * 100);
    if (rival)
        printf(" %9.1f %7.2fx %s", flop / other * 1e-9, other / t, rival);
    printf("\n");
    fflush(stdout);
}

static const struct shape SHAPES[] = {
    {2304, 768, KN_F32, false},   {3072, 768, KN_F32, false},  {768, 3072, KN_F32, false},
    {50257, 768, KN_F32, false},  {2304, 768, KN_F32, true},   {3072, 768, KN_F32, true},
    {768, 3072, KN_F32, true},    {3072, 768, KN_BF16, false}, {8192, 2048, KN_BF16, false},
    {2048, 8192, KN_BF16, false}, {3072, 768, KN_F16, false},  {3072, 768, KN_F16, true},
#define KN_BLOCKS(id, name, elements, bytes) {8192, 2048, KN_##id, false},
#include "dtype.def"
};

static bool parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--busy") == 0)
            opt.busy = true;
        else if (strcmp(argv[i], "--quick") == 0)
            opt.quick = true;
        else if (strcmp(argv[i], "--type") == 0 && i + 1 < argc)
            opt.type = argv[++i];
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            opt.threads = (int)strtol(argv[++i], NULL, 10); /* kn_open refuses nonsense */
        else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc && kn_cpu_parse(argv[i + 1]) >= 0)
            opt.cpu = kn_cpu_parse(argv[++i]);
        else
            return false;
    }
    if (opt.busy)
        opt.threads = 1;
    else if (opt.threads == 0)
        opt.threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return true;
}

static bool prepare(void)
{
    char why[128];
    bench.be = kn_open(&(struct kn_options){"cpu", opt.threads, opt.cpu}, why, sizeof why);
    if (!bench.be) {
        fprintf(stderr, "bench_linear: %s\n", why);
        return false;
    }
    enum kn_cpu cpu = opt.cpu < 0 ? kn_cpu_best() : (enum kn_cpu)opt.cpu;
    bench.roof = &roof_portable;
#ifdef BENCH_X86
    bench.roof = cpu == KN_CPU_AVX512 ? &roof_avx512
                 : cpu == KN_CPU_AVX2 ? &roof_avx2
                                      : &roof_portable;
#endif
    bench.pool = pool_new(opt.threads);
    bench.memory = bench.be->type->alloc(bench.be, MEMORY);
    bench.x = bench.be->type->alloc(bench.be, ROWS_MAX * 8192 * sizeof(float));
    bench.out = bench.be->type->alloc(bench.be, ROWS_MAX * 50257 * sizeof(float));
    if (!bench.pool || !bench.memory || !bench.x || !bench.out) {
        fprintf(stderr, "bench_linear: out of memory\n");
        return false;
    }
    /* Any numbers that are normal in every type, wherever its scales lie. */
    for (int64_t i = 0; i < MEMORY; i++)
        bench.memory[i] = (char)(0x18 + (i * 2654435761 >> 13 & 15));
    for (int64_t i = 0; i < ROWS_MAX * 8192; i++)
        bench.x[i] = (float)(i % 31) / 31 - 0.5f;
    return true;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fprintf(
            stderr,
            "usage: bench_linear [--threads N] [--cpu portable|avx2|avx512] [--type TYPE] [--busy] [--quick]\n");
        return 2;
    }
    if (!prepare())
        return 1;
    measure_roof();
    printf("%s: %.0f GFLOP/s, %.1f GB/s read\n", bench.be->describe, bench.flops * 1e-9,
           bench.bytes * 1e-9);
#ifdef BENCH_OPENBLAS
    openblas_set_num_threads(opt.threads);
    printf("OpenBLAS kernels: %s\n", openblas_get_corename());
#endif
    printf(
        "   N x K      type   weights  M        ms  GFLOP/s    GB/s of memory of FMA     rival  ratio\n");
    static const int64_t ROWS[] = {1, 4, 16, 32, 128};
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++)
            if (!opt.type || strcmp(opt.type, kn_dtype_name(SHAPES[i].t)) == 0)
                measure(&SHAPES[i], ROWS[r]);
    kn_close(bench.be);
    pool_free(bench.pool);
    return 0;
}
