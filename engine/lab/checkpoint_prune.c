/* checkpoint_prune.c - see checkpoint_prune.h.
 *
 * Where an element of a weight lies in the file is read off the view that the model computes with,
 * so that no layout is known here: joined, turned and grouped tensors are the same. */
#include "lab/checkpoint_prune.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/ends_with.h"
#include "base/file_read.h"
#include "base/file_write.h"
#include "lab/heads_left.h"
#include "model/arch.h"
#include "model/tensor_write.h"

enum { BESIDE_BYTES_MAX = 1 << 28 }; /* of a file that is copied */

enum fate { KEPT, ZEROED, CUT };

struct writing {
    const struct model *m;
    const struct pruned *p;
    bool shrink;
    struct heads_left heads;
    struct part {
        const struct st_tensor *t;
        uint8_t *fate; /* [elements] enum fate; NULL: all are kept */
        char *copy;    /* while it is written */
        struct tensor_out out;
    } * part;
    size_t n;
    struct err *e;
};

/* ---- which elements of which tensors ---- */

static struct part *part_of(struct writing *w, const void *data)
{
    for (size_t i = 0; i < w->n; i++) {
        const char *first = w->part[i].t->data;
        if ((const char *)data >= first && (const char *)data < first + w->part[i].t->nbytes)
            return &w->part[i];
    }
    return NULL;
}

/* Where element (n, k) of a weight lies in its tensor. */
static int64_t element(const struct kn_view *v, int64_t n, int64_t k, bool has_k)
{
    int64_t at = v->first + (has_k ? k * v->stride[v->ndim - 1] : 0);
    int axes = v->ndim - has_k;
    return axes == 1 ? at + n * v->stride[0]
                     : at + n / v->shape[1] * v->stride[0] + n % v->shape[1] * v->stride[1];
}

/* What becomes of elements of one weight: of unit i along n, or (reads) along k, where gone[i]. */
static int mark(struct writing *w, int32_t layer, enum weight_id id, const bool *gone,
                enum fate fate, bool must)
{
    const struct kn_view *v = model_weight(w->m, layer, id);
    const struct config *cfg = &w->m->cfg;
    bool has_k = weight_table[id].k != DIM_NONE, reads = id == W_OUT || id == W_O;
    if (!v->ndim)
        return 0;
    struct part *p = part_of(w, v->data);
    size_t size = p ? st_dtype_size(p->t->dtype) : 0;
    if (!p || st_dtype_block(p->t->dtype) > 1 || p->t->linear)
        return must ? err_set(w->e, ERR_BAD_INPUT,
                              "%s · %s is not in its file as it is used (GGUF, quantized or "
                              "processed weights) · --write takes safetensors of F32, F16 or BF16",
                              w->m->name, weight_table[id].name)
                    : 0;
    if (!p->fate && !(p->fate = calloc((size_t)st_count(p->t) + 1, sizeof *p->fate)))
        return err_memory(w->e, "%s", p->t->name);
    int64_t base = ((const char *)v->data - (const char *)p->t->data) / (int64_t)size,
            units = reads ? weight_k(cfg, id) : weight_n(cfg, id),
            others = !has_k  ? 1
                     : reads ? weight_n(cfg, id)
                             : weight_k(cfg, id);
    for (int64_t i = 0; i < units; i++)
        for (int64_t j = 0; gone[i] && j < others; j++) {
            uint8_t *at = &p->fate[base + element(v, reads ? j : i, reads ? i : j, has_k)];
            *at = *at > fate ? *at : (uint8_t)fate;
        }
    return 0;
}

static int mark_all(struct writing *w, int32_t l, const enum weight_id *ids, size_t n,
                    const bool *gone, enum fate fate, bool must)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = mark(w, l, ids[i], gone, fate, must);
    return rc;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* Whole heads: queries, the columns that read them, sinks; keys and values that nobody reads. */
