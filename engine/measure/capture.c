/* capture.c - see capture.h. */
#include "measure/capture.h"

#include <stdlib.h>
#include <string.h>

#include "measure/grad.h"
#include "run/run_device.h"

enum {
    ROWS_MAX = 256, /* of one block: as many as a run computes at once */
    GAP_MAX = 16    /* rows that nobody wants are computed along, if they are no more than these:
                       a product of so few is as dear as one of none */
};

static int memory_out(struct err *e)
{
    return err_memory(e, "captured activations");
}

/* ---- where an element goes ---- */

int capture_shape(const struct capture_list *l, const struct capture *c, bool whole,
                  int64_t shape[ALIAS_RANK_MAX])
{
    int64_t all[ALIAS_RANK_MAX];
    int rank = alias_shape(&l->m->cfg, &c->value, l->columns, all, NULL), n = 0;
    for (int i = 0; i < rank; i++) {
        bool cut = c->cut && i == c->axis;
        if (whole || !cut || !c->cut->drop)
            shape[n++] = cut ? c->cut->n : all[i];
    }
    return n;
}

int64_t capture_count(const struct capture_list *l, const struct capture *c)
{
    int64_t shape[ALIAS_RANK_MAX], n = 1;
    for (int i = capture_shape(l, c, true, shape); i-- > 0;)
        n *= shape[i];
    return n;
}

/* Elements of a host view to the places of another of its rank, or added to what is there. list[i],
 * or NULL: which index of `from` each one of axis i is; -1: leave the place alone. */
static void move(const struct kn_view *to, const struct kn_view *from, const int32_t *const *list,
                 bool add)
{
    int64_t n[3] = {1, 1, 1}, f[3] = {0}, t[3] = {0};
    const int32_t *of[3] = {NULL};
    for (int i = 0, at = 3 - to->ndim; i < to->ndim; i++, at++)
        n[at] = to->shape[i], f[at] = from->stride[i], t[at] = to->stride[i], of[at] = list[i];
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++) {
            int64_t a = of[0] ? of[0][i] : i, b = of[1] ? of[1][j] : j;
            const float *x = kn_f32(from) + a * f[0] + b * f[1];
            float *y = kn_f32(to) + i * t[0] + j * t[1];
            if (a < 0 || b < 0)
                continue;
            if (!add && !of[2] && f[2] == 1 && t[2] == 1)
                memcpy(y, x, (size_t)n[2] * sizeof *y);
            else
                for (int64_t k = 0; k < n[2]; k++) {
                    int64_t c = of[2] ? of[2][k] : k;
                    if (c >= 0)
                        y[k * t[2]] = x[c * f[2]] + (add ? y[k * t[2]] : 0);
                }
        }
}

void capture_move(const struct kn_view *to, const struct kn_view *from)
{
    move(to, from, (const int32_t *[3]){NULL}, false);
}

void capture_copy(const struct kn_view *v, int axis, const struct capture_slice *cut, float *to)
{
    struct kn_view all = *v;
    const int32_t *list[3] = {NULL};
    all.shape[axis] = cut->n, list[axis] = cut->index;
    all = kn_packed(to, KN_F32, v->ndim, all.shape);
    move(&all, v, list, false);
}

/* Where the run has the k-th row of a tensor. */
static int32_t row_at(const struct capture_list *l, const struct capture *c, int32_t k)
{
    bool cut = c->cut && c->axis == alias_row_axis(&c->value);
    int32_t column = cut ? c->cut->index[k] : k;
    return l->position ? l->position[column] : column;
}

static int32_t rows_of(const struct capture_list *l, const struct capture *c)
{
    return c->cut && c->axis == alias_row_axis(&c->value) ? c->cut->n : l->columns;
}

