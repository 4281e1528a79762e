/* row_gemm_amx.h - products of f32 rows by tiles of bf16, each number as a sum of terms.
 *
 * x = x0 + x1 + x2, x0 the bf16 nearest to x, x1 the one nearest to x - x0, and so on: three terms
 * are x, two are within 2^-17 of it, one within 2^-8.  Weights likewise: bf16 is one term, f16 two,
 * the rest as many as there are of x.  With T terms of x a product is the sum of all x_i w_j with
 * i + j < T (as MKL's modes float_to_bf16x3, x2 and bf16), added in f32.  What that leaves out of
 * |x w| at most: with three terms 2^-24; with two 2^-17 of bf16 weights, else 2^-15; with one 2^-8
 * and 2^-7.
 *
 * The order of additions of an element depends on k alone: steps of 32 in turn, in each the terms
 * of w, for each of those the terms of x, each as TDPBF16PS adds (tile.h).  How rows and columns
 * are cut never shows.  Denormals count as 0, terms and sums, too: below 2^-102 or so a number has
 * fewer terms.  Where a number or a sum is not finite, nor is the result, and the caller makes it
 * anew otherwise (tiled.c).
 *
 * Weights [n,k] are the left operand, so that bf16 is read where it lies and the result comes out
 * turned; of weights [k,n] the rows are.  What is converted are blocks of weights that fit the
 * second-level cache, beside a block of x that fits the first.
 */
#ifndef KN_CPU_ROW_GEMM_AMX_H
#define KN_CPU_ROW_GEMM_AMX_H

#include "isa.h"
#include "tile.h"
#include "vec.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum {
    PANEL = 64,         /* columns that are multiplied together, of few rows [k,n] all */
    K_BLOCK_MAX = 1024, /* k that all rows visit before the next ones */
    NEAR_BYTES = 36864, /* of x, of two groups of rows */
    PAIR = 2 * TILE_ROWS
};
_Static_assert(GEMM_PACK * 4 >= GEMM_ROWS / TILE_ROWS * PANEL / TILE_ROWS * TILE_BYTES &&
                   GEMM_PACK * 4 >= GEMM_FEW_COLUMNS / TILE_ROWS * TILE_BYTES,
               "the sums of a panel fit");
_Static_assert(GEMM_PART * 4 >= GEMM_FEW_COLUMNS * TILE_K * 2 * GEMM_TERMS, "and its weights");

/* Of each element the bf16 nearest to it, as a float (Veltkamp's splitting; Dekker 1971): from
 * 2^111 on, where the product overflows, and of what is not finite, NaN. */
INLINE vf term_of(vf x)
{
    vf c = x * v_set1(65537);
    return c - (c - x);
}

/* The upper halves of two vectors, one after the other. */
INLINE void halves_store(vf lo, vf hi, char *to)
{
#if VL == 16
    typedef uint16_t v32h __attribute__((vector_size(64)));
    v32h h = __builtin_shufflevector((v32h)lo, (v32h)hi, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23,
                                     25, 27, 29, 31, 33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55,
                                     57, 59, 61, 63);
    memcpy(to, &h, sizeof h);
#else
    vh a = __builtin_convertvector((vu)lo >> 16, vh), b = __builtin_convertvector((vu)hi >> 16, vh);
    memcpy(to, &a, sizeof a);
    memcpy(to + sizeof a, &b, sizeof b);
#endif
}

/* v less its term, which is given; the last one of `exact` terms is what is left. */
INLINE vf next_term(vf *v, const bool last_exact)
{
    vf t = last_exact ? *v : term_of(*v);
    *v -= t;
    return t;
}

/* `n` numbers along k as lines of tiles: term i of step s from out + (s * terms + i) * tile on;
 * zeros behind them.  `exact`: numbers are their terms. */
INLINE void line_terms(const float *x, int64_t n, char *out, int64_t tile, const int terms,
                       const bool exact)
{
    for (int64_t k = 0; k < n || k % TILE_K; k += 2 * VL) {
        vf v[2];
        for (int h = 0; h < 2; h++) {
            int64_t left = n - k - h * VL;
            v[h] = left >= VL  ? v_load(x + k + h * VL)
                   : left <= 0 ? v_set1(0)
                               : v_load_n(x + k + h * VL, left);
        }
        char *to = out + k / TILE_K * terms * tile + k % TILE_K * 2;
        UNROLL for (int i = 0; i < terms; i++)
        {
            vf lo = next_term(&v[0], exact && i == terms - 1);
            halves_store(lo, next_term(&v[1], exact && i == terms - 1), to + i * tile);
        }
    }
}

