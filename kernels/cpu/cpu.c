/* cpu.c - the cpu backend's methods and its op table; helpers for the checks of the operations.
 *
 * Tested in tests/kernels.
 */
#include "cpu.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef enum kn_status cpu_op(struct cpu *c, const struct kn_call *call);

static const struct {
    cpu_op *run;
    int n_out, n_in;
} OPS[KN_OP_COUNT] = {
#define KN_OP(id, name, n_out, n_in) {cpu_##id, n_out, n_in},
#include "../ops.def"
#undef KN_OP
};

static enum kn_status backend_run(struct kn_backend *be, const struct kn_call *call)
{
    struct kn_call own;
    if (call_resolve(call, &own))
        call = &own;
    if (!call_sound(call))
        return KN_BAD_CALL;
    if (be->cancel && atomic_load_explicit(be->cancel, memory_order_relaxed))
        return KN_CANCELLED;
    return OPS[call->op].run((struct cpu *)be, call);
}

static void *backend_alloc(struct kn_backend *be, size_t bytes)
{
    return memory_alloc(&((struct cpu *)be)->memory, bytes);
}

static void backend_release(struct kn_backend *be, void *mem, size_t bytes)
{
    memory_release(&((struct cpu *)be)->memory, mem, bytes);
}

static enum kn_status backend_import(struct kn_backend *be, const struct kn_view *host,
                                     struct kn_view *device)
{
    (void)be;
    *device = *host; /* where it lies */
    return KN_OK;
}

static void backend_forget(struct kn_backend *be, struct kn_view *device)
{
    (void)be;
    *device = (struct kn_view){0};
}

static enum kn_status backend_sync(struct kn_backend *be)
{
    (void)be;
    return KN_OK;
}

static enum kn_status backend_read(struct kn_backend *be, const struct kn_view *v, void *host)
{
    (void)be;
    kn_pack(v, host);
    return KN_OK;
}

static enum kn_status backend_write(struct kn_backend *be, const struct kn_view *v,
                                    const void *host)
{
    (void)be;
    kn_unpack(v, host);
    return KN_OK;
}

static enum kn_status backend_fill(struct kn_backend *be, const struct kn_view *v, float x)
{
    (void)be;
    if (v->dtype != KN_F32)
        return KN_BAD_CALL;
    kn_fill(v, x);
    return KN_OK;
}

static void backend_memory(struct kn_backend *be, size_t *total, size_t *available)
{
    (void)be;
    long page = sysconf(_SC_PAGESIZE), all = sysconf(_SC_PHYS_PAGES),
         free_now = sysconf(_SC_AVPHYS_PAGES);
    *total = all > 0 ? (size_t)all * (size_t)page : 0;
    *available = free_now > 0 ? (size_t)free_now * (size_t)page : 0;
}

struct host_work {
    kn_each_fn *fn;
    void *ctx;
};

static void host_chunk(void *ctx, int64_t i, void *scratch)
{
    const struct host_work *w = ctx;
    (void)scratch;
    w->fn(w->ctx, i);
}

static void backend_each(struct kn_backend *be, int64_t n, kn_each_fn *fn, void *ctx)
{
    struct host_work w = {fn, ctx};
    pool_run(((struct cpu *)be)->pool, NULL, n, host_chunk, &w);
}

static void backend_close(struct kn_backend *be)
{
    struct cpu *c = (struct cpu *)be;
    pool_free(c->pool);
    memory_free(&c->memory);
    free(c->packed);
    free(c);
}

static const struct kn_backend_type CPU_TYPE = {
    .name = "cpu",
    .alloc = backend_alloc,
    .release = backend_release,
    .import = backend_import,
    .forget = backend_forget,
    .run = backend_run,
    .sync = backend_sync,
    .read = backend_read,
    .write = backend_write,
    .fill = backend_fill,
    .memory = backend_memory,
    .each = backend_each,
    .close = backend_close,
};

static const struct isa *const ISAS[KN_CPU_COUNT] = {
    [KN_CPU_PORTABLE] = &isa_portable,
#ifdef KN_CPU_X86
    [KN_CPU_AVX2] = &isa_avx2,
    [KN_CPU_AVX512] = &isa_avx512,
#endif
};

/* What this machine has, of what gives the same bits everywhere. */
static const struct isa *isa_best(void)
{
    static _Atomic(const struct isa *) best;
    const struct isa *now = atomic_load_explicit(&best, memory_order_relaxed);
    if (!now)
        atomic_store_explicit(&best, now = ISAS[kn_cpu_best()], memory_order_relaxed);
    return now;
}

bool kn_columns(const float *x, int64_t n, struct kn_columns *out)
{
    return isa_best()->columns(x, n, out);
}

