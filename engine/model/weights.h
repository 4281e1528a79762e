/* weights.h - finding an architecture's weights in a checkpoint and viewing them where they lie. */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "model/plan.h"
#include "model/checkpoint.h"

/* What is bound.  `view` is the caller's [weight_places], absent views at first; the rest begins as
 * 0. */
struct weights {
    struct kn_view *view;
    bool look;    /* shapes alone are wanted: nothing is copied */
    void **owned; /* copies of what the file holds in another order: malloc'ed, as is the list */
    int32_t n_owned;
    size_t copied; /* their bytes */
};

/* Fill the views, into the mapping wherever the file holds a weight as it is used.  Errors name
 * file, tensor, expected and found; what is owned then is still to be freed. */
int weights_bind(struct weights *out, const struct config *cfg, const struct checkpoint *st,
                 struct err *e);
/* Does this checkpoint, or without one such a family always, have the weights of experts in one
 * tensor for all of a layer? */
bool weights_merged(const struct config *cfg, const struct checkpoint *st);

#endif