static void line_split(const float *x, int64_t n, char *out, int64_t tile, int terms, bool exact)
{
    switch (terms * 2 + exact) {
    case 2: line_terms(x, n, out, tile, 1, false); break;
    case 3: line_terms(x, n, out, tile, 1, true); break;
    case 4: line_terms(x, n, out, tile, 2, false); break;
    case 5: line_terms(x, n, out, tile, 2, true); break;
    default: line_terms(x, n, out, tile, 3, true);
    }
}

/* Two neighbours along k of n columns, the second may be missing: a line of each tile of 16
 * columns, pairs side by side.  Term i of group c from out + c * group + i * TILE_BYTES on. */
INLINE void pair_terms(const float *a, const float *b, int64_t n, char *out, int64_t group,
                       const int terms, const bool exact)
{
    for (int64_t at = 0; at < n || at % PAIR; at += VL) {
        vf v[2] = {v_set1(0), v_set1(0)};
        int64_t left = n - at;
        for (int h = 0; h < (b ? 2 : 1); h++) {
            const float *x = h ? b : a;
            if (left >= VL)
                v[h] = v_load(x + at);
            else if (left > 0)
                v[h] = v_load_n(x + at, left);
        }
        char *to = out + at / TILE_ROWS * group + at % TILE_ROWS * 4;
        UNROLL for (int i = 0; i < terms; i++)
        {
            vu even = (vu)next_term(&v[0], exact && i == terms - 1),
               odd = (vu)next_term(&v[1], exact && i == terms - 1),
               both = even >> 16 | (odd & 0xffff0000);
            memcpy(to + i * TILE_BYTES, &both, sizeof both);
        }
    }
}

static void pair_split(const float *a, const float *b, int64_t n, char *out, int64_t group,
                       int terms, bool exact)
{
    switch (terms * 2 + exact) {
    case 2: pair_terms(a, b, n, out, group, 1, false); break;
    case 3: pair_terms(a, b, n, out, group, 1, true); break;
    case 4: pair_terms(a, b, n, out, group, 2, false); break;
    case 5: pair_terms(a, b, n, out, group, 2, true); break;
    default: pair_terms(a, b, n, out, group, 3, true);
    }
}

/* to[j][i] = from[i][j], words of four bytes; strides in words */
static void words_turn(const uint32_t *from, int64_t from_stride, uint32_t *to, int64_t to_stride,
                       int64_t rows, int64_t cols)
{
    int64_t i = 0;
#ifdef __SSE2__
    for (; i + 4 <= rows && cols % 4 == 0; i += 4)
        for (int64_t j = 0; j < cols; j += 4) {
            __m128 r[4];
            for (int k = 0; k < 4; k++)
                memcpy(&r[k], from + (i + k) * from_stride + j, sizeof r[k]);
            _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]);
            for (int k = 0; k < 4; k++)
                memcpy(to + (j + k) * to_stride + i, &r[k], sizeof r[k]);
        }
#endif
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            to[j * to_stride + i] = from[i * from_stride + j];
}

/* ---- rows of x (struct tile_set: pack) ---- */

static void amx_pack(const struct gemm *g, bool nk, int64_t group, int64_t k, int64_t end,
                     char *out)
{
    const int64_t lines = g->tile_rows, tile = lines * TILE_LINE, row = group * TILE_ROWS;
    const int64_t rows = g->m - row < lines ? g->m - row : lines;
    uint32_t step[GEMM_TERMS][TILE_ROWS * TILE_LINE / 4] = {{0}};
    for (; k < end; k += TILE_K, out += g->terms * tile) {
        int64_t n = g->k - k < TILE_K ? g->k - k : TILE_K;
        for (int64_t i = 0; i < rows; i++)
            line_split(g->x + (row + i) * g->x_stride + k, n, (char *)step + i * TILE_LINE,
                       TILE_BYTES, g->terms, g->terms == GEMM_TERMS);
        for (int i = 0; i < g->terms; i++)
            if (nk)
                words_turn(step[i], TILE_LINE / 4, (uint32_t *)(void *)(out + i * tile), lines,
                           lines, TILE_LINE / 4);
            else
                memcpy(out + i * tile, step[i], (size_t)tile);
    }
}

/* ---- weights ---- */

/* Lines of memory to ask for, a few at a time. */
struct coming {
    const char *at;
    int64_t stride, bytes, rows; /* from line to line, of a line, of them */
    int64_t row, done;
    int64_t some; /* cache lines at a time */
};

INLINE void coming_ask(struct coming *c)
{
    for (int64_t i = 0; i < c->some && c->row < c->rows; i++) {
        __builtin_prefetch(c->at + c->row * c->stride + c->done, 0, 2);
        c->done += 64;
        if (c->done >= c->bytes)
            c->done = 0, c->row++;
    }
}

