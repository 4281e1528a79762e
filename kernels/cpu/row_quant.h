/* row_quant.h - weights stored in blocks, decoded 32 elements ("a unit") at a time.
 *
 * Of every type a unit is small integers, and a scale with perhaps an offset for each 16 or 32 of
 * them, or 16 values that a number of four bits picks one of.  The values are those of quant.c, bit
 * for bit: rounded at most once, in the one product or sum there is.  The portable set uses quant.c
 * itself. */
#ifndef KN_CPU_ROW_QUANT_H
#define KN_CPU_ROW_QUANT_H

#include "../half.h"
#include "../quant.h"
#include "vec.h"

enum { UNIT = 32 };

#if VL > 4

#define QUANT_TYPES(X) \
    X(Q8_0)            \
    X(Q4_0)            \
    X(Q4_1)            \
    X(Q5_0)            \
    X(Q5_1)            \
    X(IQ4_NL) X(IQ4_XS) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(MXFP4) X(INT8) X(NF4) X(FP4)

typedef uint8_t b32 __attribute__((vector_size(32)));
typedef uint8_t b16 __attribute__((vector_size(16)));
typedef uint16_t w16 __attribute__((vector_size(32)));
typedef uint16_t w8 __attribute__((vector_size(16)));

INLINE b32 b32_load(const char *p)
{
    b32 v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Bytes shifted down and masked: 16 bits at once, the mask takes the neighbour's off. */
INLINE b32 b32_bits(b32 v, const int shift, const uint8_t mask)
{
    return (b32)((w16)v >> shift) & mask;
}

INLINE b32 b32_up4(b32 v)
{
    return (b32)((w16)v << 4); /* of bytes below 16 */
}

/* 16 bytes of nibbles, the low ones first. */
INLINE b32 b32_nibbles(const char *p)
{
    b16 b;
    memcpy(&b, p, sizeof b);
    b16 low = b & 15, high = (b16)((w8)b >> 4) & 15;
    return (b32)_mm256_set_m128i((__m128i)high, (__m128i)low);
}

/* The bits of a word as 32 bytes of 0 or 16. */
INLINE b32 b32_fifth(const char *p)
{
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
#if VL == 16
    return (b32)_mm256_maskz_set1_epi8(bits, 16);
#else
    __m256i byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2,
                                       2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3),
            bit = _mm256_set1_epi64x((long long)0x8040201008040201u),
            v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte_of);
    return (b32)_mm256_cmpeq_epi8(_mm256_and_si256(v, bit), bit) & 16;
#endif
}

INLINE vi v_widen_bytes(__m128i b, const bool is_signed)
{
#if VL == 16
    return is_signed ? (vi)_mm512_cvtepi8_epi32(b) : (vi)_mm512_cvtepu8_epi32(b);
#else
    return is_signed ? (vi)_mm256_cvtepi8_epi32(b) : (vi)_mm256_cvtepu8_epi32(b);
#endif
}

/* Bytes v * VL and following as whole numbers. */
INLINE vi v_of_bytes(b32 q, const int v, const bool is_signed)
{
#if VL == 16
    __m128i b = v ? _mm256_extracti128_si256((__m256i)q, 1) : _mm256_castsi256_si128((__m256i)q);
#else
    __m128i b = v / 2 ? _mm256_extracti128_si256((__m256i)q, 1)
                      : _mm256_castsi256_si128((__m256i)q);
    if (v % 2)
        b = _mm_unpackhi_epi64(b, b);
#endif
    return v_widen_bytes(b, is_signed);
}

/* VL bytes of memory as whole numbers: the load widens. */
INLINE vi v_load_bytes(const char *p, const bool is_signed)
{
#if VL == 16
    return v_widen_bytes(_mm_loadu_si128((const __m128i *)(const void *)p), is_signed);
#else
    return v_widen_bytes(_mm_loadl_epi64((const __m128i *)(const void *)p), is_signed);
#endif
}

/* ---- scales ---- */

struct quant_head {
    float scale[16], offset[16]; /* of 32 elements each, of Q2_K, Q3_K, Q6_K 16 */
    const float *codes;
};

INLINE float f16_at(const char *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return _cvtsh_ss(h);
}

