/* terminal.h - a program on a pseudo-terminal, and a small terminal that remembers what it was
 * told. */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

struct pty {
    int master, slave; /* the slave stays open: settings are looked at after the program is gone */
    pid_t pid;
    struct termios before;
    bool alternate, hidden, mouse, drag, paste; /* what the screen was told last */
    bool job;     /* run it as a shell would: in a process group of its own, so that it can stop */
    bool answers; /* replies to questions, as an xterm with sixel would */
    size_t total; /* bytes that came */
    size_t raw; /* bytes outside escape sequences that no terminal should get: C0 but CR LF BS, C1,
                   DEL */
    char tail[1 << 16]; /* the last bytes */
    size_t n_tail;
    char seq[256]; /* of the sequence being read */
    size_t n_seq;
    int state, answered;
};

void pty_open(struct pty *p, int w, int h, char *const argv[]);
/* Read for up to `ms`, or until nothing came for `quiet_ms`.  False: the line is closed or dead. */
void pty_read(struct pty *p, int ms, int quiet_ms);
void pty_type(struct pty *p, const char *bytes, size_t n);
void pty_resize(struct pty *p, int w, int h);
/* Have all of the screen sent again, by a window a pixel wider or narrower: of a change only what
 * differs is, and that may be parts of a word. */
void pty_repaint(struct pty *p);
/* Has the program ended (waits up to ms)?  Its wait status in *status. */
bool pty_ended(struct pty *p, int ms, int *status);
/* Settings as before, main screen, cursor shown, mouse and paste off. */
bool pty_is_restored(struct pty *p, char *why, size_t size);
void pty_close(struct pty *p);

#endif
