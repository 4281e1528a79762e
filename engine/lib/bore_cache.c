/* bore_cache.c - captured values of a pass: which, and which positions of them (see borescope.h,
 * capture.h).
 *
 * A row's values are those of its real tokens; here they are spread to the caller's columns and cut
 * to the positions asked for.  Tested in tests/engine/test_library.c. */
#include "lib/bore_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

/* What belongs to one item of the list. */
struct entry {
    struct bore_cache *cache;
    struct capture_slice cut;
    struct bore_tensor t; /* without memory until it is filled, where caching hooks fill it */
};

struct bore_cache {
    struct config cfg; /* of the model, which may be closed before */
    struct capture_list l;
    struct entry *entry; /* [l.n] */
    int rows;
    bool drops_batch, library_axis;
    struct bore_slice slice; /* caching hooks resolve it at every call */
    int64_t *list_copy;
};

void bore_cache_free(struct bore_cache *c)
{
    if (!c)
        return;
    for (int i = 0; c->entry && i < c->l.n; i++) {
        c->l.item[i].values = NULL; /* a part of the tensor */
        bore_tensor_free(&c->entry[i].t), free(c->entry[i].cut.index);
    }
    captures_close(&c->l);
    free(c->entry), free(c->list_copy);
    free(c);
}

/* ---- what to capture ---- */

/* An end of a range as Python takes it: from the end if negative, then cut to [0, size]. */
static int64_t bound(int64_t i, int64_t size, int64_t open)
{
    if (i == BORE_OPEN)
        return open;
    i = i < 0 ? i + size : i;
    return i < 0 ? 0 : i > size ? size : i;
}

int bore_slice_cut(const struct bore_slice *s, int64_t size, const char *what,
                   struct capture_slice *cut, struct err *e)
{
    int64_t lo = 0, hi = size, step = 1;
    if (s->kind == BORE_RANGE) {
        lo = bound(s->start, size, 0), hi = bound(s->stop, size, size);
        step = s->step == BORE_OPEN ? 1 : s->step;
        if (step < 1)
            return err_set(e, ERR_BAD_INPUT,
                           "a range of %ss with step %lld · steps go forward, from 1 on", what,
                           (long long)step);
    }
    int64_t count = s->kind == BORE_ONE    ? 1
                    : s->kind == BORE_LIST ? s->n
                    : hi > lo              ? (hi - lo + step - 1) / step
                                           : 0;
    if (count < 1 || (s->kind == BORE_LIST && !s->list))
        return err_set(e, ERR_BAD_INPUT, "the %ss asked for are none of the %lld that are there",
                       what, (long long)size);
    int32_t *index = count > INT32_MAX ? NULL : malloc((size_t)count * sizeof *index);
    if (!index)
        return err_memory(e, "%lld %ss", (long long)count, what);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = s->kind == BORE_ONE    ? s->start
                     : s->kind == BORE_LIST ? s->list[i]
                                            : lo + i * step;
        index[i] = (int32_t)(at < 0 ? at + size : at);
        if (at < -size || at >= size) {
            free(index);
            return err_set(e, ERR_BAD_INPUT, "%s %lld · there are %ss %lld..%lld", what,
                           (long long)at, what, -(long long)size, (long long)size - 1);
        }
    }
    *cut = (struct capture_slice){index, (int32_t)count, s->kind == BORE_ONE};
    return 0;
}

/* The axis that a slice of positions means: theirs; as TransformerLens has it, the last but one of
 * what is not named hook_q, k, v, z, result. */
static int sliced_axis(const struct bore_cache *c, const struct alias_value *v)
{
    int row = alias_row_axis(v);
    if (!c->library_axis || v->form != FORM_SITE || site_table[v->site[0].id].rank != 3 || row != 0)
        return row;
    enum site_id s = v->site[0].id;
    return s == SITE_Q || s == SITE_K || s == SITE_V || s == SITE_Z || s == SITE_RESULT ? row : 1;
}

/* The elements of an item's axis, which has `size`, that are captured. */
static int cut_resolve(struct bore_cache *c, int i, int64_t size, struct err *e)
{
    struct capture *item = &c->l.item[i];
    struct capture_slice *cut = &c->entry[i].cut;
    free(cut->index);
    *cut = (struct capture_slice){0};
    return bore_slice_cut(&c->slice, size,
                          item->axis == alias_row_axis(&item->value) ? "position" : "head", cut, e);
}

