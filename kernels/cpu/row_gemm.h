/* row_gemm.h - matrix products whose rows do not know of each other.
 *
 * Two families.  nk: weights [n,k] used where they lie, vectors along k, the lanes summed at the
 * end of each block of k.  kn: weights [k,n], vectors along n, one chain of additions per element
 * and block.  In both, the additions of an element come in an order that depends on k alone: tiles,
 * tails and the place of a row or column in them only choose which elements are computed together.
 */
#ifndef KN_CPU_ROW_GEMM_H
#define KN_CPU_ROW_GEMM_H

#include "isa.h"
#include "row_quant.h"
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
    NK_BLOCK = 16,     /* columns that all rows visit before the next ones */
    NK_K_BLOCK = 1024, /* k of a block: a tile of both operands then fits the first-level cache */
    KN_WIDE = 8,       /* vectors of a tile of one row */
    KN_RUN_MIN = 16,   /* k that all columns take before the next ones; see run_length */
    KN_RUN_MAX = 128
};

/* Weights come from memory once, and memory takes its time: while tiles work on one block, they ask
 * for the next one, a few lines with every step along k, spread over the tiles of all rows. */
struct ahead {
    const char *at;
    int64_t stride, step; /* bytes between the lines of one step, and from step to step */
    int64_t lines;        /* of one step */
};

/* The share of tile `i` of `tiles` in asking for `lines` a step. */
INLINE struct ahead ahead_share(const char *at, int64_t stride, int64_t step, int64_t lines,
                                int64_t i, int64_t tiles)
{
    int64_t lo = lines * i / tiles, hi = lines * (i + 1) / tiles;
    return (struct ahead){at + lo * stride, stride, step, hi - lo};
}

INLINE void ahead_ask(const struct ahead *a, int64_t step)
{
    const char *p = a->at + step * a->step;
    for (int64_t i = 0; i < a->lines; i++, p += a->stride)
        __builtin_prefetch(p, 0, 2); /* into the second level */
}

/* Rows of the next tile, such that tiles of at most `most` rows come out nearly equal. */
INLINE int64_t tile_rows(int64_t left, int64_t most)
{
    int64_t tiles = (left + most - 1) / most;
    return (left + tiles - 1) / tiles;
}

struct nk_tile {
    const float *x;
    int64_t x_stride;
    const char *w[NK_COLS];
    int64_t k;
    float *out;
    int64_t out_stride;
    int64_t cols; /* to store */
    bool add;     /* to what out holds */
    struct ahead ahead;
};

/* The sums of a row of a tile: `cols` elements, added to what out holds or not. */
INLINE void nk_store(const vf acc[NK_COLS], float *out, int64_t cols, bool add)
{
    v4f sum = v_sum4(acc[0], acc[1], acc[2], acc[3]), old = {0};
    size_t bytes = (size_t)cols * sizeof *out;
    if (cols == NK_COLS)
        bytes = sizeof sum; /* a constant: one instruction */
    if (add) {
        memcpy(&old, out, bytes);
        sum += old;
    }
    memcpy(out, &sum, bytes);
}

