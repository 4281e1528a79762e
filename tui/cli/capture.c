/* capture.c - reading chosen sites (see capture.h). */
#include "capture.h"
#include "grad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int memory_out(struct err *e)
{
    return err_set(e, ERR_SYSTEM, "memory is out · captured activations");
}

static void capture_init(struct capture *c, struct run *run, struct site_ref site, const struct slice *slice)
{
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(&run_model(run)->cfg, site.id, run_length(run), shape), axis = site_row_axis(site.id);
    *c = (struct capture){.run = run, .site = site, .slice = slice, .rank = 1, .shape = {1}, .count = 1};
    site_name(site, c->name);
    for (int i = 0; i < rank; i++) {
        int64_t size = i == axis ? slice->n : shape[i];
        c->count *= size;
        if (i != axis || !slice->drop)
            c->shape[c->rank++] = size;
    }
}

/* Mark the sites that one glob means. */
static int mark(const struct config *cfg, const char *glob, struct site_ref *found, bool *wanted, struct err *e)
{
    int n = site_select(cfg, glob, found, e);
    for (int i = 0; i < n; i++) {
        const char *why = site_refusal(cfg, found[i].id);
        char name[LIMIT_NAME];
        if (why)
            return err_set(e, ERR_BAD_INPUT, "%s · %s", site_name(found[i], name), why);
        wanted[(found[i].layer + 1) * SITE_COUNT + (int32_t)found[i].id] = true;
    }
    return n < 0 ? n : 0;
}

int captures_open(struct capture_list *l, struct run *run, const char *const *globs, int n_globs, const char *pos,
                  struct err *e)
{
    const struct config *cfg = &run_model(run)->cfg;
    size_t most = ((size_t)cfg->n_layers + 1) * SITE_COUNT;
    struct site_ref *sites = calloc(most, sizeof *sites);
    bool *wanted = calloc(most, sizeof *wanted);
    *l = (struct capture_list){.item = calloc(2 * most + 1, sizeof *l->item)}; /* each may have a gradient besides */
    int err = sites && wanted && l->item ? 0 : memory_out(e);
    if (!err)
        err = slice_parse(&l->slice, pos, run_length(run), e);
    if (!err)
        err = slice_parse(&l->all, NULL, run_length(run), e);
    for (int i = 0; i < n_globs && !err; i++)
        err = mark(cfg, globs[i], sites, wanted, e);
    int n = err ? 0 : site_list(cfg, sites);
    for (int i = 0; i < n; i++)
        if (wanted[(sites[i].layer + 1) * SITE_COUNT + (int32_t)sites[i].id])
            capture_init(&l->item[l->n++], run, sites[i], &l->slice);
    if (!err) {
        capture_init(&l->item[l->n], run, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, &l->all);
        snprintf(l->item[l->n++].name, LIMIT_NAME, "logits");
    }
    free(sites);
    free(wanted);
    return err;
}

void captures_close(struct capture_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->item[i].values);
    free(l->item);
    free(l->slice.row);
    free(l->all.row);
}

/* One row of a site into its place among the kept ones. */
static void place_row(const struct capture *c, const struct kn_view *v, int32_t index)
{
    int64_t s[3] = {1, 1, 1}, st[3] = {0, 0, 0}, pad = 3 - v->ndim;
    for (int i = 0; i < v->ndim; i++) {
        s[pad + i] = v->shape[i];
        st[pad + i] = v->stride[i];
    }
    int64_t axis = site_row_axis(c->site.id) + pad, d[3] = {s[0], s[1], s[2]};
    d[axis] = c->slice->n;
    for (int64_t a = 0; a < s[0]; a++)
        for (int64_t b = 0; b < s[1]; b++)
            for (int64_t k = 0; k < s[2]; k++) {
                int64_t at[3] = {a, b, k};
                at[axis] = index;
                c->values[(at[0] * d[1] + at[1]) * d[2] + at[2]] =
                    ((const float *)v->data)[a * st[0] + b * st[1] + k * st[2]];
            }
}

/* All positions in their order. */
static bool is_whole(const struct slice *s, int32_t n)
{
    int32_t i = 0;
    while (i < s->n && s->row[i] == i)
        i++;
    return i == n && s->n == n;
}

