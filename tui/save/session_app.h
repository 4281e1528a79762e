/* session_app.h - sessions of the explorer: what is open as lines of a file, and back.
 *
 * Files that a session names (itself, reference sets, images) are read on the worker.  Tested in
 * tests/tui/test_sessions.c. */
#ifndef SESSION_APP_H
#define SESSION_APP_H

#include "app.h"
#include "save/saved.h"

/* All of it as a file; failed in *out when memory is out. */
void session_text(const struct app *a, struct bytes *out);
/* The prompts, pair and edits of now as the named state of a->states. */
void session_keep(struct app *a, const char *state);
/* Become what `s`, which is taken over, says: a session, or a state of it (NULL: the session).
 * Lines that do not fit are left out; the notice names them.  Done when the worker has read the
 * files, with the message `done`. */
void session_become(struct app *a, struct saved *s, const char *state, const char *done);
/* The same from a file.  `name` is what `save` writes over from then on: once it is open, and all
 * of it; where lines did not fit nothing is written over. */
void session_open_file(struct app *a, const char *path, const char *name);
/* The same before the interface runs, all of it at once; what reading warned of is told too.  name:
 * NULL where it was saved under none. */
void session_become_now(struct app *a, struct saved *s, const struct bytes *warnings,
                        const char *name);

#endif
