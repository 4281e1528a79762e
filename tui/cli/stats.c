/* stats.c - `borescope stats`: statistics of activations over a set of texts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/stats_run.h"
#include "model/tensor_write.h"
#include "long_work.h"
#include "texts.h"

/* A run of the command. */
struct work {
    struct cli *c;
    struct stats stats, center;
    struct texts *texts;
    struct texts_options options;
    struct pair_target target;
    struct token_filter filter;
    int32_t *ids; /* of the filter */
    struct long_work work;
};

/* The hooks, and what is known of them from a run before. */
static int stats_open(struct work *w, const struct stats_work *work)
{
    struct cli *c = w->c;
    const struct options *o = c->opt;
    struct stats fresh = {0};
    int rc = stats_init(&fresh, &c->m->cfg, o->capture.item, o->capture.n, o->top, &c->err);
    if (!rc)
        rc = stats_together(&fresh, &c->m->cfg, o->coactivation.item, o->coactivation.n, &c->err);
    if (!rc)
        rc = stats_about(&fresh, work, &c->err);
    if (rc || !long_work_goes_on(c)) {
        w->stats = fresh;
        return rc;
    }
    rc = stats_read(&w->stats, o->state, &c->err);
    if (!rc)
        rc = stats_continue(&w->stats, &fresh, &c->err);
    if (rc)
        err_prefix(&c->err, "--resume %.200s", o->state);
    stats_free(&fresh);
    return rc;
}

static int rest(void *user, const struct stats *s, const struct gather_news *news, struct err *e)
{
    struct work *w = user;
    long_work_tell(&w->work, news);
    if (!long_work_due(&w->work, &s->place))
        return 0;
    int rc = stats_write(s, w->c->opt->state, w->c->m->name, e);
    return long_work_saved(&w->work, &s->place, rc);
}

/* ---- the result ---- */

/* A hook in one row: what its elements have on average. */
struct row {
    double mean, std, positive, min, max;
    int64_t missing;
};

static struct row row_of(const struct stats *s, const struct stats_site *x)
{
    struct row r = {.min = INFINITY, .max = -INFINITY};
    double n = 0;
    for (int64_t i = 0; i < x->n; i++) {
        int64_t count = stat_count(x, STAT_count)[i];
        r.missing += s->tokens - count;
        if (!count)
            continue;
        n++;
        r.mean += stat_mean(x, STAT_mean)[i];
        r.std += sqrt(stat_mean(x, STAT_variance)[i]);
        r.positive += (double)stat_count(x, STAT_pos_count)[i] / (double)count;
        r.min = fmin(r.min, (double)stat_bound(x, STAT_min)[i]);
        r.max = fmax(r.max, (double)stat_bound(x, STAT_max)[i]);
    }
    r.mean /= n, r.std /= n, r.positive /= n;
    return r;
}

static int print_json(struct cli *c, const struct stats *s)
{
    struct json_out j;
    json_out_begin(&j, &c->out);
    json_out_object(&j);
    json_out_int(json_out_key(&j, "texts"), s->place.texts);
    json_out_int(json_out_key(&j, "taken"), s->tokens);
    json_out_array(json_out_key(&j, "sites"));
    for (int i = 0; i < s->n; i++) {
        struct row r = row_of(s, &s->site[i]);
        json_out_object(&j);
        json_out_string(json_out_key(&j, "name"), s->site[i].name);
        json_out_ints(json_out_key(&j, "shape"), s->site[i].shape, (size_t)s->site[i].rank);
        json_out_double(json_out_key(&j, "mean"), r.mean);
        json_out_double(json_out_key(&j, "std"), r.std);
        json_out_double(json_out_key(&j, "pos_frequency"), r.positive);
        json_out_double(json_out_key(&j, "min"), r.min);
        json_out_double(json_out_key(&j, "max"), r.max);
        json_out_int(json_out_key(&j, "missing"), r.missing);
        json_out_close(&j);
    }
    json_out_close(&j);
    return cli_json_end(c, &j);
}

