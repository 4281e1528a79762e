/* bore_cache.c - captured values of a pass: which, and which positions of them (see borescope.h).
 *
 * A row's values are those of its real tokens; here they are spread to the caller's columns and cut
 * to the positions asked for.  Tested in tests/engine/test_library.c. */
#include "lib/bore_cache_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "measure/alias_read.h"

void bore_cache_free(struct bore_cache *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++)
        bore_tensor_free(&c->list[i].t), free(c->list[i].pick);
    free(c->list), free(c->list_copy);
    free(c);
}

/* ---- what to capture
 * ------------------------------------------------------------------------------- */

/* An end of a range as Python takes it: from the end if negative, then cut to [0, size]. */
static int64_t bound(int64_t i, int64_t size, int64_t open)
{
    if (i == BORE_OPEN)
        return open;
    i = i < 0 ? i + size : i;
    return i < 0 ? 0 : i > size ? size : i;
}

int bore_slice_list(const struct bore_slice *s, int64_t size, const char *what, int64_t **list,
                    int64_t *n, struct err *e)
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
    int64_t *out = malloc((size_t)count * sizeof *out);
    if (!out)
        return err_set(e, ERR_SYSTEM, "out of memory · %lld %ss", (long long)count, what);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = s->kind == BORE_ONE    ? s->start
                     : s->kind == BORE_LIST ? s->list[i]
                                            : lo + i * step;
        out[i] = at < 0 ? at + size : at;
        if (out[i] < 0 || out[i] >= size) {
            free(out);
            return err_set(e, ERR_BAD_INPUT, "%s %lld · there are %ss %lld..%lld", what,
                           (long long)at, what, -(long long)size, (long long)size - 1);
        }
    }
    *list = out, *n = count;
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

/* The elements of an entry's axis, which has `size`, that are captured. */
static int slice_resolve(const struct bore_cache *c, struct entry *x, int64_t size, struct err *e)
{
    free(x->pick);
    x->pick = NULL;
    return bore_slice_list(&c->slice, size,
                           x->axis == alias_row_axis(&x->value) ? "position" : "head", &x->pick,
                           &x->n_pick, e);
}

/* What is to be captured: TransformerLens' points in firing order, then names of other libraries as
 * they were asked for. */
struct wanted {
    const struct bore_model *m;
    int32_t first, end; /* stages of the pass */
    bool *on;           /* [n_sites] */
    struct alias_pick *others;
    int n_others;
};

/* Does the pass compute it? */
static bool computed(const struct wanted *w, const struct alias_value *v)
{
    int32_t stage = v->n_sites ? plan_stage_of(w->m->m->plan, v->site[0]) : w->first;
    return stage >= w->first && stage < w->end;
}

static int want_other(struct wanted *w, const struct alias_pick *pick, struct err *e)
{
    for (int i = 0; i < w->n_others; i++)
        if (!strcmp(w->others[i].name, pick->name))
            return 0;
    struct alias_pick *more = realloc(w->others, ((size_t)w->n_others + 1) * sizeof *more);
    if (!more)
        return err_set(e, ERR_SYSTEM, "out of memory · a cache");
    w->others = more;
    w->others[w->n_others++] = *pick;
    return 0;
}

static int want_name(struct wanted *w, const char *name, struct err *e)
{
    struct bore_hook h = {.name = name};
    struct alias_pick *picks = NULL;
    int n = bore_hook_picks(w->m, &h, &picks, e), rc = n < 0 ? n : 0;
    for (int i = 0; !rc && i < n; i++) {
        if (!computed(w, &picks[i].value)) {
            if (!site_is_pattern(name) || (n == 1 && picks[i].value.library != LIBRARY_LENS))
                rc = err_set(
                    e, ERR_BAD_INPUT, "%s · this pass does not compute it: it runs layers %d to %d",
                    picks[i].name, w->first ? w->first - 1 : 0,
                    w->end > w->m->m->cfg.n_layers + 1 ? w->m->m->cfg.n_layers - 1 : w->end - 2);
        } else if (picks[i].value.library == LIBRARY_LENS) {
            w->on[bore_site_index(w->m, picks[i].value.site[0])] = true;
        } else {
            rc = want_other(w, &picks[i], e);
        }
    }
    free(picks);
    return rc;
}

