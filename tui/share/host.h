/* host.h - a shared explorer from its loop's side: what the loop polls and serves, and what a guest
 * with the keyboard may do.  One thread.  Tested in tests/tui/test_share.c and
 * tests/tui/test_room.c. */
#ifndef HOST_H
#define HOST_H

#include "share/share.h"

/* Draw who is there into the teacher's own screen. */
void host_draw(const struct app *a, struct frame *f);
/* The teacher typed while the keyboard was away: it comes back, and that is all that the key does.
 */
bool host_takes_back(struct app *a);
/* May a guest run this command?  Only what looks and edits: nothing that reads or writes files,
 * leaves, or speaks for the room.  Says so if not. */
bool host_lets_guest(struct app *a, enum action_id id, const char *args);

#endif
