/* reference_mean.c - see reference_mean.h.
 *
 * One sweep over the prompts of a set serves all means of that set that are not finished: each
 * prompt is run once, as far up as the highest hook that is asked for, short ones some at a time.
 */
#include "run/reference_mean.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edit/edit_parts.h"
#include "model/checkpoint.h"
#include "model/fingerprint.h"
#include "edit/reference.h"
#include "run/reference_cache.h"
#include "run/run_parts.h"

enum {
    ROWS = 256,  /* read at once */
    TOGETHER = 8 /* prompts that share products; more gain nothing (tests/bench/bench_batch.c) */
};

struct mean {
    struct mean *next;
    struct reference_set *set; /* held */
    struct site_ref site;
    int32_t pos; /* as struct edit_instr.source_pos */
    int rank;
    int64_t shape[SITE_RANK_MAX]; /* the hook's; 1 row, or one per position of the longest prompt */
    int64_t n;
    float *value;
    double *sum;    /* NULL: finished */
    int64_t *count; /* [rows] */
    int32_t done;   /* prompts */
    bool used;
};

struct reference_means {
    const struct model *m;
    struct mean *list;
    struct run *run[TOGETHER]; /* of the sweep under way */
    struct fingerprint model;
    bool known; /* model is */
    int64_t runs;
};

struct reference_means *reference_means_open(const struct model *m, struct err *e)
{
    struct reference_means *s = calloc(1, sizeof *s);
    if (!s)
        err_memory(e, "means over reference sets");
    else
        s->m = m;
    return s;
}

static void mean_free(struct mean *x)
{
    reference_free(x->set);
    free(x->value), free(x->sum), free(x->count), free(x);
}

static void runs_free(struct reference_means *s)
{
    for (int i = 0; i < TOGETHER; i++) {
        run_free(s->run[i]);
        s->run[i] = NULL;
    }
}

void reference_means_close(struct reference_means *s)
{
    if (!s)
        return;
    for (struct mean *x = s->list, *next; x; x = next) {
        next = x->next;
        mean_free(x);
    }
    runs_free(s);
    free(s);
}

int64_t reference_means_runs(const struct reference_means *s)
{
    return s->runs;
}

static int64_t rows_of(const struct mean *x)
{
    return x->shape[site_row_axis(x->site.id)];
}

/* ---- keeping ---- */

static void key_text(struct reference_means *s, const struct mean *x, char buf[REFERENCE_KEY_MAX])
{
    struct fingerprint tokens = {0};
    char site[LIMIT_NAME];
    if (!s->known)
        s->model = fingerprint_model(s->m);
    s->known = true;
    fingerprint_add(&tokens, x->set->start, ((size_t)x->set->n + 1) * sizeof *x->set->start);
    fingerprint_add(&tokens, x->set->tokens, (size_t)x->set->n_tokens * sizeof *x->set->tokens);
    snprintf(buf, REFERENCE_KEY_MAX,
             "mean 1 model %016" PRIx64 "%016" PRIx64 " tokens %016" PRIx64 "%016" PRIx64
             " site %s pos %d",
             s->model.a, s->model.b, tokens.a, tokens.b, site_name(x->site, site), (int)x->pos);
}

static void finish(struct reference_means *s, struct mean *x)
{
    char key[REFERENCE_KEY_MAX];
    int64_t rows = rows_of(x), outer = site_is_attention(x->site.id) ? x->shape[0] : 1,
            inner = x->n / outer / rows;
    for (int64_t i = 0; i < x->n; i++) {
        int64_t row = i / inner % rows;
        if (site_is_attention(x->site.id) && i % inner > row)
            row = i % inner; /* of prompts that have both positions */
        x->value[i] = (float)(x->sum[i] / (double)x->count[row]);
    }
    free(x->sum), free(x->count);
    x->sum = NULL, x->count = NULL;
    key_text(s, x, key);
    reference_cache_write(key, x->shape, x->rank, x->value);
}

