/* pin.c - `pin`: figures that stay in sight (list/pins.h). */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"

static unsigned let_go(struct app *a, const char *args)
{
    char *end;
    long i = strtol(args, &end, 10);
    if (*end || i < 1 || i > a->pins.n)
        app_complain(a, a->pins.n ? "no such pin · 1 to %d" : "nothing is pinned", a->pins.n);
    else {
        struct bytes b = {0};
        pins_text(a, &a->pins.pin[i - 1], &b);
        app_say(a, "no longer pinned: %s", b.failed ? "" : b.data);
        bytes_free(&b);
        pins_drop(&a->pins, (int)i - 1);
    }
    return 0;
}

unsigned act_PIN(struct app *a, const char *args)
{
    struct bytes text = {0};
    struct err e = {0};
    int at = 0;
    if (strcmp(args, "off") == 0) {
        app_say(a, "%d pin%s let go", a->pins.n, a->pins.n == 1 ? "" : "s");
        a->pins.n = 0;
        return 0;
    }
    if (isdigit((unsigned char)*args))
        return let_go(a, args);
    int before = a->pins.n;
    if (*args)
        bytes_add_string(&text, args);
    if (!*args && !pins_under(a, &text))
        app_complain(a, "nothing here to pin · pin HOOK[INDEX]");
    else if (text.failed || pins_toggle(a, text.data, &at, &e) < 0)
        app_complain(a, "%s", text.failed ? "out of memory" : e.text);
    else
        app_say(a, "%s: %s", a->pins.n > before ? "pinned" : "no longer pinned", a->pins.last);
    bytes_free(&text);
    return 0;
}
