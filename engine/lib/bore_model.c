/* bore_model.c - the library's models: opening, tokens, hook points (see borescope.h).
 * Tested in tests/engine/test_library.c. */
#include "lib/bore_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/process.h"

static_assert((int)BORE_BAD_INPUT == (int)ERR_BAD_INPUT && (int)BORE_SYSTEM == (int)ERR_SYSTEM &&
                  (int)BORE_CANCELLED == (int)ERR_CANCELLED &&
                  (int)BORE_HOOK_FAILED != (int)ERR_DEVICE &&
                  (int)BORE_HOOK_FAILED != (int)ERR_USAGE,
              "public codes are the engine's");

int bore_done(int rc, const struct err *e, struct bore_error *out)
{
    if (rc == ERR_USAGE) /* a word that the command line takes too */
        rc = BORE_BAD_INPUT;
    if (rc == ERR_DEVICE)
        rc = BORE_SYSTEM;
    if (rc && out) {
        *out = (struct bore_error){.code = rc};
        size_t n = strnlen(e->text, sizeof out->text - 1);
        memcpy(out->text, e->text, n);
    }
    return rc;
}

void bore_begin_read(const struct bore_model *m)
{
    struct bore_work *w = m->work;
    if (w->depth++)
        return;
    atomic_store_explicit(&w->cancel, false, memory_order_relaxed);
    m->be->cancel = &w->cancel;
}

int bore_begin(struct bore_model *m, struct err *e)
{
    bore_begin_read(m);
    if (m->work->depth > 1)
        return err_set(e, ERR_BAD_INPUT,
                       "this model is running · a hook cannot run it; open it a second time");
    return m->pair ? 0 : pair_open(&m->pair, m->m, m->cache_bytes, e); /* its device had failed */
}

int bore_end(const struct bore_model *m, int rc, const struct err *e, struct bore_error *out)
{
    struct err own = *e;
    if (!--m->work->depth) {
        m->be->cancel = NULL;
        m->work->columns = NULL;
        /* every model is of bore_open: one that is only read may have its device replaced */
        if (rc == ERR_DEVICE && bore_device_fall((struct bore_model *)(uintptr_t)m, e))
            err_set(&own, rc, "%.400s · it is on the cpu now: call again", e->text);
    }
    return bore_done(rc, &own, out);
}

const char *bore_version(void)
{
    return BORE_VERSION;
}

void bore_tensor_pack(struct bore_tensor *t)
{
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        t->stride[i] = stride;
        stride *= t->shape[i];
    }
}

