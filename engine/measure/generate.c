/* generate.c - continuing a prompt (see generate.h). */
#include "measure/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/lens.h"
#include "base/splitmix.h"
#include "run/callback.h"

static double uniform(uint64_t *state)
{
    uint64_t z = splitmix64(*state);
    *state += SPLITMIX64_STEP;
    return (double)(z >> 11) * 0x1p-53;
}

/* Token ids as a heap by falling logit, equal ones by rising id. */
static bool before(const float *logits, int32_t a, int32_t b)
{
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static void sift(int32_t *heap, int32_t n, int32_t i, const float *logits)
{
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(logits, heap[child + 1], heap[child]))
            child++;
        if (!before(logits, heap[child], heap[i]))
            return;
        int32_t swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
    }
}

static int32_t greedy(const float *logits, int32_t n)
{
    int32_t best = -1;
    for (int32_t i = 0; i < n; i++)
        if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best]))
            best = i;
    return best;
}

/* Candidates in falling order are taken off the heap until top_k of them or a mass of top_p (of the
 * top_k's own mass, as HF's warpers in that order) is there; then one of these is drawn. */
static int32_t draw(const float *logits, int32_t n, const struct generate_options *opt,
                    int32_t *heap, double *p, uint64_t *state)
{
    int32_t m = 0, kept = 0, k;
    double mass = 0, sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (!isnan(logits[i]))
            heap[m++] = i;
    for (int32_t i = m / 2; i-- > 0;)
        sift(heap, m, i, logits);
    k = opt->top_k > 0 && opt->top_k < m ? opt->top_k : m;
    float top = logits[heap[0]];
    /* Taken candidates gather behind the shrinking heap, so `heap[m - 1 - i]` is the i-th best. */
    for (int32_t left = m; left > m - k; left--) {
        int32_t id = heap[0];
        heap[0] = heap[left - 1];
        heap[left - 1] = id;
        sift(heap, left - 1, 0, logits);
        /* Equal infinities stand for a distance of 0. */
        double d = logits[id] == top ? 0 : ((double)logits[id] - top) / opt->temperature;
        p[m - left] = exp(d);
        mass += p[m - left];
    }
    while (kept < k && (kept == 0 || sum < opt->top_p * mass))
        sum += p[kept++];
    double u = uniform(state) * sum;
    for (int32_t i = 0; i < kept; i++)
        if ((u -= p[i]) < 0)
            return heap[m - 1 - i];
    return heap[m - kept];
}

int generate_choose(const float *logits, int32_t n, const struct generate_options *opt,
                    uint64_t *state, int32_t *id, struct err *e)
{
    int32_t best = greedy(logits, n);
    if (best < 0)
        return err_set(e, ERR_BAD_INPUT,
                       "no logit is a number · next token · find the first NaN with "
                       "`borescope run MODEL -c '*'`");
    if (opt->temperature > 0) {
        char *mem = malloc((size_t)n * (sizeof(double) + sizeof(int32_t)));
        if (!mem)
            return err_memory(e, "sampling");
        double *p = (double *)(void *)mem;
        best = draw(logits, n, opt, (int32_t *)(void *)(p + n), p, state);
        free(mem);
    }
    *id = best;
    return 0;
}

/* Are the options' numbers in range? */
static int options_check(const struct generate_options *opt, struct err *e)
{
    double r = opt->repetition_penalty, f = opt->freq_penalty, t = opt->temperature;
    if (!(t >= 0) || isinf(t) || !(opt->top_p >= 0 && opt->top_p <= 1) || opt->top_k < 0)
        return err_set(
            e, ERR_BAD_INPUT,
            "sampling · temperature %g, top_k %d, top_p %g · temperature and top_k from 0 on, top_p 0..1",
            t, opt->top_k, opt->top_p);
    if (!(r >= 0) || isinf(r))
        return err_set(
            e, ERR_BAD_INPUT,
            "repetition penalty %g · a positive number; above 1 repeats less, 1 changes nothing",
            r);
    if (isnan(f) || isinf(f))
        return err_set(e, ERR_BAD_INPUT, "frequency penalty %g · a number; 0 changes nothing", f);
    if (f != 0 && t == 0)
        return err_set(
            e, ERR_BAD_INPUT,
            "frequency penalty %g · it acts on logits divided by the temperature, so not on greedy choice · give a "
            "temperature, or take the repetition penalty",
            f);
    return 0;
}

