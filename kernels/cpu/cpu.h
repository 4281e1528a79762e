/* cpu.h - the cpu backend: what its operations share.
 *
 * One family of operations is one file; each function checks its call against the contract in
 * ops.def, then hands out chunks of work to the pool.  Row kernels (isa.h) do the arithmetic.
 * Tested in tests/kernels.
 */
#ifndef KN_CPU_CPU_H
#define KN_CPU_CPU_H

#include "../call.h"
#include "isa.h"
#include "memory.h"
#include "pool.h"

struct cpu {
    struct kn_backend base;
    struct isa own; /* where the products are not the instruction set's */
    const struct isa *isa;
    struct pool *pool;
    struct memory memory;
    char *packed; /* rows of the product under way (tiled.h) */
    size_t packed_bytes;
};

/* What kn_open calls for "cpu"; as there. */
struct kn_backend *cpu_open(const struct kn_options *opt, char *why, size_t why_size);
/* The same with products by tiles of `terms` terms, beside the instruction set `opt->cpu`. */
struct kn_backend *cpu_open_tiles(const struct kn_options *opt, const struct tile_set *tiles,
                                  int terms, const char *name, char *why, size_t why_size);

/* One function per row of ops.def. */
#define KN_OP(id, name, n_out, n_in) \
    enum kn_status cpu_##id(struct cpu *c, const struct kn_call *call);
#include "../ops.def"
#undef KN_OP

/* A call whose operands are f32 rows, as many of each. */
struct cpu_job {
    const struct cpu *c;
    const struct kn_call *call;
    struct call_rows out[2], in[3];
};

/* The first n_out outputs and n_in inputs; false: not such rows. */
bool cpu_job(struct cpu_job *j, struct cpu *c, const struct kn_call *call, int n_out, int n_in);

/* A weight vector as floats, `offset` added: itself, or converted into scratch. */
const float *cpu_floats(const struct cpu *c, const struct kn_view *v, float offset, float *scratch);
/* Is it a weight vector of this length? */
bool cpu_is_vector(const struct kn_view *v, int64_t len);

static inline float *cpu_row(const struct call_rows *r, int64_t i)
{
    return (float *)r->data + i * r->stride;
}

/* fn over chunks of consecutive units of work, 0 .. units; `cost` is a unit's, in elements touched,
 * so that a chunk is worth some microseconds.  scratch as pool_reserve left it. */
typedef void cpu_units_fn(void *ctx, int64_t first, int64_t end, void *scratch);
enum kn_status cpu_each(struct cpu *c, int64_t units, int64_t cost, cpu_units_fn *fn, void *ctx);

#endif
