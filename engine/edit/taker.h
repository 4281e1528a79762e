/* taker.h - taker's hook-config text and hook parameters -> edits.
 *
 *     pre_decoder: collect
 *     attn_pre_out: offset, mask, collect, unoffset
 *     mlp_pre_out: 3: replace
 *
 * A line is `POINT: HOOK, HOOK ...`, for all layers, or `POINT: LAYER: HOOK, ...`.  At one point of
 * one layer the hooks for all layers come first, then its own, each in the order of the text.
 * (taker 1.2.3 lets the hooks of one layer slip into later ones where there are hooks for all; that
 * is not repeated here.) Parameters are tensors of a safetensors file called
 * KIND.layer_L_POINT.KEY: KEY as in the state_dict of taker's hook modules.  A hook without
 * parameters there does nothing, as in taker; parameters without their hook are an error.
 * __metadata__ may say mask_fn: step (default), sigmoid, tanh or relu. Knows no runs.  For users:
 * docs/taker.md.  Tested in tests/engine/test_taker.c against taker, and tests/fuzz/fuzz_taker.c.
 */
#ifndef TAKER_H
#define TAKER_H

#include "model/config.h"
#include "base/limit.h"

struct taker_collect {
    char name[LIMIT_NAME]; /* "layer_3_mlp_pre_out" */
    int32_t edits;         /* how many of the edits come before it */
};

struct taker_hooks {
    char **edit; /* [n_edits], in the edit language (edit.h) */
    int32_t n_edits;
    struct taker_collect *collect;
    int32_t n_collects;
};

/* Parse the text and look up its parameters; `params` = path of the file, NULL = there are none.
 * Edits stand in the order in which a forward pass comes to them.  *out is freed with taker_free;
 * untouched on failure: one line that names the line of the text, the hook or the tensor. */
int taker_parse(struct taker_hooks *out, const struct config *cfg, const char *text, size_t len,
                const char *params, struct err *e);
/* The same; `config` is a file, or the text itself if it holds a colon. */
int taker_load(struct taker_hooks *out, const struct config *cfg, const char *config,
               const char *params, struct err *e);
void taker_free(struct taker_hooks *t);

#endif
