/* prune.c - `borescope prune`: take away what `score` ranks first, evaluate, and keep it as edits,
 * masks or a checkpoint. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ends_with.h"
#include "base/file_write.h"
#include "base/list.h"
#include "edit/reference.h"
#include "lab/checkpoint_prune.h"
#include "model/tensor_write.h"
#include "prune_print.h"
#include "scoring.h"

enum { LEARN_STEPS = 50, LEARN_WINDOWS = 8 };

struct work {
    struct cli *c;
    struct scoring scoring;
    struct prune_run run;
    struct pruned gone;
    struct prune_history history;
};

static const char *value_of(const struct cli *c)
{
    const char *with = c->opt->with;
    return !with || !strcmp(with, "zero") ? "0" : with;
}

static bool is_masks(const char *path)
{
    return path && ends_with(path, ".safetensors");
}

/* ---- history ---- */

static int keep(void *user, const struct prune_step *s, struct err *e)
{
    struct work *w = user;
    struct prune_history *h = &w->history;
    struct prune_record r = {.step = s->step, .n_choices = s->n_choices};
    memcpy(r.choice, s->choice, sizeof r.choice);
    r.layers = calloc((size_t)(PRUNE_PARTS * w->gone.n_layers) + 1, sizeof *r.layers);
    if (!r.layers || !list_room(&h->record, (size_t)h->n, sizeof *h->record)) {
        free(r.layers);
        return err_memory(e, "the history");
    }
    for (int k = 0; k < PRUNE_PARTS; k++) {
        r.gone[k] = w->gone.part[k].count;
        for (int32_t l = 0; l < w->gone.n_layers; l++)
            r.layers[k * w->gone.n_layers + l] = pruned_in(&w->gone.part[k], l);
    }
    for (int i = 0; i < SCORE_SETS; i++)
        r.n_values[i] = s->evaluated[i] ? eval_values(&s->eval[i], r.value[i]) : 0;
    h->record[h->n++] = r;
    return 0;
}

static int keep_learned(void *user, const struct mask_step *s, struct err *e)
{
    struct work *w = user;
    struct prune_history *h = &w->history;
    if (!list_room(&h->learned, (size_t)h->n_learned, sizeof *h->learned))
        return err_memory(e, "the history");
    h->learned[h->n_learned++] = *s;
    const struct gather_news news = {
        .done = s->step, .share = (double)s->step / w->run.steps, .silent = -1};
    long_work_tell(&w->scoring.work, &news);
    return 0;
}

/* ---- masks ---- */

/* A layer's units as the mask begins: 2 less how many standard deviations the score is above the
 * layer's mean, as taker's forsaken_pruning begins. */
static void begin(const struct scores *s, int32_t layer, float *theta)
{
    const double *x = s->value + layer * s->n;
    double sum = 0, squares = 0, n = (double)s->n;
    for (int64_t i = 0; i < s->n; i++)
        sum += x[i];
    for (int64_t i = 0; i < s->n; i++)
        squares += (x[i] - sum / n) * (x[i] - sum / n);
    double std = sqrt(squares / (n - 1));
    for (int64_t i = 0; i < s->n; i++) {
        double z = (x[i] - sum / n) / std;
        theta[layer * s->n + i] = (float)(2 - (isfinite(z) ? fmax(-8, fmin(8, z)) : 0));
    }
}

static int begin_part(struct work *w, enum score_unit unit, float **theta)
{
    struct scores s, *all = &s;
    int rc = scores_init(&s, &w->c->m->cfg, unit, &w->c->err);
    if (!rc)
        rc = score_run(&all, 1, &w->run.score, &w->c->err);
    if (!rc && !(*theta = calloc((size_t)(s.n_layers * s.n) + 1, sizeof **theta)))
        rc = cli_memory(w->c);
    for (int32_t l = 0; l < s.n_layers && !rc; l++)
        if (s.there[l])
            begin(&s, l, *theta);
    scores_free(&s);
    return rc;
}

