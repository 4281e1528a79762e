/* sweep.c - `borescope sweep`: one metric under every edit of a kind; `patch`: its short form for
 * two prompts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "long_work.h"
#include "measure/sweep.h"
#include "model/fingerprint.h"
#include "model/tensor_write.h"
#include "prompt_set.h"
#include "sweep_choices.h"
#include "sweep_print.h"

/* What a sweep is asked. */
struct asked {
    struct cli *c;
    struct prompt_set set;
    struct sweep_choices choices;
};

/* ------------------------------------------------------------------ computing */

/* A sweep on its way. */
struct sweeping {
    struct cli *c;
    struct sweep *s;
    struct long_work work;
    struct gather gather;
    int32_t mine; /* cells of this rank that are done, */
    int32_t all;  /* of so many */
};

/* How far all ranks are; cells of others come to the sweep in whole units. */
static int tell(void *user, struct err *e)
{
    struct sweeping *w = user;
    struct gather_news news;
    int rc = gather_poll(&w->gather, w->mine, w->all ? (double)w->mine / w->all : 1, &news, e);
    if (!rc && !ranks_rank(w->c->ranks))
        long_work_tell(&w->work, &news);
    return rc;
}

static int cell_done(void *user, struct err *e)
{
    ((struct sweeping *)user)->mine++;
    return tell(user, e);
}

static int merge(void *user, const void *bytes, size_t len, struct err *e)
{
    struct sweeping *w = user;
    int32_t unit = (int32_t)w->gather.merged;
    return len == sweep_unit_bytes(w->s, unit)
               ? sweep_unit_take(w->s, unit, bytes, e)
               : err_set(e, ERR_SYSTEM, "cells of a sweep in %zu bytes", len);
}

static int unit_compute(struct sweeping *w, int32_t unit)
{
    struct err *e = &w->c->err;
    size_t n = sweep_unit_bytes(w->s, unit);
    struct sweep_unit_cell *cells = malloc(n);
    int rc = cells ? sweep_unit_compute(w->s, unit, cells, cell_done, w, e) : cli_memory(w->c);
    if (!rc)
        rc = gather_give(&w->gather, unit, cells, n, e);
    free(cells);
    return rc;
}

static int compute(struct cli *c, struct sweep *s, int32_t n_prompts)
{
    struct sweeping w = {.c = c, .s = s};
    int32_t units = sweep_units(s);
    int rc = 0;
    w.gather = (struct gather){.ranks = c->ranks, .merge = merge, .user = &w};
    w.all = sweep_cells(s) * n_prompts / ranks_size(c->ranks);
    long_work_begin(&w.work, c, "cells", 0);
    for (int32_t u = 0; u < units && !rc; u++)
        if (ranks_mine(c->ranks, u))
            rc = unit_compute(&w, u);
    if (!rc)
        rc = gather_end(&w.gather, units, tell, &w, &c->err);
    gather_free(&w.gather);
    long_work_end(&w.work);
    return rc;
}

/* The same model, and as many cells, everywhere. */
static int agree(struct asked *a, const struct sweep *s, int rc)
{
    struct cli *c = a->c;
    struct fingerprint about = {0, 0};
    if (!rc) {
        int32_t cells = sweep_cells(s);
        about = fingerprint_model(c->m);
        fingerprint_add(&about, &cells, sizeof cells);
    }
    return long_work_agree(c, rc, &about, sizeof about, NULL, 0);
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
                           .choose = {a->choices.item, a->choices.n},
                           .receivers = o->receiver.item,
                           .n_receivers = o->receiver.n,
                           .freeze_mlp = o->freeze_mlp,
                           .normalize = normalize,
                           .align = a->set.target.align,
                           .edits = a->set.target.edits,
                           .n_edits = a->set.target.n_edits,
                           .sets = a->set.target.sets,
                           .n_sets = a->set.target.n_sets,
                           .prompts = a->set.prompts,
                           .n_prompts = a->set.n,
                           .cache_bytes = cli_cache_bytes(c)};
    int rc = sweep_open(&s, c->m, &w, &c->err);
    rc = agree(a, s, rc);
    if (!rc)
        rc = compute(c, s, a->set.n);
    struct bytes text = {0};
    struct sweep_shown x = {.c = c,
                            .s = s,
                            .kind = kind ? kind : sweep_edits_text(c, &text),
                            .metric = a->set.metric,
                            .n_prompts = a->set.n};
    if (!rc && !ranks_rank(c->ranks)) {
        x.n_axes = sweep_axes(s, &x.axes);
        rc = sweep_print(&x);
    }
    bytes_free(&text);
    sweep_close(s);
    return rc;
}

static int run_sweep(struct cli *c, const char *kind, const char *normalize)
{
    struct asked a = {.c = c};
    int rc = c->opt->output && !ranks_rank(c->ranks) ? tensor_write_check(c->opt->output, &c->err)
                                                     : 0;
    if (!rc)
        rc = sweep_choices_make(c, &a.choices);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = prompt_set_open(c, false, &a.set);
    rc = rc ? agree(&a, NULL, rc) : sweep_and_print(&a, kind, normalize);
    prompt_set_free(&a.set);
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