/* Rows [r0, ...) of slots, in host memory, of which those of one expert are wanted. */
static void place_expert(const struct capture_list *l, struct capture *c,
                         const struct kn_view *site, const int32_t *expert, int32_t r0, int32_t r1)
{
    int32_t slots = l->m->cfg.n_active;
    int64_t shape[ALIAS_RANK_MAX];
    capture_shape(l, c, true, shape);
    struct kn_view to = kn_view2(c->values, KN_F32, shape[0], shape[1]);
    const int32_t *list[2] = {NULL, c->cut && c->axis == 1 ? c->cut->index : NULL};
    for (int32_t k = 0, row; k < rows_of(l, c); k++) {
        if ((row = row_at(l, c, k)) < r0 || row >= r1)
            continue;
        struct kn_view y = kn_slice(to, 0, k, k + 1),
                       x = kn_slice(*site, 0, row - r0, row - r0 + 1);
        int32_t slot = 0;
        while (slot < slots && expert[(row - r0) * slots + slot] != c->value.expert)
            slot++;
        if (slot == slots) {
            kn_fill(&y, 0);
        } else {
            x = kn_index(x, 1, slot);
            move(&y, &x, list, false);
        }
    }
}

/* Where rows go, if that is asked. */
static int experts_of(struct capture_list *l, const struct capture *c, int32_t r0, int32_t r1,
                      const int32_t **expert, struct err *e)
{
    *expert = NULL;
    return c->value.form == FORM_EXPERT
               ? run_layer_experts(l->run, c->value.site[0].layer, r0, r1, expert, e)
               : 0;
}

/* Rows [r0, ...) of the part-th site, in host memory, to those places that want them. */
static void place(const struct capture_list *l, struct capture *c, int part,
                  const struct kn_view *site, int32_t r0, int32_t r1)
{
    int64_t shape[ALIAS_RANK_MAX];
    int row = 0, rank = capture_shape(l, c, true, shape);
    struct kn_view from = *site, to;
    const int32_t *list[3] = {NULL};
    if (alias_is_view(&c->value) && !(c->gradient && c->value.spread)) {
        row = alias_row_axis(&c->value);
        from = alias_view(&c->value, site);
        to = kn_packed(c->values, KN_F32, rank, shape);
        if (c->value.form == FORM_SITE && site_table[c->value.site[0].id].dims[rank - 1] == DIM_SRC)
            list[rank - 1] = l->position;
        if (c->cut && c->axis != row)
            list[c->axis] = c->cut->index;
    } else { /* heads joined, or with `spread` the sum over heads */
        struct kn_view whole = kn_view2(c->values, KN_F32, shape[0], shape[1]);
        to = alias_part(&l->m->cfg, &c->value, part, &whole);
        to = site->ndim == 2 ? kn_index(to, 1, 0) : to;
    }
    for (int32_t k = 0, at; k < rows_of(l, c); k++) {
        if ((at = row_at(l, c, k)) < r0 || at >= r1)
            continue;
        struct kn_view x = kn_slice(from, row, at - r0, at - r0 + 1),
                       y = kn_slice(to, row, k, k + 1);
        move(&y, &x, list, c->gradient && !alias_is_site(&c->value));
    }
}

/* ---- reading ---- */

static void take(void *list, void *c, int part, const struct kn_view *v, int32_t r0, int32_t r1)
{
    place(list, c, part, v, r0, r1);
}

static int place_view(struct host_queue *q, struct capture *c, int part, const struct kn_view *v,
                      const int32_t *expert, int32_t r0, int32_t r1, struct err *e)
{
    if (!expert)
        return host_queue_add(q, v, c, part, r0, r1, e);
    struct host_view host = {0};
    int rc = host_view_get(&host, q->be, v, e);
    if (!rc)
        place_expert(q->user, c, &host.v, expert, r0, r1);
    host_view_drop(&host);
    return rc;
}

/* A row of what collect keeps: between the edits.  An edit of a name that means several copies is
 * in each of them. */
