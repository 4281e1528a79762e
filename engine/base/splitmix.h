/* splitmix.h - SplitMix64 (Steele, Lea, Flood 2014): the only source of "random" numbers, so that a
 * seed means the same everywhere. Programs that `export` writes compute the same numbers.  Tested
 * in tests/engine/test_edit_words.c. */
#ifndef SPLITMIX_H
#define SPLITMIX_H

#include <math.h>
#include <stdint.h>

/* Its generator steps by this number and mixes the state: splitmix64(state), state +=
 * SPLITMIX64_STEP.  Any seed is good. */
#define SPLITMIX64_STEP UINT64_C(0x9e3779b97f4a7c15)

static inline uint64_t splitmix64(uint64_t x)
{
    x += SPLITMIX64_STEP;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* A number of N(0, 1) from a key, of which every bit counts (Box and Muller 1958). */
static inline double splitmix_normal(uint64_t key)
{
    uint64_t a = splitmix64(key), b = splitmix64(a);
    double u = ((double)(a >> 11) + 0.5) * 0x1p-53, v = (double)(b >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

#endif