/* A cache without memory for its tensors: all values, then all gradients. */
static int cache_new(struct bore_cache **out, const struct bore_model *m,
                     const struct bore_cache_options *o, int32_t first, int32_t end, struct err *e)
{
    const struct capture_want want = {.names = o->match ? NULL : o->names,
                                      .n_names = o->n_names,
                                      .match = o->match,
                                      .user = o->user,
                                      .first = first,
                                      .end = end};
    struct bore_cache *c = calloc(1, sizeof *c);
    if (!c)
        return err_memory(e, "a cache");
    c->cfg = m->m->cfg, c->l.m = m->m;
    c->drops_batch = o->remove_batch, c->library_axis = o->library_axis, c->slice = o->pos;
    int rc = captures_select(&c->l, &want, e);
    if (!rc && !c->l.n)
        rc = err_set(
            e, ERR_BAD_INPUT,
            "a cache · nothing is captured by these names · bore_point_at lists the hook points");
    for (int i = 0; i < c->l.n; i++)
        c->l.item[i].axis = sliced_axis(c, &c->l.item[i].value);
    if (!rc && o->incl_bwd)
        rc = captures_add_gradients(&c->l, c->l.n, e);
    if (!rc && !(c->entry = calloc((size_t)c->l.n, sizeof *c->entry)))
        rc = err_memory(e, "a cache of %d tensors", c->l.n);
    for (int i = 0; !rc && i < c->l.n; i++)
        c->entry[i].cache = c, c->l.item[i].cut = &c->entry[i].cut;
    if (rc)
        bore_cache_free(c);
    else
        *out = c;
    return rc;
}

/* Shape of a tensor, and its memory. */
static int entry_open(struct bore_cache *c, int i, size_t *bytes, size_t bytes_max, struct err *e)
{
    struct capture *item = &c->l.item[i];
    struct bore_tensor t = {.rank = !c->drops_batch, .shape = {c->rows}};
    int64_t shape[ALIAS_RANK_MAX];
    alias_shape(&c->l.m->cfg, &item->value, c->l.columns, shape, NULL);
    int rc = cut_resolve(c, i, shape[item->axis], e);
    if (rc)
        return rc;
    t.rank += capture_shape(&c->l, item, false, t.shape + t.rank);
    bore_tensor_pack(&t);
    size_t need = (size_t)bore_tensor_size(&t) * sizeof(float);
    *bytes += need;
    if (bytes_max && *bytes > bytes_max)
        return err_set(
            e, ERR_BAD_INPUT,
            "the cache would take more than %zu bytes at %s · capture fewer names or positions",
            bytes_max, item->name);
    rc = bore_tensor_alloc(&t, item->name, e);
    c->entry[i].t = t;
    return rc;
}

static int cache_open(const struct bore_model *m, const struct bore_pass *p,
                      const struct bore_cache_options *opt, struct bore_cache **out, struct err *e)
{
    int32_t first, end;
    struct bore_cache *c = NULL;
    size_t bytes = 0;
    int rc = bore_pass_check(m, p, e);
    if (!rc)
        rc = bore_pass_stages(m, p, &first, &end, e);
    if (!rc && opt->device && strcmp(opt->device, "cpu"))
        rc = err_set(e, ERR_BAD_INPUT, "device \"%.40s\" · captured values are kept on \"cpu\"",
                     opt->device);
    if (!rc && opt->remove_batch && p->rows != 1)
        rc = err_set(e, ERR_BAD_INPUT, "remove_batch · the batch has %d rows · it needs one",
                     p->rows);
    if (!rc && opt->incl_bwd && !p->metric)
        rc = err_set(e, ERR_BAD_INPUT,
                     "incl_bwd · there is nothing to differentiate · set pass.metric");
    if (!rc)
        rc = cache_new(&c, m, opt, first, end, e);
    if (rc)
        return rc;
    c->rows = p->rows, c->l.columns = p->cols;
    for (int i = 0; !rc && i < c->l.n; i++)
        rc = entry_open(c, i, &bytes, opt->bytes_max, e);
    if (rc)
        bore_cache_free(c);
    else
        *out = c;
    return rc;
}

/* ---- filling ---- */

/* What an element shows where its own position is padding. */
static float blank(const struct capture *item, const struct bore_pass *p, int index, int32_t column)
{
    if (capture_holds_ids(item))
        return p->tokens ? (float)p->tokens[(int64_t)index * p->cols + column] : 0;
    return item->gradient ? 0 : NAN;
}

/* Padding into a row of the batch: its own positions, and where only the source is padding 0 or
 * -inf. */
static void fill_blanks(const struct bore_cache *c, struct capture *item, const struct bore_pass *p,
                        int index)
{
    int64_t shape[ALIAS_RANK_MAX], inner = 1, outer = 1;
    int rank = capture_shape(&c->l, item, true, shape), row = alias_row_axis(&item->value);
    float hidden = item->gradient || item->value.site[0].id == SITE_PATTERN ? 0.0f : -INFINITY,
          *to = item->values;
    for (int i = 0; i < rank; i++)
        *(i < row ? &outer : &inner) *= i == row ? 1 : shape[i];
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < shape[row]; k++) {
            int32_t column = item->axis == row ? item->cut->index[k] : (int32_t)k;
            float x = c->l.position[column] < 0 ? blank(item, p, index, column) : hidden;
            for (int64_t i = 0; i < inner; i++)
                *to++ = x;
        }
}

