/* keybar.h - the last row: keys that mean something here, each with a word for what it does.
 * Pure but for the canvas.  Tested in tests/tui/test_mouse.c. */
#ifndef KEYBAR_H
#define KEYBAR_H

#include "app.h"

void keybar_draw(const struct app *a, struct canvas *c, struct rect r);
/* The command whose key or word stands at column x of a bar w wide; NULL: none.  Static. */
const char *keybar_at(const struct app *a, int w, int x);

/* The key that runs a command in the view on show, as the bar writes it ("x", "Tab"), in key;
 * ":zero" where none does. */
enum { KEYBAR_KEY = KEYMAP_SEQ_MAX * KEYS_NAME_MAX };
const char *keybar_key(const struct app *a, const char *command, char key[KEYBAR_KEY]);

#endif
