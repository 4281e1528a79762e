/* sides.h - the runs behind the further questions of a request: session-internal.
 *
 * A lane is a pair of runs with its figures, opened when it is first asked.  The worker's thread
 * only.  Tested in tests/engine/test_session_sides.c. */
#ifndef SIDES_H
#define SIDES_H

#include "session/session.h"

struct sides;

/* cache_bytes: of each lane.  The model must outlive it.  NULL when memory is out. */
struct sides *sides_open(const struct model *m, size_t cache_bytes);
void sides_close(struct sides *s);
/* Answer one side.  *out is a reference of the caller's, also of an answer that says why there is
 * none; NULL with ERR_CANCELLED or ERR_DEVICE, or
 * when memory is out.  `between` as in figures_work. */
int sides_answer(struct sides *s, const struct session_want *side, const struct snapshot **out,
                 int (*between)(void *user, struct err *e), void *user, struct err *e);

#endif
