/* sweeping.c - see sweeping.h. */
#include "session/sweeping.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "session/session.h"
#include "session/sweep_guess.h"

struct sweeping {
    const struct model *m;
    size_t cache_bytes;
    struct session_sweep of;
    struct sweep *s; /* NULL: none, or it could not begin */
    struct err err;
    int64_t time_us;
    struct pair_target target; /* what it is of: a copy */
    float *guess;
    int tries;      /* left of guessing */
    bool remeasure; /* the metric is another one, all else is as it was */
    /* The metric that there are values of, and whether err refuses the one that came after it. */
    char measured[sizeof((struct session_sweep *)0)->metric];
    bool refused;
};

/* A guess takes as long as some forward passes, and begins anew when it is interrupted. */
enum { TRIES = 3 };

void sweep_map_release(const struct sweep_map *m)
{
    struct sweep_map *own = (struct sweep_map *)(uintptr_t)m;
    if (m && atomic_fetch_sub_explicit(&own->refs, 1, memory_order_acq_rel) == 1) {
        free(own->has), free(own->value), free(own->guess);
        free(own);
    }
}

const struct sweep_map *sweep_map_hold(const struct sweep_map *m)
{
    struct sweep_map *own = (struct sweep_map *)(uintptr_t)m;
    if (m)
        atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
    return m;
}

int sweeping_open(struct sweeping **out, const struct model *m, size_t cache_bytes, struct err *e)
{
    struct sweeping *w = calloc(1, sizeof *w);
    if (!w)
        return err_memory(e, "sweeps");
    w->m = m, w->cache_bytes = cache_bytes;
    *out = w;
    return 0;
}

static void forget(struct sweeping *w)
{
    sweep_close(w->s);
    pair_target_free(&w->target);
    free(w->guess);
    *w = (struct sweeping){.m = w->m, .cache_bytes = w->cache_bytes};
}

void sweeping_close(struct sweeping *w)
{
    if (w)
        forget(w);
    free(w);
}

static const char *given(const char *text)
{
    return *text ? text : NULL;
}

/* Begin the sweep of a request. */
static int begin(struct sweeping *w, const struct session_want *want)
{
    const struct pair_target *t = &want->target;
    const struct session_sweep *of = want->sweep;
    const char *over[2];
    struct edit **edits = calloc((size_t)t->n_edits + 1, sizeof *edits);
    struct sweep_prompt prompt = {t->input, t->prompts, t->n_prompts, of->metric};
    struct sweep_want ask = {.kind = of->kind,
                             .with = given(of->with),
                             .choose = {over, 0},
                             .align = of->align,
                             .edits = edits,
                             .sets = t->sets,
                             .n_sets = t->n_sets,
                             .prompts = &prompt,
                             .n_prompts = 1,
                             .cache_bytes = w->cache_bytes};
    if (!edits)
        return err_memory(&w->err, "edits");
    for (int32_t i = 0; i < t->n_edits; i++)
        if (!t->on || t->on[i])
            edits[ask.n_edits++] = t->edits[i];
    for (int i = 0; i < 2; i++)
        if (*of->over[i])
            over[ask.choose.n++] = of->over[i];
    int rc = sweep_open(&w->s, w->m, &ask, &w->err);
    free(edits);
    w->tries = !rc && !pair_target_copy(&w->target, t, NULL) ? TRIES : 0;
    memcpy(w->measured, of->metric, sizeof w->measured);
    w->target.align = of->align; /* the estimates' prompts are paired as the sweep's */
    return rc;
}

/* The same prompts and edits?  Edits and sets are immutable and counted: the same ones are equal.
 */
static bool same_target(const struct pair_target *a, const struct pair_target *b)
{
    if (a->input.n != b->input.n || a->input.image != b->input.image || a->n_edits != b->n_edits ||
        a->n_sets != b->n_sets || !pair_prompts_same(a, b) ||
        memcmp(a->input.tokens, b->input.tokens, (size_t)a->input.n * sizeof *a->input.tokens) != 0)
        return false;
    for (int32_t i = 0; i < a->n_edits; i++)
        if (a->edits[i] != b->edits[i] || (!a->on || a->on[i]) != (!b->on || b->on[i]))
            return false;
    for (int32_t i = 0; i < a->n_sets; i++)
        if (a->sets[i] != b->sets[i])
            return false;
    return true;
}

/* Is it the sweep that there is, but for its metric? */
static bool same_cells(const struct sweeping *w, const struct session_want *want)
{
    const struct session_sweep *a = &w->of, *b = want->sweep;
    return w->s && (!w->err.code || w->refused) && a->align == b->align &&
           !strcmp(a->kind, b->kind) && !strcmp(a->with, b->with) &&
           !strcmp(a->over[0], b->over[0]) && !strcmp(a->over[1], b->over[1]) &&
           same_target(&w->target, &want->target);
}