/* Both sets under the masks. */
static int evaluate_masks(struct work *w, float *const theta[PRUNE_PARTS], const char *path)
{
    struct cli *c = w->c;
    struct pair_target t = w->scoring.target;
    struct prune_step *s = calloc(1, sizeof *s);
    char **text = NULL;
    int32_t n = 0, made = 0;
    int rc = s ? mask_edits(&w->gone, (const float *const *)theta, path, "sigmoid", &text, &n,
                            &c->err)
               : cli_memory(c);
    struct edit **edits = calloc((size_t)(t.n_edits + n) + 1, sizeof(struct edit *));
    if (!rc && !edits)
        rc = cli_memory(c);
    for (int32_t i = 0; i < t.n_edits && !rc; i++)
        edits[i] = t.edits[i];
    for (; made < n && !rc; made += !rc)
        rc = edit_parse(&edits[t.n_edits + made], text[made], &c->err);
    rc = ranks_share(c->ranks, rc, NULL, 0, &c->err);
    if (!rc) {
        const struct pair_target with = {.edits = edits,
                                         .n_edits = t.n_edits + n,
                                         .prompts = t.prompts,
                                         .n_prompts = t.n_prompts,
                                         .sets = t.sets,
                                         .n_sets = t.n_sets};
        s->step = w->run.steps;
        rc = prune_evaluate(&w->run, &with, s, &c->err);
        rc = rc ? rc : keep(w, s, &c->err);
    }
    for (int32_t i = 0; edits && i < made; i++)
        edit_free(edits[t.n_edits + i]);
    free(edits), free(s);
    prune_edits_free(text, n);
    return rc;
}

/* Where this rank has the masks while they are learned: others than rank 0 in a file of their own.
 */
static int masks_path(struct cli *c, char path[PATH_MAX])
{
    const char *folder = getenv("TMPDIR");
    if (!ranks_rank(c->ranks)) {
        snprintf(path, PATH_MAX, "%s", c->opt->output);
        return 0;
    }
    snprintf(path, PATH_MAX, "%s/borescope-masks-XXXXXX.safetensors", folder ? folder : "/tmp");
    int fd = mkstemps(path, (int)strlen(".safetensors"));
    if (fd < 0)
        return err_set(&c->err, ERR_SYSTEM, "%.200s · %s", path, strerror(errno));
    close(fd);
    return 0;
}

static int learn(struct work *w)
{
    char path[PATH_MAX];
    struct cli *c = w->c;
    const struct options *o = c->opt;
    float *theta[PRUNE_PARTS] = {NULL, NULL};
    struct prune_run before = w->run;
    int rc = is_masks(o->output)
                 ? 0
                 : err_set(&c->err, ERR_USAGE,
                           "--learn · where do the masks go? · -o FILE.safetensors");
    if (!rc && !w->run.score.set[SCORE_FOCUS].path)
        rc = err_set(&c->err, ERR_USAGE, "--learn · it goes over --focus TEXTS, not statistics");
    before.steps = 0;
    if (!rc)
        rc = prune_run(&w->gone, &before, &c->err);
    bool both = !o->given[ON(neurons)] && !o->given[ON(dims)];
    if (!rc && (both || o->given[ON(neurons)]))
        rc = begin_part(w, SCORE_NEURONS, &theta[PRUNE_NEURONS]);
    if (!rc && (both || o->given[ON(dims)]))
        rc = begin_part(w, SCORE_DIMS, &theta[PRUNE_DIMS]);
    const struct mask_learn how = {.m = c->m,
                                   .target = &w->scoring.target,
                                   .set = w->run.score.set[SCORE_FOCUS],
                                   .theta = {theta[0], theta[1]},
                                   .rate = o->rate,
                                   .l1 = o->l1,
                                   .steps = w->run.steps,
                                   .windows = LEARN_WINDOWS,
                                   .cache_bytes = cli_cache_bytes(c),
                                   .path = path,
                                   .ranks = c->ranks,
                                   .told = keep_learned,
                                   .user = w};
    if (!rc)
        rc = masks_path(c, path);
    bool own = !rc && ranks_rank(c->ranks);
    rc = ranks_share(c->ranks, rc, NULL, 0, &c->err);
    if (!rc)
        rc = mask_learn(&w->gone, &how, &c->err);
    if (!rc)
        rc = evaluate_masks(w, theta, path);
    if (own)
        unlink(path);
    free(theta[0]), free(theta[1]);
    return rc;
}

/* ---- results ---- */