/* Out of line, so that the scales go to memory, from where a broadcast is free. */
static __attribute__((noinline)) void head_4k(const char *p, struct quant_head *h)
{
    uint32_t w[3], scale[2], offset[2];
    memcpy(w, p + 4, sizeof w);
    scale[0] = w[0] & 0x3f3f3f3f;
    offset[0] = w[1] & 0x3f3f3f3f;
    scale[1] = (w[2] & 0x0f0f0f0f) | (w[0] >> 6 & 0x03030303) << 4;
    offset[1] = (w[2] >> 4 & 0x0f0f0f0f) | (w[1] >> 6 & 0x03030303) << 4;
    __m256 d = _mm256_set1_ps(f16_at(p)), m = _mm256_set1_ps(-f16_at(p + 2));
    __m256i s = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)scale)),
            o = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)offset));
    _mm256_storeu_ps(h->scale, _mm256_mul_ps(d, _mm256_cvtepi32_ps(s)));
    _mm256_storeu_ps(h->offset, _mm256_mul_ps(m, _mm256_cvtepi32_ps(o)));
}

/* 16 bytes as numbers, times d. */
INLINE void head_bytes(const void *bytes, const bool is_signed, float d, float out[16])
{
    UNROLL for (int i = 0; i < 16; i += VL) v_store(
        out + i,
        __builtin_convertvector(v_load_bytes((const char *)bytes + i, is_signed), vf) * v_set1(d));
}

static __attribute__((noinline)) void head_6k(const char *p, struct quant_head *h)
{
    head_bytes(p + 192, true, f16_at(p + 208), h->scale);
}

static __attribute__((noinline)) void head_2k(const char *p, struct quant_head *h)
{
    b16 b, scale, offset;
    memcpy(&b, p, sizeof b);
    scale = b & 15, offset = (b16)((w8)b >> 4) & 15;
    head_bytes(&scale, false, f16_at(p + 80), h->scale);
    head_bytes(&offset, false, -f16_at(p + 82), h->offset);
}

static __attribute__((noinline)) void head_3k(const char *p, struct quant_head *h)
{
    uint32_t w[3], scale[4];
    memcpy(w, p + 96, sizeof w);
    for (int i = 0; i < 4; i++)
        scale[i] = (w[i % 2] >> i / 2 * 4 & 0x0f0f0f0f) | (w[2] >> 2 * i & 0x03030303) << 4;
    b16 b;
    memcpy(&b, scale, sizeof b);
    b -= 32;
    head_bytes(&b, true, f16_at(p + 108), h->scale);
}

static __attribute__((noinline)) void head_4xs(const char *p, struct quant_head *h)
{
    uint16_t high;
    uint32_t low;
    memcpy(&high, p + 2, sizeof high), memcpy(&low, p + 4, sizeof low);
    for (int u = 0; u < 8; u++) {
        int bits = (int)(low >> 4 * u & 15) | (high >> 2 * u & 3) << 4;
        h->scale[u] = f16_at(p) * (float)(bits - 32);
    }
}

INLINE void quant_head(const enum kn_dtype t, const char *p, struct quant_head *h)
{
    switch (t) {
    case KN_Q4_K:
    case KN_Q5_K: head_4k(p, h); break;
    case KN_Q6_K: head_6k(p, h); break;
    case KN_Q2_K: head_2k(p, h); break;
    case KN_Q3_K: head_3k(p, h); break;
    case KN_IQ4_XS: head_4xs(p, h); break;
    case KN_INT8:
    case KN_NF4:
    case KN_FP4: memcpy(h->scale, p, sizeof *h->scale); break;
    case KN_MXFP4: h->scale[0] = half_of_e8m0((uint8_t)p[0]); break;
    case KN_Q4_1:
    case KN_Q5_1: h->offset[0] = f16_at(p + 2); /* fall through */
    default: h->scale[0] = f16_at(p);
    }
}

/* ---- integers ---- */

/* Of a type of nibbles: where a block keeps those of unit u. */
INLINE int nibbles_at(const enum kn_dtype t, const int u)
{
    return t == KN_MXFP4 ? 1 : t == KN_Q4_0 || t == KN_IQ4_NL ? 2 : t == KN_IQ4_XS ? 8 + u * 16 : 4;
}

/* What nibbles stand for, where that is whole numbers. */
INLINE b32 b32_codes(const enum kn_dtype t, b32 q)
{
    const __m128i iq4 = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53,
                                      69, 89, 113),
                  mxfp4 = _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
    __m256i codes = _mm256_broadcastsi128_si256(t == KN_MXFP4 ? mxfp4 : iq4);
    return (b32)_mm256_shuffle_epi8(codes, (__m256i)q);
}

