/* quantized_bnb.c - bitsandbytes: 8 bits with a scale per row, 4 bits with one per 64 elements.
 *
 * int8: P.weight I8 [n,k], P.SCB F32 [n]; w = q * SCB / 127.  4 bits: P.weight U8, the high half of
 * a byte first; P.weight.quant_state.bitsandbytes__nf4 (or __fp4) is JSON; P.weight.absmax per
 * blocksize elements of the whole, which run over the ends of rows; "double quantized" ones are
 * bytes into nested_quant_map, times nested_absmax per nested_blocksize, plus nested_offset.
 * https://github.com/bitsandbytes-foundation/bitsandbytes, functional.py (QuantState). */
#include "model/quantized_parts.h"

#include <stdlib.h>
#include <string.h>

#include "quant.h"

#define ABSMAX ".weight.absmax"

static int read_int8(struct quant_layer *l, struct err *e)
{
    const struct st_tensor *w;
    int rc = quant_need(l, ".weight", &w, e);
    if (rc || (rc = quant_expect(w, ST_I8, 2, (const int64_t[]){-1, -1}, e)))
        return rc;
    quant_part(l, ".weight_format"); /* of a device's layout; rows in files */
    int64_t n = w->shape[0], k = w->shape[1];
    float *scale = quant_floats(l, ".SCB", 1, &n, e);
    if (!scale)
        return err_code(e);
    bool blocks = k % kn_dtype_block(KN_INT8) == 0;
    char *to = quant_make(l, ".weight", blocks ? ST_INT8 : ST_F32, 2, w->shape, e);
    const int8_t *q = w->data;
    for (int64_t i = 0; to && i < n; i++) {
        float s = scale[i] / 127;
        for (int64_t j = 0; blocks && j < k; j += 32) {
            char *block = to + (i * k + j) / 32 * 36;
            memcpy(block, &s, sizeof s);
            memcpy(block + sizeof s, q + i * k + j, 32);
        }
        for (int64_t j = 0; !blocks && j < k; j++)
            ((float *)(void *)to)[i * k + j] = (float)q[i * k + j] * s;
    }
    free(scale);
    return quant_done(l, to, e);
}

/* What quant_state says. */
struct state {
    int64_t n, k, block, nested_block;
    double nested_offset;
};

static int state_read(struct js_node root, struct state *s, struct err *e)
{
    struct js_node shape = js_get(root, "shape");
    enum { BLOCK_MAX = 1 << 16 };
    int64_t max = (int64_t)1 << 40;
    int rc = js_int(js_get(root, "blocksize"), 1, BLOCK_MAX, &s->block, e);
    if (!rc && js_count(shape) != 2)
        rc = js_expected(shape, "a list of two sizes", e);
    if (!rc && !(rc = js_int(js_at(shape, 0), 1, max, &s->n, e)))
        rc = js_int(js_at(shape, 1), 1, max, &s->k, e);
    if (!rc && js_is_set(js_get(root, "nested_blocksize")) &&
        !(rc = js_int(js_get(root, "nested_blocksize"), 1, BLOCK_MAX, &s->nested_block, e)))
        rc = js_number(js_get(root, "nested_offset"), -1e30, 1e30, &s->nested_offset, e);
    return rc;
}

/* The scales of all blocks, `count` of them; the caller frees them. */
static float *absmax_read(struct quant_layer *l, const struct state *s, int64_t count,
                          struct err *e)
{
    const struct st_tensor *t;
    if (!s->nested_block)
        return quant_floats(l, ABSMAX, 1, &count, e);
    int64_t nested = (count + s->nested_block - 1) / s->nested_block, map = 256;
    if (quant_need(l, ABSMAX, &t, e) || quant_expect(t, ST_U8, 1, &count, e))
        return NULL;
    float *scale = quant_floats(l, ".weight.nested_absmax", 1, &nested, e),
          *value = scale ? quant_floats(l, ".weight.nested_quant_map", 1, &map, e) : NULL,
          *out = value ? malloc((size_t)count * sizeof *out) : NULL;
    if (value && !out)
        err_memory(e, "%s", t->name);
    for (int64_t i = 0; out && i < count; i++)
        out[i] = value[((const uint8_t *)t->data)[i]] * scale[i / s->nested_block] +
                 (float)s->nested_offset;
    free(scale), free(value);
    return out;
}

static int read_nibbles(struct quant_layer *l, const struct state *s, enum kn_dtype type,
                        struct err *e)
{
    const struct st_tensor *w;
    int64_t elements, codes = 16;
    int rc = quant_need(l, ".weight", &w, e);
    if (rc)
        return rc;
    if (__builtin_mul_overflow(s->n, s->k, &elements) || w->dtype != ST_U8 ||
        (int64_t)w->nbytes * 2 != elements)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor %s · expected U8, half as many as its quant_state's shape "
                       "[%lld, %lld] has elements, found %zu bytes of %s",
                       w->file, w->name, (long long)s->n, (long long)s->k, w->nbytes,
                       st_dtype_name(w->dtype));
    float *map = quant_floats(l, ".weight.quant_map", 1, &codes, e),
          *absmax = map ? absmax_read(l, s, (elements + s->block - 1) / s->block, e) : NULL;
    bool blocks = absmax && s->k % 64 == 0 && s->block % 64 == 0 &&
                  memcmp(map, quant_codes(type), (size_t)codes * sizeof *map) == 0;
    char *to = absmax
                   ? quant_make(l, ".weight", blocks ? (type == KN_NF4 ? ST_NF4 : ST_FP4) : ST_F32,
                                2, (const int64_t[]){s->n, s->k}, e)
                   : NULL;
    const uint8_t *q = w->data;
    for (int64_t i = 0; to && blocks && i < elements; i += 64) {
        memcpy(to + i / 64 * 36, &absmax[i / s->block], sizeof *absmax);
        memcpy(to + i / 64 * 36 + sizeof *absmax, q + i / 2, 32);
    }
    for (int64_t i = 0; to && !blocks && i < elements; i++)
        ((float *)(void *)to)[i] = map[q[i / 2] >> (i % 2 ? 0 : 4) & 15] * absmax[i / s->block];
    rc = quant_done(l, to, e);
    free(map), free(absmax);
    return rc;
}

static int bitsandbytes_read(struct quant_layer *l, struct err *e)
{
    const char *ending = l->mark->name + strlen(l->name);
    if (strcmp(ending, ".SCB") == 0)
        return read_int8(l, e);
    struct js_doc *doc = js_parse(l->mark->name, l->mark->data, l->mark->nbytes, e);
    struct state s = {0};
    int rc = doc ? state_read(js_root(doc), &s, e) : err_code(e);
    js_close(doc);
    return rc ? rc : read_nibbles(l, &s, strstr(ending, "nf4") ? KN_NF4 : KN_FP4, e);
}

const struct quant_method quant_bitsandbytes = {
    "bitsandbytes",
    ".SCB|.weight.quant_state.bitsandbytes__nf4|.weight.quant_state.bitsandbytes__fp4",
    bitsandbytes_read};
