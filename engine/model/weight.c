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
           w == W_QN || w == W_KN;
}

struct weight_form weight_form(const struct config *cfg, enum weight_id w)
{
    return (struct weight_form){.factor = w == W_E && cfg->embed_scale ? (float)cfg->embed_scale
                                                                       : 1,
                                .offset = weight_is_norm(w) ? (float)cfg->norm_offset : 0};
}

int64_t weight_n(const struct config *cfg, enum weight_id w)
{
    return site_dim_size(cfg, weight_table[w].n, 0);
}

int64_t weight_k(const struct config *cfg, enum weight_id w)
{
    return site_dim_size(cfg, weight_table[w].k, 0);
}
