/* model.c - opening a model: files, shape, weights, tokenizer, plan (see model.h). */
#include "model/model.h"

#include "base/list.h"
#include "model/gguf_parts.h"
#include "model/hub.h"
#include "model/quantized.h"
#include "model/weights.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct kn_view *model_weight(const struct model *m, int32_t l, enum weight_id w)
{
    return &m->weights[weight_place(&m->cfg, l, w)];
}

struct kn_backend *model_backend(const struct model *m, int32_t stage)
{
    return kn_part(m->be, stage, plan_stages(m->plan));
}

int32_t model_weight_stage(const struct model *m, int32_t l, enum weight_id w)
{
    enum site_scope scope = weight_table[w].scope;
    return scope == SCOPE_EMBED   ? 0
           : scope == SCOPE_FINAL ? m->cfg.n_layers + 1
                                  : weight_row_layer(&m->cfg, l) + 1;
}

struct kn_backend *model_weight_backend(const struct model *m, int32_t l, enum weight_id w)
{
    return model_backend(m, model_weight_stage(m, l, w));
}

static struct kn_view *device_of(const struct model *m, int32_t l, enum weight_id w)
{
    return &m->device[model_weight(m, l, w) - m->weights];
}

const struct kn_view *model_device_weight(const struct model *m, int32_t l, enum weight_id w)
{
    return device_of(m, l, w);
}

static bool same_place(const struct kn_view *a, const struct kn_view *b)
{
    return a->ndim && a->data == b->data && a->first == b->first;
}

/* The weight that may lie where this one does, tied embeddings or a shared norm, and is imported
 * once. */
static enum weight_id twin_of(enum weight_id w)
{
    static const enum weight_id pairs[][2] = {{W_E, W_U}, {W_LN1, W_LN2}, {B_LN1, B_LN2}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int k = 0; k < 2; k++)
            if (pairs[i][k] == w)
                return pairs[i][!k];
    return w;
}

enum kn_status model_import_weight(const struct model *m, int32_t l, enum weight_id w)
{
    const struct kn_view *host = model_weight(m, l, w), *twin = model_weight(m, l, twin_of(w));
    struct kn_view *to = device_of(m, l, w), *there = device_of(m, l, twin_of(w));
    if (to->ndim || !host->ndim)
        return KN_OK;
    struct kn_backend *be = model_weight_backend(m, l, w);
    if (!there->ndim || !same_place(host, twin) || be != model_weight_backend(m, l, twin_of(w)))
        return be->type->import(be, host, to);
    *to = *there;
    return KN_OK;
}

/* The row of weight.h whose weights a stage has; roots are asked for by any. */
static int32_t stage_row(const struct model *m, int32_t stage)
{
    return stage > 0 && stage <= m->cfg.n_layers ? stage - 1 : m->cfg.n_layers;
}

/* Has the stage this one, experts' aside?  It may be absent. */
static bool stage_has(const struct model *m, int32_t stage, enum weight_id w)
{
    return w != W_NONE && !weight_is_expert(w) &&
           model_weight_stage(m, stage_row(m, stage), w) == stage;
}

enum kn_status model_import_stage(const struct model *m, int32_t stage, const atomic_bool *cancel)
{
    enum kn_status st = KN_OK;
    for (int w = 0; !st && w < WEIGHT_COUNT; w++)
        if (stage_has(m, stage, (enum weight_id)w))
            st = cancel && atomic_load_explicit(cancel, memory_order_relaxed)
                     ? KN_CANCELLED
                     : model_import_weight(m, stage_row(m, stage), (enum weight_id)w);
    return st;
}

/* The pages that a host view lies in. */
static void read_ahead(const struct kn_view *v)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int64_t last = 0;
    for (int i = 0; i < v->ndim; i++)
        last += (v->shape[i] - 1) * v->stride[i];
    char *from = kn_at(v, 0), *to = (char *)kn_at(v, last) + kn_dtype_bytes(v->dtype);
    size_t before = (uintptr_t)from % page;
    (void)posix_madvise(from - before, (size_t)(to - from) + before, POSIX_MADV_WILLNEED);
}

void model_stage_ahead(const struct model *m, int32_t stage)
{
    if (stage >= plan_stages(m->plan) || model_backend(m, stage)->unified)
        return;
    for (int w = 0; w < WEIGHT_COUNT; w++) {
        int32_t row = stage_row(m, stage);
        if (!stage_has(m, stage, (enum weight_id)w))
            continue;
        const struct kn_view *host = model_weight(m, row, (enum weight_id)w);
        if (host->ndim && !device_of(m, row, (enum weight_id)w)->ndim)
            read_ahead(host);
    }
}

