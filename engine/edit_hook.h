/* edit_hook.h - taker's hooks as words of the edit language: rows(), mask(), offset() and unoffset(), postbias(), whiten() and
 * unwhiten().  Private to edit_resolve.c.
 *
 * A hook has one number for each selected element at a position (rows(): for each position of its own), which the file holds
 * in the hook's order, whatever the shape it was saved in. */
#ifndef EDIT_HOOK_H
#define EDIT_HOOK_H

#include "edit_axis.h"

enum { EDIT_HOOK_ACTS = 2 };

/* Is it one of these words? */
bool edit_hook_is(enum edit_value_kind v);
/* The acts that such an edit means on one site: *n of 0..EDIT_HOOK_ACTS from acts[0], whose site, axes and operator are
 * known; 1 and unchanged for other words.  None: rows() that belong to later positions than the prompt has.
 * Memory from the chunks.  Errors are one line: a tensor that is not there, a number of elements that does not fit. */
int edit_hook_resolve(struct edit_act acts[EDIT_HOOK_ACTS], int *n, const struct edit *ed, const struct edit_context *ctx,
                      struct edit_chunk **chunks, struct err *e);

#endif
