/* request.h - a request's own copy of everything it points to: session-internal.
 * Tested in tests/engine/test_session.c. */
#ifndef REQUEST_H
#define REQUEST_H

#include "session/session.h"

/* Wants are cut to the prompt and the model, and together to LIMIT_FIGURES bytes a face; what
 * nothing is left of is left out.  NULL when memory is out. */
struct session_want *request_copy(const struct session_want *want, const struct config *cfg);
void request_free(struct session_want *w);
/* Do the tokens of a target stand in the model's vocabulary, and not for more than it has places?
 */
int request_check(const struct model *m, const struct pair_target *t, struct err *e);

#endif
