/* present.c - `present` (present.h). */
#include <string.h>

#include "app.h"

unsigned act_PRESENT(struct app *a, const char *args)
{
    bool off = !strcmp(args, "off") || (!*args && a->present.on);
    if (*args && !off && strcmp(args, "locked") && strcmp(args, "open")) {
        app_complain(a, "present %s", action_table[ACTION_PRESENT].usage);
        return 0;
    }
    present_set(a, !off, !strcmp(args, "locked"));
    app_say(a, "%s",
            off                 ? "no longer presenting"
            : a->present.locked ? "presenting, edits locked"
                                : "presenting");
    return REACT_REPAINT;
}
