/* weights.c - see weights.h.  The names, layouts and fusings are the architecture's data (arch.h).
 * A view's logical shape is [n, k] or [heads, d_head, k] whatever the stored layout.
 * Tested in tests/engine/test_run.c. */
#include "model/weights.h"

#include "model/arch.h"

#include <stdio.h>
#include <string.h>

static int64_t dim_size(const struct config *cfg, enum site_dim d)
{
    switch (d) {
    case DIM_HEAD: return (int64_t)cfg->n_heads * cfg->d_head;
    case DIM_KV_HEAD: return (int64_t)cfg->n_kv_heads * cfg->d_head;
    case DIM_D_MODEL: return cfg->d_model;
    case DIM_D_MLP: return cfg->d_mlp;
    case DIM_D_VOCAB: return cfg->d_vocab;
    case DIM_POS: return cfg->n_ctx;
    default: return 1;
    }
}

static bool is_root(const struct arch_weight *w)
{
    return !strstr(w->name, "%d");
}

/* The tensor under any of its names, with and without the architecture's prefix; first full name to
 * `name`. */
static const struct st_tensor *tensor_find(const struct arch *arch, const struct arch_weight *w,
                                           int32_t layer, const struct safetensors *st, char *name,
                                           size_t size)
{
    bool first = true;
    for (const char *p = w->name; *p; p += strcspn(p, "|"), p += *p == '|') {
        char pattern[LIMIT_NAME], bare[LIMIT_NAME], full[2 * LIMIT_NAME];
        snprintf(pattern, sizeof pattern, "%.*s", (int)strcspn(p, "|"), p);
        const char *mark = strstr(pattern, "%d");
        if (mark)
            snprintf(bare, sizeof bare, "%.*s%d%s", (int)(mark - pattern), pattern, layer,
                     mark + 2);
        else
            snprintf(bare, sizeof bare, "%s", pattern);
        snprintf(full, sizeof full, "%s%s", arch->prefix, bare);
        if (first)
            snprintf(name, size, "%s", w->id == W_U ? bare : full);
        first = false;
        const struct st_tensor *t = safetensors_find(st, full);
        if (!t)
            t = safetensors_find(st, bare);
        if (t)
            return t;
    }
    return NULL;
}

static int dtype_of(const struct st_tensor *t, enum kn_dtype *out, struct err *e)
{
    switch (t->dtype) {
    case ST_F32: *out = KN_F32; return 0;
    case ST_F16: *out = KN_F16; return 0;
    case ST_BF16: *out = KN_BF16; return 0;
    default:
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected F32, F16 or BF16, found %s",
                       t->file, t->name, st_dtype_name(t->dtype));
    }
}

/* Logical view of one weight inside its stored tensor. */
static struct kn_view weight_view(const struct config *cfg, const struct arch_weight *w,
                                  const struct st_tensor *t, enum kn_dtype type)
{
    int64_t n = dim_size(cfg, w->n), k = dim_size(cfg, w->k), dh = cfg->d_head;
    int64_t stored_n = w->fuse == FUSE_NONE ? n : 3 * n;
    int64_t sn = w->layout == LAYOUT_KN ? 1 : k, sk = w->layout == LAYOUT_KN ? stored_n : 1;
    int64_t first = w->fuse == FUSE_THIRDS ? w->part * n : w->fuse == FUSE_HEADS ? w->part * dh : 0;
    struct kn_view v = {
        .data = (void *)((uintptr_t)t->data + (size_t)(first * sn) * kn_dtype_size(type)),
        .dtype = type};
    bool vector = w->layout == LAYOUT_VECTOR;
    if (w->fuse == FUSE_HEADS) {
        v.ndim = vector ? 2 : 3;
        v.shape[0] = cfg->n_heads, v.shape[1] = dh, v.shape[2] = k;
        v.stride[0] = 3 * dh * sn, v.stride[1] = sn, v.stride[2] = sk;
    } else {
        v.ndim = vector ? 1 : 2;
        v.shape[0] = n, v.shape[1] = k;
        v.stride[0] = vector ? 1 : sn, v.stride[1] = sk;
    }
    if (vector)
        v.stride[v.ndim - 1] = 1;
    if (vector && w->fuse == FUSE_HEADS)
        v.stride[0] = 3 * dh;
    return v;
}

static int weight_bind(struct kn_view *out, const struct config *cfg, const struct arch_weight *w,
                       int32_t layer, const struct safetensors *st, struct err *e)
{
    char name[2 * LIMIT_NAME];
    const struct st_tensor *t = tensor_find(cfg->arch, w, layer, st, name, sizeof name);
    if (!t) {
        const char *near = safetensors_nearest(st, name);
        const struct st_tensor *any = safetensors_count(st) ? safetensors_at(st, 0) : NULL;
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s is missing · nearest there: %s",
                       any ? any->file : "checkpoint", name, near ? near : "none");
    }
    int64_t n = dim_size(cfg, w->n) * (w->fuse == FUSE_NONE ? 1 : 3), k = dim_size(cfg, w->k);
    int64_t want[2] = {w->layout == LAYOUT_KN ? k : n, w->layout == LAYOUT_KN ? n : k};
    int rank = w->layout == LAYOUT_VECTOR ? 1 : 2;
    if (t->rank != rank || t->shape[0] != want[0] || (rank == 2 && t->shape[1] != want[1])) {
        char a[64], b[128];
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor %s · expected shape %s (from config.json), found %s", t->file,
                       t->name, st_shape_text(a, sizeof a, want, rank),
                       st_shape_text(b, sizeof b, t->shape, t->rank));
    }
    enum kn_dtype type = KN_F32;
    int rc = dtype_of(t, &type, e);
    if (!rc)
        *out = weight_view(cfg, w, t, type);
    return rc;
}

static bool weight_exists(const struct config *cfg, const struct arch_weight *w)
{
    switch (w->when) {
    case IF_ATTN_BIAS: return cfg->attn_bias;
    case IF_MLP_BIAS: return cfg->mlp_bias;
    case IF_UNTIED: return !cfg->tied;
    default: return true;
    }
}

int weights_bind(struct kn_view *weights, const struct config *cfg, const struct safetensors *st,
                 const char **dtype, struct err *e)
{
    size_t per_type[KN_DTYPE_COUNT] = {0};
    for (const struct arch_weight *w = cfg->arch->weights; w->id != W_NONE; w++) {
        if (!weight_exists(cfg, w))
            continue;
        int32_t lo = is_root(w) ? cfg->n_layers : 0,
                hi = is_root(w) ? cfg->n_layers + 1 : cfg->n_layers;
        for (int32_t l = lo; l < hi; l++) {
            struct kn_view *v = &weights[(size_t)l * WEIGHT_COUNT + w->id];
            int rc = weight_bind(v, cfg, w, l, st, e);
            if (rc)
                return rc;
            per_type[v->dtype] += (size_t)(dim_size(cfg, w->n) * dim_size(cfg, w->k));
        }
    }
    struct kn_view *root = weights + (size_t)cfg->n_layers * WEIGHT_COUNT;
    if (cfg->tied)
        root[W_U] = root[W_E];
    int best = 0;
    for (int t = 1; t < KN_DTYPE_COUNT; t++)
        best = per_type[t] > per_type[best] ? t : best;
    *dtype = kn_dtype_name((enum kn_dtype)best);
    return 0;
}
