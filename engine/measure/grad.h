/* grad.h - the gradient of a metric at any site: the block program walked backwards.
 *
 * Activation gradients only, one vector-Jacobian product per op (kernels/ops.def), one stage at a
 * time; forward values are kept ones or rematerialised, so memory is that of one stage.  A site is
 * one tensor: its gradient is the sum over its uses (ln1 feeds q, k and v).  Values that an edit
 * replaced pass no gradient back; means and values from other runs count as constants.  Edits of
 * gradients (edit_program.back) and backward callbacks act on a site's complete gradient, in this
 * order, before it is handed out and flows on. Tested in tests/engine/test_grad.c against PyTorch
 * through TransformerLens, in test_grad_wide.c against differences in double precision. */
#ifndef GRAD_H
#define GRAD_H

#include "measure/metric.h"

/* Rows [row0, row1) of d metric / d site, as a canonical view (attention: sources 0..n-1).  The
 * view may be changed: what it then holds is what flows on towards the embedding (a backward hook).
 * Sites come from the output towards the input, rows in blocks of falling positions.  Return 0, or
 * a negative code to stop. */
typedef int grad_fn(void *user, struct site_ref s, int32_t row0, int32_t row1,
                    const struct kn_view *g, struct err *e);

/* Gradient of m on r (base: for kl) at each of sites[n_sites], given to fn.  hook_tokens has none:
 * refused; so are per-head inputs that an edit beside them hides. The run is not changed. */
int grad_run(struct run *r, struct run *base, const struct metric *m, const struct site_ref *sites,
             int32_t n_sites, grad_fn *fn, void *user, struct err *e);

#endif
