/* circuit.h - what heads do by their weights alone: QK and OV products in factors, composition
 * scores, directions read as tokens.
 *
 * Names and formulas are TransformerLens 3.5.1's (HookedTransformer.QK, OV, all_composition_scores;
 * utilities/matrix.py), of the weights as the model runs with them: processing counts.  Rotary
 * positions and score scaling are no part of W_Q W_K^T, there and here. Any thread that owns the
 * backend.  Tested in tests/engine/test_circuit.c. */
#ifndef CIRCUIT_H
#define CIRCUIT_H

#include "measure/lens.h"

enum circuit_kind { CIRCUIT_QK, CIRCUIT_OV };

/* The factors of one head's product A B^T, [d_model, d_head] each, row-major: QK = W_Q W_K^T, OV =
 * W_V W_O.  Keys and values of grouped heads belong to several heads. */
int circuit_head(const struct model *m, enum circuit_kind kind, int32_t layer, int32_t head,
                 double *a, double *b, struct err *e);

/* W_U W_E as [d_model, d_model]: the full OV circuit W_E OV W_U has the eigenvalues of W_O (W_U
 * W_E) W_V. */
int circuit_tokens(const struct model *m, double *out, struct err *e);
/* B^T turned by circuit_tokens' matrix: with it in b's place factored_eigenvalues gives those of
 * the full circuit.  b is [d_model, d_head]. */
void circuit_through_tokens(const double *tokens, const double *b, int64_t d_model, int64_t d_head,
                            double *out);

enum composition { COMPOSITION_Q, COMPOSITION_K, COMPOSITION_V, COMPOSITION_COUNT };
/* all_composition_scores: out[layer1][head1][layer2][head2] = |OV1 X2| / (|OV1| |X2|) with X = QK,
 * QK^T, OV in Frobenius norms; 0 unless layer1 < layer2.  Memory: the factors of all layers in f32.
 */
int circuit_composition(const struct model *m, enum composition kind, float *out, struct err *e);

/* Directions [n, d_model] as tokens: top[n * k] by falling value of W_U^T x (side 0: what the
 * direction says) or of W_E x (side 1: which embeddings lie along it), bottom[n * k] by rising; no
 * norm, no bias.  k 1..LENS_TOP_MAX. */
enum circuit_side { CIRCUIT_UNEMBED, CIRCUIT_EMBED };
int circuit_read(const struct model *m, enum circuit_side side, const float *x, int64_t n,
                 int32_t k, struct lens_top *top, struct lens_top *bottom, struct err *e);
/* What directions say, beside other figures that one of them must not spoil: one that is not finite
 * is zeroed in x, and has the first k tokens, with logit NaN. */
int circuit_says(const struct model *m, float *x, int64_t n, int32_t k, struct lens_top *top,
                 struct lens_top *bottom, struct err *e);

#endif