/* A product under way: block [k, k + k_len) of columns [n, n + cols). */
struct amx {
    const struct isa *isa;
    const struct gemm *g;
    int w_terms;
    bool w_exact;                   /* the weights are their terms */
    int64_t tile;                   /* bytes of a tile of x, and of sums */
    int64_t groups, steps, k_block; /* of rows; of the whole of k; k of a block */
    int64_t n, cols, pairs, k, k_len;
    char *weights, *sums; /* tiles */
    const char *where;    /* bf16 [n,k] as it lies, or NULL; rows of where_stride bytes */
    int64_t where_stride;
    struct coming coming;
};

static int64_t block_steps(const struct amx *a)
{
    return (a->k_len + TILE_K - 1) / TILE_K;
}

/* The tiles of one group of 16 columns, of one step. */
INLINE char *weight_tile(const struct amx *a, int64_t group, int64_t step)
{
    return a->weights + (group * block_steps(a) + step) * a->w_terms * TILE_BYTES;
}

/* Element `i` of the weights, counted from where the product's begin, as an address: of the block
 * that holds it. */
static const char *weight_at(const struct gemm *g, int64_t i)
{
    int64_t block = kn_dtype_block(g->w_type);
    return (const char *)g->w + (g->w_first + i) / block * (int64_t)kn_dtype_bytes(g->w_type);
}

/* n weights from element `i` on as floats: where they lie, or in `store`. */
static const float *weight_floats(const struct amx *a, int64_t i, int64_t n, float *store)
{
    if (a->g->w_type == KN_F32)
        return (const float *)a->g->w + i;
    a->isa->widen(store, a->g->w, a->g->w_type, a->g->w_first + i, n);
    return store;
}

/* What of the block is not read where it lies: all, or the ends of both sides. */
static void weights_nk(const struct amx *a)
{
    float store[K_BLOCK_MAX];
    int64_t whole = a->where ? a->k_len / TILE_K : 0; /* steps */
    for (int64_t i = 0; i < a->pairs * PAIR; i++) {
        int64_t first = i / TILE_ROWS * TILE_ROWS + TILE_ROWS <= a->cols ? whole : 0;
        int64_t k = first * TILE_K, len = i < a->cols ? a->k_len - k : 0;
        char *to = weight_tile(a, i / TILE_ROWS, first) + i % TILE_ROWS * TILE_LINE;
        if (len > 0)
            line_split(weight_floats(a, (a->n + i) * a->g->w_stride + a->k + k, len, store), len,
                       to, TILE_BYTES, a->w_terms, a->w_exact);
        for (int64_t s = first; i >= a->cols && s < block_steps(a); s++)
            for (int t = 0; t < a->w_terms; t++)
                memset(to + ((s - first) * a->w_terms + t) * TILE_BYTES, 0, TILE_LINE);
    }
}

static void weights_kn(const struct amx *a)
{
    float store[2][GEMM_FEW_COLUMNS];
    const int64_t steps = block_steps(a), group = steps * a->w_terms * TILE_BYTES;
    for (int64_t k = 0; k < steps * TILE_K; k += 2) {
        char *to = weight_tile(a, 0, k / TILE_K) + k % TILE_K / 2 * TILE_LINE;
        const float *row[2] = {NULL, NULL};
        for (int h = 0; h < 2 && k + h < a->k_len; h++)
            row[h] = weight_floats(a, (a->k + k + h) * a->g->w_stride + a->n, a->cols, store[h]);
        pair_split(row[0], row[1], row[0] ? a->cols : 0, to, group, a->w_terms, a->w_exact);
        for (int64_t c = 0; !row[0] && c < 2 * a->pairs; c++)
            for (int t = 0; t < a->w_terms; t++)
                memset(to + c * group + t * TILE_BYTES, 0, TILE_LINE);
    }
}

/* What to ask memory for while this block is multiplied: the next one. */
static struct coming weights_coming(const struct amx *a, bool nk)
{
    const struct gemm *g = a->g;
    int64_t n = a->n, k = a->k + a->k_len;
    if (k == g->k)
        k = 0, n += a->cols;
    struct coming c = {.at = weight_at(g, nk ? n * g->w_stride + k : k * g->w_stride + n),
                       .stride = g->w_stride / kn_dtype_block(g->w_type) *
                                 (int64_t)kn_dtype_bytes(g->w_type),
                       .rows = nk ? a->cols : a->k_len,
                       .bytes = (nk ? a->k_len : a->cols) / kn_dtype_block(g->w_type) *
                                (int64_t)kn_dtype_bytes(g->w_type)};
    int64_t times = (a->groups + 1) / 2 * a->pairs * block_steps(a);
    c.some = (c.rows * ((c.bytes + 63) / 64) + times - 1) / times;
    return c;
}

