/* generate.c - continuing a prompt (see generate.h). */
#include "generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens.h"
#include "splitmix.h"
#include "callback.h"

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

/* Candidates in falling order are taken off the heap until top_k of them or a mass of top_p (of the top_k's
 * own mass, as HF's warpers in that order) is there; then one of these is drawn. */
static int32_t draw(const float *logits, int32_t n, const struct generate_options *opt, int32_t *heap, double *p,
                    uint64_t *state)
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

int generate_choose(const float *logits, int32_t n, const struct generate_options *opt, uint64_t *state, int32_t *id,
                    struct err *e)
{
    int32_t best = greedy(logits, n);
    if (best < 0)
        return err_set(e, ERR_BAD_INPUT, "no logit is a number · next token · find the first NaN with "
                       "`borescope run MODEL -c '*'`");
    if (opt->temperature > 0) {
        char *mem = malloc((size_t)n * (sizeof(double) + sizeof(int32_t)));
        if (!mem)
            return err_set(e, ERR_SYSTEM, "memory is out · sampling");
        double *p = (double *)(void *)mem;
        best = draw(logits, n, opt, (int32_t *)(void *)(p + n), p, state);
        free(mem);
    }
    *id = best;
    return 0;
}

int generate_check(const struct generate_options *opt, struct err *e)
{
    double r = opt->repetition_penalty, f = opt->freq_penalty, t = opt->temperature;
    if (!(t >= 0) || isinf(t) || !(opt->top_p >= 0 && opt->top_p <= 1) || opt->top_k < 0)
        return err_set(e, ERR_BAD_INPUT, "sampling · temperature %g, top_k %d, top_p %g · temperature and top_k from 0 on, top_p 0..1", t, opt->top_k,
                       opt->top_p);
    if (!(r >= 0) || isinf(r))
        return err_set(e, ERR_BAD_INPUT, "repetition penalty %g · a positive number; above 1 repeats less, 1 changes nothing", r);
    if (isnan(f) || isinf(f))
        return err_set(e, ERR_BAD_INPUT, "frequency penalty %g · a number; 0 changes nothing", f);
    if (f != 0 && t == 0)
        return err_set(e, ERR_BAD_INPUT, "frequency penalty %g · it acts on logits divided by the temperature, so not on greedy choice · give a "
                       "temperature, or take the repetition penalty", f);
    return 0;
}

void generate_penalize(const float *logits, float *out, int32_t n, const int32_t *tokens, int32_t n_tokens, const struct generate_options *opt)
{
    double r = opt->repetition_penalty > 0 ? opt->repetition_penalty : 1, f = opt->freq_penalty * opt->temperature;
    memcpy(out, logits, (size_t)n * sizeof *out);
    for (int32_t i = 0; i < n_tokens && r != 1; i++) { /* from `logits`, so that a token that is there twice is scaled once */
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

/* One more token; `done` positions have been through the callbacks.  logits: two rows, as they are and penalized. */
static int step(struct pair *pair, const struct pair_target *t, int32_t done, const struct generate_options *opt, float *logits,
                uint64_t *state, int32_t *id, struct err *e)
{
    int32_t n = run_model(pair_run(pair, FACE_BASE))->cfg.d_vocab;
    int err = opt->callbacks ? pair_callbacks(pair, opt->callbacks, t->n_edits == 0, done, e) : 0;
    if (!err)
        err = pair_sync(pair, t, NULL, e);
    struct run *r = pair_run(pair, FACE_EDITED);
    r = r ? r : pair_run(pair, FACE_BASE);
    if (!err)
        err = lens_logits(r, t->n - 1, logits, e);
    if (err)
        return err;
    generate_penalize(logits, logits + n, n, t->tokens, t->n, opt);
    return generate_choose(logits + n, n, opt, state, id, e);
}

int generate(const struct model *m, const struct pair_target *t, int32_t count, const struct generate_options *opt,
             int32_t eos_id, size_t cache_bytes, generate_emit_fn *emit, void *user, struct err *e)
{
    struct pair_target now = *t;
    struct pair *pair = NULL;
    uint64_t state = opt->seed;
    int64_t room = (int64_t)t->n + (count > 0 ? count : 0);
    room = room < LIMIT_TOKENS ? room : LIMIT_TOKENS;
    int32_t *tokens = malloc((size_t)(room > t->n ? room : t->n) * sizeof *tokens);
    float *logits = malloc((size_t)m->cfg.d_vocab * 2 * sizeof *logits);
    int err = tokens && logits ? generate_check(opt, e) : err_set(e, ERR_SYSTEM, "memory is out · generate");
    if (!err)
        err = pair_open(&pair, m, cache_bytes, e);
    if (!err)
        memcpy(tokens, t->tokens, (size_t)t->n * sizeof *tokens);
    if (!err && opt->callbacks) /* so that no row meets them twice */
        err = run_reserve_rows(pair_run(pair, FACE_BASE), (int32_t)room, e);
    now.tokens = tokens;
    bool over;
    for (int32_t i = 0, id; !err && i < count; i++) {
        err = model_check_tokens(m, tokens, now.n, &over, e);
        if (!err)
            err = step(pair, &now, i ? now.n - 1 : 0, opt, logits, &state, &id, e);
        if (err || is_stop(opt, eos_id, id) || !emit(user, id, logits))
            break;
        if (now.n == LIMIT_TOKENS)
            err = err_set(e, ERR_BAD_INPUT, "%d positions are the most of one run", LIMIT_TOKENS);
        else if (i + 1 < count)
            tokens[now.n++] = id;
    }
    pair_close(pair);
    free(logits);
    free(tokens);
    return err;
}
