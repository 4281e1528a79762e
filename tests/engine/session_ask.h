/* session_ask.h - test support: asking a session and waiting for its answer. */
#ifndef SESSION_ASK_H
#define SESSION_ASK_H

#include "fixture.h"
#include "session/session.h"

/* They fail the test with the message if they are refused. */
struct edit *ask_edit(const char *text);
struct session *ask_open(const struct fixture *f);
/* Nothing but the prompt. */
struct session_want ask_plain(const int32_t *tokens, int32_t n);
/* The whole answer, a reference of the caller's; what it failed with is in its err. */
const struct snapshot *ask(struct session *s, const struct session_want *want);

#endif
