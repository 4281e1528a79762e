/* isa.h - the row kernels: what is compiled once per instruction set.
 *
 * Plain loops over memory; no views, no threads, no checks.  Every kernel is deterministic, and
 * each element of a result depends on its own row (and weights) alone.  row_*.h implement them on
 * vec.h. Tested in tests/kernels.
 */
#ifndef KN_CPU_ISA_H
#define KN_CPU_ISA_H

#include "../kn.h"

enum {
    GEMM_COLUMNS = 256,      /* of a gemm_kn, at most */
    GEMM_ROWS = 192,         /* likewise */
    GEMM_FEW = 4,            /* of no more rows there may be */
    GEMM_FEW_COLUMNS = 1024, /* columns of a gemm_kn: memory is read best in long lines */
    GEMM_K_BLOCK = 256, /* kn: products summed on their own before they are added to the rest */
    GEMM_PACK = 64 * GEMM_COLUMNS, /* floats to convert weights into */
    GEMM_PART = GEMM_ROWS * GEMM_COLUMNS,
    GEMM_TERMS = 3, /* of tiles: bf16 terms of a number, at most */
    TILE_K = 32     /* k of a tile */
};

/* out[m,n] = x[m,k] . w, w a weight matrix of a stored type */
struct gemm {
    const float *x;
    int64_t x_stride; /* in elements, as all strides here */
    const void *w;
    int64_t w_first; /* of types in blocks: the element of w at which it begins */
    int64_t
        w_stride; /* nk: between columns of the result, k contiguous; kn: between k, n contiguous */
    enum kn_dtype w_type;
    int64_t m, n, k;
    float *out;
    int64_t out_stride;
    float *pack, *part; /* GEMM_PACK and GEMM_PART floats to work in; gemm_chain needs none */
    /* Of tiles: x as struct tile_set packs it, its terms, and rows of a tile: m, or 16 of more. */
    const char *packed;
    int terms;
    int64_t tile_rows;
};

/* The weights begin so many elements later. */
static inline void gemm_skip(struct gemm *g, int64_t elements)
{
    if (kn_dtype_block(g->w_type) > 1)
        g->w_first += elements;
    else
        g->w = (const char *)g->w + kn_row_bytes(g->w_type, elements);
}

struct isa;

/* Products of rows as bf16 terms by tiles (row_gemm_amx.h). */
struct tile_set {
    /* Elements [k, end) of the 16 rows of x from 16 * group on, k a multiple of TILE_K: for each
     * TILE_K of them `terms` tiles of tile_rows * 64 bytes, rows and k that are missing as 0. */
    void (*pack)(const struct gemm *g, bool nk, int64_t group, int64_t k, int64_t end, char *out);
    /* As gemm_nk or gemm_kn of at most GEMM_ROWS rows, `packed` all k of 16 rows after the other.
     * False: an element of the result is not finite; it may be wrong then, the others are not. */
    bool (*gemm)(const struct isa *isa, const struct gemm *g, bool nk);
};

struct isa {
    const char *name;
    /* Or NULL: what products of linear.c are made by, of so many terms (tiled.h). */
    const struct tile_set *tiles;
    int terms;
    /* Weights [n,k].  An element is a sum over k whose order depends on k alone. */
    void (*gemm_nk)(const struct gemm *g);
    /* Weights [k,n], likewise. */
    void (*gemm_kn)(const struct gemm *g);
    /* out += x . w as one chain per element, k ascending: split anywhere, it gives the same bits.
     */
    void (*gemm_chain)(const struct gemm *g);
    /* gemm_nk of weights in f32, each element times `scale`. */
    void (*scores)(const struct gemm *g, float scale);
    /* Elements [at, at + n) of what lies without gaps from src on. */
    void (*widen)(float *out, const void *src, enum kn_dtype t, int64_t at, int64_t n);
    void (*act)(float *out, const float *x, const float *gate, int64_t n,
                enum kn_act act); /* gate or NULL */
    void (*act_slope)(float *out, const float *x, int64_t n, enum kn_act act);
    void (*scale_cap)(float *x, int64_t n, float scale, float softcap);
    void (*softmax)(float *out, const float *x, int64_t n); /* out may be x */
    double (*sum)(const float *x, int64_t n);
    double (*sum_squares)(const float *x, float mean, int64_t n); /* of x - mean */
    void (*lse)(const float *x, int64_t n, float out[2]);
    void (*topk)(const float *x, int64_t n, int64_t k, float *val, int32_t *idx);
    int64_t (*count_greater)(const float *x, int64_t n, float v);
    bool (*columns)(const float *x, int64_t n, struct kn_columns *out);       /* kn_columns */
    void (*bins)(const float *x, int64_t n, int low, int half, uint8_t *bin); /* kn_bins */
};

extern const struct isa isa_portable;
#ifdef KN_CPU_X86
extern const struct isa isa_avx2, isa_avx512;
#endif
#ifdef KN_CPU_AMX
extern const struct tile_set tiles_amx;
#endif

#endif
