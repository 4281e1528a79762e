/* sweep.c - `borescope sweep`: one metric under every edit of a kind; `patch`: its short form for
 * two prompts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file_read.h"
#include "cli.h"
#include "measure/sweep.h"
#include "metric_choose.h"
#include "model/tensor_write.h"
#include "sweep_print.h"
#include "sweep_prompts.h"

enum { STEP = 64, BAR = 30, CHOICES_MAX = 64, SHOWN_US = 100000 };

/* What a sweep is asked, and what holds it. */
struct asked {
    struct cli *c;
    struct pair_target target; /* edits, sets and --run; c owns them */
    struct sweep_file file;
    struct sweep_prompt *prompts;
    int32_t n_prompts;
    struct pair_prompt *runs; /* [n_prompts][n_runs] of the file */
    int32_t n_runs;
    char *metric;     /* --metric, or what stands for it */
    char **metrics;   /* [n_prompts] with the file's texts in it */
    int32_t **tokens; /* [n_prompts] of the file's prompts */
    const char *choices[CHOICES_MAX];
    char layer[32], head[32]; /* -l and -H as choices */
    int32_t n_choices;
};

static void asked_free(struct asked *a)
{
    for (int32_t i = 0; i < a->n_prompts; i++) {
        if (a->metrics)
            free(a->metrics[i]);
        if (a->tokens)
            free(a->tokens[i]);
    }
    for (int32_t i = 0; a->runs && i < a->n_prompts * a->n_runs; i++)
        free((void *)(uintptr_t)a->runs[i].tokens);
    sweep_file_free(&a->file);
    free(a->prompts), free(a->runs), free(a->metric), free(a->metrics), free(a->tokens);
}

static int choose_metric(struct asked *a)
{
    const struct options *o = a->c->opt;
    if (o->prompts && !o->metric && !o->pair)
        return err_set(&a->c->err, ERR_USAGE,
                       "--prompts needs --metric 'logit[-1, \"{answer}\"] - …', or --pair A/B");
    return metric_choose(a->c, &a->target, false, &a->metric);
}

/* ------------------------------------------------------------------ the prompts */

static int tokens_of(struct cli *c, const char *text, int32_t **ids, int32_t *n)
{
    int rc = model_tokens(c->m, text, strlen(text), cli_bos(c->opt), ids, n, &c->err);
    return rc ? rc : model_check_tokens(c->m, *ids, *n, NULL, &c->err);
}

/* Is a column a text for the metric? */
static bool is_text(const struct asked *a, int32_t col)
{
    char hole[80];
    snprintf(hole, sizeof hole, "{%.70s}", sweep_file_heading(&a->file, col));
    return strstr(a->metric, hole) != NULL;
}

static int file_row(struct asked *a, int32_t row)
{
    struct cli *c = a->c;
    struct sweep_prompt *p = &a->prompts[row];
    int32_t n = 0, k = 0;
    a->metrics[row] = sweep_file_metric(&a->file, row, a->metric);
    int rc = a->metrics[row] ? tokens_of(c, sweep_file_at(&a->file, row, 0), &a->tokens[row], &n)
                             : cli_memory(c);
    struct pair_prompt *runs = a->runs + row * a->n_runs;
    for (int32_t col = 1; col < a->file.cols && !rc; col++) {
        int32_t *ids = NULL, length = 0;
        if (is_text(a, col))
            continue;
        rc = tokens_of(c, sweep_file_at(&a->file, row, col), &ids, &length);
        runs[k++] = (struct pair_prompt){
            .name = sweep_file_heading(&a->file, col), .tokens = ids, .n = length};
    }
    if (rc)
        err_prefix(&c->err, "%s · prompt %d", c->opt->prompts, (int)row + 1);
    *p = (struct sweep_prompt){run_ids(a->tokens[row], n), runs, a->n_runs, a->metrics[row]};
    return rc;
}

