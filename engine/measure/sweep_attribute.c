/* sweep_attribute.c - what the cells of a sweep give, to first order, without running them
 * (sweep.h).
 *
 * A cell's edits are applied to copies of the values that they edit, and what differs is multiplied
 * with the metric's gradient there.  Which cells edit a site is noted first; their programs are
 * made anew when its gradient comes, so that they need not all be kept. */
#include "measure/sweep_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "measure/attribute_parts.h"
#include "run/run_parts.h"

/* A site that a cell edits, and the rows of it. */
struct touch {
    struct site_ref site;
    int32_t cell, lo, hi;
};

/* One prompt on its way. */
struct estimate {
    struct sweep *s;
    struct sweep_side *d;
    struct run *fork; /* of the base, never computed: it holds a cell's edits */
    struct touch *touch;
    size_t n_touch;
    double *sum;        /* [cells] */
    bool *there;        /* [cells] in this prompt */
    float *value, *put; /* scratch */
    int64_t room;
};

/* The edits of a cell alone, with the runs that they read; *none: it edits nothing here. */
static int cell_open(struct estimate *u, int32_t cell, struct edit_program **p, struct run ***reads,
                     bool *none, struct err *e)
{
    *p = NULL, *reads = NULL;
    int rc = sweep_cell_program(u->s, u->d, cell, SWEEP_OWN, p, e);
    if (!rc && ((*p)->n_weights || (*p)->n_back))
        rc = err_set(e, ERR_BAD_INPUT,
                     "an edit of weights or of gradients puts no value anywhere · sweep runs them");
    if (!rc && !(*reads = calloc((size_t)(*p)->n_sources + 1, sizeof **reads)))
        rc = err_memory(e, "runs");
    if (!rc)
        rc = sweep_side_sources(u->s, u->d, *p, NULL, *reads, e);
    *none = !rc && (!(*p)->n_instrs || sweep_masked(*p));
    return rc;
}

static void cell_close(struct edit_program *p, struct run **reads)
{
    edit_program_free(p);
    free(reads);
}

static bool same_site(struct site_ref a, struct site_ref b)
{
    return a.id == b.id && a.layer == b.layer;
}

static int touch_add(struct estimate *u, int32_t cell, const struct edit_instr *a, struct err *e)
{
    struct touch t = {.site = a->site, .cell = cell};
    run_instr_rows(a, &t.lo, &t.hi);
    if (a->full)
        t.lo = 0, t.hi = u->d->target.input.n;
    for (size_t i = u->n_touch; i-- > 0 && u->touch[i].cell == cell;)
        if (same_site(u->touch[i].site, t.site)) {
            struct touch *was = &u->touch[i];
            was->lo = was->lo < t.lo ? was->lo : t.lo;
            was->hi = was->hi > t.hi ? was->hi : t.hi;
            return 0;
        }
    if (!list_room(&u->touch, u->n_touch, sizeof t))
        return err_memory(e, "attributions");
    u->touch[u->n_touch++] = t;
    return 0;
}

static int by_site(const void *pa, const void *pb)
{
    const struct touch *a = pa, *b = pb;
    if (a->site.id != b->site.id)
        return a->site.id < b->site.id ? -1 : 1;
    if (a->site.layer != b->site.layer)
        return a->site.layer < b->site.layer ? -1 : 1;
    return (a->cell > b->cell) - (a->cell < b->cell);
}

static int touches_find(struct estimate *u, struct err *e)
{
    int rc = 0;
    for (int32_t cell = 0; cell < u->s->cells && !rc; cell++) {
        struct edit_program *p;
        struct run **reads;
        bool none;
        if (!(u->there[cell] = sweep_cell_there(u->s, u->d, cell)))
            continue;
        rc = cell_open(u, cell, &p, &reads, &none, e);
        for (int32_t i = 0; !rc && !none && i < p->n_instrs; i++)
            rc = touch_add(u, cell, &p->instrs[i], e);
        cell_close(p, reads);
    }
    if (u->n_touch)
        qsort(u->touch, u->n_touch, sizeof *u->touch, by_site);
    return rc;
}

static int scratch(struct estimate *u, int64_t n, struct err *e)
{
    if (n <= u->room)
        return 0;
    free(u->value);
    u->value = malloc(2 * (size_t)n * sizeof *u->value);
    u->room = u->value ? n : 0;
    u->put = u->value + n;
    return u->value ? 0 : err_memory(e, "attributions");
}

/* Differences times gradients of rows [from, to) of the site, of which value and put hold those
 * from `first` on, without gaps, and g those from row0 on. */
static double product(const struct estimate *u, const struct kn_view *held, int axis, int32_t first,
                      const struct kn_view *g, int32_t row0, int32_t from, int32_t to)
{
    int64_t at[SITE_RANK_MAX] = {0}, n[SITE_RANK_MAX], count = 1;
    double sum = 0;
    for (int i = 0; i < held->ndim; i++) {
        n[i] = i == axis ? to - from : held->shape[i];
        count *= n[i];
    }
    for (int64_t k = 0; k < count; k++) {
        int64_t own = 0, slope = 0;
        for (int i = 0; i < held->ndim; i++) {
            own += (at[i] + (i == axis ? from - first : 0)) * held->stride[i];
            slope += (at[i] + (i == axis ? from - row0 : 0)) * g->stride[i];
        }
        float w = kn_f32(g)[slope];
        if (w != 0 &&
            u->put[own] != u->value[own]) /* hidden scores are infinite, without a slope */
            sum += ((double)u->put[own] - (double)u->value[own]) * (double)w;
        for (int i = held->ndim; i-- > 0 && ++at[i] == n[i];)
            at[i] = 0;
    }
    return sum;
}

