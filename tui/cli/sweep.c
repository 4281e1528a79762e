/* sweep.c - `borescope sweep`: one metric under every edit of a kind; `patch`: its short form for
 * two prompts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "long_work.h"
#include "base/list.h"
#include "edit/edit.h"
#include "measure/sweep_state.h"
#include "model/tensor_write.h"
#include "run/pair_about.h"
#include "prompt_set.h"
#include "sweep_choices.h"
#include "sweep_print.h"

/* What a sweep is asked. */
struct asked {
    struct cli *c;
    struct prompt_set set;
    struct sweep_choices choices;
    struct sweep_state state; /* rank 0's, of --resume */
};

/* ------------------------------------------------------------------ computing */

/* A sweep on its way. */
struct sweeping {
    struct cli *c;
    struct sweep *s;
    struct sweep_state *state;
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
    if (rc || ranks_rank(w->c->ranks))
        return rc;
    const struct texts_place next = {.start = w->state->n};
    long_work_tell(&w->work, &news);
    if (!long_work_due(&w->work, &next))
        return 0;
    return long_work_saved(&w->work, &next, sweep_state_write(w->state, w->c->opt->state, e));
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
    int rc = len == sweep_unit_bytes(w->s, unit)
                 ? sweep_unit_take(w->s, unit, bytes, e)
                 : err_set(e, ERR_SYSTEM, "cells of a sweep in %zu bytes", len);
    return rc || !w->c->opt->state
               ? rc
               : sweep_state_add(w->state, bytes, len / sizeof(struct sweep_unit_cell), e);
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
    return rc ? rc : tell(w, e);
}

/* From a unit on: those before it are there. */
static int compute(struct asked *a, struct sweep *s, int32_t from)
{
    struct cli *c = a->c;
    struct sweeping w = {.c = c, .s = s, .state = &a->state};
    int32_t done = from * SWEEP_UNIT, left = sweep_cells(s) - done;
    int32_t units = sweep_units(s);
    int rc = 0;
    w.gather = (struct gather){.ranks = c->ranks, .merge = merge, .user = &w, .merged = from};
    w.all = (left < 0 ? 0 : left) * a->set.n / ranks_size(c->ranks);
    long_work_begin(&w.work, c, "cells", 0);
    for (int32_t u = from; u < units && !rc; u++)
        if (ranks_mine(c->ranks, u))
            rc = unit_compute(&w, u);
    if (!rc)
        rc = gather_end(&w.gather, units, tell, &w, &c->err);
    gather_free(&w.gather);
    long_work_end(&w.work);
    return rc;
}

static void add_text(struct fingerprint *f, const char *text)
{
    fingerprint_add(f, text ? text : "", text ? strlen(text) + 1 : 0);
}

static void add_list(struct fingerprint *f, struct option_list list)
{
    fingerprint_add(f, &list.n, sizeof list.n);
    for (int i = 0; i < list.n; i++)
        add_text(f, list.item[i]);
}

/* Files that were added: each once, in the order of the cells. */
struct files {
    char **path;
    size_t n;
};

static int add_file(struct fingerprint *f, struct files *seen, const char *path, struct err *e)
{
    for (size_t i = seen->n; i-- > 0;) /* the last one is likeliest */
        if (strcmp(seen->path[i], path) == 0)
            return 0;
    char *own = strdup(path);
    if (!own || !list_room(&seen->path, seen->n, sizeof *seen->path)) {
        free(own);
        return err_memory(e, "files of cells");
    }
    seen->path[seen->n++] = own;
    return fingerprint_file(f, path, e);
}

/* Files that a cell's edits read: those of --with and of --set are in none of the prompt's own. */
static int add_files(struct fingerprint *f, const struct sweep *s, int32_t cell, struct files *seen,
                     struct err *e)
{
    int n = sweep_cell_text(s, cell, NULL, 0), rc = 0;
    char *text = malloc((size_t)n + 1), *rest = NULL;
    if (!text)
        return err_memory(e, "a cell");
    *text = '\0';
    sweep_cell_text(s, cell, text, (size_t)n + 1);
    for (char *line = strtok_r(text, "\n", &rest); line && !rc;
         line = strtok_r(NULL, "\n", &rest)) {
        struct edit *ed = NULL;
        if (strchr(line, '"') && !edit_parse(&ed, line, NULL) && edit_file_path(ed))
            rc = add_file(f, seen, edit_file_path(ed), e);
        edit_free(ed);
    }
    free(text);
    return rc;
}

