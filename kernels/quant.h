/* quant.h - types stored in blocks of elements: what a block's bytes stand for.
 *
 * Little-endian; layouts of GGUF types are those of ggml-common.h.  A product of scale and integer
 * is exact in f32 for all of GGUF's types, so that decoded weights are the same bits on every
 * instruction set.  Tested in tests/kernels/test_quant.c. */
#ifndef KN_QUANT_H
#define KN_QUANT_H

#include "kn.h"

enum {
    QUANT_GROUP = 16,     /* elements that certainly share a scale */
    QUANT_BLOCK_MAX = 256 /* elements of the largest block */
};

/* The values that the integers of a type stand for, times the scale; NULL: the integers themselves.
 * 16 of them. */
const float *quant_codes(enum kn_dtype t);

/* All elements of one block, which may lie at any address, as floats. */
void quant_decode(enum kn_dtype t, const void *block, float *out);

/* Elements [at, at + n) of blocks that lie without gaps. */
void quant_decode_span(enum kn_dtype t, const void *data, int64_t at, int64_t n, float *out);

#endif