bool model_stage_is_there(const struct model *m, int32_t stage)
{
    bool there = true;
    for (int w = 0; there && w < WEIGHT_COUNT; w++)
        if (stage_has(m, stage, (enum weight_id)w))
            there = !model_weight(m, stage_row(m, stage), (enum weight_id)w)->ndim ||
                    device_of(m, stage_row(m, stage), (enum weight_id)w)->ndim;
    return there;
}

bool model_in_blocks(const struct model *m)
{
    for (size_t i = 0; i < weight_places(&m->cfg); i++)
        if (m->weights[i].ndim && kn_dtype_block(m->weights[i].dtype) > 1)
            return true;
    return false;
}

size_t model_stage_bytes(const struct model *m, size_t *bytes, size_t *largest)
{
    size_t shared = 0;
    int32_t rows = weight_row(&m->cfg, m->cfg.n_layers, 0), stages = plan_stages(m->plan);
    memset(bytes, 0, (size_t)stages * sizeof *bytes);
    memset(largest, 0, (size_t)stages * sizeof *largest);
    for (int32_t l = 0; l < rows; l++)
        for (int i = W_NONE + 1; i < WEIGHT_COUNT; i++) {
            enum weight_id w = (enum weight_id)i, twin = twin_of(w);
            if (l > m->cfg.n_layers ? !weight_is_expert(w)
                                    : weight_is_root(w) != (l == m->cfg.n_layers))
                continue;
            const struct kn_view *v = model_weight(m, l, w);
            int32_t stage = model_weight_stage(m, l, w);
            size_t n = v->ndim ? kn_row_bytes(v->dtype, kn_count(v)) : 0;
            bool again = twin < w && same_place(v, model_weight(m, l, twin)),
                 here = model_weight_stage(m, l, twin) == stage;
            bytes[stage] += again && here ? 0 : n;
            shared += again && !here ? n : 0;
            largest[stage] = n > largest[stage] ? n : largest[stage];
        }
    return shared;
}

/* Let go of what was imported. */
static void device_forget(struct model *m, int32_t l, enum weight_id w)
{
    struct kn_view *v = device_of(m, l, w), *twin = device_of(m, l, twin_of(w));
    if (twin != v && same_place(v, twin))
        *twin = (struct kn_view){0};
    m->be->type->forget(m->be, v);
}

int model_own_weight(struct model *m, int32_t l, enum weight_id w, struct kn_view v, struct err *e)
{
    if (!list_room(&m->owned, (size_t)m->n_owned, sizeof *m->owned))
        return err_memory(e, "a copy of a weight");
    m->owned[m->n_owned++] = v.data;
    device_forget(m, l, w);
    m->weights[model_weight(m, l, w) - m->weights] = v;
    return 0;
}

/* As a number of that type: Hugging Face keeps the scale of embeddings in theirs. */
static double rounded(double x, enum kn_dtype type)
{
    int exponent, bits = type == KN_BF16 ? 8 : type == KN_F16 ? 11 : 24;
    double part = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(part, bits)), exponent - bits);
}

static int files_open(struct model *m, const struct hub_model *h, struct err *e)
{
    int rc = m->files ? 0 : hub_need_weights(h, e);
    if (!rc && !m->files && !(m->files = checkpoint_open(h->weights, e)))
        rc = err_code(e);
    return rc;
}

/* Weights that a file quantizes in ways of its own; a model that is only looked at (no backend) is
 * checked alone. */
static int weights_unquantize(struct model *m, const char *config, struct quantized *q,
                              struct err *e)
{
    struct js_doc *doc = js_open(config, e);
    int rc = doc ? quantized_load(m->files, js_root(doc), !m->be, q, e) : err_code(e);
    js_close(doc);
    return rc;
}

/* The stored types of the weights, those of the most elements first: "q4_k (+q6_k, f32)". */
static void note_types(struct model *m)
{
    int64_t per_type[KN_DTYPE_COUNT] = {0};
    size_t used = 0, size = sizeof m->dtype;
    for (size_t i = 0; i < weight_places(&m->cfg); i++)
        if (m->weights[i].ndim && !(m->cfg.tied && &m->weights[i] == model_weight(m, 0, W_U)))
            per_type[m->weights[i].dtype] += kn_count(&m->weights[i]);
    for (int i = 0, best = 0; used < size; i++, per_type[best] = 0) {
        for (int t = best = 0; t < KN_DTYPE_COUNT; t++)
            best = per_type[t] > per_type[best] ? t : best;
        bool end = per_type[best] == 0;
        used += (size_t)snprintf(m->dtype + used, size - used, "%s%s",
                                 end      ? (i > 1 ? ")" : "")
                                 : i == 0 ? ""
                                 : i == 1 ? " (+"
                                          : ", ",
                                 end ? "" : kn_dtype_name((enum kn_dtype)best));
        if (end)
            break;
    }
}