void kn_bins(const float *x, int64_t n, int low, int half, uint8_t *bin)
{
    isa_best()->bins(x, n, low, half, bin);
}

static int threads_default(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static struct kn_backend *open_isa(const struct kn_options *opt, const struct isa *isa, char *why,
                                   size_t why_size)
{
    enum { THREADS_MAX = 1024, ROWS_PREFERRED = 256, KEPT = 256 << 20 };
    if (opt->threads < 0 || opt->threads > THREADS_MAX) {
        snprintf(why, why_size, "bad number of threads · %d · 0 (all cores) to %d", opt->threads,
                 THREADS_MAX);
        errno = EINVAL;
        return NULL;
    }
    struct cpu *c = calloc(1, sizeof *c);
    if (c)
        c->pool = pool_new(opt->threads > 0 ? opt->threads : threads_default());
    if (!c || !c->pool) {
        snprintf(why, why_size, "out of memory · opening the cpu backend");
        free(c);
        errno = ENOMEM;
        return NULL;
    }
    c->own = *isa;
    c->isa = &c->own;
    c->memory.kept_max = opt->kept_max ? opt->kept_max : KEPT;
    c->base.type = &CPU_TYPE;
    c->base.unified = true;
    c->base.exact_rows = true;
    c->base.alloc_max = PTRDIFF_MAX;
    c->base.rows_preferred = ROWS_PREFERRED;
    snprintf(c->base.describe, sizeof c->base.describe, "cpu %s x%d", c->isa->name,
             pool_threads(c->pool));
    return &c->base;
}

struct kn_backend *cpu_open_tiles(const struct kn_options *opt, const struct tile_set *tiles,
                                  int terms, const char *name, char *why, size_t why_size)
{
    struct isa isa = *ISAS[opt->cpu < 0 ? (int)kn_cpu_best() : opt->cpu];
    isa.name = name, isa.tiles = tiles, isa.terms = terms;
    return open_isa(opt, &isa, why, why_size);
}

/* What is asked for and not here. */
static void refuse(int cpu, char *why, size_t why_size)
{
    char there[96] = "";
    size_t used = 0;
    for (int i = 0; i < KN_CPU_COUNT && used < sizeof there; i++)
        if (kn_cpu_has((enum kn_cpu)i))
            used += (size_t)snprintf(there + used, sizeof there - used, "%s%s", i ? ", " : "",
                                     kn_cpu_name((enum kn_cpu)i));
    snprintf(why, why_size, "no %s · this processor offers %s", kn_cpu_name((enum kn_cpu)cpu),
             there);
    errno = EINVAL;
}

struct kn_backend *cpu_open(const struct kn_options *opt, char *why, size_t why_size)
{
    enum kn_cpu cpu = opt->cpu < 0 ? kn_cpu_best() : (enum kn_cpu)opt->cpu;
    if (!kn_cpu_has(cpu)) {
        refuse(opt->cpu, why, why_size);
        return NULL;
    }
#ifdef KN_CPU_AMX
    struct kn_options own = *opt;
    own.cpu = -1;
    if (kn_cpu_terms(cpu))
        return cpu_open_tiles(&own, &tiles_amx, kn_cpu_terms(cpu), kn_cpu_name(cpu), why, why_size);
#endif
    return open_isa(opt, ISAS[cpu], why, why_size);
}

bool cpu_job(struct cpu_job *j, struct cpu *c, const struct kn_call *call, int n_out, int n_in)
{
    *j = (struct cpu_job){.c = c, .call = call};
    for (int i = 0; i < n_out; i++)
        if (!call_rows(&call->out[i], KN_F32, &j->out[i]) || j->out[i].n != j->out[0].n)
            return false;
    for (int i = 0; i < n_in; i++)
        if (!call_rows(&call->in[i], KN_F32, &j->in[i]) || j->in[i].n != j->out[0].n)
            return false;
    return true;
}

struct each {
    cpu_units_fn *fn;
    void *ctx;
    int64_t units, step;
};

static void each_chunk(void *ctx, int64_t chunk, void *scratch)
{
    const struct each *e = ctx;
    int64_t first = chunk * e->step, end = first + e->step;
    e->fn(e->ctx, first, end < e->units ? end : e->units, scratch);
}

enum kn_status cpu_each(struct cpu *c, int64_t units, int64_t cost, cpu_units_fn *fn, void *ctx)
{
    enum { CHUNK_COST = 32768 };
    int64_t step = cost < 1 ? CHUNK_COST : cost < CHUNK_COST ? CHUNK_COST / cost : 1;
    struct each e = {fn, ctx, units, step};
    return pool_run(c->pool, c->base.cancel, (units + step - 1) / step, each_chunk, &e);
}
