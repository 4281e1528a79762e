/* session.c - sessions and named states: saving, opening, switching. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "save/session_app.h"
#include "save/state_files.h"
#include "save/write.h"

#define LAST "last" /* the state before the last switch */

static const char *folder(const struct app *a)
{
    return a->opt.state_folder ? a->opt.state_folder : "";
}

unsigned act_SAVE(struct app *a, const char *args)
{
    char path[PATH_MAX];
    struct bytes text = {0};
    struct err e = {0};
    bool over = write_over(&args), again = a->session && (!*args || strcmp(args, a->session) == 0);
    if (!*args && !a->session) {
        app_complain(a, "a session needs a name to be saved under · save NAME · it is kept anyway, "
                        "borescope --resume goes on");
        return 0;
    }
    char *name = strdup(*args ? args : a->session);
    int rc = name ? state_session_path(folder(a), name, path, &e) : err_memory(&e, "session");
    session_text(a, &text);
    if (!rc)
        rc = write_bytes(path, &text, over || again, &e);
    bytes_free(&text);
    if (rc) {
        app_complain(a, "%s", e.text);
        free(name);
        return 0;
    }
    free(a->session);
    a->session = name;
    app_say(a, "saved: %s", path);
    return 0;
}

unsigned act_W(struct app *a, const char *args)
{
    const char *name = args;
    write_over(&name);
    return write_format(name) >= 0 ? act_WRITE(a, args) : act_SAVE(a, args);
}

unsigned act_WQ(struct app *a, const char *args)
{
    if (!*args && !a->session)
        return REACT_QUIT; /* it is kept as it went */
    a->message_bad = false;
    act_SAVE(a, args);
    return a->message_bad ? 0 : REACT_QUIT;
}

unsigned act_OPEN(struct app *a, const char *args)
{
    char path[PATH_MAX];
    struct err e = {0};
    if (!*args)
        app_complain(a, "open NAME · of a session that was saved, or its file");
    else if (state_session_path(folder(a), args, path, &e) < 0)
        app_complain(a, "%s", e.text);
    else
        session_open_file(a, path, args);
    return 0;
}

/* "before, after" */
static void say_states(struct app *a)
{
    struct bytes b = {0};
    for (int i = 0; i < a->states.n; i++)
        if (!i || strcmp(a->states.line[i].state, a->states.line[i - 1].state) != 0)
            bytes_addf(&b, "%s%s", i ? ", " : "", a->states.line[i].state);
    if (b.failed || !b.len)
        app_say(a, "no states yet · state! NAME keeps this one, state NAME comes back to it");
    else
        app_say(a, "states: %s", b.data);
    bytes_free(&b);
}

unsigned act_STATE(struct app *a, const char *args)
{
    bool keep = write_over(&args);
    char name[SAVED_NAME_MAX + 1], done[SAVED_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s", args);
    if (!*args && !keep) {
        say_states(a);
    } else if (!saved_is_name(args)) {
        app_complain(a, "state[!] NAME · of letters, digits, _ - and .");
    } else if (keep) {
        session_keep(a, name);
        app_say(a, "state %s: %d edit%s", name, a->edits.n, a->edits.n == 1 ? "" : "s");
    } else if (!saved_has(&a->states, name)) {
        app_complain(a, "no state %s · state! %s keeps this one", name, name);
    } else {
        struct saved s = {0};
        for (int i = 0; i < a->states.n; i++)
            if (strcmp(a->states.line[i].state, name) == 0)
                saved_add(&s, name, a->states.line[i].key, a->states.line[i].value);
        session_keep(a, LAST);
        snprintf(done, sizeof done, "state %s", name);
        session_become(a, &s, name, done);
    }
    return 0;
}
