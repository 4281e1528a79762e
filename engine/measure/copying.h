/* copying.h - does a head write the token that it reads?  The eigenvalues of its full OV circuit
 * W_E OV W_U (Elhage et al. 2021), of the weights as the model runs with them.
 * Any thread that owns the backend.  Tested in tests/engine/test_heads.c, test_library_weights.c.
 */
#ifndef COPYING_H
#define COPYING_H

#include "measure/circuit.h"

/* One head.  tokens: circuit_tokens' matrix.  values[d_head][2] (may be NULL): real and imaginary
 * parts by falling magnitude.  *score: the sum of the real parts over that of the magnitudes, 1 for
 * a head that copies, -1 for one that suppresses what it reads. */
int copying_head(const struct model *m, const double *tokens, int32_t layer, int32_t head,
                 double (*values)[2], double *score, struct err *e);
/* Of all heads: out[n_layers][n_heads].  Costs one product of d_model x d_vocab x d_model. */
int copying_scores(const struct model *m, float *out, struct err *e);

#endif