static int add_all_files(struct fingerprint *f, const struct sweep *s, struct err *e)
{
    struct files seen = {0};
    int rc = 0;
    for (int32_t i = 0; i < sweep_cells(s) && !rc; i++)
        rc = add_files(f, s, i, &seen, e);
    for (size_t i = 0; i < seen.n; i++)
        free(seen.path[i]);
    free(seen.path);
    return rc;
}

/* All that a cell's value depends on: model, edits, prompts and their runs, what is swept (out->a),
 * and what files hold that these read (out->b). */
static int about(const struct asked *a, const struct sweep *s, const char *kind,
                 const char *normalize, struct fingerprint *out)
{
    const struct options *o = a->c->opt;
    struct fingerprint f = fingerprint_model(a->c->m);
    const int32_t numbers[] = {sweep_cells(s), a->set.n, o->freeze_mlp,
                               (int32_t)a->set.target.align};
    const char *const texts[] = {kind, o->with, normalize, o->image};
    fingerprint_add(&f, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        add_text(&f, texts[i]);
    const struct option_list lists[] = {o->set, o->receiver, o->refs};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        add_list(&f, lists[i]);
    for (int32_t i = 0; i < a->choices.n; i++)
        add_text(&f, a->choices.item[i]);
    pair_about_edits(&f, &a->set.target);
    for (int32_t k = 0; k < a->set.n; k++) {
        const struct sweep_prompt *p = &a->set.prompts[k];
        fingerprint_add(&f, p->input.tokens, (size_t)p->input.n * sizeof *p->input.tokens);
        add_text(&f, p->metric);
        for (int32_t i = 0; i < p->n_runs; i++) {
            add_text(&f, p->runs[i].name);
            fingerprint_add(&f, p->runs[i].tokens, (size_t)p->runs[i].n * sizeof(int32_t));
        }
    }
    out->a = f.a;
    int rc = pair_about_read(&f, &a->set.target, &a->c->err);
    if (!rc)
        rc = pair_about_tokenizer(&f, a->c->m, &a->c->err);
    if (!rc && o->state)
        rc = add_all_files(&f, s, &a->c->err);
    if (!rc && o->image)
        rc = fingerprint_file(&f, o->image, &a->c->err);
    out->b = f.b;
    return rc;
}

/* What --resume has of it: so many units. */
static int state_open(struct asked *a, struct sweep *s, struct fingerprint f, int32_t *units)
{
    struct cli *c = a->c;
    struct sweep_state kept = {.n = 0};
    a->state.about = f;
    if (!long_work_goes_on(c))
        return 0;
    int rc = sweep_state_read(&kept, c->opt->state, &c->err);
    if (!rc && kept.about.a == f.a && kept.about.b != f.b)
        rc = long_work_read_differs(c);
    if (!rc && memcmp(&kept.about, &f, sizeof f) != 0)
        rc = err_set(&c->err, ERR_BAD_INPUT,
                     "%.200s · is of another model, other prompts, edits or cells · give the "
                     "command that it was made by, or another file",
                     c->opt->state);
    if (!rc)
        rc = sweep_state_take(&kept, s, units, &c->err);
    if (!rc) {
        a->state = kept;
        return 0;
    }
    err_prefix(&c->err, "--resume");
    sweep_state_free(&kept);
    return rc;
}

/* The same sweep everywhere, and the same units of it that are there. */
static int agree(struct asked *a, struct fingerprint f, int rc, int32_t *units)
{
    return long_work_agree(a->c, rc, &f, sizeof f, units, sizeof *units);
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
    int32_t from = 0;
    struct fingerprint f = {0, 0};
    if (!rc)
        rc = about(a, s, kind, normalize, &f);
    if (!rc)
        rc = state_open(a, s, f, &from);
    rc = agree(a, f, rc, &from);
    if (!rc)
        rc = compute(a, s, from);
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
    int32_t from = 0;
    int rc = c->opt->output && !ranks_rank(c->ranks) ? tensor_write_check(c->opt->output, &c->err)
                                                     : 0;
    if (!rc)
        rc = long_work_check(c);
    if (!rc)
        rc = sweep_choices_make(c, &a.choices);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = prompt_set_open(c, false, &a.set);
    rc = rc ? agree(&a, (struct fingerprint){0, 0}, rc, &from)
            : sweep_and_print(&a, kind, normalize);
    if (!rc)
        long_work_forget(c);
    sweep_state_free(&a.state);
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
