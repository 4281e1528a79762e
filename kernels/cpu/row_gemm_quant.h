/* row_gemm_quant.h - products with weights in blocks: the bits of row_gemm.h's on the same as f32.
 *
 * Few rows: tiles decode in registers as they go along k, whole blocks at a time.  More rows, and
 * slices that begin inside of a block: a panel of columns is decoded into the first-level cache,
 * then it is f32. */
#ifndef KN_CPU_ROW_GEMM_QUANT_H
#define KN_CPU_ROW_GEMM_QUANT_H

#include "row_gemm.h"
#include "row_quant.h"

enum {
    QUANT_PANEL = VL == 8 ? NK_COLS : NK_BLOCK, /* columns that are decoded together */
    QUANT_ROWS = 4,                             /* of a tile that decodes, at most */
    QUANT_WIDE = VL == 16 ? 4 : 3, /* up to so many NK_COLS columns, then half of them */
    QUANT_FEW = VL == 16 ? 8 : 4   /* up to so many rows, tiles that decode are faster */
};

static void gemm_nk_panel(const struct gemm *g)
{
    const int64_t ahead = QUANT_PANEL * (g->w_stride / kn_dtype_block(g->w_type)) *
                          (int64_t)kn_dtype_bytes(g->w_type);
    for (int64_t k = 0; k < g->k; k += NK_K_BLOCK)
        for (int64_t n = 0; n < g->n; n += QUANT_PANEL) {
            struct nk_block b = {.w = (const char *)g->pack, .add = k > 0};
            b.cols = g->n - n < QUANT_PANEL ? g->n - n : QUANT_PANEL;
            b.k = g->k - k < NK_K_BLOCK ? g->k - k : NK_K_BLOCK;
            b.stride = b.k * (int64_t)sizeof(float);
            for (int64_t j = 0; j < b.cols; j++)
                row_decode(g->pack + j * b.k, g->w, g->w_type,
                           g->w_first + (n + j) * g->w_stride + k, b.k, ahead);
            nk_rows_f32(g, &b, g->x + k, g->out + n);
        }
}

#if VL > 4

struct quant_tile {
    const float *x;
    int64_t x_stride;
    const char *w[NK_COLS];
    int64_t ahead; /* bytes to the columns that come next; 0: not asked for */
    int64_t k;
    float *out;
    int64_t out_stride;
    int64_t cols; /* to store */
    bool add;     /* to what out holds */
};

/* nk_tile for a type in blocks: columns [first, first + cols).  All but `a` are constants where
 * this is called. */
INLINE void quant_tile(const struct quant_tile *a, const int rows, const int first, const int cols,
                       const enum kn_dtype t, const int64_t block, const int64_t bytes)
{
    vf acc[QUANT_ROWS][NK_COLS];
    const char *w[NK_COLS];
    struct quant_head h[NK_COLS];
    UNROLL for (int j = 0; j < cols; j++)
    {
        w[j] = a->w[first + j];
        h[j].codes = quant_codes(t);
        UNROLL for (int i = 0; i < rows; i++) acc[i][j] = v_set1(0);
    }
    for (int64_t k = 0; k < a->k; k += block) {
        UNROLL for (int j = 0; j < cols; j++)
        {
            if (a->ahead)
                UNROLL for (int64_t line = 0; line < bytes; line += 64)
                    __builtin_prefetch(w[j] + a->ahead + line, 0, 2);
            quant_head(t, w[j], &h[j]);
        }
        UNROLL for (int u = 0; u < block / UNIT; u++)
        {
            const float *x = a->x + k + u * UNIT;
            UNROLL for (int j = 0; j < cols; j++)
            {
                vf f[UNIT / VL];
                quant_unit(t, w[j], &h[j], u, f);
                UNROLL for (int v = 0; v < UNIT / VL; v++) UNROLL for (int i = 0; i < rows; i++)
                    acc[i][j] = v_fma(v_load(x + i * a->x_stride + v * VL), f[v], acc[i][j]);
            }
        }
        UNROLL for (int j = 0; j < cols; j++) w[j] += bytes;
    }
    int64_t stored = a->cols - first < cols ? a->cols - first : cols;
    UNROLL for (int j = cols; j < NK_COLS; j++) UNROLL for (int i = 0; i < rows; i++)
        acc[i][j] = acc[i][j - cols];
    UNROLL for (int i = 0; i < rows; i++)
        nk_store(acc[i], a->out + i * a->out_stride + first, stored, a->add);
}

