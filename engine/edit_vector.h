/* edit_vector.h - the constants that an edit brings along, dir() and file(); private to edit_resolve.c. */
#ifndef EDIT_VECTOR_H
#define EDIT_VECTOR_H

#include "edit_axis.h"

struct st_tensor;

/* Fill act->vec, vec_n, vec_stride for EDIT_DIR, EDIT_FILE and EDIT_PROJECT_OUT; the axes of the act are known.
 * Memory from the chunks.  Errors are one line: a token or tensor that is not there, a shape that does not fit. */
int edit_vector_resolve(struct edit_act *act, const struct edit *ed, const struct edit_context *ctx, struct edit_chunk **chunks,
                        struct err *e);

/* Element i of a tensor as f32; false for a type that cannot be read. */
bool edit_vector_element(const struct st_tensor *t, int64_t i, float *out);

#endif
