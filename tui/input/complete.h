/* complete.h - what Tab offers while a command line or the pair is typed: commands, words, hooks,
 * tokens.
 *
 * The list is made anew after every change of the line.  Tested in tests/tui/test_play.c. */
#ifndef COMPLETE_H
#define COMPLETE_H

#include "app.h"

void complete_reset(struct app *a);
/* Fill app.complete for the word before the caret. */
void complete_find(struct app *a);
/* Put the next (step 1) or previous (-1) candidate into the line. */
void complete_step(struct app *a, int step);
/* One line about candidate `at` (or what is being typed) for above the list. */
void complete_help(const struct app *a, struct bytes *out);

#endif
