/* guard.h - whatever happens, the terminal comes back.
 *
 * Keeps what is needed to restore the terminal without allocation or locks: the termios of the
 * start, one prepared reset string, and an own non-blocking descriptor of the tty, so that a full
 * or dead line cannot hold the restoring code up.  Three ways lead to it:
 *   - guard_restore: the ordinary end, and before a message or a stop;
 *   - a handler for every fatal signal, on an alternate stack: restore, say which signal, die of
 * it;
 *   - a guardian process that waits on a pipe: after SIGKILL, or when the handler could not get
 * through a line that nobody reads, it goes on trying. One terminal at a time, main thread only.
 * Tested in tests/tui/test_pty.c. */
#ifndef GUARD_H
#define GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Start watching over the terminal behind fd (its settings now are those to come back to).  Forks:
 * call it before threads write to the terminal. */
int guard_open(int fd, struct err *e);
/* The bytes that undo everything the program switches on.  At most GUARD_RESET_MAX. */
enum { GUARD_RESET_MAX = 1024 };
void guard_set_reset(const char *bytes, size_t n);
/* From now on the terminal needs restoring (true), or it is as it was found (false). */
void guard_arm(bool armed);
/* Put the terminal back now: the rest of the output, settings and reset string, waiting up to 1 s
 * for a line that moves. */
void guard_restore(void);
/* A pipe that becomes readable after SIGWINCH, SIGCONT, SIGTSTP. */
int guard_signal_fd(void);
enum { GUARD_WINCH = 1, GUARD_CONT = 2, GUARD_TSTP = 4 };
unsigned guard_signals(void); /* which came since the last call; drains the pipe */
/* From now on, with or without a terminal, SIGBUS asks `repair` first, with the address that could
 * not be read: true = it can be now, go on.  It must be async-signal-safe. */
void guard_set_repair(bool (*repair)(const void *address));
/* Ordinary end: the guardian leaves, the handlers go. */
void guard_close(void);

#endif
