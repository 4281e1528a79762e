/* figures.h - what a session's views show, computed once and kept while it stays true.
 *
 * Holds derived figures of both faces under the wants that asked for them, beside a pair of runs;
 * drops exactly the elements that a sync may have changed, and computes those that are wanted and
 * missing.  One thread at a time.  Tested through the session in tests/engine/test_session.c. */
#ifndef FIGURES_H
#define FIGURES_H

#include "session/session.h"

struct figures;

/* The model must outlive the figures. */
int figures_open(struct figures **out, const struct model *m, struct err *e);
void figures_close(struct figures *f);

/* After pair_sync, also a failed one: drop what changed, make room for what is wanted. */
int figures_settle(struct figures *f, struct pair *p, const struct session_want *want,
                   struct err *e);
/* Compute all that is wanted and missing of the first `stages` stages, in the order of want.def.
 * `between` is called after each piece of work; non-zero from it ends the work with that. */
int figures_work(struct figures *f, struct pair *p, const struct session_want *want, int32_t stages,
                 int (*between)(void *user, struct err *e), void *user, struct err *e);
/* A snapshot of what is there, with one reference; NULL when memory is out. */
struct snapshot *figures_snapshot(const struct figures *f, const struct pair *p,
                                  const struct session_want *want, struct err *e);

#endif
