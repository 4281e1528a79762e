/* people.h - the cursors of those in the room, drawn into a screen; nothing is hidden by them.
 *
 * A cursor is the cell that it stands on, in a colour of its own and underlined (without colour in
 * reverse), with as much of the name beside it as there are blanks to write it on.  Pure.  Tested
 * in tests/tui/test_share.c. */
#ifndef PEOPLE_H
#define PEOPLE_H

#include "share/wire.h"

/* Draw the cursors of all but the one who looks. */
void people_draw(struct frame *f, const struct person *p, int n);
/* Their names in their colours, from the right end of row y leftwards; of the keyboard's owner in
 * brackets.  The columns taken. */
int people_list(struct canvas *c, int y, const struct person *p, int n, bool color);

#endif
