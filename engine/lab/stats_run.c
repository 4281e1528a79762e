/* stats_run.c - see stats_run.h. */
#include "lab/stats_run.h"

#include <stdlib.h>

#include "edit/edit.h"
#include "lab/about.h"
#include "lab/pattern_stats.h"
#include "lab/stats_unit.h"
#include "run/run_device.h"

struct job {
    struct stats *s;        /* of whole units */
    struct stats_unit unit; /* the one at hand */
    struct units units;
    struct gather gather;
    const struct stats_work *w;
    int64_t tokens; /* taken by this rank, with those of an earlier run on rank 0 */
    float **peak;   /* [s->n], or NULL */

    /* of the batch at hand, for which there is room for `cap` rows */
    struct stats_piece piece[RUN_TOGETHER_MAX];
    struct run *run[RUN_TOGETHER_MAX];
    int32_t n, rows;              /* pieces; rows of all of them */
    int32_t at[RUN_TOGETHER_MAX]; /* rows before each */
    int32_t *row;                 /* [rows], those that are taken first of each piece's */
    float *together;              /* [rows] chosen elements */
    float *shares;                /* [rows] of a pattern */
    int32_t cap;
};

float stats_peak(const struct stats_site *s, int64_t element)
{
    const int64_t *h = s->histogram + element * STATS_BINS;
    double edge[STATS_BINS + 1], lo = (double)stat_bound(s, STAT_min)[element],
                                 hi = (double)stat_bound(s, STAT_max)[element];
    int best = 0;
    if (!stat_count(s, STAT_count)[element])
        return 0;
    stats_edges(edge);
    for (int b = 1; b < STATS_BINS; b++)
        best = h[b] > h[best] ? b : best;
    lo = lo > edge[best] ? lo : edge[best], hi = hi < edge[best + 1] ? hi : edge[best + 1];
    return (float)((lo + hi) / 2);
}

int stats_about(struct stats *s, const struct stats_work *w, struct err *e)
{
    struct fingerprint rest = {0, 0};
    char *own;
    for (int i = 0; w->center && i < s->n; i++) {
        const struct stats_site *c = stats_find(w->center, s->site[i].name);
        if (!c || c->n != s->site[i].n)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · the statistics to center by have none of it · make them with the "
                           "same -c",
                           s->site[i].name);
        fingerprint_add(&rest, c->histogram, (size_t)(c->n * STATS_BINS) * sizeof *c->histogram);
    }
    int rc = about_make(&own, w->m, w->options, w->target, w->filter, rest, e);
    if (rc)
        return rc;
    free(s->about);
    s->about = own;
    return 0;
}

static int rows_room(struct job *j, int32_t n, struct err *e)
{
    if (n <= j->cap)
        return 0;
    int32_t *more = realloc(j->row, (size_t)n * sizeof *more);
    if (!more)
        return err_memory(e, "%d positions", (int)n);
    j->row = more;
    float *x = realloc(j->together, ((size_t)n * (size_t)j->unit.s.together.n + 1) * sizeof *x);
    if (!x)
        return err_memory(e, "%d positions", (int)n);
    j->together = x;
    bool patterns = false;
    for (int i = 0; i < j->s->n; i++)
        patterns |= j->s->site[i].site.id == SITE_PATTERN;
    size_t heads = patterns ? (size_t)j->w->m->cfg.n_heads : 0;
    if (!(x = realloc(j->shares, ((size_t)n * heads * PATTERN_NUMBERS + 1) * sizeof *x)))
        return err_memory(e, "%d positions", (int)n);
    j->shares = x, j->cap = n;
    return 0;
}

/* A pattern's numbers, to `shares`, some rows of it at a time: all would be as much as the rest of
 * a layer. */
static int shares_get(struct job *j, struct run *r, struct site_ref site, int32_t n, float *shares,
                      struct kn_view *out, struct err *e)
{
    enum { ROWS = 64 };
    const struct config *cfg = &j->w->m->cfg;
    int64_t heads = cfg->n_heads, numbers = pattern_numbers(cfg);
    int rc = 0;
    for (int32_t a = 0; a < n && !rc; a += ROWS) {
        struct kn_view v;
        struct host_view host = {0};
        rc = run_view(r, site, a, a + ROWS < n ? a + ROWS : n, &v, e);
        if (!rc && !(rc = host_view_get(&host, j->w->m->be, &v, e)))
            pattern_take(cfg, &host.v, a, shares + a * heads * numbers);
        host_view_drop(&host);
    }
    *out = kn_view3(shares, KN_F32, n, heads, numbers);
    return rc;
}

/* A hook's values at the rows of the batch's k-th piece, which host_view_drop lets go of. */
static int values_get(struct job *j, int32_t k, struct site_ref site, struct host_view *out,
                      struct err *e)
{
    const struct config *cfg = &j->w->m->cfg;
    int32_t n = j->piece[k].p->n;
    struct kn_view v;
    if (site.id == SITE_PATTERN)
        return shares_get(j, j->run[k], site, n,
                          j->shares + (int64_t)j->at[k] * cfg->n_heads * pattern_numbers(cfg),
                          &out->v, e);
    int rc = run_view(j->run[k], site, 0, n, &v, e);
    return rc ? rc : host_view_get(out, j->w->m->be, &v, e);
}

