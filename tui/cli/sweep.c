/* sweep.c - `borescope sweep`: one metric under every edit of a kind; `patch`: its short form for
 * two prompts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli.h"
#include "measure/sweep.h"
#include "model/tensor_write.h"
#include "prompt_set.h"
#include "sweep_choices.h"
#include "sweep_print.h"

enum { STEP = 64, BAR = 30, SHOWN_US = 100000 };

/* What a sweep is asked. */
struct asked {
    struct cli *c;
    struct prompt_set set;
    struct sweep_choices choices;
};

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
    if (!rc)
        rc = compute(c, s);
    struct bytes text = {0};
    struct sweep_shown x = {.c = c,
                            .s = s,
                            .kind = kind ? kind : sweep_edits_text(c, &text),
                            .metric = a->set.metric,
                            .n_prompts = a->set.n};
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
        rc = sweep_choices_make(c, &a.choices);
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = prompt_set_open(c, false, &a.set);
    if (!rc)
        rc = sweep_and_print(&a, kind, normalize);
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
