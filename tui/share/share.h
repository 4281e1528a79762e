/* share.h - the explorer's side of one room: watchers, what they see, and who has the keyboard.
 *
 * Nothing here waits: sockets do not block, a watcher's queue holds one screen at most and gets the
 * next when it is empty, and who takes nothing for SHARE_SLOW_MS, says nothing sensible, or says
 * too much, is dropped.  A watcher costs the teacher the drawing of a screen for each kind of
 * terminal among them (SHARE_KINDS_MAX), at most every SHARE_FRAME_MS.  One thread, the
 * interface's. Tested in tests/tui/test_share.c and tests/tui/test_room.c. */
#ifndef SHARE_H
#define SHARE_H

#include <poll.h>
#include <sys/types.h>

#include "app.h"
#include "share/wire.h"

enum {
    SHARE_WATCHERS_MAX = 16,
    SHARE_FDS_MAX = SHARE_WATCHERS_MAX + 1,
    SHARE_ALLOW_MAX = 32,
    SHARE_PIXEL_KINDS_MAX = 2, /* sizes of cells that pictures are drawn for */
    SHARE_KINDS_MAX = SHARE_PIXEL_KINDS_MAX +
                      6, /* without pixels: three depths of colour, ASCII or not */
    SHARE_FRAME_MS = 33,
    SHARE_HELLO_MS = 2000,
    SHARE_SLOW_MS = 3000,
    SHARE_MESSAGES_MAX = 400 /* of one watcher in a second */
};

struct share;
/* Open a room under `name`; users `allow` (names or numbers) are let in beside this one. */
int share_open(struct share **out, const char *name, const char *const *allow, int n_allow,
               struct err *e);
/* Tell the watchers, and leave nothing behind.  NULL is fine. */
void share_close(struct share *s);
/* How it is found, and who is in it: the teacher first, then the watchers; p[WIRE_PEOPLE_MAX]. */
const char *share_name(const struct share *s);
int share_people(const struct share *s, struct person *p);

/* Hand the keyboard to a watcher; false: there is no one of that name. */
bool share_give(struct share *s, const char *name);
/* Has one of them the keyboard?  Take it back; false: it was not away. */
bool share_take(struct share *s);
bool share_is_away(const struct share *s);

/* Descriptors to poll; how many. */
int share_fds(const struct share *s, struct pollfd p[SHARE_FDS_MAX]);
/* Milliseconds until share_serve should be called though nothing came; -1: never. */
int share_wait_ms(const struct share *s, int64_t now_ms);
/* Take in and send what can be without waiting.  `input` gets what the keyboard's owner types.
 * True: somebody came, went or moved: the screen is another one. */
bool share_serve(struct share *s, struct app *a, int64_t now_ms,
                 void (*input)(void *to, const struct input *in), void *to);
/* The teacher's screen has changed, on a terminal that can this: watchers get it in time. */
void share_changed(struct share *s, const struct frame_caps *teacher);

#endif
