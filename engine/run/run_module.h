/* run_module.h - calling one module on rows of any activation: no hooks, no edits.
 *
 * "blocks.L" (residual -> residual), "blocks.L.ln1" and ".ln2" (residual -> normed), ".attn" and
 * ".mlp" (normed -> contribution; ".ln1_post", ".ln2_post" where that is normalized), their
 * projections ".attn.q", ".k", ".v", ".o", ".mlp.in", ".gate", ".act", ".out", "ln_final" (residual
 * -> normed), "unembed" (normed -> logits); or the module's path in Hugging Face
 * ("model.layers.2.self_attn", "transformer.ln_f").  Heads are joined.  Rows are positions 0..n-1
 * of one prompt. Tested in tests/engine/test_library.c. */
#ifndef RUN_MODULE_H
#define RUN_MODULE_H

#include "run/run.h"

enum { RUN_MODULE_WHOLE = -1 };

struct run_module {
    int32_t layer; /* SITE_ROOT: ln_final, unembed */
    int32_t index; /* of run_module.c's table, or RUN_MODULE_WHOLE: a block, ln_final */
};

int run_module_find(const struct config *cfg, const char *name, struct run_module *out,
                    struct err *e);
/* Columns of what the module takes and gives. */
int64_t run_module_width(const struct config *cfg, const struct run_module *m, bool out);
/* x [n, width in] -> y [n, width out]. */
int run_module_call(const struct model *model, const struct run_module *m, const float *x,
                    int32_t n, float *y, struct err *e);

#endif
