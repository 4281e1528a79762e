/* saved.h - a session as text: what a file of it holds, read and printed.
 *
 *     # borescope session
 *     model gpt2
 *     prompt "When Mary and John went\nto"      texts in quotes: \n \r \t \\ \" \xNN
 *     pair " Mary" " John"
 *     edit + blocks.9.attn.hook_z[-1, 9] = 0    + on, - off, in their order
 *     view attention
 *     row 14
 *     [state before]                            a named state: prompts, pair and edits
 *     prompt "When Mary"
 *     end                                       so that a file that was cut is known
 *
 * A line is a key and its value; what the values mean is session_apply's question (session_app.h).
 * A bad line is a warning with its number, and the rest is read.  Pure.  Tested in
 * tests/tui/test_sessions.c, tests/fuzz/fuzz_session.c. */
#ifndef SAVED_H
#define SAVED_H

#include <stdbool.h>

#include "bytes.h"

enum { SAVED_LINES_MAX = 20000, SAVED_NAME_MAX = 40, SAVED_BYTES_MAX = 1 << 24 };

enum saved_key { /* SAVED_PROMPT ... */
#define SAVED(id, key, text, of_state) SAVED_##id,
#include "save/saved.def"
                 SAVED_COUNT
};

struct saved_line {
    char *state; /* of which named state, NULL: of the session */
    enum saved_key key;
    char *value; /* NUL-terminated bytes */
};

struct saved {
    struct saved_line *line;
    int n, capacity;
    bool failed; /* out of memory: lines are missing */
};

void saved_free(struct saved *s);
/* state NULL: of the session. */
void saved_add(struct saved *s, const char *state, enum saved_key key, const char *value);
/* The value of the first such line, or NULL. */
const char *saved_get(const struct saved *s, const char *state, enum saved_key key);
/* Forget a named state; was there one? */
bool saved_drop(struct saved *s, const char *state);
bool saved_has(const struct saved *s, const char *state);
/* Letters, digits, _ - and . between them, 1..SAVED_NAME_MAX: names of states and of sessions. */
bool saved_is_name(const char *name);

/* Add the lines of `text`; `name` stands in the warnings, one a line.  How many warnings, or -1
 * when out of memory. */
int saved_parse(struct saved *s, const char *name, const char *text, size_t len,
                struct bytes *warnings);
/* As a file: lines of the session, then its states. */
void saved_print(const struct saved *s, struct bytes *out);
/* A text in quotes, as files have it. */
void saved_quote(struct bytes *out, const char *text);
/* The text of *at, which stands on a quote, without it; *at is stepped behind it.  NULL: not well
 * formed, or out of memory.  malloc'ed. */
char *saved_unquote(const char **at);

#endif
