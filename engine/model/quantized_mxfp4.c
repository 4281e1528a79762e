/* quantized_mxfp4.c - MXFP4 as gpt-oss has it: X_blocks U8 [.., n, k/32, 16], X_scales U8 [.., n,
 * k/32].
 *
 * The low half of a byte is the even element; blocks here have elements 0 to 15 in the low halves.
 * The matrix, called X, is [.., n, k] whatever way the unquantized one lies. */
#include "model/quantized_parts.h"

#include <string.h>

static int mxfp4_read(struct quant_layer *l, struct err *e)
{
    const struct st_tensor *b = l->mark, *s;
    int rank = b->rank - 1;
    int64_t shape[CHECKPOINT_RANK_MAX];
    int rc = quant_need(l, "_scales", &s, e);
    if (rc)
        return rc;
    if (b->dtype != ST_U8 || rank < 2 || b->shape[rank] != 16 || !b->nbytes)
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected U8 [.., n, k/32, 16]", b->file,
                       b->name);
    if ((rc = quant_expect(s, ST_U8, rank, b->shape, e)))
        return rc;
    memcpy(shape, b->shape, sizeof shape);
    if (__builtin_mul_overflow(shape[rank - 1], 32, &shape[rank - 1]))
        return err_memory(e, "%s", b->name);
    const uint8_t *q = b->data, *scale = s->data;
    uint8_t *to = quant_make(l, "", ST_MXFP4, rank, shape, e);
    for (size_t i = 0; to && i < s->nbytes; i++, q += 16) {
        to[i * 17] = scale[i];
        for (int j = 0; j < 16; j++) /* elements j and j + 16 */
            to[i * 17 + 1 + (size_t)j] = (uint8_t)((q[j / 2] >> j % 2 * 4 & 15) |
                                                   (q[8 + j / 2] >> j % 2 * 4 & 15) << 4);
    }
    return quant_done(l, to, e);
}

const struct quant_method quant_mxfp4 = {"mxfp4", "_blocks", mxfp4_read};