/* The integers of unit u, as bytes, where they are neither bytes nor nibbles in memory. */
INLINE b32 quant_bytes(const enum kn_dtype t, const char *p, const int u)
{
    if (t == KN_Q5_0)
        return (b32_nibbles(p + 6) | b32_fifth(p + 2)) - 16;
    if (t == KN_Q5_1)
        return b32_nibbles(p + 8) | b32_fifth(p + 4);
    if (t == KN_IQ4_NL || t == KN_IQ4_XS || t == KN_MXFP4)
        return b32_codes(t, b32_nibbles(p + nibbles_at(t, u)));
    if (t == KN_Q2_K)
        return b32_bits(b32_load(p + 16 + u / 4 * 32), u % 4 * 2, 3);
    if (t == KN_Q3_K) {
        b32 low = b32_bits(b32_load(p + 32 + u / 4 * 32), u % 4 * 2, 3);
        return (low | (b32)((w16)b32_bits(b32_load(p), u, 1) << 2)) - 4;
    }
    if (t == KN_Q5_K) {
        b32 low = b32_bits(b32_load(p + 48 + u / 2 * 32), u % 2 * 4, 15);
        return low | b32_up4(b32_bits(b32_load(p + 16), u, 1));
    }
    b32 low = b32_bits(b32_load(p + u / 4 * 64 + u % 2 * 32), u % 4 / 2 * 4, 15);
    return (low | b32_up4(b32_bits(b32_load(p + 128 + u / 4 * 32), u % 4 * 2, 3))) - 32;
}

/* The same of a type of nibbles; above the lowest four bits there may be others.  NF4, FP4: VL / 2
 * bytes, each its high half first. */
INLINE vi quant_nibbles(const enum kn_dtype t, const char *p, const int u, const int v)
{
    const int e = v * VL;
    if (t == KN_NF4 || t == KN_FP4) {
        int32_t w[2];
        memcpy(w, p + 4 + u * 16 + e / 2, VL / 2);
#if VL == 16
        const vi by = {4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24};
        return (vi)_mm512_srlv_epi32(_mm512_mask_set1_epi32(_mm512_set1_epi32(w[0]), 0xff00, w[1]),
                                     (__m512i)by);
#else
        const vi by = {4, 0, 12, 8, 20, 16, 28, 24};
        return (vi)_mm256_srlv_epi32(_mm256_set1_epi32(w[0]), (__m256i)by);
#endif
    }
    if (t == KN_Q4_K) {
        vi q = v_load_bytes(p + 16 + u / 2 * 32 + e, false);
        return u % 2 ? q >> 4 : q;
    }
    vi q = v_load_bytes(p + nibbles_at(t, u) + e % 16, false);
    return e / 16 ? q >> 4 : q;
}

/* Which of 16 floats. */
INLINE vf v_pick(const float *table, vi i)
{
#if VL == 16
    return (vf)_mm512_permutexvar_ps((__m512i)i, _mm512_loadu_ps(table));
#else
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)i),
           high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), (__m256i)i);
    return (vf)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32((__m256i)i, 28)));
#endif
}

/* ---- weights ---- */

#if VL == 16
/* All 16 values that a weight of a type of nibbles can have; s: which of the scales. */
INLINE vf quant_values(const enum kn_dtype t, const struct quant_head *h, const int s)
{
    const vf n = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf scale = v_set1(h->scale[s]);
    if (t == KN_Q4_0)
        return (n - 8) * scale;
    if (t == KN_Q4_1 || t == KN_Q4_K)
        return v_fma(n, scale, v_set1(h->offset[s]));
    return v_load(h->codes) * scale;
}
#endif

/* Unit u of the block at p; t and u are constants where this is called. */
INLINE void quant_unit(const enum kn_dtype t, const char *p, const struct quant_head *h,
                       const int u, vf w[UNIT / VL])
{
    const bool k = t == KN_Q4_K || t == KN_Q5_K,
               halves = t == KN_Q2_K || t == KN_Q3_K || t == KN_Q6_K,
               offset = k || t == KN_Q4_1 || t == KN_Q5_1 || t == KN_Q2_K,
               bytes = t == KN_Q8_0 || t == KN_INT8, floats = t == KN_NF4 || t == KN_FP4,
               small = t == KN_Q4_0 || t == KN_Q4_1 || t == KN_Q4_K,
               codes = t == KN_IQ4_NL || t == KN_IQ4_XS || t == KN_MXFP4;
    const int s = k || t == KN_IQ4_XS ? u : 0;
#if VL == 16
    if (small || codes || floats) {
        vf all = quant_values(t, h, s);
        UNROLL for (int v = 0; v < UNIT / VL; v++)
            w[v] = (vf)_mm512_permutexvar_ps((__m512i)quant_nibbles(t, p, u, v), (__m512)all);
        return;
    }
#endif
    b32 q = {0};
    if (!bytes && !small && !floats)
        q = quant_bytes(t, p, u);
    UNROLL for (int v = 0; v < UNIT / VL; v++)
    {
        vi i = bytes ? v_load_bytes(p + (t == KN_Q8_0 ? 2 : 4) + v * VL, true)
               : small || floats
                   ? quant_nibbles(t, p, u, v)
                   : v_of_bytes(q, v, codes || t == KN_Q5_0 || t == KN_Q3_K || t == KN_Q6_K);
        if (small)
            i = (i & 15) - (t == KN_Q4_0 ? 8 : 0);
        const int at = halves ? u * 2 + v / (16 / VL) : s;
        vf x = floats ? v_pick(h->codes, i) : __builtin_convertvector(i, vf),
           scale = v_set1(h->scale[at]);
        w[v] = offset ? v_fma(x, scale, v_set1(h->offset[at])) : x * scale;
    }
}

