/* figure_file.h - the numbers behind a view (figure.h) as a file.
 *
 * One row for each number: hook, position, its token, what it is, its place within the position,
 * and its value in the base and in the edited run.  Tested in tests/tui/test_write.c. */
#ifndef FIGURE_FILE_H
#define FIGURE_FILE_H

#include "app.h"

/* 0, or negative with *e where the view has no numbers (yet). */
int figure_tsv(const struct app *a, struct bytes *out, struct err *e);
int figure_json(const struct app *a, struct bytes *out, struct err *e);
/* As arrays of f32, NAME and NAME.edited, into path (.npz): values and norms of whole rows in the
 * shape of their hook, other figures as HOOK.FIGURE in the order of the rows above, of several
 * positions [positions, ...]; of tokens their ids. */
int figure_npz(const struct app *a, const char *path, struct err *e);

#endif
