/* capture.c - reading chosen sites (see capture.h). */
#include "capture.h"
#include "measure/alias_read.h"
#include "measure/grad.h"

#include <stdlib.h>
#include <string.h>

static int memory_out(struct err *e)
{
    return err_set(e, ERR_SYSTEM, "out of memory · captured activations");
}

static void capture_init(struct capture *c, struct run *run, const struct alias_pick *pick,
                         const struct slice *slice)
{
    int64_t shape[ALIAS_RANK_MAX];
    int rank = alias_shape(&run_model(run)->cfg, &pick->value, run_length(run), shape, NULL);
    int axis = alias_row_axis(&pick->value);
    *c = (struct capture){.run = run,
                          .value = pick->value,
                          .slice = slice,
                          .rank = 1,
                          .shape = {1},
                          .count = 1,
                          .collected = -1};
    memcpy(c->name, pick->name, sizeof c->name);
    for (int i = 0; i < rank; i++) {
        int64_t size = i == axis ? slice->n : shape[i];
        c->count *= size;
        if (i != axis || !slice->drop)
            c->shape[c->rank++] = size;
    }
}

static bool holds_ids(const struct capture *c)
{
    return c->value.n_sites && c->value.site[0].id == SITE_TOKENS;
}

/* What globs mean: TransformerLens' names as marks on the model's sites, others in a list. */
struct wanted {
    bool *site;
    struct alias_pick *others;
    int n_others;
};

static bool is_known(const struct wanted *w, const char *name)
{
    for (int i = 0; i < w->n_others; i++)
        if (!strcmp(w->others[i].name, name))
            return true;
    return false;
}

static int mark(const struct config *cfg, const char *glob, struct wanted *w, struct err *e)
{
    struct alias_pick *picks = NULL;
    int n = alias_select(cfg, glob, &picks, e), rc = n < 0 ? n : 0;
    struct alias_pick *others = rc ? NULL
                                   : realloc(w->others, (size_t)(w->n_others + n) * sizeof *others);
    if (others)
        w->others = others;
    else if (!rc)
        rc = memory_out(e);
    for (int i = 0; i < n && !rc; i++) {
        struct site_ref s = picks[i].value.site[0];
        const char *why = picks[i].value.n_sites ? site_refusal(cfg, s.id) : NULL;
        if (why)
            rc = err_set(e, ERR_BAD_INPUT, "%s · %s", picks[i].name, why);
        else if (picks[i].value.library == LIBRARY_LENS)
            w->site[(s.layer + 1) * SITE_COUNT + (int32_t)s.id] = true;
        else if (!is_known(w, picks[i].name))
            w->others[w->n_others++] = picks[i];
    }
    free(picks);
    return rc;
}

/* All that is wanted, in its order, and the logits. */
static int list_wanted(struct capture_list *l, struct run *run, const struct wanted *w,
                       struct err *e)
{
    const struct config *cfg = &run_model(run)->cfg;
    struct alias_pick *all = NULL;
    int n = alias_list(cfg, LIBRARY_LENS, &all, e);
    l->item = n < 0 ? NULL
                    : calloc(2 * (size_t)(n + w->n_others) + 1,
                             sizeof *l->item); /* and a gradient of each */
    if (!l->item) {
        free(all);
        return n < 0 ? n : memory_out(e);
    }
    for (int i = 0; i < n; i++) {
        struct site_ref s = all[i].value.site[0];
        if (w->site[(s.layer + 1) * SITE_COUNT + (int32_t)s.id])
            capture_init(&l->item[l->n++], run, &all[i], &l->slice);
    }
    for (int i = 0; i < w->n_others; i++)
        capture_init(&l->item[l->n++], run, &w->others[i], &l->slice);
    struct alias_pick logits = {.name = "logits"};
    int rc = alias_find(cfg, "unembed.hook_out", &logits.value, e);
    if (!rc)
        capture_init(&l->item[l->n++], run, &logits, &l->all);
    free(all);
    return rc;
}

