/* pair_edits.h - the edits of a pair made concrete once, not on every call.
 *
 * Resolving opens the files of file() and computes directions; the same edits on the same prompt
 * with the same sets are answered with the same program.  Edits and sets are immutable and counted,
 * so that being the same ones means being equal.  Tested in tests/engine/test_pair.c. */
#ifndef PAIR_EDITS_H
#define PAIR_EDITS_H

#include "run/pair.h"

/* The last answer, and a reference to or a copy of all that it was made from.  {0} at first. */
struct pair_edits {
    struct edit_program *program;
    struct pair_target from;
    bool gradients;
    bool unlisted; /* set by the owner: t's edits are not a list that anyone numbers */
};

/* The program of t's edits, a reference of the caller's own (edit_program_free); errors as
 * edit_resolve, and then the last answer stays.  gradients: a backward pass follows. */
int pair_edits_resolve(struct pair_edits *p, const struct model *m, const struct pair_target *t,
                       bool gradients, struct edit_program **out, struct err *e);
void pair_edits_free(struct pair_edits *p);

#endif