/* ---- the product ---- */

static char *sum_tile(const struct amx *a, int64_t row_group, int64_t column_group)
{
    return a->sums + (row_group * 2 * a->pairs + column_group) * a->tile;
}

/* The sums of one or two groups of rows by two of columns, continued through a block.  Tiles 0 to 3
 * are the sums, 4 and 5 weights, 6 and 7 rows. */
INLINE void amx_tiles(struct tile_file *f, struct amx *a, int64_t r, int64_t c, const bool nk,
                      const bool two)
{
    const int64_t line = nk ? a->g->tile_rows * 4 : TILE_LINE; /* of rows and of sums */
    const int64_t next = a->tile;
    (void)f; /* where the processor has tiles */
    const char *x = (const char *)a->g->packed +
                    (r * a->steps + a->k / TILE_K) * a->g->terms * next;
    const int64_t x_group = a->steps * a->g->terms * next;
    char *sum0 = sum_tile(a, r, c), *sum1 = sum_tile(a, r + 1, c);
    if (a->k == 0) {
        TILE_ZERO(f, 0);
        TILE_ZERO(f, 1);
        if (two) {
            TILE_ZERO(f, 2);
            TILE_ZERO(f, 3);
        }
    } else {
        TILE_LOAD(f, 0, sum0, line);
        TILE_LOAD(f, 1, sum0 + next, line);
        if (two) {
            TILE_LOAD(f, 2, sum1, line);
            TILE_LOAD(f, 3, sum1 + next, line);
        }
    }
    for (int64_t s = 0; s < block_steps(a); s++, x += a->g->terms * next) {
        const char *w[2];
        int64_t w_line[2];
        coming_ask(&a->coming);
        for (int i = 0; i < 2; i++) {
            bool lies = a->where && (c + i + 1) * TILE_ROWS <= a->cols &&
                        (s + 1) * TILE_K <= a->k_len;
            w[i] = lies ? a->where + (c + i) * TILE_ROWS * a->where_stride + s * TILE_K * 2
                        : weight_tile(a, c + i, s);
            w_line[i] = lies ? a->where_stride : TILE_LINE;
        }
        for (int j = 0; j < a->w_terms; j++, w[0] += TILE_BYTES, w[1] += TILE_BYTES) {
            TILE_LOAD(f, 4, w[0], w_line[0]);
            TILE_LOAD(f, 5, w[1], w_line[1]);
            for (int i = 0; i < a->g->terms - j; i++) {
                TILE_LOAD(f, 6, x + i * next, line);
                if (nk) {
                    TILE_DP(f, 0, 4, 6);
                    TILE_DP(f, 1, 5, 6);
                } else {
                    TILE_DP(f, 0, 6, 4);
                    TILE_DP(f, 1, 6, 5);
                }
                if (!two)
                    continue;
                TILE_LOAD(f, 7, x + x_group + i * next, line);
                if (nk) {
                    TILE_DP(f, 2, 4, 7);
                    TILE_DP(f, 3, 5, 7);
                } else {
                    TILE_DP(f, 2, 7, 4);
                    TILE_DP(f, 3, 7, 5);
                }
            }
        }
    }
    TILE_STORE(f, 0, sum0, line);
    TILE_STORE(f, 1, sum0 + next, line);
    if (two) {
        TILE_STORE(f, 2, sum1, line);
        TILE_STORE(f, 3, sum1 + next, line);
    }
}

/* A tile of sums to the result: `rows` by `cols` elements; v of a finite one is 0. */
INLINE vf amx_store(const struct amx *a, int64_t r, int64_t c, const bool nk, vf v)
{
    const struct gemm *g = a->g;
    const float *from = (const float *)(const void *)sum_tile(a, r, c);
    uint32_t turned[TILE_ROWS * TILE_ROWS];
    if (nk) {
        words_turn((const uint32_t *)(const void *)from, g->tile_rows, turned, TILE_ROWS, TILE_ROWS,
                   g->tile_rows);
        from = (const float *)(const void *)turned; /* v_load copies bytes */
    }
    int64_t row = r * TILE_ROWS, rows = g->m - row < TILE_ROWS ? g->m - row : TILE_ROWS;
    int64_t cols = a->cols - c * TILE_ROWS < TILE_ROWS ? a->cols - c * TILE_ROWS : TILE_ROWS;
    float *out = g->out + row * g->out_stride + a->n + c * TILE_ROWS;
    for (int64_t i = 0; i < rows; i++, from += TILE_ROWS, out += g->out_stride)
        for (int64_t at = 0; at < cols; at += VL) {
            int64_t left = cols - at;
            vf x = left >= VL ? v_load(from + at) : v_load_n(from + at, left);
            v += x - x;
            if (left >= VL)
                v_store(out + at, x);
            else
                v_store_n(out + at, x, left);
        }
    return v;
}

