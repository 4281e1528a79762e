/* row_reduce.h - everything that reads one row and returns little: sums, softmax, top-k, ranks.
 *
 * The order of additions depends on the length of the row alone.
 */
#ifndef KN_CPU_ROW_REDUCE_H
#define KN_CPU_ROW_REDUCE_H

#include "row_math.h"

#include <math.h>

static bool row_has_nan(const float *x, int64_t n)
{
    int bad = 0;
    for (int64_t i = 0; i < n; i++)
        bad |= x[i] != x[i];
    return bad;
}

/* The greatest that is not NaN; -inf if there is none. */
static float row_max(const float *x, int64_t n)
{
    vf m[4];
    for (int j = 0; j < 4; j++)
        m[j] = v_set1(-INFINITY);
    int64_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        UNROLL for (int j = 0; j < 4; j++) m[j] = v_max(v_load(x + i + j * VL), m[j]);
    for (; i + VL <= n; i += VL)
        m[0] = v_max(v_load(x + i), m[0]);
    if (i < n)
        m[1] = v_max(v_load_or(x + i, n - i, m[1]), m[1]);
    return v_greatest(v_max(v_max(m[0], m[1]), v_max(m[2], m[3])));
}

/* sum of (x - mean)^power, power 1 or 2; the differences in float, as the operations compute them
 */
INLINE double row_sum_power(const float *x, float mean, int64_t n, int power)
{
    vd s[4] = {{0}};
    for (int64_t i = 0; i < n; i += 2 * VL) {
        UNROLL for (int j = 0; j < 2; j++)
        {
            int64_t left = n - i - j * VL;
            vd lo, hi;
            vf v;
            if (left >= VL)
                v = v_load(x + i + j * VL) - mean;
            else if (left > 0) {
                float tail[VL] = {0};
                v_store_n(tail, v_load_n(x + i + j * VL, left) - mean, left);
                v = v_load(tail);
            } else
                continue;
            v_split(v, &lo, &hi);
            s[2 * j] += power == 2 ? lo * lo : lo;
            s[2 * j + 1] += power == 2 ? hi * hi : hi;
        }
    }
    return vd_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static double row_sum(const float *x, int64_t n)
{
    return row_sum_power(x, 0, n, 1);
}

static double row_sum_squares(const float *x, float mean, int64_t n)
{
    return row_sum_power(x, mean, n, 2);
}

/* What many are divided by.  With fused multiply-adds, products with a reciprocal in two parts have
 * the quotient's bits but for one in some millions, in a fifth of its time. */
struct over {
    vf by, rest;
};

INLINE struct over over(float total)
{
#if VL > 4
    double inverse = 1 / (double)total;
    float by = (float)inverse;
    return (struct over){v_set1(by), v_set1((float)(inverse - (double)by))};
#else
    return (struct over){v_set1(total), v_set1(0)};
#endif
}

INLINE vf v_over(vf x, const struct over *o)
{
#if VL > 4
    return v_fma(x, o->by, x * o->rest);
#else
    return x / o->by;
#endif
}

static void row_softmax(float *out, const float *x, int64_t n)
{
    float m = row_max(x, n);
    if (m == -INFINITY) { /* nothing visible, or nothing but NaN */
        float fill = row_has_nan(x, n) ? NAN : 0;
        for (int64_t i = 0; i < n; i++)
            out[i] = fill;
        return;
    }
    vf sum = v_set1(0), last = v_set1(0);
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vf e = v_exp(v_load(x + i) - m);
        v_store(out + i, e);
        sum += e;
    }
    if (i < n) { /* the missing lanes add e^-inf = 0 */
        last = v_exp(v_load_or(x + i, n - i, v_set1(-INFINITY)) - m);
        sum += last;
    }
    v4f total4 = v_sum4(sum, sum, sum, sum);
    const struct over total = over(total4[0]);
    for (i = 0; i + VL <= n; i += VL)
        v_store(out + i, v_over(v_load(out + i), &total));
    if (i < n)
        v_store_n(out + i, v_over(last, &total), n - i);
}

