/* bench_roof.h - the two limits of a matrix product on this machine: multiply-adds and reading
 * memory. */
#ifndef BENCH_ROOF_H
#define BENCH_ROOF_H

#include "kn.h"

struct roof {
    double (*fma)(int64_t rounds); /* floating point operations done, all in registers */
    float (*read)(const float *p, int64_t floats); /* reads all of it */
};

extern const struct roof roof_portable, roof_avx2, roof_avx512;

#endif