/* To the types of the weights add what lies in memory beside the file. */
static void note_quantized(struct model *m, const struct quantized *q)
{
    char types[sizeof m->dtype];
    double mib = (double)(q->widened ? q->widened : q->laid_out) / (1 << 20);
    snprintf(types, sizeof types, "%s", q->widened ? q->method : m->dtype);
    if (mib > 0)
        snprintf(m->dtype, sizeof m->dtype, "%.90s, %s: %.3g MiB", types,
                 q->widened ? "widened to f32" : "in memory", mib);
}

/* Parameters, each once, and those that one position uses. */
static void note_params(struct model *m)
{
    for (size_t i = 0; i < weight_places(&m->cfg); i++) {
        const struct kn_view *v = &m->weights[i];
        bool layer = i < ((size_t)m->cfg.n_layers + 1) * WEIGHT_COUNT;
        enum weight_id id = (enum weight_id)(i % WEIGHT_COUNT), twin = layer ? twin_of(id) : id;
        bool again = twin < id && same_place(v, v - id + twin),
             ones = layer && m->cfg.norm_bare && weight_is_norm(id); /* in no file */
        m->params += v->ndim && !again && !ones ? (uint64_t)kn_count(v) : 0;
    }
    m->active = m->params;
    for (int32_t l = 0; l < m->cfg.n_layers; l++)
        for (int32_t x = m->cfg.n_active; x < m->cfg.n_experts; x++)
            for (int w = W_NONE + 1; w < WEIGHT_COUNT; w++) {
                const struct kn_view *v = weight_is_expert((enum weight_id)w)
                                              ? model_weight(m, weight_row(&m->cfg, l, x),
                                                             (enum weight_id)w)
                                              : NULL;
                m->active -= v && v->ndim ? (uint64_t)kn_count(v) : 0;
            }
}

static int weights_open(struct model *m, const struct hub_model *h, struct err *e)
{
    int rc = files_open(m, h, e);
    if (rc)
        return rc;
    struct quantized q = {0};
    if (!checkpoint_gguf(m->files) && (rc = weights_unquantize(m, h->config, &q, e)))
        return rc;
    size_t count = weight_places(&m->cfg);
    m->weights = calloc(2 * count, sizeof *m->weights);
    m->device = m->weights ? m->weights + count : NULL;
    if (!m->weights)
        return err_memory(e, "%d layers", m->cfg.n_layers);
    struct weights w = {.view = m->weights, .look = !m->be};
    rc = weights_bind(&w, &m->cfg, m->files, e);
    m->owned = w.owned;
    m->n_owned = w.n_owned;
    m->copied = w.copied;
    if (rc)
        return rc;
    note_types(m);
    note_quantized(m, &q);
    m->bytes = checkpoint_nbytes(m->files);
    if (m->cfg.embed_scaled)
        m->cfg.embed_scale = rounded(m->cfg.embed_scale, model_weight(m, 0, W_E)->dtype);
    note_params(m);
    return 0;
}

/* The names of a classifier's outputs, id2label of config.json. */
static struct tokenizer *classes_for(const struct model *m, const struct hub_model *h,
                                     struct err *e)
{
    int32_t n = m->cfg.d_vocab;
    struct js_doc *doc = js_open_texts(h->config, e);
    const char **text = doc ? calloc((size_t)n, sizeof *text) : NULL;
    char(*usual)[24] = text ? calloc((size_t)n, sizeof *usual) : NULL;
    int rc = usual ? 0 : doc ? err_memory(e, "%d classes", n) : err_code(e);
    for (int32_t i = 0; !rc && i < n; i++) {
        snprintf(usual[i], sizeof usual[i], "%d", i);
        rc = js_string_or(js_get(js_get(js_root(doc), "id2label"), usual[i]), "", &text[i], e);
        if (!rc && !*text[i]) { /* as Hugging Face calls those that nobody named */
            snprintf(usual[i], sizeof usual[i], "LABEL_%d", i);
            text[i] = usual[i];
        }
    }
    struct tokenizer *t = rc ? NULL : tokenizer_classes(text, n, e);
    free(text), free(usual);
    js_close(doc);
    return t;
}