static int read_collected(struct capture_list *l, struct host_queue *q, struct capture *c,
                          int32_t row, struct err *e)
{
    const struct alias_value *a = &c->value;
    struct kn_view v;
    const int32_t *expert;
    int rc = experts_of(l, c, row, row + 1, &expert, e);
    if (rc)
        return rc;
    rc = run_view_between(l->run, a->spread ? a->edit[0] : a->site[0], c->collected, row, &v, e);
    if (!rc && v.ndim == 3 && a->spread) { /* the first head's */
        v.stride[1] = v.stride[2];
        v.shape[1] = v.shape[2];
        v.ndim = 2;
    }
    return rc ? rc : place_view(q, c, 0, &v, expert, row, row + 1, e);
}

static int read_rows(struct capture_list *l, struct host_queue *q, struct capture *c, int32_t r0,
                     int32_t r1, struct err *e)
{
    int rc = 0;
    for (int32_t row = r0; c->collected >= 0 && !rc && row < r1; row++)
        rc = read_collected(l, q, c, row, e);
    for (int i = 0; c->collected < 0 && !rc && i < c->value.n_sites; i++) {
        struct kn_view v;
        const int32_t *expert;
        rc = experts_of(l, c, r0, r1, &expert, e);
        if (!rc && !(rc = run_view(l->run, c->value.site[i], r0, r1, &v, e)))
            rc = place_view(q, c, i, &v, expert, r0, r1, e);
    }
    return rc;
}

/* Is it one that is read in this stage? */
static bool is_read(const struct capture_list *l, const struct capture *c, int32_t stage)
{
    return !c->gradient && plan_stage_of(l->m->plan, c->value.site[0]) == stage;
}

/* The next rows to read together, from *r1 on; false: there are none. */
static bool rows_next(const bool *wanted, int32_t n, int32_t *r0, int32_t *r1)
{
    int32_t at = *r1;
    while (at < n && !wanted[at])
        at++;
    *r0 = at;
    for (int32_t gap = 0; at < n && at - *r0 < ROWS_MAX && gap <= GAP_MAX; at++) {
        gap = wanted[at] ? 0 : gap + 1;
        *r1 = wanted[at] ? at + 1 : *r1;
    }
    return *r0 < n;
}

int captures_read(struct capture_list *l, int first, int end, struct err *e)
{
    int32_t n = run_length(l->run), stages = plan_stages(l->m->plan);
    struct host_queue q = {.be = l->m->be, .take = take, .user = l};
    bool *wanted = malloc((size_t)n * sizeof *wanted);
    int rc = wanted ? 0 : memory_out(e);
    for (int32_t stage = 0; !rc && stage < stages; stage++) {
        memset(wanted, 0, (size_t)n * sizeof *wanted);
        for (int i = first; i < end; i++) {
            int32_t rows = is_read(l, &l->item[i], stage) ? rows_of(l, &l->item[i]) : 0;
            for (int32_t k = 0, row; k < rows; k++)
                if ((row = row_at(l, &l->item[i], k)) >= 0)
                    wanted[row] = true;
        }
        for (int32_t r0 = 0, r1 = 0; !rc && rows_next(wanted, n, &r0, &r1);) {
            for (int i = first; !rc && i < end; i++)
                if (is_read(l, &l->item[i], stage))
                    rc = read_rows(l, &q, &l->item[i], r0, r1, e);
            rc = host_queue_end(&q, rc, e);
        }
    }
    free(wanted);
    return rc;
}

/* Rows of a gradient, as grad_run hands them out, into every one that keeps them. */
static int take_gradient(void *user, struct site_ref s, int32_t row0, int32_t row1,
                         const struct kn_view *g, struct err *e)
{
    struct capture_list *l = user;
    int rc = 0;
    for (int i = 0; i < l->n; i++)
        for (int k = 0; !rc && l->item[i].gradient && k < l->item[i].value.n_edits; k++) {
            const int32_t *expert;
            if (!site_same(l->item[i].value.edit[k], s) ||
                (rc = experts_of(l, &l->item[i], row0, row1, &expert, e)))
                continue;
            if (expert)
                place_expert(l, &l->item[i], g, expert, row0, row1);
            else
                place(l, &l->item[i], k, g, row0, row1);
        }
    return rc;
}

