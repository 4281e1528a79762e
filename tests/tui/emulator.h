/* emulator.h - a terminal that is another program's (libvterm), sent the explorer's frames. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <vterm.h>

#include "term/paint.h"

struct emulator {
    VTerm *vt;
    VTermScreen *screen;
    struct paint *paint;
    struct cells_can can; /* what the painter takes it for */
    struct bytes sent;    /* by the last emulator_send */
    int w, h;
};

/* A blank terminal of 256 colours that can all that libvterm can, but no margins. */
void emulator_open(struct emulator *e, int w, int h);
/* Blank again, of this size; the next frame is written whole. */
void emulator_blank(struct emulator *e, int w, int h);
void emulator_close(struct emulator *e);
/* Sends a frame, its pictures as cells; the bytes that it took. */
int emulator_send(struct emulator *e, const struct frame *f);
VTermScreenCell emulator_cell(const struct emulator *e, int x, int y);
/* A colour as this terminal has it: its number, 0xrrggbb of a colour that is none of the numbered
 * ones, or -1 for the terminal's own. */
int emulator_color(VTermColor c);
/* The first cell of the frame within r that the terminal shows otherwise; false: there is none.
 * Dim is not compared, which libvterm does not have. */
bool emulator_differs(const struct emulator *e, const struct frame *f, struct rect r, int *x,
                      int *y);

#endif
