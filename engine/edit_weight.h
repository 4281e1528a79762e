/* edit_weight.h - which weights an edit means, and where their elements lie; private to edit_resolve.c. */
#ifndef EDIT_WEIGHT_H
#define EDIT_WEIGHT_H

#include "edit_axis.h"

/* Does a pattern mean weights?  It does when the part after the last dot is one of W_Q, _W_K, b_in, w, b, ..., perhaps with wildcards
 * after its first letters, "blocks.*.attn.W_[QK]", or `weight` or `bias` as in Hugging Face's names.  Hooks begin "hook_". */
bool edit_is_weight(const char *pattern);

/* The weights that a name of any library, or a pattern over the names of one, means, in the model's order; *out is malloc'ed;
 * how many (at least one), or negative with one line that names the nearest. */
int edit_weight_select(const struct edit_context *ctx, const char *pattern, struct edit_weight **out, struct err *e);

/* The edit on one of them; `w` is copied.  Errors: a value that makes no sense for weights, an index that does not fit, a part of the heads that
 * share one stored head. */
int edit_weight_act(struct edit_act *out, const struct edit *ed, int32_t edit, const struct edit_weight *w, const struct edit_context *ctx,
                    struct edit_chunk **chunks, struct err *e);

#endif
