/* session_ask.c - see session_ask.h. */
#include "session_ask.h"

struct edit *ask_edit(const char *text)
{
    struct edit *ed = NULL;
    struct err e = {0};
    if (edit_parse(&ed, text, &e))
        fail_msg("%s", e.text);
    return ed;
}

struct session *ask_open(const struct fixture *f)
{
    struct session *s = NULL;
    struct err e = {0};
    if (session_open(&s, f->m, 1 << 20, &e))
        fail_msg("%s", e.text);
    return s;
}

struct session_want ask_plain(const int32_t *tokens, int32_t n)
{
    return (struct session_want){.target.input = run_ids(tokens, n)};
}

const struct snapshot *ask(struct session *s, const struct session_want *want)
{
    const struct snapshot *snap = session_wait(s, session_request(s, want));
    assert_true(snap->complete);
    return snap;
}
