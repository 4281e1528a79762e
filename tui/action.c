/* action.c - the command table (see action.h). */
#include "action.h"

#include <string.h>

const struct action action_table[ACTION_COUNT] = {
#define ACTION(id, name, usage, complete, where, help) \
    {name, usage, help, COMPLETE_##complete, ACTION_WHERE(where), act_##id},
#define ACTION_WHERE(where) (unsigned)(where)
#define VIEWS CTX_VIEWS
#define NOUNS CTX_NOUNS
#define ANY CTX_ANY
#define TYPING CTX_TYPING
#define LINE CTX_LINE
#define HELP CTX_HELP
#define LESSON CTX_LESSON
#define GRID CTX_GRID
#define ATTENTION CTX_ATTENTION
#define LENS CTX_LENS
#define HOOKS CTX_HOOKS
#define TENSOR CTX_TENSOR
#define EDITS CTX_EDITS
#define HEADS CTX_HEADS
#define NEURONS CTX_NEURONS
#define SWEEP CTX_SWEEP
#include "actions.def"
};

const char *const view_names[VIEW_COUNT] = {
#undef VIEW
#define VIEW(id, name) #name,
#include "views.def"
};

enum action_id action_find(const char *command, const char **args)
{
    size_t n = strcspn(command, " ");
    for (int i = 0; i < ACTION_COUNT; i++)
        if (strlen(action_table[i].name) == n && memcmp(action_table[i].name, command, n) == 0) {
            if (args)
                *args = command + n + strspn(command + n, " ");
            return (enum action_id)i;
        }
    return ACTION_COUNT;
}

unsigned action_context(const char *name, size_t len)
{
    static const struct {
        const char *name;
        unsigned where;
    } more[] = {{"all", CTX_VIEWS}, {"line", CTX_LINE}, {"help", CTX_HELP}, {"lesson", CTX_LESSON}};
    for (int i = 0; i < VIEW_COUNT; i++)
        if (strlen(view_names[i]) == len && memcmp(view_names[i], name, len) == 0)
            return 1u << i;
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (strlen(more[i].name) == len && memcmp(more[i].name, name, len) == 0)
            return more[i].where;
    return 0;
}
