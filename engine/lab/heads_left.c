/* heads_left.c - see heads_left.h. */
#include "lab/heads_left.h"

#include <stddef.h>
#include <stdio.h>

#include "model/arch.h"

bool head_is_gone(const struct pruned *p, int32_t layer, int32_t h)
{
    const struct pruned_part *z = &p->part[PRUNE_DIMS];
    for (int32_t d = 0; d < z->group; d++)
        if (!z->gone[layer * z->n + h * z->group + d])
            return false;
    return z->group > 0;
}

/* Heads left that read a key/value head. */
static int32_t left_of(const struct config *cfg, const struct pruned *p, int32_t layer, int32_t g)
{
    int32_t each = cfg->n_heads / cfg->n_kv_heads, left = 0;
    for (int32_t h = g * each; h < (g + 1) * each; h++)
        left += !head_is_gone(p, layer, h);
    return left;
}

bool kv_head_is_gone(const struct config *cfg, const struct pruned *p, int32_t layer, int32_t g)
{
    return !left_of(cfg, p, layer, g);
}

static bool has_head_size(const struct arch *a)
{
    for (const struct arch_key *k = a->keys; k->names; k++)
        if (k->offset == offsetof(struct config, d_head))
            return true;
    return false;
}

/* What one layer has left; false: not the same of all its groups. */
static bool layer_left(const struct config *cfg, const struct pruned *p, int32_t layer,
                       struct heads_left *out)
{
    int32_t each = 0;
    *out = (struct heads_left){.n = 0};
    for (int32_t g = 0; g < cfg->n_kv_heads; g++) {
        int32_t left = left_of(cfg, p, layer, g);
        if (left && each && left != each)
            return false;
        each = left ? left : each;
        out->n += left, out->kv += left > 0;
    }
    return true;
}

/* " of 2 groups" where heads share keys. */
static const char *of_groups(const struct config *cfg, int32_t kv, char buf[40])
{
    snprintf(buf, 40, " of %d groups", (int)kv);
    return cfg->n_kv_heads < cfg->n_heads ? buf : "";
}

/* Counts of all layers into out; false: out->why says what is in the way. */
static bool layers_left(const struct config *cfg, const struct pruned *p, struct heads_left *out)
{
    struct heads_left here = {.n = 0};
    char kv[2][40];
    for (int32_t l = 0; l < cfg->n_layers; l++) {
        if (!p->part[PRUNE_DIMS].there[l])
            snprintf(out->why, sizeof out->why, "layer %d has none", (int)l);
        else if (!layer_left(cfg, p, l, &here))
            snprintf(out->why, sizeof out->why,
                     "%d heads share keys and values: of layer %d neither whole groups go nor as "
                     "many of each",
                     (int)(cfg->n_heads / cfg->n_kv_heads), (int)l);
        else if (l && (here.n != out->n || here.kv != out->kv))
            snprintf(out->why, sizeof out->why,
                     "layer 0 has %d left%s, layer %d %d%s, and config.json has one number for "
                     "all: --per-layer takes as many of each",
                     (int)out->n, of_groups(cfg, out->kv, kv[0]), (int)l, (int)here.n,
                     of_groups(cfg, here.kv, kv[1]));
        else if (!here.n)
            snprintf(out->why, sizeof out->why, "layer %d has none left", (int)l);
        if (out->why[0])
            return false;
        out->n = here.n, out->kv = here.kv;
    }
    return true;
}

bool heads_can_go(const struct config *cfg, char why[240])
{
    why[0] = '\0';
    if (!has_head_size(cfg->arch))
        snprintf(why, 240, "config.json of %s has no head_dim", cfg->arch->model_type);
    else if (cfg->qk_norm && cfg->qk_norm_joined)
        snprintf(why, 240, "queries and keys of all heads are normalized together");
    return !why[0];
}

void heads_left(struct heads_left *out, const struct config *cfg, const struct pruned *p)
{
    const struct arch *a = cfg->arch;
    bool any = false;
    *out = (struct heads_left){.n = cfg->n_heads, .kv = cfg->n_kv_heads};
    for (int32_t l = 0; p->part[PRUNE_DIMS].count && l < cfg->n_layers; l++)
        for (int32_t h = 0; h < cfg->n_heads; h++)
            any |= head_is_gone(p, l, h);
    if (!any)
        return;
    if (heads_can_go(cfg, out->why) && layers_left(cfg, p, out) && a->heads_divide &&
        cfg->d_model % out->n)
        snprintf(out->why, sizeof out->why,
                 "Hugging Face takes a %s of hidden size %d with a number of heads that divides "
                 "it, which %d does not",
                 a->model_type, (int)cfg->d_model, (int)out->n);
    out->cut = !out->why[0];
    if (!out->cut)
        out->n = cfg->n_heads, out->kv = cfg->n_kv_heads;
}
