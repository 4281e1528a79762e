/* experts.h - where the routers of a mixture send tokens: cells and side panel of the grid's
 * quantity "experts".  Tested in tests/tui. */
#ifndef EXPERTS_H
#define EXPERTS_H

#include "draw.h"

/* The experts that a position of a layer goes to, [n_active], and their weights in the sum. */
struct experts {
    const float *index, *weight; /* NULL: not there yet */
    int32_t n;
};

/* Rows of what the router of the layer decides: hook_expert_indices, hook_router_scores, …. */
struct want experts_want(enum site_id id, int32_t layer, int32_t row0, int32_t row1);
struct experts experts_at(const struct app *a, const struct snapshot *s, enum face face,
                          int32_t layer, int32_t row);
/* The weight of an expert, 0 where the position does not go to it. */
float experts_weight(const struct experts *x, int32_t expert);
/* Half of the sum of all changes of weights: the share of the sum that goes elsewhere. */
float experts_moved(const struct experts *base, const struct experts *edited);
/* "37 5 120", or in fewer columns as many as are whole: "37 5…". */
const char *experts_text(const struct experts *x, int columns, char *buf, size_t size);
/* The expert under the cursor, the heaviest unless H and L chose another one; -1: none is known. */
int32_t experts_chosen(const struct app *a, int32_t layer);
/* The side panel: ask for it, draw it. */
void experts_side_want(const struct app *a, struct want_list *l);
void experts_side(struct app *a, struct frame *f, struct rect r);

#endif
