/* help.h - `?`: every command that `:` has, with its keys, searched by typing, run by Enter.
 *
 * What is done to the model first, moving last; what means nothing here is found by searching.
 * Tested in tests/tui/test_commands.c. */
#ifndef HELP_H
#define HELP_H

#include "app.h"

void help_draw(struct app *a, struct frame *f);
/* The command under the cursor of the list, malloc'ed; ":name " where it has arguments to type.
 * NULL: none. */
char *help_chosen(const struct app *a);
/* The row at a place of the screen is chosen; true: it was already, and may run. */
bool help_click(struct app *a, int x, int y);
unsigned help_run(struct app *a, const char *chosen);

#endif
