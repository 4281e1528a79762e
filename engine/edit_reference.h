/* edit_reference.h - what mean(REF) and resample(REF) refer to; private to edit_resolve.c. */
#ifndef EDIT_REFERENCE_H
#define EDIT_REFERENCE_H

#include "edit_axis.h"

/* Fill act->set (held by the program) and, for EDIT_RESAMPLE, act->source_prompt; the axes of the act are known.  Nothing for
 * other values.  Errors are one line: a set that is not there, a position that no prompt of it has. */
int edit_reference_resolve(struct edit_program *prog, struct edit_act *act, const struct edit *ed, const struct edit_context *ctx,
                           struct edit_chunk **chunks, struct err *e);
/* Let go of the sets. */
void edit_reference_free(struct edit_program *prog);

#endif
