/* run_apply.h - one instruction on the values of its site or weight, as operations of a backend.
 *
 * v: f32 view in canonical axis order, strides free, of rows [row0, row0 + rows of v); what the
 * instruction selects outside it is left out.  noise(), whiten() and unwhiten() go through the
 * host.  Tested in tests/engine/test_edit_apply.c. */
#ifndef RUN_APPLY_H
#define RUN_APPLY_H

#include "edit/edit.h"
#include "run/run_device.h"

/* src: the replacement of the same rows (EDIT_FROM, EDIT_RESAMPLE, EDIT_FROZEN) or the mean over
 * the row axis (EDIT_MEAN, that axis has stride 0); not read for others (may be NULL).
 * `renormalize` needs all sources of a row in v. */
int run_apply(struct kn_backend *be, const struct edit_instr *instr, const struct kn_view *v,
              int32_t row0, const struct kn_view *src, struct err *e);

/* The backward passes of what it does beyond arithmetic: gradients after -> gradients before, in
 * place on g, of the same rows and shape as `value`.  Clamp: zero where `value`, the values before
 * the instruction, lies outside the bounds.  Renormalize: `value` holds the rows right before their
 * division. */
int run_clamp_back(struct kn_backend *be, const struct edit_instr *instr, const struct kn_view *g,
                   int32_t row0, const struct kn_view *value, struct err *e);
int run_renormalize_back(struct kn_backend *be, const struct edit_instr *instr,
                         const struct kn_view *g, int32_t row0, const struct kn_view *value,
                         struct err *e);

#endif
