/* sweep.c - see sweep.h: what is swept, in which order, and the values that come of it. */
#include "measure/sweep_parts.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

static int side_open(struct sweep *s, struct sweep_side *d, const struct sweep_want *w,
                     const struct sweep_prompt *p, struct err *e)
{
    const struct pair_target t = {.input = p->input,
                                  .edits = w->edits,
                                  .n_edits = w->n_edits,
                                  .prompts = p->runs,
                                  .n_prompts = p->n_runs,
                                  .sets = w->sets,
                                  .n_sets = w->n_sets,
                                  .align = w->align};
    d->m = s->m;
    int rc = pair_target_copy(&d->target, &t, e);
    return rc ? rc : sweep_side_metric(s, d, p->metric, &d->by, e);
}

/* What stands behind a kind's left side. */
static int right_side(const struct sweep_want *w, char text[LIMIT_EDIT_TEXT], struct err *e)
{
    const struct sweep_prompt *p = &w->prompts[0];
    char from[LIMIT_NAME];
    const char *with = w->with ? w->with : "zero";
    if (!w->with && p->n_runs > 1)
        return err_set(e, ERR_USAGE, "%d runs and no --with · --with 'from(%s)' reads one of them",
                       (int)p->n_runs, p->runs[0].name);
    if (!w->with && p->n_runs == 1) {
        snprintf(from, sizeof from, "from(%.100s)", p->runs[0].name);
        with = from;
    }
    return sweep_kind_right(with, text, LIMIT_EDIT_TEXT, e);
}

static int set_of_kind(struct sweep *s, const struct sweep_want *w, const struct edit_context *ctx,
                       struct err *e)
{
    const struct sweep_kind *k = sweep_kind_find(w->kind, e);
    char right[LIMIT_EDIT_TEXT], text[2 * LIMIT_EDIT_TEXT];
    int rc = k ? right_side(w, right, e) : ERR_BAD_INPUT, n = k ? sweep_kind_parts(k) : 0;
    for (int i = 0; i < n && !rc; i++) {
        snprintf(text, sizeof text, "%s%s", k->set[i], right);
        rc = sweep_set_part(&s->set, e);
        if (!rc)
            rc = sweep_set_add(&s->set, text, &w->choose, ctx, e);
    }
    return rc || n == 1 ? rc : sweep_set_types(&s->set, k->label, e);
}

static int set_of_texts(struct sweep *s, const struct sweep_want *w, const struct edit_context *ctx,
                        struct err *e)
{
    int rc = w->n_set ? sweep_set_part(&s->set, e)
                      : err_set(e, ERR_USAGE, "what to sweep · --kind KIND or --set EDIT");
    if (!rc && w->with)
        rc = err_set(e, ERR_USAGE,
                     "--with belongs to --kind · --set says itself what is put there");
    for (int32_t i = 0; i < w->n_set && !rc; i++)
        rc = sweep_set_add(&s->set, w->set[i], &w->choose, ctx, e);
    return rc;
}

static int set_receivers(struct sweep *s, const struct sweep_want *w,
                         const struct edit_context *ctx, struct err *e)
{
    char text[LIMIT_EDIT_TEXT];
    s->n_senders = s->set.part[0].n;
    s->paths = w->n_receivers > 0;
    if (s->paths && s->set.n_parts > 1)
        return err_set(e, ERR_BAD_INPUT, "path patching of a bundle · take one kind of it");
    for (int32_t i = 0; i < w->n_receivers; i++) {
        int n = snprintf(text, sizeof text, "%s = from(" SWEEP_PATH ")", w->receivers[i]);
        int rc = n < (int)sizeof text ? sweep_set_add(&s->set, text, &w->choose, ctx, e)
                                      : err_set(e, ERR_BAD_INPUT, "a receiver is too long");
        if (rc)
            return rc;
    }
    return 0;
}

/* Every choice is for a hole that there is. */
static int check_choices(const struct sweep *s, const struct sweep_want *w, struct err *e)
{
    const struct sweep_kind *k = w->kind ? sweep_kind_find(w->kind, NULL) : NULL;
    for (int32_t i = 0; i < w->choose.n; i++) {
        const char *item = w->choose.item[i], *eq = strchr(item, '=');
        char hole[LIMIT_NAME];
        if (!eq || eq == item || eq - item > SWEEP_NAME)
            return err_set(e, ERR_USAGE, "choice \"%.60s\" · NAME=CHOICES, such as layer=0..3",
                           item);
        snprintf(hole, sizeof hole, "{%.*s}", (int)(eq - item), item);
        bool used = k && strstr(k->set[0], hole);
        for (int32_t t = 0; t < w->n_set + w->n_receivers; t++)
            used |= strstr(t < w->n_set ? w->set[t] : w->receivers[t - w->n_set], hole) != NULL;
        if (!used)
            return err_set(e, ERR_BAD_INPUT, "choice \"%.60s\" · nothing here has a hole %s", item,
                           hole);
    }
    (void)s;
    return 0;
}

