/* quant.c - see quant.h.  Plain loops: what decoding means; cpu/row_quant.h does the same fast. */
#include "quant.h"

#include <assert.h>
#include <string.h>

#include "half.h"

static float f16_at(const uint8_t *p)
{
    return half_from_f16((uint16_t)(p[0] | p[1] << 8));
}

static float f32_at(const uint8_t *p)
{
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

const float *quant_codes(enum kn_dtype t)
{
    static const float iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
    static const float mxfp4[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    /* bitsandbytes: quantiles of the normal distribution; sign, two bits of exponent, one of
     * mantissa */
    static const float nf4[16] = {-1.0f,
                                  -0.6961928009986877f,
                                  -0.5250730514526367f,
                                  -0.39491748809814453f,
                                  -0.28444138169288635f,
                                  -0.18477343022823334f,
                                  -0.09105003625154495f,
                                  0.0f,
                                  0.07958029955625534f,
                                  0.16093020141124725f,
                                  0.24611230194568634f,
                                  0.33791524171829224f,
                                  0.44070982933044434f,
                                  0.5626170039176941f,
                                  0.7229568362236023f,
                                  1.0f};
    static const float fp4[16] = {
        0, 0.0625f / 12,  8 / 12.f,  1,  4 / 12.f,  6 / 12.f,  2 / 12.f,  3 / 12.f,
        0, -0.0625f / 12, -8 / 12.f, -1, -4 / 12.f, -6 / 12.f, -2 / 12.f, -3 / 12.f};
    switch (t) {
    case KN_IQ4_NL:
    case KN_IQ4_XS: return iq4;
    case KN_MXFP4: return mxfp4;
    case KN_NF4: return nf4;
    case KN_FP4: return fp4;
    default: return NULL;
    }
}

/* 6-bit scale (0) or offset (1) of unit u of a Q4_K or Q5_K block. */
static unsigned k_scale(const uint8_t *s, int u, int which)
{
    s += which * 4;
    if (u < 4)
        return s[u] & 63;
    /* the last four of both share their low halves, and use the others' high bits */
    unsigned low = which ? s[u] >> 4 : s[u + 4] & 15u;
    return low | (unsigned)s[u - 4] >> 6 << 4;
}

/* Signed scale of group g of a Q3_K block. */
static int q3_scale(const uint8_t *s, int g)
{
    return ((s[g % 8] >> g / 8 * 4 & 15) | (s[8 + g % 4] >> g / 4 * 2 & 3) << 4) - 32;
}

struct scale {
    float d, m; /* w = d * integer + m, or d * code */
};

static struct scale group_scale(enum kn_dtype t, const uint8_t *p, int g)
{
    switch (t) {
    case KN_Q4_1:
    case KN_Q5_1: return (struct scale){f16_at(p), f16_at(p + 2)};
    case KN_IQ4_XS: {
        int high = (p[2] | p[3] << 8) >> g / 2 * 2 & 3, low = p[4 + g / 4] >> g / 2 % 2 * 4 & 15;
        return (struct scale){f16_at(p) * (float)((low | high << 4) - 32), 0};
    }
    case KN_Q2_K:
        return (struct scale){f16_at(p + 80) * (float)(p[g] & 15),
                              -f16_at(p + 82) * (float)(p[g] >> 4)};
    case KN_Q3_K: return (struct scale){f16_at(p + 108) * (float)q3_scale(p + 96, g), 0};
    case KN_Q4_K:
    case KN_Q5_K:
        return (struct scale){f16_at(p) * (float)k_scale(p + 4, g / 2, 0),
                              -f16_at(p + 2) * (float)k_scale(p + 4, g / 2, 1)};
    case KN_Q6_K: return (struct scale){f16_at(p + 208) * (float)(int8_t)p[192 + g], 0};
    case KN_MXFP4: return (struct scale){half_of_e8m0(p[0]), 0};
    case KN_INT8:
    case KN_NF4:
    case KN_FP4: return (struct scale){f32_at(p), 0};
    default: return (struct scale){f16_at(p), 0};
    }
}

/* 16 nibbles of 16 bytes. */
static void nibbles(const uint8_t *p, bool high, int q[QUANT_GROUP])
{
    for (int i = 0; i < QUANT_GROUP; i++)
        q[i] = high ? p[i] >> 4 : p[i] & 15;
}

/* 16 numbers of `bits` bits each from 16 bytes, times `weight`, onto q. */
static void add_bits(const uint8_t *p, int shift, int bits, int weight, int q[QUANT_GROUP])
{
    for (int i = 0; i < QUANT_GROUP; i++)
        q[i] += (p[i] >> shift & ((1 << bits) - 1)) * weight;
}

/* The fifth bits of a group of 32 elements, a word. */
static void add_fifth(const uint8_t *p, int g, int q[QUANT_GROUP])
{
    for (int i = 0; i < QUANT_GROUP; i++)
        q[i] += (p[2 * g + i / 8] >> i % 8 & 1) * 16;
}

static void less(int q[QUANT_GROUP], int zero)
{
    for (int i = 0; i < QUANT_GROUP; i++)
        q[i] -= zero;
}

/* The integers of group g.  In blocks of 256, 32 elements share the bytes of their place: u counts
 * them, `half` says which 16 of them, and 128 elements are laid out like the other 128. */
static void group_ints(enum kn_dtype t, const uint8_t *p, int g, int q[QUANT_GROUP])
{
    int u = g / 2, half = g % 2 * QUANT_GROUP, part = u / 4;
    memset(q, 0, QUANT_GROUP * sizeof *q);
    switch (t) {
    case KN_Q4_0:
        nibbles(p + 2, g, q);
        less(q, 8);
        break;
    case KN_Q4_1: nibbles(p + 4, g, q); break;
    case KN_Q5_0:
        nibbles(p + 6, g, q);
        add_fifth(p + 2, g, q);
        less(q, 16);
        break;
    case KN_Q5_1:
        nibbles(p + 8, g, q);
        add_fifth(p + 4, g, q);
        break;
    case KN_IQ4_NL: nibbles(p + 2, g, q); break;
    case KN_IQ4_XS: nibbles(p + 8 + u * 16, g % 2, q); break;
    case KN_MXFP4: nibbles(p + 1, g, q); break;
    case KN_Q2_K: add_bits(p + 16 + part * 32 + half, u % 4 * 2, 2, 1, q); break;
    case KN_Q3_K:
        add_bits(p + 32 + part * 32 + half, u % 4 * 2, 2, 1, q);
        add_bits(p + half, u, 1, 4, q);
        less(q, 4);
        break;
    case KN_Q4_K: nibbles(p + 16 + u / 2 * 32 + half, u % 2, q); break;
    case KN_Q5_K:
        nibbles(p + 48 + u / 2 * 32 + half, u % 2, q);
        add_bits(p + 16 + half, u, 1, 16, q);
        break;
    case KN_Q6_K:
        nibbles(p + part * 64 + u % 2 * 32 + half, u % 4 / 2, q);
        add_bits(p + 128 + part * 32 + half, u % 4 * 2, 2, 16, q);
        less(q, 32);
        break;
    case KN_NF4:
    case KN_FP4: /* the high half of a byte first */
        for (int i = 0; i < QUANT_GROUP; i++)
            q[i] = p[4 + g * 8 + i / 2] >> (i % 2 ? 0 : 4) & 15;
        break;
    case KN_Q8_0:
    case KN_INT8:
        p += (t == KN_Q8_0 ? 2 : 4) + g * QUANT_GROUP;
        for (int i = 0; i < QUANT_GROUP; i++)
            q[i] = (int8_t)p[i];
        break;
    default: assert(false && "not a type of blocks");
    }
}

void quant_decode(enum kn_dtype t, const void *block, float *out)
{
    const uint8_t *p = block;
    const float *code = quant_codes(t);
    bool offset = t == KN_Q4_1 || t == KN_Q5_1 || t == KN_Q2_K || t == KN_Q4_K || t == KN_Q5_K;
    int groups = (int)kn_dtype_block(t) / QUANT_GROUP;
    for (int g = 0; g < groups; g++) {
        int q[QUANT_GROUP];
        struct scale s = group_scale(t, p, g);
        group_ints(t, p, g, q);
        for (int i = 0; i < QUANT_GROUP; i++) {
            float x = code ? code[q[i]] : (float)q[i];
            *out++ = offset ? x * s.d + s.m : x * s.d;
        }
    }
}

void quant_decode_span(enum kn_dtype t, const void *data, int64_t at, int64_t n, float *out)
{
    const int64_t block = kn_dtype_block(t);
    for (int64_t len; n > 0; at += len, n -= len, out += len) {
        const char *p = (const char *)data + kn_row_bytes(t, at - at % block);
        float all[QUANT_BLOCK_MAX];
        int64_t skip = at % block;
        len = n < block - skip ? n : block - skip;
        if (len == block) {
            quant_decode(t, p, out);
        } else {
            quant_decode(t, p, all);
            memcpy(out, all + skip, (size_t)len * sizeof *out);
        }
    }
}
