/* pair.c - base, fork and sources kept in step (see pair.h).
 *
 * The book-keeping: a change at (stage s, row r) reaches stages >= s only, and there rows from
 * config_first_reached_row on. */
#include "run/pair.h"

#include "base/list.h"
#include "base/nearest.h"
#include "edit/reference.h"
#include "run/callback.h"
#include "run/pair_edits.h"
#include "run/reference_mean.h"

#include <stdlib.h>
#include <string.h>

/* A further prompt's run, or one that takes turns for the prompts that resample() draws: one that
 * is new to a run of another prompt must change its version, not be another run at the same
 * address. */
struct source {
    char *name; /* NULL: for resample() */
    struct run *run;
};

struct pair {
    const struct model *m;
    size_t cache_bytes;
    struct run *run[FACE_COUNT];
    bool edited, called;
    struct source *sources;
    int32_t n_sources;
    struct reference_means *means;
    struct pair_edits edits;
    struct edit_program *program; /* what the fork was last synced to, or is on its way to */
    int32_t *changed[FACE_COUNT]; /* [stages] */
    int32_t *cone;                /* [stages] */
    int32_t stages;
    bool gradients;            /* a backward pass follows */
    struct edit_program *next; /* of the pair_sync under way, until the fork takes it */
    struct run **reads;        /* what it reads */
    bool stale;                /* the prompts are not what they were */
};

int pair_open(struct pair **out, const struct model *m, size_t cache_bytes, struct err *e)
{
    struct pair *p = calloc(1, sizeof *p);
    if (!p)
        return err_memory(e, "runs");
    *p = (struct pair){.m = m, .cache_bytes = cache_bytes, .stages = plan_stages(m->plan)};
    int32_t *books = calloc((size_t)p->stages * (FACE_COUNT + 1), sizeof *books);
    struct run_options opt = {.cache_bytes = cache_bytes * 2 / 5};
    p->cone = books;
    if (!books) {
        err_memory(e, "runs");
        goto fail;
    }
    for (int f = 0; f < FACE_COUNT; f++) {
        p->changed[f] = books + (f + 1) * p->stages;
        p->run[f] = run_create(m, f == FACE_BASE ? NULL : p->run[FACE_BASE], &opt, e);
        if (!p->run[f])
            goto fail;
    }
    if (!(p->means = reference_means_open(m, e)))
        goto fail;
    *out = p;
    return 0;
fail:
    pair_close(p);
    return e ? e->code : ERR_SYSTEM;
}

void pair_close(struct pair *p)
{
    if (!p)
        return;
    for (int f = FACE_COUNT - 1; f >= 0; f--)
        run_free(p->run[f]);
    for (int32_t i = 0; i < p->n_sources; i++) {
        run_free(p->sources[i].run);
        free(p->sources[i].name);
    }
    free(p->sources);
    edit_program_free(p->program);
    pair_edits_free(&p->edits);
    reference_means_close(p->means);
    free(p->cone);
    free(p);
}

