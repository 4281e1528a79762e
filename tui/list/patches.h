/* patches.h - the image of a model that takes images, beside numbers of its patches: both squares
 * of the side panel, the cursor's patch marked.  Tested in tests/tui (screens). */
#ifndef PATCHES_H
#define PATCHES_H

#include "app.h"

/* Cut their place off the top of a side panel; empty where there is no image, or no room. */
struct rect patches_cut(const struct app *a, struct rect *side);
/* Numbers value[n] of all positions on a scale; NULL: not there yet.  `name` stands above them. */
void patches_draw(const struct app *a, struct frame *f, struct rect r, const float *value,
                  struct scale scale, enum colormap map, const char *name);

#endif
