/* status.h - the two rows above the views: model, numerics and what the last rerun cost; the views'
 * tabs and what is on show.  Tested in tests/tui/test_status.c. */
#ifndef STATUS_H
#define STATUS_H

#include "app.h"

/* Where there is no room for all of it, the first row leaves out what matters least first, and
 * never the cost of the last rerun nor the flag of a NaN. */
void status_draw(const struct app *a, struct canvas *c);
/* The same while the model of that name is being opened: a->m is NULL. */
void status_draw_opening(const struct app *a, const char *name, struct canvas *c);

#endif
