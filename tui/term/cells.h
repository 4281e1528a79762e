/* cells.h - cells of a screen as the bytes that bring a terminal from one screen to the next.
 *
 * ECMA-48 as every terminal in use speaks it; what not all of them have is asked of terminfo first
 * (struct cells_can).  Colours and attributes are changed where text needs it: blanks are written
 * with whatever pen leaves them as they are to look at, and what did not change is stepped over
 * where that is shorter than writing it again.  Pure: no I/O, no terminfo.  Tested in
 * tests/tui/test_paint.c against a terminal emulator. */
#ifndef CELLS_H
#define CELLS_H

#include "canvas.h"
#include "shift.h"

/* An own attribute of cells below a picture: blanks, but others than those beside it. */
enum { CELLS_PICTURE = 128 };

struct cells_can {
    enum color_depth depth;
    int colors;            /* that are numbered */
    unsigned attrs;        /* CANVAS_* that it has, */
    unsigned attrs_plain;  /* and those of them that it has only where there are no colours */
    bool off;              /* attributes can be ended one by one */
    bool erase_characters; /* ECH */
    bool corner;           /* writing the last cell of all does not scroll */
    bool regions;          /* rows can be scrolled (DECSTBM), */
    bool margins;          /* and between two columns (DECSLRM) */
};

/* Bytes that turn `was` into `now`, [h][w] cells each, at the end of *out; was NULL: whatever there
 * is is erased first.  The cursor may be anywhere, the pen is the default one; where the cursor is
 * left is not said, the pen is the default one again. */
void cells_write(const struct cells_can *can, const struct canvas_cell *was,
                 const struct canvas_cell *now, int w, int h, struct bytes *out);
/* Bytes that move rows [lo, hi] of the first `width` columns (w: all) up by s->by, down if that
 * is negative; the same is done to `cells`, blank rows come in. */
void cells_scroll(const struct shift *s, int width, struct canvas_cell *cells, int w,
                  struct bytes *out);

#endif
