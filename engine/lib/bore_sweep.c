/* bore_sweep.c - the library's sweeps (see borescope.h).  Tested in
 * tests/engine/test_library_sweep.c. */
#include "lib/bore_parts.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/sweep.h"

static_assert((int)BORE_AXES_MAX == (int)SWEEP_AXES_MAX &&
                  (int)SWEEP_NAME == (int)sizeof(((struct bore_sweep_result *)0)->axes[0].name),
              "axes are the engine's");

/* Prompts as the engine wants them. */
struct prompts {
    struct bore_row *rows;
    struct pair_target *targets;
    struct sweep_prompt *list;
    int n;
};

static void prompts_free(struct prompts *p)
{
    for (int i = 0; i < p->n; i++) {
        bore_target_free(&p->targets[i]);
        bore_row_free(&p->rows[i]);
    }
    free(p->rows), free(p->targets), free(p->list);
}

static int prompt_make(const struct bore_model *m, const struct bore_sweep *w, int i,
                       struct prompts *p, struct err *e)
{
    const struct bore_sweep_prompt *from = &w->prompts[i];
    const struct bore_pass pass = {.tokens = from->tokens,
                                   .rows = 1,
                                   .cols = from->n,
                                   .pixels = from->pixels,
                                   .edits = w->edits,
                                   .n_edits = w->n_edits,
                                   .prompts = from->runs,
                                   .n_prompts = from->n_runs,
                                   .references = w->references,
                                   .n_references = w->n_references};
    int rc = bore_pass_check(m, &pass, e);
    if (!rc && !from->metric)
        rc = err_set(e, ERR_BAD_INPUT, "a sweep · a prompt has no metric");
    if (!rc)
        rc = bore_pass_row(m, &pass, 0, &p->rows[i], e);
    if (!rc)
        rc = model_check_tokens(m->m, p->rows[i].tokens, p->rows[i].n, NULL, e);
    if (!rc)
        rc = bore_target(m, &pass, &p->rows[i], &p->targets[i], e);
    const struct pair_target *t = &p->targets[i];
    p->list[i] = (struct sweep_prompt){t->input, t->prompts, t->n_prompts, from->metric};
    return rc;
}

static int prompts_make(const struct bore_model *m, const struct bore_sweep *w, struct prompts *p,
                        struct err *e)
{
    if (w->n_prompts < 1 || w->n_prompts > SWEEP_PROMPTS_MAX || !w->prompts)
        return err_set(e, ERR_BAD_INPUT, "a sweep · %d prompts · 1..%d can be swept together",
                       w->n_prompts, SWEEP_PROMPTS_MAX);
    size_t n = (size_t)w->n_prompts;
    p->rows = calloc(n, sizeof *p->rows);
    p->targets = calloc(n, sizeof *p->targets);
    p->list = calloc(n, sizeof *p->list);
    if (!p->rows || !p->targets || !p->list)
        return err_memory(e, "prompts");
    int rc = 0;
    for (; p->n < w->n_prompts && !rc; p->n++)
        if ((rc = prompt_make(m, w, p->n, p, e)) != 0 && w->n_prompts > 1)
            err_prefix(e, "prompt %d", p->n + 1);
    return rc;
}

/* The caller's ear. */
struct ear {
    const struct sweep *s;
    int (*progress)(void *user, int64_t done, int64_t cells);
    void *user;
    bool stopped;
};

static int hear(void *user, struct err *e)
{
    struct ear *x = user;
    if (!x->progress || !x->progress(x->user, sweep_done(x->s), sweep_cells(x->s)))
        return 0;
    x->stopped = true;
    return err_set(e, ERR_CANCELLED, "a sweep · stopped by its caller");
}

