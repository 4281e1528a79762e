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
    NK_COLS = 4,         /* columns of a tile: one v_sum4 */
    NK_K_BLOCK = 1024,   /* k of a block: a tile of both operands then fits the first-level cache */
    KN_PACK_ROWS = 12    /* from so many rows on, gathering the weights pays */
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
    const char *w;
    int64_t w_stride; /* in bytes */
    int64_t k;
    float *out;
    int64_t out_stride;
    int64_t tail; /* elements of the last vector */
    enum kn_end end;
};

INLINE void kn_tile(const struct kn_tile *a, const int rows, const int vecs, const bool partial, const enum kn_dtype t)
{
    const int64_t size = t == KN_F32 ? 4 : 2;
    vf acc[KN_ROWS][KN_VECS];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < vecs; j++) {
            const float *out = a->out + i * a->out_stride + j * VL;
            acc[i][j] = v_set1(0);
            if (a->end == KN_CHAIN)
                acc[i][j] = partial && j == vecs - 1 ? v_load_n(out, a->tail) : v_load(out);
        }
    const char *w = a->w;
    for (int64_t k = 0; k < a->k; k++, w += a->w_stride) {
        vf v[KN_VECS];
        UNROLL for (int j = 0; j < vecs; j++)
            v[j] = partial && j == vecs - 1 ? v_load_as_n(t, w + j * VL * size, a->tail)
                                            : v_load_as(t, w + j * VL * size);
        UNROLL for (int i = 0; i < rows; i++) {
            vf x = v_set1(a->x[i * a->x_stride + k]);
            UNROLL for (int j = 0; j < vecs; j++)
                acc[i][j] = v_fma(x, v[j], acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int j = 0; j < vecs; j++) {
            float *out = a->out + i * a->out_stride + j * VL;
            if (partial && j == vecs - 1)
                v_store_n(out, a->end == KN_ADD ? v_load_n(out, a->tail) + acc[i][j] : acc[i][j], a->tail);
            else
                v_store(out, a->end == KN_ADD ? v_load(out) + acc[i][j] : acc[i][j]);
        }
}

INLINE void kn_tile_rows(const struct kn_tile *a, int64_t rows, const int vecs, const bool partial, const enum kn_dtype t)
{
    switch (rows) {
    case 1: kn_tile(a, 1, vecs, partial, t); break;
    case 2: kn_tile(a, 2, vecs, partial, t); break;
    case 3: kn_tile(a, 3, vecs, partial, t); break;
    case 4: kn_tile(a, 4, vecs, partial, t); break;
#if VL > 4
    case 5: kn_tile(a, 5, vecs, partial, t); break;
    case 6: kn_tile(a, 6, vecs, partial, t); break;
#endif
    default: break;
    }
}

/* All rows of one panel: n <= KN_VECS * VL columns, one block of k. */
INLINE void kn_panel(const struct gemm *g, struct kn_tile *a, int64_t n, const enum kn_dtype t)
{
    a->x_stride = g->x_stride;
    a->out_stride = g->out_stride;
    const float *x = a->x;
    float *out = a->out;
    for (int64_t m = 0, rows; m < g->m; m += rows) {
        rows = tile_rows(g->m - m, KN_ROWS);
        a->x = x + m * g->x_stride;
        a->out = out + m * g->out_stride;
        if (n == KN_VECS * VL) {
            kn_tile_rows(a, rows, KN_VECS, false, t);
            continue;
        }
        struct kn_tile b = *a; /* a narrow panel, one vector at a time */
        for (int64_t j = 0; j < n; j += VL) {
            b.tail = n - j;
            b.w = a->w + j * (t == KN_F32 ? 4 : 2);
            b.out = a->out + j;
            if (b.tail >= VL)
                kn_tile_rows(&b, rows, 1, false, t);
            else
                kn_tile_rows(&b, rows, 1, true, t);
        }
    }
}

/* The weights of a panel's block, gathered and as floats: rows a page apart would thrash the caches. */
INLINE void kn_pack(float *pack, const struct kn_tile *a, int64_t n, const enum kn_dtype t)
{
    for (int64_t k = 0; k < a->k; k++) {
        const char *w = a->w + k * a->w_stride;
        int64_t j = 0;
        for (; j + VL <= n; j += VL)
            v_store(pack + k * n + j, v_load_as(t, w + j * (t == KN_F32 ? 4 : 2)));
        if (j < n)
            v_store_n(pack + k * n + j, v_load_as_n(t, w + j * (t == KN_F32 ? 4 : 2), n - j), n - j);
    }
}

INLINE void gemm_kn_of(const struct gemm *g, bool chain, const enum kn_dtype t)
{
    const int64_t size = t == KN_F32 ? 4 : 2, panel = KN_VECS * VL;
    bool pack = g->pack && g->m >= KN_PACK_ROWS;
    for (int64_t n = 0; n < g->n; n += panel) {
        int64_t cols = g->n - n < panel ? g->n - n : panel;
        for (int64_t k = 0; k < g->k; k += GEMM_K_BLOCK) {
            struct kn_tile a = {.x = g->x + k, .out = g->out + n, .w_stride = g->w_stride * size};
            a.w = (const char *)g->w + (k * g->w_stride + n) * size;
            a.k = g->k - k < GEMM_K_BLOCK ? g->k - k : GEMM_K_BLOCK;
            a.end = chain ? KN_CHAIN : k > 0 ? KN_ADD : KN_STORE;
            if (pack) {
                kn_pack(g->pack, &a, cols, t);
                a.w = (const char *)g->pack;
                a.w_stride = cols * (int64_t)sizeof(float);
                kn_panel(g, &a, cols, KN_F32);
            } else {
                kn_panel(g, &a, cols, t);
            }
        }
    }
}

static void row_gemm_kn(const struct gemm *g)
{
    switch (g->w_type) {
    case KN_F32: gemm_kn_of(g, false, KN_F32); break;
    case KN_F16: gemm_kn_of(g, false, KN_F16); break;
    default: gemm_kn_of(g, false, KN_BF16); break;
    }
}

/* Only attention's values come here, and those are f32. */
static void row_gemm_chain(const struct gemm *g)
{
    gemm_kn_of(g, true, KN_F32);
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
