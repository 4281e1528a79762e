/* bench_roof.c - compiled once per instruction set; ROOF is the name of the table. */
#include "bench_roof.h"

#include "cpu/vec.h"

enum { CHAINS = VL == 4 ? 8 : 12 };

static double roof_fma(int64_t rounds)
{
    vf acc[CHAINS], x = v_set1(0.9999f), y = v_set1(1e-3f);
    for (int j = 0; j < CHAINS; j++)
        acc[j] = v_set1((float)j);
    for (int64_t i = 0; i < rounds; i++)
        UNROLL for (int j = 0; j < CHAINS; j++) acc[j] = v_fma(acc[j], x, y);
    vf sum = v_set1(0);
    for (int j = 0; j < CHAINS; j++)
        sum += acc[j];
    volatile float keep = v_greatest(sum);
    (void)keep;
    return (double)rounds * CHAINS * VL * 2;
}

static float roof_read(const float *p, int64_t floats)
{
    enum { AHEAD = 2048 };
    vf acc[8];
    for (int j = 0; j < 8; j++)
        acc[j] = v_set1(0);
    for (int64_t i = 0; i + 8 * VL <= floats; i += 8 * VL)
        UNROLL for (int j = 0; j < 8; j++)
        {
            __builtin_prefetch((const char *)(p + i + j * VL) + AHEAD);
            acc[j] += v_load(p + i + j * VL);
        }
    vf sum = v_set1(0);
    for (int j = 0; j < 8; j++)
        sum += acc[j];
    return v_greatest(sum);
}

const struct roof ROOF = {roof_fma, roof_read};
