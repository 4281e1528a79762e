/* sweep_side.c - one prompt of a sweep: its runs, its metric, and what edits read (sweep_parts.h).
 */
#include "measure/sweep_parts.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "edit/reference.h"

/* ---- positions ---- */

int sweep_columns(struct sweep *s, struct err *e)
{
    const struct run_input *in[SWEEP_PROMPTS_MAX];
    int32_t *column[SWEEP_PROMPTS_MAX];
    for (int32_t k = 0; k < s->n_sides; k++)
        in[k] = &s->side[k].target.input;
    int rc = prompt_columns(in, s->n_sides, s->align, &s->columns, column, e);
    for (int32_t k = 0; k < s->n_sides && !rc; k++)
        s->side[k].column = column[k];
    return rc;
}

/* ---- sources ---- */

static int32_t token_text(void *user, int32_t pos, const char **text)
{
    const struct sweep_side *d = user;
    size_t len;
    *text = model_input_text(d->m, d->target.input.tokens[pos], &len);
    return (int32_t)len;
}

struct edit_context sweep_context(const struct sweep *s, struct sweep_side *d)
{
    return (struct edit_context){.cfg = &s->m->cfg,
                                 .n_pos = d->target.input.n,
                                 .model = s->m,
                                 .token_text = token_text,
                                 .user = d,
                                 .sets = d->target.sets,
                                 .n_sets = d->target.n_sets};
}

static struct sweep_source *source_find(const struct sweep_side *d, const struct edit_source *from)
{
    for (int32_t i = 0; i < d->n_sources; i++) {
        struct sweep_source *x = &d->sources[i];
        if (from->set ? x->set == from->set && x->prompt == from->prompt
                      : !x->set && !strcmp(x->name, from->name))
            return x;
    }
    return NULL;
}

/* The tokens of a source. */
static int source_input(const struct sweep_side *d, const struct edit_source *from,
                        struct run_input *in, const char **name, struct err *e)
{
    if (from->set) {
        const int64_t *start = from->set->start + from->prompt;
        *in = run_ids(from->set->tokens + start[0], (int32_t)(start[1] - start[0]));
        *name = NULL;
        return 0;
    }
    for (int32_t i = 0; i < d->target.n_prompts; i++) {
        const struct pair_prompt *p = &d->target.prompts[i];
        if (!strcmp(p->name, from->name)) {
            *in = run_ids(p->tokens, p->n);
            in->image = p->image;
            *name = p->name;
            return 0;
        }
    }
    return err_set(e, ERR_BAD_INPUT, "no run is called \"%s\" · name one: --run %s=TEXT",
                   from->name, from->name);
}

/* The run of a source, computed when it is first read. */
static struct sweep_source *source_make(struct sweep *s, struct sweep_side *d,
                                        const struct edit_source *from, struct err *e)
{
    struct sweep_source *x = source_find(d, from);
    struct sweep_source fresh = {.set = from->set, .prompt = from->prompt};
    struct run_options opt = {.cache_bytes = s->cache_bytes / (size_t)(4 * s->n_sides)};
    struct run_input in;
    if (x)
        return x;
    if (source_input(d, from, &in, &fresh.name, e))
        return NULL;
    if (!list_room(&d->sources, (size_t)d->n_sources, sizeof *x))
        err_memory(e, "runs");
    else if ((fresh.run = run_create(s->m, NULL, &opt, e)) != NULL &&
             !run_sync(fresh.run, in, NULL, NULL, NULL, e)) {
        d->sources[d->n_sources] = fresh;
        return &d->sources[d->n_sources++];
    }
    run_free(fresh.run);
    return NULL;
}

int sweep_side_sources(struct sweep *s, struct sweep_side *d, struct edit_program *p,
                       struct run *path, struct run **reads, struct err *e)
{
    for (int32_t i = 0; i < p->n_sources; i++) {
        const struct edit_source *from = &p->sources[i];
        struct sweep_source *x = NULL;
        if (!from->set && !strcmp(from->name, "base"))
            reads[i] = d->base;
        else if (!from->set && s->paths && !strcmp(from->name, SWEEP_EDITED))
            reads[i] = sweep_side_shown(d);
        else if (!from->set && s->paths && !strcmp(from->name, SWEEP_PATH))
            reads[i] = path;
        else if ((x = source_make(s, d, from, e)) != NULL)
            reads[i] = x->run;
        else
            return err_code(e);
    }
    int rc = p->needs_means ? reference_means_fill(s->means, p, e) : 0;
    return rc ? rc : prompt_align(&d->maps, &d->target, p, d->target.n_edits, e);
}

/* ---- the runs that every cell shares ---- */

