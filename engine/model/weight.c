/* weight.c - the table of weights (see weight.h).  Tested in tests/engine/test_named_weight.c. */
#include "model/weight.h"

const struct weight_info weight_table[WEIGHT_COUNT] = {
    [W_NONE] = {.name = ""},
#define WEIGHT(id, name, scope, n, k, when) \
    [id] = {name, SCOPE_##scope, DIM_##n, DIM_##k, PROPERTY_##when},
#include "model/weight.def"
};

bool weight_is_root(enum weight_id w)
{
    return weight_table[w].scope != SCOPE_BLOCK;
}

bool weight_is_norm(enum weight_id w)
{
    return w == W_LN1 || w == W_LN1_POST || w == W_LN2 || w == W_LN2_POST || w == W_LNF ||
           w == W_QN || w == W_KN || w == W_QN_ALL || w == W_KN_ALL;
}

struct weight_form weight_form(const struct config *cfg, enum weight_id w)
{
    return (struct weight_form){.factor = w == W_E && cfg->embed_scale > 0 ? (float)cfg->embed_scale
                                                                           : 1,
                                .offset = weight_is_norm(w) ? (float)cfg->norm_offset : 0};
}

enum { EXPERT_WEIGHTS = B_EXPERT_OUT + 1 - W_EXPERT_GATE };

bool weight_is_expert(enum weight_id w)
{
    return w >= W_EXPERT_GATE && w <= B_EXPERT_OUT;
}

int32_t weight_row(const struct config *cfg, int32_t layer, int32_t expert)
{
    return expert < 0 ? layer : cfg->n_layers + 1 + layer * cfg->n_experts + expert;
}

int32_t weight_row_layer(const struct config *cfg, int32_t row)
{
    return row <= cfg->n_layers ? row : (row - cfg->n_layers - 1) / cfg->n_experts;
}

int32_t weight_row_expert(const struct config *cfg, int32_t row)
{
    return row <= cfg->n_layers ? -1 : (row - cfg->n_layers - 1) % cfg->n_experts;
}

size_t weight_place(const struct config *cfg, int32_t row, enum weight_id w)
{
    size_t layers = ((size_t)cfg->n_layers + 1) * WEIGHT_COUNT;
    if (row <= cfg->n_layers)
        return (size_t)(weight_is_root(w) ? cfg->n_layers : row) * WEIGHT_COUNT + w;
    return layers + (size_t)(row - cfg->n_layers - 1) * EXPERT_WEIGHTS + (w - W_EXPERT_GATE);
}

size_t weight_places(const struct config *cfg)
{
    return ((size_t)cfg->n_layers + 1) * WEIGHT_COUNT +
           (size_t)cfg->n_layers * (size_t)cfg->n_experts * EXPERT_WEIGHTS;
}

int64_t weight_n(const struct config *cfg, enum weight_id w)
{
    return site_dim_size(cfg, weight_table[w].n, 0);
}

int64_t weight_k(const struct config *cfg, enum weight_id w)
{
    return site_dim_size(cfg, weight_table[w].k, 0);
}
