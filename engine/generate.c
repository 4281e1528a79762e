/* generate.c - continuing a prompt (see generate.h). */
#include "generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lens.h"
#include "callback.h"

/* SplitMix64 (Steele, Lea, Flood 2014): one 64-bit state, any seed is good. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
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

/* One more token; `done` positions have been through the callbacks. */
static int step(struct pair *pair, const struct pair_target *t, int32_t done, const struct generate_options *opt, float *logits,
                uint64_t *state, int32_t *id, struct err *e)
{
    int err = opt->callbacks ? pair_callbacks(pair, opt->callbacks, t->n_edits == 0, done, e) : 0;
    if (!err)
        err = pair_sync(pair, t, NULL, e);
    struct run *r = pair_run(pair, FACE_EDITED);
    r = r ? r : pair_run(pair, FACE_BASE);
    if (!err)
        err = lens_logits(r, t->n - 1, logits, e);
    return err ? err : generate_choose(logits, run_model(r)->cfg.d_vocab, opt, state, id, e);
}

int generate(const struct model *m, const struct pair_target *t, int32_t count, const struct generate_options *opt,
             int32_t eos_id, size_t cache_bytes, bool (*emit)(void *user, int32_t id), void *user, struct err *e)
{
    struct pair_target now = *t;
    struct pair *pair = NULL;
    uint64_t state = opt->seed;
    int64_t room = (int64_t)t->n + (count > 0 ? count : 0);
    room = room < LIMIT_TOKENS ? room : LIMIT_TOKENS;
    int32_t *tokens = malloc((size_t)(room > t->n ? room : t->n) * sizeof *tokens);
    float *logits = malloc((size_t)m->cfg.d_vocab * sizeof *logits);
    int err = tokens && logits ? pair_open(&pair, m, cache_bytes, e) : err_set(e, ERR_SYSTEM, "memory is out · generate");
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
        if (err || id == eos_id || !emit(user, id))
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