void generate_penalize(const float *logits, float *out, int32_t n, const int32_t *tokens,
                       int32_t n_tokens, const struct generate_options *opt)
{
    double r = opt->repetition_penalty > 0 ? opt->repetition_penalty : 1,
           f = opt->freq_penalty * opt->temperature;
    memcpy(out, logits, (size_t)n * sizeof *out);
    for (int32_t i = 0; i < n_tokens && r != 1;
         i++) { /* from `logits`, so that a token that is there twice is scaled once */
        double x = (double)logits[tokens[i]];
        out[tokens[i]] = (float)(x < 0 ? x * r : x / r);
    }
    for (int32_t i = 0; i < n_tokens && f != 0; i++)
        out[tokens[i]] = (float)((double)out[tokens[i]] - f);
}

static bool is_stop(const struct generate_options *opt, int32_t eos_id, int32_t id)
{
    for (int32_t i = 0; i < opt->n_stop; i++)
        if (opt->stop_ids[i] == id)
            return true;
    return id == eos_id;
}

/* A prompt under way. */
struct row {
    struct pair *pair;
    struct pair_target now;
    int32_t *tokens; /* of `now`, with room for all */
    uint64_t state;
    int32_t index;
    bool ended;
};

struct generation {
    const struct model *m;
    const struct generate_options *opt;
    int32_t eos_id;
    struct row *rows;
    int32_t n;
    float *logits; /* two rows: as they are and penalized */
    generate_emit_fn *emit;
    void *user;
};

static int fail_row(const struct generation *g, int32_t index, int rc, struct err *e)
{
    if (rc && g->n > 1 && index >= 0)
        err_prefix(e, "row %d of the batch", (int)index);
    return rc;
}

/* A pass of one row with callbacks; `first`: they have not seen the prompt. */
static int pass_called(const struct generation *g, struct row *row, bool first, struct err *e)
{
    if (g->opt->turn)
        g->opt->turn(g->user, row->index);
    int rc = pair_callbacks(row->pair, g->opt->callbacks, row->now.n_edits == 0,
                            first ? 0 : row->now.input.n - 1, e);
    return fail_row(g, row->index, rc ? rc : pair_sync(row->pair, &row->now, NULL, e), e);
}

/* A pass of rows[0..n) together, up to their last logits. */
static int pass_together(const struct generation *g, struct row *const *rows, int32_t n,
                         struct err *e)
{
    struct pair *pairs[RUN_TOGETHER_MAX] = {rows[0]->pair};
    struct pair_target targets[RUN_TOGETHER_MAX] = {rows[0]->now};
    struct run *runs[RUN_TOGETHER_MAX];
    int32_t which;
    for (int32_t i = 0; i < n; i++)
        pairs[i] = rows[i]->pair, targets[i] = rows[i]->now;
    int rc = pair_sync_all(pairs, targets, n, &which, e);
    if (rc)
        return fail_row(g, which < 0 ? -1 : rows[which]->index, rc, e);
    for (int32_t i = 0; i < n; i++)
        runs[i] = pair_shown(rows[i]->pair);
    return run_look_all(runs, n,
                        (struct site_ref){site_logits(&run_model(runs[0])->cfg), SITE_ROOT}, e);
}