static int open_set(struct sweep *s, const struct sweep_want *w, struct err *e)
{
    struct edit_context ctx = sweep_context(s, &s->side[0]);
    ctx.n_pos = s->columns;
    if (w->kind && w->n_set)
        return err_set(e, ERR_USAGE, "--kind and --set · one of them says what is swept");
    int rc = w->kind ? set_of_kind(s, w, &ctx, e) : set_of_texts(s, w, &ctx, e);
    if (!rc)
        rc = set_receivers(s, w, &ctx, e);
    if (!rc)
        rc = check_choices(s, w, e);
    int64_t cells = 1;
    for (int32_t i = 0; i < s->set.n_axes && !rc; i++) {
        cells *= s->set.axis[i].size;
        if (cells > SWEEP_CELLS_MAX)
            rc = err_set(e, ERR_BAD_INPUT,
                         "more than %d cells · choose some of an axis: --over '%s=0..3'",
                         SWEEP_CELLS_MAX, s->set.axis[i].name);
    }
    s->cells = (int32_t)cells;
    return rc;
}

/* What fits the first and the last cell fits the model: the rest differ by numbers in between, or
 * say so when it is their turn. */
static int check_ends(struct sweep *s, struct err *e)
{
    int rc = 0;
    for (int end = 0; end < 2 && !rc; end++) {
        struct edit_program *p = NULL;
        int32_t cell = end ? s->cells - 1 : 0;
        if (!sweep_cell_there(s, &s->side[0], cell))
            continue;
        rc = sweep_cell_program(s, &s->side[0], cell, s->paths ? SWEEP_SENDERS : SWEEP_WHOLE, &p,
                                e);
        if (!rc && s->paths)
            rc = sweep_path_check(p, s->side[0].target.n_edits, e);
        edit_program_free(p);
        p = NULL;
        if (!rc && s->paths)
            rc = sweep_cell_program(s, &s->side[0], cell, SWEEP_RECEIVERS, &p, e);
        edit_program_free(p);
    }
    return rc;
}

static int open_cells(struct sweep *s, struct err *e)
{
    s->gone = calloc((size_t)s->cells, sizeof *s->gone);
    bool ok = s->gone;
    for (int32_t k = 0; k < s->n_sides && ok; k++) {
        s->side[k].value = calloc((size_t)s->cells, sizeof(double));
        s->side[k].state = calloc((size_t)s->cells, 1);
        ok = s->side[k].value && s->side[k].state;
    }
    return ok ? 0 : err_memory(e, "a sweep of %d cells", (int)s->cells);
}

static int open_sides(struct sweep *s, const struct sweep_want *w, struct err *e)
{
    if (w->n_prompts < 1 || w->n_prompts > SWEEP_PROMPTS_MAX)
        return err_set(e, ERR_BAD_INPUT, "%d prompts · 1..%d can be swept together",
                       (int)w->n_prompts, SWEEP_PROMPTS_MAX);
    s->side = calloc((size_t)w->n_prompts, sizeof *s->side);
    s->normalize = w->normalize ? strdup(w->normalize) : NULL;
    if (!s->side || (w->normalize && !s->normalize))
        return err_memory(e, "a sweep");
    int rc = 0;
    for (; s->n_sides < w->n_prompts && !rc; s->n_sides++) {
        rc = side_open(s, &s->side[s->n_sides], w, &w->prompts[s->n_sides], e);
        if (rc && w->n_prompts > 1)
            err_prefix(e, "prompt %d", (int)s->n_sides + 1);
    }
    return rc;
}

int sweep_open(struct sweep **out, const struct model *m, const struct sweep_want *w, struct err *e)
{
    struct sweep *s = calloc(1, sizeof *s);
    if (!s)
        return err_memory(e, "a sweep");
    s->m = m, s->align = w->align, s->freeze_mlp = w->freeze_mlp;
    s->cache_bytes = w->cache_bytes;
    int rc = open_sides(s, w, e);
    if (!rc)
        rc = sweep_columns(s, e);
    if (!rc)
        rc = open_set(s, w, e);
    if (!rc)
        rc = check_ends(s, e);
    if (!rc)
        rc = open_cells(s, e);
    if (!rc && !(s->means = reference_means_open(m, e)))
        rc = err_code(e);
    if (rc)
        sweep_close(s);
    else
        *out = s;
    return rc;
}

