/* process.h - TransformerLens' weight processing: what HookedTransformer.from_pretrained does to a
 * checkpoint.
 *
 * The default of this program is the raw checkpoint.  Processing leaves predictions as they are
 * (logits shift by a constant) but changes activations and therefore what an ablation means, so it
 * is always shown. Source of the formulas: TransformerLens 3.5.1, weight_processing.py.  Sums are
 * double, results f32: a processed model holds its own f32 copy of the weights. Tested in
 * tests/engine/test_process.c against the library's weights and activations. */
#ifndef PROCESS_H
#define PROCESS_H

#include "model/model.h"

enum process_flag {
    PROCESS_FOLD_LN = 1,
    PROCESS_CENTER_WRITING = 2, /* LayerNorm models only, as in the library */
    PROCESS_CENTER_UNEMBED = 4,
    PROCESS_FOLD_VALUE_BIASES = 8,
    PROCESS_REFACTOR = 16, /* needs learned positions: the library asserts that too */
    PROCESS_USUAL = 15     /* from_pretrained's defaults */
};

/* "none", "usual" or a comma-separated list of fold_ln, center_writing_weights, center_unembed,
 * fold_value_biases, refactor_factored_attn_matrices. */
int process_parse(const char *text, unsigned *flags, struct err *e);
enum { PROCESS_TEXT_MAX = 128 };
/* "raw", "usual" or the list; returns buf. */
const char *process_text(unsigned flags, char *buf, size_t size);
/* Which of the steps the library leaves out of such a model, and why; NULL: none. */
const char *process_left_out(const struct config *cfg, unsigned flags);
/* Process a freshly opened model in place, before any run uses it; without steps that are left out.
 */
int process_model(struct model *m, unsigned flags, struct err *e);
/* Its last step; weights are already f32 copies. */
int process_refactor(struct model *m, struct err *e);

#endif
