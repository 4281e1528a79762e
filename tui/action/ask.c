/* ask.c - commands that ask, find, show, write and leave. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "input/complete.h"
#include "export/export.h"
#include "sweeps.h"
#include "save/write.h"

/* ---- prompts, tokens ---- */

unsigned act_PROMPT(struct app *a, const char *args)
{
    if (a->image && !*args) {
        struct bytes line = {0};
        bytes_addf(&line, "image %s", a->prompt);
        app_line_open(a, LINE_COMMAND, line.failed ? "image " : line.data);
        bytes_free(&line);
    } else if (a->image)
        app_begin_image(a, args, false);
    else if (*args) {
        char *quoted = app_quoted(args);
        app_set_prompt(a, quoted ? quoted : args);
        free(quoted);
    } else
        app_line_open(a, LINE_PROMPT, a->prompt ? a->prompt : "");
    return 0;
}

/* One token as typed: up to a blank, or a quoted one. */
static size_t token_length(const char *s)
{
    if (*s != '"')
        return strcspn(s, " ");
    const char *end = strchr(s + 1, '"');
    return end ? (size_t)(end - s) + 1 : strlen(s);
}

unsigned act_PAIR(struct app *a, const char *args)
{
    if (!*args) {
        app_line_open(a, LINE_PAIR, "");
        app_say(
            a,
            "two tokens, e.g. \" Mary\" \" John\" · {complete next} completes · empty: the two likeliest");
        return 0;
    }
    if (strcmp(args, "auto") == 0) {
        a->pair_given[0] = a->pair_given[1] = -1;
        a->pair_wanted = true;
        return 0;
    }
    size_t n = token_length(args);
    const char *second = args + n + strspn(args + n, " ");
    if (!*second) {
        app_complain(a, "a pair is two tokens · pair \" Mary\" \" John\"");
        return 0;
    }
    int32_t x = app_token(a, args, n);
    int32_t y = x < 0 ? -1 : app_token(a, second, token_length(second));
    if (y >= 0) {
        a->pair_given[0] = x;
        a->pair_given[1] = y;
        a->pair_seen = false;
        app_pair_look(a);
    }
    return 0;
}

unsigned act_TARGET(struct app *a, const char *args)
{
    if (!*args) {
        a->target = -1;
        app_say(a, "target: the first of the pair");
        return 0;
    }
    int32_t id = app_token(a, args, token_length(args));
    if (id >= 0)
        a->target = id;
    return 0;
}

/* ---- search ---- */

static bool row_matches(const struct app *a, int32_t row)
{
    size_t len, n = strlen(a->search);
    const char *text = model_input_text(a->m, a->tokens[row], &len);
    return memmem(text, len, a->search, n) != NULL;
}

static unsigned search_step(struct app *a, int step)
{
    if (a->cur.view == VIEW_HOOKS) { /* the list is filtered: every line is a match */
        app_view(a)->move(a, step > 0 ? MOVE_DOWN : MOVE_UP, 1);
        return 0;
    }
    if (!a->search[0]) {
        app_say(a, "nothing to search for · {search} asks");
        return 0;
    }
    for (int32_t i = 1; i <= a->n; i++) {
        int32_t row = (a->cur.row + step * i % a->n + a->n) % a->n;
        if (row_matches(a, row)) {
            a->cur.row = row;
            return 0;
        }
    }
    char shown[64];
    text_copy(shown, sizeof shown, a->search, strlen(a->search), TEXT_PLAIN);
    app_complain(a, "no token holds \"%s\"", shown);
    return 0;
}

unsigned act_SEARCH(struct app *a, const char *args)
{
    if (!*args) {
        app_line_open(a, LINE_SEARCH, "");
        return 0;
    }
    app_line_open(a, LINE_SEARCH, args);
    app_line_changed(a);
    return app_line_accept(a);
}

unsigned act_NEXT(struct app *a, const char *args)
{
    (void)args;
    return search_step(a, 1);
}

unsigned act_PREVIOUS(struct app *a, const char *args)
{
    (void)args;
    return search_step(a, -1);
}

