/* quantized_gptq.c - GPTQ and AWQ: integers packed into words, groups of k with a scale and a zero.
 *
 * GPTQ: qweight I32 [k * bits/32, n], the lowest bits first along k; qzeros I32 [groups, n *
 * bits/32]; scales [groups, n]; g_idx I32 [k], the group of each (absent: in order); w = (q - zero)
 * * scale, where the stored zero is one less unless checkpoint_format is gptq_v2.  AWQ: qweight I32
 * [k, n/8], eight columns of a word in the order 0 2 4 6 1 3 5 7; qzeros [groups, n/8]; w = (q -
 * zero) * scale. https://github.com/AutoGPTQ/AutoGPTQ, https://github.com/casper-hansen/AutoAWQ. */
#include "model/quantized_parts.h"

#include <stdlib.h>
#include <string.h>

struct packed {
    int64_t n, k, groups, size; /* size: of a group, where they are in order */
    int bits;
    const uint32_t *q, *zeros;
    const int32_t *group; /* of each k; NULL: in order */
    float *scale;
    bool awq, less_one; /* less_one: stored zeros are one less */
};

/* The number at place i of a row of words. */
static unsigned number_at(const uint32_t *row, int64_t i, int bits)
{
    int per = 32 / bits;
    return row[i / per] >> i % per * bits & ((1u << bits) - 1);
}

/* Where AWQ packs column n. */
static int64_t awq_place(int64_t n)
{
    return n / 8 * 8 + (n % 2 * 4 + n % 8 / 2);
}

static int widen(struct quant_layer *l, const struct packed *p, struct err *e)
{
    const int64_t shape[] = {p->n, p->k}, per = 32 / p->bits, words = p->n / per;
    float *to = quant_make(l, ".weight", ST_F32, 2, shape, e);
    for (int64_t n = 0; to && n < p->n; n++) {
        int64_t at = p->awq ? awq_place(n) : n;
        for (int64_t k = 0; k < p->k; k++) {
            int64_t g = p->group ? p->group[k] : k / p->size;
            unsigned q = p->awq ? number_at(p->q + k * words, at, p->bits)
                                : p->q[k / per * p->n + n] >> k % per * p->bits &
                                      ((1u << p->bits) - 1),
                     zero = number_at(p->zeros + g * words, at, p->bits) + p->less_one;
            zero &= (1u << p->bits) - 1;
            to[n * p->k + k] = (float)((int)q - (int)zero) * p->scale[g * p->n + n];
        }
    }
    return quant_done(l, to, e);
}

static int groups_read(struct quant_layer *l, struct packed *p, struct err *e)
{
    const struct st_tensor *z, *idx;
    p->size = p->size < 1 ? p->k : p->size; /* -1: all of a column */
    p->groups = (p->k + p->size - 1) / p->size;
    if (p->n % (32 / p->bits) != 0)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor %s · expected outputs in words of %d, found %lld",
                       l->mark->file, l->mark->name, 32 / p->bits, (long long)p->n);
    int rc = quant_need(l, ".qzeros", &z, e);
    if (rc ||
        (rc = quant_expect(z, ST_I32, 2, (const int64_t[]){p->groups, p->n * p->bits / 32}, e)))
        return rc;
    p->zeros = z->data;
    if ((idx = quant_part(l, ".g_idx"))) {
        if ((rc = quant_expect(idx, ST_I32, 1, &p->k, e)))
            return rc;
        p->group = idx->data;
    }
    for (int64_t k = 0; p->group && k < p->k; k++)
        if (p->group[k] < 0 || p->group[k] >= p->groups)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · tensor %s · element %lld · expected a group below %lld, found %d",
                           idx->file, idx->name, (long long)k, (long long)p->groups,
                           (int)p->group[k]);
    p->scale = quant_floats(l, ".scales", 2, (const int64_t[]){p->groups, p->n}, e);
    return p->scale ? 0 : err_code(e);
}

static int packed_read(struct quant_layer *l, struct packed *p, struct err *e)
{
    int64_t bits = 4;
    struct js_node node = js_get(l->config, "bits");
    int rc = js_is_set(node) ? js_int(node, 2, 8, &bits, e) : 0;
    if (!rc && (bits == 3 || bits > 4) && bits != 8)
        rc = js_expected(node, "2, 4 or 8 bits", e);
    if (!rc && p->awq && bits != 4)
        rc = js_expected(node, "4 bits", e);
    if (!rc)
        rc = js_int_or(js_get(l->config, "group_size"), -1, 1 << 30, 128, &p->size, e);
    if (!rc)
        rc = quant_expect(l->mark, ST_I32, 2, (const int64_t[]){-1, -1}, e);
    if (rc)
        return rc;
    p->bits = (int)bits;
    p->q = l->mark->data;
    p->k = l->mark->shape[0] * (p->awq ? 1 : 32 / bits);
    p->n = l->mark->shape[1] * (p->awq ? 32 / bits : 1);
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
    return rc ? rc : packed_read(l, &(struct packed){.awq = true}, e);
}

const struct quant_method quant_gptq = {"gptq", ".qweight", gptq_read};
const struct quant_method quant_awq = {"awq", ".qweight", awq_read};