int captures_open(struct capture_list *l, struct run *run, const char *const *globs, int n_globs,
                  const char *pos, struct err *e)
{
    const struct config *cfg = &run_model(run)->cfg;
    struct wanted w = {.site = calloc(((size_t)cfg->n_layers + 1) * SITE_COUNT, sizeof *w.site)};
    *l = (struct capture_list){0};
    int rc = w.site ? 0 : memory_out(e);
    if (!rc)
        rc = slice_parse(&l->slice, pos, run_length(run), e);
    if (!rc)
        rc = slice_parse(&l->all, NULL, run_length(run), e);
    for (int i = 0; i < n_globs && !rc; i++)
        rc = mark(cfg, globs[i], &w, e);
    if (!rc)
        rc = list_wanted(l, run, &w, e);
    free(w.site);
    free(w.others);
    return rc;
}

int captures_collect(struct capture_list *l, const struct taker_hooks *t, struct err *e)
{
    struct capture logits = l->item[l->n - 1],
                   *more = realloc(l->item, 2 * (size_t)(l->n + t->n_collects) * sizeof *more);
    if (!more)
        return memory_out(e);
    l->item = more;
    l->n--;
    int rc = 0;
    for (int32_t i = 0; i < t->n_collects && !rc; i++) {
        struct alias_pick pick;
        memcpy(pick.name, t->collect[i].name, sizeof pick.name);
        if ((rc = alias_find(&run_model(logits.run)->cfg, pick.name, &pick.value, e)) != 0)
            break;
        int k = 0;
        while (k < l->n && strcmp(l->item[k].name, pick.name) != 0)
            k++;
        capture_init(&l->item[k], logits.run, &pick, &l->slice);
        l->item[k].collected = t->collect[i].edits;
        l->n += k == l->n;
    }
    l->item[l->n++] = logits;
    return rc;
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
    int64_t axis = alias_row_axis(&c->value) + pad, d[3] = {s[0], s[1], s[2]};
    d[axis] = c->slice->n;
    for (int64_t a = 0; a < s[0]; a++)
        for (int64_t b = 0; b < s[1]; b++)
            for (int64_t k = 0; k < s[2]; k++) {
                int64_t at[3] = {a, b, k};
                at[axis] = index;
                c->values[(at[0] * d[1] + at[1]) * d[2] + at[2]] = kn_f32(
                    v)[a * st[0] + b * st[1] + k * st[2]];
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

/* Does an edit of the capture's tensor change this site? */
static bool is_part(const struct capture *c, struct site_ref s)
{
    for (int i = 0; i < c->value.n_edits; i++)
        if (c->value.edit[i].id == s.id && c->value.edit[i].layer == s.layer)
            return true;
    return false;
}

/* Rows of a gradient, as grad_run hands them out, into every capture that keeps them. */
static int take_gradient(void *user, struct site_ref s, int32_t row0, int32_t row1,
                         const struct kn_view *g, struct err *e)
{
    (void)e;
    struct capture_list *l = user;
    for (int i = 0; i < l->n; i++) {
        struct capture *c = &l->item[i];
        if (!c->gradient || !is_part(c, s))
            continue;
        for (int32_t k = 0; k < c->slice->n; k++) {
            int32_t row = c->slice->row[k];
            if (row < row0 || row >= row1)
                continue;
            struct kn_view one = kn_slice(*g, site_row_axis(s.id), row - row0, row - row0 + 1);
            if (alias_is_site(&c->value))
                place_row(c, &one, k);
            else
                alias_add_row(&run_model(c->run)->cfg, &c->value, s, &one,
                              c->values + k * (c->count / c->slice->n));
        }
    }
    return 0;
}

/* Room for the gradient of one capture. */
static int add_gradient(struct capture_list *l, const struct capture *of, struct err *e)
{
    struct capture *c = &l->item[l->n];
    size_t len = strlen(of->name);
    if (!of->value.n_edits)
        return err_set(e, ERR_BAD_INPUT, "no gradient for %s · %s", of->name, of->value.why);
    if (len + sizeof "_grad" > LIMIT_NAME)
        return err_set(e, ERR_BAD_INPUT,
                       "%s_grad · a name of more than %d bytes · use TransformerLens' name",
                       of->name, LIMIT_NAME - 1);
    *c = *of;
    memcpy(c->name + len, "_grad", sizeof "_grad");
    c->gradient = true;
    c->values = calloc((size_t)c->count, sizeof *c->values);
    if (!c->values)
        return memory_out(e);
    l->n++;
    return 0;
}

int captures_gradient(struct capture_list *l, struct run *base, const struct metric *m,
                      struct err *e)
{
    int n = l->n;
    struct site_ref *sites = calloc((size_t)n * ALIAS_SITES_MAX, sizeof *sites);
    int n_sites = 0, rc = sites ? 0 : memory_out(e);
    for (int i = 0; i < n && !rc; i++) {
        const struct capture *c = &l->item[i];
        if (!strcmp(c->name, "logits") || holds_ids(c))
            continue;
        rc = add_gradient(l, c, e);
        for (int k = 0; k < c->value.n_edits; k++)
            sites[n_sites++] = c->value.edit[k];
    }
    if (!rc)
        rc = grad_run(l->item[0].run, base, m, sites, n_sites, take_gradient, l, e);
    free(sites);
    return rc;
}

/* A row of what collect keeps: between the edits.  An edit of a name that means several copies is
 * in each of them. */
static int read_collected(const struct capture *c, int32_t row, struct kn_view *out, struct err *e)
{
    struct site_ref s = c->value.site[0];
    if (!c->value.spread)
        return run_view_between(c->run, s, c->collected, row, out, e);
    int rc = run_view_between(c->run, c->value.edit[0], c->collected, row, out, e);
    struct kn_view one = kn_index(*out, 1, 0); /* the first head's */
    *out = one;
    return rc;
}

int capture_read(struct capture *c, struct err *e)
{
    if (c->gradient)
        return 0;
    capture_drop(c);
    c->values = malloc((size_t)c->count * sizeof *c->values);
    if (!c->values)
        return memory_out(e);
    if (c->collected < 0 && is_whole(c->slice, run_length(c->run)))
        return alias_read(c->run, &c->value, 0, run_length(c->run), c->values, e);
    for (int32_t i = 0; i < c->slice->n; i++) {
        int32_t row = c->slice->row[i];
        struct kn_view v;
        if (!alias_is_view(&c->value)) {
            int rc = alias_read(c->run, &c->value, row, row + 1,
                                c->values + i * (c->count / c->slice->n), e);
            if (rc)
                return rc;
            continue;
        }
        int rc = c->collected < 0 ? run_view(c->run, c->value.site[0], row, row + 1, &v, e)
                                  : read_collected(c, row, &v, e);
        if (rc)
            return rc;
        v = alias_view(&c->value, &v);
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
    lens_stats_values(c->values, c->count,
                      c->value.n_sites && c->value.site[0].id == SITE_ATTN_SCORES, out);
}

/* Pieces for the writer: the tensor is read at its first and dropped after its last. */
static int read_piece(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    struct capture *c = ctx;
    bool ids = holds_ids(c);
    size_t size = ids ? sizeof(int64_t) : sizeof(float);
    int rc = offset ? 0 : capture_read(c, e);
    if (rc)
        return rc;
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

int captures_write(struct capture_list *l, const char *path, const struct tensor_meta *meta,
                   size_t n_meta, struct err *e)
{
    struct tensor_out *t = calloc((size_t)l->n, sizeof *t);
    if (!t)
        return memory_out(e);
    for (int i = 0; i < l->n; i++) {
        struct capture *c = &l->item[i];
        t[i] = (struct tensor_out){.name = c->name,
                                   .dtype = holds_ids(c) ? ST_I64 : ST_F32,
                                   .rank = c->rank,
                                   .read = read_piece,
                                   .ctx = c};
        memcpy(t[i].shape, c->shape, (size_t)c->rank * sizeof *c->shape);
    }
    int rc = tensor_write(path, t, (size_t)l->n, meta, n_meta, e);
    free(t);
    return rc;
}
