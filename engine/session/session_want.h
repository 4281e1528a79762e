/* session_want.h - a request's own copy of everything it points to: session-internal.
 * Tested in tests/engine/test_session.c. */
#ifndef SESSION_WANT_H
#define SESSION_WANT_H

#include "session/session.h"

/* Rows and layers outside the prompt and the model are cut off.  NULL when memory is out. */
struct session_want *session_want_copy(const struct session_want *want, const struct config *cfg);
void session_want_free(struct session_want *w);

#endif
