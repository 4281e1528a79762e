/* quantized_hqq.c - HQQ: groups along either axis, each with a scale and a zero that is no integer.
 *
 * P.W_q U8, P.scale, P.zero; P.shape [n,k]; P.nbits 8, 4 or 2, P.axis, P.group_size.  The n*k
 * elements lie as [groups, size] (axis 1) or [size, groups] (axis 0); of a byte of several numbers
 * the highest is of the first part of the rows.  w = (q - zero) * scale.
 * https://github.com/mobiusml/hqq, core/quantize.py and bitpack.py. */
#include "model/quantized_parts.h"

#include <stdlib.h>

static int hqq_shape(struct quant_layer *l, int64_t shape[2], struct err *e)
{
    const struct st_tensor *t;
    int64_t two = 2;
    int rc = quant_need(l, ".shape", &t, e);
    if (rc || (rc = quant_expect(t, t->dtype == ST_I64 ? ST_I64 : ST_I32, 1, &two, e)))
        return rc;
    for (int i = 0; i < 2; i++) {
        shape[i] = t->dtype == ST_I64 ? ((const int64_t *)t->data)[i]
                                      : ((const int32_t *)t->data)[i];
        if (shape[i] < 1 || shape[i] > 1 << 30)
            return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected two sizes, found %lld",
                           t->file, t->name, (long long)shape[i]);
    }
    return 0;
}

static int hqq_read(struct quant_layer *l, struct err *e)
{
    static const char *const rest[] = {
        ".packing",       ".channel_wise",        ".optimize",      ".round_zero",
        ".quant_zero",    ".quant_scale",         ".view_as_float", ".unpack_view_dtype",
        ".compute_dtype", ".stores_quant_config", ".offload_meta",  ".encoded_state_dict",
        ".out_features",  ".in_features"};
    const struct st_tensor *q = l->mark;
    int64_t shape[2], bits, axis, size;
    int rc = hqq_shape(l, shape, e);
    if (rc || (rc = quant_number(l, ".nbits", 2, 8, &bits, e)) ||
        (rc = quant_number(l, ".axis", 0, 1, &axis, e)))
        return rc;
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        quant_part(l, rest[i]);
    int64_t elements = shape[0] * shape[1];
    if (!quant_part(l, ".group_size"))
        size = shape[axis];
    else if ((rc = quant_number(l, ".group_size", 1, 1 << 30, &size, e)))
        return rc;
    if (bits == 3 || (bits > 4 && bits != 8) || elements % size || q->dtype != ST_U8 ||
        (int64_t)q->nbytes * (8 / bits) != elements)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · tensor %s · expected U8 with %lld numbers of 2, 4 or 8 bits in groups, "
            "found %zu bytes of %s for %lld bits in groups of %lld",
            q->file, q->name, (long long)elements, q->nbytes, st_dtype_name(q->dtype),
            (long long)bits, (long long)size);
    int64_t groups = elements / size, lines = axis ? groups : size, columns = elements / lines,
            parts = 8 / bits, in_part = lines / parts;
    if (lines % parts)
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected rows in %lld parts, found %lld",
                       q->file, q->name, (long long)parts, (long long)lines);
    const int64_t of_groups[] = {axis ? groups : 1, axis ? 1 : groups};
    float *scale = quant_floats(l, ".scale", 2, of_groups, e),
          *zero = scale ? quant_floats(l, ".zero", 2, of_groups, e) : NULL,
          *to = zero ? quant_make(l, ".weight", ST_F32, 2, shape, e) : NULL;
    const uint8_t *bytes = q->data;
    for (int64_t i = 0; to && i < elements; i++) {
        int64_t line = i / columns, column = i % columns, g = axis ? line : column,
                shift = 8 - bits * (line / in_part + 1);
        int x = bytes[line % in_part * columns + column] >> shift & ((1 << bits) - 1);
        to[i] = ((float)x - zero[g]) * scale[g];
    }
    free(scale), free(zero);
    return quant_done(l, to, e);
}

const struct quant_method quant_hqq = {"hqq", ".W_q", hqq_read};
