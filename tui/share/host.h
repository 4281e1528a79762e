/* host.h - a shared explorer from its loop's side: what the loop polls and serves, and what a guest
 * with the keyboard may do.  One thread.  Tested in tests/tui/test_share.c, tests/tui/test_guest.c
 * and tests/tui/test_room.c. */
#ifndef HOST_H
#define HOST_H

#include "share/share.h"

/* Draw who is there into the teacher's own screen. */
void host_draw(const struct app *a, struct frame *f);
/* The teacher typed while the keyboard was away: it comes back, and that is all that the key does.
 * What the guest had begun to type is gone. */
bool host_takes_back(struct app *a);
/* share_serve, and the same when the guest gives it back or goes. */
bool host_serve(struct app *a, int64_t now_ms, void (*input)(void *to, const struct input *in),
                void *to);
/* app_timeout, as whoever has the keyboard. */
unsigned host_timeout(struct app *a);

/* What comes in now is typed by a guest, or no longer.  A guest looks and edits.  Files, leaving
 * and the room are the teacher's, and what is not known to be harmless: a command whose row of
 * actions.def does not say GUEST (app_command), an edit that names a file (edit_list.h), a task of
 * the worker that is not for guests (app_begin), and the history of lines are refused. */
void host_guest(struct app *a, bool guest);
/* May a guest run this command?  Says so if not. */
bool host_lets_guest(struct app *a, enum action_id id);

#endif
