/* weights.c - see weights.h.  Names, layouts and what is joined are the architecture's data
 * (arch.h). A view's logical shape is [n, k] or [groups, n of a group, k] whatever the stored
 * layout. Tested in tests/engine/test_run.c. */
#include "model/weights.h"

#include "base/list.h"
#include "model/gguf_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tensor under any of its names, with and without the architecture's prefix; the first, as it
 * is usual, to `name`. */
static const struct st_tensor *tensor_find(const struct arch *arch, const struct arch_tensor *row,
                                           int32_t layer, int32_t expert,
                                           const struct checkpoint *st, char name[LIMIT_NAME])
{
    char pattern[LIMIT_NAME], usual[LIMIT_NAME], other[2 * LIMIT_NAME];
    const struct st_tensor *t = NULL;
    for (int i = 0; !t && arch_tensor_name(arch, row, i, pattern); i++) {
        arch_name_spell(pattern, layer, expert, usual);
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

/* Logical view of one part of a stored tensor, or of what such a one has of an expert: [n, k],
 * [groups, n of a group, k], or the same without k.  Groups of one element are no axis. */
static struct kn_view part_view(const struct config *cfg, const struct arch_tensor *row, int part,
                                int32_t expert, const struct st_tensor *t, enum kn_dtype type)
{
    enum weight_id w = row->part[part];
    int64_t groups = arch_groups(cfg, row), k = weight_k(cfg, w),
            group = arch_part_first(cfg, row, arch_parts(row));
    int64_t sn = row->turned ? 1 : k, sk = row->turned ? groups * group : 1;
    struct kn_view v = {.data = (void *)(uintptr_t)t->data,
                        .dtype = type,
                        .first = arch_part_first(cfg, row, part) * sn};
    if (row->merged)
        v.first += expert * groups * group * k;
    bool single = weight_n(cfg, w) == groups;
    if (groups > 1) {
        v.shape[v.ndim] = groups;
        v.stride[v.ndim++] = group * sn;
    }
    if (groups == 1 || !single) {
        v.shape[v.ndim] = weight_n(cfg, w) / groups;
        v.stride[v.ndim++] = sn;
    }
    if (weight_table[w].k != DIM_NONE) {
        v.shape[v.ndim] = k;
        v.stride[v.ndim++] = sk;
    }
    return v;
}

enum { SHAPE_MAX = 4 };

/* Does the row's name have a number of its own for each? */
static bool is_numbered(const struct arch_tensor *row)
{
    const char *layer = strstr(row->name, "%d");
    return row->each != DIM_NONE && layer && strstr(layer + 1, "%d");
}

/* A tensor for each, in rows of one pattern or of names of their own? */
static bool is_apart(const struct arch_tensor *row)
{
    return is_numbered(row) || (row->each != DIM_NONE && row->form == TENSOR_ROWS);
}

/* The shape that a tensor must have; returns its rank. */
static int shape_of(const struct config *cfg, const struct arch_tensor *row,
                    int64_t shape[SHAPE_MAX])
{
    int rank = 0;
    if (row->form == TENSOR_ROWS)
        shape[rank++] = 1;
    if (row->form == TENSOR_PATCHES) {
        shape[0] = weight_n(cfg, row->part[0]), shape[1] = cfg->n_channels;
        shape[2] = shape[3] = cfg->patch_size;
        return SHAPE_MAX;
    }
    if (row->merged)
        shape[rank++] = cfg->n_experts;
    int64_t n = arch_groups(cfg, row) * arch_part_first(cfg, row, arch_parts(row));
    if (row->each) {
        int64_t count = site_dim_size(cfg, row->each, 0);
        if (!is_apart(row))
            shape[rank++] = count;
        n /= count;
    }
    shape[rank + row->turned] = n;
    shape[rank + !row->turned] = weight_k(cfg, row->part[0]);
    return rank + (weight_table[row->part[0]].k == DIM_NONE ? 1 : 2);
}

/* ---- tensors that hold a weight otherwise than Hugging Face's ---- */

/* Take over malloc'ed memory, also on failure. */
static int keep(struct weights *out, void *mem, size_t bytes, struct err *e)
{
    if (!mem || !list_room(&out->owned, (size_t)out->n_owned, sizeof *out->owned)) {
        free(mem);
        return err_memory(e, "a copy of %zu bytes of a weight", bytes);
    }
    out->owned[out->n_owned++] = mem;
    out->copied += bytes;
    return 0;
}

/* Rows that lie [head, d_head/2, 2] as [head, 2, d_head/2]. */
static int order_halves(struct weights *out, int64_t heads, struct st_tensor *t, enum kn_dtype type,
                        struct err *e)
{
    int64_t half = t->shape[0] / heads / 2, k = t->rank == 2 ? t->shape[1] : 1;
    struct kn_view v = {.data = (void *)(uintptr_t)t->data,
                        .dtype = type,
                        .ndim = 2 + t->rank,
                        .shape = {heads, 2, half, k},
                        .stride = {2 * half * k, k, 2 * k, 1}};
    void *mem = malloc(t->nbytes);
    if (mem)
        kn_pack(&v, mem);
    t->data = mem;
    return keep(out, mem, t->nbytes, e);
}

/* A copy of what has no two elements side by side: every second one is another weight's. */
static int gather(struct weights *out, struct kn_view *v, struct err *e)
{
    bool matrix = v->ndim == 2;
    struct kn_view from = matrix ? kn_swap(*v, 0, 1) : *v;
    size_t bytes = kn_row_bytes(v->dtype, v->shape[0] * (matrix ? v->shape[1] : 1));
    void *mem = malloc(bytes);
    if (mem)
        kn_pack(&from, mem);
    *v = matrix ? kn_swap(kn_view2(mem, v->dtype, v->shape[1], v->shape[0]), 0, 1)
                : kn_view1(mem, v->dtype, v->shape[0]);
    return keep(out, mem, bytes, e);
}

static bool is_spread(const struct kn_view *v)
{
    for (int i = 0; i < v->ndim; i++)
        if (v->stride[i] == 1 || v->shape[i] == 1)
            return false;
    return true;
}

static int subtract_one(struct weights *out, struct st_tensor *t, struct err *e)
{
    int64_t n = t->shape[0];
    size_t bytes = (size_t)n * sizeof(float);
    float *mem = malloc(bytes);
    if (mem)
        st_decode(t, 0, n, mem);
    for (int64_t i = 0; mem && i < n; i++)
        mem[i] -= 1;
    t->data = mem;
    t->dtype = ST_F32;
    t->nbytes = bytes;
    return keep(out, mem, bytes, e);
}

/* Make a copy of what the format rewrites. */
static int restore(struct weights *out, const struct config *cfg, const struct gguf_arch *a,
                   const struct arch_tensor *row, struct st_tensor *t, enum kn_dtype *type,
                   struct err *e)
{
    enum weight_id w = row->part[0];
    bool q = w == W_Q || w == B_Q, k = w == W_K || w == B_K;
    if (a->neighbours && (q || k) && arch_parts(row) == 1)
        return order_halves(out, q ? cfg->n_heads : cfg->n_kv_heads, t, *type, e);
    if (!a->norm_plus_one || weight_form(cfg, w).offset == 0)
        return 0;
    *type = KN_F32;
    return subtract_one(out, t, e);
}

/* ---- binding ---- */

/* What is bound, from where. */
struct binding {
    struct weights *out;
    const struct config *cfg;
    const struct checkpoint *st;
    const struct gguf_arch *gguf; /* NULL: the tensors are as Hugging Face has them */
};

static int missing(const struct binding *b, const char *name, struct err *e)
{
    const char *near = checkpoint_nearest(b->st, name);
    const struct st_tensor *any = checkpoint_count(b->st) ? checkpoint_at(b->st, 0) : NULL;
    return err_set(e, ERR_BAD_INPUT, "%s · tensor %s is missing · nearest there: %s",
                   any       ? any->file
                   : b->gguf ? gguf_file(checkpoint_gguf(b->st))
                             : "checkpoint",
                   name, near ? near : "none");
}

/* A tensor of a layer (number: -1, an expert, or one of row->each), of the shape that the row says
 * and a type that the kernels read; *row is then as the tensor lies. */
static int tensor_take(const struct binding *b, struct arch_tensor *row, int32_t layer,
                       int32_t number, struct st_tensor *out, enum kn_dtype *type, struct err *e)
{
    char name[LIMIT_NAME];
    const struct config *cfg = b->cfg;
    const struct st_tensor *t = tensor_find(cfg->arch, row, layer, number, b->st, name);
    if (!t)
        return missing(b, name, e);
    row->turned &= !t->linear; /* quantized: [.., n, k] always */
    int64_t want[SHAPE_MAX];
    int rank = shape_of(cfg, row, want);
    if (t->rank != rank || memcmp(t->shape, want, (size_t)rank * sizeof *want)) {
        char h[64], s[128];
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected shape %s (from %s), found %s",
                       t->file, t->name, st_shape_text(h, sizeof h, want, rank),
                       b->gguf ? "its keys" : "config.json",
                       st_shape_text(s, sizeof s, t->shape, t->rank));
    }
    if (!st_kernel_type(t->dtype, type) || (kn_dtype_block(*type) > 1 && (rank < 2 || row->turned)))
        return err_set(e, ERR_BAD_INPUT, "%s · tensor %s · expected F32, F16 or BF16, found %s",
                       t->file, t->name, st_dtype_name(t->dtype));
    *out = *t;
    return 0;
}

/* All weights that one tensor holds of a layer, or of one expert of it. */
static int tensor_bind(const struct binding *b, const struct arch_tensor *row, int32_t layer,
                       int32_t expert, struct err *e)
{
    const struct config *cfg = b->cfg;
    struct arch_tensor lies = *row;
    struct st_tensor t;
    enum kn_dtype type;
    int rc = tensor_take(b, &lies, layer, expert, &t, &type, e);
    if (!rc && b->gguf && !b->out->look)
        rc = restore(b->out, cfg, b->gguf, &lies, &t, &type, e);
    int32_t at = weight_row(cfg, layer, expert);
    for (int i = 0; i < arch_parts(row) && !rc; i++) {
        struct kn_view *v = &b->out->view[weight_place(cfg, at, row->part[i])];
        *v = part_view(cfg, &lies, i, expert, &t, type);
        if (is_spread(v) && !b->out->look)
            rc = gather(b->out, v, e);
    }
    return rc;
}

/* A weight in as many tensors as row->each says: a copy of all, one after the other. */
static int pieces_bind(const struct binding *b, const struct arch_tensor *row, int32_t layer,
                       struct err *e)
{
    enum weight_id w = row->part[0];
    struct kn_view *v = &b->out->view[weight_place(b->cfg, layer, w)];
    int32_t count = (int32_t)site_dim_size(b->cfg, row->each, 0), first = row->number,
            end = is_numbered(row) ? count : first + 1;
    int64_t n = weight_n(b->cfg, w), k = weight_k(b->cfg, w), piece = n * k / count;
    bool matrix = weight_table[w].k != DIM_NONE;
    if (!v->ndim) {
        size_t bytes = (size_t)(n * k) * sizeof(float);
        float *mem = b->out->look ? NULL : malloc(bytes);
        int rc = b->out->look ? 0 : keep(b->out, mem, bytes, e);
        if (rc)
            return rc;
        *v = matrix ? kn_view2(mem, KN_F32, n, k) : kn_view1(mem, KN_F32, n);
    }
    for (int32_t i = first; i < end; i++) {
        struct arch_tensor lies = *row;
        struct st_tensor t;
        enum kn_dtype type;
        int rc = tensor_take(b, &lies, layer, i, &t, &type, e);
        if (rc)
            return rc;
        if (v->data)
            st_decode(&t, 0, piece, (float *)v->data + i * piece);
    }
    return 0;
}

static bool holds(const struct arch_tensor *row, enum weight_id w)
{
    for (int i = 0; i < arch_parts(row); i++)
        if (row->part[i] == w)
            return true;
    return false;
}

/* The row of a GGUF file's tensors that holds a weight: the first whose tensor is there with its
 * shape (ffn_up is one weight or two); for a message else one whose tensor is there, or any. */
static const struct arch_tensor *gguf_row(const struct binding *b, enum weight_id w, int32_t layer)
{
    const struct arch_tensor *first = NULL, *there = NULL;
    char name[LIMIT_NAME];
    int64_t want[SHAPE_MAX];
    for (const struct arch_tensor *row = gguf_tensors; row->name; row++) {
        if (!holds(row, w) || !config_has(b->cfg, row->when))
            continue;
        const struct st_tensor *t = tensor_find(b->cfg->arch, row, layer, 0, b->st, name);
        if (t && t->rank == shape_of(b->cfg, row, want) && t->shape[0] == want[0])
            return row;
        first = first ? first : row;
        there = there || !t ? there : row;
    }
    return there ? there : first;
}

/* What a row holds of each expert of a layer, unless another row has it already or will: a file has
 * one tensor for all of them, or one for each. */
static int experts_bind(const struct binding *b, const struct arch_tensor *row, int32_t layer,
                        struct err *e)
{
    const struct config *cfg = b->cfg;
    char name[LIMIT_NAME];
    int rc = 0;
    const struct arch_tensor *other = row + 1;
    while (other->name && !holds(other, row->part[0]))
        other++;
    if (b->out->view[weight_place(cfg, weight_row(cfg, layer, 0), row->part[0])].ndim ||
        (other->name && !tensor_find(cfg->arch, row, layer, 0, b->st, name)))
        return 0;
    for (int32_t i = 0; !rc && i < cfg->n_experts; i++)
        rc = tensor_bind(b, row, layer, i, e);
    return rc;
}

/* What a row of the architecture's own table holds, wherever this file has it. */
static int row_bind(const struct binding *b, const struct arch_tensor *row, int32_t layer,
                    struct err *e)
{
    bool expert = weight_is_expert(row->part[0]);
    if (!b->gguf && is_apart(row))
        return pieces_bind(b, row, layer, e);
    if (!b->gguf)
        return expert ? experts_bind(b, row, layer, e) : tensor_bind(b, row, layer, -1, e);
    int rc = 0;
    for (int i = 0; i < arch_parts(row) && !rc; i++) {
        const struct arch_tensor *there = gguf_row(b, row->part[i], layer);
        if (!there)
            rc = missing(b, row->name, e);
        else if (expert)
            rc = experts_bind(b, there, layer, e);
        else if (!b->out->view[(size_t)layer * WEIGHT_COUNT + row->part[i]].ndim)
            rc = tensor_bind(b, there, layer, -1, e);
    }
    return rc;
}

/* Norms without weights multiply by ones, which all of them share. */
static int ones_bind(struct weights *out, const struct config *cfg, struct err *e)
{
    size_t bytes = (size_t)cfg->d_model * sizeof(float);
    float *ones = malloc(bytes);
    for (int32_t i = 0; ones && i < cfg->d_model; i++)
        ones[i] = 1;
    struct kn_view v = kn_view1(ones, KN_F32, cfg->d_model);
    int rc = keep(out, ones, bytes, e);
    for (int32_t l = 0; !rc && l < cfg->n_layers; l++)
        out->view[(size_t)l * WEIGHT_COUNT + W_LN1] = out->view[(size_t)l * WEIGHT_COUNT +
                                                                W_LN2] = v;
    if (!rc)
        out->view[(size_t)cfg->n_layers * WEIGHT_COUNT + W_LNF] = v;
    return rc;
}

int weights_bind(struct weights *out, const struct config *cfg, const struct checkpoint *st,
                 struct err *e)
{
    struct binding b = {.out = out, .cfg = cfg, .st = st};
    if (checkpoint_gguf(st) && !(b.gguf = gguf_arch_of(checkpoint_gguf(st), e)))
        return err_code(e);
    for (const struct arch_tensor *row = cfg->arch->tensors; row->name; row++) {
        bool root = weight_is_root(row->part[0]);
        for (int32_t l = root ? cfg->n_layers : 0; l < cfg->n_layers + root; l++) {
            int rc = config_layer_has(cfg, row->when, root ? -1 : l) ? row_bind(&b, row, l, e) : 0;
            if (rc)
                return rc;
        }
    }
    for (int32_t l = 0; cfg->norm_shared && l < cfg->n_layers; l++) {
        struct kn_view *layer = &out->view[(size_t)l * WEIGHT_COUNT];
        layer[W_LN2] = layer[W_LN1], layer[B_LN2] = layer[B_LN1];
    }
    struct kn_view *root = out->view + (size_t)cfg->n_layers * WEIGHT_COUNT;
    if (cfg->tied)
        root[W_U] = root[W_E];
    return cfg->norm_bare ? ones_bind(out, cfg, e) : 0;
}

bool weights_merged(const struct config *cfg, const struct checkpoint *st)
{
    char name[LIMIT_NAME];
    int32_t layer = 0;
    bool each = false;
    while (layer < cfg->n_layers && !layer_in(&cfg->moe, layer))
        layer++;
    for (const struct arch_tensor *row = cfg->arch->tensors; row->name; row++) {
        each |= weight_is_expert(row->part[0]) && !row->merged;
        if (st && row->merged && tensor_find(cfg->arch, row, layer, 0, st, name))
            return true;
    }
    return !each;
}
