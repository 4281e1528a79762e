/* patch.h - the other prompt: how its positions pair with this one's, and its line on the screen.
 * Tested in tests/tui/test_commands.c. */
#ifndef PATCH_H
#define PATCH_H

#include "app.h"

#define PATCH_VERB " = from(other"

/* Pair the two prompts anew: one of them, or the way, is another. */
void patch_realign(struct app *a);
/* How from(other) is read that says no position: one of another length is paired, one of the same
 * is read as it stands. */
enum token_align patch_align(const struct app *a);
/* The line of the other prompt: how it is aligned, the pair of the cursor's row, tokens around. */
void patch_draw(const struct app *a, struct canvas *c, struct rect r);
/* "13 of 15 positions pair with its 17 by token" */
void patch_describe(const struct app *a, struct bytes *out);

#endif