INLINE void quant_tile_of(const struct quant_tile *a, const int rows, const enum kn_dtype t,
                          const int64_t block, const int64_t bytes)
{
    const int cols = rows > QUANT_WIDE ? NK_COLS / 2 : NK_COLS;
    UNROLL for (int first = 0; first < NK_COLS; first += cols) if (first < a->cols)
        quant_tile(a, rows, first, cols, t, block, bytes);
}

INLINE void gemm_nk_few(const struct gemm *g, const enum kn_dtype t, const int64_t block,
                        const int64_t bytes)
{
    const int64_t stride = g->w_stride / block * bytes;
    const char *w = (const char *)g->w + g->w_first / block * bytes;
    for (int64_t n = 0; n < g->n; n += NK_COLS, w += NK_COLS * stride)
        for (int64_t k = 0; k < g->k; k += NK_K_BLOCK) {
            struct quant_tile a = {.x_stride = g->x_stride, .out_stride = g->out_stride};
            a.k = g->k - k < NK_K_BLOCK ? g->k - k : NK_K_BLOCK;
            a.add = k > 0;
            a.cols = g->n - n < NK_COLS ? g->n - n : NK_COLS;
            for (int64_t j = 0; j < NK_COLS; j++) /* missing columns repeat the last one */
                a.w[j] = w + (j < a.cols ? j : a.cols - 1) * stride + k / block * bytes;
            for (int64_t m = 0, rows; m < g->m; m += rows) {
                rows = tile_rows(g->m - m, QUANT_ROWS);
                a.x = g->x + m * g->x_stride + k;
                a.out = g->out + m * g->out_stride + n;
                a.ahead = m ? 0 : NK_COLS * stride;
                switch (rows) {
                case 1: quant_tile_of(&a, 1, t, block, bytes); break;
                case 2: quant_tile_of(&a, 2, t, block, bytes); break;
                case 3: quant_tile_of(&a, 3, t, block, bytes); break;
                case 4: quant_tile_of(&a, 4, t, block, bytes); break;
                default: break;
                }
            }
        }
}

typedef void gemm_few_fn(const struct gemm *g);
#define X(id)                                                           \
    static void gemm_nk_few_##id(const struct gemm *g)                  \
    {                                                                   \
        gemm_nk_few(g, KN_##id, QUANT_ELEMENTS_##id, QUANT_BYTES_##id); \
    }
QUANT_TYPES(X)
#undef X

static gemm_few_fn *const gemm_few_of[KN_DTYPE_COUNT] = {
#define X(id) [KN_##id] = gemm_nk_few_##id,
    QUANT_TYPES(X)
#undef X
};

/* Whole blocks of every column. */
static bool whole_blocks(const struct gemm *g)
{
    int64_t block = kn_dtype_block(g->w_type);
    return g->w_first % block == 0 && g->w_stride % block == 0 && g->k % block == 0;
}

#endif /* VL > 4 */

static void gemm_nk_quant(const struct gemm *g)
{
#if VL > 4
    if (g->m <= QUANT_FEW && gemm_few_of[g->w_type] && whole_blocks(g)) {
        gemm_few_of[g->w_type](g);
        return;
    }
#endif
    gemm_nk_panel(g);
}

static void row_gemm_nk(const struct gemm *g)
{
    switch (g->w_type) {
    case KN_F32: gemm_nk_of(g, KN_F32); break;
    case KN_F16: gemm_nk_of(g, KN_F16); break;
    case KN_BF16: gemm_nk_of(g, KN_BF16); break;
    default: gemm_nk_quant(g);
    }
}

#endif
