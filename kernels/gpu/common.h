/* common.h - what kernels share: stored types, exp, log and friends (the cpu's polynomials, so that
 * devices agree to an ulp), sums of twice the digits. */
#ifndef KN_GPU_COMMON_H
#define KN_GPU_COMMON_H

/* enum kn_dtype, which lower.c compares */
#define T_F32 0
#define T_F16 1
#define T_BF16 2
#define T_BLOCKS 4 /* the first type in blocks */
/* enum kn_act */
#define ACT_GELU 1
#define ACT_GELU_NEW 2
#define ACT_RELU 3
#define ACT_SILU 4
#define ACT_QUICK_GELU 5

FN bool finite_(f32 x)
{
    return (f32_bits(x) & 0x7f800000u) != 0x7f800000u;
}

/* The nearest bf16 number, of two the even one. */
FN f32 round_bf16(f32 x)
{
    u32 u = f32_bits(x);
    return isnan_(x) ? x : bits_f32((u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u);
}

/* e^x within about 1 ulp; 0 where the result would be subnormal. */
FN f32 exp_(f32 x)
{
    if (x < -87.3365f)
        return 0.0f;
    if (x > 88.8f)
        return INF;
    if (isnan_(x))
        return x;
    f32 n = ROUND_EVEN(x * 1.44269504f);
    f32 r = fma(n, 2.12194440e-4f, fma(n, -0.693359375f, x));
    f32 q = 0.00138145988f;
    q = fma(q, r, 0.00836871658f);
    q = fma(q, r, 0.041668389f);
    q = fma(q, r, 0.166665211f);
    q = fma(q, r, 0.49999994f);
    f32 p = fma(q, r * r, r) + 1.0f;
    i32 e = i32(n), part = e / 2; /* in two steps, 2^128 does not exist */
    return p * bits_f32(u32(part + 127) << 23) * bits_f32(u32(e - part + 127) << 23);
}

/* e^(a - b): what the difference loses counts, for it is the result's relative error. */
FN f32 exp_less(f32 a, f32 b)
{
    EXACT f32 d = a - b;
    EXACT f32 v = d - a;
    EXACT f32 lost = (a - (d - v)) - (b + v);
    f32 e = exp_(d);
    return finite_(lost) ? fma(e, lost, e) : e;
}

/* log x of a normal x > 0: 2 artanh of (m - 1)/(m + 1), m near 1, by its series. */
FN f32 log_(f32 x)
{
    u32 u = f32_bits(x) + (0x3f800000u - 0x3f3504f3u); /* m in [sqrt 1/2, sqrt 2) */
    f32 e = f32(i32(u >> 23) - 127), m = bits_f32((u & 0x7fffffu) + 0x3f3504f3u);
    f32 s = (m - 1.0f) / (m + 1.0f), t = s * s;
    f32 q = fma(t, 0.181818182f, 0.222222222f);
    q = fma(q, t, 0.285714286f);
    q = fma(q, t, 0.4f);
    q = fma(q, t, 0.666666667f);
    f32 d = m - 1.0f; /* log m = d - s (d - t q): exact in its leading part */
    f32 log_m = d - s * (d - t * q);
    return fma(e, 0.693359375f, fma(e, -2.12194440e-4f, log_m));
}

FN f32 tanh_(f32 x)
{
    f32 a = abs(x), s = x * x;
    if (a < 0.6f) {
        f32 p = fma(-0.00589515828f, s, 0.0207959712f);
        p = fma(p, s, -0.0537838303f);
        p = fma(p, s, 0.133319244f);
        p = fma(p, s, -0.333332986f);
        return fma(p * s, x, x);
    }
    f32 e = exp_(a * -2.0f);
    f32 y = (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -y : y;
}

FN f32 normal_cdf(f32 x)
{
    f32 a = abs(x) * 0.707106781f, s = a * a;
    if (a < 0.42f) {
        f32 p = fma(0.00480990252f, s, -0.0267937109f);
        p = fma(p, s, 0.112832695f);
        p = fma(p, s, -0.37612626f);
        p = fma(p, s, 1.12837923f) * a;
        return (x < 0.0f ? -p : p) * 0.5f + 0.5f;
    }
    f32 u = 1.0f / fma(a, 0.5f, 1.0f);
    f32 g = -0.0634191558f;
    g = fma(g, u, 0.304173917f);
    g = fma(g, u, -0.524161041f);
    g = fma(g, u, 0.316095114f);
    g = fma(g, u, -0.0499099232f);
    g = fma(g, u, 0.211349398f);
    g = fma(g, u, 0.241196945f);
    g = fma(g, u, 0.282601833f);
    g = fma(g, u, 0.282075316f);
    f32 y = abs(x),
        top = bits_f32(f32_bits(y) & 0xfffff000u); /* x^2/2 in two parts, the first exact */
    f32 tail = 0.0f;
    if (a <= 16.0f)
        tail = g * u * (exp_(top * top * -0.5f) * exp_((top - y) * (top + y) * 0.5f)) * 0.5f;
    return isnan_(x) ? x : x > 0.0f ? 1.0f - tail : tail;
}

FN f32 act_of(i32 act, f32 x)
{
    if (act == ACT_GELU)
        return x * normal_cdf(x);
    if (act == ACT_GELU_NEW) {
        f32 u2 = x * fma(x * x, 2.0f * 0.0356774081f, 2.0f * 0.797884561f);
        return x / (1.0f + exp_(-u2));
    }
    if (act == ACT_RELU)
        return x > 0.0f || isnan_(x) ? x : 0.0f;
    if (act == ACT_SILU)
        return x / (1.0f + exp_(-x));
    return act == ACT_QUICK_GELU ? x / (1.0f + exp_(x * -1.702f)) : x;
}

/* x held within [lo, hi]; a NaN stays. */
FN f32 held(f32 x, f32 lo, f32 hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* A sum of about twice the digits: hi + lo.  Every step is one rounding; EXACT keeps a shader
 * compiler from knowing better. */
STRUCT(ff, f32 hi; f32 lo;)

FN ff ff_zero()
{
    ff a;
    a.hi = 0.0f;
    a.lo = 0.0f;
    return a;
}

/* |lo| at most about the last digit of hi; where hi is Inf or NaN, lo is nothing. */
FN ff ff_of(f32 hi, f32 lo)
{
    ff a;
    EXACT f32 s = finite_(hi) ? hi + lo : hi;
    EXACT f32 e = lo - (s - hi);
    a.hi = s;
    a.lo = finite_(s) ? e : 0.0f;
    return a;
}

FN ff ff_add(ff a, f32 b)
{
    EXACT f32 s = a.hi + b;
    EXACT f32 v = s - a.hi;
    EXACT f32 e = (a.hi - (s - v)) + (b - v);
    a.lo = a.lo + e;
    a.hi = s;
    return a;
}

FN ff ff_add_product(ff a, f32 x, f32 y)
{
    EXACT f32 p = x * y;
    EXACT f32 e = product_error(x, y, p);
    a = ff_add(a, p);
    a.lo = a.lo + e;
    return a;
}

/* One f32 of it; Inf where the sum is, whose error is NaN. */
FN f32 ff_round(ff a)
{
    return finite_(a.hi) ? a.hi + a.lo : a.hi;
}

FN ff ff_mul(ff a, f32 b)
{
    EXACT f32 p = a.hi * b;
    EXACT f32 e = product_error(a.hi, b, p);
    return ff_of(p, fma(a.lo, b, e));
}

FN ff ff_div(ff a, ff b)
{
    EXACT f32 q = a.hi / b.hi;
    EXACT f32 p = q * b.hi;
    EXACT f32 r = (a.hi - p) - product_error(q, b.hi, p);
    EXACT f32 rest = (r + a.lo) - q * b.lo;
    ff y = ff_of(q, rest / b.hi);
    if (!finite_(q) || !finite_(b.hi)) {
        y.hi = q;
        y.lo = 0.0f;
    }
    return y;
}

/* The sum over the 256 lanes of a group: 16 sums of 16, then their sum. */
SHARED(f32, ff_hi, 256);
SHARED(f32, ff_lo, 256);
SHARED(f32, ff_hi16, 16);
SHARED(f32, ff_lo16, 16);
FN ff group_sum_ff(ff a)
{
    ff_hi[LANE] = a.hi;
    ff_lo[LANE] = a.lo;
    BARRIER();
    if (LANE < 16) {
        ff s = ff_zero();
        for (i32 i = LANE; i < 256; i += 16) {
            s = ff_add(s, ff_hi[i]);
            s.lo = s.lo + ff_lo[i];
        }
        ff_hi16[LANE] = s.hi;
        ff_lo16[LANE] = s.lo;
    }
    BARRIER();
    ff all = ff_zero();
    for (i32 i = 0; i < 16; i++) {
        all = ff_add(all, ff_hi16[i]);
        all.lo = all.lo + ff_lo16[i];
    }
    return ff_of(all.hi, all.lo);
}

#endif