/* The first prompt is what labels show. */
static int show_first(struct asked *a)
{
    struct cli *c = a->c;
    const struct run_input *in = &a->prompts[0].input;
    c->tokens = malloc((size_t)in->n * sizeof *c->tokens);
    if (!c->tokens)
        return cli_memory(c);
    memcpy(c->tokens, in->tokens, (size_t)in->n * sizeof *c->tokens);
    c->n = in->n;
    return 0;
}

static int file_open(struct asked *a)
{
    struct cli *c = a->c;
    const struct options *o = c->opt;
    char *text = NULL;
    size_t len;
    if (c->m->cfg.patch_size)
        return err_set(&c->err, ERR_BAD_INPUT, "--prompts · it is of texts, %s takes images",
                       c->m->name);
    if (o->prompt || o->tokens || o->from_stdin || o->runs.n)
        return err_set(&c->err, ERR_USAGE, "--prompts has the prompts · leave -p and --run out");
    int rc = file_read_all(o->prompts, LIMIT_REFERENCE_BYTES, &text, &len, &c->err);
    if (!rc)
        rc = sweep_file_parse(&a->file, o->prompts, text, len, &c->err);
    free(text);
    return rc;
}

static int file_prompts(struct asked *a)
{
    size_t n = (size_t)a->file.rows;
    for (int32_t col = 1; col < a->file.cols; col++)
        a->n_runs += !is_text(a, col);
    a->prompts = calloc(n, sizeof *a->prompts);
    a->metrics = calloc(n, sizeof *a->metrics);
    a->tokens = calloc(n, sizeof *a->tokens);
    a->runs = calloc(n * (size_t)a->n_runs + 1, sizeof *a->runs);
    if (!a->prompts || !a->metrics || !a->tokens || !a->runs)
        return cli_memory(a->c);
    int rc = 0;
    for (a->n_prompts = a->file.rows; n > 0 && !rc; n--)
        rc = file_row(a, a->file.rows - (int32_t)n);
    return rc ? rc : show_first(a);
}

static int one_prompt(struct asked *a)
{
    a->prompts = calloc(1, sizeof *a->prompts);
    if (!a->prompts)
        return cli_memory(a->c);
    a->n_prompts = 1;
    a->prompts[0] = (struct sweep_prompt){a->target.input, a->target.prompts, a->target.n_prompts,
                                          a->metric};
    return 0;
}

static int open_prompts(struct asked *a)
{
    struct cli *c = a->c;
    int rc = c->opt->prompts ? file_open(a) : cli_prompt(c, false);
    if (!rc)
        rc = cli_target(c, &a->target);
    if (!rc)
        rc = choose_metric(a);
    return rc ? rc : c->opt->prompts ? file_prompts(a) : one_prompt(a);
}

/* ------------------------------------------------------------------ computing */

struct progress {
    const struct sweep *s;
    int64_t begun_us, shown_us;
    bool on;
};

/* A bar on standard error, ten times a second. */
static int tell(void *user, struct err *e)
{
    struct progress *p = user;
    int64_t now = clock_us();
    (void)e;
    if (!p->on || now - p->shown_us < SHOWN_US)
        return 0;
    int32_t done = sweep_done(p->s), cells = sweep_cells(p->s),
            full = (int32_t)((int64_t)done * BAR / cells);
    double rate = done * 1e6 / (double)(now - p->begun_us);
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = '\0';
    fprintf(stderr, "\r%s %d/%d · %.0f/s · %.0f s left \033[K", bar, (int)done, (int)cells, rate,
            (cells - done) / (rate > 0 ? rate : 1));
    p->shown_us = now;
    return 0;
}

static int compute(struct cli *c, struct sweep *s)
{
    struct progress p = {.s = s, .begun_us = clock_us(), .on = isatty(STDERR_FILENO)};
    int rc = 0;
    while (!rc && sweep_done(s) < sweep_cells(s))
        rc = sweep_step(s, STEP, tell, &p, &c->err);
    if (p.shown_us > 0)
        fputs("\r\033[K", stderr);
    return rc;
}

