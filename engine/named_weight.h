/* named_weight.h - weights under TransformerLens' names and in its shapes: W_Q [head, d_model, d_head], W_in [d_model, d_mlp], ...
 *
 * "blocks.0.attn.W_Q", "embed.W_E", "unembed.b_U".  Grouped models have the stored "_W_K", "_W_V", "_b_K", "_b_V" [kv head, ...]
 * and "W_K", ... repeated for every head, as the library's properties give them.  Tested in tests/engine/test_process.c. */
#ifndef NAMED_WEIGHT_H
#define NAMED_WEIGHT_H

#include "model.h"

struct named_weight {
    enum weight_id id;
    int32_t layer;      /* SITE_ROOT for root weights */
    int32_t repeat;     /* heads per stored head: > 1 for the repeated form of grouped weights */
    int rank;
    int64_t shape[3];
    int64_t stride[3];  /* into the stored weight; the first axis counts stored heads */
};

/* Names of all weights of a model; out == NULL counts.  Returns how many. */
int32_t named_weight_list(const struct model *m, char (*out)[LIMIT_NAME], int32_t max);
int named_weight_find(const struct model *m, const char *name, struct named_weight *out, struct err *e);
/* Values as f32 in the library's shape; zeros for a bias that the model does not have.  dst has room for all. */
void named_weight_read(const struct model *m, const struct named_weight *w, float *dst);

#endif
