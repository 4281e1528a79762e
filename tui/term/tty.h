/* tty.h - the terminal: the only user of terminfo.
 *
 * Shows frames, reads bytes, asks the terminal what it can show without waiting for the answer, and
 * gives the terminal back as it was (guard.h).  One terminal, main thread only. Tested in
 * tests/tui/test_pty.c and, by eye, in xterm with sixel. */
#ifndef TTY_H
#define TTY_H

#include "base/err.h"
#include "frame.h"

struct tty_options {
    const char *graphics; /* "auto", "sixel", "kitty", "blocks", "none"; NULL = auto */
    const char *color;    /* "auto", "true", "256", "16", "none"; NULL = auto */
    bool mouse;
};

struct tty;
/* Both words known?  Else ERR_USAGE with the choices. */
int tty_check_options(const struct tty_options *o, struct err *e);
/* Is there a terminal that can be drawn on (stdout a tty, TERM known and not dumb)? */
bool tty_is_usable(void);
int tty_open(struct tty **out, const struct tty_options *o, struct err *e);
/* Waits up to 1 s for answers that are still on their way, so that none lands in the shell. */
void tty_close(struct tty *t);

int tty_fd(const struct tty *t); /* to poll and read */
void tty_size(const struct tty *t, int *w, int *h);
const struct frame_caps *tty_caps(const struct tty *t);
/* A reply (INPUT_REPLY).  True when the capabilities changed. */
bool tty_reply(struct tty *t, const char *text, size_t n);
void tty_draw(struct tty *t, const struct frame *f);
/* The next tty_draw repaints everything. */
void tty_repaint(struct tty *t);
/* After SIGWINCH: the new size, and asks for the cell size again. */
void tty_resized(struct tty *t);
/* Give the terminal back and stop the process; returns after it was continued. */
void tty_suspend(struct tty *t);
/* After a SIGCONT that did not come through tty_suspend. */
void tty_resume(struct tty *t);
/* Put text on the clipboard of the terminal (OSC 52).  False if it is too long. */
bool tty_copy(struct tty *t, const char *text, size_t n);

#endif