void sweep_close(struct sweep *s)
{
    if (!s)
        return;
    for (int32_t k = 0; k < s->n_sides; k++)
        sweep_side_free(&s->side[k]);
    sweep_set_free(&s->set);
    reference_means_close(s->means);
    free(s->side), free(s->order), free(s->gone), free(s->normalize);
    free(s);
}

/* ---- computing ---- */

/* Cells of one prompt on their way through a wave. */
struct batch {
    struct sweep *s;
    struct sweep_side *d;
    const int32_t *cell;
    struct wave_variant *variant;
    sweep_fn *fn;
    void *user;
};

/* Has the cell a value in every prompt that has such a thing? */
static bool cell_settled(const struct sweep *s, int32_t cell)
{
    for (int32_t k = 0; k < s->n_sides; k++)
        if (s->side[k].state[cell] == CELL_WAITS)
            return false;
    return true;
}

static void cell_settle(struct sweep *s, struct sweep_side *d, int32_t cell, uint8_t state)
{
    d->state[cell] = state;
    if (!cell_settled(s, cell))
        return;
    s->done++;
    s->gone[cell] = true;
    for (int32_t k = 0; k < s->n_sides; k++)
        s->gone[cell] &= s->side[k].state[cell] == CELL_GONE;
}

static int batch_take(void *user, const struct wave_value *v, struct err *e)
{
    struct batch *b = user;
    struct sweep_side *d = b->d;
    int32_t cell = b->cell[v->variant];
    d->value[cell] = metric_of(&d->by.metric, &d->by.reads, v->logits, d->by.logits,
                               d->target.input.tokens, d->target.input.n, b->s->m->cfg.d_vocab);
    cell_settle(b->s, d, cell, sweep_keep(b->s, d, cell, b->variant[v->variant].prog, v));
    return b->fn ? b->fn(b->user, e) : 0;
}

static int32_t own_instrs(const struct sweep_side *d, const struct edit_program *p)
{
    int32_t n = p->n_weights;
    for (int32_t i = 0; i < p->n_instrs; i++)
        n += p->instrs[i].edit >= d->target.n_edits;
    return n;
}

/* A variant for a cell; true: the cell needs none, its value is known. */
static int variant_make(struct batch *b, int32_t cell, struct wave_variant *v, int32_t at,
                        bool *known, struct err *e)
{
    struct sweep_side *d = b->d;
    struct edit_program *p = NULL;
    int rc = sweep_cell_program(b->s, d, cell, b->s->paths ? SWEEP_RECEIVERS : SWEEP_WHOLE, &p, e);
    struct run **reads = rc ? NULL : calloc((size_t)p->n_sources + 1, sizeof(struct run *));
    if (!rc && !reads)
        rc = err_memory(e, "runs");
    if (!rc)
        rc = sweep_side_sources(b->s, d, p, b->s->paths ? d->path[at] : NULL, reads, e);
    *known = !rc && (sweep_masked(p) || !own_instrs(d, p));
    if (rc || *known) {
        if (!rc) {
            d->value[cell] = d->by.at_base;
            cell_settle(b->s, d, cell, own_instrs(d, p) ? CELL_DONE : CELL_GONE);
        }
        free(reads);
        edit_program_free(p);
        return rc;
    }
    *v = (struct wave_variant){.prog = p, .sources = reads};
    return 0;
}