/* What one cell gives at rows [row0, row1) of a site. */
static int touch_take(struct estimate *u, const struct touch *t, int32_t row0, int32_t row1,
                      const struct kn_view *g, struct err *e)
{
    struct edit_program *p;
    struct run **reads, *r = sweep_side_shown(u->d);
    bool none;
    int64_t shape[SITE_RANK_MAX];
    int32_t from = t->lo > row0 ? t->lo : row0, to = t->hi < row1 ? t->hi : row1;
    int axis = site_row_axis(t->site.id);
    if (from >= to)
        return 0;
    int rc = cell_open(u, t->cell, &p, &reads, &none, e);
    bool full = false;
    for (int32_t i = 0; !rc && i < p->n_instrs; i++)
        full |= p->instrs[i].full && same_site(p->instrs[i].site, t->site);
    int32_t lo = full ? 0 : from, hi = full ? u->d->target.input.n : to;
    int rank = site_shape(&u->s->m->cfg, t->site.id, u->d->target.input.n, shape);
    shape[axis] = hi - lo;
    struct kn_view held = kn_packed(NULL, KN_F32, rank, shape);
    if (!rc)
        rc = scratch(u, kn_count(&held), e);
    if (!rc)
        rc = run_edits_set(u->fork, p, reads, e);
    if (!rc)
        rc = attribute_put_values(u->fork, r, t->site, lo, hi, u->value, u->put, e);
    if (!rc)
        u->sum[t->cell] += product(u, &held, axis, lo, g, row0, from, to);
    cell_close(p, reads);
    return rc;
}

static int take(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g,
                struct err *e)
{
    struct estimate *u = user;
    struct touch key = {.site = s, .cell = -1};
    size_t lo = 0, hi = u->n_touch;
    while (lo < hi) { /* the first of this site */
        size_t mid = lo + (hi - lo) / 2;
        if (by_site(&u->touch[mid], &key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    int rc = 0;
    for (; lo < u->n_touch && same_site(u->touch[lo].site, s) && !rc; lo++)
        rc = touch_take(u, &u->touch[lo], row0, row1, g, e);
    return rc;
}

static int gradients(struct estimate *u, struct err *e)
{
    struct sweep_side *d = u->d;
    struct site_ref *sites = malloc((u->n_touch + 1) * sizeof *sites);
    int32_t n = 0;
    if (!sites)
        return err_memory(e, "attributions");
    for (size_t i = 0; i < u->n_touch; i++)
        if (!n || !same_site(sites[n - 1], u->touch[i].site))
            sites[n++] = u->touch[i].site;
    int rc = n ? grad_run(sweep_side_shown(d), d->base, &d->by.metric, sites, n, take, u, e) : 0;
    free(sites);
    return rc;
}

static int side_estimate(struct sweep *s, struct sweep_side *d, double *sum, bool *there,
                         struct err *e)
{
    struct estimate u = {.s = s, .d = d, .sum = sum, .there = there};
    struct run_options none = {0};
    memset(sum, 0, (size_t)s->cells * sizeof *sum);
    int rc = metric_check_gradient(&d->by.metric, s->m, e);
    if (!rc)
        rc = sweep_side_ready(s, d, e);
    if (!rc && !(u.fork = run_create(s->m, d->base, &none, e)))
        rc = err_code(e);
    if (!rc)
        rc = touches_find(&u, e);
    if (!rc)
        rc = gradients(&u, e);
    run_free(u.fork);
    free(u.touch), free(u.value);
    return rc;
}

int sweep_attribute(struct sweep *s, float *values, float *errors, bool *there, struct err *e)
{
    size_t n = (size_t)s->cells;
    double *sum = calloc(3 * n + 1, sizeof *sum), *mean = sum + n, *square = mean + n;
    int32_t *count = calloc(n + 1, sizeof *count);
    bool *here = calloc(n + 1, sizeof *here);
    int rc = !sum || !count || !here ? err_memory(e, "attributions")
             : s->paths || s->normalize
                 ? err_set(e, ERR_BAD_INPUT, "an attribution has no paths and no scores")
                 : 0;
    for (int32_t k = 0; k < s->n_sides && !rc; k++) {
        rc = side_estimate(s, &s->side[k], sum, here, e);
        if (rc && s->n_sides > 1)
            err_prefix(e, "prompt %d", (int)k + 1);
        for (size_t i = 0; i < n && !rc; i++) { /* Welford 1962, as attribute_set.c */
            double d = sum[i] - mean[i];
            mean[i] += here[i] ? d / ++count[i] : 0;
            square[i] += here[i] ? d * (sum[i] - mean[i]) : 0;
        }
    }
    for (size_t i = 0; i < n && !rc; i++) {
        int32_t c = count[i];
        there[i] = c > 0;
        values[i] = (float)mean[i];
        errors[i] = c > 1 ? (float)sqrt(square[i] / (c - 1) / c) : 0;
    }
    free(sum), free(count), free(here);
    return rc;
}
