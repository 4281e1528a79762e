/* named_weight.h - weights under the names and in the shapes of TransformerLens, Hugging Face
 * (nnsight) and taker.
 *
 * "blocks.0.attn.W_Q" [head, d_model, d_head], "transformer.h.0.attn.c_attn.weight" [d_model,
 * qkv*head*d_head], "model.layers[0].self_attn.q_proj.weight", "layers.0.attn.W_Q" [head, d_head,
 * d_model] (taker).  Grouped models have TransformerLens' stored "_W_K", "_W_V", "_b_K", "_b_V" [kv
 * head, ...] and "W_K", ... repeated for every head, as the library's properties give them; "W_Q"
 * alone is the stack over layers.  Names and shapes follow from the config alone; values from the
 * weights as the model runs with them, processed or not.  Rows: named_weight.def, arch.h.  Tested
 * in tests/engine/test_named_weight.c, test_process.c. */
#ifndef NAMED_WEIGHT_H
#define NAMED_WEIGHT_H

#include "model/arch.h"
#include "names/alias.h"
#include "model/model.h"

enum { WEIGHT_RANK_MAX = 4, WEIGHT_RUNS_MAX = 2, WEIGHT_PARTS_MAX = ARCH_PARTS_MAX };

enum weight_over { RUN_N, RUN_K, RUN_GROUP, RUN_PART, RUN_LAYER, RUN_EXPERT, RUN_REPEAT };
/* An axis of the tensor as it is shown: up to two runs, the outer one first, over the weight's own
 * axes n and k, over groups of joined weights and over what a group has of each, over layers, over
 * experts, or over nothing (a repetition). */
struct weight_axis {
    int n;
    struct {
        int64_t size, step;
        enum weight_over over;
    } run[WEIGHT_RUNS_MAX];
};

struct named_weight {
    char name[LIMIT_NAME];
    enum alias_library library; /* whose name and shape; never the bridge's */
    int32_t layer; /* its row (weight.h): a layer, or an expert of one; SITE_ROOT for root weights
                      and stacks */
    struct weight_form form; /* TransformerLens': as the model uses it; else as it is stored */
    int n_parts;
    enum weight_id part[WEIGHT_PARTS_MAX];
    int64_t part_first[WEIGHT_PARTS_MAX + 1]; /* of joined ones: where each begins in a group */
    int rank;
    int64_t first_n; /* rows n of the weight before the first that is shown */
    int64_t shape[WEIGHT_RANK_MAX];
    const char *dims[WEIGHT_RANK_MAX]; /* "head", "d_model", "head*d_head", "layer", ... */
    struct weight_axis axis[WEIGHT_RANK_MAX];
};

/* All names of a library (LENS, HF, NNSIGHT or TAKER) in the model's order, stacks not among them;
 * out is malloc'ed.  How many, or negative. */
int named_weight_list(const struct model *m, enum alias_library t, struct named_weight **out,
                      struct err *e);
/* A name of any library.  Unknown: the reason or the nearest name in *e. */
int named_weight_find(const struct model *m, const char *name, struct named_weight *out,
                      struct err *e);
/* A name or pattern as it is without the .weight or .bias of TransformerLens' modules. */
void named_weight_plain(const char *text, char buf[LIMIT_PATTERN]);
int64_t named_weight_size(const struct named_weight *w);

/* Values as f32, row-major; dst has room for all. */
void named_weight_read(const struct model *m, const struct named_weight *w, float *dst);
/* Those at index[i][0..n[i]) of every axis (NULL: all of it). */
void named_weight_cut(const struct model *m, const struct named_weight *w,
                      const int32_t *const index[WEIGHT_RANK_MAX], const int64_t n[WEIGHT_RANK_MAX],
                      float *dst);

#endif
