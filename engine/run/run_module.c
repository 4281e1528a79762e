/* run_module.c - one module of the model on given rows: the plan's own steps, on a run that is
 * thrown away. Tested in tests/engine/test_library.c. */
#include "run/run_module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "names/alias.h"

#include "run/run_parts.h"

/* Modules inside a stage: where the input is put, the first step's site, the output, as models have
 * them that normalize before and after; MODULE_COUNT of them. */
static const struct module {
    const char *name;
    enum site_scope scope;
    enum site_id in, first, out;
    enum property when;
} modules[] = {
    {"ln1", SCOPE_BLOCK, SITE_RESID_PRE, SITE_LN1_SCALE, SITE_LN1_OUT, PROPERTY_ALWAYS},
    {"attn", SCOPE_BLOCK, SITE_Q_IN, SITE_Q, SITE_ATTN_LINEAR, PROPERTY_ALWAYS},
    {"attn.q", SCOPE_BLOCK, SITE_Q_IN, SITE_Q, SITE_Q, PROPERTY_ALWAYS},
    {"attn.k", SCOPE_BLOCK, SITE_K_IN, SITE_K, SITE_K, PROPERTY_ALWAYS},
    {"attn.v", SCOPE_BLOCK, SITE_V_IN, SITE_V, SITE_V, PROPERTY_ALWAYS},
    {"attn.o", SCOPE_BLOCK, SITE_Z, SITE_ATTN_LINEAR, SITE_ATTN_LINEAR, PROPERTY_ALWAYS},
    {"ln1_post", SCOPE_BLOCK, SITE_ATTN_LINEAR, SITE_LN1_POST_SCALE, SITE_ATTN_OUT,
     PROPERTY_NORM_BOTH},
    {"ln2", SCOPE_BLOCK, SITE_MLP_IN, SITE_LN2_SCALE, SITE_LN2_OUT, PROPERTY_ALWAYS},
    {"mlp", SCOPE_BLOCK, SITE_GATE_IN, SITE_PRE, SITE_MLP_LINEAR, PROPERTY_ALWAYS},
    {"mlp.in", SCOPE_BLOCK, SITE_UP_IN, SITE_PRE, SITE_PRE, PROPERTY_UNGATED},
    {"mlp.in", SCOPE_BLOCK, SITE_UP_IN, SITE_PRE_LINEAR, SITE_PRE_LINEAR, PROPERTY_GATED},
    {"mlp.gate", SCOPE_BLOCK, SITE_GATE_IN, SITE_PRE, SITE_PRE, PROPERTY_GATED},
    {"mlp.act", SCOPE_BLOCK, SITE_PRE, SITE_POST, SITE_POST, PROPERTY_UNGATED},
    {"mlp.act", SCOPE_BLOCK, SITE_PRE, SITE_ACT_OUT, SITE_ACT_OUT, PROPERTY_GATED},
    {"mlp.out", SCOPE_BLOCK, SITE_POST, SITE_MLP_LINEAR, SITE_MLP_LINEAR, PROPERTY_ALWAYS},
    {"ln2_post", SCOPE_BLOCK, SITE_MLP_LINEAR, SITE_LN2_POST_SCALE, SITE_MLP_OUT,
     PROPERTY_NORM_BOTH},
    {"unembed", SCOPE_FINAL, SITE_UNEMBED_IN, SITE_UNEMBED_OUT, SITE_UNEMBED_OUT, PROPERTY_HEAD},
};
enum { MODULE_COUNT = sizeof modules / sizeof *modules };

/* A site of the table in a model: copies are what they copy, and a product that nothing normalizes
 * is what is added. */
static enum site_id site_here(const struct config *cfg, enum site_id id)
{
    return id == SITE_ATTN_LINEAR                                   ? site_attn_made(cfg)
           : id == SITE_MLP_LINEAR                                  ? site_mlp_made(cfg)
           : id == SITE_LN2_OUT && cfg->norm_place == NORM_RESIDUAL ? SITE_NORMALIZED_RESID_POST
                                                                    : site_origin(cfg, id);
}

static struct module module_of(const struct config *cfg, int32_t i)
{
    struct module m = modules[i];
    m.in = site_here(cfg, m.out == SITE_LN1_OUT   ? site_ln1_input(cfg)
                          : m.out == SITE_LN2_OUT ? site_ln2_input(cfg)
                                                  : m.in);
    m.first = m.first == SITE_UNEMBED_OUT && config_has(cfg, PROPERTY_PROJECTED)
                  ? SITE_PROJECT_OUT
                  : site_here(cfg, m.first);
    m.out = site_here(cfg, m.out);
    return m;
}

/* A module by its path in Hugging Face or nnsight: the one that takes its input and gives its
 * output. */
static bool find_path(const struct config *cfg, const char *name, struct run_module *out)
{
    char path[LIMIT_NAME];
    struct alias_value in, give;
    bool fits = snprintf(path, sizeof path, "%s.input", name) < (int)sizeof path &&
                !alias_find(cfg, path, &in, NULL) && in.n_sites == 1;
    snprintf(path, sizeof path, "%.*s.output", LIMIT_NAME - 16, name);
    if (!fits ||
        ((alias_find(cfg, path, &give, NULL) || !give.n_edits) &&
         (snprintf(path, sizeof path, "%.*s.output[0]", LIMIT_NAME - 16, name) < 0 ||
          alias_find(cfg, path, &give, NULL))) ||
        give.n_sites != 1)
        return false;
    enum site_id from = site_origin(cfg, in.site[0].id), to = give.site[0].id,
                 stream = site_stream(cfg, 0);
    int32_t layer = give.site[0].layer;
    if (from == SITE_RESID_PRE && to == stream) {
        *out = (struct run_module){layer, RUN_MODULE_WHOLE};
        return true;
    }
    if (from == stream && to == SITE_UNEMBED_IN) {
        *out = (struct run_module){SITE_ROOT, RUN_MODULE_WHOLE};
        return true;
    }
    for (int i = 0; i < MODULE_COUNT; i++) {
        struct module m = module_of(cfg, i);
        if (config_has(cfg, m.when) && m.in == from && m.out == to) {
            *out = (struct run_module){layer, i};
            return true;
        }
    }
    return false;
}

