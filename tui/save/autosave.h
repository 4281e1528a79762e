/* autosave.h - a thread that writes the newest text to a file: beside its place, synced, renamed.
 *
 * Whoever gives it a text never waits.  What is killed leaves the old file or the new one.  Tested
 * in tests/tui/test_sessions.c. */
#ifndef AUTOSAVE_H
#define AUTOSAVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct autosave;

/* NULL when out of memory or threads. */
struct autosave *autosave_open(const char *path);
/* Write this text (copied), unless a newer one comes first. */
void autosave_put(struct autosave *s, const char *text, size_t len);
/* A failure that was not told yet; false: none. */
bool autosave_failed(struct autosave *s, struct err *e);
/* Write what is left, end, free.  Negative: the last text could not be written.  NULL: nothing. */
int autosave_close(struct autosave *s, struct err *e);

#endif
