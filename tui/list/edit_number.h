/* edit_number.h - the number in an edit's text, for `+` and `-` in the list of edits.
 * Tested in tests/tui/test_log.c. */
#ifndef EDIT_NUMBER_H
#define EDIT_NUMBER_H

#include "app.h"

/* Where the number behind the operator stands in a canonical text; begin == end: there is none, but
 * a word that may have one in front.  False: no operator. */
bool edit_number_find(const char *text, size_t *begin, size_t *end);
/* One step more (sign 1) or less (-1) in the edit under the cursor of the list. */
unsigned edit_nudge(struct app *a, double sign);
/* Switch all edits of a name: off if one is on. */
unsigned edit_toggle_group(struct app *a, const char *name);

#endif