/* Up to n cells of one prompt. */
static int side_cells(struct sweep *s, struct sweep_side *d, const int32_t *list, int32_t n,
                      sweep_fn *fn, void *user, struct err *e)
{
    int32_t cell[SWEEP_TOGETHER], kept = 0, most = s->paths ? SWEEP_PATHS : SWEEP_TOGETHER;
    struct wave_variant variant[SWEEP_TOGETHER] = {{0}};
    struct batch b = {s, d, cell, variant, fn, user};
    const struct wave_want want = {d->by.reads.rows, d->by.reads.n_rows, d->by.reads.tokens,
                                   d->by.reads.n_tokens};
    assert(n <= most);
    int rc = 0;
    for (int32_t i = 0; i < n; i++)
        if (d->state[list[i]] == CELL_WAITS && !sweep_cell_there(s, d, list[i]))
            cell_settle(s, d, list[i], CELL_GONE);
        else if (d->state[list[i]] == CELL_WAITS)
            cell[kept++] = list[i];
    if (s->paths && kept)
        rc = sweep_paths(s, d, cell, kept, e);
    int32_t made = 0, at = 0;
    for (; at < kept && !rc; at++) {
        bool known;
        int32_t c = cell[at];
        rc = variant_make(&b, c, &variant[made], at, &known, e);
        cell[made] = c;
        made += !rc && !known;
    }
    if (!rc && made)
        rc = wave_run(d->base, variant, made, &want, batch_take, &b, e);
    for (int32_t i = 0; i < made; i++) {
        edit_program_free((struct edit_program *)(uintptr_t)variant[i].prog);
        free((void *)(uintptr_t)variant[i].sources);
    }
    return rc;
}

static int32_t nth(const struct sweep *s, int32_t i)
{
    return s->order ? s->order[i] : i;
}

static int sides_ready(struct sweep *s, struct err *e)
{
    int rc = 0;
    for (int32_t k = 0; k < s->n_sides && !rc; k++) {
        rc = sweep_side_ready(s, &s->side[k], e);
        if (rc && s->n_sides > 1)
            err_prefix(e, "prompt %d", (int)k + 1);
    }
    return rc;
}

int sweep_step(struct sweep *s, int32_t cells, sweep_fn *fn, void *user, struct err *e)
{
    int32_t list[SWEEP_TOGETHER], most = s->paths ? SWEEP_PATHS : SWEEP_TOGETHER;
    int rc = sides_ready(s, e);
    while (!rc && cells > 0 && s->next < s->cells) {
        int32_t n = 0, to = s->next;
        for (; to < s->cells && n < most && n < cells; to++)
            if (!cell_settled(s, nth(s, to)))
                list[n++] = nth(s, to);
        for (int32_t k = 0; k < s->n_sides && !rc && n; k++)
            rc = side_cells(s, &s->side[k], list, n, fn, user, e);
        s->next = rc ? s->next : to;
        cells -= n;
    }
    return rc;
}

/* ---- units ---- */

int32_t sweep_units(const struct sweep *s)
{
    return (s->cells + SWEEP_UNIT - 1) / SWEEP_UNIT;
}

static int32_t unit_cells(const struct sweep *s, int32_t unit)
{
    int32_t left = s->cells - unit * SWEEP_UNIT;
    return left < SWEEP_UNIT ? left : SWEEP_UNIT;
}

int sweep_unit_compute(struct sweep *s, int32_t unit, struct sweep_unit_cell *out, sweep_fn *fn,
                       void *user, struct err *e)
{
    int32_t list[SWEEP_TOGETHER], most = s->paths ? SWEEP_PATHS : SWEEP_TOGETHER,
                                  end = unit * SWEEP_UNIT + unit_cells(s, unit);
    int rc = sides_ready(s, e);
    for (int32_t c = unit * SWEEP_UNIT, n; c < end && !rc; c += n) {
        for (n = 0; n < most && c + n < end; n++)
            list[n] = c + n;
        for (int32_t k = 0; k < s->n_sides && !rc; k++)
            rc = side_cells(s, &s->side[k], list, n, fn, user, e);
    }
    for (int32_t c = unit * SWEEP_UNIT; c < end && !rc; c++)
        for (int32_t k = 0; k < s->n_sides; k++)
            *out++ = (struct sweep_unit_cell){s->side[k].value[c],
                                              s->side[k].state[c] == CELL_GONE};
    return rc;
}

size_t sweep_unit_bytes(const struct sweep *s, int32_t unit)
{
    return (size_t)unit_cells(s, unit) * (size_t)s->n_sides * sizeof(struct sweep_unit_cell);
}

int sweep_unit_take(struct sweep *s, int32_t unit, const struct sweep_unit_cell *cells,
                    struct err *e)
{
    int rc = sides_ready(s, e);
    for (int32_t i = 0; i < unit_cells(s, unit) && !rc; i++)
        for (int32_t k = 0; k < s->n_sides; k++, cells++) {
            int32_t c = unit * SWEEP_UNIT + i;
            struct sweep_side *d = &s->side[k];
            if (d->state[c] != CELL_WAITS)
                continue;
            d->value[c] = cells->value;
            cell_settle(s, d, c, cells->gone ? CELL_GONE : CELL_DONE);
        }
    return rc;
}