static int wanted_open(struct wanted *w, const struct bore_cache_options *opt, struct err *e)
{
    const struct bore_model *m = w->m;
    int rc = (w->on = calloc((size_t)m->n_sites, sizeof *w->on))
                 ? 0
                 : err_set(e, ERR_SYSTEM, "out of memory · a cache");
    for (int i = 0; !rc && !opt->match && opt->names && i < opt->n_names; i++)
        rc = want_name(w, opt->names[i], e);
    for (int i = 0; !rc && (opt->match || !opt->names) && i < m->n_sites; i++) {
        struct alias_value v = {.n_sites = 1, .site = {m->sites[i]}};
        w->on[i] = computed(w, &v) && site_fires(&m->m->cfg, m->sites[i].id) &&
                   (!opt->match || opt->match(m->names[i], opt->user));
    }
    return rc;
}

static void wanted_close(struct wanted *w)
{
    free(w->on), free(w->others);
}

static bool holds_ids(const struct alias_value *v)
{
    return v->n_sites && v->site[0].id == SITE_TOKENS;
}

static int entry_add(struct bore_cache *c, const struct alias_value *v, const char *name,
                     bool gradient, struct err *e)
{
    if (gradient && holds_ids(v))
        return 0;
    if (gradient && !v->n_edits)
        return err_set(e, ERR_BAD_INPUT, "no gradient for %s · %s", name, v->why);
    struct entry *x = &c->list[c->n++];
    *x = (struct entry){.value = *v, .gradient = gradient, .axis = sliced_axis(c, v), .cache = c};
    snprintf(x->name, sizeof x->name, "%s%s", name, gradient ? "_grad" : "");
    return 0;
}

/* Entries without memory: all values, then all gradients. */
static int entries_list(struct bore_cache *c, const struct wanted *w, bool incl_bwd, struct err *e)
{
    int most = w->n_others, rc = 0;
    for (int i = 0; i < w->m->n_sites; i++)
        most += w->on[i];
    if (!most)
        return err_set(
            e, ERR_BAD_INPUT,
            "a cache · nothing is captured by these names · bore_point_at lists the hook points");
    if (!(c->list = calloc((size_t)most * 2, sizeof *c->list)))
        return err_set(e, ERR_SYSTEM, "out of memory · a cache of %d tensors", most);
    for (int pass = 0; !rc && pass < 1 + incl_bwd; pass++) {
        for (int i = 0; !rc && i < w->m->n_sites; i++) {
            struct alias_value v = {.form = FORM_SITE,
                                    .library = LIBRARY_LENS,
                                    .n_sites = 1,
                                    .site = {w->m->sites[i]},
                                    .n_edits = 1,
                                    .edit = {w->m->sites[i]}};
            rc = w->on[i] ? entry_add(c, &v, w->m->names[i], pass, e) : 0;
        }
        for (int i = 0; !rc && i < w->n_others; i++)
            rc = entry_add(c, &w->others[i].value, w->others[i].name, pass, e);
    }
    return rc;
}

/* Shape of an entry, and its memory. */
static int entry_open(struct bore_cache *c, struct entry *x, size_t *bytes, size_t bytes_max,
                      struct err *e)
{
    int64_t shape[ALIAS_RANK_MAX];
    int rank = alias_shape(&c->cfg, &x->value, c->cols, shape, NULL),
        rc = slice_resolve(c, x, shape[x->axis], e);
    struct bore_tensor t = {0};
    if (rc)
        return rc;
    if (!c->drops_batch)
        t.shape[t.rank++] = c->rows;
    shape[x->axis] = x->n_pick;
    for (int i = 0; i < rank; i++)
        if (i != x->axis || c->slice.kind != BORE_ONE)
            t.shape[t.rank++] = shape[i];
    bore_tensor_pack(&t);
    size_t need = (size_t)bore_tensor_size(&t) * sizeof(float);
    *bytes += need;
    if (bytes_max && *bytes > bytes_max)
        return err_set(
            e, ERR_BAD_INPUT,
            "the cache would take more than %zu bytes at %s · capture fewer names or positions",
            bytes_max, x->name);
    if (!(t.data = malloc(need ? need : 1)))
        return err_set(e, ERR_SYSTEM, "out of memory · %zu bytes for %s", need, x->name);
    x->t = t;
    return 0;
}

