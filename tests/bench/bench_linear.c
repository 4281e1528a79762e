/* bench_linear.c - the matrix products beside OpenBLAS, those of weights in blocks beside bf16, and
 * all beside the roofline of this run: the bytes of the weights as stored, the FMA rate.
 *
 *   bench_linear [--threads N] [--busy] [--goals] [--cpu SET] [--type TYPE] [--quick]
 *
 * Without --cpu the best set without AMX, then those with it, or that there is none.
 * Weights are read from memory, not from a cache: each call takes the next of many copies.  The two
 * contenders take turns; figures are medians, with --busy the best samples.
 */
#include "bench.h"
#include "bench_roof.h"
#include "bench_row.h"
#include "cpu/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef BENCH_OPENBLAS
#include <cblas.h>
/* OpenBLAS' own; not in every cblas.h */
extern void openblas_set_num_threads(int threads);
extern char *openblas_get_corename(void);
#endif

enum { SAMPLES = 9, MEMORY = 512 << 20, ROWS_MAX = 128 };

static struct {
    int cpu;
    const char *type; /* NULL: all */
    bool quick;
} opt = {.cpu = -1};

static double settle(double *samples)
{
    double median = bench_median(samples, SAMPLES);
    return bench_options.busy ? samples[0] : median;
}

static struct {
    struct kn_backend *be, *first; /* that computes; whose the memory is */
    struct pool *pool;
    const struct roof *roof;
    char *memory;
    float *x, *out;
    double flops, bytes; /* per second, the most that was seen */
} bench;

static void measure_roof(void)
{
    double flop[SAMPLES], byte[SAMPLES], rate[2][SAMPLES];
    char what[2][128];
    for (int s = 0; s < SAMPLES; s++) {
        rate[0][s] = 1e-9 * roof_flops(bench.pool, bench.roof, bench_options.threads);
        rate[1][s] = 1e-9 * roof_bytes(bench.pool, bench.roof, bench.memory, MEMORY);
        flop[s] = 1e-9 / rate[0][s], byte[s] = 1e-9 / rate[1][s]; /* seconds for one */
    }
    bench.flops = 1 / settle(flop);
    bench.bytes = 1 / settle(byte);
    snprintf(what[0], sizeof what[0], "the machine: f32 multiply-adds, %s", bench.be->describe);
    snprintf(what[1], sizeof what[1], "the machine: reading memory, %s", bench.be->describe);
    for (int i = 0; i < 2 && bench_options.goals; i++)
        bench_report("", what[i], i ? "GB/s" : "GFLOP/s", "", 0, rate[i], SAMPLES);
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
    double start = 1e-3 * bench_now();
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
    return (1e-3 * bench_now() - start) / (double)calls;
}

#ifdef BENCH_OPENBLAS
static double time_blas(const struct shape *s, int64_t m, int64_t calls, int64_t *at)
{
    int64_t copies = MEMORY / weight_bytes(s);
    double start = 1e-3 * bench_now();
    for (int64_t i = 0; i < calls; i++) {
        const float *w = (const float *)(const void *)(bench.memory +
                                                       (*at)++ % copies * weight_bytes(s));
        cblas_sgemm(CblasRowMajor, CblasNoTrans, s->conv1d ? CblasNoTrans : CblasTrans, (int)m,
                    (int)s->n, (int)s->k, 1, bench.x, (int)s->k, w, (int)(s->conv1d ? s->n : s->k),
                    0, bench.out, (int)s->n);
    }
    return (1e-3 * bench_now() - start) / (double)calls;
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

/* The share of the roofline that a product reaches. */
static double measure(const struct shape *s, int64_t m)
{
    double flop = 2.0 * (double)(m * s->n * s->k), bytes = (double)weight_bytes(s);
    double memory = bytes / bench.bytes, fma = flop / bench.flops,
           least = memory > fma ? memory : fma;
    int64_t calls = 1 + (int64_t)((opt.quick ? 0.004 : 0.02) / least), at = 0;
    double ours[SAMPLES], theirs[SAMPLES];
    const char *rival = bench_options.goals ? NULL : rival_of(s);
    for (int i = 0; i < SAMPLES; i++) {
        ours[i] = time_ours(s, m, calls, &at);
        theirs[i] = rival ? time_rival(s, m, calls, &at) : 0;
    }
    double t = settle(ours), other = settle(theirs);
    if (bench_options.goals)
        return least / t;
    printf("%6lld x %-5lld %-6s %-6s %4lld %9.3f %8.1f %7.1f %7.0f%% %5.0f%%", (long long)s->n,
           (long long)s->k, kn_dtype_name(s->t), s->conv1d ? "conv1d" : "linear", (long long)m,
           t * 1e3, flop / t * 1e-9, bytes / t * 1e-9, memory / t * 100, fma / t * 100);
    if (rival)
        printf(" %9.1f %7.2fx %s", flop / other * 1e-9, other / t, rival);
    printf("\n");
    fflush(stdout);
    return least / t;
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
        if (strcmp(argv[i], "--quick") == 0)
            opt.quick = true;
        else if (strcmp(argv[i], "--type") == 0 && i + 1 < argc)
            opt.type = argv[++i];
        else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc && kn_cpu_parse(argv[i + 1]) >= 0)
            opt.cpu = kn_cpu_parse(argv[++i]);
        else
            return false;
    }
    return true;
}

