/* row_columns.h - sums over the rows of a few columns, and the bins that their values fall into.
 *
 * Vectors run along the columns, so every sum is one chain of additions in the order of the rows,
 * and the bits are the same on every instruction set: nothing is fused.
 */
#ifndef KN_CPU_ROW_COLUMNS_H
#define KN_CPU_ROW_COLUMNS_H

#include "vec.h"

enum { COLUMN_VECS = KN_COLUMNS / VL };

/* v[0] and v[1]: the sums of a vector's columns, to which its values are added. */
INLINE void column_add(vd v[2], vf x)
{
    vd lo, hi;
    v_split(x, &lo, &hi);
    v[0] += lo, v[1] += hi;
}

INLINE void column_store(double *out, const vd v[2], double n)
{
    vd mean[2] = {v[0] / n, v[1] / n};
    memcpy(out, mean, sizeof mean);
}

/* One vector of columns, from column `at` on. */
INLINE bool column_sums(const float *x, int64_t n, int at, struct kn_columns *out)
{
    vd sum[2] = {{0}}, root[2] = {{0}}, pos[2] = {{0}}, neg[2] = {{0}}, square[2] = {{0}};
    vf zero = v_set1(0), min = v_load(x + at), max = min;
    vi count = {0}, bad = {0};
    for (int64_t r = 0; r < n; r++) {
        vf v = v_load(x + r * KN_COLUMNS + at);
        bad |= ((vi)v & 0x7f800000) == 0x7f800000;
        column_add(sum, v);
        column_add(pos, v_select(v > zero, v, zero));
        column_add(neg, v_select(v < zero, v, zero));
        column_add(root, v_sqrt(v_abs(v)));
        count -= v > zero;
        min = v_select(v < min, v, min);
        max = v_select(v > max, v, max);
    }
    for (int i = 0; i < VL; i++)
        if (bad[i])
            return false;
    vd mean[2] = {sum[0] / (double)n, sum[1] / (double)n};
    for (int64_t r = 0; r < n; r++) {
        vd lo, hi;
        v_split(v_load(x + r * KN_COLUMNS + at), &lo, &hi);
        lo -= mean[0], hi -= mean[1];
        square[0] += lo * lo, square[1] += hi * hi;
    }
    column_store(out->mean + at, sum, (double)n);
    column_store(out->variance + at, square, (double)n);
    column_store(out->root + at, root, (double)n);
    column_store(out->pos + at, pos, (double)n);
    column_store(out->neg + at, neg, (double)n);
    memcpy(out->min + at, &min, sizeof min);
    memcpy(out->max + at, &max, sizeof max);
    memcpy(out->pos_count + at, &count, sizeof count);
    return true;
}

static bool row_columns(const float *x, int64_t n, struct kn_columns *out)
{
    bool finite = true;
    for (int j = 0; j < COLUMN_VECS; j++)
        finite = column_sums(x, n, j * VL, out) && finite;
    return finite;
}

static void row_bins(const float *x, int64_t n, int low, int half, uint8_t *bin)
{
    const int first = (127 + low) * 2; /* in half octaves, as exponent and first bit are */
    typedef uint8_t bytes __attribute__((vector_size(VL)));
    for (int64_t i = 0; i < n; i += VL) {
        int64_t left = n - i < VL ? n - i : VL;
        vf v = left == VL ? v_load(x + i) : v_load_n(x + i, left);
        vi k = (((vi)v & 0x7fffffff) >> 22) - first + 1, mirror = v < v_set1(0);
        k = k & ~(k < 0); /* signs are as good as random: no branches */
        k = (k & (k < half)) | ((half - 1) & ~(k < half));
        bytes b = __builtin_convertvector((k + half) ^ (mirror & (2 * half - 1)), bytes);
        memcpy(bin + i, &b, (size_t)left);
    }
}

#endif