INLINE void quant_unit_store(const enum kn_dtype t, const char *p, const struct quant_head *h,
                             const int u, float *out)
{
    vf w[UNIT / VL];
    quant_unit(t, p, h, u, w);
    UNROLL for (int i = 0; i < UNIT / VL; i++) v_store(out + i * VL, w[i]);
}

/* Units [at, at + n) / UNIT of what lies without gaps from src on; the block `ahead` bytes further
 * is asked for. */
INLINE void quant_units(const enum kn_dtype t, const int64_t block, const int64_t bytes,
                        const char *src, int64_t at, int64_t n, int64_t ahead, float *out)
{
    struct quant_head h = {.codes = quant_codes(t)};
    for (int64_t end = at + n; at < end;) {
        const char *p = src + at / block * bytes;
        UNROLL for (int64_t line = 0; line < bytes; line += 64)
            __builtin_prefetch(p + ahead + line, 0, 2);
        quant_head(t, p, &h);
        if (at % block == 0 && end - at >= block) {
            UNROLL for (int u = 0; u < block / UNIT; u++)
                quant_unit_store(t, p, &h, u, out + u * UNIT);
            at += block, out += block;
            continue;
        }
        switch (at % block / UNIT) {
        case 0: quant_unit_store(t, p, &h, 0, out); break;
        case 1: quant_unit_store(t, p, &h, 1, out); break;
        case 2: quant_unit_store(t, p, &h, 2, out); break;
        case 3: quant_unit_store(t, p, &h, 3, out); break;
        case 4: quant_unit_store(t, p, &h, 4, out); break;
        case 5: quant_unit_store(t, p, &h, 5, out); break;
        case 6: quant_unit_store(t, p, &h, 6, out); break;
        default: quant_unit_store(t, p, &h, 7, out);
        }
        at += UNIT, out += UNIT;
    }
}

typedef void quant_units_fn(const char *src, int64_t at, int64_t n, int64_t ahead, float *out);

#define KN_BLOCKS(id, name, elements, bytes) \
    enum { QUANT_ELEMENTS_##id = elements, QUANT_BYTES_##id = bytes };
#include "../dtype.def"
#define X(id)                                                                                \
    static void quant_units_##id(const char *src, int64_t at, int64_t n, int64_t ahead,      \
                                 float *out)                                                 \
    {                                                                                        \
        quant_units(KN_##id, QUANT_ELEMENTS_##id, QUANT_BYTES_##id, src, at, n, ahead, out); \
    }
QUANT_TYPES(X)
#undef X

static quant_units_fn *const quant_units_of[KN_DTYPE_COUNT] = {
#define X(id) [KN_##id] = quant_units_##id,
    QUANT_TYPES(X)
#undef X
};

#endif /* VL > 4 */

/* Elements [at, at + n) of what lies without gaps from src on, as floats. */
static void row_decode(float *out, const void *src, enum kn_dtype t, int64_t at, int64_t n,
                       int64_t ahead)
{
#if VL > 4
    quant_units_fn *units = quant_units_of[t];
    while (units && n > 0) {
        float part[UNIT];
        int64_t skip = at % UNIT, len = n / UNIT * UNIT;
        if (!skip && len) {
            units(src, at, len, ahead, out);
        } else {
            len = n < UNIT - skip ? n : UNIT - skip;
            units(src, at - skip, UNIT, ahead, part);
            memcpy(out, part + skip, (size_t)len * sizeof *out);
        }
        at += len, n -= len, out += len;
    }
#endif
    (void)ahead;
    if (n > 0)
        quant_decode_span(t, src, at, n, out);
}

#endif
