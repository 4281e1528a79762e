/* bore_cache.c - captured values of a pass: which, and which positions of them (see borescope.h).
 *
 * A row's values are those of its real tokens; here they are spread to the caller's columns and cut to the positions asked
 * for.  Tested in tests/engine/test_library.c. */
#include "bore_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grad.h"
#include "nearest.h"

struct entry {
    char name[LIMIT_NAME + 8];
    struct site_ref site;
    bool gradient;
    struct bore_tensor t;
    struct bore_cache *cache;
};

struct bore_cache {
    struct entry *list;
    int n;
    int32_t *pos; /* columns that are captured */
    int n_pos;
    int rows, cols;
    bool drops_pos, drops_batch;
    struct bore_slice slice; /* of caching hooks, resolved at every call */
    int64_t *list_copy;
};

void bore_cache_free(struct bore_cache *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++)
        bore_tensor_free(&c->list[i].t);
    free(c->list), free(c->pos), free(c->list_copy);
    free(c);
}

/* ---- what to capture ------------------------------------------------------------------------------- */

static int position(int64_t i, int cols, int32_t *out, struct err *e)
{
    int64_t at = i < 0 ? i + cols : i;
    if (at < 0 || at >= cols)
        return err_set(e, ERR_BAD_INPUT, "position %lld · the prompt has positions %d..%d", (long long)i, -cols, cols - 1);
    *out = (int32_t)at;
    return 0;
}

/* An end of a range as Python takes it: from the end if negative, then cut to [0, cols]. */
static int64_t bound(int64_t i, int cols, int64_t open)
{
    if (i == BORE_OPEN)
        return open;
    i = i < 0 ? i + cols : i;
    return i < 0 ? 0 : i > cols ? cols : i;
}

static int slice_resolve(struct bore_cache *c, const struct bore_slice *s, struct err *e)
{
    int64_t lo = 0, hi = c->cols, step = 1, n;
    int rc = 0;
    if (s->kind == BORE_RANGE) {
        lo = bound(s->start, c->cols, 0), hi = bound(s->stop, c->cols, c->cols);
        step = s->step == BORE_OPEN ? 1 : s->step;
        if (step < 1)
            return err_set(e, ERR_BAD_INPUT, "a range of positions with step %lld · steps go forward, from 1 on", (long long)step);
    }
    n = s->kind == BORE_ONE ? 1 : s->kind == BORE_LIST ? s->n : hi > lo ? (hi - lo + step - 1) / step : 0;
    if (n < 1 || (s->kind == BORE_LIST && !s->list))
        return err_set(e, ERR_BAD_INPUT, "the positions asked for are none of the prompt's %d", c->cols);
    free(c->pos);
    if (!(c->pos = malloc((size_t)n * sizeof *c->pos)))
        return err_set(e, ERR_SYSTEM, "out of memory · %lld positions", (long long)n);
    c->n_pos = (int)n;
    c->drops_pos = s->kind == BORE_ONE;
    for (int64_t i = 0; !rc && i < n; i++) {
        if (s->kind == BORE_ONE || s->kind == BORE_LIST)
            rc = position(s->kind == BORE_ONE ? s->start : s->list[i], c->cols, &c->pos[i], e);
        else
            c->pos[i] = (int32_t)(lo + i * step);
    }
    return rc;
}