/* What follows the row, chosen and emitted. */
static int row_next(const struct generation *g, struct row *row, bool last, struct err *e)
{
    int32_t n = g->m->cfg.d_vocab, id = 0;
    int rc = lens_logits(pair_shown(row->pair), row->now.input.n - 1, g->logits, e);
    if (!rc) {
        generate_penalize(g->logits, g->logits + n, n, row->tokens, row->now.input.n, g->opt);
        rc = generate_choose(g->logits + n, n, g->opt, &row->state, &id, e);
    }
    if (rc)
        return fail_row(g, row->index, rc, e);
    row->ended = is_stop(g->opt, g->eos_id, id) || !g->emit(g->user, row->index, id, g->logits) ||
                 last;
    if (!row->ended && row->now.input.n == LIMIT_TOKENS)
        return fail_row(
            g, row->index,
            err_set(e, ERR_BAD_INPUT, "%d positions are the most of one run", LIMIT_TOKENS), e);
    if (!row->ended)
        row->tokens[row->now.input.n++] = id;
    return 0;
}

/* One more token of up to RUN_TOGETHER_MAX rows. */
static int step(const struct generation *g, struct row *rows, int32_t n, bool first, bool last,
                struct err *e)
{
    struct row *now[RUN_TOGETHER_MAX];
    int32_t active = 0;
    int rc = 0;
    for (int32_t i = 0; i < n && !rc; i++)
        if (!rows[i].ended) {
            now[active++] = &rows[i];
            rc = fail_row(g, rows[i].index,
                          model_check_tokens(g->m, rows[i].tokens, rows[i].now.input.n, NULL, e),
                          e);
        }
    if (!rc && active && !g->opt->callbacks)
        rc = pass_together(g, now, active, e);
    for (int32_t i = 0; i < active && !rc; i++) {
        rc = g->opt->callbacks ? pass_called(g, now[i], first, e) : 0;
        if (!rc)
            rc = row_next(g, now[i], last, e);
    }
    return rc;
}

static int row_open(const struct generation *g, struct row *row, const struct pair_target *t,
                    int32_t count, size_t cache_bytes, struct err *e)
{
    int64_t room = (int64_t)t->input.n + (count > 0 ? count : 0);
    room = room < LIMIT_TOKENS ? room : LIMIT_TOKENS;
    int rc = pair_open(&row->pair, g->m, cache_bytes, e);
    if (rc)
        return rc;
    row->tokens = malloc((size_t)(room > t->input.n ? room : t->input.n) * sizeof *row->tokens);
    if (!row->tokens)
        return err_memory(e, "generate");
    memcpy(row->tokens, t->input.tokens, (size_t)t->input.n * sizeof *row->tokens);
    row->now = *t;
    row->now.input.tokens = row->tokens;
    row->now.paired = t->input.n;
    return 0;
}

int generate(const struct model *m, const struct pair_target *t, int32_t rows, int32_t count,
             const struct generate_options *opt, int32_t eos_id, size_t cache_bytes,
             generate_emit_fn *emit, void *user, struct err *e)
{
    if (m->cfg.bidirectional)
        return err_set(
            e, ERR_BAD_INPUT,
            "generate · attention looks both ways here: nothing is continued from left to "
            "right · put a mask into the prompt and look at its logits");
    struct generation g = {
        .m = m, .opt = opt, .eos_id = eos_id, .n = rows, .emit = emit, .user = user};
    g.rows = calloc((size_t)rows, sizeof *g.rows);
    g.logits = malloc((size_t)m->cfg.d_vocab * 2 * sizeof *g.logits);
    int rc = g.rows && g.logits ? options_check(opt, e) : err_memory(e, "generate");
    for (int32_t i = 0; i < rows && !rc; i++) {
        g.rows[i].index = i, g.rows[i].state = opt->seed + (uint64_t)i;
        rc = row_open(&g, &g.rows[i], &t[i], count, cache_bytes / (size_t)rows, e);
    }
    for (int32_t k = 0; k < count && !rc; k++)
        for (int32_t i = 0; i < rows && !rc; i += RUN_TOGETHER_MAX)
            rc = step(&g, g.rows + i, rows - i < RUN_TOGETHER_MAX ? rows - i : RUN_TOGETHER_MAX,
                      k == 0, k == count - 1, e);
    for (int32_t i = 0; i < rows && g.rows; i++) {
        pair_close(g.rows[i].pair);
        free(g.rows[i].tokens);
    }
    free(g.rows);
    free(g.logits);
    return rc;
}