/* A piece is one of the batch. */
static int take_piece(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    struct job *j = user;
    int rc = rows_room(j, j->rows + p->n, e);
    if (rc)
        return rc;
    j->piece[j->n] = (struct stats_piece){
        .p = p, .n = token_filter_rows(j->w->filter, p, j->row + j->rows)};
    j->run[j->n] = pair_shown(pair), j->at[j->n++] = j->rows, j->rows += p->n;
    return 0;
}

/* One hook of all pieces. */
static int site_add(struct job *j, int i, struct err *e)
{
    struct stats *to = &j->unit.s;
    struct stats_site *s = &to->site[i];
    struct host_view host[RUN_TOGETHER_MAX] = {0};
    int rc = 0;
    for (int32_t k = 0; k < j->n && !rc; k++) {
        struct stats_piece *p = &j->piece[k];
        rc = values_get(j, k, s->site, &host[k], e);
        p->v = host[k].v;
        if (!rc)
            coactivation_take(&to->together, s->site, &p->v, p->row, p->n,
                              j->together + (int64_t)j->at[k] * to->together.n);
    }
    if (!rc)
        stats_add(s, j->w->m->be, j->piece, j->n, j->peak ? j->peak[i] : NULL);
    for (int32_t k = 0; k < j->n; k++)
        host_view_drop(&host[k]);
    return rc;
}

/* All pieces of a batch are there. */
static int add_batch(void *user, struct err *e)
{
    struct job *j = user;
    struct stats *to = &j->unit.s;
    int rc = 0;
    for (int32_t k = 0; k < j->n; k++)
        j->piece[k].row = j->row + j->at[k];
    for (int i = 0; i < to->n && !rc; i++)
        rc = site_add(j, i, e);
    for (int32_t k = 0; k < j->n && !rc; k++) {
        int32_t n = j->piece[k].n;
        coactivation_add(&to->together, j->together + (int64_t)j->at[k] * to->together.n, n);
        to->tokens += n, j->tokens += n;
    }
    j->n = j->rows = 0;
    return rc;
}

static int unit_done(void *user, int64_t unit, const struct texts_place *next, struct err *e)
{
    struct job *j = user;
    stats_unit_end(&j->unit, next);
    int rc = gather_give(&j->gather, unit, j->unit.bytes, j->unit.len, e);
    stats_unit_clear(&j->unit);
    return rc;
}

static int unit_merge(void *user, const void *bytes, size_t len, struct err *e)
{
    return stats_unit_merge(((struct job *)user)->s, bytes, len, e);
}

/* How far all are, to whoever asked. */
static int tell(struct job *j, double share, struct err *e)
{
    struct gather_news news;
    int rc = gather_poll(&j->gather, j->tokens, share, &news, e);
    return rc || ranks_rank(j->w->ranks) || !j->w->rest ? rc
                                                        : j->w->rest(j->w->user, j->s, &news, e);
}

static int between(void *user, const struct texts_place *next, struct err *e)
{
    struct job *j = user;
    (void)next;
    return tell(j, texts_share(j->units.texts), e);
}

static int wait(void *user, struct err *e)
{
    return tell(user, 1, e);
}

static int peaks(struct job *j, struct err *e)
{
    const struct stats *c = j->w->center;
    if (!c)
        return 0;
    if (!(j->peak = calloc((size_t)j->s->n, sizeof *j->peak)))
        return err_memory(e, "statistics");
    for (int i = 0; i < j->s->n; i++) {
        const struct stats_site *s = &j->s->site[i], *from = stats_find(c, s->name);
        if (!(j->peak[i] = malloc((size_t)s->n * sizeof **j->peak)))
            return err_memory(e, "statistics");
        for (int64_t k = 0; k < s->n; k++)
            j->peak[i][k] = stats_peak(from, k);
    }
    return 0;
}

static int run(struct job *j, struct err *e)
{
    struct stats *s = j->s;
    const struct batch_source source = {units_next, units_place, &j->units};
    struct site_ref *keep = malloc(((size_t)s->n + 1) * sizeof *keep);
    struct batch_work work = {.m = j->w->m,
                              .target = j->w->target,
                              .keep = keep,
                              .n_keep = s->n,
                              .stops = true,
                              .cache_bytes = j->w->cache_bytes,
                              .done = take_piece,
                              .user = j,
                              .all_done = add_batch,
                              .unit_done = unit_done,
                              .rest = between};
    int rc = keep ? 0 : err_memory(e, "statistics");
    for (int i = 0; keep && i < s->n; i++)
        keep[i] = s->site[i].site;
    if (!rc)
        rc = texts_seek(j->units.texts, &s->place, e);
    if (!rc)
        rc = batch_run_from(&source, &work, e);
    if (!rc)
        rc = gather_end(&j->gather, units_count(&j->units), wait, j, e);
    if (!rc)
        texts_place(j->units.texts, &s->place);
    free(keep);
    return rc;
}

int stats_run(struct stats *s, struct texts *t, const struct stats_work *w, struct err *e)
{
    struct job j = {.s = s, .w = w, .units = {.texts = t, .ranks = w->ranks}, .tokens = s->tokens};
    j.gather = (struct gather){.ranks = w->ranks, .merge = unit_merge, .user = &j};
    int rc = stats_unit_open(&j.unit, s, e);
    if (!rc)
        rc = peaks(&j, e);
    if (!rc)
        rc = run(&j, e);
    for (int i = 0; i < s->n && j.peak; i++)
        free(j.peak[i]);
    free(j.peak), free(j.row), free(j.together), free(j.shares);
    stats_unit_close(&j.unit);
    gather_free(&j.gather);
    return rc;
}
