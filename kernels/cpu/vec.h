/* vec.h - one vector of floats, as wide as the instruction set that this file is compiled for.
 *
 * Included by the row kernels (row_*.h), which are compiled once per instruction set.  Arithmetic
 * is the compilers' vector extension; what it lacks (partial loads, fma, conversions) is here,
 * three times. Nothing reads a byte outside the elements asked for: weights may end where their
 * mapping ends. No pointer is assumed to be aligned beyond its element.
 */
#ifndef KN_CPU_VEC_H
#define KN_CPU_VEC_H

#include "../kn.h"

#include <math.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX2__)
#define VL 8
#else
#define VL 4
#endif
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));
typedef uint16_t vh __attribute__((vector_size(VL * 2)));
typedef float v4f __attribute__((vector_size(16)));
/* half of a vf's floats, and the same as doubles */
typedef float vhalf __attribute__((vector_size(VL * 2)));
typedef double vd __attribute__((vector_size(VL * 4)));

/* One instruction, where {0} + x would be an addition: -0 + 0 is 0. */
INLINE vf v_set1(float x)
{
#if VL == 16
    return (vf)_mm512_set1_ps(x);
#elif VL == 8
    return (vf)_mm256_set1_ps(x);
#else
    return (vf){x, x, x, x};
#endif
}

INLINE vf v_load(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void v_store(float *p, vf v)
{
    memcpy(p, &v, sizeof v);
}

INLINE vf v_abs(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

/* |x| with the sign of s */
INLINE vf v_copysign(vf x, vf s)
{
    return (vf)(((vi)x & 0x7fffffff) | ((vi)s & ~0x7fffffff));
}

/* m ? a : b, m as a comparison gives it */
INLINE vf v_select(vi m, vf a, vf b)
{
    return (vf)((m & (vi)a) | (~m & (vi)b));
}

INLINE vf v_from_bf16(vh h)
{
    return (vf)(__builtin_convertvector(h, vu) << 16);
}

#if VL == 16

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

/* The greater; b if either is NaN. */
INLINE vf v_max(vf a, vf b)
{
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
}

INLINE vf v_min(vf a, vf b)
{
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
}

INLINE vf v_sqrt(vf x)
{
    return (vf)_mm512_sqrt_ps((__m512)x);
}

/* x * 2^n for whole n, but 0 where m, whatever x and n are there */
INLINE vf v_scale_unless(vi m, vf x, vf n)
{
    return (vf)_mm512_maskz_scalef_ps(_knot_mask16(_mm512_movepi32_mask((__m512i)m)), (__m512)x,
                                      (__m512)n);
}

/* One bit per lane: a > b (false where NaN). */
INLINE unsigned v_gt_bits(vf a, vf b)
{
    return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
}

INLINE vf v_load_n(const float *p, int64_t n)
{
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

/* The first n, the rest taken from `rest`. */
INLINE vf v_load_or(const float *p, int64_t n, vf rest)
{
    return (vf)_mm512_mask_loadu_ps((__m512)rest, (__mmask16)((1u << n) - 1), p);
}

INLINE v4f v_fold_max(vf v)
{
    __m256 h = _mm256_max_ps(_mm512_castps512_ps256((__m512)v),
                             _mm512_extractf32x8_ps((__m512)v, 1));
    return (v4f)_mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

INLINE void v_store_n(float *p, vf v, int64_t n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}

INLINE vh h_load_n(const uint16_t *p, int64_t n)
{
    return (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
}

INLINE vf v_from_f16(vh h)
{
    return (vf)_mm512_cvtph_ps((__m256i)h);
}

/* The sums over the lanes of a, b, c, d, all four in the same order. */
INLINE v4f v_sum4(vf a, vf b, vf c, vf d)
{
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps((__m512)a, (__m512)b),
                              _mm512_unpackhi_ps((__m512)a, (__m512)b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps((__m512)c, (__m512)d),
                              _mm512_unpackhi_ps((__m512)c, (__m512)d));
    __m512d lo = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512d hi = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512 s = _mm512_add_ps(_mm512_castpd_ps(lo), _mm512_castpd_ps(hi));
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    return (v4f)_mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
}

/* Four elements from p on in the first four lanes, from p + stride in the next four, and so on. */
INLINE vf v_load_quads(const float *p, int64_t stride)
{
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + stride), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 2 * stride), 2);
    return (vf)_mm512_insertf32x4(v, _mm_loadu_ps(p + 3 * stride), 3);
}

/* Lane i of quad q of vector j becomes lane j of quad q of vector i. */
INLINE void v_turn(vf v[4])
{
    __m512d ab = (__m512d)_mm512_unpacklo_ps((__m512)v[0], (__m512)v[1]),
            cd = (__m512d)_mm512_unpacklo_ps((__m512)v[2], (__m512)v[3]),
            AB = (__m512d)_mm512_unpackhi_ps((__m512)v[0], (__m512)v[1]),
            CD = (__m512d)_mm512_unpackhi_ps((__m512)v[2], (__m512)v[3]);
    v[0] = (vf)_mm512_unpacklo_pd(ab, cd), v[1] = (vf)_mm512_unpackhi_pd(ab, cd);
    v[2] = (vf)_mm512_unpacklo_pd(AB, CD), v[3] = (vf)_mm512_unpackhi_pd(AB, CD);
}

#elif VL == 8

INLINE vf v_fma(vf a, vf b, vf c)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

INLINE vf v_max(vf a, vf b)
{
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
}

INLINE vf v_min(vf a, vf b)
{
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
}

INLINE vf v_sqrt(vf x)
{
    return (vf)_mm256_sqrt_ps((__m256)x);
}

INLINE unsigned v_gt_bits(vf a, vf b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ));
}