/* ---- order ---- */

/* A cell and how much it is expected to matter. */
struct rank {
    double score;
    int32_t cell;
};

static int by_score(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
                                : (x->cell > y->cell) - (x->cell < y->cell);
}

int sweep_order(struct sweep *s, const double *score, struct err *e)
{
    struct rank *rank = score ? malloc((size_t)s->cells * sizeof *rank) : NULL;
    int32_t *order = score ? malloc((size_t)s->cells * sizeof *order) : NULL;
    if (score && (!rank || !order)) {
        free(rank), free(order);
        return err_memory(e, "a sweep of %d cells", (int)s->cells);
    }
    for (int32_t i = 0; score && i < s->cells; i++)
        rank[i] = (struct rank){isnan(score[i]) ? -1 : fabs(score[i]), i};
    if (score)
        qsort(rank, (size_t)s->cells, sizeof *rank, by_score);
    for (int32_t i = 0; score && i < s->cells; i++)
        order[i] = rank[i].cell;
    free(rank), free(s->order);
    s->order = order;
    s->next = 0;
    return 0;
}

/* ---- another metric ---- */

int sweep_metric(struct sweep *s, const char *const *metric, struct err *e)
{
    struct sweep_measure *by = calloc((size_t)s->n_sides, sizeof *by);
    int rc = by ? 0 : err_memory(e, "metrics");
    for (int32_t k = 0; k < s->n_sides && !rc; k++) {
        struct sweep_side *d = &s->side[k];
        rc = sweep_side_metric(s, d, metric[k], &by[k], e);
        if (!rc && d->ready)
            rc = sweep_side_measure(s, d, &by[k], e);
        if (rc && s->n_sides > 1)
            err_prefix(e, "prompt %d", (int)k + 1);
    }
    bool taken = !rc; /* all of them, or each keeps the one it has */
    for (int32_t k = 0; by && k < s->n_sides; k++) {
        struct sweep_side *d = &s->side[k];
        if (taken) {
            struct sweep_measure old = d->by;
            d->by = by[k], by[k] = old;
            int failed = d->ready ? sweep_keep_measure(s, d, e) : 0;
            rc = rc ? rc : failed;
        }
        sweep_measure_free(&by[k]);
    }
    free(by);
    s->next = s->done = 0;
    for (int32_t i = 0; i < s->cells; i++)
        s->done += cell_settled(s, i);
    return rc;
}

/* ---- reading ---- */

int32_t sweep_axes(const struct sweep *s, const struct sweep_axis **axes)
{
    *axes = s->set.axis;
    return s->set.n_axes;
}

int32_t sweep_cells(const struct sweep *s)
{
    return s->cells;
}

int32_t sweep_done(const struct sweep *s)
{
    return s->done;
}

bool sweep_has(const struct sweep *s, int32_t cell)
{
    return cell_settled(s, cell) && !s->gone[cell];
}

bool sweep_absent(const struct sweep *s, int32_t cell)
{
    return s->gone[cell];
}

static double scored(const struct sweep *s, const struct sweep_side *d, double v)
{
    return s->normalize ? (v - d->by.at_base) / (d->by.at_other - d->by.at_base) : v;
}

double sweep_value(const struct sweep *s, int32_t cell, double *error)
{
    double sum = 0, square = 0;
    int32_t n = 0;
    for (int32_t k = 0; k < s->n_sides; k++)
        if (s->side[k].state[cell] != CELL_GONE) {
            sum += scored(s, &s->side[k], s->side[k].value[cell]);
            n++;
        }
    double mean = sum / n;
    for (int32_t k = 0; k < s->n_sides; k++)
        if (s->side[k].state[cell] != CELL_GONE) {
            double v = scored(s, &s->side[k], s->side[k].value[cell]) - mean;
            square += v * v;
        }
    if (error)
        *error = n > 1 ? sqrt(square / (n - 1) / n) : 0;
    return mean;
}

void sweep_sides(const struct sweep *s, double *base, double *other)
{
    double sum[2] = {0, 0};
    for (int32_t k = 0; k < s->n_sides; k++) {
        sum[0] += s->side[k].by.at_base;
        sum[1] += s->side[k].by.at_other;
    }
    *base = sum[0] / s->n_sides;
    *other = s->normalize ? sum[1] / s->n_sides : NAN;
}

double sweep_base(const struct sweep *s)
{
    double base, other;
    sweep_sides(s, &base, &other);
    return s->normalize ? 0 : base;
}