static int bore_cache_open(const struct bore_model *m, const struct bore_pass *p,
                           const struct bore_cache_options *opt, struct bore_cache **out,
                           struct err *e)
{
    int32_t first, end;
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
    if (rc)
        return rc;
    struct bore_cache *c = calloc(1, sizeof *c);
    struct wanted w = {.m = m, .first = first, .end = end};
    size_t bytes = 0;
    if (!c)
        return err_set(e, ERR_SYSTEM, "out of memory · a cache");
    c->cfg = m->m->cfg, c->rows = p->rows, c->cols = p->cols, c->drops_batch = opt->remove_batch;
    c->slice = opt->pos, c->library_axis = opt->library_axis;
    if (!(rc = wanted_open(&w, opt, e)))
        rc = entries_list(c, &w, opt->incl_bwd, e);
    for (int i = 0; !rc && i < c->n; i++)
        rc = entry_open(c, &c->list[i], &bytes, opt->bytes_max, e);
    wanted_close(&w);
    if (rc)
        bore_cache_free(c);
    else
        *out = c;
    return rc;
}

/* ---- filling
 * --------------------------------------------------------------------------------------- */

/* What an element shows where its own position is padding; where only its source is. */
static float blank(const struct entry *x, const struct bore_pass *p, int index, int32_t column)
{
    if (holds_ids(&x->value))
        return p->tokens ? (float)p->tokens[(int64_t)index * p->cols + column] : 0;
    return x->gradient ? 0 : NAN;
}

/* The site whose shape an entry has, where it has one. */
static enum site_id shown_site(const struct entry *x)
{
    return x->value.form == FORM_SITE && x->value.n_sites ? x->value.site[0].id : SITE_COUNT;
}

void bore_entry_place(const struct bore_cache *c, struct entry *x, const struct bore_pass *p,
                      int index, const float *values, const int64_t *shape, int rank,
                      const int32_t *real)
{
    enum site_id shown = shown_site(x);
    int row = alias_row_axis(&x->value) + SITE_RANK_MAX - rank,
        axis = x->axis + SITE_RANK_MAX - rank;
    int64_t from[3] = {1, 1, 1}, to[3] = {1, 1, 1};
    bool src = shown != SITE_COUNT && site_table[shown].dims[rank - 1] == DIM_SRC;
    for (int i = 0; i < rank; i++)
        from[i + 3 - rank] = to[i + 3 - rank] = shape[i];
    to[row] = c->cols;
    to[axis] = x->n_pick;
    if (src)
        to[2] = c->cols;
    float *dst = x->t.data + (c->drops_batch ? 0 : index * x->t.stride[0]);
    float hidden = x->gradient || shown == SITE_PATTERN ? 0.0f : -INFINITY;
    for (int64_t a = 0; a < to[0]; a++)
        for (int64_t b = 0; b < to[1]; b++)
            for (int64_t k = 0; k < to[2]; k++) {
                int64_t at[3] = {a, b, k};
                at[axis] = x->pick[at[axis]];
                int32_t column = (int32_t)at[row];
                at[row] = real[column];
                if (src)
                    at[2] = real[k];
                *dst++ = at[row] < 0 ? blank(x, p, index, column)
                         : at[2] < 0 ? hidden
                                     : values[(at[0] * from[1] + at[1]) * from[2] + at[2]];
            }
}

int32_t *bore_real_positions(const struct bore_pass *p, const struct bore_row *row)
{
    int32_t *real = malloc((size_t)p->cols * sizeof *real);
    for (int i = 0; real && i < p->cols; i++)
        real[i] = -1;
    for (int i = 0; real && i < row->n; i++)
        real[row->columns[i]] = i;
    return real;
}

