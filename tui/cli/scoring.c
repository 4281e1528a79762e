/* scoring.c - see scoring.h. */
#include "scoring.h"

#include <stdlib.h>
#include <string.h>

#include "lab/about.h"
#include "edit/reference.h"
#include "texts.h"

int scoring_rest(void *user, const struct gather_news *news, struct err *e)
{
    struct scoring *s = user;
    (void)e;
    long_work_tell(&s->work, news);
    return 0;
}

static int open_set(struct scoring *s, int which, const char *path)
{
    static const char *const names[SCORE_SETS] = {"focus", "cripple"};
    struct score_set *set = &s->run.set[which];
    struct err *e = &s->c->err;
    if (!path)
        return err_set(e, ERR_USAGE,
                       "%s · --%s · which texts? · a file, a folder, or a file of statistics",
                       s->c->opt->command->name, names[which]);
    if (!strcmp(path, "-"))
        return err_set(e, ERR_USAGE,
                       "--%s - · standard input is read once, a set may be more "
                       "often · a file",
                       names[which]);
    *set = (struct score_set){.path = path, .texts = &s->texts};
    if (!reference_is_statistics(path))
        return 0;
    int rc = stats_read(&s->stats[which], path, e);
    *set = (struct score_set){.stats = &s->stats[which]};
    if (!rc && s->c->n_edits)
        rc = err_set(e, ERR_USAGE,
                     "--%s %.150s · statistics are what they are, edits do not change them · give "
                     "the texts, or leave out -e",
                     names[which], path);
    return rc;
}

/* --score, --eps, --heads-by, --with. */
static int read_options(struct scoring *s)
{
    const struct options *o = s->c->opt;
    struct err *e = &s->c->err;
    int rc = score_find(o->score ? o->score : "abs", &s->run.id, e);
    s->run.eps = o->given[ON(eps)] ? o->eps : -1;
    s->run.seed = (uint64_t)o->seed;
    s->run.by = o->heads_by && !strcmp(o->heads_by, "median") ? SCORE_BY_MEDIAN : SCORE_BY_MEAN;
    if (!rc && o->heads_by && s->run.by == SCORE_BY_MEAN && strcmp(o->heads_by, "mean"))
        rc = err_set(e, ERR_USAGE, "--heads-by %.40s · mean or median", o->heads_by);
    s->run.work = (struct score_work){.m = s->c->m,
                                      .target = &s->target,
                                      .with = o->with ? o->with : "zero",
                                      .cache_bytes = cli_cache_bytes(s->c),
                                      .ranks = s->c->ranks,
                                      .rest = scoring_rest,
                                      .user = s};
    return rc;
}

/* The same everywhere: the model, windows, edits, and what is scored. */
static int agree(struct scoring *s, int rc)
{
    struct cli *c = s->c;
    const struct token_filter all = {0};
    const int32_t numbers[] = {(int32_t)s->run.id, (int32_t)s->run.by};
    struct fingerprint rest = {0, 0};
    char *about = NULL;
    fingerprint_add(&rest, numbers, sizeof numbers);
    if (!rc && c->ranks)
        rc = about_make(&about, c->m, &s->texts, &s->target, &all, rest, &c->err);
    rc = long_work_agree(c, rc, about ? about : "", about ? strlen(about) : 0, NULL, 0);
    free(about);
    return ranks_share(c->ranks, rc, NULL, 0, &c->err); /* works follow, or none */
}

int scoring_open(struct scoring *s, struct cli *c, int rc)
{
    const struct options *o = c->opt;
    *s = (struct scoring){.c = c};
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = cli_target(c, &s->target);
    if (!rc)
        rc = texts_options(c, &s->texts);
    if (!rc)
        rc = read_options(s);
    bool reads = !rc && score_table[s->run.id].from != SCORE_FROM_DRAW;
    for (int i = 0; i < SCORE_SETS && !rc; i++) {
        const char *path = i == SCORE_FOCUS ? o->focus : o->cripple;
        rc = path || reads ? open_set(s, i, path) : 0;
    }
    long_work_begin(&s->work, c, "tokens", 0);
    return agree(s, rc);
}

void scoring_close(struct scoring *s)
{
    long_work_end(&s->work);
    for (int i = 0; i < SCORE_SETS; i++)
        stats_free(&s->stats[i]);
}