/* Values that a file has: of statistics, or one that was kept. */
static bool mean_known(struct reference_means *s, struct mean *x)
{
    char key[REFERENCE_KEY_MAX], name[LIMIT_NAME];
    if (x->set->means) /* there, as the edit's resolving has found */
        return st_decode(reference_means_of(x->set, site_name(x->site, name), x->n, NULL), 0, x->n,
                         x->value);
    key_text(s, x, key);
    return reference_cache_read(key, x->shape, x->rank, x->value);
}

/* A mean that was not asked for before: from disk, or to be computed. */
static int mean_make(struct reference_means *s, const struct edit_instr *a, struct mean **out,
                     struct err *e)
{
    char name[LIMIT_NAME];
    struct mean *x = calloc(1, sizeof *x);
    if (!x)
        return err_memory(e, "a mean over %s", a->set->name);
    x->set = reference_hold(a->set), x->site = a->site, x->pos = a->source_pos;
    int32_t rows = x->pos == EDIT_SAME_POS ? x->set->longest : 1;
    x->rank = site_shape(&s->m->cfg, x->site.id, rows, x->shape);
    x->n = 1;
    for (int i = 0; i < x->rank; i++)
        x->n *= x->shape[i];
    if (x->n > LIMIT_MEAN_BYTES / (int64_t)sizeof *x->sum) {
        int rc = err_set(
            e, ERR_BAD_INPUT,
            "mean(%s, pos=same) · %s of %d positions has %lld elements · shorter prompts need fewer",
            x->set->name, site_name(x->site, name), (int)rows, (long long)x->n);
        mean_free(x);
        return rc;
    }
    x->value = malloc((size_t)x->n * sizeof *x->value);
    x->sum = calloc((size_t)x->n, sizeof *x->sum);
    x->count = calloc((size_t)rows, sizeof *x->count);
    if (!x->value || !x->sum || !x->count) {
        mean_free(x);
        return err_memory(e, "a mean over %s", a->set->name);
    }
    if (mean_known(s, x)) {
        free(x->sum), free(x->count);
        x->sum = NULL, x->count = NULL;
    }
    x->next = s->list;
    s->list = x;
    *out = x;
    return 0;
}

/* Sets are compared by what they hold: one that is read again is not computed again. */
static bool same_set(const struct reference_set *a, const struct reference_set *b)
{
    return a == b || (!a->means && !b->means && a->n == b->n && a->n_tokens == b->n_tokens &&
                      !memcmp(a->start, b->start, ((size_t)a->n + 1) * sizeof *a->start) &&
                      !memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof *a->tokens));
}

static struct mean *mean_find(const struct reference_means *s, const struct edit_instr *a)
{
    for (struct mean *x = s->list; x; x = x->next)
        if (same_set(x->set, a->set) && site_same(x->site, a->site) && x->pos == a->source_pos)
            return x;
    return NULL;
}

/* Means that the present edits do not use go when all together are large. */
static void evict(struct reference_means *s)
{
    int64_t bytes = 0;
    for (struct mean **at = &s->list; *at;) {
        struct mean *x = *at;
        bytes += x->n * (int64_t)(sizeof *x->value + (x->sum ? sizeof *x->sum : 0));
        if (!x->used && bytes > LIMIT_MEAN_BYTES) {
            *at = x->next;
            mean_free(x);
        } else {
            at = &x->next;
        }
    }
}

/* ---- computing ---- */

/* Add rows [r0, r1) of a prompt of n tokens. */
static void add_rows(struct mean *x, const struct kn_view *v, int32_t r0, int32_t r1, int32_t n,
                     bool full)
{
    int32_t at = x->pos < 0 ? x->pos + n : x->pos;
    bool all = x->pos == EDIT_ALL_POS, same = x->pos == EDIT_SAME_POS;
    for (int32_t row = r0; row < r1; row++) {
        if (!all && !same && row != at)
            continue;
        int64_t to = same ? row : 0, longest = rows_of(x);
        x->count[to]++;
        if (site_is_attention(x->site.id)) { /* later sources are masked, unless it is `full` */
            for (int64_t h = 0; h < x->shape[0]; h++)
                for (int64_t src = 0; src < (full ? n : row + 1); src++)
                    x->sum[(h * longest + to) * longest + src] += (double)kn_f32(
                        v)[h * v->stride[0] + (row - r0) * v->stride[1] + src * v->stride[2]];
            continue;
        }
        int64_t b_n = v->ndim > 2 ? v->shape[1] : 1, c_n = v->shape[v->ndim - 1];
        for (int64_t b = 0; b < b_n; b++)
            for (int64_t c = 0; c < c_n; c++)
                x->sum[(to * b_n + b) * c_n + c] += (double)kn_f32(
                    v)[(row - r0) * v->stride[0] + (v->ndim > 2 ? b * v->stride[1] : 0) +
                       c * v->stride[v->ndim - 1]];
    }
}