int bore_cache_row(struct bore_cache *c, const struct bore_pass *p, const struct bore_row *row,
                   int index, struct run *r, struct run *base, const struct metric *metric,
                   struct err *e)
{
    struct capture_list none = {.m = run_model(r), .run = r};
    int rc = 0;
    for (int i = 0; c && i < c->l.n; i++) {
        const struct bore_tensor *t = &c->entry[i].t;
        c->l.run = r, c->l.position = row->position;
        c->l.item[i].values = t->data + (c->drops_batch ? 0 : index * t->stride[0]);
        if (row->n < p->cols)
            fill_blanks(c, &c->l.item[i], p, index);
    }
    if (c)
        rc = captures_read(&c->l, 0, c->l.n, e);
    if (!rc && metric) /* for the hooks also without a cache */
        rc = captures_differentiate(c ? &c->l : &none, base, metric, e);
    return rc;
}

/* ---- the public side ---- */

int bore_run_with_cache(struct bore_model *m, const struct bore_pass *pass,
                        const struct bore_cache_options *options, struct bore_cache **cache,
                        struct bore_result *out, struct bore_error *error)
{
    static const struct bore_cache_options defaults = {0};
    struct err e = {0};
    struct bore_cache *c = NULL;
    int rc;
    do {
        rc = bore_begin(m, &e);
        if (!rc && !(rc = cache_open(m, pass, options ? options : &defaults, &c, &e)))
            rc = bore_pass_run(m, pass, c, out, &e);
        if (rc) /* it reads runs, which go with their device */
            bore_cache_free(c), c = NULL;
    } while (bore_again(m, rc, &e));
    if (!rc)
        *cache = c;
    return bore_end(m, rc, &e, error);
}

int bore_hidden_states(struct bore_model *m, const struct bore_pass *pass, struct bore_tensor *out,
                       struct bore_error *error)
{
    static const char *const names[] = {"blocks.*.hook_resid_pre", "unembed.hook_in"};
    const struct bore_cache_options opt = {.names = names, .n_names = 2};
    struct err e = {0};
    struct bore_cache *c = NULL;
    if (pass->residual || pass->stops)
        return bore_done(
            err_set(
                &e, ERR_BAD_INPUT,
                "hidden states · they are those of the whole model · leave out residual and stop_at_layer"),
            &e, error);
    int rc = bore_run_with_cache(m, pass, &opt, &c, NULL, error);
    if (rc)
        return rc;
    struct bore_tensor t = {.rank = 4,
                            .shape = {c->l.n, pass->rows, pass->cols, m->m->cfg.d_model}};
    rc = bore_tensor_alloc(&t, "hidden states", &e);
    for (int i = 0; !rc && i < c->l.n; i++) /* firing order: the norm is last */
        memcpy(t.data + i * t.stride[0], c->entry[i].t.data, (size_t)t.stride[0] * sizeof(float));
    if (!rc)
        *out = t;
    bore_cache_free(c);
    return bore_done(rc, &e, error);
}

int bore_cache_count(const struct bore_cache *c)
{
    return c->l.n;
}

const char *bore_cache_at(const struct bore_cache *c, int i, struct bore_tensor *t)
{
    if (t)
        *t = c->entry[i].t;
    return c->l.item[i].name;
}

static bool same_value(const struct alias_value *a, const struct alias_value *b)
{
    if (a->n_sites != b->n_sites || a->form != b->form || !a->n_sites)
        return false;
    for (int i = 0; i < a->n_sites; i++)
        if (!site_same(a->site[i], b->site[i]))
            return false;
    return true;
}

/* The same numbers under a name of another library: as they are, or with heads joined or apart.
 * `bare` is the name without "_grad". */
static bool get_converted(const struct bore_cache *c, const char *bare, bool gradient,
                          struct bore_tensor *t)
{
    struct alias_value v;
    if (alias_find(&c->cfg, bare, &v, NULL))
        return false;
    for (int i = 0; i < c->l.n; i++) {
        const struct capture *x = &c->l.item[i];
        const struct bore_tensor *own = &c->entry[i].t;
        struct alias_value like = v;
        if (x->gradient != gradient || !own->data || (gradient && x->value.spread != v.spread))
            continue;
        if (same_value(&v, &x->value)) {
            *t = *own;
            return true;
        }
        like.form = v.form == FORM_FLAT ? FORM_SITE : v.form == FORM_SITE ? FORM_FLAT : v.form;
        if (like.form == v.form || !same_value(&like, &x->value))
            continue;
        struct bore_tensor out = *own;
        int last = own->rank - 1;
        if (v.form == FORM_FLAT) { /* [..., head, d_head] -> [..., head * d_head] */
            out.rank--;
            out.shape[last - 1] *= out.shape[last];
            out.shape[last] = out.stride[last] = 0;
        } else {
            out.rank++;
            out.shape[last + 1] = c->cfg.d_head;
            out.shape[last] /= c->cfg.d_head;
        }
        bore_tensor_pack(&out);
        *t = out;
        return true;
    }
    return false;
}

