/* attribute.c - `borescope attribute`: what each part does to a metric, estimated in a few passes
 * (engine/measure/attribute.h); of edits with holes and of chosen cells, what a sweep of them would
 * find (engine/measure/sweep.h). */
#include "attribute_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute_set.h"
#include "measure/metric.h"
#include "model/tensor_write.h"
#include "prompt_set.h"
#include "sweep_choices.h"

/* What is asked, and what holds it. */
struct asked {
    struct cli *c;
    struct prompt_set set;
    struct attribute_options opt;
    char from[LIMIT_NAME];
    struct sweep_choices choices;
    bool cells; /* edits with holes, or some of an axis: as a sweep has them */
};

/* --method, --kind, --with, --steps as far as they can be read without a model. */
static int options_read(struct asked *a)
{
    const struct options *o = a->c->opt;
    struct attribute_options *to = &a->opt;
    int rc = o->method ? attribute_method_parse(o->method, &to->method, &a->c->err) : 0;
    bool dla = to->method == ATTRIBUTE_DLA,
         edges = to->method == ATTRIBUTE_EAP || to->method == ATTRIBUTE_EAP_IG,
         steps = to->method == ATTRIBUTE_IG || to->method == ATTRIBUTE_EAP_IG;
    if (!o->method)
        to->method = ATTRIBUTE_ATP;
    if (!rc && o->given[ON(steps)] && !steps)
        rc = err_set(&a->c->err, ERR_USAGE, "--steps is of ig and eap-ig");
    if (!rc && edges && o->kind)
        rc = err_set(&a->c->err, ERR_USAGE, "%s · it has one kind, edges between heads and MLPs",
                     attribute_method_name(to->method));
    if (!rc && (dla || to->method == ATTRIBUTE_GRAD) && o->with)
        rc = err_set(&a->c->err, ERR_USAGE, "%s puts nothing anywhere · leave --with out",
                     attribute_method_name(to->method));
    if (!rc && a->cells && to->method != ATTRIBUTE_ATP)
        rc = err_set(&a->c->err, ERR_USAGE,
                     "%s takes a kind as a whole · --set, --over, -l and -H are of atp",
                     attribute_method_name(to->method));
    if (!rc && o->exact && (dla || edges || to->method == ATTRIBUTE_GRAD))
        rc = err_set(&a->c->err, ERR_USAGE, "--exact sweeps what atp and ig estimate");
    if (!rc && dla && o->kind)
        rc = attribute_part_parse(o->kind, &to->part, &a->c->err);
    if (!rc && !dla && !edges && !o->set.n) {
        to->kind = sweep_kind_find(o->kind                        ? o->kind
                                   : to->method == ATTRIBUTE_GRAD ? "score"
                                                                  : "resid_pre",
                                   &a->c->err);
        rc = to->kind ? 0 : err_code(&a->c->err);
    }
    to->steps = o->steps;
    return rc;
}

/* What is put there: --with, the only --run, or zero. */
static int with_choose(struct asked *a)
{
    const struct options *o = a->c->opt;
    const struct sweep_prompt *first = &a->set.prompts[0];
    int32_t runs = first->n_runs;
    a->opt.with = o->with ? o->with : "zero";
    if (o->with || runs == 0)
        return 0;
    if (runs > 1)
        return err_set(&a->c->err, ERR_USAGE,
                       "%d runs and no --with · --with 'from(%s)' reads one of them", (int)runs,
                       first->runs[0].name);
    snprintf(a->from, sizeof a->from, "from(%.100s)", first->runs[0].name);
    a->opt.with = a->from;
    return 0;
}

/* The sweep that the values estimate. */
static int sweep_make(struct asked *a, struct sweep **out)
{
    const struct options *o = a->c->opt;
    struct sweep_want w = {.kind = o->kind || !o->set.n ? a->opt.kind ? a->opt.kind->name : o->kind
                                                        : NULL,
                           .set = o->set.item,
                           .n_set = o->set.n,
                           .with = o->set.n ? o->with : a->opt.with,
                           .choose = {a->choices.item, a->choices.n},
                           .align = a->set.target.align,
                           .edits = a->set.target.edits,
                           .n_edits = a->set.target.n_edits,
                           .sets = a->set.target.sets,
                           .n_sets = a->set.target.n_sets,
                           .prompts = a->set.prompts,
                           .n_prompts = a->set.n,
                           .cache_bytes = a->opt.cache_bytes};
    return sweep_open(out, a->c->m, &w, &a->c->err);
}

