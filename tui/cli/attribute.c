/* attribute.c - `borescope attribute`: what each part does to a metric, estimated in a few passes
 * (engine/measure/attribute.h). */
#include "attribute_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute_set.h"
#include "model/tensor_write.h"
#include "prompt_set.h"

/* What is asked, and what holds it. */
struct asked {
    struct cli *c;
    struct prompt_set set;
    struct attribute_options opt;
    char from[LIMIT_NAME];
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
    if (!rc && o->exact && (dla || edges || to->method == ATTRIBUTE_GRAD))
        rc = err_set(&a->c->err, ERR_USAGE, "--exact sweeps what atp and ig estimate");
    if (!rc && dla && o->kind)
        rc = attribute_part_parse(o->kind, &to->part, &a->c->err);
    if (!rc && !dla && !edges) {
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

/* The sweep that the values estimate: its changes, in the order of the map. */
static int exact_values(struct asked *a, struct attribute_shown *x)
{
    struct cli *c = a->c;
    struct sweep *s = NULL;
    struct sweep_want w = {.kind = a->opt.kind->name,
                           .with = a->opt.with,
                           .align = a->set.target.align,
                           .edits = a->set.target.edits,
                           .n_edits = a->set.target.n_edits,
                           .sets = a->set.target.sets,
                           .n_sets = a->set.target.n_sets,
                           .prompts = a->set.prompts,
                           .n_prompts = a->set.n,
                           .cache_bytes = a->opt.cache_bytes};
    int64_t n = attribution_count(&x->found);
    bool *there = malloc((size_t)n + 1);
    x->exact = malloc(((size_t)n + 1) * sizeof *x->exact);
    int rc = there && x->exact ? sweep_open(&s, c->m, &w, &c->err) : cli_memory(c);
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
    sweep_close(s);
    free(there);
    return rc;
}

int cli_attribute(struct cli *c)
{
    struct asked a = {.c = c};
    struct attribute_shown x = {.c = c};
    size_t cache = 0;
    int rc = c->opt->output ? tensor_write_check(c->opt->output, &c->err) : 0;
    if (!rc)
        rc = options_read(&a);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = prompt_set_open(c, true, &a.set);
    if (!rc)
        rc = with_choose(&a);
    if (!rc) {
        cache = cli_cache_bytes(c);
        a.opt.cache_bytes = cache / 5;
        rc = attribute_set(&x.found, &x.errors, c->m, &a.set.target, a.set.prompts, a.set.n, &a.opt,
                           cache, &c->err);
    }
    if (!rc && c->opt->exact)
        rc = exact_values(&a, &x);
    x.options = &a.opt, x.metric = a.set.metric, x.n_prompts = a.set.n;
    if (!rc)
        rc = attribute_print(&x);
    attribution_free(&x.found);
    free(x.exact), free(x.errors);
    prompt_set_free(&a.set);
    return rc;
}