int bore_cache_get(const struct bore_cache *c, const char *name, struct bore_tensor *t,
                   struct bore_error *error)
{
    struct err e = {0};
    size_t len = strlen(name);
    for (int i = 0; i < c->l.n; i++)
        if (!strcmp(name, c->l.item[i].name) && c->entry[i].t.data) {
            *t = c->entry[i].t;
            return 0;
        }
    char bare[LIMIT_NAME];
    bool gradient = len > 5 && !strcmp(name + len - 5, "_grad");
    if (len < sizeof bare) {
        memcpy(bare, name, len + 1);
        bare[gradient ? len - 5 : len] = '\0';
        if (get_converted(c, bare, gradient, t))
            return 0;
    }
    const char *near = "nothing";
    size_t least = SIZE_MAX;
    for (int i = 0; i < c->l.n; i++)
        near = nearest_is(name, c->l.item[i].name, &least) ? c->l.item[i].name : near;
    return bore_done(
        err_set(&e, ERR_BAD_INPUT, "\"%.100s\" was not captured · the nearest is %s", name, near),
        &e, error);
}

/* ---- caching hooks ---- */

/* A bore_hook_fn: keep a copy of the tensor, cut to the positions asked for. */
static int cache_tensor(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct entry *x = user;
    struct bore_cache *c = x->cache;
    int i = (int)(x - c->entry), axis = c->l.item[i].axis;
    struct err e = {0};
    struct kn_view v = {.data = t->data, .dtype = KN_F32, .ndim = t->rank - 1};
    struct bore_tensor to = {.rank = !c->drops_batch, .shape = {1}};
    if (cut_resolve(c, i, t->shape[1 + axis], &e))
        return bore_done(e.code, &e, at->error);
    for (int d = 0; d < v.ndim; d++) {
        v.shape[d] = t->shape[1 + d], v.stride[d] = t->stride[1 + d];
        if (d != axis || !x->cut.drop)
            to.shape[to.rank++] = d == axis ? x->cut.n : v.shape[d];
    }
    if (bore_tensor_alloc(&to, "a caching hook", &e))
        return bore_done(e.code, &e, at->error);
    capture_copy(&v, axis, &x->cut, to.data);
    free(x->t.data);
    x->t = to;
    return 0;
}

/* The list of a slice, which the caller may take back. */
static int slice_keep(struct bore_cache *c, struct err *e)
{
    size_t bytes = c->slice.kind == BORE_LIST && c->slice.n > 0
                       ? (size_t)c->slice.n * sizeof *c->list_copy
                       : 0;
    if (!bytes)
        return 0;
    if (!(c->list_copy = malloc(bytes)))
        return err_memory(e, "caching hooks");
    c->slice.list = memcpy(c->list_copy, c->slice.list, bytes);
    return 0;
}

int bore_add_caching_hooks(struct bore_model *m, const struct bore_cache_options *options,
                           struct bore_cache **cache, struct bore_error *error)
{
    static const struct bore_cache_options defaults = {0};
    const struct bore_cache_options *o = options ? options : &defaults;
    struct err e = {0};
    struct bore_cache *c = NULL;
    int rc = cache_new(&c, m, o, 0, INT32_MAX, &e), before = m->hooks.n;
    if (!rc)
        rc = slice_keep(c, &e);
    for (int i = 0; !rc && i < c->l.n; i++) {
        const struct capture *item = &c->l.item[i];
        char bare[sizeof item->name];
        memcpy(bare, item->name, sizeof bare);
        bare[strlen(bare) - (item->gradient ? strlen("_grad") : 0)] = '\0';
        struct bore_hook h = {
            .name = bare, .fn = cache_tensor, .user = &c->entry[i], .flags = BORE_READS};
        rc = bore_hook_add(m, item->gradient ? BORE_BACKWARD : BORE_FORWARD, &h, BORE_NO_LEVEL, &e);
    }
    if (rc) {
        m->hooks.n = before < m->hooks.n ? before : m->hooks.n; /* appended ones */
        bore_alias_sweep(m, false);
        bore_cache_free(c);
    } else {
        *cache = c;
    }
    return bore_done(rc, &e, error);
}
