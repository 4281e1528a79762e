/* half.h - one f16 or bf16 number as float, exactly.  Used where no instruction does it. */
#ifndef KN_HALF_H
#define KN_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float half_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline float half_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = (uint32_t)(h & 0x7fffu) << 13;
    if ((h & 0x7c00u) == 0x7c00u) /* Inf, NaN */
        return half_from_bits(sign | 0x7f800000u | magnitude);
    /* The product moves the exponent from f16's bias to f32's and normalises subnormals; exact. */
    float f = half_from_bits(magnitude) * 0x1p112f;
    return sign ? -f : f;
}

static inline float half_from_bf16(uint16_t h)
{
    return half_from_bits((uint32_t)h << 16);
}

/* The nearest bf16 number, of two the even one. */
static inline float half_round_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return isnan(f) ? f : half_from_bits((bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u);
}

/* 2^(e - 128), half of what an E8M0 scale says. */
static inline float half_of_e8m0(unsigned e)
{
    return half_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

#endif