unsigned act_OBSERVE(struct app *a, const char *args)
{
    char name[LIMIT_NAME];
    int32_t at = a->cur.hook;
    for (at = *args ? 0 : at; *args && at < a->n_sites; at++)
        if (strcmp(site_name(a->sites[at], name), args) == 0)
            break;
    if (at == a->n_sites || (!*args && a->cur.view != VIEW_HOOKS)) {
        app_complain(a, "observe HOOK · a name that the hooks view ({view hooks}) lists");
        return 0;
    }
    struct site_ref s = a->sites[at];
    if (site_fires(&a->m->cfg, s.id)) {
        app_say(a, "this hook fires in every run");
        return 0;
    }
    const char *refusal = site_refusal(&a->m->cfg, s.id);
    if (refusal)
        app_complain(a, "%s", refusal);
    else {
        a->observed[at] = !a->observed[at];
        app_say(a, "%s: %s", site_name(s, name), a->observed[at] ? "on" : "off");
    }
    return 0;
}

/* ---- out of the program ---- */

unsigned act_COPY(struct app *a, const char *args)
{
    (void)args;
    struct noun noun = {0};
    char name[LIMIT_NAME];
    bytes_clear(&a->copied);
    if (app_view(a)->copy)
        app_view(a)->copy(a, &a->copied);
    else if (app_view(a)->noun && app_view(a)->noun(a, &noun))
        bytes_addf(&a->copied, "%s%s", app_hook_name(noun.site, noun.expert, name), noun.here);
    if (!a->copied.len || a->copied.failed) {
        app_say(a, "nothing to copy here");
        return 0;
    }
    app_say(a, "copied %s", a->copied.data);
    return REACT_COPY;
}

/* The hooks that were switched on, and the one on show in the tensor view. */
static int observed_names(const struct app *a, char (*names)[LIMIT_NAME], const char **list)
{
    int n = 0;
    for (int32_t i = 0; i < a->n_sites; i++) {
        struct site_ref s = a->sites[i];
        bool shown = a->cur.view == VIEW_TENSOR && site_same(s, a->cur.site);
        if (a->observed[i] || shown) {
            list[n] = site_name(s, names[n]);
            n++;
        }
    }
    return n;
}

static int export_text(const struct app *a, enum export_to to, struct bytes *text, struct err *e)
{
    const struct pair_prompt other = {"other", a->other_tokens, a->n_other, a->other_image};
    char(*names)[LIMIT_NAME] = malloc(((size_t)a->n_sites + 1) * sizeof *names);
    const char **list = calloc((size_t)a->n_sites + 1, sizeof *list);
    int rc = names && list ? 0 : err_memory(e, "export");
    bool on = edit_list_count_in_force(&a->edits) > 0, stale;
    const struct snapshot *s = app_newest(a, &stale);
    if (!rc && !a->n)
        rc = err_set(e, ERR_BAD_INPUT, "nothing to export · give a prompt first");
    if (!rc && on && (!s || stale || !s->program))
        rc = err_set(
            e, ERR_BAD_INPUT,
            "the edits are still being computed, or do not fit · export when they are in force");
    if (!rc) {
        const struct export x = {.m = a->m,
                                 .tokens = a->tokens,
                                 .n = a->n,
                                 .edits = a->edits.edit,
                                 .on = a->edits.in_force,
                                 .n_edits = a->edits.n,
                                 .program = on ? s->program : NULL,
                                 .prompts = &other,
                                 .n_prompts = a->other_tokens != NULL,
                                 .sets = a->sets,
                                 .n_sets = a->n_sets,
                                 .captures = list,
                                 .n_captures = observed_names(a, names, list)};
        rc = export_program(text, to, &x, e);
    }
    free(names);
    free(list);
    return rc;
}