/* out = log-sum-exp and entropy of softmax(x).  With d = x - max, s = sum e^d, t = sum d e^d:
 * lse = max + log s, entropy = log s - t/s. */
static void row_lse(const float *x, int64_t n, float out[2])
{
    float m = row_max(x, n);
    if (isinf(m)) {
        out[0] = row_has_nan(x, n) ? NAN : m;
        out[1] = NAN;
        return;
    }
    vd s[2] = {{0}}, t[2] = {{0}};
    for (int64_t i = 0; i < n; i += VL) {
        vf d = (n - i >= VL ? v_load(x + i) : v_load_or(x + i, n - i, v_set1(-INFINITY))) - m,
           e = v_exp(d);
        vf de = v_max(d, v_set1(-200.0f)) * e; /* 0, not NaN, where d is -inf; NaN is in s */
        vd lo, hi;
        v_split(e, &lo, &hi);
        s[0] += lo, s[1] += hi;
        v_split(de, &lo, &hi);
        t[0] += lo, t[1] += hi;
    }
    double sum = vd_sum(s[0] + s[1]), log_sum = log(sum);
    out[0] = (float)(m + log_sum);
    out[1] = (float)(log_sum - vd_sum(t[0] + t[1]) / sum);
}

/* Elements greater than v, NaN the smallest of all. */
static int64_t row_count_greater(const float *x, int64_t n, float v)
{
    int64_t count = 0, i = 0;
    if (v != v) {
        for (; i < n; i++)
            count += x[i] == x[i];
        return count;
    }
    for (; i + VL <= n; i += VL)
        count += __builtin_popcount(v_gt_bits(v_load(x + i), v_set1(v)));
    for (; i < n; i++)
        count += x[i] > v;
    return count;
}

/* Is (a, at i) worse than (b, at j)?  Lower value, NaN lowest, then the later index. */
INLINE bool top_worse(float a, int32_t i, float b, int32_t j)
{
    bool a_nan = a != a, b_nan = b != b;
    if (a_nan || b_nan ? a_nan == b_nan : a == b)
        return i > j;
    return a_nan || (!b_nan && a < b);
}

/* Put (v, at) into a heap of k whose root is the worst, from the hole at h downwards. */
INLINE void top_sift(float *val, int32_t *idx, int64_t k, int64_t h, float v, int32_t at)
{
    for (int64_t c; (c = 2 * h + 1) < k; h = c) {
        if (c + 1 < k && top_worse(val[c + 1], idx[c + 1], val[c], idx[c]))
            c++;
        if (!top_worse(val[c], idx[c], v, at))
            break;
        val[h] = val[c];
        idx[h] = idx[c];
    }
    val[h] = v;
    idx[h] = at;
}

/* The k greatest, descending.  A heap holds the best so far; whole vectors are skipped while
 * nothing in them beats its worst, which is nearly always. */
static void row_topk(const float *x, int64_t n, int64_t k, float *val, int32_t *idx)
{
    for (int64_t i = 0; i < k; i++) {
        val[i] = x[i];
        idx[i] = (int32_t)i;
    }
    for (int64_t h = k / 2; h-- > 0;)
        top_sift(val, idx, k, h, val[h], idx[h]);
    for (int64_t i = k; i < n;) {
        /* NaN as the worst is beaten by anything, which the comparison does not see. */
        if (val[0] == val[0] && n - i >= VL && !v_gt_bits(v_load(x + i), v_set1(val[0]))) {
            i += VL;
            continue;
        }
        int64_t end = n - i < VL ? n : i + VL;
        for (; i < end; i++)
            if (top_worse(val[0], idx[0], x[i], (int32_t)i))
                top_sift(val, idx, k, 0, x[i], (int32_t)i);
    }
    for (int64_t last = k - 1; last > 0; last--) {
        float v = val[last];
        int32_t at = idx[last];
        val[last] = val[0];
        idx[last] = idx[0];
        top_sift(val, idx, last, 0, v, at);
    }
}

#endif
