/* bore_cache_grad.c - gradients of a pass into its captured values, and its backward hooks (see
 * borescope.h). Tested in tests/engine/test_library.c. */
#include "lib/bore_cache_parts.h"

#include <stdlib.h>

#include "measure/grad.h"

/* Gradients on their way: one buffer for all real rows of each entry that wants one. */
struct backward {
    struct entry **entries;
    float **values;
    struct site_ref *sites; /* that they are made of */
    int n, n_sites;
    struct run *r;
};

/* Rows of a canonical view into a buffer of all rows. */
static void collect_site(const struct backward *b, int i, struct site_ref s, int32_t row0,
                         const struct kn_view *g)
{
    int64_t shape[ALIAS_RANK_MAX], d[3] = {1, 1, 1}, st[3] = {0}, full[3] = {1, 1, 1};
    int rank;
    bore_entry_shape(b->r, b->entries[i], shape, &rank);
    int lead = 3 - g->ndim, axis = site_row_axis(s.id) + lead;
    for (int k = 0; k < g->ndim; k++)
        d[k + lead] = g->shape[k], st[k + lead] = g->stride[k], full[k + lead] = shape[k];
    for (int64_t x = 0; x < d[0]; x++)
        for (int64_t y = 0; y < d[1]; y++)
            for (int64_t z = 0; z < d[2]; z++) {
                int64_t at[3] = {x, y, z};
                at[axis] += row0;
                b->values[i][(at[0] * full[1] + at[1]) * full[2] + at[2]] = kn_f32(
                    g)[x * st[0] + y * st[1] + z * st[2]];
            }
}

/* A gradient as grad_run hands it out, to every entry that it is part of. */
static int collect(void *user, struct site_ref s, int32_t row0, int32_t row1,
                   const struct kn_view *g, struct err *e)
{
    (void)e;
    struct backward *b = user;
    const struct config *cfg = &run_model(b->r)->cfg;
    for (int i = 0; i < b->n; i++) {
        const struct alias_value *v = &b->entries[i]->value;
        bool part = false;
        for (int k = 0; k < v->n_edits; k++)
            part |= v->edit[k].id == s.id && v->edit[k].layer == s.layer;
        if (part && alias_is_site(v))
            collect_site(b, i, s, row0, g);
        int64_t shape[ALIAS_RANK_MAX];
        int rank;
        for (int32_t row = row0; part && !alias_is_site(v) && row < row1; row++) {
            struct kn_view one = kn_slice(*g, site_row_axis(s.id), row - row0, row - row0 + 1);
            bore_entry_shape(b->r, b->entries[i], shape, &rank);
            alias_add_row(cfg, v, s, &one, b->values[i] + row * shape[1]);
        }
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
    size_t most = c ? (size_t)c->n : 0;
    *b = (struct backward){calloc(most + 1, sizeof *b->entries),
                           calloc(most + 1, sizeof *b->values),
                           calloc(most * ALIAS_SITES_MAX + 1, sizeof *b->sites),
                           0,
                           0,
                           r};
    if (!b->entries || !b->values || !b->sites)
        return err_set(e, ERR_SYSTEM, "out of memory · gradients");
    for (size_t i = 0; i < most; i++) {
        struct entry *x = &c->list[i];
        int64_t shape[ALIAS_RANK_MAX];
        int rank;
        if (!x->gradient)
            continue;
        for (int k = 0; k < x->value.n_edits; k++)
            b->sites[b->n_sites++] = x->value.edit[k];
        b->entries[b->n] = x;
        if (!(b->values[b->n++] = calloc((size_t)bore_entry_shape(r, x, shape, &rank),
                                         sizeof(float))))
            return err_set(e, ERR_SYSTEM, "out of memory · %s", x->name);
    }
    return 0;
}

int bore_backward(struct bore_capture *cap, const struct bore_pass *p, const struct bore_row *row,
                  int index, struct run *r, struct run *base, const struct metric *metric,
                  struct err *e)
{
    struct backward b;
    int32_t *real = bore_real_positions(p, row);
    int rc = backward_open(&b, cap ? cap->cache : NULL, r, e);
    if (!rc && !real)
        rc = err_set(e, ERR_SYSTEM, "out of memory · gradients");
    if (!rc)
        rc = grad_run(r, base, metric, b.sites, b.n_sites, collect, &b, e);
    for (int i = 0; !rc && i < b.n; i++) {
        int64_t shape[ALIAS_RANK_MAX];
        int rank;
        bore_entry_shape(r, b.entries[i], shape, &rank);
        bore_entry_place(cap->cache, b.entries[i], p, index, b.values[i], shape, rank, real);
    }
    backward_close(&b);
    free(real);
    return rc;
}
