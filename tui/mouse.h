/* mouse.h - clicks, the wheel and dragging: what the pointer is on, as keys would reach it.
 * Tested in tests/tui/test_mouse.c. */
#ifndef MOUSE_H
#define MOUSE_H

#include "app.h"

/* One event of the mouse; what it asks of the driver (REACT_*). */
unsigned mouse_input(struct app *a, const struct input *in);

#endif
