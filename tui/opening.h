/* opening.h - the time before the model is there: its opening on a thread, a frame, and the keys.
 *
 * A tokenizer takes milliseconds to half a second, a device or a disk far away more, and some files
 * never end.  So the screen is there first, and whoever leaves waits for nothing.  Owns no terminal
 * and no clock.  Main thread only but for the work.  Tested in tests/tui/test_opening.c and
 * test_pty.c. */
#ifndef OPENING_H
#define OPENING_H

#include <pthread.h>

#include "app.h"

enum { OPENING_KEPT_MAX = 4096 };

/* What is done on the thread: 0, or negative with *e. */
typedef int opening_work(void *of, struct err *e);

struct opening {
    struct app app;     /* what the frame is drawn from: the key map and the size, no model */
    const char *name;   /* of the model */
    struct input *kept; /* [n_kept] what came meanwhile, its texts malloc'ed */
    size_t n_kept;
    uint32_t pending[KEYMAP_SEQ_MAX]; /* the last n_pending of them, the beginning of a command */
    int n_pending;
    opening_work *work;
    void *of;
    pthread_t thread;
    int fd[2]; /* [0] becomes readable when the work is done */
    int rc;    /* what it came to */
    struct err err;
};

/* Without a thread: what is drawn and what takes keys.  `keymap` is borrowed. */
void opening_init(struct opening *o, const char *name, struct keymap *keymap);
/* Begin the work. */
int opening_begin(struct opening *o, opening_work *work, void *of, struct err *e);
int opening_fd(const struct opening *o);
/* It is done: wait for its last steps; what it returned. */
int opening_end(struct opening *o, struct err *e);
/* A key or a paste: kept for when the model is there, but for leaving (REACT_QUIT), suspending,
 * redrawing; cancelling drops what was kept, or leaves.  What the mouse does is dropped: nothing is
 * there to point at. */
unsigned opening_input(struct opening *o, const struct input *in);
/* False when out of memory. */
bool opening_draw(struct opening *o, struct frame *f);
/* What was kept is the caller's to use until then. */
void opening_free(struct opening *o);

#endif
