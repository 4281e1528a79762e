/* stats_run.c - see stats_run.h. */
#include "lab/stats_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit/edit.h"
#include "run/run_device.h"

struct job {
    struct stats *s;
    struct texts *t;
    const struct stats_work *w;
    float **peak; /* [s->n], or NULL */
    int32_t *row;
    float *together; /* chosen elements at each row */
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
    struct fingerprint model = fingerprint_model(w->m), rest = {0, 0};
    const struct token_filter *f = w->filter;
    char text[LIMIT_EDIT_TEXT];
    for (int32_t i = 0; i < w->target->n_edits; i++) {
        edit_print(w->target->edits[i], text, sizeof text);
        fingerprint_add(&rest, text, strlen(text));
    }
    fingerprint_add(&rest, f->ids, (size_t)f->n * sizeof *f->ids);
    const int32_t numbers[] = {f->without, f->next, f->first, f->last};
    fingerprint_add(&rest, numbers, sizeof numbers);
    for (int i = 0; w->center && i < s->n; i++) {
        const struct stats_site *c = stats_find(w->center, s->site[i].name);
        if (!c || c->n != s->site[i].n)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · the statistics to center by have none of it · make them with the "
                           "same -c",
                           s->site[i].name);
        fingerprint_add(&rest, c->histogram, (size_t)(c->n * STATS_BINS) * sizeof *c->histogram);
    }
    int n = snprintf(text, sizeof text,
                     "model %016" PRIx64 "%016" PRIx64 " window %d stride %d bos %d edits, filter "
                     "and center %016" PRIx64 "%016" PRIx64,
                     model.a, model.b, w->options->window, w->options->stride, w->options->bos,
                     rest.a, rest.b);
    char *own = malloc((size_t)n + 1);
    if (!own)
        return err_memory(e, "statistics");
    memcpy(own, text, (size_t)n + 1);
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
    float *x = realloc(j->together, ((size_t)n * (size_t)j->s->together.n + 1) * sizeof *x);
    if (!x)
        return err_memory(e, "%d positions", (int)n);
    j->together = x, j->cap = n;
    return 0;
}

static int add_piece(void *user, const struct text_piece *p, struct pair *pair, struct err *e)
{
    struct job *j = user;
    struct run *r = pair_shown(pair);
    int rc = rows_room(j, p->n, e);
    int32_t n = rc ? 0 : token_filter_rows(j->w->filter, p, j->row);
    for (int i = 0; i < j->s->n && n && !rc; i++) {
        struct stats_site *s = &j->s->site[i];
        struct kn_view v;
        struct host_view host = {0};
        rc = run_view(r, s->site, 0, p->n, &v, e);
        if (!rc && !(rc = host_view_get(&host, j->w->m->be, &v, e))) {
            stats_add(s, &host.v, j->row, n, p, j->peak ? j->peak[i] : NULL);
            coactivation_take(&j->s->together, s->site, &host.v, j->row, n, j->together);
        }
        host_view_drop(&host);
    }
    if (!rc)
        coactivation_add(&j->s->together, j->together, n);
    j->s->tokens += rc ? 0 : n;
    return rc;
}

static int between(void *user, const struct texts_place *next, struct err *e)
{
    struct job *j = user;
    j->s->place = *next;
    return j->w->rest ? j->w->rest(j->w->user, j->s, j->t, e) : 0;
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

int stats_run(struct stats *s, struct texts *t, const struct stats_work *w, struct err *e)
{
    struct job j = {.s = s, .t = t, .w = w};
    struct site_ref *keep = malloc(((size_t)s->n + 1) * sizeof *keep);
    struct batch_work work = {.m = w->m,
                              .target = w->target,
                              .keep = keep,
                              .n_keep = s->n,
                              .stops = true,
                              .cache_bytes = w->cache_bytes,
                              .done = add_piece,
                              .user = &j,
                              .rest = between};
    int rc = keep ? peaks(&j, e) : err_memory(e, "statistics");
    for (int i = 0; keep && i < s->n; i++)
        keep[i] = s->site[i].site;
    if (!rc)
        rc = texts_seek(t, &s->place, e);
    if (!rc)
        rc = batch_run(t, &work, e);
    if (!rc)
        texts_place(t, &s->place);
    for (int i = 0; i < s->n && j.peak; i++)
        free(j.peak[i]);
    free(j.peak), free(j.row), free(j.together), free(keep);
    return rc;
}
