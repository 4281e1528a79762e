/* quantized_gptq.c - GPTQ, AWQ, compressed-tensors' pack-quantized: integers packed into words,
 * groups of k with a scale and a zero.
 *
 * w = (q - zero) * scale everywhere.  GPTQ: qweight I32 [k * bits/32, n], the lowest bits first
 * along k, of 3 bits running over the ends of words; qzeros I32 [groups, n * bits/32]; scales
 * [groups, n]; g_idx I32 [k], the group of each (absent: in order); the stored zero is one less
 * unless checkpoint_format is gptq_v2.  AWQ: qweight I32 [k, n/8], eight columns of a word in the
 * order 0 2 4 6 1 3 5 7; qzeros [groups, n/8].  pack-quantized: weight_packed I32 [n, k * bits/32];
 * weight_scale [n, groups]; weight_zero_point I32 [n * bits/32, groups] (absent: half of the
 * range); weight_g_idx; weight_shape I64 [2].  https://github.com/AutoGPTQ/AutoGPTQ,
 * https://github.com/casper-hansen/AutoAWQ, https://github.com/neuralmagic/compressed-tensors. */
#include "model/quantized_parts.h"

#include <stdlib.h>
#include <string.h>

/* Numbers of `bits` bits in words that lie `stride` apart, the lowest first. */
struct numbers {
    const uint32_t *word;
    int64_t stride;
};

static unsigned number_at(struct numbers v, int64_t i, int bits)
{
    int64_t at = i * bits / 32;
    int shift = (int)(i * bits % 32);
    uint64_t x = v.word[at * v.stride];
    if (shift + bits > 32)
        x |= (uint64_t)v.word[(at + 1) * v.stride] << 32;
    return (unsigned)(x >> shift) & ((1u << bits) - 1);
}

enum layout { GPTQ, AWQ, PACKED };

struct packed {
    enum layout layout;
    int64_t n, k, groups, size; /* size: of a group, where they are in order */
    int bits;
    const uint32_t *q, *zeros; /* zeros NULL: half of the range */
    const int32_t *group;      /* of each k; NULL: in order */
    float *scale;              /* [groups, n]; of PACKED [n, groups] */
    bool less_one;             /* stored zeros are one less */
};

/* Where AWQ packs column n. */
static int64_t awq_place(int64_t n)
{
    return n / 8 * 8 + (n % 2 * 4 + n % 8 / 2);
}

static unsigned integer(const struct packed *p, int64_t n, int64_t k)
{
    int64_t words = (p->layout == AWQ ? p->n : p->k) * p->bits / 32;
    switch (p->layout) {
    case GPTQ: return number_at((struct numbers){p->q + n, p->n}, k, p->bits);
    case AWQ: return number_at((struct numbers){p->q + k * words, 1}, awq_place(n), p->bits);
    default: return number_at((struct numbers){p->q + n * words, 1}, k, p->bits);
    }
}

static unsigned zero(const struct packed *p, int64_t n, int64_t g)
{
    if (!p->zeros)
        return 1u << (p->bits - 1);
    struct numbers v = {p->zeros + g * (p->n * p->bits / 32), 1};
    if (p->layout == PACKED)
        v = (struct numbers){p->zeros + g, p->groups};
    return (number_at(v, p->layout == AWQ ? awq_place(n) : n, p->bits) + p->less_one) &
           ((1u << p->bits) - 1);
}

static int widen(struct quant_layer *l, const struct packed *p, struct err *e)
{
    const int64_t shape[] = {p->n, p->k};
    float *to = quant_make(l, ".weight", ST_F32, 2, shape, e);
    for (int64_t n = 0; to && n < p->n; n++)
        for (int64_t k = 0; k < p->k; k++) {
            int64_t g = p->group ? p->group[k] : k / p->size,
                    s = p->layout == PACKED ? n * p->groups + g : g * p->n + n;
            to[n * p->k + k] = (float)((int)integer(p, n, k) - (int)zero(p, n, g)) * p->scale[s];
        }
    return quant_done(l, to, e);
}

/* The group of each k, where a tensor says it. */
static int order_read(struct quant_layer *l, const char *ending, struct packed *p, struct err *e)
{
    const struct st_tensor *t = quant_part(l, ending);
    int rc = t ? quant_expect(t, ST_I32, 1, &p->k, e) : 0;
    if (!t || rc)
        return rc;
    p->group = t->data;
    for (int64_t k = 0; k < p->k; k++)
        if (p->group[k] < 0 || p->group[k] >= p->groups)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor %s · element %lld · expected a group below %lld, found %d",
                           t->file, t->name, (long long)k, (long long)p->groups, (int)p->group[k]);
    return 0;
}

static int groups_read(struct quant_layer *l, struct packed *p, struct err *e)
{
    const struct st_tensor *z;
    p->size = p->size < 1 ? p->k : p->size; /* -1: all of a column */
    p->groups = (p->k + p->size - 1) / p->size;
    if (p->n * p->bits % 32 != 0)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor %s · expected outputs that fill words of 32 bits, found %lld "
                       "of %d bits",
                       l->mark->file, l->mark->name, (long long)p->n, p->bits);
    int rc = quant_need(l, ".qzeros", &z, e);
    if (rc ||
        (rc = quant_expect(z, ST_I32, 2, (const int64_t[]){p->groups, p->n * p->bits / 32}, e)))
        return rc;
    p->zeros = z->data;
    if ((rc = order_read(l, ".g_idx", p, e)))
        return rc;
    p->scale = quant_floats(l, ".scales", 2, (const int64_t[]){p->groups, p->n}, e);
    return p->scale ? 0 : err_code(e);
}

