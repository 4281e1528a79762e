/* bench_roof.h - the two limits of a matrix product on this machine: multiply-adds and reading
 * memory, as a program measures them in the run whose figures they are beside. */
#ifndef BENCH_ROOF_H
#define BENCH_ROOF_H

#include "kn.h"

struct roof {
    double (*fma)(int64_t rounds); /* floating point operations done, all in registers */
    float (*read)(const float *p, int64_t floats); /* reads all of it */
};

extern const struct roof roof_portable, roof_avx2, roof_avx512;

/* The instructions of an instruction set, an enum kn_cpu, or -1 for the best. */
const struct roof *roof_of(int cpu);

struct pool;
/* What `threads` threads of a pool reach in one go: operations of a fused multiply-add, and bytes
 * read of memory[bytes], which is to be larger than any cache; both per second of bench_now. */
double roof_flops(struct pool *pool, const struct roof *r, int threads);
double roof_bytes(struct pool *pool, const struct roof *r, const void *memory, size_t bytes);

#endif
