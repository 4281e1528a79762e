/* bore_stats.c - the library's statistics over texts (see borescope.h).  Tested in
 * tests/engine/test_library_stats.c. */
#include "lib/bore_parts.h"

#include <stdlib.h>
#include <unistd.h>

#include "lab/stats_run.h"
#include "model/tensor_write.h"

struct texts_options bore_texts_options(const struct bore_texts *t)
{
    return (struct texts_options){
        .form = {t->paragraphs ? TEXT_PARAGRAPHS : TEXT_LINES, t->field, NULL},
        .window = t->window,
        .stride = t->stride,
        .skip = t->skip,
        .limit = t->limit,
        .limit_tokens = t->limit_tokens,
        .sample = t->sample,
        .seed = t->seed,
        .bos = t->bos};
}

/* The caller's ear. */
struct ear {
    const struct bore_model *m;
    const struct bore_stats *w;
    enum bore_stats_answer (*progress)(void *user, int64_t tokens, double share);
    void *user;
};

static int hear(void *user, const struct stats *s, const struct gather_news *news, struct err *e)
{
    struct ear *x = user;
    enum bore_stats_answer a = x->progress ? x->progress(x->user, news->done, news->share)
                                           : BORE_STATS_GO_ON;
    if (a == BORE_STATS_SAVE && x->w->resume)
        return stats_write(s, x->w->resume, x->m->m->name, e);
    return a == BORE_STATS_STOP ? err_set(e, ERR_CANCELLED, "statistics · stopped by their caller")
                                : 0;
}

/* A set that is as the options say, and statistics that are empty or go on. */
static int stats_open(const struct bore_model *m, const struct bore_stats *w,
                      const struct stats_work *work, struct stats *s, struct err *e)
{
    struct stats now;
    int rc = stats_init(&now, &m->m->cfg, w->hooks, w->n_hooks, w->top, e);
    if (!rc)
        rc = stats_about(&now, work, e);
    if (rc || !w->resume || access(w->resume, F_OK)) {
        *s = now;
        return rc;
    }
    rc = stats_read(s, w->resume, e);
    if (!rc && (rc = stats_continue(s, &now, e)))
        err_prefix(e, "%.200s", w->resume);
    stats_free(&now);
    return rc;
}

static int run(struct bore_model *m, const struct bore_stats *w, const struct pair_target *target,
               struct ear *ear, struct err *e)
{
    const struct token_filter all = {0};
    const struct texts_options o = bore_texts_options(&w->texts);
    const struct stats_work work = {.m = m->m,
                                    .options = &o,
                                    .target = target,
                                    .filter = &all,
                                    .cache_bytes = w->n_edits ? m->cache_bytes : 0,
                                    .rest = hear,
                                    .user = ear};
    struct stats s = {0};
    struct texts *t = NULL;
    int rc = stats_open(m, w, &work, &s, e);
    if (!rc)
        rc = texts_open(&t, m->m, w->texts.path, &o, e);
    if (!rc)
        rc = stats_run(&s, t, &work, e);
    if (!rc)
        rc = stats_write(&s, w->output, m->m->name, e);
    texts_close(t);
    stats_free(&s);
    return rc;
}

int bore_stats_run(struct bore_model *m, const struct bore_stats *stats,
                   enum bore_stats_answer (*progress)(void *user, int64_t tokens, double share),
                   void *user, struct bore_error *error)
{
    struct err e = {0};
    struct ear ear = {m, stats, progress, user};
    struct pair_target target = {0};
    int rc = bore_begin(m, &e);
    if (!rc && (!stats->texts.path || !stats->output))
        rc = err_set(&e, ERR_BAD_INPUT,
                     "statistics · expected `texts.path` and `output`, found NULL");
    if (!rc)
        rc = tensor_write_check(stats->output, &e);
    if (!rc)
        rc = bore_target_of(m, stats->edits, stats->n_edits, &target, &e);
    if (!rc)
        rc = run(m, stats, &target, &ear, &e);
    bore_target_free(&target);
    return bore_end(m, rc, &e, error);
}