void sweeping_ask(struct sweeping *w, const struct session_want *want)
{
    const struct session_sweep *of = want->sweep;
    if (of && of->id == w->of.id) {
        w->of.paused = of->paused, w->of.cell = of->cell;
        return;
    }
    if (of && same_cells(w, want)) {
        w->of = *of;
        w->remeasure = true, w->refused = false;
        w->err = (struct err){0};
        free(w->guess);
        w->guess = NULL, w->tries = 0, w->time_us = 0;
        return;
    }
    forget(w);
    if (of) {
        w->of = *of;
        begin(w, want);
    }
}

bool sweeping_waits(const struct sweeping *w)
{
    return w->s && !w->err.code && !w->of.paused &&
           (w->remeasure || sweep_done(w->s) < sweep_cells(w->s));
}

/* Counts the time and passes on. */
struct timed {
    struct sweeping *w;
    int64_t from;
    sweep_fn *fn;
    void *user;
};

static int count_time(void *user, struct err *e)
{
    struct timed *t = user;
    int64_t now = clock_us();
    t->w->time_us += now - t->from;
    t->from = now;
    return t->fn(t->user, e);
}

/* Guess, and let that decide the order.  Nothing but being cancelled is a failure. */
static int guess(struct sweeping *w, struct err *e)
{
    if (!w->tries)
        return 0;
    w->tries--;
    int rc = sweep_guess(&w->guess, w->m, &w->target, &w->of, w->s, w->cache_bytes, e);
    if (rc == ERR_CANCELLED)
        return rc;
    w->tries = 0;
    int32_t n = sweep_cells(w->s);
    double *score = rc ? NULL : malloc((size_t)n * sizeof *score);
    for (int32_t i = 0; score && i < n; i++)
        score[i] = (double)w->guess[i];
    if (score)
        sweep_order(w->s, score, NULL);
    free(score);
    return 0;
}

/* The metric that is asked for.  The map tells of a refused one why, and beside it the values of
 * the one before, which the sweep still has. */
static int remeasure(struct sweeping *w, struct err *e)
{
    if (!w->remeasure)
        return 0;
    int rc = sweep_metric(w->s, (const char *const[]){w->of.metric}, e);
    w->remeasure = rc == ERR_CANCELLED;
    w->refused = rc == ERR_BAD_INPUT;
    memcpy(w->refused ? w->of.metric : w->measured, w->refused ? w->measured : w->of.metric,
           sizeof w->measured);
    return rc;
}

int sweeping_step(struct sweeping *w, sweep_fn *fn, void *user)
{
    struct err e = {0};
    bool guesses = w->tries > 0;
    int rc = remeasure(w, &e);
    if (!rc)
        rc = guess(w, &e);
    if (!rc && guesses)
        rc = fn(user, &e); /* to be seen before any cell is there */
    struct timed t = {w, clock_us(), fn, user};
    if (!rc)
        rc = sweep_step(w->s, sweep_cells(w->s), count_time, &t, &e);
    w->time_us += clock_us() - t.from;
    if (rc && rc != ERR_CANCELLED)
        w->err = e;
    return rc;
}

const char *sweeping_error(const struct sweeping *w)
{
    return w->err.text;
}

static void map_cells(struct sweep_map *m, const struct sweep *s, const float *guess)
{
    const struct sweep_axis *axes;
    m->n_axes = sweep_axes(s, &axes);
    m->done = sweep_done(s);
    m->base = m->done ? sweep_base(s) : 0;
    m->cell = m->of.cell >= 0 && m->of.cell < m->cells ? m->of.cell : 0;
    sweep_cell_text(s, m->cell, m->text, sizeof m->text);
    for (int32_t i = 0; i < m->n_axes; i++) {
        memcpy(m->axis[i].name, axes[i].name, sizeof m->axis[i].name);
        m->axis[i].role = axes[i].role, m->axis[i].size = axes[i].size;
    }
    m->guess = guess ? malloc((size_t)m->cells * sizeof *guess) : NULL;
    if (m->guess)
        memcpy(m->guess, guess, (size_t)m->cells * sizeof *guess);
    for (int32_t i = 0; i < m->cells; i++)
        if ((m->has[i] = sweep_has(s, i)) != false)
            m->value[i] = (float)sweep_value(s, i, NULL);
}

const struct sweep_map *sweeping_map(const struct sweeping *w)
{
    size_t cells = w->s ? (size_t)sweep_cells(w->s) : 0;
    struct sweep_map *m = w->of.id ? calloc(1, sizeof *m) : NULL;
    if (!m)
        return NULL;
    atomic_init(&m->refs, 1);
    m->of = w->of, m->err = w->err, m->time_us = w->time_us;
    m->cells = (int32_t)cells;
    m->has = calloc(cells + 1, sizeof *m->has);
    m->value = calloc(cells + 1, sizeof *m->value);
    if (!m->has || !m->value) {
        sweep_map_release(m);
        return NULL;
    }
    if (w->s)
        map_cells(m, w->s, w->guess);
    return m;
}
