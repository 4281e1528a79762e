/* paint.h - a frame as bytes for a terminal; only cells that changed.
 *
 * What rows the terminal moves, what stands below pictures, what may wait.  Pure but for what it
 * remembers.  Tested in tests/tui/test_paint.c. */
#ifndef PAINT_H
#define PAINT_H

#include "cells.h"
#include "frame.h"

struct paint; /* what the terminal was last told */
struct paint *paint_new(void);
void paint_free(struct paint *p);
void paint_forget(struct paint *p); /* the screen is erased and every cell written next time */
/* The bytes of a frame, at the end of *out.  A panel that waits (frame.h) stays as it was, where it
 * was there and nothing lay over it. Cells of pictures that are shown as pixels are blank, and are
 * not written again while one is there. show[i]: picture i is shown as pixels. */
void paint_frame(struct paint *p, const struct frame *f, const bool *show,
                 const struct cells_can *can, struct bytes *out);

#endif
