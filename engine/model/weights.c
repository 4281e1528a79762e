/* weights.c - see weights.h.  Names, layouts and what is joined are the architecture's data
 * (arch.h). A view's logical shape is [n, k] or [groups, n of a group, k] whatever the stored
 * layout. Tested in tests/engine/test_run.c. */
#include "model/weights.h"

#include "model/arch.h"

#include <stdio.h>
#include <string.h>

/* The tensor under any of its names, with and without the architecture's prefix; the first, as it
 * is usual, to `name`. */
static const struct st_tensor *tensor_find(const struct arch *arch, const struct arch_tensor *row,
                                           int32_t layer, const struct checkpoint *st,
                                           char name[LIMIT_NAME])
{
    char pattern[LIMIT_NAME], usual[LIMIT_NAME], other[2 * LIMIT_NAME];
    const struct st_tensor *t = NULL;
    for (int i = 0; !t && arch_tensor_name(arch, row, i, pattern); i++) {
        arch_name_spell(pattern, layer, usual);
        if (i == 0)
            snprintf(name, LIMIT_NAME, "%s", usual);
        if (row->bare)
            snprintf(other, sizeof other, "%s%s", arch->prefix, usual);
        else
            snprintf(other, sizeof other, "%s", usual + strlen(arch->prefix));
        t = checkpoint_find(st, usual);
        t = t ? t : checkpoint_find(st, other);
    }
    return t;
}

/* Logical view of one part of a stored tensor: [n, k], [groups, n of a group, k], or the same
 * without k. */
static struct kn_view part_view(const struct config *cfg, const struct arch_tensor *row, int part,
                                const struct st_tensor *t, enum kn_dtype type)
{
    enum weight_id w = row->part[part];
    int64_t groups = arch_groups(cfg, row), k = weight_k(cfg, w),
            group = arch_part_first(cfg, row, arch_parts(row));
    int64_t sn = row->turned ? 1 : k, sk = row->turned ? groups * group : 1;
    struct kn_view v = {.data = (void *)(uintptr_t)t->data,
                        .dtype = type,
                        .first = arch_part_first(cfg, row, part) * sn};
    if (groups > 1) {
        v.shape[v.ndim] = groups;
        v.stride[v.ndim++] = group * sn;
    }
    v.shape[v.ndim] = weight_n(cfg, w) / groups;
    v.stride[v.ndim++] = sn;
    if (t->rank == 2) {
        v.shape[v.ndim] = k;
        v.stride[v.ndim++] = sk;
    }
    return v;
}

/* The shape that a tensor must have; returns its rank. */
static int shape_of(const struct config *cfg, const struct arch_tensor *row, int64_t shape[2])
{
    shape[row->turned] = arch_groups(cfg, row) * arch_part_first(cfg, row, arch_parts(row));
    shape[!row->turned] = weight_k(cfg, row->part[0]);
    return weight_table[row->part[0]].k == DIM_NONE ? 1 : 2;
}

/* All weights that one tensor holds in a layer; out[w] for weight w. */
static int tensor_bind(struct kn_view *out, const struct config *cfg, const struct arch_tensor *row,
                       int32_t layer, const struct checkpoint *st, struct err *e)
{
    char name[LIMIT_NAME];
    const struct st_tensor *t = tensor_find(cfg->arch, row, layer, st, name);
    if (!t) {
        const char *near = checkpoint_nearest(st, name);
        const struct st_tensor *any = checkpoint_count(st) ? checkpoint_at(st, 0) : NULL;
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s is missing · nearest there: %s",
                       any ? any->file : "checkpoint", name, near ? near : "none");
    }
    int64_t want[2];
    int rank = shape_of(cfg, row, want);
    if (t->rank != rank || t->shape[0] != want[0] || (rank == 2 && t->shape[1] != want[1])) {
        char a[64], b[128];
        return err_set(e, ERR_BAD_INPUT,
                       "%s · tensor %s · expected shape %s (from config.json), found %s", t->file,
                       t->name, st_shape_text(a, sizeof a, want, rank),
                       st_shape_text(b, sizeof b, t->shape, t->rank));
    }
    enum kn_dtype type;
    if (!st_kernel_type(t->dtype, &type) ||
        (kn_dtype_block(type) > 1 && (rank != 2 || row->turned)))
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected F32, F16 or BF16, found %s",
                       t->file, t->name, st_dtype_name(t->dtype));
    for (int i = 0; i < arch_parts(row); i++)
        out[row->part[i]] = part_view(cfg, row, i, t, type);
    return 0;
}

int weights_bind(struct kn_view *weights, const struct config *cfg, const struct checkpoint *st,
                 const char **dtype, struct err *e)
{
    uint64_t per_type[KN_DTYPE_COUNT] = {0};
    for (const struct arch_tensor *row = cfg->arch->tensors; row->name; row++) {
        if (!config_has(cfg, row->when))
            continue;
        bool root = weight_is_root(row->part[0]);
        for (int32_t l = root ? cfg->n_layers : 0; l < cfg->n_layers + root; l++) {
            struct kn_view *layer = &weights[(size_t)l * WEIGHT_COUNT];
            int64_t shape[2];
            int rc = tensor_bind(layer, cfg, row, l, st, e);
            if (rc)
                return rc;
            shape_of(cfg, row, shape);
            per_type[layer[row->part[0]].dtype] += (uint64_t)(shape[0] * shape[1]);
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