/* `rows` and `t` are constants where this is called, so the loops over them vanish. */
INLINE void nk_tile(const struct nk_tile *a, const int rows, const enum kn_dtype t)
{
    const int64_t size = t == KN_F32 ? 4 : 2;
    vf acc[NK_ROWS][NK_COLS];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < NK_COLS; j++)
        acc[i][j] = v_set1(0);
    int64_t k = 0;
    for (; k + VL <= a->k; k += VL) {
        vf x[NK_ROWS];
        ahead_ask(&a->ahead, k / VL);
        UNROLL for (int i = 0; i < rows; i++) x[i] = v_load(a->x + i * a->x_stride + k);
        UNROLL for (int j = 0; j < NK_COLS; j++)
        {
            vf w = v_load_as(t, a->w[j] + k * size);
            UNROLL for (int i = 0; i < rows; i++) acc[i][j] = v_fma(x[i], w, acc[i][j]);
        }
    }
    if (k < a->k) {
        vf x[NK_ROWS];
        UNROLL for (int i = 0; i < rows; i++) x[i] = v_load_n(a->x + i * a->x_stride + k, a->k - k);
        UNROLL for (int j = 0; j < NK_COLS; j++)
        {
            vf w = v_load_as_n(t, a->w[j] + k * size, a->k - k);
            UNROLL for (int i = 0; i < rows; i++) acc[i][j] = v_fma(x[i], w, acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        nk_store(acc[i], a->out + i * a->out_stride, a->cols, a->add);
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

/* One block of weights: its place in memory, and as the tiles read it. */
struct nk_block {
    const char *w;
    int64_t stride; /* bytes from column to column */
    int64_t cols, k;
    bool add;
    struct ahead next; /* all NK_COLS lines a step for its first tile of columns */
};

/* All rows of x, from k on, by one block. */
INLINE void nk_rows(const struct gemm *g, const struct nk_block *b, const float *x, float *out,
                    const enum kn_dtype t)
{
    struct nk_tile a = {
        .x = x, .x_stride = g->x_stride, .out_stride = g->out_stride, .k = b->k, .add = b->add};
    int64_t tiles = (g->m + NK_ROWS - 1) / NK_ROWS, rows;
    for (int64_t i = 0, m = 0; m < g->m; m += rows, i++) {
        rows = tile_rows(g->m - m, NK_ROWS);
        a.x = x + m * g->x_stride;
        for (int64_t n = 0; n < b->cols; n += NK_COLS) {
            a.cols = b->cols - n < NK_COLS ? b->cols - n : NK_COLS;
            for (int64_t j = 0; j < NK_COLS; j++) /* missing columns repeat the last one */
                a.w[j] = b->w + (n + (j < a.cols ? j : a.cols - 1)) * b->stride;
            a.out = out + m * g->out_stride + n;
            a.ahead = ahead_share(b->next.at + n * b->next.stride, b->next.stride, b->next.step,
                                  b->next.lines, i, tiles);
            nk_tile_of(&a, rows, t);
        }
    }
}

static void row_widen(float *out, const void *src, enum kn_dtype t, int64_t at, int64_t n);
static void nk_rows_f32(const struct gemm *g, const struct nk_block *b, const float *x, float *out);

INLINE void gemm_nk_of(const struct gemm *g, const enum kn_dtype t)
{
    const int64_t size = t == KN_F32 ? 4 : 2, stride = g->w_stride * size;
    /* Converted once where many rows would do it again. */
    bool pack = t != KN_F32 && g->pack && g->m > 2 * NK_ROWS;
    for (int64_t k = 0; k < g->k; k += NK_K_BLOCK)
        for (int64_t n = 0; n < g->n; n += NK_BLOCK) {
            const char *w = (const char *)g->w + n * stride + k * size;
            struct nk_block b = {.w = w, .stride = stride, .add = k > 0};
            b.cols = g->n - n < NK_BLOCK ? g->n - n : NK_BLOCK;
            b.k = g->k - k < NK_K_BLOCK ? g->k - k : NK_K_BLOCK;
            b.next = (struct ahead){w + NK_BLOCK * stride, stride, VL * size, NK_COLS};
            if (pack) {
                for (int64_t j = 0; j < b.cols; j++)
                    row_widen(g->pack + j * b.k, w + j * stride, t, 0, b.k);
                b.w = (const char *)g->pack;
                b.stride = b.k * (int64_t)sizeof(float);
                nk_rows_f32(g, &b, g->x + k, g->out + n);
            } else if (t == KN_F32) {
                nk_rows_f32(g, &b, g->x + k, g->out + n);
            } else {
                nk_rows(g, &b, g->x + k, g->out + n, t);
            }
        }
}

static void nk_rows_f32(const struct gemm *g, const struct nk_block *b, const float *x, float *out)
{
    nk_rows(g, b, x, out, KN_F32);
}

struct kn_tile {
    const float *x;
    int64_t x_stride;
    const float *w;
    int64_t w_stride;
    int64_t k;
    float *out;
    int64_t out_stride;
    int64_t cols; /* of a narrow tile: 1 to VL */
    bool add;     /* continue the sums that out holds */
    struct ahead ahead;
};

/* `vecs` vectors, or a narrow tile: one that need not be whole. */
INLINE void kn_tile(const struct kn_tile *a, const int rows, const int vecs, const bool narrow)
{
    vf acc[KN_ROWS][KN_WIDE];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vecs; j++)
    {
        const float *out = a->out + i * a->out_stride + j * VL;
        acc[i][j] = v_set1(0);
        if (a->add)
            acc[i][j] = narrow ? v_load_n(out, a->cols) : v_load(out);
    }
    const float *w = a->w;
    for (int64_t k = 0; k < a->k; k++, w += a->w_stride) {
        ahead_ask(&a->ahead, k);
        vf v[KN_WIDE];
        UNROLL for (int j = 0; j < vecs; j++) v[j] = narrow ? v_load_n(w, a->cols)
                                                            : v_load(w + j * VL);
        UNROLL for (int i = 0; i < rows; i++)
        {
            vf x = v_set1(a->x[i * a->x_stride + k]);
            UNROLL for (int j = 0; j < vecs; j++) acc[i][j] = v_fma(x, v[j], acc[i][j]);
        }
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int j = 0; j < vecs; j++)
    {
        float *out = a->out + i * a->out_stride + j * VL;
        if (narrow)
            v_store_n(out, acc[i][j], a->cols);
        else
            v_store(out, acc[i][j]);
    }
}

/* A function of its own, whose addresses all have registers. */
static __attribute__((noinline)) void kn_tile_whole(const struct kn_tile *a)
{
    kn_tile(a, KN_ROWS, KN_VECS, false);
}

INLINE void kn_tile_rows(const struct kn_tile *a, int64_t rows, const bool narrow)
{
    const int vecs = narrow ? 1 : KN_VECS;
    if (!narrow && rows == KN_ROWS) {
        kn_tile_whole(a);
        return;
    }
    switch (rows) {
    case 1: kn_tile(a, 1, vecs, narrow); break;
    case 2: kn_tile(a, 2, vecs, narrow); break;
    case 3: kn_tile(a, 3, vecs, narrow); break;
    case 4: kn_tile(a, 4, vecs, narrow); break;
#if VL > 4
    case 5: kn_tile(a, 5, vecs, narrow); break;
    case 6: kn_tile(a, 6, vecs, narrow); break;
#endif
    default: break;
    }
}

/* One row: as many columns side by side as there are registers, for memory's sake. */
static void kn_line(const struct kn_tile *line, int64_t cols)
{
    struct kn_tile a = *line;
    if (cols == KN_WIDE * VL) {
        kn_tile(&a, 1, KN_WIDE, false);
        return;
    }
    for (int64_t done = 0; done < cols; done += a.cols) {
        bool whole = cols - done >= KN_VECS * VL;
        a.cols = whole ? KN_VECS * VL : cols - done < VL ? cols - done : VL;
        a.w = line->w + done;
        a.out = line->out + done;
        if (whole)
            kn_tile(&a, 1, KN_VECS, false);
        else
            kn_tile(&a, 1, 1, true);
        a.ahead.lines = 0;
    }
}

/* All rows of one panel: `cols` <= KN_VECS * VL columns, one block of k. */
static void kn_panel(const struct kn_tile *panel, int64_t m, int64_t cols)
{
    const struct ahead *ask = &panel->ahead;
    struct kn_tile a = *panel;
    int64_t tiles = (m + KN_ROWS - 1) / KN_ROWS;
    a.ahead.lines = 0;
    for (int64_t k = 0; tiles == 1 && k < a.k; k++)
        ahead_ask(ask, k); /* early: there is little to compute meanwhile */
    for (int64_t i = 0, rows; m > 0; m -= rows, i++) {
        rows = tile_rows(m, KN_ROWS);
        if (tiles > 1)
            a.ahead = ahead_share(ask->at, ask->stride, ask->step, ask->lines, i, tiles);
        if (cols == KN_VECS * VL)
            kn_tile_rows(&a, rows, false);
        else
            for (int64_t j = 0; j < cols; j += VL) {
                struct kn_tile b = a;
                b.cols = cols - j < VL ? cols - j : VL;
                b.w += j;
                b.out += j;
                b.ahead.lines = j ? 0 : a.ahead.lines;
                kn_tile_rows(&b, rows, true);
            }
        a.x += rows * a.x_stride;
        a.out += rows * a.out_stride;
    }
}

/* Bytes of an element; of types in blocks none are asked for ahead. */
INLINE int64_t kn_size(enum kn_dtype t)
{
    return t == KN_F32 ? 4 : t == KN_F16 || t == KN_BF16 ? 2 : 0;
}

/* Rows [at, end) of the weights as floats: as they lie, or converted. */
static const float *run_rows(const struct gemm *g, int64_t at, int64_t end)
{
    if (g->w_type == KN_F32)
        return (const float *)g->w + at * g->w_stride;
    for (int64_t k = at; k < end; k++)
        row_widen(g->pack + (k - at) * g->n, g->w, g->w_type, g->w_first + k * g->w_stride, g->n);
    return g->pack;
}

/* The sums of a tile are loaded and stored once a run, so runs are long; but what a run asks of
 * memory is in flight while the one before is computed, and few rows take little time for that. */
static int64_t run_length(const struct gemm *g)
{
    int64_t len = 4 * g->m;
    len = len < KN_RUN_MIN ? KN_RUN_MIN : len > KN_RUN_MAX ? KN_RUN_MAX : len;
    return g->w_type == KN_F32 || len * g->n <= GEMM_PACK ? len : GEMM_PACK / g->n;
}

/* One block of k, in runs, which all columns take before the next one. */
static void kn_block(const struct gemm *g, int64_t k, int64_t end, float *out, int64_t out_stride)
{
    const bool wide = g->m == 1;
    const int64_t width = (wide ? KN_WIDE : KN_VECS) * VL, size = kn_size(g->w_type),
                  stride = g->w_stride * size, most = run_length(g);
    for (int64_t at = k, len; at < end; at += len) {
        len = end - at < most ? end - at : most;
        const float *w = run_rows(g, at, at + len);
        /* After the last one the columns to the right are next. */
        const char *next = (const char *)g->w +
                           (at + len == g->k ? g->n * size : (at + len) * stride);
        for (int64_t n = 0; n < g->n; n += width) {
            int64_t cols = g->n - n < width ? g->n - n : width;
            struct kn_tile a = {.x = g->x + at,
                                .x_stride = g->x_stride,
                                .w = w + n,
                                .w_stride = g->w_type == KN_F32 ? g->w_stride : g->n,
                                .k = len,
                                .out = out + n,
                                .out_stride = out_stride,
                                .add = at > k,
                                .ahead = {next + n * size, 64, stride, (cols * size + 63) / 64}};
            if (wide)
                kn_line(&a, cols);
            else
                kn_panel(&a, g->m, cols);
        }
    }
}

static void row_gemm_kn(const struct gemm *g)
{
    for (int64_t k = 0; k < g->k; k += GEMM_K_BLOCK) {
        int64_t end = g->k - k < GEMM_K_BLOCK ? g->k : k + GEMM_K_BLOCK;
        if (k == 0) {
            kn_block(g, k, end, g->out, g->out_stride);
            continue;
        }
        kn_block(g, k, end, g->part, g->n);
        for (int64_t i = 0; i < g->m; i++)
            for (int64_t n = 0; n < g->n; n++)
                g->out[i * g->out_stride + n] += g->part[i * g->n + n];
    }
}

/* What follows in k is asked for: callers go on there. */
static void row_gemm_chain(const struct gemm *g)
{
    const int64_t width = KN_VECS * VL, stride = g->w_stride * (int64_t)sizeof(float);
    for (int64_t n = 0; n < g->n; n += width) {
        const float *w = (const float *)g->w + n;
        int64_t cols = g->n - n < width ? g->n - n : width;
        struct kn_tile a = {
            .x = g->x,
            .x_stride = g->x_stride,
            .w = w,
            .w_stride = g->w_stride,
            .k = g->k,
            .out = g->out + n,
            .out_stride = g->out_stride,
            .add = true,
            .ahead = {(const char *)w + g->k * stride, 64, stride, (cols + 15) / 16}};
        kn_panel(&a, g->m, cols);
    }
}

static void row_widen(float *out, const void *src, enum kn_dtype t, int64_t at, int64_t n)
{
    const int64_t size = kn_size(t);
    const char *p = (const char *)src + at * size;
    int64_t i = 0;
    if (!size) {
        row_decode(out, src, t, at, n, 0);
        return;
    }
    for (; i + VL <= n; i += VL)
        v_store(out + i, v_load_as(t, p + i * size));
    if (i < n)
        v_store_n(out + i, v_load_as_n(t, p + i * size, n - i), n - i);
}

#endif
