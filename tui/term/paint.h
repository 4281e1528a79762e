/* paint.h - a canvas onto the ncurses screen; only cells that changed.
 *
 * Colours become pairs by depth: direct RGB, nearest of 256 or 16, or attributes alone.
 * Tested in tests/tui. */
#ifndef PAINT_H
#define PAINT_H

#include "frame.h"

struct paint; /* what ncurses was last told */
struct paint *paint_new(void);
void paint_free(struct paint *p);
void paint_forget(struct paint *p); /* every cell is written next time */
/* A panel that waits (frame.h) stays as it was, where it was there and nothing lay over it. Cells
 * of pictures that are shown as pixels become filler: blanks whose pattern is another in every row,
 * so that ncurses never scrolls look-alike rows.  show[i]: picture i is shown as pixels. */
void paint_frame(struct paint *p, const struct frame *f, const bool *show);

#endif