unsigned act_EXPORT(struct app *a, const char *args)
{
    bool over = write_over(&args);
    size_t n = strcspn(args, " ");
    const char *path = args + n + strspn(args + n, " ");
    char library[64];
    struct bytes text = {0};
    struct err e = {0};
    enum export_to to = EXPORT_TRANSFORMER_LENS;
    snprintf(library, sizeof library, "%.*s", (int)(n < 60 ? n : 60), args);
    int rc = n && *path ? export_find(library, &to, &e)
                        : err_set(&e, ERR_USAGE, "export %s", action_table[ACTION_EXPORT].usage);
    if (!rc)
        rc = export_text(a, to, &text, &e);
    if (!rc)
        rc = write_bytes(path, &text, over, &e);
    if (rc)
        app_complain(a, "%s", e.text);
    else
        app_say(a, "written to %s", path);
    bytes_free(&text);
    return 0;
}

unsigned act_COMMAND(struct app *a, const char *args)
{
    app_line_open(a, LINE_COMMAND, args);
    complete_find(a);
    return 0;
}

unsigned act_HELP(struct app *a, const char *args)
{
    (void)args;
    app_line_open(a, LINE_HELP, "");
    return 0;
}

unsigned act_KEYBAR(struct app *a, const char *args)
{
    (void)args;
    a->keybar_off = !a->keybar_off;
    return 0;
}

unsigned act_REDRAW(struct app *a, const char *args)
{
    (void)a;
    (void)args;
    return REACT_REPAINT;
}

unsigned act_SUSPEND(struct app *a, const char *args)
{
    (void)a;
    (void)args;
    return REACT_SUSPEND;
}

unsigned act_QUIT(struct app *a, const char *args)
{
    (void)a;
    (void)args;
    return REACT_QUIT;
}

unsigned act_CANCEL(struct app *a, const char *args)
{
    (void)args;
    bool typing = a->mode != LINE_NONE;
    if (typing)
        app_line_cancel(a);
    a->side_open = a->selecting = false;
    a->replacing = 0;
    a->count = 0;
    if ((a->cur.view == VIEW_SWEEP || a->sweep_soon) && !typing && sweeps_pause(a))
        app_say(a, "stopped; what is there stays · {sweep} begins anew");
    return 0;
}

/* ---- typing ---- */

unsigned act_ACCEPT(struct app *a, const char *args)
{
    (void)args;
    return app_line_accept(a);
}

unsigned act_COMPLETE(struct app *a, const char *args)
{
    complete_step(a, strcmp(args, "previous") == 0 ? -1 : 1);
    return 0;
}

unsigned act_HISTORY(struct app *a, const char *args)
{
    line_history_step(&a->history[a->mode], &a->line, strcmp(args, "older") == 0 ? -1 : 1);
    app_line_changed(a);
    return 0;
}

unsigned act_CARET(struct app *a, const char *args)
{
    if (!line_caret(&a->line, args))
        app_complain(a, "caret %s", action_table[ACTION_CARET].usage);
    return 0;
}

unsigned act_INSERT(struct app *a, const char *args)
{
    bool newline = strcmp(args, "newline") == 0;
    if (!newline && strcmp(args, "tab") != 0)
        app_complain(a, "insert %s", action_table[ACTION_INSERT].usage);
    else if (a->mode != LINE_PROMPT && a->mode != LINE_OTHER)
        app_say(a, "line breaks and tabs belong to prompts");
    else {
        line_insert(&a->line, newline ? "\n" : "\t", 1);
        app_line_changed(a);
    }
    return 0;
}

unsigned act_ERASE(struct app *a, const char *args)
{
    if (strcmp(args, "left") == 0 && !a->line.text.len && a->mode == LINE_COMMAND) {
        app_line_cancel(a); /* as in vim */
        return 0;
    }
    if (!line_erase(&a->line, args))
        app_complain(a, "erase %s", action_table[ACTION_ERASE].usage);
    else
        app_line_changed(a);
    return 0;
}

unsigned act_CHOOSE(struct app *a, const char *args)
{
    a->help_at += strcmp(args, "up") == 0        ? -1
                  : strcmp(args, "down") == 0    ? 1
                  : strcmp(args, "page-up") == 0 ? -10
                                                 : 10;
    return 0;
}
