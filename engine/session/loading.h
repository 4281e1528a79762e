/* loading.h - weights on their way to a device, a stage at a time: session-internal.
 *
 * What every column of the lens needs comes first, the embedding and the unembedding, then the
 * layers in their order, so that those that are there can be looked at while others follow.  Where
 * one stops (a newer request, a failure) the next call goes on.  Tested in
 * tests/engine/test_session_load.c. */
#ifndef LOADING_H
#define LOADING_H

#include "model/model.h"

struct loading {
    int32_t done, all; /* stages; 0 and 0 when nothing is left */
};

/* Is there a stage whose weights are not where it computes?  Tells l->done and l->all. */
bool loading_left(struct loading *l, const struct model *m);
/* The next one; cancel is looked at before each weight. */
int loading_step(struct loading *l, const struct model *m, const atomic_bool *cancel,
                 struct err *e);
/* Layers that can compute: those before the first whose weights are missing. */
int32_t loading_layers(const struct loading *l, const struct model *m);

#endif
