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

int64_t weight_n(const struct config *cfg, enum weight_id w)
{
    return site_dim_size(cfg, weight_table[w].n, 0);
}

int64_t weight_k(const struct config *cfg, enum weight_id w)
{
    return site_dim_size(cfg, weight_table[w].k, 0);
}