static void take(void *s, void *mean, int n, const struct kn_view *v, int32_t r0, int32_t r1)
{
    const struct reference_means *means = s;
    add_rows(mean, v, r0, r1, n, means->m->cfg.bidirectional);
}

/* Rows go outside, hooks inside in firing order: what is rematerialised for one serves the next.  A
 * prompt is added to a mean as a whole or, on failure, not at all. */
static int add_prompt(struct reference_means *s, struct run *r, struct mean **todo, int32_t n_todo,
                      int32_t prompt, struct err *e)
{
    struct host_queue q = {.be = s->m->be, .take = take, .user = s};
    int32_t n = run_length(r);
    int rc = 0;
    for (int32_t r0 = 0; !rc && r0 < n; r0 += ROWS) {
        int32_t r1 = r0 + ROWS < n ? r0 + ROWS : n;
        for (int32_t i = 0; !rc && i < n_todo; i++) {
            struct kn_view v;
            if (todo[i]->done == prompt && !(rc = run_view(r, todo[i]->site, r0, r1, &v, e)))
                rc = host_queue_add(&q, &v, todo[i], n, r0, r1, e);
        }
        rc = host_queue_end(&q, rc, e);
    }
    for (int32_t i = 0; i < n_todo; i++) {
        if (todo[i]->done != prompt)
            continue;
        todo[i]->done++;
        if (rc) { /* begin anew: its sums hold a part of this prompt */
            memset(todo[i]->sum, 0, (size_t)todo[i]->n * sizeof *todo[i]->sum);
            memset(todo[i]->count, 0, (size_t)rows_of(todo[i]) * sizeof *todo[i]->count);
            todo[i]->done = 0;
        } else if (todo[i]->done == todo[i]->set->n) {
            finish(s, todo[i]);
        }
    }
    return rc;
}

static struct run_input prompt_of(const struct reference_set *set, int32_t i)
{
    return run_ids(set->tokens + set->start[i], (int32_t)(set->start[i + 1] - set->start[i]));
}

/* How many prompts from the first one on are run together: one, or as many as follow that share
 * products and are few rows together, which is what is held. */
static int32_t together(const struct reference_set *set, int32_t first)
{
    int32_t n = 0, rows = 0;
    for (; n < TOGETHER && first + n < set->n; n++) {
        int32_t own = prompt_of(set, first + n).n;
        if (own > RUN_SHARED_ROWS || (rows += own) > 2 * RUN_SHARED_ROWS)
            break;
    }
    return n ? n : 1;
}

/* Prompts [first, first + n) up to a stage. */
static int prompts_run(struct reference_means *s, const struct reference_set *set, int32_t first,
                       int32_t n, int32_t stop, struct err *e)
{
    struct run_options none = {0};
    struct run_cost costs[TOGETHER];
    int rc = 0;
    for (int32_t i = 0; !rc && i < n; i++) {
        if (!s->run[i] && !(s->run[i] = run_create(s->m, NULL, &none, e)))
            return ERR_SYSTEM;
        run_stop(s->run[i], stop);
        rc = run_target(s->run[i], prompt_of(set, first + i), NULL, NULL, e);
    }
    return rc ? rc : run_compute(s->run, n, costs, e);
}