/* The changes that a sweep finds, in the order of the map, and how the estimates correlate. */
static int exact_values(struct asked *a, struct sweep *s, struct attribute_shown *x)
{
    struct cli *c = a->c;
    int64_t n = attribution_count(&x->found);
    bool *there = malloc((size_t)n + 1);
    x->exact = malloc(((size_t)n + 1) * sizeof *x->exact);
    int rc = there && x->exact ? 0 : cli_memory(c);
    if (!rc && sweep_cells(s) != n)
        rc = err_set(&c->err, ERR_BAD_INPUT,
                     "--exact · the sweep has %d cells, the attribution %lld", (int)sweep_cells(s),
                     (long long)n);
    if (!rc)
        rc = sweep_step(s, SWEEP_CELLS_MAX, NULL, NULL, &c->err);
    for (int64_t i = 0; !rc && i < n; i++) {
        there[i] = sweep_has(s, (int32_t)i) && (!x->found.there || x->found.there[i]);
        x->exact[i] = there[i] ? (float)(sweep_value(s, (int32_t)i, NULL) - sweep_base(s)) : 0;
    }
    if (!rc)
        rc = attribute_correlation(x->found.values, x->exact, there, n, &x->pearson, &x->spearman,
                                   &c->err);
    free(there);
    return rc;
}

/* What the cells of a sweep give. */
static int cells_attribute(struct asked *a, struct attribute_shown *x)
{
    struct attribution *f = &x->found;
    const struct sweep_axis *axis;
    size_t n = (size_t)sweep_cells(x->sweep);
    f->rank = sweep_axes(x->sweep, &axis);
    for (int i = 0; i < f->rank; i++)
        f->axis[i] = (struct attribute_axis){.name = axis[i].name, .size = axis[i].size};
    f->values = calloc(n + 1, sizeof *f->values);
    f->there = calloc(n + 1, sizeof *f->there);
    x->errors = calloc(n + 1, sizeof *x->errors);
    int rc = f->values && f->there && x->errors
                 ? sweep_attribute(x->sweep, f->values, x->errors, f->there, &a->c->err)
                 : cli_memory(a->c);
    if (!rc)
        f->metric = sweep_base(x->sweep);
    for (size_t i = 0; i < n && !rc; i++)
        f->sum += (double)f->values[i];
    return rc;
}

/* KL from the run without edits is 0 there, its least: its gradient is 0, too. */
static void note_flat(const struct asked *a)
{
    enum attribute_method m = a->opt.method;
    bool flat = !a->set.target.n_edits &&
                (m == ATTRIBUTE_ATP || m == ATTRIBUTE_GRAD || m == ATTRIBUTE_EAP);
    struct metric of;
    if (!flat || !a->set.metric ||
        metric_parse(&of, a->set.metric, a->c->m->tok, a->c->m->cfg.d_vocab, NULL))
        return;
    for (int i = 0; i < of.n; i++)
        flat = flat && of.terms[i].kind == METRIC_KL;
    if (flat)
        snprintf(a->c->note, sizeof a->c->note,
                 "note: kl is 0 and least where nothing is edited, so all is 0 to first order · "
                 "--method ig goes further, sweep is exact, -e leads elsewhere");
}

int cli_attribute(struct cli *c)
{
    struct asked a = {.c = c};
    struct attribute_shown x = {.c = c};
    struct bytes edits = {0};
    size_t cache = 0;
    int rc = c->opt->output ? tensor_write_check(c->opt->output, &c->err) : 0;
    if (!rc)
        rc = sweep_choices_make(c, &a.choices);
    a.cells = c->opt->set.n || a.choices.n;
    if (!rc)
        rc = options_read(&a);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = prompt_set_open(c, true, &a.set);
    if (!rc && !c->opt->set.n)
        rc = with_choose(&a);
    if (!rc) {
        cache = cli_cache_bytes(c);
        a.opt.cache_bytes = a.cells ? cache : cache / 5;
    }
    if (!rc && (a.cells || c->opt->exact))
        rc = sweep_make(&a, &x.sweep);
    if (!rc && a.cells)
        rc = cells_attribute(&a, &x);
    else if (!rc)
        rc = attribute_set(&x.found, &x.errors, c->m, &a.set.target, a.set.prompts, a.set.n, &a.opt,
                           cache, &c->err);
    if (!rc && c->opt->exact)
        rc = exact_values(&a, x.sweep, &x);
    x.options = &a.opt, x.metric = a.set.metric, x.n_prompts = a.set.n;
    x.edits = c->opt->set.n ? sweep_edits_text(c, &edits) : NULL;
    x.by_cells = a.cells;
    if (!rc)
        note_flat(&a);
    if (!rc)
        rc = attribute_print(&x);
    attribution_free(&x.found);
    free(x.exact), free(x.errors);
    sweep_close(x.sweep);
    prompt_set_free(&a.set);
    bytes_free(&edits);
    return rc;
}
