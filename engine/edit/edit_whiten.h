/* edit_whiten.h - whiten() and unwhiten(): a linear map of the elements at one position; private to
 * run_apply.c and grad.c.
 *
 *     whiten(x)   = scale * (R (x + offset))          unwhiten(x) = R' (x * unscale) - offset
 *
 * instr.vec holds offset [d], scale or unscale [d], R or R' [d, d] by rows, d = instr.width.
 * Products are summed in double, each position by itself. */
#ifndef EDIT_WHITEN_H
#define EDIT_WHITEN_H

#include "edit/edit.h"

/* Rows of a view as edit_noise_apply.  -1 when memory is out; then nothing changed. */
int edit_whiten_apply(const struct edit_instr *instr, const struct kn_view *v, int32_t row0);
/* Gradients after -> gradients before, in place. */
int edit_whiten_back(const struct edit_instr *instr, const struct kn_view *g, int32_t row0);

#endif
