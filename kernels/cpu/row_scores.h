/* row_scores.h - products of many rows over few k: attention's scores.
 *
 * gemm_nk sums the lanes of every element, and where k is 64 that is as much work as its products.
 * Here VL columns at a time are turned so that lanes run over them, and what would be a lane's part
 * of k is a chain of its own; the parts are added in the order of v_sum4.  The bits are gemm_nk's.
 * Turning costs what seven rows gain by it, or a dozen where keys come from memory.  Tested in
 * tests/kernels/test_attn.c.
 */
#ifndef KN_CPU_ROW_SCORES_H
#define KN_CPU_ROW_SCORES_H

#include "row_gemm_quant.h"
#include "row_math.h"

#if VL == 16 /* with half the registers nothing is gained */

enum {
    TURN_K = 256, /* k at most: what is turned then fits the first-level cache beside the rows */
    TURN_ROWS_MIN = 16,
    TURN_ROWS = 4,  /* of a tile */
    TURN_LEVELS = 4 /* log2 VL */
};

/* In this order v_sum4 adds lanes: neighbours first, then pairs of them, and so on. */
static const int TURN_LANE[VL] = {0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15};

/* VL columns, k a multiple of 4, as rows of VL; the next sixteen are asked for, a line of each. */
INLINE void turn(float *panel, const float *w, int64_t w_stride, int64_t k)
{
    for (int64_t i = 0; i < k; i += 4) {
        UNROLL for (int j = 0; j < 4; j++)
            __builtin_prefetch(w + (VL + i % 16 + j) * w_stride + i / 16 * 16);
        vf v[4];
        UNROLL for (int j = 0; j < 4; j++) v[j] = v_load_quads(w + j * w_stride + i, 4 * w_stride);
        v_turn(v);
        UNROLL for (int j = 0; j < 4; j++) v_store(panel + (i + j) * VL, v[j]);
    }
}

struct turned {
    const float *panel;
    const float *x;
    int64_t x_stride, k;
    float *out;
    int64_t out_stride;
    float scale;
};

INLINE void turned_step(const struct turned *t, vf part[TURN_ROWS], int64_t k)
{
    vf w = v_load(t->panel + k * VL);
    UNROLL for (int i = 0; i < TURN_ROWS; i++)
        part[i] = v_fma(v_set1(t->x[i * t->x_stride + k]), w, part[i]);
}

/* What lane `lane` of gemm_nk's vectors would hold, of TURN_ROWS rows and VL columns; steps: how
 * many vectors k is where that is known, else 0. */
INLINE void turned_part(const struct turned *t, vf part[TURN_ROWS], const int lane, const int steps)
{
    UNROLL for (int i = 0; i < TURN_ROWS; i++) part[i] = v_set1(0);
    if (steps) {
        UNROLL for (int n = 0; n < steps; n++) turned_step(t, part, lane + n * VL);
        return;
    }
    for (int64_t k = lane; k < t->k; k += VL)
        turned_step(t, part, k);
    if (t->k % VL && lane >= t->k % VL) /* gemm_nk adds 0 * 0 */
        UNROLL for (int i = 0; i < TURN_ROWS; i++) part[i] += 0.0f;
}

/* Parts are summed as a counter carries: two of a level become one of the next. */
INLINE void turned_tile(const struct turned *t, const int steps)
{
    vf sum[TURN_LEVELS + 1][TURN_ROWS];
    UNROLL for (int n = 0; n < VL; n++)
    {
        vf part[TURN_ROWS];
        const int carries = __builtin_ctz(~(unsigned)n);
        turned_part(t, part, TURN_LANE[n], steps);
        UNROLL for (int level = 0; level < carries; level++)
            UNROLL for (int i = 0; i < TURN_ROWS; i++) part[i] = sum[level][i] + part[i];
        UNROLL for (int i = 0; i < TURN_ROWS; i++) sum[carries][i] = part[i];
    }
    UNROLL for (int i = 0; i < TURN_ROWS; i++)
        v_store(t->out + i * t->out_stride, sum[TURN_LEVELS][i] * t->scale);
}

/* Rows and columns that do not fill a tile are computed twice, with their neighbours. */
static void scores_turned(const struct gemm *g, float scale)
{
    _Alignas(64) float panel[TURN_K * VL];
    for (int64_t n = 0; n < g->n; n += VL) {
        int64_t at = n + VL > g->n ? g->n - VL : n;
        turn(panel, (const float *)g->w + at * g->w_stride, g->w_stride, g->k);
        for (int64_t m = 0; m < g->m; m += TURN_ROWS) {
            int64_t row = m + TURN_ROWS > g->m ? g->m - TURN_ROWS : m;
            struct turned t = {.panel = panel,
                               .x = g->x + row * g->x_stride,
                               .x_stride = g->x_stride,
                               .k = g->k,
                               .out = g->out + row * g->out_stride + at,
                               .out_stride = g->out_stride,
                               .scale = scale};
            if (g->k == 4 * VL)
                turned_tile(&t, 4);
            else
                turned_tile(&t, 0);
        }
    }
}

#endif

static void row_scores(const struct gemm *g, float scale)
{
#if VL == 16
    if (g->m >= TURN_ROWS_MIN && g->n >= VL && g->k <= TURN_K && g->k % 4 == 0) {
        scores_turned(g, scale);
        return;
    }
#endif
    row_gemm_nk(g);
    for (int64_t i = 0; i < g->m; i++)
        row_scale_cap(g->out + i * g->out_stride, g->n, scale, 0);
}

#endif
