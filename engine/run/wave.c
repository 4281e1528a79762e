/* wave.c - many variants of one run (see wave.h). */
#include "run/wave.h"

#include <assert.h>
#include <stdlib.h>

#include "run/run_parts.h"

/* A wave_run under way. */
struct wave {
    struct run *base;
    const struct wave_variant *variants;
    const struct wave_want *want;
    wave_fn *done;
    void *user;
    struct run *fork; /* of those that go one by one; made when the first one does */
    float *logits, *resid;
};

static bool has_logits(const struct wave *w)
{
    return site_exists(&w->base->m->cfg, SITE_UNEMBED_OUT);
}

/* The edits of a variant with its tokens among them; *own: to be freed by the caller. */
static int variant_program(const struct wave *w, const struct wave_variant *v,
                           const struct edit_program **out, struct edit_program **own,
                           struct err *e)
{
    *own = NULL;
    *out = v->prog;
    if (!v->tokens)
        return 0;
    if (w->base->image || w->base->given)
        return err_set(e, ERR_BAD_INPUT, "a variant with other tokens · this run has no tokens");
    *own = edit_program_tokens(v->prog, &w->base->m->cfg, v->tokens, w->base->tokens, w->base->n);
    *out = *own;
    return *own ? 0 : err_memory(e, "%d tokens", w->base->n);
}

/* The rows that are wanted of a run: logits and residual stream. */
static int answer_read(struct wave *w, struct run *r, struct err *e)
{
    const struct wave_want *want = w->want;
    const struct config *cfg = &w->base->m->cfg;
    struct site_ref stream = run_lens_site(w->base->m, cfg->n_layers);
    int rc = 0;
    for (int32_t i = 0; !rc && i < want->n_rows; i++)
        rc = run_read(r, stream, want->rows[i], want->rows[i] + 1,
                      w->resid + (int64_t)i * cfg->d_model, NULL, e);
    return rc || !has_logits(w) ? rc
                                : run_logits(r, want->rows, want->n_rows, want->tokens,
                                             want->n_tokens, w->logits, e);
}

static int one_run(struct wave *w, int32_t i, struct err *e)
{
    const struct wave_variant *v = &w->variants[i];
    const struct edit_program *prog;
    struct edit_program *own;
    struct run_options opt = {w->base->cache_bytes, w->base->frame_bytes};
    int rc = variant_program(w, v, &prog, &own, e);
    if (!rc && !w->fork && !(w->fork = run_create(w->base->m, w->base, &opt, e)))
        rc = err_code(e);
    if (!rc)
        rc = run_sync(w->fork, (struct run_input){0}, prog, v->sources, NULL, e);
    if (!rc)
        rc = answer_read(w, w->fork, e);
    struct wave_value value = {i, has_logits(w) ? w->logits : NULL, w->resid};
    rc = rc ? rc : w->done(w->user, &value, e);
    edit_program_free(own);
    return rc;
}

int wave_run(struct run *base, const struct wave_variant *v, int32_t n,
             const struct wave_want *want, wave_fn *done, void *user, struct err *e)
{
    const struct config *cfg = &base->m->cfg;
    struct wave w = {.base = base, .variants = v, .want = want, .done = done, .user = user};
    size_t columns = want->n_tokens ? (size_t)want->n_tokens : (size_t)cfg->d_vocab,
           rows = (size_t)want->n_rows;
    assert(base->dirty_order == ORDER_NONE && want->n_rows > 0);
    w.resid = malloc(rows * (size_t)cfg->d_model * sizeof *w.resid);
    w.logits = malloc((has_logits(&w) ? rows * columns : 1) * sizeof *w.logits);
    int rc = w.resid && w.logits ? 0 : err_memory(e, "%d rows of logits", want->n_rows);
    for (int32_t i = 0; !rc && i < n; i++)
        rc = one_run(&w, i, e);
    run_free(w.fork);
    free(w.resid), free(w.logits);
    return rc;
}