/* Mark the points that names, patterns or the match function mean. */
static int points_mark(const struct bore_model *m, const struct bore_cache_options *opt, int32_t first, int32_t end, bool *on, struct err *e)
{
    const struct config *cfg = &m->m->cfg;
    struct site_ref *sites = malloc((size_t)(cfg->n_layers + 1) * SITE_COUNT * sizeof *sites);
    int rc = sites ? 0 : err_set(e, ERR_SYSTEM, "out of memory · a cache"), n_names = opt->match ? 0 : opt->names ? opt->n_names : 0;
    for (int i = 0; !rc && i < n_names; i++) {
        int n = site_select(cfg, opt->names[i], sites, e);
        rc = n < 0 ? n : 0;
        for (int k = 0; !rc && k < n; k++) {
            int at = bore_site_index(m, sites[k]), stage = plan_stage_of(m->m->plan, sites[k]);
            if (site_refusal(cfg, sites[k].id))
                rc = err_set(e, ERR_BAD_INPUT, "%s · %s", m->names[at], site_refusal(cfg, sites[k].id));
            else if (stage >= first && stage < end)
                on[at] = true;
            else if (!site_is_pattern(opt->names[i]))
                rc = err_set(e, ERR_BAD_INPUT, "%s · this pass does not compute it: it runs layers %d to %d", m->names[at],
                             first ? first - 1 : 0, end > cfg->n_layers + 1 ? cfg->n_layers - 1 : end - 2);
        }
    }
    free(sites);
    for (int i = 0; !rc && (opt->match || !opt->names) && i < m->n_sites; i++) {
        int stage = plan_stage_of(m->m->plan, m->sites[i]);
        if (stage >= first && stage < end && site_fires(cfg, m->sites[i].id) && (!opt->match || opt->match(m->names[i], opt->user)))
            on[i] = true;
    }
    return rc;
}

/* Shape of an entry, and its memory. */
static int entry_open(const struct bore_model *m, struct bore_cache *c, struct entry *x, size_t *bytes, size_t bytes_max, struct err *e)
{
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(&m->m->cfg, x->site.id, c->cols, shape), axis = site_row_axis(x->site.id);
    struct bore_tensor t = { 0 };
    if (!c->drops_batch)
        t.shape[t.rank++] = c->rows;
    shape[axis] = c->n_pos;
    for (int i = 0; i < rank; i++)
        if (i != axis || !c->drops_pos)
            t.shape[t.rank++] = shape[i];
    bore_tensor_pack(&t);
    size_t need = (size_t)bore_tensor_size(&t) * sizeof(float);
    *bytes += need;
    if (bytes_max && *bytes > bytes_max)
        return err_set(e, ERR_BAD_INPUT, "the cache would take more than %zu bytes at %s · capture fewer names or positions", bytes_max, x->name);
    if (!(t.data = malloc(need ? need : 1)))
        return err_set(e, ERR_SYSTEM, "out of memory · %zu bytes for %s", need, x->name);
    x->t = t;
    return 0;
}

static int entries_open(const struct bore_model *m, const struct bore_cache_options *opt, const bool *on, struct bore_cache *c, struct err *e)
{
    size_t bytes = 0;
    int rc = 0, most = 0;
    for (int i = 0; i < m->n_sites; i++)
        most += on[i];
    if (!most)
        return err_set(e, ERR_BAD_INPUT, "a cache · nothing is captured by these names · bore_point_at lists the hook points");
    if (!(c->list = calloc((size_t)most * 2, sizeof *c->list)))
        return err_set(e, ERR_SYSTEM, "out of memory · a cache of %d tensors", most);
    for (int pass = 0; !rc && pass < 1 + opt->incl_bwd; pass++)
        for (int i = 0; !rc && i < m->n_sites; i++) {
            if (!on[i] || (pass && m->sites[i].id == SITE_TOKENS))
                continue;
            struct entry *x = &c->list[c->n++];
            x->site = m->sites[i], x->gradient = pass;
            snprintf(x->name, sizeof x->name, "%s%s", m->names[i], pass ? "_grad" : "");
            rc = entry_open(m, c, x, &bytes, opt->bytes_max, e);
        }
    return rc;
}

int bore_cache_open(const struct bore_model *m, const struct bore_pass *p, const struct bore_cache_options *opt, struct bore_cache **out,
                    struct err *e)
{
    int32_t first, end;
    int rc = bore_pass_check(m, p, e);
    if (!rc)
        rc = bore_pass_stages(m, p, &first, &end, e);
    if (!rc && opt->device && strcmp(opt->device, "cpu"))
        rc = err_set(e, ERR_BAD_INPUT, "device \"%.40s\" · captured values are kept on \"cpu\"", opt->device);
    if (!rc && opt->remove_batch && p->rows != 1)
        rc = err_set(e, ERR_BAD_INPUT, "remove_batch · the batch has %d rows · it needs one", p->rows);
    if (!rc && opt->incl_bwd && !p->metric)
        rc = err_set(e, ERR_BAD_INPUT, "incl_bwd · there is nothing to differentiate · set pass.metric");
    if (rc)
        return rc;
    struct bore_cache *c = calloc(1, sizeof *c);
    bool *on = calloc((size_t)m->n_sites, sizeof *on);
    if (!c || !on)
        rc = err_set(e, ERR_SYSTEM, "out of memory · a cache");
    if (!rc) {
        c->rows = p->rows, c->cols = p->cols, c->drops_batch = opt->remove_batch;
        rc = slice_resolve(c, &opt->pos, e);
    }
    if (!rc)
        rc = points_mark(m, opt, first, end, on, e);
    if (!rc)
        rc = entries_open(m, opt, on, c, e);
    free(on);
    if (rc)
        bore_cache_free(c);
    else
        *out = c;
    return rc;
}

