/* run_module.c - one module of the model on given rows: the plan's own steps, on a run that is thrown away.
 * Tested in tests/engine/test_library.c. */
#include "run_module.h"

#include <stdlib.h>
#include <string.h>

#include "run_internal.h"

/* Modules inside a stage: where the input is put, the first step's site, the output. */
static const struct {
    const char *name;
    enum site_scope scope;
    enum site_id in, first, out;
} modules[] = {
    { "ln1", SCOPE_BLOCK, SITE_RESID_PRE, SITE_LN1_SCALE, SITE_LN1_OUT },
    { "attn", SCOPE_BLOCK, SITE_LN1_OUT, SITE_Q, SITE_ATTN_OUT },
    { "ln2", SCOPE_BLOCK, SITE_MLP_IN, SITE_LN2_SCALE, SITE_LN2_OUT },
    { "mlp", SCOPE_BLOCK, SITE_LN2_OUT, SITE_PRE, SITE_MLP_OUT },
    { "unembed", SCOPE_FINAL, SITE_UNEMBED_IN, SITE_UNEMBED_OUT, SITE_UNEMBED_OUT },
};

int run_module_find(const struct config *cfg, const char *name, struct run_module *out, struct err *e)
{
    const char *rest = name;
    char *end;
    struct run_module m = { SITE_ROOT, RUN_MODULE_WHOLE };
    if (!strncmp(name, "blocks.", 7) && name[7] >= '0' && name[7] <= '9') {
        long layer = strtol(name + 7, &end, 10);
        if (layer >= cfg->n_layers)
            return err_set(e, ERR_BAD_INPUT, "no module \"%.100s\" · this model has layers 0..%d", name, cfg->n_layers - 1);
        m.layer = (int32_t)layer;
        rest = *end == '.' ? end + 1 : end;
    }
    bool known = (m.layer != SITE_ROOT && !*rest) || !strcmp(name, "ln_final");
    for (int i = 0; !known && i < (int)(sizeof modules / sizeof *modules); i++)
        if (!strcmp(rest, modules[i].name) && (modules[i].scope == SCOPE_BLOCK) == (m.layer != SITE_ROOT))
            m.index = i, known = true;
    if (!known)
        return err_set(e, ERR_BAD_INPUT, "no module \"%.100s\" · blocks.L, blocks.L.ln1, .attn, .ln2, .mlp, ln_final, unembed", name);
    *out = m;
    return 0;
}

struct site_ref run_module_out(const struct run_module *m)
{
    enum site_id whole = m->layer == SITE_ROOT ? SITE_UNEMBED_IN : SITE_RESID_POST;
    return (struct site_ref){ m->index == RUN_MODULE_WHOLE ? whole : modules[m->index].out, m->layer };
}

/* Some steps of one stage, all rows at once. */
static int steps_run(struct run *r, const struct run_module *m, const float *x, int32_t n, float *y, struct err *e)
{
    int32_t count, first = -1, last = 0;
    enum site_id in = site_copied(&r->m->cfg, modules[m->index].in), out = modules[m->index].out;
    struct frame *f = &r->work;
    f->stage = plan_stage_of(r->m->plan, run_module_out(m)), f->r0 = 0, f->r1 = n;
    const struct step *steps = plan_stage(r->m->plan, f->stage, &count);
    for (int32_t i = 0; i < count; i++) {
        if (steps[i].site == modules[m->index].first && first < 0)
            first = i;
        if (steps[i].site == out)
            last = i + 1;
    }
    size_t floats = (size_t)n * (size_t)r->m->cfg.d_model;
    int rc = run_set_capacity(r, n, e);
    r->n = n;
    if (!rc && !(rc = run_rope_place(r, e)) && !(rc = run_keep_stage(r, f->stage, e)))
        rc = run_reserve(r, &f->site[in], (int64_t)floats, e);
    if (rc)
        return rc;
    memcpy(f->site[in].mem, x, floats * sizeof *x);
    if (!(rc = run_exec(r, f, first, last, SITE_COUNT, e)))
        memcpy(y, run_row(r, f, f->stage, out, 0), (size_t)run_pitch(r, out) * (size_t)n * sizeof *y);
    return rc;
}

/* A block, or the final norm: a run that starts there. */
static int whole_run(struct run *r, const struct run_module *m, const float *x, int32_t n, float *y, struct err *e)
{
    int32_t layer = m->layer == SITE_ROOT ? r->m->cfg.n_layers : m->layer, *tokens = calloc((size_t)n, sizeof *tokens);
    int rc = tokens ? 0 : err_set(e, ERR_SYSTEM, "out of memory · %d rows", n);
    run_bounds(r, layer, x, layer + 1);
    if (!rc)
        rc = run_sync(r, tokens, n, NULL, NULL, NULL, e);
    if (!rc)
        rc = run_read(r, run_module_out(m), 0, n, y, NULL, e);
    free(tokens);
    return rc;
}

int run_module_call(const struct model *model, const struct run_module *m, const float *x, int32_t n, float *y, struct err *e)
{
    if (n < 1 || n > LIMIT_TOKENS)
        return err_set(e, ERR_BAD_INPUT, "%d rows · a module takes 1..%d", n, LIMIT_TOKENS);
    struct run_options opt = { 0 };
    struct run *r = run_create(model, NULL, &opt, e);
    if (!r)
        return ERR_SYSTEM;
    int rc = m->index == RUN_MODULE_WHOLE ? whole_run(r, m, x, n, y, e) : steps_run(r, m, x, n, y, e);
    run_free(r);
    return rc;
}