static int cut_heads(struct writing *w, int32_t l)
{
    static const enum weight_id of_dims[] = {W_O, W_Q, B_Q}, of_kv[] = {W_K, B_K, W_V, B_V},
                                of_heads[] = {B_SINKS};
    const struct config *cfg = &w->m->cfg;
    int32_t n = cfg->n_heads, size = cfg->d_head;
    bool *dims = calloc((size_t)n * (size_t)size + 1, sizeof *dims),
         *kv = calloc((size_t)n * (size_t)size + 1, sizeof *kv),
         *heads = calloc((size_t)n + 1, sizeof *heads);
    int rc = dims && kv && heads ? 0 : err_memory(w->e, "heads");
    for (int32_t h = 0; h < n && !rc; h++) {
        heads[h] = head_is_gone(w->p, l, h);
        bool of_kv_gone = h < cfg->n_kv_heads && kv_head_is_gone(cfg, w->p, l, h);
        for (int32_t d = 0; d < size; d++)
            dims[h * size + d] = heads[h], kv[h * size + d] = of_kv_gone;
    }
    rc = rc ? rc : mark_all(w, l, of_dims, COUNT(of_dims), dims, CUT, true);
    rc = rc ? rc : mark_all(w, l, of_kv, COUNT(of_kv), kv, CUT, true);
    rc = rc ? rc : mark_all(w, l, of_heads, COUNT(of_heads), heads, CUT, true);
    free(dims), free(kv), free(heads);
    return rc;
}

static int mark_layer(struct writing *w, int32_t l)
{
    static const enum weight_id in[] = {W_IN, B_IN, W_GATE, B_GATE}, out[] = {W_OUT},
                                values[] = {W_V, B_V}, mix[] = {W_O};
    const struct pruned_part *q = &w->p->part[PRUNE_NEURONS], *z = &w->p->part[PRUNE_DIMS];
    enum fate fate = w->shrink ? CUT : ZEROED;
    int rc = 0;
    if (q->count && q->there[l]) {
        rc = mark_all(w, l, out, 1, q->gone + l * q->n, fate, true);
        rc = rc ? rc : mark_all(w, l, in, COUNT(in), q->gone + l * q->n, fate, w->shrink);
    }
    if (!rc && z->count)
        rc = mark_all(w, l, mix, 1, z->gone + l * z->n, ZEROED, true);
    if (!rc && z->count && w->m->cfg.n_kv_heads == w->m->cfg.n_heads)
        rc = mark_all(w, l, values, COUNT(values), z->gone + l * z->n, ZEROED, false);
    return rc || !w->heads.cut ? rc : cut_heads(w, l);
}

/* ---- tensors ---- */

/* The axis of [n] or [n, k] whose slices are gone as wholes: k where a row loses some. */
static int cut_axis(const struct part *p)
{
    int64_t inner = p->t->rank == 2 ? p->t->shape[1] : 1;
    for (int64_t i = 1; i < st_count(p->t); i++)
        if (i % inner && (p->fate[i] == CUT) != (p->fate[i - 1] == CUT))
            return 1;
    return 0;
}

static int part_read(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    struct part *p = ctx;
    size_t size = st_dtype_size(p->t->dtype), to = 0;
    int64_t count = st_count(p->t);
    if (!p->copy && !(p->copy = malloc(p->t->nbytes + 1)))
        return err_memory(e, "%s", p->t->name);
    if (!offset)
        for (int64_t i = 0; i < count; i++) {
            const char *from = (const char *)p->t->data + (size_t)i * size;
            if (p->fate[i] == CUT)
                continue;
            if (p->fate[i] == ZEROED)
                memset(p->copy + to, 0, size);
            else
                memcpy(p->copy + to, from, size);
            to += size;
        }
    memcpy(buf, p->copy + offset, n);
    size_t bytes = size;
    for (int i = 0; i < p->out.rank; i++)
        bytes *= (size_t)p->out.shape[i];
    if (offset + n >= bytes) {
        free(p->copy);
        p->copy = NULL;
    }
    return 0;
}

static void part_out(struct part *p, struct checkpoint_pruned *out)
{
    int64_t n[] = {[KEPT] = 0, [ZEROED] = 0, [CUT] = 0}, count = st_count(p->t);
    p->out = (struct tensor_out){
        .name = p->t->name, .dtype = p->t->dtype, .rank = p->t->rank, .data = p->t->data};
    memcpy(p->out.shape, p->t->shape, sizeof p->out.shape);
    for (int64_t i = 0; p->fate && i < count; i++)
        n[p->fate[i]]++;
    out->params += count, out->zeroed += n[ZEROED], out->cut += n[CUT];
    if (!n[ZEROED] && !n[CUT])
        return;
    p->out.data = NULL, p->out.read = part_read, p->out.ctx = p;
    if (n[CUT]) {
        int axis = cut_axis(p);
        p->out.shape[axis] -= n[CUT] / (count / p->t->shape[axis]);
    }
}