/* Values that no cell was run for. */
static int estimate(struct sweep *s, struct bore_sweep_result *r, struct err *e)
{
    size_t n = (size_t)r->cells;
    float *v = malloc((2 * n + 1) * sizeof *v);
    int rc = v ? sweep_attribute(s, v, v + n, r->has, e) : err_memory(e, "a sweep");
    r->base = sweep_base(s);
    r->done = r->cells;
    for (size_t i = 0; i < n && !rc; i++) {
        r->values[i] = r->has[i] ? r->base + (double)v[i] : NAN;
        r->errors[i] = (double)v[n + i];
    }
    free(v);
    return rc;
}

static int result_make(struct sweep *s, bool estimated, struct bore_sweep_result *out,
                       struct err *e)
{
    const struct sweep_axis *axes;
    struct bore_sweep_result r = {.n_axes = sweep_axes(s, &axes),
                                  .cells = sweep_cells(s),
                                  .done = sweep_done(s),
                                  .base = sweep_base(s)};
    r.values = calloc((size_t)r.cells, sizeof *r.values);
    r.errors = calloc((size_t)r.cells, sizeof *r.errors);
    r.has = calloc((size_t)r.cells, sizeof *r.has);
    if (!r.values || !r.errors || !r.has) {
        bore_sweep_result_free(&r);
        return err_memory(e, "a sweep");
    }
    for (int i = 0; i < r.n_axes; i++) {
        memcpy(r.axes[i].name, axes[i].name, sizeof r.axes[i].name);
        r.axes[i].size = axes[i].size;
    }
    for (int32_t i = 0; i < sweep_cells(s) && !estimated; i++) {
        r.has[i] = sweep_has(s, i);
        r.values[i] = r.has[i] ? sweep_value(s, i, &r.errors[i]) : NAN;
    }
    int rc = estimated ? estimate(s, &r, e) : 0;
    if (rc)
        bore_sweep_result_free(&r);
    else
        *out = r;
    return rc;
}

static int run_sweep(struct bore_model *m, const struct bore_sweep *w, const struct prompts *p,
                     struct ear *ear, struct bore_sweep_result *out, struct err *e)
{
    const struct pair_target *t = &p->targets[0];
    struct sweep *s = NULL;
    struct sweep_want want = {.kind = w->kind,
                              .set = w->set,
                              .n_set = w->n_set,
                              .with = w->with,
                              .choose = {w->over, w->n_over},
                              .receivers = w->receivers,
                              .n_receivers = w->n_receivers,
                              .freeze_mlp = w->freeze_mlp,
                              .normalize = w->normalize,
                              .edits = t->edits,
                              .n_edits = t->n_edits,
                              .sets = t->sets,
                              .n_sets = t->n_sets,
                              .prompts = p->list,
                              .n_prompts = p->n,
                              .cache_bytes = m->cache_bytes};
    int rc = w->align ? token_align_parse(w->align, &want.align, e) : 0;
    if (!rc)
        rc = sweep_open(&s, m->m, &want, e);
    if (!rc && w->scores)
        rc = sweep_order(s, w->scores, e);
    ear->s = s;
    if (!rc && !w->estimate)
        rc = sweep_step(s, sweep_cells(s), hear, ear, e);
    if (!rc || ear->stopped)
        rc = result_make(s, w->estimate, out, e);
    sweep_close(s);
    return rc;
}

int bore_sweep(struct bore_model *m, const struct bore_sweep *sweep,
               int (*progress)(void *user, int64_t done, int64_t cells), void *user,
               struct bore_sweep_result *out, struct bore_error *error)
{
    struct err e = {0};
    struct prompts p = {0};
    int rc;
    do {
        struct ear ear = {.progress = progress, .user = user};
        rc = bore_begin(m, &e);
        if (!rc)
            rc = prompts_make(m, sweep, &p, &e);
        if (!rc)
            rc = run_sweep(m, sweep, &p, &ear, out, &e);
        prompts_free(&p), p = (struct prompts){0};
    } while (bore_again(m, rc, &e));
    return bore_end(m, rc, &e, error);
}

void bore_sweep_result_free(struct bore_sweep_result *r)
{
    if (!r)
        return;
    free(r->values), free(r->errors), free(r->has);
    *r = (struct bore_sweep_result){0};
}
