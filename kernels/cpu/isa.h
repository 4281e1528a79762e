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
    GEMM_PART = GEMM_ROWS * GEMM_COLUMNS
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
};

struct isa {
    const char *name;
    /* Weights [n,k].  An element is a sum over k whose order depends on k alone. */
    void (*gemm_nk)(const struct gemm *g);
    /* Weights [k,n], likewise. */
    void (*gemm_kn)(const struct gemm *g);
    /* out += x . w as one chain per element, k ascending: split anywhere, it gives the same bits.
     */
    void (*gemm_chain)(const struct gemm *g);
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

#endif