int64_t bore_entry_shape(const struct run *r, const struct entry *x, int64_t shape[ALIAS_RANK_MAX],
                         int *rank)
{
    int64_t n = 1;
    *rank = alias_shape(&run_model(r)->cfg, &x->value, run_length(r), shape, NULL);
    for (int i = 0; i < *rank; i++)
        n *= shape[i];
    return n;
}

int bore_cache_row(struct bore_capture *cap, const struct bore_pass *p, const struct bore_row *row,
                   int index, struct run *r, struct err *e)
{
    struct bore_cache *c = cap->cache;
    int32_t *real = bore_real_positions(p, row);
    int rc = real ? 0 : err_set(e, ERR_SYSTEM, "out of memory · a cache");
    for (int i = 0; !rc && i < c->n; i++) {
        struct entry *x = &c->list[i];
        if (x->gradient)
            continue;
        int rank;
        int64_t shape[ALIAS_RANK_MAX], n = bore_entry_shape(r, x, shape, &rank);
        float *values = malloc((size_t)n * sizeof *values);
        rc = values ? alias_read(r, &x->value, 0, row->n, values, e)
                    : err_set(e, ERR_SYSTEM, "out of memory · %s", x->name);
        if (!rc)
            bore_entry_place(c, x, p, index, values, shape, rank, real);
        free(values);
    }
    free(real);
    return rc;
}

/* ---- the public side
 * ------------------------------------------------------------------------------- */

int bore_run_with_cache(struct bore_model *m, const struct bore_pass *pass,
                        const struct bore_cache_options *options, struct bore_cache **cache,
                        struct bore_result *out, struct bore_error *error)
{
    struct err e = {0};
    struct bore_capture cap = {.cache = NULL};
    if (options)
        cap.opt = *options;
    int rc = bore_begin(m, &e);
    if (!rc && !(rc = bore_cache_open(m, pass, &cap.opt, &cap.cache, &e)))
        rc = bore_pass_run(m, pass, &cap, out, &e);
    if (rc)
        bore_cache_free(cap.cache);
    else
        *cache = cap.cache;
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
    struct bore_tensor t = {.rank = 4, .shape = {c->n, pass->rows, pass->cols, m->m->cfg.d_model}};
    bore_tensor_pack(&t);
    if ((t.data = malloc((size_t)bore_tensor_size(&t) * sizeof(float)))) {
        for (int i = 0; i < c->n; i++) /* firing order: the norm is last */
            memcpy(t.data + i * t.stride[0], c->list[i].t.data,
                   (size_t)t.stride[0] * sizeof(float));
        *out = t;
    } else {
        rc = bore_done(err_set(&e, ERR_SYSTEM, "out of memory · hidden states"), &e, error);
    }
    bore_cache_free(c);
    return rc;
}

int bore_cache_count(const struct bore_cache *c)
{
    return c->n;
}

const char *bore_cache_at(const struct bore_cache *c, int i, struct bore_tensor *t)
{
    if (t)
        *t = c->list[i].t;
    return c->list[i].name;
}

