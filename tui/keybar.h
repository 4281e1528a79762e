/* keybar.h - the last row: keys that mean something here, each with a word for what it does.
 * Pure but for the canvas.  Tested in tests/tui/test_mouse.c and test_named_keys.c. */
#ifndef KEYBAR_H
#define KEYBAR_H

#include "app.h"

void keybar_draw(const struct app *a, struct canvas *c, struct rect r);
/* The command whose key or word stands at column x of a bar w wide; NULL: none.  Static. */
const char *keybar_at(const struct app *a, int w, int x);

/* The key that runs a command in the list of keys that is open or the view on show, else in a line
 * or another view, as the bar writes it ("x", "Tab"), in key; ":zero" where none does. */
enum { KEYBAR_KEY = KEYMAP_SEQ_MAX * KEYS_NAME_MAX };
const char *keybar_key(const struct app *a, const char *command, char key[KEYBAR_KEY]);

/* A text of ours with the key of each {COMMAND} in its place, "{zero} zeroes it".  Other braces
 * stay.  In `out`, which it returns. */
enum { KEYBAR_TEXT = 768 };
char *keybar_text(const struct app *a, const char *text, char out[KEYBAR_TEXT]);
/* The same of a format of printf, which it stays. */
char *keybar_format(const struct app *a, const char *format, char out[KEYBAR_TEXT]);
void keybar_put(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                struct canvas_style st, const char *text);
/* Such texts beside one another, dim: as many of the first ones as fit.  NULL: none. */
void keybar_items(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                  const char *const *items, int n);

#endif
