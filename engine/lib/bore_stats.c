/* bore_stats.c - the library's statistics over texts (see borescope.h).  Tested in
 * tests/engine/test_library_stats.c. */
#include "lib/bore_parts.h"

#include <stdlib.h>
#include <unistd.h>

#include "lab/stats_run.h"
#include "model/tensor_write.h"

/* The caller's ear. */
struct ear {
    const struct bore_model *m;
    const struct bore_stats *w;
    enum bore_stats_answer (*progress)(void *user, int64_t tokens, double share);
    void *user;
};

static int hear(void *user, const struct stats *s, const struct texts *t, struct err *e)
{
    struct ear *x = user;
    enum bore_stats_answer a = x->progress ? x->progress(x->user, s->tokens, texts_share(t))
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
    const struct texts_options o = {
        .form = {w->paragraphs ? TEXT_PARAGRAPHS : TEXT_LINES, w->field, NULL},
        .window = w->window,
        .stride = w->stride,
        .skip = w->skip,
        .limit = w->limit,
        .limit_tokens = w->limit_tokens,
        .sample = w->sample,
        .seed = w->seed,
        .bos = w->bos};
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
        rc = texts_open(&t, m->m, w->texts, &o, e);
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
    struct edit **edits = calloc((size_t)stats->n_edits + 1, sizeof *edits);
    int rc = bore_begin(m, &e), n = 0;
    if (!rc && !edits)
        rc = err_memory(&e, "edits");
    if (!rc && (!stats->texts || !stats->output))
        rc = err_set(&e, ERR_BAD_INPUT, "statistics · expected `texts` and `output`, found NULL");
    if (!rc)
        rc = tensor_write_check(stats->output, &e);
    for (; !rc && n < stats->n_edits; n++)
        if ((rc = edit_parse(&edits[n], stats->edits[n], &e)))
            break;
    const struct pair_target target = {.edits = edits, .n_edits = n};
    if (!rc)
        rc = run(m, stats, &target, &ear, &e);
    for (int i = 0; i < n; i++)
        edit_free(edits[i]);
    free(edits);
    return bore_end(m, rc, &e, error);
}
