/* action.c - the command table (see action.h). */
#include "action.h"

#include <string.h>

#include "base/nearest.h"

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
#define ATTRIBUTION CTX_ATTRIBUTION
#define GUEST ACTION_FOR_GUESTS
#include "actions.def"
};

const char *const view_names[VIEW_COUNT] = {
#undef VIEW
#define VIEW(id, name) #name,
#include "views.def"
};

enum action_id action_find(const char *command, const char **args)
{
    static const char *const short_for[][2] = {{"q", "quit"}, {"e", "open"}};
    size_t n = strcspn(command, " !"), used = n;
    const char *name = command;
    for (size_t i = 0; i < sizeof short_for / sizeof *short_for; i++)
        if (strlen(short_for[i][0]) == n && memcmp(short_for[i][0], command, n) == 0) {
            name = short_for[i][1];
            used = strlen(name);
        }
    for (int i = 0; i < ACTION_COUNT; i++)
        if (strlen(action_table[i].name) == used && memcmp(action_table[i].name, name, used) == 0) {
            if (args)
                *args = command + n + strspn(command + n, " ");
            return (enum action_id)i;
        }
    return ACTION_COUNT;
}

const char *action_nearest(const char *word)
{
    enum { FAR = 3 };
    const char *near = NULL;
    size_t least = strlen(word) < FAR ? strlen(word) : FAR;
    for (int i = 0; i < ACTION_COUNT; i++)
        if (nearest_is(word, action_table[i].name, &least))
            near = action_table[i].name;
    return near;
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