static bool same_value(const struct alias_value *a, const struct alias_value *b)
{
    if (a->n_sites != b->n_sites || a->form != b->form || !a->n_sites)
        return false;
    for (int i = 0; i < a->n_sites; i++)
        if (a->site[i].id != b->site[i].id || a->site[i].layer != b->site[i].layer)
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
    for (int i = 0; i < c->n; i++) {
        struct entry *x = &c->list[i];
        struct alias_value like = v;
        if (x->gradient != gradient || !x->t.data || (gradient && x->value.spread != v.spread))
            continue;
        if (same_value(&v, &x->value)) {
            *t = x->t;
            return true;
        }
        like.form = v.form == FORM_FLAT ? FORM_SITE : v.form == FORM_SITE ? FORM_FLAT : v.form;
        if (like.form == v.form || !same_value(&like, &x->value))
            continue;
        struct bore_tensor out = x->t;
        int last = x->t.rank - 1;
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
    for (int i = 0; i < c->n; i++)
        if (!strcmp(name, c->list[i].name) && c->list[i].t.data) {
            *t = c->list[i].t;
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
    for (int i = 0; i < c->n; i++)
        near = nearest_is(name, c->list[i].name, &least) ? c->list[i].name : near;
    return bore_done(
        err_set(&e, ERR_BAD_INPUT, "\"%.100s\" was not captured · the nearest is %s", name, near),
        &e, error);
}

/* ---- caching hooks
 * --------------------------------------------------------------------------------- */

/* A bore_hook_fn: keep a copy of the tensor, cut to the positions asked for. */
static int cache_tensor(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct entry *x = user;
    struct bore_cache *c = x->cache;
    struct err e = {0};
    int axis = 1 + x->axis, lead = 4 - t->rank;
    struct bore_tensor to = {0};
    if (slice_resolve(c, x, t->shape[axis], &e))
        return bore_done(e.code, &e, at->error);
    int64_t d[4] = {1, 1, 1, 1}, st[4] = {0};
    for (int i = 0; i < t->rank; i++) {
        d[i + lead] = i == axis ? x->n_pick : t->shape[i], st[i + lead] = t->stride[i];
        if (!(i == 0 && c->drops_batch) && !(i == axis && c->slice.kind == BORE_ONE))
            to.shape[to.rank++] = d[i + lead];
    }
    bore_tensor_pack(&to);
    float *dst = to.data = malloc((size_t)bore_tensor_size(&to) * sizeof(float));
    if (!dst)
        return bore_done(err_set(&e, ERR_SYSTEM, "out of memory · a caching hook"), &e, at->error);
    for (int64_t a = 0; a < d[1]; a++)
        for (int64_t b = 0; b < d[2]; b++)
            for (int64_t k = 0; k < d[3]; k++) {
                int64_t i[4] = {0, a, b, k};
                i[axis + lead] = x->pick[i[axis + lead]];
                *dst++ = t->data[i[1] * st[1] + i[2] * st[2] + i[3] * st[3]];
            }
    free(x->t.data);
    x->t = to;
    return 0;
}

int bore_add_caching_hooks(struct bore_model *m, const struct bore_cache_options *options,
                           struct bore_cache **cache, struct bore_error *error)
{
    static const struct bore_cache_options defaults = {0};
    const struct bore_cache_options *o = options ? options : &defaults;
    struct err e = {0};
    struct bore_cache *c = calloc(1, sizeof *c);
    struct wanted w = {.m = m, .first = 0, .end = INT32_MAX};
    int rc = c ? wanted_open(&w, o, &e) : err_set(&e, ERR_SYSTEM, "out of memory · caching hooks");
    if (c)
        c->cfg = m->m->cfg, c->library_axis = o->library_axis;
    if (!rc)
        rc = entries_list(c, &w, o->incl_bwd, &e);
    if (!rc) {
        c->drops_batch = o->remove_batch, c->slice = o->pos;
        if (o->pos.kind == BORE_LIST && o->pos.n > 0) {
            c->list_copy = malloc((size_t)o->pos.n * sizeof *c->list_copy);
            if (c->list_copy)
                memcpy(c->list_copy, o->pos.list, (size_t)o->pos.n * sizeof *c->list_copy);
            else
                rc = err_set(&e, ERR_SYSTEM, "out of memory · caching hooks");
            c->slice.list = c->list_copy;
        }
    }
    int before = m->hooks.n;
    for (int i = 0; !rc && i < c->n; i++) {
        struct entry *x = &c->list[i];
        char bare[sizeof x->name];
        memcpy(bare, x->name, sizeof bare);
        bare[strlen(bare) - (x->gradient ? strlen("_grad") : 0)] = '\0';
        struct bore_hook h = {.name = bare, .fn = cache_tensor, .user = x, .flags = BORE_READS};
        rc = bore_hook_add(m, x->gradient ? BORE_BACKWARD : BORE_FORWARD, &h, BORE_NO_LEVEL, &e);
    }
    wanted_close(&w);
    if (rc) {
        m->hooks.n = before < m->hooks.n ? before : m->hooks.n; /* appended ones */
        bore_alias_sweep(m, false);
        bore_cache_free(c);
    } else {
        *cache = c;
    }
    return bore_done(rc, &e, error);
}