static int weights_write(struct writing *w, const char *folder, struct checkpoint_pruned *out)
{
    static const struct tensor_meta meta[] = {{"format", "pt"}};
    char path[PATH_MAX];
    struct tensor_out *t = calloc(w->n + 1, sizeof *t);
    if (!t)
        return err_memory(w->e, "%s", folder);
    *out = (struct checkpoint_pruned){0};
    for (size_t i = 0; i < w->n; i++) {
        part_out(&w->part[i], out);
        t[i] = w->part[i].out;
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    int rc = tensor_write(path, t, w->n, meta, 1, w->e);
    free(t);
    return rc;
}

/* ---- what lies beside ---- */

/* The key of config.json that is a field of struct config, as the file has it or as the family's
 * first name for it; false: the family has none. */
static bool config_key(const struct arch *a, json_t *in, size_t offset, char name[64])
{
    for (const struct arch_key *k = a->keys; k->names; k++) {
        if (k->offset != offset || k->type != KEY_INT)
            continue;
        for (const char *at = k->names; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
            snprintf(name, 64, "%.*s", (int)strcspn(at, "|"), at);
            if (json_object_get(in, name))
                return true;
        }
        snprintf(name, 64, "%.*s", (int)strcspn(k->names, "|"), k->names);
        return true;
    }
    return false;
}

#define NO_NUMBER                                                                                 \
    "%s · config.json of %s has no number of %s: it cannot shrink · leave out --shrink, which " \
    "zeroes them"

/* The numbers of what is left into config.json. */
static int config_numbers(const struct writing *w, json_t *root)
{
    const struct config *cfg = &w->m->cfg;
    const struct arch *a = cfg->arch;
    const struct pruned_part *q = &w->p->part[PRUNE_NEURONS];
    json_t *inner = a->within ? json_object_get(root, a->within) : NULL, *in = inner ? inner : root;
    const struct {
        size_t field;
        int64_t is;
        bool changes;
    } put[] = {
        {offsetof(struct config, d_mlp), q->n - pruned_in(q, 0), q->count > 0},
        {offsetof(struct config, n_heads), w->heads.n, w->heads.cut},
        {offsetof(struct config, n_kv_heads), w->heads.kv, w->heads.cut},
        {offsetof(struct config, d_head), cfg->d_head, w->heads.cut},
    };
    char name[64];
    for (size_t i = 0; i < COUNT(put); i++) {
        if (!put[i].changes)
            continue;
        if (!config_key(a, in, put[i].field, name))
            return err_set(w->e, ERR_BAD_INPUT, NO_NUMBER, w->m->name, a->model_type,
                           i ? "heads" : "neurons");
        if (json_object_set_new(in, name, json_integer(put[i].is)))
            return err_memory(w->e, "config.json");
    }
    return 0;
}

static int config_shrink(const struct writing *w, const char *bytes, size_t len, const char *to)
{
    char *text = NULL;
    json_t *root = json_loadb(bytes, len, 0, NULL);
    int rc = root ? config_numbers(w, root) : err_memory(w->e, "config.json");
    if (!rc && !(text = json_dumps(root, JSON_INDENT(2))))
        rc = err_memory(w->e, "config.json");
    if (!rc)
        rc = file_write_all(to, text, strlen(text), w->e);
    free(text);
    json_decref(root);
    return rc;
}

/* Tokenizers and their like: what is small and no weights'. */
static bool is_beside(const char *name)
{
    static const char *const endings[] = {".json", ".txt", ".model", ".jinja", ".tiktoken"};
    bool is = false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        is |= ends_with(name, endings[i]);
    return is && name[0] != '.' && !ends_with(name, ".index.json");
}

static int beside_copy(const struct writing *w, const char *name, const char *folder)
{
    char from[PATH_MAX], to[PATH_MAX], *bytes = NULL;
    size_t len;
    struct stat st;
    snprintf(from, sizeof from, "%s/%s", w->m->folder, name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    if (stat(from, &st) || !S_ISREG(st.st_mode))
        return 0;
    int rc = file_read_all(from, BESIDE_BYTES_MAX, &bytes, &len, w->e);
    if (!rc)
        rc = w->shrink && !strcmp(name, "config.json") ? config_shrink(w, bytes, len, to)
                                                       : file_write_all(to, bytes, len, w->e);
    free(bytes);
    return rc;
}

static int beside(const struct writing *w, const char *folder)
{
    DIR *d = opendir(w->m->folder);
    int rc = d ? 0 : err_set(w->e, ERR_SYSTEM, "%s · %s", w->m->folder, strerror(errno));
    for (const struct dirent *f; !rc && (f = readdir(d));)
        if (is_beside(f->d_name))
            rc = beside_copy(w, f->d_name, folder);
    if (d)
        closedir(d);
    return rc;
}

/* ---- all of it ---- */

int checkpoint_prune_check(const char *folder, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    return stat(path, &st)
               ? 0
               : err_set(e, ERR_BAD_INPUT, "%s · it is there already · another folder", path);
}

int checkpoint_shrink_check(const struct model *m, bool neurons, bool heads, bool per_layer,
                            struct err *e)
{
    const struct config *cfg = &m->cfg;
    char why[240] = "", key[64];
    bool can = heads && heads_can_go(cfg, why);
    if (!neurons && !can)
        return err_set(e, ERR_BAD_INPUT,
                       "--shrink · it cuts out neurons and whole heads%s%s · leave it out, heads "
                       "and dims are zeroed",
                       heads ? " · heads: " : ", and neither is to go", why);
    if (neurons && !config_key(cfg->arch, NULL, offsetof(struct config, d_mlp), key))
        return err_set(e, ERR_BAD_INPUT, NO_NUMBER, m->name, cfg->arch->model_type, "neurons");
    return per_layer || cfg->n_layers == 1
               ? 0
               : err_set(e, ERR_BAD_INPUT,
                         "--shrink · config.json has one number for all layers · --per-layer "
                         "takes as many of each");
}

static int check(const struct writing *w, const char *folder)
{
    const struct pruned_part *q = &w->p->part[PRUNE_NEURONS];
    bool shrink = w->shrink;
    if (w->m->process)
        return err_set(w->e, ERR_BAD_INPUT,
                       "--write · the file has the raw weights · leave out --process");
    for (int32_t l = 1; shrink && q->count && l < w->p->n_layers; l++)
        if (pruned_in(q, l) != pruned_in(q, 0) || !q->there[l])
            return err_set(w->e, ERR_BAD_INPUT,
                           "--shrink · layer 0 loses %lld neurons, layer %d %lld, and config.json "
                           "has one number for all · --per-layer takes as many of each",
                           (long long)pruned_in(q, 0), (int)l, (long long)pruned_in(q, l));
    if (shrink && !q->count && !w->heads.cut)
        return err_set(
            w->e, ERR_BAD_INPUT,
            "--shrink · it cuts out neurons and whole heads%s%s · leave it out, heads and "
            "dims are zeroed",
            w->heads.why[0] ? " · heads: " : ", and none is gone", w->heads.why);
    if (shrink && q->count && pruned_in(q, 0) == q->n)
        return err_set(w->e, ERR_BAD_INPUT, "--shrink · no neuron is left");
    if (checkpoint_prune_check(folder, w->e))
        return err_code(w->e);
    if (mkdir(folder, 0777) && errno != EEXIST)
        return err_set(w->e, ERR_SYSTEM, "%s · %s", folder, strerror(errno));
    return 0;
}

int checkpoint_prune(const struct model *m, const struct pruned *p, bool shrink, const char *folder,
                     struct checkpoint_pruned *out, struct err *e)
{
    struct writing w = {.m = m, .p = p, .shrink = shrink, .n = checkpoint_count(m->files), .e = e};
    struct checkpoint_pruned made = {0};
    w.part = calloc(w.n + 1, sizeof *w.part);
    if (shrink)
        heads_left(&w.heads, &m->cfg, p);
    int rc = w.part ? check(&w, folder) : err_memory(e, "%s", folder);
    for (size_t i = 0; i < w.n && w.part; i++)
        w.part[i].t = checkpoint_at(m->files, i);
    for (int32_t l = 0; l < p->n_layers && !rc; l++)
        rc = mark_layer(&w, l);
    if (!rc)
        rc = beside(&w, folder);
    if (!rc)
        rc = weights_write(&w, folder, &made);
    for (size_t i = 0; i < w.n && w.part; i++)
        free(w.part[i].fate), free(w.part[i].copy);
    free(w.part);
    snprintf(made.why, sizeof made.why, "%s", w.heads.why);
    if (!rc)
        *out = made;
    return rc;
}
