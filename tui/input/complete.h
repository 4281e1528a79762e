/* complete.h - what Tab offers while a command line or the pair is typed: commands, words, hooks,
 * tokens.
 *
 * The list is made anew after every change of the line.  Tested in tests/tui/test_play.c. */
#ifndef COMPLETE_H
#define COMPLETE_H

#include "app.h"

enum { COMPLETE_ROWS = 10 }; /* on show at most */

void complete_reset(struct app *a);
/* Fill app.complete for the word before the caret. */
void complete_find(struct app *a);
/* Put the next (step 1) or previous (-1) candidate into the line. */
void complete_step(struct app *a, int step);
/* Show others, so many lines further down. */
void complete_scroll(struct app *a, int lines);
/* Put the candidate that stands at (x, y) of the screen into the line. */
void complete_click(struct app *a, int x, int y);
/* One line about candidate `at` (or what is being typed) for above the list. */
void complete_help(const struct app *a, struct bytes *out);

#endif
