/* host.c - a shared explorer from its loop's side (see host.h). */
#include "share/host.h"

#include <stdlib.h>

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

void host_guest(struct app *a, bool guest)
{
    a->guest = guest;
    a->edits.no_files = guest;
}

/* What one hand began, another does not finish: the line that is open, the keys of a sequence. */
static void hand_over(struct app *a)
{
    if (a->mode != LINE_NONE)
        app_line_cancel(a);
    free(a->typed);
    a->typed = NULL;
    a->n_pending = a->count = 0;
    a->which_key = a->selecting = false;
}

bool host_takes_back(struct app *a)
{
    if (!a->share || a->guest || !share_take(a->share))
        return false;
    hand_over(a);
    app_say(a, "the keyboard is yours again");
    return true;
}

bool host_serve(struct app *a, int64_t now_ms, void (*input)(void *to, const struct input *in),
                void *to)
{
    bool was_away = share_is_away(a->share), changed = share_serve(a->share, a, now_ms, input, to);
    if (was_away && !share_is_away(a->share))
        hand_over(a);
    return changed;
}

unsigned host_timeout(struct app *a)
{
    host_guest(a, a->share && share_is_away(a->share));
    unsigned react = app_timeout(a);
    host_guest(a, false);
    return react;
}

bool host_lets_guest(struct app *a, enum action_id id)
{
    if (action_table[id].where & ACTION_FOR_GUESTS)
        return true;
    app_complain(a, "%s is not for guests · ^] gives the keyboard back", action_table[id].name);
    return false;
}
