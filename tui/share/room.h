/* room.h - where shared explorers are found: sockets in a private folder, and who may connect.
 *
 * The folder is $XDG_RUNTIME_DIR/borescope, else /tmp/borescope-UID, mode 0700 and the user's own;
 * a socket's name is the session's.  Where other users are let in by name, the socket lies in
 * /tmp/borescope-UID-shared, mode 0711, and the peer's user decides (SO_PEERCRED).  No file that
 * was not made here is touched but sockets that nobody answers any more.  No abstract sockets; both
 * ends know who the other is.  One thread.  Tested in
 * tests/tui/test_share_folder.c and tests/tui/test_share.c. */
#ifndef ROOM_H
#define ROOM_H

#include <sys/types.h>

#include "base/err.h"
#include "bytes.h"

enum { ROOM_PATH_MAX = 104, ROOM_NAME_MAX = 24 };

/* Listen under `name` (made a word; with -2, -3 ... behind it if somebody else has it), for others
 * too if `shared`.  The descriptor, non-blocking; path[] is to be given to room_leave. */
int room_listen(const char *name, bool shared, char path[ROOM_PATH_MAX], struct err *e);
void room_leave(int fd, const char *path);
/* The next who knocks: a descriptor, non-blocking, and its user; -1: nobody. */
int room_accept(int fd, uid_t *uid);

/* Connect to a session: its name, USER/NAME of another user who lets this one in, or the path of a
 * socket.  NULL: the only one there is.  shown[]: its name. */
int room_connect(const char *name, char shown[ROOM_PATH_MAX], struct err *e);
/* A user by name or number; ERR_BAD_INPUT if there is none. */
int room_user(const char *text, uid_t *uid, struct err *e);
/* What this user is called, as a word. */
void room_own_name(char name[ROOM_NAME_MAX + 1]);
/* `text` as a word: what can't stand in a name becomes '-'. */
void room_word(const char *text, char name[ROOM_NAME_MAX + 1]);

#endif