INLINE __m256i v_first(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vf v_load_n(const float *p, int64_t n)
{
    return (vf)_mm256_maskload_ps(p, v_first(n));
}

INLINE vf v_load_or(const float *p, int64_t n, vf rest)
{
    return (vf)_mm256_blendv_ps((__m256)rest, (__m256)v_load_n(p, n),
                                _mm256_castsi256_ps(v_first(n)));
}

INLINE v4f v_fold_max(vf v)
{
    return (v4f)_mm_max_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
}

INLINE void v_store_n(float *p, vf v, int64_t n)
{
    _mm256_maskstore_ps(p, v_first(n), (__m256)v);
}

INLINE vf v_from_f16(vh h)
{
    return (vf)_mm256_cvtph_ps((__m128i)h);
}

INLINE v4f v_sum4(vf a, vf b, vf c, vf d)
{
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps((__m256)a, (__m256)b),
                              _mm256_unpackhi_ps((__m256)a, (__m256)b));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps((__m256)c, (__m256)d),
                              _mm256_unpackhi_ps((__m256)c, (__m256)d));
    __m256d lo = _mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd));
    __m256d hi = _mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd));
    __m256 s = _mm256_add_ps(_mm256_castpd_ps(lo), _mm256_castpd_ps(hi));
    return (v4f)_mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
}

#else /* portable */

/* No fused multiply-add without the instruction: one in software costs a hundred times as much. */
INLINE vf v_fma(vf a, vf b, vf c)
{
    return a * b + c;
}

INLINE vf v_max(vf a, vf b)
{
    return v_select(a > b, a, b);
}

INLINE vf v_min(vf a, vf b)
{
    return v_select(a < b, a, b);
}

INLINE vf v_sqrt(vf x)
{
    for (int i = 0; i < VL; i++)
        x[i] = sqrtf(x[i]);
    return x;
}

INLINE unsigned v_gt_bits(vf a, vf b)
{
    vi m = a > b;
    return ((unsigned)m[0] & 1) | ((unsigned)m[1] & 2) | ((unsigned)m[2] & 4) |
           ((unsigned)m[3] & 8);
}

INLINE vf v_load_n(const float *p, int64_t n)
{
    vf v = {0};
    for (int64_t i = 0; i < n; i++)
        v[i] = p[i];
    return v;
}

INLINE vf v_load_or(const float *p, int64_t n, vf rest)
{
    for (int64_t i = 0; i < n; i++)
        rest[i] = p[i];
    return rest;
}

INLINE v4f v_fold_max(vf v)
{
    return v;
}

INLINE void v_store_n(float *p, vf v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
}

/* half_from_f16 of half.h, lane by lane */
INLINE vf v_from_f16(vh h)
{
    vu u = __builtin_convertvector(h, vu);
    vu sign = (u & 0x8000u) << 16, magnitude = (u & 0x7fffu) << 13;
    vf finite = (vf)magnitude * 0x1p112f;
    return (vf)(sign |
                (vu)v_select((u & 0x7c00u) == 0x7c00u, (vf)(magnitude | 0x7f800000u), finite));
}

INLINE v4f v_sum4(vf a, vf b, vf c, vf d)
{
    vf ab = (vf){a[0], b[0], a[1], b[1]} + (vf){a[2], b[2], a[3], b[3]};
    vf cd = (vf){c[0], d[0], c[1], d[1]} + (vf){c[2], d[2], c[3], d[3]};
    return (vf){ab[0], ab[1], cd[0], cd[1]} + (vf){ab[2], ab[3], cd[2], cd[3]};
}

#endif

#if VL != 16

/* In two factors, so that each is a number also where n is 128. */
INLINE vf v_scale(vf x, vf n)
{
    vi whole = __builtin_convertvector(n, vi), half = whole >> 1;
    return x * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
}

INLINE vh h_load_n(const uint16_t *p, int64_t n)
{
    vh h = {0};
    memcpy(&h, p, (size_t)n * sizeof *p);
    return h;
}

#endif

/* Whole vectors, or the first n < VL elements, of a stored type as floats; the rest is 0. */
INLINE vf v_load_as(enum kn_dtype t, const char *p)
{
    vh h;
    if (t == KN_F32)
        return v_load((const float *)(const void *)p);
    memcpy(&h, p, sizeof h);
    return t == KN_F16 ? v_from_f16(h) : v_from_bf16(h);
}

INLINE vf v_load_as_n(enum kn_dtype t, const char *p, int64_t n)
{
    if (t == KN_F32)
        return v_load_n((const float *)(const void *)p, n);
    vh h = h_load_n((const uint16_t *)(const void *)p, n);
    return t == KN_F16 ? v_from_f16(h) : v_from_bf16(h);
}

INLINE void v_split(vf v, vd *lo, vd *hi)
{
    vhalf h[2];
    memcpy(h, &v, sizeof v);
    *lo = __builtin_convertvector(h[0], vd);
    *hi = __builtin_convertvector(h[1], vd);
}

INLINE double vd_sum(vd v)
{
    double s = 0;
    for (int i = 0; i < VL / 2; i++)
        s += v[i];
    return s;
}

INLINE float v_greatest(vf v)
{
    v4f m = v_fold_max(v);
    float a = m[0] > m[1] ? m[0] : m[1], b = m[2] > m[3] ? m[2] : m[3];
    return a > b ? a : b;
}

#endif