/* Rows of a gradient, as grad_run hands them out, into every capture that keeps them. */
static int take_gradient(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g, struct err *e)
{
    (void)e;
    struct capture_list *l = user;
    for (int i = 0; i < l->n; i++) {
        struct capture *c = &l->item[i];
        if (!c->gradient || c->site.id != s.id || c->site.layer != s.layer)
            continue;
        for (int32_t k = 0; k < c->slice->n; k++) {
            int32_t row = c->slice->row[k];
            if (row < row0 || row >= row1)
                continue;
            struct kn_view one = kn_slice(*g, site_row_axis(s.id), row - row0, row - row0 + 1);
            place_row(c, &one, k);
        }
    }
    return 0;
}

int captures_gradient(struct capture_list *l, struct run *base, const struct metric *m, struct err *e)
{
    int n = l->n;
    struct site_ref *sites = calloc((size_t)n, sizeof *sites);
    int n_sites = 0, err = sites ? 0 : memory_out(e);
    for (int i = 0; i < n && !err; i++) {
        struct capture *c = &l->item[l->n];
        if (!strcmp(l->item[i].name, "logits") || l->item[i].site.id == SITE_TOKENS)
            continue;
        *c = l->item[i];
        snprintf(c->name + strlen(c->name), LIMIT_NAME - strlen(c->name), "_grad");
        c->gradient = true;
        c->values = calloc((size_t)c->count, sizeof *c->values);
        err = c->values ? 0 : memory_out(e);
        sites[n_sites++] = c->site;
        l->n++;
    }
    if (!err)
        err = grad_run(l->item[0].run, base, m, sites, n_sites, take_gradient, l, e);
    free(sites);
    return err;
}

int capture_read(struct capture *c, struct err *e)
{
    if (c->gradient)
        return 0;
    capture_drop(c);
    c->values = malloc((size_t)c->count * sizeof *c->values);
    if (!c->values)
        return memory_out(e);
    if (is_whole(c->slice, run_length(c->run)))
        return run_read(c->run, c->site, 0, run_length(c->run), c->values, NULL, e);
    for (int32_t i = 0; i < c->slice->n; i++) {
        struct kn_view v;
        int err = run_view(c->run, c->site, c->slice->row[i], c->slice->row[i] + 1, &v, e);
        if (err)
            return err;
        place_row(c, &v, i);
    }
    return 0;
}

void capture_drop(struct capture *c)
{
    if (c->gradient)
        return;
    free(c->values);
    c->values = NULL;
}

void capture_stats(const struct capture *c, struct lens_stats *out)
{
    lens_stats_values(c->values, c->count, c->site.id == SITE_ATTN_SCORES, out);
}

/* Pieces for the writer: the tensor is read at its first and dropped after its last. */
static int read_piece(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    struct capture *c = ctx;
    bool ids = c->site.id == SITE_TOKENS;
    size_t size = ids ? sizeof(int64_t) : sizeof(float);
    int err = offset ? 0 : capture_read(c, e);
    if (err)
        return err;
    if (!ids)
        memcpy(buf, (const char *)c->values + offset, n);
    for (size_t i = 0; ids && i < n; i++) { /* ids are exact in f32: LIMIT_VOCAB < 2^24 */
        int64_t id = (int64_t)c->values[(offset + i) / size];
        memcpy((char *)buf + i, (const char *)&id + (offset + i) % size, 1);
    }
    if (offset + n == (size_t)c->count * size)
        capture_drop(c);
    return 0;
}

int captures_write(struct capture_list *l, const char *path, const struct tensor_meta *meta, size_t n_meta, struct err *e)
{
    struct tensor_out *t = calloc((size_t)l->n, sizeof *t);
    if (!t)
        return memory_out(e);
    for (int i = 0; i < l->n; i++) {
        struct capture *c = &l->item[i];
        t[i] = (struct tensor_out){.name = c->name, .dtype = c->site.id == SITE_TOKENS ? ST_I64 : ST_F32,
                                   .rank = c->rank, .read = read_piece, .ctx = c};
        memcpy(t[i].shape, c->shape, (size_t)c->rank * sizeof *c->shape);
    }
    int err = tensor_write(path, t, (size_t)l->n, meta, n_meta, e);
    free(t);
    return err;
}
