/* host.c - a shared explorer from its loop's side (see host.h). */
#include "share/host.h"

#include <string.h>

#include "share/people.h"

void host_draw(const struct app *a, struct frame *f)
{
    struct person p[WIRE_PEOPLE_MAX];
    if (!a->share)
        return;
    int n = share_people(a->share, p);
    people_draw(f, p, n);
    if (!a->present.on) /* the last row has the last keys then */
        people_list(f->canvas, f->canvas->h - 1, p, n, f->caps.depth != COLOR_DEPTH_NONE);
}

bool host_takes_back(struct app *a)
{
    if (!a->share || a->guest || !share_take(a->share))
        return false;
    app_say(a, "the keyboard is yours again");
    return true;
}

bool host_lets_guest(struct app *a, enum action_id id, const char *args)
{
    static const char *const names[] = {
        "move",     "view",       "quantity", "face",    "colour",   "mask",    "map",
        "head",     "layer",      "enter",    "back",    "older",    "newer",   "tensor",
        "zero",     "zero-all",   "freeze",   "mean",    "scale",    "nudge",   "patch",
        "align",    "again",      "select",   "edit",    "undo",     "redo",    "toggle",
        "delete",   "toggle-all", "prompt",   "other",   "pair",     "next",    "search",
        "target",   "previous",   "observe",  "command", "help",     "side",    "replace",
        "sweep",    "wide",       "cancel",   "accept",  "complete", "history", "caret",
        "insert",   "erase",      "sort",     "choose",  "lesson",   "wall",    "nonfinite",
        "generate", "break",      "compare",  "columns"};
    const char *name = action_table[id].name;
    bool files = (a->m->cfg.patch_size && (strstr("prompt other patch", name) != NULL)) ||
                 strstr(args, "file(");
    for (size_t i = 0; i < sizeof names / sizeof *names && !files; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    app_complain(a, "%s is not for guests · ^] gives the keyboard back", name);
    return false;
}