static int packed_read(struct quant_layer *l, struct packed *p, struct err *e)
{
    int64_t bits = 4;
    struct js_node node = js_get(l->config, "bits");
    int rc = js_is_set(node) ? js_int(node, 2, 8, &bits, e) : 0;
    if (!rc && bits > 4 && bits != 8)
        rc = js_expected(node, "2, 3, 4 or 8 bits", e);
    if (!rc && p->layout == AWQ && bits != 4)
        rc = js_expected(node, "4 bits", e);
    if (!rc)
        rc = js_int_or(js_get(l->config, "group_size"), -1, 1 << 30, 128, &p->size, e);
    if (!rc)
        rc = quant_expect(l->mark, ST_I32, 2, (const int64_t[]){-1, -1}, e);
    if (rc)
        return rc;
    p->bits = (int)bits;
    p->q = l->mark->data;
    p->k = p->layout == AWQ ? l->mark->shape[0] : l->mark->shape[0] * 32 / bits;
    p->n = p->layout == AWQ ? l->mark->shape[1] * 32 / bits : l->mark->shape[1];
    if (p->layout == GPTQ && p->k * bits % 32)
        return err_set(
            e, ERR_BAD_INPUT,
            "%s · tensor %s · expected inputs of %d bits in whole words, found %lld rows",
            l->mark->file, l->mark->name, p->bits, (long long)l->mark->shape[0]);
    rc = groups_read(l, p, e);
    if (!rc)
        rc = widen(l, p, e);
    free(p->scale);
    return rc;
}

static int gptq_read(struct quant_layer *l, struct err *e)
{
    const char *format;
    int rc = js_string_or(js_get(l->config, "checkpoint_format"), "gptq", &format, e);
    if (!rc && strcmp(format, "gptq") != 0 && strcmp(format, "gptq_v2") != 0)
        rc = js_expected(js_get(l->config, "checkpoint_format"), "gptq or gptq_v2", e);
    return rc ? rc : packed_read(l, &(struct packed){.less_one = strcmp(format, "gptq") == 0}, e);
}

static int awq_read(struct quant_layer *l, struct err *e)
{
    const char *version;
    int rc = js_string_or(js_get(l->config, "version"), "gemm", &version, e);
    if (!rc && strcmp(version, "gemm") != 0 && strcmp(version, "GEMM") != 0)
        rc = js_expected(js_get(l->config, "version"), "gemm", e);
    return rc ? rc : packed_read(l, &(struct packed){.layout = AWQ}, e);
}

int quant_read_packed(struct quant_layer *l, struct err *e)
{
    struct packed p = {.layout = PACKED};
    const struct st_tensor *q, *shape, *z;
    int rc = quant_need(l, ".weight_packed", &q, e);
    if (rc || (rc = quant_need(l, ".weight_shape", &shape, e)) ||
        (rc = quant_expect(q, ST_I32, 2, (const int64_t[]){-1, -1}, e)) ||
        (rc = quant_expect(shape, ST_I64, 1, (const int64_t[]){2}, e)) ||
        (rc = quant_expect(l->mark, l->mark->dtype, 2, (const int64_t[]){q->shape[0], -1}, e)))
        return rc;
    int64_t size[2], words = q->shape[1];
    memcpy(size, shape->data, sizeof size);
    p.n = q->shape[0], p.k = size[1], p.groups = l->mark->shape[1], p.q = q->data;
    int64_t bits = p.k > 0 ? words * 32 / p.k : 0;
    p.bits = bits == 2 || bits == 4 || bits == 8 ? (int)bits : 1;
    if (size[0] != p.n || p.bits == 1 || p.k * p.bits != words * 32 || p.k % p.groups)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor %s · expected %lld rows, each of 2, 4 or 8 bits in %lld words "
                       "and %lld groups, found [%lld, %lld]",
                       shape->file, shape->name, (long long)p.n, (long long)words,
                       (long long)p.groups, (long long)size[0], (long long)size[1]);
    p.size = p.k / p.groups;
    if ((z = quant_part(l, ".weight_zero_point"))) {
        if ((rc = quant_expect(z, ST_I32, 2, (const int64_t[]){(p.n * p.bits + 31) / 32, p.groups},
                               e)))
            return rc;
        p.zeros = z->data;
    }
    if ((rc = order_read(l, ".weight_g_idx", &p, e)))
        return rc;
    p.scale = quant_floats(l, ".weight_scale", 2, (const int64_t[]){p.n, p.groups}, e);
    rc = p.scale ? widen(l, &p, e) : err_code(e);
    free(p.scale);
    return rc;
}

const struct quant_method quant_gptq = {"gptq", ".qweight", gptq_read};
const struct quant_method quant_awq = {"awq", ".qweight", awq_read};