/* ---- filling --------------------------------------------------------------------------------------- */

/* What an element shows where its own position is padding; where only its source is. */
static float blank(const struct entry *x, const struct bore_pass *p, int index, int32_t column)
{
    if (x->site.id == SITE_TOKENS)
        return p->tokens ? (float)p->tokens[(int64_t)index * p->cols + column] : 0;
    return x->gradient ? 0 : NAN;
}

/* Values [real positions] of one row to its part of the entry.  real[column]: position, or -1 for padding. */
static void entry_place(const struct bore_cache *c, struct entry *x, const struct bore_pass *p, int index, const float *values,
                        const int64_t shape[SITE_RANK_MAX], const int32_t *real)
{
    int rank = site_table[x->site.id].rank, axis = site_row_axis(x->site.id) + SITE_RANK_MAX - rank;
    int64_t from[3] = { 1, 1, 1 }, to[3] = { 1, 1, 1 };
    bool src = site_table[x->site.id].dims[rank - 1] == DIM_SRC;
    for (int i = 0; i < rank; i++)
        from[i + 3 - rank] = to[i + 3 - rank] = shape[i];
    to[axis] = c->n_pos;
    if (src)
        to[2] = c->cols;
    float *dst = x->t.data + (c->drops_batch ? 0 : index * x->t.stride[0]);
    float hidden = x->gradient || x->site.id == SITE_PATTERN ? 0.0f : -INFINITY;
    for (int64_t a = 0; a < to[0]; a++)
        for (int64_t b = 0; b < to[1]; b++)
            for (int64_t k = 0; k < to[2]; k++) {
                int64_t at[3] = { a, b, k };
                int32_t column = c->pos[at[axis]];
                at[axis] = real[column];
                if (src)
                    at[2] = real[k];
                *dst++ = at[axis] < 0 ? blank(x, p, index, column) : at[2] < 0 ? hidden : values[(at[0] * from[1] + at[1]) * from[2] + at[2]];
            }
}

/* For every column the position of its token, -1 where it is masked; malloc'ed. */
static int32_t *real_positions(const struct bore_pass *p, const struct bore_row *row)
{
    int32_t *real = malloc((size_t)p->cols * sizeof *real);
    for (int i = 0; real && i < p->cols; i++)
        real[i] = -1;
    for (int i = 0; real && i < row->n; i++)
        real[row->columns[i]] = i;
    return real;
}

