/* row_gemm.h - matrix products whose rows do not know of each other.
 *
 * Two families.  nk: weights [n,k] used where they lie, vectors along k, the lanes summed at the end of
 * each block of k.  kn: weights [k,n], vectors along n, one chain of additions per element and block.
 * In both, the additions of an element come in an order that depends on k alone: tiles, tails and the
 * place of a row or column in them only choose which elements are computed together.
 */
#ifndef KN_CPU_ROW_GEMM_H
#define KN_CPU_ROW_GEMM_H

#include "isa.h"
#include "vec.h"

/* Tile sizes fill the registers: rows x columns (nk), rows x vectors (kn) of accumulators. */
#if VL == 16
enum { NK_ROWS = 6, KN_ROWS = 6, KN_VECS = 4 };
#elif VL == 8
enum { NK_ROWS = 3, KN_ROWS = 6, KN_VECS = 2 };
#else
enum { NK_ROWS = 2, KN_ROWS = 4, KN_VECS = 2 };
#endif
enum {
    NK_COLS = 4,       /* columns of a tile: one v_sum4 */
    NK_K_BLOCK = 1024, /* k of a block: a tile of both operands then fits the first-level cache */
    KN_PACK_ROWS = 12  /* from so many rows on, gathering the weights pays */
};

struct nk_tile {
    const float *x;
    int64_t x_stride;
    const char *w[NK_COLS];
    int64_t k;
    float *out;
    int64_t out_stride;
    int64_t cols; /* to store */
    bool add;     /* to what out holds */
};

