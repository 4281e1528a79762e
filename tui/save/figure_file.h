/* figure_file.h - the numbers behind a view as a file: all that it asked for and has, in both
 * faces.
 *
 * One row for each number: hook, position, its token, what it is, its place within the position,
 * and its value in the base and in the edited run.  Tested in tests/tui/test_write.c. */
#ifndef FIGURE_FILE_H
#define FIGURE_FILE_H

#include "app.h"

/* 0, or negative with *e where the view has no numbers (yet). */
int figure_tsv(const struct app *a, struct bytes *out, struct err *e);
int figure_json(const struct app *a, struct bytes *out, struct err *e);
/* Values and norms of whole rows as arrays, NAME and NAME.edited, into path (.npz). */
int figure_npz(const struct app *a, const char *path, struct err *e);

#endif
