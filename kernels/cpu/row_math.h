/* row_math.h - exp, tanh, the normal distribution function and the activations, a vector at a time.
 *
 * Polynomials are near-minimax fits (weighted least squares at Chebyshev nodes, reweighted until
 * the error levels; relative error of each below a quarter ulp), so what is left is rounding.
 */
#ifndef KN_CPU_ROW_MATH_H
#define KN_CPU_ROW_MATH_H

#include "vec.h"

/* e^x, within about 1 ulp; Inf above the range and NaN for NaN.  0 where the result would be
 * subnormal: processors take a hundred cycles over one of those, and masked scores are full of
 * them. */
INLINE vf v_exp(vf x)
{
    const vi vanishes = x < -87.3365f; /* ln 2^-126 */
    /* v_max and v_min hand NaN through in their second operand. */
#if VL != 16
    x = v_max(v_set1(-87.3365f), x);
#endif
    x = v_min(v_set1(89.0f), x);
    const vf magic = v_set1(0x1.8p23f); /* adding it rounds to a whole number */
    vf n = (v_fma(x, v_set1(1.44269504f), magic)) - magic;
    vf r = v_fma(n, v_set1(-0.693359375f), x); /* ln 2 in two parts, n times the first is exact */
    r = v_fma(n, v_set1(2.12194440e-4f), r);
    vf q = v_set1(0.00138145988f);
    q = v_fma(q, r, v_set1(0.00836871658f));
    q = v_fma(q, r, v_set1(0.041668389f));
    q = v_fma(q, r, v_set1(0.166665211f));
    q = v_fma(q, r, v_set1(0.49999994f));
    vf p = v_fma(q, r * r, r) + 1.0f;
#if VL == 16
    return v_scale_unless(vanishes, p, n);
#else
    n = v_select(x == x, n, v_set1(0)); /* NaN has no integer part */
    return v_select(vanishes, v_set1(0), v_scale(p, n));
#endif
}

/* tanh x: a polynomial where 1 - e^-2x would cancel */
INLINE vf v_tanh(vf x)
{
    vf a = v_abs(x), s = x * x;
    vf p = v_set1(-0.00589515828f);
    p = v_fma(p, s, v_set1(0.0207959712f));
    p = v_fma(p, s, v_set1(-0.0537838303f));
    p = v_fma(p, s, v_set1(0.133319244f));
    p = v_fma(p, s, v_set1(-0.333332986f));
    vf small = v_fma(p * s, x, x);
    vf e = v_exp(a * -2.0f);
    vf large = v_copysign((1.0f - e) / (1.0f + e), x);
    return v_select(a < 0.6f, small, large);
}

/* The normal distribution function, (1 + erf(x/sqrt 2))/2, also in its lower tail to a few ulp. */
INLINE vf v_normal_cdf(vf x)
{
    vf a = v_abs(x) * 0.707106781f, s = a * a;
    vf p = v_set1(0.00480990252f); /* erf(a)/a in a^2, for a < 0.42 */
    p = v_fma(p, s, v_set1(-0.0267937109f));
    p = v_fma(p, s, v_set1(0.112832695f));
    p = v_fma(p, s, v_set1(-0.37612626f));
    p = v_fma(p, s, v_set1(1.12837923f));
    vf middle = v_copysign(p * a, x) * 0.5f + 0.5f;

    /* erfc(a) = e^(-a^2) g(u) u, u = 1/(1 + a/2).  a^2 = x^2/2 is taken in two parts, the first
     * exact, since its rounding error would be the relative error of the tail. */
    vf u = 1.0f / v_fma(a, v_set1(0.5f), v_set1(1.0f));
    vf g = v_set1(-0.0634191558f);
    g = v_fma(g, u, v_set1(0.304173917f));
    g = v_fma(g, u, v_set1(-0.524161041f));
    g = v_fma(g, u, v_set1(0.316095114f));
    g = v_fma(g, u, v_set1(-0.0499099232f));
    g = v_fma(g, u, v_set1(0.211349398f));
    g = v_fma(g, u, v_set1(0.241196945f));
    g = v_fma(g, u, v_set1(0.282601833f));
    g = v_fma(g, u, v_set1(0.282075316f));
    vf y = v_abs(x), top = (vf)((vi)y & ~0xfff);
    vf e = v_exp(top * top * -0.5f) * v_exp((top - y) * (top + y) * 0.5f);
    /* Past 16 the tail is 0, and Inf - Inf is not meant. */
    vf tail = v_select(a > 16.0f, v_set1(0), g * u * e * 0.5f);
    vf outer = v_select(x > 0.0f, 1.0f - tail, tail);
    /* written so that NaN takes the polynomial */
    return v_select(a >= 0.42f, outer, middle);
}

