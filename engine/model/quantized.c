/* quantized.c - see quantized.h: finding the layers of a checkpoint, and its tensors afterwards. */
#include "model/quantized_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"

static const struct quant_method *const methods[] = {
    &quant_bitsandbytes, &quant_gptq,       &quant_awq,   &quant_hqq,
    &quant_fp8,          &quant_compressed, &quant_mxfp4,
};
enum { METHOD_COUNT = sizeof methods / sizeof *methods };

/* ---- the parts of a layer ---- */

const struct st_tensor *quant_part(struct quant_layer *l, const char *ending)
{
    char name[sizeof l->name + 64];
    snprintf(name, sizeof name, "%s%s", l->name, ending);
    const struct st_tensor *t = checkpoint_find(l->st, name);
    if (t)
        l->used[t - l->st->tensor] = true;
    return t;
}

int quant_need(struct quant_layer *l, const char *ending, const struct st_tensor **out,
               struct err *e)
{
    *out = quant_part(l, ending);
    return *out ? 0
                : err_set(e, ERR_BAD_INPUT, "%s · tensor %s%s is missing · %s belongs to it",
                          l->mark->file, l->name, ending, l->mark->name);
}

int quant_expect(const struct st_tensor *t, enum st_dtype dtype, int rank, const int64_t *shape,
                 struct err *e)
{
    bool same = t->dtype == dtype && t->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = shape[i] < 0 ? t->shape[i] > 0 : t->shape[i] == shape[i];
    if (same)
        return 0;
    char want[96], have[160];
    return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected %s %s (-1: any), found %s %s",
                   t->file, t->name, st_dtype_name(dtype),
                   st_shape_text(want, sizeof want, shape, rank), st_dtype_name(t->dtype),
                   st_shape_text(have, sizeof have, t->shape, t->rank));
}

float *quant_floats(struct quant_layer *l, const char *ending, int rank, const int64_t *shape,
                    struct err *e)
{
    const struct st_tensor *t;
    if (quant_need(l, ending, &t, e))
        return NULL;
    bool floats = t->dtype == ST_F16 || t->dtype == ST_BF16;
    if (quant_expect(t, floats ? t->dtype : ST_F32, rank, shape, e))
        return NULL;
    float *x = malloc(((size_t)st_count(t) + 1) * sizeof *x);
    if (!x)
        err_memory(e, "%s", t->name);
    else
        st_decode(t, 0, st_count(t), x);
    return x;
}

int quant_number(struct quant_layer *l, const char *ending, int64_t min, int64_t max, int64_t *out,
                 struct err *e)
{
    const struct st_tensor *t;
    int32_t x = 0;
    int rc = quant_need(l, ending, &t, e);
    if (rc)
        return rc;
    if (t->nbytes == sizeof x && t->dtype == ST_I32)
        memcpy(&x, t->data, sizeof x);
    else if (t->nbytes == 1 && t->dtype == ST_U8)
        x = *(const uint8_t *)t->data;
    else
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected one I32 or U8, found %s",
                       t->file, t->name, st_dtype_name(t->dtype));
    if (x < min || x > max)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor %s · expected %" PRId64 " to %" PRId64 ", found %" PRId32,
                       t->file, t->name, min, max, x);
    *out = x;
    return 0;
}

void *quant_make(struct quant_layer *l, const char *ending, enum st_dtype dtype, int rank,
                 const int64_t *shape, struct err *e)
{
    struct st_tensor t = {.dtype = dtype, .rank = rank, .file = l->mark->file, .linear = true};
    size_t elements = 1;
    bool fits = true;
    for (int i = 0; i < rank; i++) {
        t.shape[i] = shape[i];
        fits = fits && !__builtin_mul_overflow(elements, (size_t)shape[i], &elements);
    }
    fits = fits && !__builtin_mul_overflow(elements / (size_t)st_dtype_block(dtype),
                                           st_dtype_size(dtype), &t.nbytes);
    size_t len = strlen(l->name) + strlen(ending) + 1;
    char *name = malloc(len);
    void *data = fits && !l->look ? malloc(t.nbytes + 1) : NULL;
    if (!name || !fits || (!data && !l->look)) {
        err_memory(e, "%s%s, %zu weights as %s", l->name, ending, elements, st_dtype_name(dtype));
        free(name), free(data);
        return NULL;
    }
    snprintf(name, len, "%s%s", l->name, ending);
    t.name = name, t.data = data;
    *l->made = t;
    *(dtype == ST_F32 ? &l->out->widened : &l->out->laid_out) += t.nbytes;
    return data;
}