static int edits_write(struct work *w, const char *path)
{
    struct cli *c = w->c;
    struct bytes b = {0};
    char **text = NULL;
    int32_t n = 0;
    int rc = prune_edits(&w->gone, value_of(c), &text, &n, &c->err);
    bytes_addf(&b, "# borescope prune: %s\n", w->history.score);
    for (int i = 0; i < c->opt->refs.n; i++)
        bytes_addf(&b, "# --ref %s=%s\n", c->sets[i]->name, c->sets[i]->path);
    for (int32_t i = 0; i < n; i++)
        bytes_addf(&b, "%s\n", text[i]);
    prune_edits_free(text, n);
    if (!rc && b.failed)
        rc = cli_memory(c);
    if (!rc)
        rc = file_write_all(path, b.data, b.len, &c->err);
    bytes_free(&b);
    return rc;
}

/* The means of a set of statistics for one part, [n_layers, n]. */
static int put_of(struct work *w, int k, const struct reference_set *set, float **out)
{
    const struct pruned_part *q = &w->gone.part[k];
    char hook[LIMIT_NAME];
    if (!q->count)
        return 0;
    if (!(*out = calloc((size_t)(w->gone.n_layers * q->n) + 1, sizeof **out)))
        return cli_memory(w->c);
    for (int32_t l = 0; l < w->gone.n_layers; l++) {
        if (!q->there[l])
            continue;
        const struct st_tensor *t = reference_means_of(
            set, score_hook(k == PRUNE_NEURONS ? SCORE_NEURONS : SCORE_DIMS, l, hook), q->n,
            &w->c->err);
        if (!t)
            return err_code(&w->c->err);
        st_decode(t, 0, q->n, *out + l * q->n);
    }
    return 0;
}

static int masks_write(struct work *w)
{
    struct cli *c = w->c;
    float *put[PRUNE_PARTS] = {NULL, NULL};
    char name[LIMIT_NAME];
    const char *value = value_of(c);
    int rc = 0, end = 0;
    if (strcmp(value, "0") != 0) {
        const struct reference_set *set = NULL;
        if (sscanf(value, "mean(%127[^),])%n", name, &end) == 1 && end && !value[end])
            set = reference_find(c->sets, c->opt->refs.n, name, &c->err);
        if (!set || !set->means)
            rc = err_set(&c->err, ERR_USAGE,
                         "--with %.60s · masks hold zeros or the means of statistics: --with "
                         "'mean(NAME)' --ref NAME=FILE.safetensors · or -o FILE.edits",
                         value);
        for (int k = 0; k < PRUNE_PARTS && !rc; k++)
            rc = put_of(w, k, set, &put[k]);
    }
    if (!rc)
        rc = prune_write(&w->gone, (const float *const *)put, c->opt->output, &c->err);
    free(put[0]), free(put[1]);
    return rc;
}

static int checkpoint_write(struct work *w)
{
    struct cli *c = w->c;
    struct checkpoint_pruned made;
    int rc = checkpoint_prune(c->m, &w->gone, c->opt->shrink, c->opt->write, &made, &c->err);
    if (!rc)
        snprintf(c->note, sizeof c->note, "%.90s · %lld of %lld numbers cut out, %lld zeroed%s%s",
                 c->opt->write, (long long)made.cut, (long long)made.params, (long long)made.zeroed,
                 made.why[0] ? " · heads are zeroed: " : "", made.why);
    return rc;
}

static int results(struct work *w)
{
    struct cli *c = w->c;
    const struct options *o = c->opt;
    int rc = o->json ? prune_history_json(c, &w->history) : prune_history_table(c, &w->history);
    if (!rc && o->plot && !o->json && !o->tsv)
        rc = prune_plot(c, &w->history);
    if (rc)
        return rc;
    if (o->output && !o->learn)
        rc = is_masks(o->output) ? masks_write(w) : edits_write(w, o->output);
    if (!rc && o->write)
        rc = checkpoint_write(w);
    if (!rc && o->png)
        rc = prune_png(c, &w->history, o->png);
    c->show_anyway = true; /* long work is not lost to a file that cannot be written */
    return rc;
}

/* ---- the command ---- */

/* Is there a folder for it that can be written to?  Asked before long work. */
static int check_path(struct cli *c, const char *option, const char *path)
{
    char folder[PATH_MAX];
    const char *slash = path ? strrchr(path, '/') : NULL;
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    return !path || !access(folder, W_OK)
               ? 0
               : err_set(&c->err, ERR_BAD_INPUT, "%s %.200s · %s", option, path, strerror(errno));
}

