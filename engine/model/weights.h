/* weights.h - finding an architecture's weights in a checkpoint and viewing them where they lie. */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "model/plan.h"
#include "model/checkpoint.h"

/* Fill weights[(n_layers + 1) * WEIGHT_COUNT] (row n_layers holds the root weights) with views into
 * the mapping; *dtype = the commonest stored type's name.  Errors name file, tensor, expected and
 * found. */
int weights_bind(struct kn_view *weights, const struct config *cfg, const struct checkpoint *st,
                 const char **dtype, struct err *e);

#endif
