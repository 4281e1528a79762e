/* edit_reach.h - where edits act, whatever their indices and the prompt: for marks in lists.
 * Tested in tests/engine/test_edit_reach.c. */
#ifndef EDIT_REACH_H
#define EDIT_REACH_H

#include "edit/edit.h"

/* Edit `edit` of a list changes the value (of a name that ends in _grad: the gradient) at `site`,
 * or a weight that the step which writes it reads. */
struct edit_reach {
    struct site_ref site;
    int32_t expert; /* 1 + the expert whose slots alone it changes, 0: all */
    int32_t edit;
};

/* Is the edit one of weights? */
bool edit_of_weights(const struct edit *ed);
/* All pairs in the order of the list; *out is malloc'ed.  How many, or negative where a name means
 * nothing here.  The model may be open without its weights. */
int32_t edit_reach(struct edit *const *edits, int32_t n, const struct model *m,
                   struct edit_reach **out, struct err *e);

#endif