int run_module_find(const struct config *cfg, const char *name, struct run_module *out,
                    struct err *e)
{
    const char *rest = name;
    char *end;
    struct run_module m = {SITE_ROOT, RUN_MODULE_WHOLE};
    if (!strncmp(name, "blocks.", 7) && name[7] >= '0' && name[7] <= '9') {
        long layer = strtol(name + 7, &end, 10);
        if (layer >= cfg->n_layers)
            return err_set(e, ERR_BAD_INPUT, "no module \"%.100s\" · this model has layers 0..%d",
                           name, cfg->n_layers - 1);
        m.layer = (int32_t)layer;
        rest = *end == '.' ? end + 1 : end;
    }
    bool known = (m.layer != SITE_ROOT && !*rest) ||
                 (!strcmp(name, "ln_final") && config_has(cfg, PROPERTY_FINAL_NORM));
    for (int i = 0; !known && i < MODULE_COUNT; i++)
        if (config_has(cfg, modules[i].when) && !strcmp(rest, modules[i].name) &&
            (modules[i].scope == SCOPE_BLOCK) == (m.layer != SITE_ROOT))
            m.index = i, known = true;
    if (!known && !find_path(cfg, name, &m))
        return err_set(
            e, ERR_BAD_INPUT,
            "no module \"%.100s\" that can be called · blocks.L, of it .ln1, .attn, .attn.q, .k, .v, .o, .ln2, .mlp, "
            ".mlp.in, %s.act, .out, %sln_final, unembed, or Hugging Face's path of one",
            name, cfg->gated ? ".gate, " : "",
            config_has(cfg, PROPERTY_NORM_BOTH) ? ".ln1_post, .ln2_post, " : "");
    *out = m;
    return 0;
}

static struct site_ref module_out(const struct config *cfg, const struct run_module *m)
{
    enum site_id whole = m->layer == SITE_ROOT ? SITE_UNEMBED_IN : site_stream(cfg, m->layer);
    return (struct site_ref){m->index == RUN_MODULE_WHOLE ? whole : module_of(cfg, m->index).out,
                             m->layer};
}

int64_t run_module_width(const struct config *cfg, const struct run_module *m, bool out)
{
    return site_row_size(cfg,
                         out                            ? module_out(cfg, m).id
                         : m->index == RUN_MODULE_WHOLE ? SITE_RESID_PRE
                                                        : module_of(cfg, m->index).in,
                         1);
}

/* Some steps of one stage, all rows at once. */
static int steps_run(struct run *r, const struct run_module *m, const float *x, int32_t n, float *y,
                     struct err *e)
{
    int32_t count, first = -1, last = 0;
    struct module at = module_of(&r->m->cfg, m->index);
    enum site_id in = at.in, out = at.out;
    struct frame *f = &r->work;
    run_frame_start(f, plan_stage_of(r->m->plan, module_out(&r->m->cfg, m)), 0, n);
    const struct step *steps = plan_stage(r->m->plan, f->stage, &count);
    for (int32_t i = 0; i < count; i++) {
        if (steps[i].site == at.first && first < 0)
            first = i;
        if (steps[i].site == out)
            last = i + 1;
    }
    size_t floats = (size_t)n * (size_t)run_module_width(&r->m->cfg, m, false);
    int rc = run_set_capacity(r, n, e);
    r->n = n;
    if (!rc && !(rc = run_rope_place(r, e)) && !(rc = run_keep_stage(r, f->stage, e)))
        rc = run_reserve(stage_backend(r, f->stage), &f->site[in], (int64_t)floats, e);
    if (rc)
        return rc;
    struct kn_view given = kn_view1(f->site[in].mem, KN_F32, (int64_t)floats);
    if ((rc = run_write(r->m->be, &given, x, e)) || (rc = run_exec(r, f, first, last, out, e)))
        return rc;
    struct kn_view made = run_rows(r, f, f->stage, out, 0, n, n);
    return run_fetch(r->m->be, &made, y, e);
}

/* A block, or the final norm: a run that starts there. */
static int whole_run(struct run *r, const struct run_module *m, const float *x, int32_t n, float *y,
                     struct err *e)
{
    int32_t layer = m->layer == SITE_ROOT ? r->m->cfg.n_layers : m->layer;
    struct run_input in = {.n = n, .rows = x, .start = layer};
    run_stop(r, layer + 1);
    int rc = run_sync(r, in, NULL, NULL, NULL, e);
    return rc ? rc : run_read(r, module_out(&r->m->cfg, m), 0, n, y, NULL, e);
}

int run_module_call(const struct model *model, const struct run_module *m, const float *x,
                    int32_t n, float *y, struct err *e)
{
    if (n < 1 || n > LIMIT_TOKENS)
        return err_set(e, ERR_BAD_INPUT, "%d rows · a module takes 1..%d", n, LIMIT_TOKENS);
    struct run_options opt = {0};
    struct run *r = run_create(model, NULL, &opt, e);
    if (!r)
        return ERR_SYSTEM;
    int rc = m->index == RUN_MODULE_WHOLE ? whole_run(r, m, x, n, y, e)
                                          : steps_run(r, m, x, n, y, e);
    run_free(r);
    return rc;
}