/* The first row at which two token lists differ. */
static int32_t first_difference(const int32_t *a, int32_t na, const int32_t *b, int32_t nb)
{
    int32_t n = na < nb ? na : nb, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* Lower the rows of stages >= stage to `row`. */
static void mark(const struct pair *p, int32_t *rows, int32_t stage, int32_t row)
{
    for (int32_t s = stage; s < p->stages; s++)
        rows[s] = row < rows[s] ? row : rows[s];
}

/* Edits of weights from the first-th on. */
static void mark_weights(const struct pair *p, int32_t *rows, const struct edit_program *prog,
                         int32_t first)
{
    for (int32_t i = first; prog && i < prog->n_weights; i++) {
        const struct edit_weight *w = prog->weights[i].weight;
        mark(p, rows, plan_weight_order(p->m->plan, w->layer, w->id) / PLAN_STAGE_ORDER,
             prog->weights[i].row_min);
    }
}

static void mark_instrs(const struct pair *p, int32_t *rows, const struct edit_program *prog,
                        int32_t first)
{
    for (int32_t i = first; prog && i < prog->n_instrs; i++)
        mark(p, rows, plan_stage_of(p->m->plan, prog->instrs[i].site), prog->instrs[i].row_min);
}

/* Mark what differs between two programs: instructions are sorted by stage, so everything before
 * the first unequal pair is as it was.  `stale`: the prompts are not what they were, which changes
 * what instructions read from other runs or let attention see. */
static void mark_programs(const struct pair *p, int32_t *rows, const struct edit_program *a,
                          const struct edit_program *b, bool stale)
{
    int32_t i = 0;
    while (a && b && i < a->n_instrs && i < b->n_instrs &&
           edit_instr_equal(&a->instrs[i], &b->instrs[i]) &&
           ((a->instrs[i].value == EDIT_NUMBER && !a->instrs[i].full) || !stale))
        i++;
    mark_instrs(p, rows, a, i);
    mark_instrs(p, rows, b, i);
    i = 0;
    while (a && b && i < a->n_weights && i < b->n_weights &&
           edit_instr_equal(&a->weights[i], &b->weights[i]))
        i++;
    mark_weights(p, rows, a, i);
    mark_weights(p, rows, b, i);
}

/* name NULL: the one for resample() after `skip` others. */
static struct source *source_find(const struct pair *p, const char *name, int32_t skip)
{
    for (int32_t i = 0; i < p->n_sources; i++)
        if (!name == !p->sources[i].name &&
            (name ? !strcmp(p->sources[i].name, name) : skip-- == 0))
            return &p->sources[i];
    return NULL;
}

static const struct pair_prompt *prompt_find(const struct pair_target *t, const char *name)
{
    for (int32_t i = 0; i < t->n_prompts; i++)
        if (!strcmp(t->prompts[i].name, name))
            return &t->prompts[i];
    return NULL;
}

/* Every run that the program reads has a prompt. */
static int check_sources(const struct pair_target *t, const struct edit_program *prog,
                         struct err *e)
{
    for (int32_t i = 0; i < prog->n_instrs; i++) {
        const struct edit_instr *a = &prog->instrs[i];
        if (a->value != EDIT_FROM || !strcmp(a->source_name, "base"))
            continue;
        const char *name = a->source_name;
        const struct pair_prompt *s = prompt_find(t, name);
        if (s)
            continue;
        const char *near = "base"; /* of the names there are */
        size_t least = nearest_distance(name, near);
        for (int32_t k = 0; k < t->n_prompts; k++)
            if (nearest_is(name, t->prompts[k].name, &least))
                near = t->prompts[k].name;
        return err_set(
            e, ERR_BAD_INPUT,
            "edit %d · no run is called \"%s\" · the nearest is %s · name one: --run %s=TEXT, or :other in the explorer",
            (int)a->edit + 1, name, near, name);
    }
    return 0;
}

/* The run of a further prompt, created when first asked for. */
static struct source *source_make(struct pair *p, const char *name, int32_t skip, struct err *e)
{
    struct source *s = source_find(p, name, skip);
    if (s)
        return s;
    /* Sources get a fifth of the budget. */
    struct run_options opt = {.cache_bytes = p->cache_bytes / (5 * LIMIT_SOURCES)};
    char *copy = name ? strdup(name) : NULL;
    struct run *run = NULL;
    if (list_room(&p->sources, (size_t)p->n_sources, sizeof *s) && !name == !copy)
        run = run_create(p->m, NULL, &opt, e);
    else
        err_memory(e, "runs");
    if (!run) {
        free(copy);
        return NULL;
    }
    p->sources[p->n_sources] = (struct source){copy, run};
    return &p->sources[p->n_sources++];
}

static bool is_read(const struct edit_program *prog, const struct source *s, int32_t drawn)
{
    for (int32_t i = 0; prog && i < prog->n_sources; i++) {
        const struct edit_source *from = &prog->sources[i];
        if (s->name ? !from->set && !strcmp(from->name, s->name) : from->set && drawn-- == 0)
            return true;
    }
    return false;
}

/* Free runs that the fork's program does not read: of prompts that are no longer there, and the
 * oldest of more than LIMIT_SOURCES.  A run that comes back is new to the fork, which compares
 * addresses and versions only of what it read last. */
static void sources_trim(struct pair *p, const struct pair_target *t)
{
    int32_t drawn = 0, kept = 0, over = p->n_sources - LIMIT_SOURCES;
    for (int32_t i = 0; i < p->n_sources; i++) {
        struct source s = p->sources[i];
        bool gone = s.name && !prompt_find(t, s.name);
        if ((gone || over > 0) && !is_read(p->program, &s, s.name ? 0 : drawn)) {
            run_free(s.run);
            free(s.name);
            over--;
        } else {
            p->sources[kept++] = s;
        }
        drawn += !s.name;
    }
    p->n_sources = kept;
}

/* Bring the runs that `prog` reads to their tokens; runs[] takes one for each of prog->sources.
 * *stale is set if one changed. */
static int sync_sources(struct pair *p, const struct pair_target *t,
                        const struct edit_program *prog, struct run **runs, bool *stale,
                        struct err *e)
{
    int32_t drawn = 0;
    for (int32_t i = 0; i < prog->n_sources; i++) {
        const struct edit_source *from = &prog->sources[i];
        runs[i] = p->run[FACE_BASE];
        if (!from->set && !strcmp(from->name, "base"))
            continue;
        const struct pair_prompt *prompt = from->set ? NULL : prompt_find(t, from->name);
        const int64_t *start = from->set ? from->set->start + from->prompt : NULL;
        const int32_t *tokens = start ? from->set->tokens + start[0] : prompt->tokens;
        int32_t n = start ? (int32_t)(start[1] - start[0]) : prompt->n;
        struct source *s = source_make(p, from->set ? NULL : from->name, from->set ? drawn++ : 0,
                                       e);
        if (!s)
            return e ? e->code : ERR_SYSTEM;
        runs[i] = s->run;
        struct run_input in = run_ids(tokens, n);
        in.image = prompt ? prompt->image : NULL;
        if (run_length(s->run) != n || first_difference(run_tokens(s->run), n, tokens, n) < n ||
            !image_same(run_image(s->run), in.image))
            *stale = true;
        int rc = run_sync(s->run, in, NULL, NULL, NULL, e);
        if (rc)
            return rc;
    }
    return 0;
}

/* An edit list that does not fit is an error before anything changes. */
static int sync_begin(struct pair *p, const struct pair_target *t, struct err *e)
{
    int rc = pair_edits_resolve(&p->edits, p->m, t, p->gradients, &p->next, e);
    if (!rc)
        rc = check_sources(t, p->next, e);
    if (rc)
        return rc;
    p->reads = calloc((size_t)p->next->n_sources + 1, sizeof(struct run *));
    if (!p->reads)
        return err_memory(e, "runs");
    return 0;
}

/* Has a run the token types of an input? */
static bool types_same(const struct run *r, const struct run_input *in)
{
    const int32_t *now = run_types(r);
    for (int32_t i = 0, type = 0; i < in->n && i < run_length(r) && in->tokens; i++) {
        if (now[i] != (in->types ? in->types[i] : type))
            return false;
        type = model_type_after(run_model(r), type, in->tokens[i]);
    }
    return true;
}

/* Send the base on its way; `failed`: something has failed before. */
static int sync_base(struct pair *p, const struct pair_target *t, int failed, struct err *e)
{
    struct run *base = p->run[FACE_BASE];
    const struct run_input *in = &t->input;
    int32_t old = run_length(base), row = 0;
    /* Given rows are new, and a rotation that depends on the length is another one. */
    if (!in->rows && rope_length(&p->m->cfg, old) == rope_length(&p->m->cfg, in->n))
        row = image_same(run_image(base), in->image) && types_same(base, in)
                  ? first_difference(run_tokens(base), old, in->tokens, in->n)
                  : 0;
    p->stale = row < old || row < in->n;
    row = config_first_reached_row(&p->m->cfg, row);
    if (p->stale)
        for (int f = 0; f < FACE_COUNT; f++)
            mark(p, p->changed[f], 0, row);
    p->edited = p->next->n_instrs > 0 || p->next->n_back > 0 || p->next->n_weights > 0 || p->called;
    return failed ? failed : run_target(base, *in, NULL, NULL, e);
}

/* The base is there (or `failed`): what the edits read, then the fork on its way. */
static int sync_fork(struct pair *p, const struct pair_target *t, int failed, struct err *e)
{
    int rc = failed;
    if (!rc && p->edited)
        rc = sync_sources(p, t, p->next, p->reads, &p->stale, e);
    if (!rc && p->next->needs_means)
        rc = reference_means_fill(p->means, p->next, e);
    if (!p->edited)
        return rc;
    /* Marked on failure too: whatever happens next, derived figures are not trusted too long. */
    mark_programs(p, p->changed[FACE_EDITED], p->program, p->next, p->stale || rc);
    edit_program_free(p->program);
    p->program = p->next;
    p->next = NULL;
    for (int32_t s = 0; s < p->stages; s++)
        p->cone[s] = INT32_MAX;
    mark_instrs(p, p->cone, p->program, 0);
    mark_weights(p, p->cone, p->program, 0);
    if (p->called) {
        mark(p, p->cone, 0, 0);
        mark(p, p->changed[FACE_EDITED], 0, 0);
    }
    return rc ? rc
              : run_target(p->run[FACE_EDITED], (struct run_input){0}, p->program, p->reads, e);
}

/* Base first, then what the edits read, then the fork; costs[n]: of the face on show. */
static int sync_all(struct pair *const *pairs, const struct pair_target *t, int32_t n,
                    struct run_cost *costs, int32_t *which, struct err *e)
{
    struct run *runs[RUN_TOGETHER_MAX] = {pairs[0]->run[FACE_BASE]};
    struct run_cost own[RUN_TOGETHER_MAX];
    int32_t begun = 0, edited = 0;
    int rc = 0;
    for (; begun < n && !rc; begun++)
        rc = sync_begin(pairs[begun], &t[begun], e);
    bool fits = !rc;
    *which = fits ? -1 : begun - 1;
    for (int32_t i = 0; i < n && fits; i++) {
        rc = sync_base(pairs[i], &t[i], rc, e);
        runs[i] = pairs[i]->run[FACE_BASE];
    }
    if (!rc)
        rc = run_compute(runs, n, costs, e);
    for (int32_t i = 0; i < n && fits; i++) {
        int forked = sync_fork(pairs[i], &t[i], rc, e);
        rc = rc ? rc : forked;
        if (pairs[i]->edited)
            runs[edited++] = pairs[i]->run[FACE_EDITED];
    }
    if (!rc && edited)
        rc = run_compute(runs, edited, own, e);
    for (int32_t i = 0, k = 0; i < n && !rc && edited; i++)
        if (pairs[i]->edited)
            costs[i] = own[k++];
    for (int32_t i = 0; i < begun; i++) {
        if (!rc)
            sources_trim(pairs[i], &t[i]);
        edit_program_free(pairs[i]->next);
        free(pairs[i]->reads);
        pairs[i]->next = NULL, pairs[i]->reads = NULL;
    }
    return rc;
}

int pair_sync(struct pair *p, const struct pair_target *t, struct run_cost *cost, struct err *e)
{
    struct run_cost unused;
    int32_t which;
    return sync_all(&p, t, 1, cost ? cost : &unused, &which, e);
}

int pair_sync_all(struct pair *const *pairs, const struct pair_target *t, int32_t n, int32_t *which,
                  struct err *e)
{
    struct run_cost costs[RUN_TOGETHER_MAX];
    return sync_all(pairs, t, n, costs, which, e);
}

int pair_callbacks(struct pair *p, const struct callbacks *c, bool alone, int32_t row0,
                   struct err *e)
{
    p->called = c && c->n && !alone;
    int rc = run_callbacks(p->run[FACE_BASE], alone ? c : NULL, row0, e);
    return rc ? rc : run_callbacks(p->run[FACE_EDITED], alone ? NULL : c, row0, e);
}

void pair_stop(struct pair *p, int32_t stop, bool alone)
{
    run_stop(p->run[FACE_BASE], alone ? stop : INT32_MAX);
    run_stop(p->run[FACE_EDITED], stop);
}

void pair_stop_after(struct pair *p, const struct site_ref *sites, int32_t n, bool alone)
{
    run_stop(p->run[FACE_BASE], INT32_MAX);
    if (alone)
        run_stop_after(p->run[FACE_BASE], sites, n);
    run_stop_after(p->run[FACE_EDITED], sites, n);
}

void pair_differentiate(struct pair *p, bool on)
{
    p->gradients = on;
    for (int f = 0; f < FACE_COUNT; f++)
        run_differentiate(p->run[f], on);
}

const struct edit_program *pair_program(const struct pair *p)
{
    return p->edited && p->program ? edit_program_copy(p->program) : NULL;
}

struct run *pair_run(const struct pair *p, enum face f)
{
    return f == FACE_EDITED && !p->edited ? NULL : p->run[f];
}

struct run *pair_shown(const struct pair *p)
{
    struct run *edited = pair_run(p, FACE_EDITED);
    return edited ? edited : pair_run(p, FACE_BASE);
}

int32_t pair_first_changed_row(const struct pair *p, int32_t stage)
{
    return p->edited ? p->cone[stage] : INT32_MAX;
}

int32_t pair_changed(const struct pair *p, enum face f, int32_t stage)
{
    return p->changed[f][stage];
}

void pair_settle(struct pair *p)
{
    for (int f = 0; f < FACE_COUNT; f++)
        for (int32_t s = 0; s < p->stages; s++)
            p->changed[f][s] = INT32_MAX;
}