static bool open_set(int cpu)
{
    char why[128];
    if (bench.be != bench.first)
        kn_close(bench.be);
    bench.be = kn_open(
        &(struct kn_options){.backend = "cpu", .threads = bench_options.threads, .cpu = cpu}, why,
        sizeof why);
    if (!bench.be)
        fprintf(stderr, "bench_linear: %s\n", why);
    return bench.be;
}

static bool prepare(void)
{
    if (!open_set(opt.cpu))
        return false;
    bench.roof = roof_of(opt.cpu);
    bench.pool = pool_new(bench_options.threads);
    bench.first = bench.be;
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

static void table(void)
{
    static const int64_t ROWS[] = {1, 4, 16, 32, 128};
    printf("%s: %.0f GFLOP/s, %.1f GB/s read\n", bench.be->describe, bench.flops * 1e-9,
           bench.bytes * 1e-9);
#ifdef BENCH_OPENBLAS
    openblas_set_num_threads(bench_options.threads);
    printf("OpenBLAS kernels: %s\n", openblas_get_corename());
#endif
    printf(
        "   N x K      type   weights  M        ms  GFLOP/s    GB/s of memory of FMA     rival  ratio\n");
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        for (size_t r = 0; r < sizeof ROWS / sizeof *ROWS; r++)
            if (!opt.type || strcmp(opt.type, kn_dtype_name(SHAPES[i].t)) == 0)
                (void)measure(&SHAPES[i], ROWS[r]);
}

/* The same products by AMX, beside the rates of the set without it. */
static void table_amx(void)
{
    for (int set = KN_CPU_AMX_BF16X3; set < KN_CPU_COUNT; set++)
        if (!kn_cpu_has((enum kn_cpu)set))
            printf("%s: not on this processor\n", kn_cpu_name((enum kn_cpu)set));
        else if (open_set(set))
            table();
}

/* Weights in blocks at four rows, the least favourable number: a quartile is of types here. */
static void goals(void)
{
    double share[KN_DTYPE_COUNT];
    int n = 0;
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        if (kn_dtype_block(SHAPES[i].t) > 1)
            share[n++] = measure(&SHAPES[i], 4) * 100;
    bench_report("G17", "weights in blocks, products of 4 rows: share of the roofline", "%",
                 ">=", 70, share, n);
}

int main(int argc, char **argv)
{
    bench_take_options(&argc, argv);
    if (!parse(argc, argv)) {
        fprintf(stderr,
                "usage: bench_linear [--threads N] [--busy] [--goals] [--cpu SET] [--type TYPE] "
                "[--quick]\nsets: " KN_CPU_NAMES "\n");
        return 2;
    }
    if (!prepare())
        return 1;
    measure_roof();
    (bench_options.goals ? goals : table)();
    if (!bench_options.goals && opt.cpu < 0)
        table_amx();
    if (bench.be != bench.first)
        kn_close(bench.be);
    kn_close(bench.first);
    pool_free(bench.pool);
    return 0;
}
