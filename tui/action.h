/* action.h - the command table: one row per command of the explorer, made from actions.def and
 * views.def.
 *
 * Pure data and look-ups by name.  Tested in tests/tui/test_keymap.c. */
#ifndef ACTION_H
#define ACTION_H

#include <stddef.h>

enum view_id {
#define VIEW(id, name) VIEW_##id,
#include "views.def"
#undef VIEW
    VIEW_COUNT
};

/* Where a key or a command means something; one bit each. */
enum {
#define VIEW(id, name) CTX_##id = 1 << VIEW_##id,
#include "views.def"
#undef VIEW
    CTX_LINE = 1 << VIEW_COUNT,         /* a line is being typed */
    CTX_HELP = 1 << (VIEW_COUNT + 1),   /* the help list is open */
    CTX_LESSON = 1 << (VIEW_COUNT + 2), /* a lesson waits for its next step: before the view */
    ACTION_FOR_GUESTS = 1 << (VIEW_COUNT + 3), /* no context: who may run it (share/host.h) */
    CTX_VIEWS = (1 << VIEW_COUNT) - 1,
    CTX_NOUNS = CTX_GRID | CTX_ATTENTION | CTX_LENS | CTX_HOOKS | CTX_TENSOR | CTX_HEADS |
                CTX_NEURONS | CTX_ATTRIBUTION,
    CTX_TYPING = CTX_LINE | CTX_HELP,
    CTX_ANY = CTX_VIEWS | CTX_LINE | CTX_HELP
};

enum complete_kind {
    COMPLETE_NONE,
    COMPLETE_WORDS /* of the usage */,
    COMPLETE_QUANTITY,
    COMPLETE_HOOK,
    COMPLETE_EDIT,
    COMPLETE_TOKEN,
    COMPLETE_KIND,
    COMPLETE_COMMAND,
    COMPLETE_LESSON,
    COMPLETE_PERSON
};

enum action_id {
#define ACTION(id, name, usage, complete, where, help) ACTION_##id,
#include "actions.def"
#undef ACTION
    ACTION_COUNT
};

struct app;
struct action {
    const char *name, *usage, *help;
    enum complete_kind complete;
    unsigned where;
    unsigned (*run)(struct app *a, const char *args); /* returns REACT_* bits of app.h */
};
#define ACTION(id, name, usage, complete, where, help) \
    unsigned act_##id(struct app *a, const char *args);
#include "actions.def"
#undef ACTION
extern const struct action action_table[ACTION_COUNT];
extern const char *const view_names[VIEW_COUNT];

/* The action whose name is the first word of `command`, up to a blank or "!", or ACTION_COUNT;
 * *args (may be NULL) = what follows. */
enum action_id action_find(const char *command, const char **args);
/* The name that `word` may be a misspelling of; NULL: none is near. */
const char *action_nearest(const char *word);
/* The context of that name ("grid", "all", "line", "help"), 0 if there is none. */
unsigned action_context(const char *name, size_t len);

#endif
