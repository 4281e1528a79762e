/* Fuzz: any bytes as config.json; the shape and the plan of what is accepted stay within their
 * bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limit.h"
#include "model/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void refused(const struct config *cfg, const struct err *e)
{
    static const struct config untouched;
    if (e->code >= 0 || *e->text == '\0' || strchr(e->text, '\n') ||
        memcmp(cfg, &untouched, sizeof untouched) != 0)
        abort();
}

static void stage_sound(const struct plan *p, int32_t stage)
{
    bool block = stage >= 1 && stage <= p->cfg.n_layers;
    int32_t n;
    const struct step *steps = plan_stage(p, stage, &n);
    for (int32_t i = 0; i < n; i++) {
        int64_t shape[SITE_RANK_MAX];
        struct site_ref s = {steps[i].site, block ? stage - 1 : SITE_ROOT};
        if (!site_exists(&p->cfg, s.id) || site_shape(&p->cfg, s.id, 3, shape) < 1 ||
            plan_stage_of(p, s) != stage || !(plan_step_flops(p, &steps[i], 3) >= 0))
            abort();
    }
}

static void accepted(const struct config *cfg)
{
    bool sizes = cfg->n_layers >= 1 && cfg->n_layers <= LIMIT_LAYERS && cfg->n_heads >= 1 &&
                 cfg->n_kv_heads >= 1 && cfg->n_heads % cfg->n_kv_heads == 0 && cfg->d_model >= 1 &&
                 cfg->d_head >= 1 && cfg->d_mlp >= 1 && cfg->d_vocab >= 1 &&
                 cfg->d_vocab <= LIMIT_VOCAB && cfg->n_ctx >= 1 && cfg->n_ctx <= LIMIT_TOKENS;
    if (!sizes || !(cfg->norm_eps >= 0))
        abort();
    struct plan *p = plan_build(cfg);
    const int32_t stages[] = {0, 1, cfg->n_layers, cfg->n_layers + 1};
    for (size_t k = 0; p && k < sizeof stages / sizeof *stages; k++)
        stage_sound(p, stages[k]);
    plan_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config cfg;
    struct err e = {0};
    memset(&cfg, 0, sizeof cfg);
    if (config_parse(&cfg, (const char *)data, size, "config.json", &e))
        refused(&cfg, &e);
    else
        accepted(&cfg);
    return 0;
}