/* `rows` and `t` are constants where this is called, so the loops over them vanish. */
INLINE void nk_tile(const struct nk_tile *a, const int rows, const enum kn_dtype t)
{
    const int64_t size = t == KN_F32 ? 4 : 2;
    vf acc[NK_ROWS][NK_COLS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < NK_COLS; j++)
            acc[i][j] = v_set1(0);
    int64_t k = 0;
    for (; k + VL <= a->k; k += VL) {
        vf x[NK_ROWS];
        UNROLL for (int i = 0; i < rows; i++)
            x[i] = v_load(a->x + i * a->x_stride + k);
        UNROLL for (int j = 0; j < NK_COLS; j++) {
            vf w = v_load_as(t, a->w[j] + k * size);
            UNROLL for (int i = 0; i < rows; i++)
                acc[i][j] = v_fma(x[i], w, acc[i][j]);
        }
    }
    if (k < a->k) {
        vf x[NK_ROWS];
        UNROLL for (int i = 0; i < rows; i++)
            x[i] = v_load_n(a->x + i * a->x_stride + k, a->k - k);
        UNROLL for (int j = 0; j < NK_COLS; j++) {
            vf w = v_load_as_n(t, a->w[j] + k * size, a->k - k);
            UNROLL for (int i = 0; i < rows; i++)
                acc[i][j] = v_fma(x[i], w, acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) {
        v4f s = v_sum4(acc[i][0], acc[i][1], acc[i][2], acc[i][3]);
        float *out = a->out + i * a->out_stride;
        for (int64_t j = 0; j < a->cols; j++)
            out[j] = a->add ? out[j] + s[j] : s[j];
    }
}

INLINE void nk_tile_of(const struct nk_tile *a, int64_t rows, const enum kn_dtype t)
{
    switch (rows) {
    case 1: nk_tile(a, 1, t); break;
    case 2: nk_tile(a, 2, t); break;
#if VL > 4
    case 3: nk_tile(a, 3, t); break;
#endif
#if VL > 8
    case 4: nk_tile(a, 4, t); break;
    case 5: nk_tile(a, 5, t); break;
    case 6: nk_tile(a, 6, t); break;
#endif
    default: break;
    }
}

/* Rows of the next tile, such that tiles of at most `most` rows come out nearly equal. */
INLINE int64_t tile_rows(int64_t left, int64_t most)
{
    int64_t tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

INLINE void gemm_nk_of(const struct gemm *g, const enum kn_dtype t)
{
    const int64_t size = t == KN_F32 ? 4 : 2;
    for (int64_t k = 0; k < g->k; k += NK_K_BLOCK) {
        struct nk_tile a = {.x_stride = g->x_stride, .out_stride = g->out_stride, .add = k > 0};
        a.k = g->k - k < NK_K_BLOCK ? g->k - k : NK_K_BLOCK;
        for (int64_t m = 0, rows; m < g->m; m += rows) {
            rows = tile_rows(g->m - m, NK_ROWS);
            a.x = g->x + m * g->x_stride + k;
            for (int64_t n = 0; n < g->n; n += NK_COLS) {
                a.cols = g->n - n < NK_COLS ? g->n - n : NK_COLS;
                for (int64_t j = 0; j < NK_COLS; j++) /* missing columns repeat the last one */
                    a.w[j] = (const char *)g->w + ((n + (j < a.cols ? j : a.cols - 1)) * g->w_stride + k) * size;
                a.out = g->out + m * g->out_stride + n;
                nk_tile_of(&a, rows, t);
            }
        }
    }
}

static void row_gemm_nk(const struct gemm *g)
{
    switch (g->w_type) {
    case KN_F32: gemm_nk_of(g, KN_F32); break;
    case KN_F16: gemm_nk_of(g, KN_F16); break;
    default: gemm_nk_of(g, KN_BF16); break;
    }
}

enum kn_end { KN_STORE, KN_ADD, KN_CHAIN };

struct kn_tile {
    const float *x;
    int64_t x_stride;
    const float *w;
    int64_t w_stride;
    int64_t k;
    float *out;
    int64_t out_stride;
    int64_t cols; /* of a narrow tile: 1 to VL */
    enum kn_end end;
};

/* A narrow tile is one vector that need not be whole. */
INLINE void kn_tile(const struct kn_tile *a, const int rows, const bool narrow)
{
    const int vecs = narrow ? 1 : KN_VECS;
    vf acc[KN_ROWS][KN_VECS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < vecs; j++) {
            const float *out = a->out + i * a->out_stride + j * VL;
            acc[i][j] = v_set1(0);
            if (a->end == KN_CHAIN)
                acc[i][j] = narrow ? v_load_n(out, a->cols) : v_load(out);
        }
    const float *w = a->w;
    for (int64_t k = 0; k < a->k; k++, w += a->w_stride) {
        vf v[KN_VECS];
        UNROLL for (int j = 0; j < vecs; j++)
            v[j] = narrow ? v_load_n(w, a->cols) : v_load(w + j * VL);
        UNROLL for (int i = 0; i < rows; i++) {
            vf x = v_set1(a->x[i * a->x_stride + k]);
            UNROLL for (int j = 0; j < vecs; j++)
                acc[i][j] = v_fma(x, v[j], acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < vecs; j++) {
            float *out = a->out + i * a->out_stride + j * VL;
            if (narrow)
                v_store_n(out, a->end == KN_ADD ? v_load_n(out, a->cols) + acc[i][j] : acc[i][j], a->cols);
            else
                v_store(out, a->end == KN_ADD ? v_load(out) + acc[i][j] : acc[i][j]);
        }
}

INLINE void kn_tile_rows(const struct kn_tile *a, int64_t rows, const bool narrow)
{
    switch (rows) {
    case 1: kn_tile(a, 1, narrow); break;
    case 2: kn_tile(a, 2, narrow); break;
    case 3: kn_tile(a, 3, narrow); break;
    case 4: kn_tile(a, 4, narrow); break;
#if VL > 4
    case 5: kn_tile(a, 5, narrow); break;
    case 6: kn_tile(a, 6, narrow); break;
#endif
    default: break;
    }
}

/* All rows of one panel: `cols` <= KN_VECS * VL columns, one block of k. */
static void kn_panel(const struct kn_tile *panel, int64_t m, int64_t cols)
{
    struct kn_tile a = *panel;
    for (int64_t rows; m > 0; m -= rows) {
        rows = tile_rows(m, KN_ROWS);
        if (cols == KN_VECS * VL)
            kn_tile_rows(&a, rows, false);
        else
            for (int64_t j = 0; j < cols; j += VL) {
                struct kn_tile b = a;
                b.cols = cols - j < VL ? cols - j : VL;
                b.w += j;
                b.out += j;
                kn_tile_rows(&b, rows, true);
            }
        a.x += rows * a.x_stride;
        a.out += rows * a.out_stride;
    }
}

static void row_widen(float *out, const void *src, enum kn_dtype t, int64_t n);

static void kn_blocks(const struct gemm *g, bool chain)
{
    const int64_t size = g->w_type == KN_F32 ? 4 : 2, width = KN_VECS * VL;
    /* Weights are gathered where rows a page apart would thrash the caches, and converted in passing. */
    bool pack = g->pack && (g->m >= KN_PACK_ROWS || g->w_type != KN_F32);
    for (int64_t n = 0; n < g->n; n += width) {
        int64_t cols = g->n - n < width ? g->n - n : width;
        for (int64_t k = 0; k < g->k; k += GEMM_K_BLOCK) {
            struct kn_tile a = {.x = g->x + k, .x_stride = g->x_stride, .out = g->out + n, .out_stride = g->out_stride};
            const char *w = (const char *)g->w + (k * g->w_stride + n) * size;
            a.k = g->k - k < GEMM_K_BLOCK ? g->k - k : GEMM_K_BLOCK;
            a.end = chain ? KN_CHAIN : k > 0 ? KN_ADD : KN_STORE;
            a.w = pack ? g->pack : (const float *)(const void *)w;
            a.w_stride = pack ? cols : g->w_stride;
            for (int64_t i = 0; pack && i < a.k; i++)
                row_widen(g->pack + i * cols, w + i * g->w_stride * size, g->w_type, cols);
            kn_panel(&a, g->m, cols);
        }
    }
}

static void row_gemm_kn(const struct gemm *g)
{
    kn_blocks(g, false);
}

static void row_gemm_chain(const struct gemm *g)
{
    kn_blocks(g, true);
}

static void row_widen(float *out, const void *src, enum kn_dtype t, int64_t n)
{
    const int64_t size = t == KN_F32 ? 4 : 2;
    const char *p = src;
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(out + i, v_load_as(t, p + i * size));
    if (i < n)
        v_store_n(out + i, v_load_as_n(t, p + i * size, n - i), n - i);
}

#endif
