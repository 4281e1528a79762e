/* keybar.h - the last row: keys that mean something here, each with a word for what it does.
 * Pure but for the canvas.  Tested in tests/tui/test_mouse.c. */
#ifndef KEYBAR_H
#define KEYBAR_H

#include "app.h"

void keybar_draw(const struct app *a, struct canvas *c, struct rect r);
/* The command whose key or word stands at column x of a bar w wide; NULL: none.  Static. */
const char *keybar_at(const struct app *a, int w, int x);

#endif