static int64_t values_shape(const struct run *r, struct site_ref s, int64_t shape[SITE_RANK_MAX])
{
    int64_t n = 1;
    int rank = site_shape(&run_model(r)->cfg, s.id, run_length(r), shape);
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

int bore_cache_row(struct bore_capture *cap, const struct bore_pass *p, const struct bore_row *row, int index, struct run *r, struct err *e)
{
    struct bore_cache *c = cap->cache;
    int32_t *real = real_positions(p, row);
    int rc = real ? 0 : err_set(e, ERR_SYSTEM, "out of memory · a cache");
    for (int i = 0; !rc && i < c->n; i++) {
        struct entry *x = &c->list[i];
        if (x->gradient)
            continue;
        int64_t shape[SITE_RANK_MAX], n = values_shape(r, x->site, shape);
        float *values = malloc((size_t)n * sizeof *values);
        rc = values ? run_read(r, x->site, 0, row->n, values, NULL, e) : err_set(e, ERR_SYSTEM, "out of memory · %s", x->name);
        if (!rc)
            entry_place(c, x, p, index, values, shape, real);
        free(values);
    }
    free(real);
    return rc;
}

/* Gradients on their way: one buffer for all real rows of each wanted site. */
struct backward {
    struct entry **entries;
    float **values;
    struct site_ref *sites;
    int n;
    struct run *r;
};

/* Rows of a canonical view into a buffer of all rows. */
static int collect(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g, struct err *e)
{
    (void)row1, (void)e;
    struct backward *b = user;
    int i = 0;
    while (b->sites[i].id != s.id || b->sites[i].layer != s.layer)
        i++;
    int64_t shape[SITE_RANK_MAX], d[3] = { 1, 1, 1 }, st[3] = { 0 }, full[3] = { 1, 1, 1 };
    values_shape(b->r, s, shape);
    int lead = 3 - g->ndim, axis = site_row_axis(s.id) + lead;
    for (int k = 0; k < g->ndim; k++)
        d[k + lead] = g->shape[k], st[k + lead] = g->stride[k], full[k + lead] = shape[k];
    for (int64_t x = 0; x < d[0]; x++)
        for (int64_t y = 0; y < d[1]; y++)
            for (int64_t z = 0; z < d[2]; z++) {
                int64_t at[3] = { x, y, z };
                at[axis] += row0;
                b->values[i][(at[0] * full[1] + at[1]) * full[2] + at[2]] = ((const float *)g->data)[x * st[0] + y * st[1] + z * st[2]];
            }
    return 0;
}

static void backward_close(struct backward *b)
{
    for (int i = 0; i < b->n; i++)
        free(b->values[i]);
    free(b->entries), free(b->values), free(b->sites);
}

static int backward_open(struct backward *b, struct bore_cache *c, struct run *r, struct err *e)
{
    int most = c ? c->n : 0;
    *b = (struct backward){ calloc((size_t)most + 1, sizeof *b->entries), calloc((size_t)most + 1, sizeof *b->values),
                            calloc((size_t)most + 1, sizeof *b->sites), 0, r };
    if (!b->entries || !b->values || !b->sites)
        return err_set(e, ERR_SYSTEM, "out of memory · gradients");
    for (int i = 0; i < most; i++) {
        if (!c->list[i].gradient)
            continue;
        int64_t shape[SITE_RANK_MAX];
        b->entries[b->n] = &c->list[i], b->sites[b->n] = c->list[i].site;
        if (!(b->values[b->n++] = calloc((size_t)values_shape(r, c->list[i].site, shape), sizeof(float))))
            return err_set(e, ERR_SYSTEM, "out of memory · %s", c->list[i].name);
    }
    return 0;
}

int bore_backward(struct bore_capture *cap, const struct bore_pass *p, const struct bore_row *row, int index, struct run *r, struct run *base,
                  const struct metric *metric, struct err *e)
{
    struct backward b;
    int32_t *real = real_positions(p, row);
    int rc = backward_open(&b, cap ? cap->cache : NULL, r, e);
    if (!rc && !real)
        rc = err_set(e, ERR_SYSTEM, "out of memory · gradients");
    if (!rc)
        rc = grad_run(r, base, metric, b.sites, b.n, collect, &b, e);
    for (int i = 0; !rc && i < b.n; i++) {
        int64_t shape[SITE_RANK_MAX];
        values_shape(r, b.sites[i], shape);
        entry_place(cap->cache, b.entries[i], p, index, b.values[i], shape, real);
    }
    backward_close(&b);
    free(real);
    return rc;
}

/* ---- the public side ------------------------------------------------------------------------------- */

int bore_run_with_cache(struct bore_model *m, const struct bore_pass *pass, const struct bore_cache_options *options,
                        struct bore_cache **cache, struct bore_result *out, struct bore_error *error)
{
    struct err e = { 0 };
    struct bore_capture cap = { .cache = NULL };
    if (options)
        cap.opt = *options;
    int rc = bore_cache_open(m, pass, &cap.opt, &cap.cache, &e);
    if (!rc)
        rc = bore_pass_run(m, pass, &cap, out, &e);
    if (rc)
        bore_cache_free(cap.cache);
    else
        *cache = cap.cache;
    return bore_done(rc, &e, error);
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

int bore_cache_get(const struct bore_cache *c, const char *name, struct bore_tensor *t, struct bore_error *error)
{
    struct err e = { 0 };
    int best = 0;
    size_t best_d = SIZE_MAX;
    for (int i = 0; i < c->n; i++) {
        size_t d = nearest_distance(name, c->list[i].name);
        if (!strcmp(name, c->list[i].name) && c->list[i].t.data) {
            *t = c->list[i].t;
            return 0;
        }
        if (d < best_d)
            best = i, best_d = d;
    }
    return bore_done(err_set(&e, ERR_BAD_INPUT, "\"%.100s\" was not captured · the nearest is %s", name, c->n ? c->list[best].name : "nothing"), &e, error);
}

/* ---- caching hooks --------------------------------------------------------------------------------- */

/* A bore_hook_fn: keep a copy of the tensor, cut to the positions asked for. */
static int cache_tensor(struct bore_tensor *t, const struct bore_at *at, void *user)
{
    struct entry *x = user;
    struct bore_cache *c = x->cache;
    struct err e = { 0 };
    int axis = 1 + site_row_axis(x->site.id), lead = 4 - t->rank;
    struct bore_tensor to = { 0 };
    c->cols = (int)t->shape[axis];
    if (slice_resolve(c, &c->slice, &e))
        return bore_done(e.code, &e, at->error);
    int64_t d[4] = { 1, 1, 1, 1 }, st[4] = { 0 };
    for (int i = 0; i < t->rank; i++) {
        d[i + lead] = i == axis ? c->n_pos : t->shape[i], st[i + lead] = t->stride[i];
        if (!(i == 0 && c->drops_batch) && !(i == axis && c->drops_pos))
            to.shape[to.rank++] = d[i + lead];
    }
    bore_tensor_pack(&to);
    float *dst = to.data = malloc((size_t)bore_tensor_size(&to) * sizeof(float));
    if (!dst)
        return bore_done(err_set(&e, ERR_SYSTEM, "out of memory · a caching hook"), &e, at->error);
    for (int64_t a = 0; a < d[1]; a++)
        for (int64_t b = 0; b < d[2]; b++)
            for (int64_t k = 0; k < d[3]; k++) {
                int64_t i[4] = { 0, a, b, k };
                i[axis + lead] = c->pos[i[axis + lead]];
                *dst++ = t->data[i[1] * st[1] + i[2] * st[2] + i[3] * st[3]];
            }
    free(x->t.data);
    x->t = to;
    return 0;
}

int bore_add_caching_hooks(struct bore_model *m, const struct bore_cache_options *options, struct bore_cache **cache,
                           struct bore_error *error)
{
    static const struct bore_cache_options defaults = { 0 };
    const struct bore_cache_options *o = options ? options : &defaults;
    struct err e = { 0 };
    struct bore_cache *c = calloc(1, sizeof *c);
    bool *on = calloc((size_t)m->n_sites, sizeof *on);
    int rc = c && on ? points_mark(m, o, 0, INT32_MAX, on, &e) : err_set(&e, ERR_SYSTEM, "out of memory · caching hooks");
    if (!rc && !(c->list = calloc((size_t)m->n_sites * 2, sizeof *c->list)))
        rc = err_set(&e, ERR_SYSTEM, "out of memory · caching hooks");
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
    for (int pass = 0; !rc && pass < 1 + o->incl_bwd; pass++)
        for (int i = 0; !rc && i < m->n_sites; i++) {
            if (!on[i] || (pass && m->sites[i].id == SITE_TOKENS))
                continue;
            struct entry *x = &c->list[c->n++];
            *x = (struct entry){ .site = m->sites[i], .gradient = pass, .cache = c };
            snprintf(x->name, sizeof x->name, "%s%s", m->names[i], pass ? "_grad" : "");
            struct bore_hook h = { .name = m->names[i], .fn = cache_tensor, .user = x, .flags = BORE_READS };
            rc = bore_hook_add(m, pass ? BORE_BACKWARD : BORE_FORWARD, &h, BORE_NO_LEVEL, &e);
        }
    free(on);
    if (rc) {
        m->hooks.n = before < m->hooks.n ? before : m->hooks.n; /* appended ones */
        bore_cache_free(c);
    } else {
        *cache = c;
    }
    return bore_done(rc, &e, error);
}
