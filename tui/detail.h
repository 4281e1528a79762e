/* detail.h - one lens cell in full: its norms, the best tokens, the target through the layers.
 * Drawn in the side panel of the grid and, larger, as the lens view.  Tested in tests/tui. */
#ifndef DETAIL_H
#define DETAIL_H

#include "draw.h"

/* Ask for it, with k best tokens, and for its row through all columns. */
void detail_want(const struct app *a, struct want_list *l, int k);
/* Columns of best tokens that a panel w wide has: so many times more of them fit. */
int detail_columns(int w);
/* A lens cell of the application's target. */
struct want detail_cell(const struct app *a, int32_t column, int32_t row0, int32_t row1);
/* Place of the target among the logits, 0 the best; NaN where its logit is NaN. */
float detail_rank(const struct lens_cell *c);
/* What panels have in common: the name and the token of the cursor's position above, the edits
 * below, in a rectangle cut off the panel. */
void detail_head(const struct app *a, struct canvas *c, struct rect r, const char *name);
struct rect detail_cut_edits(const struct app *a, struct rect *r);
void detail_edits(const struct app *a, struct canvas *c, struct rect r);
/* The same in sentences (view.h). */
void detail_say(const struct app *a, struct bytes *b);
void detail_draw(struct app *a, struct frame *f, struct rect r);
/* "blocks.2.hook_resid_post[14]" */
void detail_name(const struct app *a, char buf[LIMIT_NAME + 24]);

#endif
