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
#include "model/arch.h"
#include "model/tensor_write.h"

enum { BESIDE_BYTES_MAX = 1 << 28 }; /* of a file that is copied */

struct writing {
    const struct model *m;
    const struct pruned *p;
    struct part {
        const struct st_tensor *t;
        bool *gone; /* [elements], NULL: none */
        bool cut;   /* they are cut out, not zeroed */
        char *copy; /* while it is written */
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

/* Mark what the gone units of a layer have of one weight: along n, or (reads) along k. */
static int mark(struct writing *w, int32_t layer, enum weight_id id, enum prune_part k, bool cut,
                bool must)
{
    const struct kn_view *v = model_weight(w->m, layer, id);
    const struct pruned_part *q = &w->p->part[k];
    const bool *gone = q->gone + layer * q->n;
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
    if (!p->gone && !(p->gone = calloc((size_t)st_count(p->t) + 1, sizeof *p->gone)))
        return err_memory(w->e, "%s", p->t->name);
    int64_t base = ((const char *)v->data - (const char *)p->t->data) / (int64_t)size,
            others = !has_k  ? 1
                     : reads ? weight_n(&w->m->cfg, id)
                             : weight_k(&w->m->cfg, id);
    p->cut |= cut;
    for (int64_t i = 0; i < q->n; i++)
        for (int64_t j = 0; gone[i] && j < others; j++)
            p->gone[base + element(v, reads ? j : i, reads ? i : j, has_k)] = true;
    return 0;
}

static int mark_layer(struct writing *w, int32_t l, bool shrink)
{
    static const enum weight_id in[] = {W_OUT, W_IN, B_IN, W_GATE, B_GATE};
    bool alone = w->m->cfg.n_kv_heads == w->m->cfg.n_heads;
    int rc = 0;
    if (w->p->part[PRUNE_NEURONS].count && w->p->part[PRUNE_NEURONS].there[l])
        for (size_t i = 0; i < sizeof in / sizeof *in && !rc; i++)
            rc = mark(w, l, in[i], PRUNE_NEURONS, shrink, i == 0 || shrink);
    if (!rc && w->p->part[PRUNE_DIMS].count)
        rc = mark(w, l, W_O, PRUNE_DIMS, false, true);
    if (!rc && w->p->part[PRUNE_DIMS].count && alone)
        rc = mark(w, l, W_V, PRUNE_DIMS, false, false);
    if (!rc && w->p->part[PRUNE_DIMS].count && alone)
        rc = mark(w, l, B_V, PRUNE_DIMS, false, false);
    return rc;
}

/* ---- tensors ---- */

/* The axis of [n] or [n, k] whose slices are gone as wholes: k where a row loses some. */
static int cut_axis(const struct part *p)
{
    int64_t inner = p->t->rank == 2 ? p->t->shape[1] : 1;
    for (int64_t i = 1; i < st_count(p->t); i++)
        if (i % inner && p->gone[i] != p->gone[i - 1])
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
            if (p->gone[i] && p->cut)
                continue;
            if (p->gone[i])
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
    int64_t gone = 0, count = st_count(p->t);
    p->out = (struct tensor_out){
        .name = p->t->name, .dtype = p->t->dtype, .rank = p->t->rank, .data = p->t->data};
    memcpy(p->out.shape, p->t->shape, sizeof p->out.shape);
    out->params += count;
    for (int64_t i = 0; p->gone && i < count; i++)
        gone += p->gone[i];
    if (!gone)
        return;
    p->out.data = NULL, p->out.read = part_read, p->out.ctx = p;
    if (!p->cut) {
        out->zeroed += gone;
        return;
    }
    int axis = cut_axis(p);
    p->out.shape[axis] -= gone / (count / p->t->shape[axis]);
    out->cut += gone;
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

/* The key of config.json that has the neurons of a layer, and the object it is in; NULL: the family
 * has none. */
static const char *neurons_key(const struct arch *a, json_t *root, json_t **in, char name[64])
{
    *in = a->within && json_object_get(root, a->within) ? json_object_get(root, a->within) : root;
    for (const struct arch_key *k = a->keys; k->names; k++) {
        if (k->offset != offsetof(struct config, d_mlp) || k->type != KEY_INT)
            continue;
        const char *names = k->names;
        for (const char *at = names; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
            snprintf(name, 64, "%.*s", (int)strcspn(at, "|"), at);
            if (json_object_get(*in, name))
                return name;
        }
        snprintf(name, 64, "%.*s", (int)strcspn(names, "|"), names);
        return name;
    }
    return NULL;
}

/* config.json with another number of neurons. */
static int config_shrink(const struct writing *w, const char *bytes, size_t len, const char *to)
{
    char name[64], *text = NULL;
    const struct pruned_part *q = &w->p->part[PRUNE_NEURONS];
    json_t *root = json_loadb(bytes, len, 0, NULL), *in = NULL;
    const char *key = root ? neurons_key(w->m->cfg.arch, root, &in, name) : NULL;
    int rc = key ? 0
                 : err_set(w->e, ERR_BAD_INPUT,
                           "%s · config.json of %s has no number of neurons: it cannot shrink · "
                           "leave out --shrink, which zeroes them",
                           w->m->name, w->m->cfg.arch->model_type);
    if (!rc && json_object_set_new(in, key, json_integer(q->n - pruned_in(q, 0))))
        rc = err_memory(w->e, "config.json");
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

static int beside_copy(const struct writing *w, const char *name, bool shrink, const char *folder)
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
        rc = shrink && !strcmp(name, "config.json") ? config_shrink(w, bytes, len, to)
                                                    : file_write_all(to, bytes, len, w->e);
    free(bytes);
    return rc;
}

static int beside(const struct writing *w, bool shrink, const char *folder)
{
    DIR *d = opendir(w->m->folder);
    int rc = d ? 0 : err_set(w->e, ERR_SYSTEM, "%s · %s", w->m->folder, strerror(errno));
    for (const struct dirent *f; !rc && (f = readdir(d));)
        if (is_beside(f->d_name))
            rc = beside_copy(w, f->d_name, shrink, folder);
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

static int check(const struct writing *w, bool shrink, const char *folder)
{
    const struct pruned_part *q = &w->p->part[PRUNE_NEURONS];
    if (w->m->process)
        return err_set(w->e, ERR_BAD_INPUT,
                       "--write · the file has the raw weights · leave out --process");
    for (int32_t l = 1; shrink && l < w->p->n_layers; l++)
        if (pruned_in(q, l) != pruned_in(q, 0) || !q->there[l])
            return err_set(w->e, ERR_BAD_INPUT,
                           "--shrink · layer 0 loses %lld neurons, layer %d %lld, and config.json "
                           "has one number for all · --per-layer takes as many of each",
                           (long long)pruned_in(q, 0), (int)l, (long long)pruned_in(q, l));
    if (shrink && !q->count)
        return err_set(w->e, ERR_BAD_INPUT,
                       "--shrink · it cuts out neurons, and none is gone · heads are zeroed");
    if (shrink && pruned_in(q, 0) == q->n)
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
    struct writing w = {.m = m, .p = p, .n = checkpoint_count(m->files), .e = e};
    struct checkpoint_pruned made = {0};
    w.part = calloc(w.n + 1, sizeof *w.part);
    int rc = w.part ? check(&w, shrink, folder) : err_memory(e, "%s", folder);
    for (size_t i = 0; i < w.n && w.part; i++)
        w.part[i].t = checkpoint_at(m->files, i);
    for (int32_t l = 0; l < p->n_layers && !rc; l++)
        rc = mark_layer(&w, l, shrink);
    if (!rc)
        rc = beside(&w, shrink, folder);
    if (!rc)
        rc = weights_write(&w, folder, &made);
    for (size_t i = 0; i < w.n && w.part; i++)
        free(w.part[i].gone), free(w.part[i].copy);
    free(w.part);
    if (!rc)
        *out = made;
    return rc;
}
