/* quantized_fp8.c - eight-bit floats: with a scale per block of the matrix, per row or per matrix.
 *
 * fp8: P.weight F8_E4M3 [n,k], P.weight_scale_inv [n / b, k / c] for blocks of weight_block_size
 * [b, c], the last ones perhaps smaller.  compressed-tensors: P.weight F8_E4M3 or I8,
 * P.weight_scale of one element or [n,1]; or integers in words.  w = q * scale in either. */
#include "model/quantized_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* E4M3 without infinities: of all ones in exponent and mantissa a NaN. */
static float from_e4m3(uint8_t x)
{
    int exponent = x >> 3 & 15, mantissa = x & 7;
    float v = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
    if ((x & 0x7f) == 0x7f)
        v = NAN;
    return x & 0x80 ? -v : v;
}

/* One scale for each rows x columns of the matrix; takes `scale`. */
static int widen(struct quant_layer *l, const struct st_tensor *w, float *scale, int64_t rows,
                 int64_t columns, struct err *e)
{
    float value[256], *to = scale ? quant_make(l, ".weight", ST_F32, 2, w->shape, e) : NULL;
    const uint8_t *q = w->data;
    int64_t n = w->shape[0], k = w->shape[1], across = (k + columns - 1) / columns;
    for (int i = 0; i < 256; i++)
        value[i] = w->dtype == ST_I8 ? (float)(int8_t)i : from_e4m3((uint8_t)i);
    for (int64_t i = 0; to && i < n; i++)
        for (int64_t j = 0; j < k; j++)
            to[i * k + j] = value[*q++] * scale[i / rows * across + j / columns];
    free(scale);
    return quant_done(l, to, e);
}

static int fp8_read(struct quant_layer *l, struct err *e)
{
    struct js_node size = js_get(l->config, "weight_block_size");
    int64_t b[2] = {128, 128};
    const struct st_tensor *w;
    int rc = 0;
    for (size_t i = 0; i < 2 && !rc && js_is_set(size); i++)
        rc = js_int(js_at(size, i), 1, 1 << 30, &b[i], e);
    if (rc || (rc = quant_need(l, ".weight", &w, e)) ||
        (rc = quant_expect(w, ST_F8_E4M3, 2, (const int64_t[]){-1, -1}, e)))
        return rc;
    quant_part(l, ".input_scale");
    quant_part(l, ".activation_scale");
    const int64_t shape[] = {(w->shape[0] + b[0] - 1) / b[0], (w->shape[1] + b[1] - 1) / b[1]};
    return widen(l, w, quant_floats(l, ".weight_scale_inv", 2, shape, e), b[0], b[1], e);
}

static int compressed_read(struct quant_layer *l, struct err *e)
{
    const struct st_tensor *w, *s = l->mark;
    if (quant_part(l, ".weight_packed"))
        return quant_read_packed(l, e);
    int rc = quant_need(l, ".weight", &w, e);
    if (rc || (rc = quant_expect(w, w->dtype == ST_I8 ? ST_I8 : ST_F8_E4M3, 2,
                                 (const int64_t[]){-1, -1}, e)))
        return rc;
    quant_part(l, ".input_scale");
    int64_t n = w->shape[0], all = st_count(s);
    const int64_t shape[] = {all == 1 ? 1 : n, 1};
    int rank = s->rank > 2 ? 2 : s->rank;
    return widen(l, w, quant_floats(l, ".weight_scale", rank, shape, e), all == 1 ? n : 1,
                 w->shape[1], e);
}

const struct quant_method quant_fp8 = {"fp8", ".weight_scale_inv", fp8_read};
const struct quant_method quant_compressed = {"compressed-tensors", ".weight_scale",
                                              compressed_read};
