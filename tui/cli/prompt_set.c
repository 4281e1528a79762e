/* prompt_set.c - see prompt_set.h. */
#include "prompt_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "metric_choose.h"

void prompt_set_free(struct prompt_set *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        if (s->metrics)
            free(s->metrics[i]);
        if (s->tokens)
            free(s->tokens[i]);
    }
    for (int32_t i = 0; s->runs && i < s->n * s->n_runs; i++)
        free((void *)(uintptr_t)s->runs[i].tokens);
    sweep_file_free(&s->file);
    free(s->prompts), free(s->runs), free(s->metric), free(s->metrics), free(s->tokens);
}

static int choose_metric(struct cli *c, bool best, struct prompt_set *s)
{
    const struct options *o = c->opt;
    if (o->prompts && !o->metric && !o->pair)
        return err_set(&c->err, ERR_USAGE,
                       "--prompts needs --metric 'logit[-1, \"{answer}\"] - …', or --pair A/B");
    return metric_choose(c, &s->target, best, &s->metric);
}

static int tokens_of(struct cli *c, const char *text, int32_t **ids, int32_t *n)
{
    int rc = model_tokens(c->m, text, strlen(text), cli_bos(c->opt), ids, n, &c->err);
    return rc ? rc : model_check_tokens(c->m, *ids, *n, NULL, &c->err);
}

/* Is a column a text for the metric? */
static bool is_text(const struct prompt_set *s, int32_t col)
{
    char hole[80];
    snprintf(hole, sizeof hole, "{%.70s}", sweep_file_heading(&s->file, col));
    return strstr(s->metric, hole) != NULL;
}

static int file_row(struct cli *c, struct prompt_set *s, int32_t row)
{
    int32_t n = 0, k = 0;
    s->metrics[row] = sweep_file_metric(&s->file, row, s->metric);
    int rc = s->metrics[row] ? tokens_of(c, sweep_file_at(&s->file, row, 0), &s->tokens[row], &n)
                             : cli_memory(c);
    struct pair_prompt *runs = s->runs + row * s->n_runs;
    for (int32_t col = 1; col < s->file.cols && !rc; col++) {
        int32_t *ids = NULL, length = 0;
        if (is_text(s, col))
            continue;
        rc = tokens_of(c, sweep_file_at(&s->file, row, col), &ids, &length);
        runs[k++] = (struct pair_prompt){
            .name = sweep_file_heading(&s->file, col), .tokens = ids, .n = length};
    }
    if (rc)
        err_prefix(&c->err, "%s · prompt %d", c->opt->prompts, (int)row + 1);
    s->prompts[row] = (struct sweep_prompt){run_ids(s->tokens[row], n), runs, s->n_runs,
                                            s->metrics[row]};
    return rc;
}

/* The first prompt is what labels show. */
static int show_first(struct cli *c, const struct run_input *in)
{
    c->tokens = malloc((size_t)in->n * sizeof *c->tokens);
    if (!c->tokens)
        return cli_memory(c);
    memcpy(c->tokens, in->tokens, (size_t)in->n * sizeof *c->tokens);
    c->n = in->n;
    return 0;
}

static int file_open(struct cli *c, struct prompt_set *s)
{
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
        rc = sweep_file_parse(&s->file, o->prompts, text, len, &c->err);
    free(text);
    return rc;
}

static int file_prompts(struct cli *c, struct prompt_set *s)
{
    size_t n = (size_t)s->file.rows;
    for (int32_t col = 1; col < s->file.cols; col++)
        s->n_runs += !is_text(s, col);
    s->prompts = calloc(n, sizeof *s->prompts);
    s->metrics = calloc(n, sizeof *s->metrics);
    s->tokens = calloc(n, sizeof *s->tokens);
    s->runs = calloc(n * (size_t)s->n_runs + 1, sizeof *s->runs);
    if (!s->prompts || !s->metrics || !s->tokens || !s->runs)
        return cli_memory(c);
    s->n = s->file.rows;
    int rc = 0;
    for (int32_t row = 0; row < s->n && !rc; row++)
        rc = file_row(c, s, row);
    return rc ? rc : show_first(c, &s->prompts[0].input);
}

static int one_prompt(struct cli *c, struct prompt_set *s)
{
    s->prompts = calloc(1, sizeof *s->prompts);
    if (!s->prompts)
        return cli_memory(c);
    s->n = 1;
    s->prompts[0] = (struct sweep_prompt){s->target.input, s->target.prompts, s->target.n_prompts,
                                          s->metric};
    return 0;
}

int prompt_set_open(struct cli *c, bool best, struct prompt_set *s)
{
    int rc = c->opt->prompts ? file_open(c, s) : cli_prompt(c, false);
    if (!rc)
        rc = cli_target(c, &s->target);
    if (!rc)
        rc = choose_metric(c, best, s);
    return rc ? rc : c->opt->prompts ? file_prompts(c, s) : one_prompt(c, s);
}