int captures_differentiate(struct capture_list *l, struct run *base, const struct metric *m,
                           struct err *e)
{
    struct site_ref *sites = calloc((size_t)l->n * ALIAS_SITES_MAX + 1, sizeof *sites);
    int n = 0;
    int rc = sites ? 0 : memory_out(e);
    for (int i = 0; !rc && i < l->n; i++) {
        struct capture *c = &l->item[i];
        for (int k = 0; c->gradient && k < c->value.n_edits; k++)
            sites[n++] = c->value.edit[k];
        if (c->gradient && !c->values &&
            !(c->values = calloc((size_t)capture_count(l, c), sizeof *c->values)))
            rc = memory_out(e);
    }
    if (!rc)
        rc = grad_run(l->run, base, m, sites, n, take_gradient, l, e);
    free(sites);
    return rc;
}

/* ---- one after the other ---- */

void capture_drop(struct capture *c)
{
    if (c->gradient)
        return;
    free(c->values);
    c->values = NULL;
}

int captures_load(struct capture_list *l, int i, struct err *e)
{
    struct capture *c = l->item;
    int32_t stage = plan_stage_of(l->m->plan, c[i].value.site[0]);
    int64_t bytes = 0;
    int end = i, rc = 0;
    if (c[i].values)
        return 0;
    while (!rc && end < l->n && is_read(l, &c[end], stage) && !c[end].values) {
        int64_t size = capture_count(l, &c[end]) * (int64_t)sizeof(float);
        bytes += size;
        if (end > i && bytes > LIMIT_CAPTURE_BYTES)
            break;
        rc = (c[end++].values = malloc((size_t)size)) ? 0 : memory_out(e);
    }
    if (!rc)
        rc = captures_read(l, i, end, e);
    for (int k = i; rc && k < end; k++)
        capture_drop(&c[k]);
    return rc;
}

/* One tensor for the writer. */
struct piece {
    struct capture_list *l;
    int i;
};

/* Its bytes, in order: read at the first, dropped after the last. */
static int read_piece(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    const struct piece *p = ctx;
    struct capture *c = &p->l->item[p->i];
    bool ids = capture_holds_ids(c);
    size_t size = ids ? sizeof(int64_t) : sizeof(float);
    int rc = captures_load(p->l, p->i, e);
    if (rc)
        return rc;
    if (!ids)
        memcpy(buf, (const char *)c->values + offset, n);
    for (size_t i = 0; ids && i < n; i++) { /* ids are exact in f32: LIMIT_VOCAB < 2^24 */
        int64_t id = (int64_t)c->values[(offset + i) / size];
        memcpy((char *)buf + i, (const char *)&id + (offset + i) % size, 1);
    }
    if (offset + n == (size_t)capture_count(p->l, c) * size)
        capture_drop(c);
    return 0;
}

int captures_write(struct capture_list *l, const char *path, const struct tensor_meta *meta,
                   size_t n_meta, struct err *e)
{
    struct tensor_out *t = calloc((size_t)l->n + 1, sizeof *t);
    struct piece *p = calloc((size_t)l->n + 1, sizeof *p);
    int rc = t && p ? 0 : memory_out(e);
    for (int i = 0; !rc && i < l->n; i++) {
        struct capture *c = &l->item[i];
        p[i] = (struct piece){l, i};
        t[i] = (struct tensor_out){.name = c->name,
                                   .dtype = capture_holds_ids(c) ? ST_I64 : ST_F32,
                                   .shape = {1},
                                   .read = read_piece,
                                   .ctx = &p[i]};
        t[i].rank = 1 + capture_shape(l, c, false, t[i].shape + 1);
    }
    if (!rc)
        rc = tensor_write(path, t, (size_t)l->n, meta, n_meta, e);
    free(t), free(p);
    return rc;
}
