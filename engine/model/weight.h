/* weight.h - the weights that models are made of: ids, axes, where they belong (weight.def).
 *
 * A weight is named by (enum weight_id, row), where rows 0..n_layers-1 are layers, row n_layers
 * holds the root weights, and each expert of each layer has a row of its own behind these.  Knows
 * nothing of files and values. */
#ifndef WEIGHT_H
#define WEIGHT_H

#include "model/site.h"

enum weight_id {
    W_NONE,
#define WEIGHT(id, name, scope, n, k, when) id,
#include "model/weight.def"
    WEIGHT_COUNT
};

struct weight_info {
    const char *name;
    enum site_scope scope;
    enum site_dim n, k;
    enum property when;
};

extern const struct weight_info weight_table[WEIGHT_COUNT]; /* W_NONE: an empty name */

/* One for the model, or one in each block? */
bool weight_is_root(enum weight_id w);
/* Of a norm: what is normalized is multiplied by it. */
bool weight_is_norm(enum weight_id w);
/* A weight as the model uses it, and TransformerLens shows it: stored * factor + offset. */
struct weight_form {
    float factor, offset;
};
struct weight_form weight_form(const struct config *cfg, enum weight_id w);
/* One for each expert of a layer? */
bool weight_is_expert(enum weight_id w);
/* The row of an expert of a layer; the layer and the expert of a row (of others itself and -1). */
int32_t weight_row(const struct config *cfg, int32_t layer, int32_t expert);
int32_t weight_row_layer(const struct config *cfg, int32_t row);
int32_t weight_row_expert(const struct config *cfg, int32_t row);
/* Where a table of all weights has one, of how many places. */
size_t weight_place(const struct config *cfg, int32_t row, enum weight_id w);
size_t weight_places(const struct config *cfg);
/* Elements that it gives, and that it reads (1 for a vector). */
int64_t weight_n(const struct config *cfg, enum weight_id w);
int64_t weight_k(const struct config *cfg, enum weight_id w);

#endif