INLINE vf v_act(enum kn_act act, vf x)
{
    switch (act) {
    case KN_ACT_GELU: return x * v_normal_cdf(x);
    case KN_ACT_GELU_NEW: {
        /* x (1 + tanh u)/2 = x / (1 + e^-2u), which does not cancel for negative u */
        vf u2 = x * v_fma(x * x, v_set1(2 * 0.0356774081f), v_set1(2 * 0.797884561f));
        return x / (1.0f + v_exp(-u2));
    }
    case KN_ACT_RELU: return v_max(v_set1(0), x);
    case KN_ACT_SILU: return x / (1.0f + v_exp(-x));
    case KN_ACT_QUICK_GELU: return x / (1.0f + v_exp(x * -1.702f));
    default: return x;
    }
}

/* out = act(x), times gate where there is one */
INLINE void act_all(enum kn_act act, float *out, const float *x, const float *gate, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vf y = v_act(act, v_load(x + i));
        v_store(out + i, gate ? y * v_load(gate + i) : y);
    }
    if (i < n) {
        vf y = v_act(act, v_load_n(x + i, n - i));
        v_store_n(out + i, gate ? y * v_load_n(gate + i, n - i) : y, n - i);
    }
}

static void row_act(float *out, const float *x, const float *gate, int64_t n, enum kn_act act)
{
    switch (act) {
    case KN_ACT_GELU: act_all(KN_ACT_GELU, out, x, gate, n); break;
    case KN_ACT_GELU_NEW: act_all(KN_ACT_GELU_NEW, out, x, gate, n); break;
    case KN_ACT_RELU: act_all(KN_ACT_RELU, out, x, gate, n); break;
    case KN_ACT_SILU: act_all(KN_ACT_SILU, out, x, gate, n); break;
    case KN_ACT_QUICK_GELU: act_all(KN_ACT_QUICK_GELU, out, x, gate, n); break;
    default: act_all(KN_ACT_NONE, out, x, gate, n); break;
    }
}

/* The derivative of v_act.  s is a logistic function 1/(1 + e), and e s is 1 - s without
 * cancellation; e is kept finite for it. */
INLINE vf v_act_slope(enum kn_act act, vf x)
{
    const vf most = v_set1(1e30f);
    switch (act) {
    case KN_ACT_GELU: return v_fma(x * 0.398942280f, v_exp(x * x * -0.5f), v_normal_cdf(x));
    case KN_ACT_GELU_NEW: {
        vf xx = x * x, u2 = x * v_fma(xx, v_set1(2 * 0.0356774081f), v_set1(2 * 0.797884561f));
        vf e = v_min(most, v_exp(-u2)), s = 1.0f / (1.0f + e);
        vf du2 = v_fma(xx, v_set1(6 * 0.0356774081f), v_set1(2 * 0.797884561f));
        return s + s * (s * e) * (x * du2);
    }
    case KN_ACT_RELU: return v_select(x > 0.0f, v_set1(1), v_set1(0));
    case KN_ACT_SILU: {
        vf e = v_min(most, v_exp(-x)), s = 1.0f / (1.0f + e);
        return s + s * (s * e) * x;
    }
    case KN_ACT_QUICK_GELU: {
        vf e = v_min(most, v_exp(x * -1.702f)), s = 1.0f / (1.0f + e);
        return s + s * (s * e) * (x * 1.702f);
    }
    default: return v_set1(1);
    }
}

INLINE void act_slope_all(enum kn_act act, float *out, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(out + i, v_act_slope(act, v_load(x + i)));
    if (i < n)
        v_store_n(out + i, v_act_slope(act, v_load_n(x + i, n - i)), n - i);
}

static void row_act_slope(float *out, const float *x, int64_t n, enum kn_act act)
{
    switch (act) {
    case KN_ACT_GELU: act_slope_all(KN_ACT_GELU, out, x, n); break;
    case KN_ACT_GELU_NEW: act_slope_all(KN_ACT_GELU_NEW, out, x, n); break;
    case KN_ACT_RELU: act_slope_all(KN_ACT_RELU, out, x, n); break;
    case KN_ACT_SILU: act_slope_all(KN_ACT_SILU, out, x, n); break;
    case KN_ACT_QUICK_GELU: act_slope_all(KN_ACT_QUICK_GELU, out, x, n); break;
    default: act_slope_all(KN_ACT_NONE, out, x, n); break;
    }
}

/* x = softcap(x * scale), in place */
static void row_scale_cap(float *x, int64_t n, float scale, float softcap)
{
    float inverse = softcap > 0 ? 1 / softcap : 0;
    for (int64_t i = 0; i < n; i += VL) {
        bool whole = n - i >= VL;
        vf v = whole ? v_load(x + i) : v_load_n(x + i, n - i);
        v *= scale;
        if (softcap > 0)
            v = v_tanh(v * inverse) * softcap;
        if (whole)
            v_store(x + i, v);
        else
            v_store_n(x + i, v, n - i);
    }
}

#endif
