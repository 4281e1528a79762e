/* about.h - what numbers over a set of texts are of: a line by which two sets of them can be told
 * to be made alike, so that they may be merged or gone on with. */
#ifndef ABOUT_H
#define ABOUT_H

#include "lab/texts.h"
#include "lab/token_filter.h"
#include "run/pair_about.h"

/* The model's fingerprint, windows, a fingerprint of edits and filter and of `rest`, what else
 * there is; and where edits read files, reference sets or further prompts one of what these hold,
 * behind ABOUT_READ.  *out is malloc'ed. */
#define ABOUT_READ " read "
int about_make(char **out, const struct model *m, const struct texts_options *o,
               const struct pair_target *target, const struct token_filter *f,
               struct fingerprint rest, struct err *e);
/* Of two such lines: are they the same but for what files, sets and prompts held? */
bool about_read_differs(const char *a, const char *b);

#endif
