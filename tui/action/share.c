/* share.c - commands of the room (share/share.h). */
#include <string.h>

#include "app.h"
#include "share/share.h"

static void say_people(struct app *a)
{
    struct person p[WIRE_PEOPLE_MAX];
    struct bytes b = {0};
    int n = share_people(a->share, p);
    for (int i = 1; i < n; i++)
        bytes_addf(&b, "%s%s", i > 1 ? ", " : "", p[i].name);
    app_say(a, "borescope watch %s · %s%s", share_name(a->share),
            n > 1 && !b.failed ? "watching: " : "nobody yet", n > 1 && !b.failed ? b.data : "");
    bytes_free(&b);
}

unsigned act_SHARE(struct app *a, const char *args)
{
    struct err e = {0};
    if (!strcmp(args, "off")) {
        app_say(a, a->share ? "no longer shared" : "it is not shared");
        share_close(a->share);
        a->share = NULL;
        return 0;
    }
    if (a->share && *args) {
        app_complain(a, "shared as %s already · :share off ends it", share_name(a->share));
        return 0;
    }
    if (!a->share &&
        share_open(&a->share, *args ? args : a->m->name, a->opt.allow, a->opt.n_allow, &e) < 0)
        app_complain(a, "%s", e.text);
    else
        say_people(a);
    return 0;
}

unsigned act_GIVE(struct app *a, const char *args)
{
    if (!a->share)
        app_complain(a, "nobody watches · :share opens the room");
    else if (!*args)
        say_people(a);
    else if (!share_give(a->share, args))
        app_complain(a, "there is no %.24s · :share says who is there", args);
    else
        app_say(a, "%s has the keyboard · any key of yours takes it back", args);
    return 0;
}