static int side_edits(struct sweep *s, struct sweep_side *d, struct err *e)
{
    struct run_options opt = {.cache_bytes = s->cache_bytes / (size_t)(4 * s->n_sides)};
    const struct pair_target *t = &d->target;
    struct edit_context ctx = sweep_context(s, d);
    if (!t->n_edits)
        return 0;
    int rc = d->edits ? 0 : edit_resolve(&d->edits, t->edits, t->on, t->n_edits, &ctx, e);
    if (!rc && !d->edits_read &&
        !(d->edits_read = calloc((size_t)d->edits->n_sources + 1, sizeof(struct run *))))
        rc = err_memory(e, "runs");
    if (!rc)
        rc = sweep_side_sources(s, d, d->edits, NULL, d->edits_read, e);
    if (!rc && !d->edited && !(d->edited = run_create(s->m, d->base, &opt, e)))
        rc = err_code(e);
    return rc ? rc : run_sync(d->edited, (struct run_input){0}, d->edits, d->edits_read, NULL, e);
}

static bool has_kl(const struct metric *m)
{
    for (int32_t i = 0; i < m->n; i++)
        if (m->terms[i].kind == METRIC_KL)
            return true;
    return false;
}

/* The metric of the run that scores are counted to. */
static int measure_other(struct sweep *s, struct sweep_side *d, struct sweep_measure *by,
                         struct err *e)
{
    struct edit_source from = {.name = s->normalize};
    struct sweep_source *x = source_make(s, d, &from, e);
    if (!x)
        return err_code(e);
    if (has_kl(&by->metric) && run_length(x->run) != d->target.input.n)
        return err_set(
            e, ERR_BAD_INPUT,
            "kl compares positions of equal prompts · run %s has %d tokens, the prompt %d",
            s->normalize, (int)run_length(x->run), (int)d->target.input.n);
    int rc = metric_value(&by->metric, x->run, d->base, &by->at_other, e);
    if (!rc && by->at_other == by->at_base)
        rc = err_set(e, ERR_BAD_INPUT,
                     "the metric is %.6g in the prompt and in run %s · there is no way from 0 to 1",
                     by->at_base, s->normalize);
    return rc;
}

int sweep_side_metric(const struct sweep *s, const struct sweep_side *d, const char *text,
                      struct sweep_measure *out, struct err *e)
{
    int rc = metric_parse(&out->metric, text, s->m->tok, s->m->cfg.d_vocab, e);
    if (!rc)
        rc = metric_check(&out->metric, s->m, e);
    return rc ? rc : metric_reads(&out->metric, d->target.input.n, &out->reads, e);
}

/* Logits of a run as the metric reads them, malloc'ed. */
static int logits_read(const struct sweep *s, struct run *run, const struct metric_reads *r,
                       float **out, struct err *e)
{
    int64_t width = r->n_tokens ? r->n_tokens : s->m->cfg.d_vocab;
    *out = malloc(((size_t)r->n_rows * (size_t)width + 1) * sizeof **out);
    return *out ? run_logits(run, r->rows, r->n_rows, r->tokens, r->n_tokens, *out, e)
                : err_memory(e, "logits");
}

int sweep_side_measure(struct sweep *s, struct sweep_side *d, struct sweep_measure *by,
                       struct err *e)
{
    const struct metric_reads *r = &by->reads;
    float *base = NULL, *shown = NULL;
    int rc = logits_read(s, d->base, r, &base, e);
    if (!rc && d->edited)
        rc = logits_read(s, d->edited, r, &shown, e);
    if (!rc) {
        free(by->logits);
        by->logits = base;
        by->at_base = metric_of(&by->metric, r, shown ? shown : base, base, d->target.input.tokens,
                                d->target.input.n, s->m->cfg.d_vocab);
        base = NULL;
    }
    free(base), free(shown);
    return !rc && s->normalize ? measure_other(s, d, by, e) : rc;
}

void sweep_measure_free(struct sweep_measure *by)
{
    metric_reads_free(&by->reads);
    free(by->logits);
    *by = (struct sweep_measure){.logits = NULL};
}

int sweep_side_ready(struct sweep *s, struct sweep_side *d, struct err *e)
{
    /* Half of the budget for the bases, a quarter for what is kept of cells, the rest for others */
    struct run_options opt = {.cache_bytes = s->cache_bytes / (size_t)(2 * s->n_sides)};
    if (d->ready)
        return 0;
    if (!d->base && !(d->base = run_create(s->m, NULL, &opt, e)))
        return err_code(e);
    int rc = run_sync(d->base, d->target.input, NULL, NULL, NULL, e);
    if (!rc)
        rc = side_edits(s, d, e);
    if (!rc)
        rc = sweep_side_measure(s, d, &d->by, e);
    d->ready = !rc;
    return rc;
}

void sweep_side_free(struct sweep_side *d)
{
    for (int i = 0; i < SWEEP_PATHS; i++)
        run_free(d->path[i]);
    run_free(d->edited);
    run_free(d->base);
    for (int32_t i = 0; i < d->n_sources; i++)
        run_free(d->sources[i].run);
    prompt_maps_free(&d->maps);
    edit_program_free(d->edits);
    pair_target_free(&d->target);
    sweep_measure_free(&d->by);
    metric_reads_free(&d->kept_reads);
    free(d->sources), free(d->edits_read), free(d->column);
    free(d->value), free(d->state), free(d->kept);
    *d = (struct sweep_side){0};
}