int quant_done(const struct quant_layer *l, const void *to, const struct err *e)
{
    return to || (l->look && l->made->name) ? 0 : err_code(e);
}

/* ---- the checkpoint ---- */

/* The length of a tensor's name before one of the endings; 0: it has none of them. */
static size_t before_mark(const char *name, const char *marks)
{
    size_t len = strlen(name);
    for (const char *m = marks; *m; m += strcspn(m, "|"), m += *m == '|') {
        size_t n = strcspn(m, "|");
        if (len > n && memcmp(name + len - n, m, n) == 0)
            return len - n;
    }
    return 0;
}

/* The tensors that are left and those that were made, indexed by name. */
static int replace(struct checkpoint *st, const bool *used, const struct st_tensor *made,
                   size_t n_made, struct err *e)
{
    struct st_tensor *all = malloc((st->n_tensors + n_made + 1) * sizeof *all);
    struct strmap by_name = {0};
    size_t n = 0;
    if (!all || strmap_init(&by_name, st->n_tensors + n_made)) {
        free(all);
        return err_memory(e, "%zu tensors", st->n_tensors);
    }
    for (size_t i = 0; i < st->n_tensors; i++)
        if (!used[i])
            all[n++] = st->tensor[i];
    if (n_made)
        memcpy(all + n, made, n_made * sizeof *made);
    n += n_made;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (strmap_put(&by_name, all[i].name, strlen(all[i].name), (uint32_t)i) != i)
            rc = err_set(e, ERR_BAD_INPUT, "%s · tensor %s · is there, and quantized as well",
                         all[i].file, all[i].name);
    strmap_free(&st->by_name);
    free(st->tensor);
    st->tensor = all, st->n_tensors = n, st->by_name = by_name;
    return rc;
}

static int read_layers(struct checkpoint *st, const struct quant_method *m, struct quant_layer *l,
                       struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < st->n_tensors && !rc; i++) {
        const struct st_tensor *t = &st->tensor[i];
        size_t len = before_mark(t->name, m->marks);
        if (!len)
            continue;
        if (len >= sizeof l->name) {
            rc = err_set(e, ERR_BAD_INPUT, "%s · tensor \"%.80s…\" · so long a name", t->file,
                         t->name);
            break;
        }
        snprintf(l->name, sizeof l->name, "%.*s", (int)len, t->name);
        l->mark = t;
        l->used[i] = true;
        l->made = &st->made[st->n_made];
        *l->made = (struct st_tensor){0};
        rc = m->read(l, e);
        st->n_made += l->made->name != NULL;
    }
    return rc;
}

int quantized_load(struct checkpoint *st, struct js_node config, bool look, struct quantized *out,
                   struct err *e)
{
    struct js_node q = js_get(config, "quantization_config");
    struct js_node name = js_get(q, "quant_method");
    const char *method = "";
    *out = (struct quantized){0};
    if (!js_is_set(q))
        return 0;
    const struct quant_method *m = NULL;
    int rc = js_string(name, &method, NULL, e);
    for (int i = 0; i < METHOD_COUNT && !rc; i++)
        if (strcmp(methods[i]->name, method) == 0)
            m = methods[i];
    if (!rc && !m)
        rc = js_expected(name, "bitsandbytes, gptq, awq, hqq, fp8, compressed-tensors or mxfp4", e);
    if (rc)
        return rc;
    out->method = m->name;
    struct quant_layer l = {.st = st, .config = q, .look = look, .out = out};
    l.used = calloc(st->n_tensors + 1, sizeof *l.used);
    st->made = calloc(st->n_tensors + 1, sizeof *st->made);
    if (!l.used || !st->made)
        rc = err_memory(e, "%zu tensors", st->n_tensors);
    else
        rc = read_layers(st, m, &l, e);
    if (!rc)
        rc = replace(st, l.used, st->made, st->n_made, e);
    free(l.used);
    return rc;
}