/* --over, and -l and -H as such. */
static int choices_make(struct asked *a)
{
    const struct options *o = a->c->opt;
    if (o->over.n > CHOICES_MAX - 2)
        return err_set(&a->c->err, ERR_USAGE, "--over · at most %d of them", CHOICES_MAX - 2);
    for (int i = 0; i < o->over.n; i++)
        a->choices[a->n_choices++] = o->over.item[i];
    snprintf(a->layer, sizeof a->layer, "layer=%d", (int)o->layer);
    snprintf(a->head, sizeof a->head, "head=%d", (int)o->head);
    if (o->given[ON(layer)])
        a->choices[a->n_choices++] = a->layer;
    if (o->head >= 0)
        a->choices[a->n_choices++] = a->head;
    return 0;
}

/* Edits with holes as one text. */
static const char *kind_text(struct cli *c, const char *kind, struct bytes *buf)
{
    for (int i = 0; !kind && i < c->opt->set.n; i++) {
        bytes_add_string(buf, i ? "; " : "");
        bytes_add_string(buf, c->opt->set.item[i]);
    }
    bytes_add(buf, "", 1);
    return kind ? kind : buf->failed ? "" : buf->data;
}

static int sweep_and_print(struct asked *a, const char *kind, const char *normalize)
{
    struct cli *c = a->c;
    const struct options *o = c->opt;
    struct sweep *s = NULL;
    struct sweep_want w = {.kind = kind,
                           .set = o->set.item,
                           .n_set = o->set.n,
                           .with = o->with,
                           .choose = {a->choices, a->n_choices},
                           .receivers = o->receiver.item,
                           .n_receivers = o->receiver.n,
                           .freeze_mlp = o->freeze_mlp,
                           .normalize = normalize,
                           .align = a->target.align,
                           .edits = a->target.edits,
                           .n_edits = a->target.n_edits,
                           .sets = a->target.sets,
                           .n_sets = a->target.n_sets,
                           .prompts = a->prompts,
                           .n_prompts = a->n_prompts,
                           .cache_bytes = cli_cache_bytes(c)};
    int rc = sweep_open(&s, c->m, &w, &c->err);
    if (!rc)
        rc = compute(c, s);
    struct bytes text = {0};
    struct sweep_shown x = {.c = c,
                            .s = s,
                            .kind = kind_text(c, kind, &text),
                            .metric = a->metric,
                            .n_prompts = a->n_prompts};
    if (!rc)
        x.n_axes = sweep_axes(s, &x.axes);
    if (!rc)
        rc = sweep_print(&x);
    bytes_free(&text);
    sweep_close(s);
    return rc;
}

static int run_sweep(struct cli *c, const char *kind, const char *normalize)
{
    struct asked a = {.c = c};
    int rc = c->opt->output ? tensor_write_check(c->opt->output, &c->err) : 0;
    if (!rc)
        rc = choices_make(&a);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = open_prompts(&a);
    if (!rc)
        rc = sweep_and_print(&a, kind, normalize);
    asked_free(&a);
    return rc;
}

int cli_sweep(struct cli *c)
{
    return run_sweep(c, c->opt->kind, c->opt->normalize);
}

/* Two prompts: the second one is the run `clean`, and scores go from 0 to 1. */
int cli_patch(struct cli *c)
{
    struct options opt = *c->opt;
    const char *run[1];
    struct bytes text = {0};
    if (!c->opt->clean)
        return err_set(&c->err, ERR_USAGE,
                       "patch needs the clean prompt · --clean TEXT is patched into -p TEXT");
    if (opt.runs.n)
        return err_set(&c->err, ERR_USAGE, "patch is for two prompts · sweep takes --run");
    bytes_add_string(&text, "clean=");
    bytes_add_string(&text, opt.clean);
    bytes_add(&text, "", 1);
    run[0] = text.data;
    opt.runs = (struct option_list){run, 1};
    const struct options *given = c->opt;
    int rc = text.failed ? cli_memory(c) : 0;
    c->opt = &opt;
    if (!rc)
        rc = run_sweep(c, opt.kind ? opt.kind : opt.set.n ? NULL : "resid_pre", "clean");
    c->opt = given;
    bytes_free(&text);
    return rc;
}