static int print_table(struct cli *c, const struct stats *s)
{
    static const struct table_column columns[] = {COLUMN_TEXT("name"),      COLUMN_TEXT("shape"),
                                                  COLUMN_NUMBER("mean", 4), COLUMN_NUMBER("std", 4),
                                                  COLUMN_NUMBER("x>0", 4),  COLUMN_NUMBER("min", 4),
                                                  COLUMN_NUMBER("max", 4),  COLUMN_INT("missing")};
    if (c->m)
        cli_head(c);
    if (!c->opt->tsv)
        bytes_addf(&c->out, "# %lld texts, %lld tokens; means over elements\n",
                   (long long)s->place.texts, (long long)s->tokens);
    struct table *t = table_new(columns, sizeof columns / sizeof *columns);
    for (int i = 0; i < s->n && t; i++) {
        struct row r = row_of(s, &s->site[i]);
        char shape[64];
        table_string(t, s->site[i].name);
        table_string(t, st_shape_text(shape, sizeof shape, s->site[i].shape, s->site[i].rank));
        table_number(t, (float)r.mean);
        table_number(t, (float)r.std);
        table_number(t, (float)r.positive);
        table_number(t, (float)r.min);
        table_number(t, (float)r.max);
        table_int(t, r.missing);
    }
    return cli_table(c, t);
}

static int result(struct cli *c, const struct stats *s, const char *model)
{
    const char *path = c->opt->output;
    int rc = path ? stats_write(s, path, model, &c->err) : 0;
    return rc ? rc : c->opt->json ? print_json(c, s) : print_table(c, s);
}

/* ---- the command ---- */

static int merge(struct cli *c)
{
    const struct options *o = c->opt;
    struct stats all = {0};
    int rc = !o->output ? err_set(&c->err, ERR_USAGE, "stats --merge · into which file? · -o FILE")
             : ranks_size(c->ranks) > 1
                 ? err_set(&c->err, ERR_USAGE, "stats --merge · is the work of one process")
                 : stats_read(&all, o->model, &c->err);
    for (int i = 0; i < o->n_words && !rc; i++) {
        struct stats one = {0};
        rc = stats_read(&one, o->words[i], &c->err);
        if (!rc && (rc = stats_merge(&all, &one, &c->err)))
            err_prefix(&c->err, "%.200s", o->words[i]);
        stats_free(&one);
    }
    if (!rc)
        rc = result(c, &all, "");
    stats_free(&all);
    return rc;
}

static int files_check(struct cli *c)
{
    bool writes = c->opt->output && !ranks_rank(c->ranks);
    int rc = writes ? tensor_write_check(c->opt->output, &c->err) : 0;
    if (!rc)
        rc = long_work_check(c);
    if (!rc && c->opt->n_words > 1)
        rc = err_set(&c->err, ERR_USAGE, "stats · one set of texts · a folder holds several files");
    return rc;
}

static int open_all(struct work *w, struct stats_work *work)
{
    struct cli *c = w->c;
    int rc = files_check(c);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = cli_target(c, &w->target);
    if (!rc)
        rc = texts_filter(c, &w->filter, &w->ids);
    if (!rc)
        rc = texts_open_named(c, &w->texts);
    if (!rc)
        rc = texts_options(c, &w->options);
    if (!rc && c->opt->center)
        rc = stats_read(&w->center, c->opt->center, &c->err);
    *work = (struct stats_work){.m = c->m,
                                .options = &w->options,
                                .target = &w->target,
                                .filter = &w->filter,
                                .center = c->opt->center ? &w->center : NULL,
                                .cache_bytes = w->target.n_edits ? cli_cache_bytes(c) : 0,
                                .ranks = c->ranks,
                                .rest = rest,
                                .user = w};
    return rc ? rc : stats_open(w, work);
}

int cli_stats(struct cli *c)
{
    struct work w = {.c = c};
    struct stats_work work;
    if (c->opt->merge)
        return merge(c);
    int rc = open_all(&w, &work);
    const char *about = rc ? "" : w.stats.about;
    rc = long_work_agree(c, rc, about, strlen(about), &w.stats.place, sizeof w.stats.place);
    if (!rc) {
        long_work_begin(&w.work, c, "tokens", w.stats.tokens);
        rc = stats_run(&w.stats, w.texts, &work, &c->err);
        long_work_end(&w.work);
    }
    if (!rc && !ranks_rank(c->ranks)) {
        rc = w.stats.tokens ? result(c, &w.stats, c->m->name)
                            : err_set(&c->err, ERR_BAD_INPUT,
                                      "stats · no token was taken · the texts are empty, or the "
                                      "filters leave nothing");
        if (!rc)
            long_work_forget(c);
    }
    texts_close(w.texts);
    stats_free(&w.stats), stats_free(&w.center);
    free(w.ids);
    return rc;
}
