/* command_log.h - every command that ran, as text that can be run again.
 *
 * What a key did to what was under the cursor stands as the edit that it made.  What only moves,
 * looks or types is left out.  Pure.  Tested in tests/tui/test_log.c. */
#ifndef COMMAND_LOG_H
#define COMMAND_LOG_H

#include "action.h"
#include "bytes.h"

enum { COMMAND_LOG_MAX = 10000 };

struct command_log {
    char **line; /* [n], oldest first */
    int n;
};

void command_log_free(struct command_log *l);
void command_log_add(struct command_log *l, const char *text);
/* Forget the newest one. */
void command_log_drop(struct command_log *l);
/* Is a command kept as it was typed? */
bool command_log_takes(enum action_id id);
/* Does it change the edits, so that what became of them is kept? */
bool command_log_edits(enum action_id id);
/* The commands that make of one list of edits another: lines "+TEXT" or "-TEXT" as edit_list keeps
 * them. */
void command_log_change(struct command_log *l, const char *before, const char *after);
/* All of it, one a line. */
void command_log_print(const struct command_log *l, struct bytes *out);

#endif