static int sweep(struct reference_means *s, struct mean **todo, int32_t n_todo, struct err *e)
{
    const struct reference_set *set = todo[0]->set;
    int32_t first = set->n, stop = 0;
    for (int32_t i = 0; i < n_todo; i++) {
        int32_t stage = plan_stage_of(s->m->plan, todo[i]->site);
        first = todo[i]->done < first ? todo[i]->done : first;
        stop = stage > stop ? stage : stop;
    }
    int rc = 0;
    for (int32_t i = first, n; !rc && i < set->n; i += n) {
        n = together(set, i);
        rc = prompts_run(s, set, i, n, stop, e);
        s->runs += rc ? 0 : n;
        for (int32_t k = 0; !rc && k < n; k++)
            rc = add_prompt(s, s->run[k], todo, n_todo, i + k, e);
    }
    return rc;
}

/* The means of one set that are used and not finished, in firing order. */
static int32_t unfinished(const struct reference_means *s, const struct reference_set *set,
                          struct mean **out)
{
    int32_t n = 0;
    for (struct mean *x = s->list; x; x = x->next) {
        if (!x->used || !x->sum || !same_set(x->set, set))
            continue;
        int32_t order = plan_order(s->m->plan, x->site), at = n++;
        for (; at > 0 && plan_order(s->m->plan, out[at - 1]->site) > order; at--)
            out[at] = out[at - 1];
        out[at] = x;
    }
    return n;
}

/* ---- giving ---- */

/* The selected elements of the mean, one row of them unless every position has its own. */
static int instr_fill(struct edit_program *prog, struct edit_instr *a, const struct mean *x,
                      struct err *e)
{
    int lead = SITE_RANK_MAX - x->rank, row_axis = site_row_axis(a->site.id);
    int64_t n[SITE_RANK_MAX] = {1, 1, 1}, from[SITE_RANK_MAX] = {0}, stride = 1, count = 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        bool one = i == row_axis && x->shape[i] == 1 && x->pos != EDIT_SAME_POS;
        n[lead + i] = one ? 1 : a->axis[i].n;
        a->vec_stride[i] = one ? 0 : count;
        from[lead + i] = one ? 0 : stride;
        count *= n[lead + i];
        stride *= x->shape[i];
    }
    float *vec = edit_program_floats(prog, count), *p = vec;
    if (!vec)
        return err_memory(e, "edits");
    for (int64_t i = 0; i < n[0]; i++)
        for (int64_t j = 0; j < n[1]; j++)
            for (int64_t k = 0; k < n[2]; k++) {
                const int64_t at[SITE_RANK_MAX] = {i, j, k};
                int64_t index = 0;
                bool inside = true; /* sources past the longest prompt are masked */
                for (int d = lead; d < SITE_RANK_MAX; d++) {
                    int64_t v = from[d] ? edit_axis_value(&a->axis[d - lead], (int32_t)at[d]) : 0;
                    inside = inside && v < x->shape[d - lead];
                    index += v * from[d];
                }
                *p++ = inside ? x->value[index] : 0.0f;
            }
    a->vec = vec;
    a->vec_n = count;
    return 0;
}

int reference_means_fill(struct reference_means *s, struct edit_program *prog, struct err *e)
{
    int32_t n = 0;
    int rc = 0;
    for (struct mean *x = s->list; x; x = x->next)
        x->used = false;
    for (int32_t i = 0; !rc && i < prog->n_instrs; i++) {
        struct edit_instr *a = &prog->instrs[i];
        if (a->value != EDIT_MEAN_REF)
            continue;
        struct mean *x = mean_find(s, a);
        if (!x)
            rc = mean_make(s, a, &x, e);
        if (!rc)
            x->used = true;
        n++;
    }
    evict(s);
    struct mean **todo = calloc((size_t)n + 1, sizeof *todo);
    if (!rc && !todo)
        rc = err_memory(e, "means over reference sets");
    for (int32_t i = 0; !rc && i < prog->n_sets; i++) {
        int32_t n_todo = unfinished(s, prog->sets[i], todo);
        if (n_todo)
            rc = sweep(s, todo, n_todo, e);
    }
    free(todo);
    if (!rc)
        runs_free(s);
    for (int32_t i = 0; !rc && i < prog->n_instrs; i++)
        if (prog->instrs[i].value == EDIT_MEAN_REF)
            rc = instr_fill(prog, &prog->instrs[i], mean_find(s, &prog->instrs[i]), e);
    prog->needs_means = prog->needs_means && rc;
    return rc;
}
