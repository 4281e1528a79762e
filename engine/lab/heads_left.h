/* heads_left.h - how many heads a model has left where whole ones are cut out of it, as config.json
 * must say it.  Tested in tests/engine/test_checkpoint_prune.c. */
#ifndef HEADS_LEFT_H
#define HEADS_LEFT_H

#include "lab/prune.h"

struct heads_left {
    bool cut;      /* they can be: of each layer all that are gone as wholes */
    int32_t n, kv; /* left of each layer; unchanged where nothing is cut */
    char why[240]; /* why they cannot; "" where no head is gone */
};

/* One number of heads and one of key/value heads hold for all layers, every key/value head has as
 * many heads, and d_head stays: so what is left of each layer must be the same, of grouped heads
 * whole groups or as many of each group, and the family's config.json must have the size of a
 * head. */
void heads_left(struct heads_left *out, const struct config *cfg, const struct pruned *p);
/* Can whole heads be cut out of this family at all?  Else why. */
bool heads_can_go(const struct config *cfg, char why[240]);
/* Is head h of a layer gone as a whole; are all that read key/value head g? */
bool head_is_gone(const struct pruned *p, int32_t layer, int32_t h);
bool kv_head_is_gone(const struct config *cfg, const struct pruned *p, int32_t layer, int32_t g);

#endif
