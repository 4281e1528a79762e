/* neurons.h - the neurons of a layer that are most active, and what each writes.
 * Runs on the thread that owns the runs.  Tested in tests/engine/test_heads.c. */
#ifndef NEURONS_H
#define NEURONS_H

#include "measure/lens.h"

enum { NEURON_TOKENS = 4 };

struct lens_neuron {
    int32_t neuron, row; /* row: where it is most active of those asked for */
    float value;         /* of mlp.hook_post there */
    /* Its direction, a row of W_out, as tokens: the highest and the lowest of W_U^T x, without norm
     * and bias.  id -1: the model has no unembedding. */
    struct lens_top says[NEURON_TOKENS], against[NEURON_TOKENS];
};

/* The k neurons of largest magnitude over rows [row0, row1), each once, by falling magnitude (NaN
 * first), equal ones by number: out[k].  k 1..min(LENS_TOP_MAX, d_mlp). */
int lens_neurons(struct run *r, int32_t layer, int32_t row0, int32_t row1, int32_t k,
                 struct lens_neuron *out, struct err *e);

#endif