/* preprocessor_config.json beside config.json. */
static int image_open(struct model *m, struct err *e)
{
    char path[PATH_MAX + 32];
    if (!m->cfg.patch_size)
        return 0;
    m->image = image_prep_usual(&m->cfg);
    snprintf(path, sizeof path, "%s/preprocessor_config.json", m->folder);
    return access(path, F_OK) ? 0 : image_prep_from(&m->image, &m->cfg, js_open(path, e), e);
}

static struct tokenizer *tokenizer_for(const struct model *m, const struct hub_model *h,
                                       struct err *e)
{
    const struct gguf *g = m->files ? checkpoint_gguf(m->files) : NULL;
    if (m->cfg.patch_size)
        return classes_for(m, h, e);
    if (h->tokenizer[0])
        return tokenizer_open(h->tokenizer, e);
    if (g && gguf_has_tokenizer(g))
        return gguf_tokenizer(g, e);
    return m->cfg.d_vocab == 256 ? tokenizer_bytes(e) : tokenizer_none(m->cfg.d_vocab, e);
}

/* From config.json, or from the file that has all. */
static int config_open(struct model *m, const struct hub_model *h, struct err *e)
{
    if (h->config[0])
        return config_load(&m->cfg, h->config, e);
    int rc = files_open(m, h, e);
    return rc ? rc : config_from(&m->cfg, gguf_config(m->files, e), e);
}

/* Files and shape; *h says where the rest lies. */
static int shape_open(struct model *m, const char *name, struct hub_model *h, struct err *e)
{
    int rc = hub_resolve(name, h, e);
    if (rc || (rc = config_open(m, h, e)))
        return rc;
    snprintf(m->name, sizeof m->name, "%.*s", (int)sizeof m->name - 1, h->name);
    if (!(m->folder = realpath(h->folder, NULL)))
        return err_set(e, ERR_SYSTEM, "%s · %s", h->folder, strerror(errno));
    return 0;
}

/* What follows from shape and weights. */
static int finish_open(struct model **out, struct model *m, int rc, struct err *e)
{
    if (!rc && !(m->plan = plan_build(&m->cfg)))
        rc = err_memory(e, "the plan");
    if (rc)
        model_close(m);
    else
        *out = m;
    return rc;
}

int model_open(struct model **out, const char *name, struct kn_backend *be, struct err *e)
{
    struct hub_model h;
    struct model *m = calloc(1, sizeof *m);
    int rc = m ? shape_open(m, name, &h, e) : err_memory(e, "a model");
    if (!rc && (m->be = be))
        rc = weights_open(m, &h, e);
    else if (!rc && m->cfg.n_moe && h.weights[0]) /* how its experts are stored says their names */
        rc = files_open(m, &h, e);
    if (!rc && !(m->tok = tokenizer_for(m, &h, e)))
        rc = err_code(e);
    if (!rc)
        rc = image_open(m, e);
    if (!rc)
        model_find_special(m);
    return finish_open(out, m, rc, e);
}

int model_look(struct model **out, const char *name, struct err *e)
{
    struct hub_model h;
    struct model *m = calloc(1, sizeof *m);
    int rc = m ? shape_open(m, name, &h, e) : err_memory(e, "a model");
    return finish_open(out, m, rc ? rc : weights_open(m, &h, e), e);
}

static void forget_all(struct model *m)
{
    int32_t rows = weight_row(&m->cfg, m->cfg.n_layers, 0);
    for (int32_t l = 0; m->be && m->weights && l < rows; l++)
        for (int w = 0; w < WEIGHT_COUNT; w++)
            if (l <= m->cfg.n_layers || weight_is_expert((enum weight_id)w))
                device_forget(m, l, (enum weight_id)w);
}

void model_move(struct model *m, struct kn_backend *be, bool owned)
{
    forget_all(m);
    kn_close(m->own_be);
    m->be = be, m->own_be = owned ? be : NULL;
    m->where[0] = 0;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    forget_all(m);
    kn_close(m->own_be);
    free(m->folder);
    plan_free(m->plan);
    for (int32_t i = 0; i < m->n_owned; i++)
        free(m->owned[i]);
    free(m->owned);
    free(m->weights);
    checkpoint_close(m->files);
    tokenizer_close(m->tok);
    free(m);
}
