/* watch.h - watching a shared explorer: its screen in this terminal, an own cursor, and the
 * keyboard when it is given.
 *
 * The teacher's screen keeps its size: of a smaller terminal the part around the cursor is seen.
 * Main thread; one terminal (tty.h).  Tested in tests/tui/test_room.c. */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>

#include "base/err.h"

struct watch_options {
    const char *room; /* room_connect; NULL = the only one */
    const char *name; /* what the others see; NULL = the user's */
    const char *graphics, *color;
    bool no_mouse;
};

/* Until the watcher leaves, or the session ends: why[200] says so then.  The terminal is as it was.
 */
int watch_main(const struct watch_options *o, char why[200], struct err *e);

#endif