int64_t bore_tensor_size(const struct bore_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

int bore_tensor_alloc(struct bore_tensor *t, const char *what, struct err *e)
{
    bore_tensor_pack(t);
    size_t n = (size_t)bore_tensor_size(t);
    t->data = calloc(n ? n : 1, sizeof *t->data);
    return t->data ? 0 : err_memory(e, "%zu bytes for %s", n * sizeof *t->data, what);
}

void bore_tensor_free(struct bore_tensor *t)
{
    if (t)
        free(t->data), *t = (struct bore_tensor){0};
}

static int points_open(struct bore_model *m, struct err *e)
{
    size_t most = (size_t)(m->m->cfg.n_layers + 1) * SITE_COUNT;
    m->sites = malloc(most * sizeof *m->sites);
    m->names = malloc(most * sizeof *m->names);
    m->contexts = calloc(most, sizeof *m->contexts);
    if (!m->sites || !m->names || !m->contexts)
        return err_memory(e, "hook points");
    m->n_sites = site_list(&m->m->cfg, m->sites);
    for (int i = 0; i < m->n_sites; i++)
        site_name(m->sites[i], m->names[i]);
    return 0;
}

int bore_open(struct bore_model **out, const char *model, const struct bore_options *options,
              struct bore_error *error)
{
    static const struct bore_options defaults = {0};
    const struct bore_options *o = options ? options : &defaults;
    struct err e = {0};
    unsigned flags = 0;
    struct bore_model *m = calloc(1, sizeof *m);
    int rc = m && (m->work = calloc(1, sizeof *m->work))
                 ? process_parse(o->process ? o->process : "none", &flags, &e)
                 : err_memory(&e, "a model");
    if (!rc && !(rc = bore_device_open(m, model, o, &e)) && flags)
        rc = process_model(m->m, flags, &e);
    if (!rc)
        rc = points_open(m, &e);
    if (!rc && (rc = pair_open(&m->pair, m->m, m->cache_bytes, &e)) == ERR_DEVICE &&
        bore_device_fall(m, &e))
        rc = pair_open(&m->pair, m->m, m->cache_bytes, &e);
    if (rc)
        bore_close(m);
    else
        *out = m;
    return bore_done(rc, &e, error);
}

void bore_close(struct bore_model *m)
{
    if (!m)
        return;
    if (m->pair)
        pair_close(m->pair);
    callbacks_free(&m->hooks);
    bore_alias_sweep(m, true);
    free(m->sites), free(m->names), free(m->contexts), free(m->work);
    model_close(m->m);
    if (m->be)
        kn_close(m->be);
    free(m);
}

struct bore_shape bore_model_shape(const struct bore_model *m)
{
    const struct config *c = &m->m->cfg;
    return (struct bore_shape){c->n_layers,
                               c->n_heads,
                               c->n_kv_heads,
                               c->d_model,
                               c->d_head,
                               c->d_mlp,
                               c->d_vocab,
                               c->n_ctx,
                               c->bos_id,
                               c->eos_id,
                               c->patch_size ? c->image_size : 0,
                               c->patch_size,
                               c->patch_size ? c->n_channels : 0};
}

int bore_pixels(const struct bore_model *m, const uint8_t *rgb, int height, int width,
                float **values, struct bore_error *error)
{
    struct err e = {0};
    struct image_input *im = NULL;
    float *out = NULL;
    int rc = 0;
    if (!m->m->cfg.patch_size)
        rc = err_set(&e, ERR_BAD_INPUT, "pixels · %s takes tokens, no image", m->m->name);
    else if (height < 1 || width < 1 || height > LIMIT_IMAGE_SIDE || width > LIMIT_IMAGE_SIDE)
        rc = err_set(&e, ERR_BAD_INPUT, "a picture of %d x %d pixels · sides of 1..%d are read",
                     width, height, LIMIT_IMAGE_SIDE);
    if (!rc)
        rc = image_from_rgb(&im, &m->m->cfg, &m->m->image, rgb, height, width, &e);
    if (!rc && !(out = calloc(image_values_count(&m->m->cfg), sizeof *out)))
        rc = err_memory(&e, "an image");
    if (!rc) {
        image_values(&m->m->cfg, im, out);
        *values = out;
    }
    image_drop(im);
    return bore_done(rc, &e, error);
}

int bore_tokens(const struct bore_model *m, const char *text, int bos, int32_t **ids, int *n,
                struct bore_error *error)
{
    struct err e = {0};
    int32_t count;
    int rc = model_tokens(m->m, text, strlen(text), bos, ids, &count, &e);
    if (!rc)
        *n = count;
    return bore_done(rc, &e, error);
}

int bore_tokens_batch(const struct bore_model *m, const char *const *texts, int rows, int bos,
                      bool pad_left, int32_t **ids, uint8_t **mask, int *cols,
                      struct bore_error *error)
{
    struct err e = {0};
    int32_t **row = calloc((size_t)(rows > 0 ? rows : 0) + 1, sizeof *row),
            *n = calloc((size_t)(rows > 0 ? rows : 0) + 1, sizeof *n), most = 0;
    int rc = rows < 1   ? err_set(&e, ERR_BAD_INPUT, "%d texts · a batch has one at least", rows)
             : row && n ? 0
                        : err_memory(&e, "a batch");
    for (int i = 0; !rc && i < rows; i++) {
        rc = model_tokens(m->m, texts[i], strlen(texts[i]), bos, &row[i], &n[i], &e);
        most = n[i] > most ? n[i] : most;
        if (rc)
            err_prefix(&e, "text %d", i);
    }
    size_t size = (size_t)(rows > 0 ? rows : 0) * (size_t)most;
    int32_t *out = rc ? NULL : malloc(size * sizeof *out),
            pad = m->m->cfg.eos_id < 0 ? 0 : m->m->cfg.eos_id;
    uint8_t *real = rc ? NULL : calloc(size, 1);
    if (!rc && (!out || !real))
        rc = err_memory(&e, "a batch");
    for (size_t i = 0; !rc && i < size; i++) {
        int32_t r = (int32_t)(i / (size_t)most),
                at = (int32_t)(i % (size_t)most) - (pad_left ? most - n[r] : 0);
        real[i] = at >= 0 && at < n[r];
        out[i] = real[i] ? row[r][at] : pad;
    }
    for (int i = 0; row && i < rows; i++)
        free(row[i]);
    free(row), free(n);
    if (rc)
        free(out), free(real);
    else
        *ids = out, *mask = real, *cols = most;
    return bore_done(rc, &e, error);
}

int bore_token(const struct bore_model *m, const char *text, int32_t *id, struct bore_error *error)
{
    struct err e = {0};
    int rc = 0;
    int32_t found = tokenizer_find(m->m->tok, text, strlen(text));
    if (found < 0)
        rc = err_set(&e, ERR_BAD_INPUT,
                     "\"%.100s\" is not one token of this model · bore_tokens shows how it splits",
                     text);
    else
        *id = found;
    return bore_done(rc, &e, error);
}

int bore_text(const struct bore_model *m, const int32_t *ids, int n, char **text,
              struct bore_error *error)
{
    struct err e = {0};
    size_t len;
    char *s = n < 0 ? NULL : tokenizer_decode(m->m->tok, ids, (size_t)n, 0, &len, &e);
    if (s)
        *text = s;
    else if (n < 0)
        err_set(&e, ERR_BAD_INPUT, "%d tokens · at least 0 can be decoded", n);
    return bore_done(s ? 0 : e.code ? e.code : ERR_SYSTEM, &e, error);
}

int bore_site_index(const struct bore_model *m, struct site_ref s)
{
    int i = 0;
    while (!site_same(m->sites[i], s))
        i++;
    return i;
}

int bore_point_count(const struct bore_model *m)
{
    return m->n_sites;
}

struct bore_point bore_point_at(const struct bore_model *m, int i, int rows, int cols)
{
    const struct config *cfg = &m->m->cfg;
    enum site_id s = m->sites[i].id;
    struct bore_point p = {
        .name = m->names[i],
        .layer = m->sites[i].layer,
        .fires = site_fires(cfg, s),
        .needs = site_table[s].needs,
        .refused = site_refusal(cfg, s),
        .shape = {rows},
        .dims = {"batch"},
    };
    p.rank = 1 + site_shape(cfg, s, cols, p.shape + 1);
    for (int d = 1; d < p.rank; d++)
        p.dims[d] = site_dim_name(site_table[s].dims[d - 1]);
    return p;
}

static_assert((int)BORE_TRANSFORMER_LENS == (int)LIBRARY_LENS &&
                  (int)BORE_BRIDGE == (int)LIBRARY_BRIDGE &&
                  (int)BORE_HUGGING_FACE == (int)LIBRARY_HF &&
                  (int)BORE_NNSIGHT == (int)LIBRARY_NNSIGHT &&
                  (int)BORE_TAKER == (int)LIBRARY_TAKER,
              "libraries are the engine's");

bool bore_point_name(const struct bore_model *m, int i, enum bore_library library, int index,
                     char *buf, size_t size)
{
    char name[LIMIT_NAME];
    if (!alias_name(&m->m->cfg, m->sites[i], (enum alias_library)library, index, name) ||
        strlen(name) >= size)
        return false;
    memcpy(buf, name, strlen(name) + 1);
    return true;
}

int bore_point_find(const struct bore_model *m, const char *name, struct bore_error *error)
{
    struct err e = {0};
    struct alias_value v;
    int rc = alias_find(&m->m->cfg, name, &v, &e);
    if (!rc && (v.n_sites != 1 || v.spread))
        rc = err_set(&e, ERR_BAD_INPUT, "\"%.100s\" · it is no single hook point%s%s", name,
                     v.why ? " · " : "", v.why ? v.why : "; bore_add_hook takes it");
    return rc ? bore_done(rc, &e, error) : bore_site_index(m, v.site[0]);
}

void bore_cancel(struct bore_model *m)
{
    atomic_store_explicit(&m->work->cancel, true, memory_order_relaxed);
}