static int check_paths(struct cli *c)
{
    const struct options *o = c->opt;
    int rc = check_path(c, "-o", o->output);
    rc = rc ? rc : check_path(c, "--png", o->png);
    rc = rc ? rc : check_path(c, "--write", o->write);
    rc = rc || !o->write ? rc : checkpoint_prune_check(o->write, &c->err);
    return rc || !is_masks(o->output) ? rc : tensor_write_check(o->output, &c->err);
}

static int check(struct cli *c)
{
    const struct options *o = c->opt;
    bool some = o->neurons > 0 || o->dims > 0 || o->heads > 0;
    if (!some && !o->learn)
        return err_set(&c->err, ERR_USAGE,
                       "prune · how much is to go? · --neurons 0.02, --heads 0.1 or --dims 0.02");
    if (o->dims > 0 && o->heads > 0)
        return err_set(&c->err, ERR_USAGE, "prune · --dims or --heads, not both");
    if (o->write && strcmp(value_of(c), "0") != 0)
        return err_set(&c->err, ERR_USAGE, "--write · weights are zeroed, --with %.40s is of edits",
                       o->with);
    if (o->shrink && !o->write)
        return err_set(&c->err, ERR_USAGE, "--shrink · where to? · --write FOLDER");
    if (o->learn && (o->write || o->with || o->heads > 0))
        return err_set(&c->err, ERR_USAGE,
                       "--learn · masks are of neurons and dims, and go to -o FILE.safetensors · "
                       "without --heads, --with and --write");
    return ranks_rank(c->ranks) ? 0 : check_paths(c);
}

static int run_options(struct work *w)
{
    const struct options *o = w->c->opt;
    const char *paths[SCORE_SETS] = {o->eval_focus, o->eval_cripple};
    w->run = (struct prune_run){
        .score = w->scoring.run,
        .share = {[SCORE_NEURONS] = o->neurons, [SCORE_DIMS] = o->dims, [SCORE_HEADS] = o->heads},
        .per_layer = o->per_layer,
        .cumulative = o->cumulative,
        .steps = o->steps   ? o->steps
                 : o->learn ? LEARN_STEPS
                            : 1,
        .value = value_of(w->c),
        .top = o->top,
        .told = keep,
        .user = w};
    const struct config *cfg = &w->c->m->cfg;
    if (o->shrink) /* what is cut out of grouped heads are groups */
        w->run.head_group = cfg->n_heads / (cfg->n_kv_heads > 0 ? cfg->n_kv_heads : 1);
    for (int i = 0; i < SCORE_SETS; i++)
        w->run.eval[i] = (struct score_set){
            .path = paths[i] ? paths[i] : w->scoring.run.set[i].path, .texts = &w->scoring.texts};
    w->history.n_layers = w->c->m->cfg.n_layers;
    w->history.score = score_table[w->run.score.id].name;
    return !o->png || w->run.eval[SCORE_FOCUS].path || w->run.eval[SCORE_CRIPPLE].path
               ? 0
               : err_set(&w->c->err, ERR_USAGE,
                         "--png · nothing is evaluated · give texts, or --eval-focus");
}

static void work_free(struct work *w)
{
    for (int i = 0; i < w->history.n; i++)
        free(w->history.record[i].layers);
    free(w->history.record), free(w->history.learned);
    pruned_free(&w->gone);
}

int cli_prune(struct cli *c)
{
    struct work *w = calloc(1, sizeof *w);
    if (!w)
        return cli_memory(c);
    w->c = c;
    int rc = scoring_open(&w->scoring, c, check(c));
    if (!rc)
        rc = pruned_init(&w->gone, &c->m->cfg, &c->err);
    if (!rc && c->opt->shrink)
        rc = checkpoint_shrink_check(c->m, c->opt->neurons > 0, c->opt->heads > 0,
                                     c->opt->per_layer, &c->err);
    if (!rc)
        rc = run_options(w);
    if (!rc)
        rc = c->opt->learn ? learn(w) : prune_run(&w->gone, &w->run, &c->err);
    scoring_close(&w->scoring);
    if (!rc && !ranks_rank(c->ranks))
        rc = results(w);
    work_free(w);
    free(w);
    return rc;
}