static struct tile_config amx_config(const struct gemm *g, bool nk)
{
    struct tile_config c = {.palette = 1};
    for (int i = 0; i < TILE_COUNT; i++) {
        bool weights = i == 4 || i == 5;
        c.rows[i] = (uint8_t)(nk || weights ? TILE_ROWS : g->tile_rows);
        c.line[i] = (uint16_t)(nk && !weights ? g->tile_rows * 4 : TILE_LINE);
    }
    return c;
}

/* Terms that weights of a type are. */
static int terms_of(enum kn_dtype t)
{
    return t == KN_BF16 ? 1 : t == KN_F16 ? 2 : GEMM_TERMS;
}

/* Few rows use weights once, so the block of these is near, too; of weights [n,k] that would make
 * short lines of memory. */
static int64_t amx_k_block(const struct gemm *g, int64_t panel, int w_terms, bool nk)
{
    int64_t rows = g->m < PAIR ? g->tile_rows : PAIR;
    int64_t room = g->m <= TILE_ROWS && !nk ? NEAR_BYTES : GEMM_PART * (int64_t)sizeof(float);
    int64_t near = NEAR_BYTES / (rows * 2 * g->terms), far = room / (panel * 2 * w_terms);
    int64_t k = near < far ? near : far;
    k = k < K_BLOCK_MAX ? k : K_BLOCK_MAX;
    return k < TILE_K ? TILE_K : k / TILE_K * TILE_K;
}

INLINE bool amx_gemm_of(const struct isa *isa, const struct gemm *g, const bool nk)
{
    const int64_t all = (g->n + PAIR - 1) / PAIR * PAIR;
    const int64_t panel = nk || g->m > TILE_ROWS || all < PANEL ? PANEL : all;
    struct amx a = {.isa = isa, .g = g, .w_terms = terms_of(g->w_type)};
    a.w_exact = a.w_terms <= g->terms;
    a.w_terms = a.w_exact ? a.w_terms : g->terms;
    a.tile = g->tile_rows * TILE_LINE;
    a.groups = (g->m + TILE_ROWS - 1) / TILE_ROWS;
    a.steps = (g->k + TILE_K - 1) / TILE_K;
    a.k_block = amx_k_block(g, panel, a.w_terms, nk);
    a.weights = (char *)g->part;
    a.sums = (char *)g->pack;
    struct tile_file file, *f = &file;
    struct tile_config config = amx_config(g, nk);
    vf finite = v_set1(0);
    TILE_CONFIG(f, &config);
    for (a.n = 0; a.n < g->n; a.n += panel) {
        a.cols = g->n - a.n < panel ? g->n - a.n : panel;
        a.pairs = (a.cols + PAIR - 1) / PAIR;
        for (a.k = 0; a.k < g->k; a.k += a.k_block) {
            a.k_len = g->k - a.k < a.k_block ? g->k - a.k : a.k_block;
            if (nk && g->w_type == KN_BF16) {
                a.where = weight_at(g, a.n * g->w_stride + a.k);
                a.where_stride = g->w_stride * 2;
            }
            if (nk)
                weights_nk(&a);
            else
                weights_kn(&a);
            a.coming = weights_coming(&a, nk);
            for (int64_t r = 0; r < a.groups; r += 2)
                for (int64_t c = 0; c < 2 * a.pairs; c += 2)
                    if (r + 1 < a.groups)
                        amx_tiles(f, &a, r, c, nk, true);
                    else
                        amx_tiles(f, &a, r, c, nk, false);
        }
        for (int64_t r = 0; r < a.groups; r++)
            for (int64_t c = 0; c * TILE_ROWS < a.cols; c++)
                finite = amx_store(&a, r, c, nk, finite);
    }
    TILE_RELEASE(f);
    float sums[VL], sum = 0;
    v_store(sums, finite);
    for (int i = 0; i < VL; i++)
        sum += sums[i];
    return sum == 0;
}

static bool amx_gemm(const struct isa *isa, const struct gemm *g, bool nk)
{
    return nk ? amx_gemm_of(isa, g, true) : amx_gemm_of(isa, g, false);
}

#endif
