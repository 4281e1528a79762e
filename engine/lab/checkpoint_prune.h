/* checkpoint_prune.h - a model's checkpoint without the units that are gone: a folder that Hugging
 * Face and this program open.  Tested in tests/engine/test_checkpoint_prune.c. */
#ifndef CHECKPOINT_PRUNE_H
#define CHECKPOINT_PRUNE_H

#include "lab/prune.h"

/* What came of it. */
struct checkpoint_pruned {
    int64_t params; /* of the file */
    int64_t cut;    /* that are not there any more */
    int64_t zeroed; /* that are 0 now */
    char why[240];  /* of shrink: why whole heads were zeroed, not cut out; "" where none was */
};

/* Write model.safetensors (all tensors of the file as they are stored, those of what is gone
 * zeroed: rows of W_in and W_gate with their biases, columns of W_out; columns of W_O, and rows of
 * W_V where no other head reads them), config.json and what else lies beside it, into `folder`,
 * which is made or has no model yet.  What the model then computes is what it computes with zeros
 * at these units.  `shrink`: neurons are cut out, and whole heads where that can be said
 * (heads_left.h), and config.json says how many are left.
 *
 * ERR_BAD_INPUT where the weights do not lie in the file as they are used (GGUF, quantized,
 * processed), and of shrink where a layer loses more neurons than another, where the family's
 * config.json has no number of neurons, and where nothing can be cut out. */
int checkpoint_prune(const struct model *m, const struct pruned *p, bool shrink, const char *folder,
                     struct checkpoint_pruned *out, struct err *e);

/* What of shrink can be said before it is known which units go: ERR_BAD_INPUT where none of the
 * kinds that are asked for can be cut out of this family, and where layers may lose more than
 * others (per_layer: they cannot). */
int checkpoint_shrink_check(const struct model *m, bool neurons, bool heads, bool per_layer,
                            struct err *e);

/* Can `folder` take one?  It has no model yet.  To be asked before long work. */
int checkpoint_prune_check(const char *folder, struct err *e);

#endif
