/* attention_map.h - the large map of the attention view: one head's pattern with its axes.
 *
 * Three faces.  Rows: every destination that is drawn has a row of text and its label, and the map
 * scrolls; sources share the width.  Whole: all destinations, with labels at round positions.
 * Text: the prompt, each token shaded by what the cursor's destination takes from it.  The row and
 * the column of the cursor are always labelled.  Tested in tests/tui/test_attention.c. */
#ifndef ATTENTION_MAP_H
#define ATTENTION_MAP_H

#include "attention.h"

/* Bring scrolling and the positions that the mouse needs into what fits r. */
void attention_map_layout(struct app *a, struct rect r);
void attention_map_draw(struct app *a, struct frame *f, struct rect r, const struct attention *at);
/* Destination and source at a cell of the screen, -1 where there is none; false: nothing there. */
bool attention_map_at(const struct app *a, struct rect r, int x, int y, int32_t *dest,
                      int32_t *src);

#endif
