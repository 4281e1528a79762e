/* edit.c - commands that change the edits: verbs on the noun under the cursor, the list,
 * undo. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "draw.h"
#include "list/edit_number.h"
#include "list/patch.h"

/* ---- new edits are on trial ---- */

void app_edits_changed(struct app *a)
{
    struct err ignored;
    if (a->edits.n && a->show == SHOW_BASE && edit_list_count_in_force(&a->edits))
        a->show = SHOW_EDITED;
    if (a->cur.edit >= a->edits.n)
        a->cur.edit = a->edits.n ? a->edits.n - 1 : 0;
    free(a->reach);
    a->reach = NULL;
    a->n_reach = edit_reach(a->edits.edit, a->edits.n, a->m, &a->reach, &ignored);
    a->n_reach = a->n_reach < 0 ? 0 : a->n_reach;
    a->trial[0] = a->trial[1] = 0;
    app_values_changed(a);
}

void app_edits_try(struct app *a, int from, int to)
{
    app_edits_changed(a);
    a->trial[0] = from;
    a->trial[1] = to;
}

bool app_edits_refused(struct app *a, const struct err *why)
{
    struct err e;
    int number = 0, used = 0;
    if (sscanf(why->text, "edit %d%n", &number, &used) != 1 || number < 1 || number > a->edits.n)
        return false;
    /* "edit 1: TEXT · why" or "edit 1 · why" */
    const char *text = strstr(why->text + used, " · ");
    text = text ? text + strlen(" · ") : why->text;
    if (number <= a->trial[0] || number > a->trial[1]) {
        if (!a->edits.in_force[number - 1])
            return false;
        edit_list_fail(&a->edits, number - 1, text);
        a->asking_changed = true;
        app_complain(a, "edit %d is out of force: %s", number, text);
        return true;
    }
    if (edit_list_undo(&a->edits, &e) < 0)
        return false;
    edit_list_forget(&a->edits);
    command_log_drop(&a->log);
    app_edits_changed(a); /* it has no number any more, and its text was just typed */
    app_complain(a, "%s", text);
    app_line_again(a);
    return true;
}

static unsigned finish(struct app *a, int r, const struct err *e)
{
    if (r < 0)
        app_complain(a, "%s", e->text);
    else
        app_edits_changed(a);
    return 0;
}

/* Edits [from, to) were put into the list; or they were not, for a reason. */
static int finish_new(struct app *a, int r, const struct err *e, int from, int to)
{
    finish(a, r, e);
    if (r >= 0)
        app_edits_try(a, from, to);
    return r;
}

int app_edit_add(struct app *a, const char *text)
{
    struct err e = {0};
    for (int i = 0; i < a->edits.n; i++)
        if (strcmp(a->edits.text[i], text) == 0) {
            if (a->edits.on[i])
                app_say(a,
                        "already there: edit %d · {toggle} switches it off, {undo} takes it back",
                        i + 1);
            else
                finish(a, edit_list_set_on(&a->edits, i, true, &e), &e);
            return 0;
        }
    int r = edit_list_add(&a->edits, text, &e);
    if (r == 0) {
        a->cur.edit = a->edits.n - 1;
        app_say(a, "edit %d: %s", a->edits.n, a->edits.text[a->edits.n - 1]);
        if (strstr(a->edits.text[a->edits.n - 1], "from(other)") &&
            patch_align(a) != TOKEN_ALIGN_INDEX)
            app_say(a, "edit %d: the other prompt has %d tokens, this one %d · paired by %s",
                    a->edits.n, (int)a->n_other, (int)a->n, token_align_names[a->align]);
    }
    return finish_new(a, r, &e, a->edits.n - 1, a->edits.n);
}

/* ---- verbs ---- */

struct corners app_corners(const struct app *a)
{
    int32_t r = a->cur.row, c = a->cur.column, row = a->selecting ? a->select_row : r,
            column = a->selecting ? a->select_column : c;
    return (struct corners){{row < r ? row : r, row < r ? r : row},
                            {column < c ? column : c, column < c ? c : column}};
}

static bool rectangle_text(const struct app *a, bool everywhere, char buf[256])
{
    struct noun noun = {0};
    if (!app_view(a)->noun || !app_view(a)->noun(a, &noun))
        return false;
    struct corners k = app_corners(a);
    int32_t c0 = k.column[0] > 0 ? k.column[0] - 1
                                 : 0; /* the embedding is no block: from block 0 */
    int32_t c1 = k.column[1] > 0 ? k.column[1] - 1 : 0;
    char rows[48] = "", layers[LAYERS_TEXT];
    if (!everywhere && k.row[0] == k.row[1])
        snprintf(rows, sizeof rows, "[%d]", (int)draw_row_index(a, k.row[0]));
    else if (!everywhere)
        snprintf(rows, sizeof rows, "[%d:%d]", (int)k.row[0], (int)k.row[1] + 1);
    snprintf(buf, 256, "blocks.%s.%s%s", draw_layer_range(c0, c1, layers),
             site_table[noun.site.id].name, rows);
    return true;
}

char *app_hook_name(struct site_ref s, int32_t expert, char buf[LIMIT_NAME])
{
    static const char experts[] = "experts.";
    char name[LIMIT_NAME];
    const char *at = expert ? strstr(site_name(s, name), experts) : NULL;
    if (!at)
        return site_name(s, buf);
    at += strlen(experts);
    snprintf(buf, LIMIT_NAME, "%.*s%d.%s", (int)(at - name), name, (int)expert - 1, at);
    return buf;
}

bool app_noun_text(const struct app *a, bool everywhere, char buf[256])
{
    if (a->selecting)
        return rectangle_text(a, everywhere, buf);
    struct noun noun = {0};
    if (!app_view(a)->noun || !app_view(a)->noun(a, &noun))
        return false;
    char name[LIMIT_NAME];
    snprintf(buf, 256, "%s%s", app_hook_name(noun.site, noun.expert, name),
             everywhere ? noun.all : noun.here);
    return true;
}

unsigned app_apply(struct app *a, const char *verb, bool everywhere)
{
    char noun[256], text[512];
    if (!app_noun_text(a, everywhere, noun)) {
        app_complain(a, "nothing under the cursor to edit");
        return 0;
    }
    snprintf(text, sizeof text, "%s%s", noun, verb);
    struct edit *ed = NULL;
    struct err e = {0};
    if (edit_parse(&ed, text, &e) == 0) { /* in its own words, so that a second press finds it */
        edit_print(ed, text, sizeof text);
        edit_free(ed);
    }
    char *copy = strdup(verb);
    if (copy) {
        free(a->last_verb);
        a->last_verb = copy;
        a->last_everywhere = everywhere;
    }
    if (app_edit_add(a, text) == 0)
        a->selecting = false;
    return 0;
}

unsigned act_ZERO(struct app *a, const char *args)
{
    (void)args;
    return app_apply(a, " = 0", false);
}

unsigned act_ZERO_ALL(struct app *a, const char *args)
{
    (void)args;
    return app_apply(a, " = 0", true);
}

unsigned act_FREEZE(struct app *a, const char *args)
{
    (void)args;
    return app_apply(a, " = from(base)", false);
}

unsigned act_MEAN(struct app *a, const char *args)
{
    (void)args;
    return app_apply(a, " = mean()", false);
}

unsigned act_SCALE(struct app *a, const char *args)
{
    char *end;
    double factor = *args ? strtod(args, &end) : 0.5;
    if (*args && (*end || !isfinite(factor))) {
        app_complain(a, "scale: not a number · scale 0.5");
        return 0;
    }
    char verb[64];
    snprintf(verb, sizeof verb, " *= %.9g", factor);
    return app_apply(a, verb, false);
}

unsigned act_AGAIN(struct app *a, const char *args)
{
    (void)args;
    if (!a->last_verb) {
        app_complain(a, "no verb to repeat yet · {zero} zeroes what is under the cursor");
        return 0;
    }
    if (strncmp(a->last_verb, PATCH_VERB, strlen(PATCH_VERB)) == 0)
        return act_PATCH(a, ""); /* from where this is in the other prompt */
    char verb[128];
    snprintf(verb, sizeof verb, "%s", a->last_verb);
    return app_apply(a, verb, a->last_everywhere);
}

/* A factor of 0.1 more or less on the noun: changes the last `*=` edit of it, else adds one. */
unsigned act_NUDGE(struct app *a, const char *args)
{
    double step = strcmp(args, "down") == 0 ? -0.1 : 0.1;
    char noun[256], start[300];
    if (a->cur.view == VIEW_EDITS)
        return edit_nudge(a, step > 0 ? 1 : -1);
    if (!app_noun_text(a, false, noun)) {
        app_complain(a, "nothing under the cursor to edit");
        return 0;
    }
    struct edit *ed = NULL;
    struct err e = {0};
    snprintf(start, sizeof start, "%s *= 1", noun);
    if (edit_parse(&ed, start, &e) < 0)
        return finish(a, -1, &e);
    edit_print(ed, start, sizeof start);
    edit_free(ed);
    size_t n = strlen(start) - 1; /* without the 1 */
    for (int i = a->edits.n - 1; i >= 0; i--)
        if (strncmp(a->edits.text[i], start, n) == 0) {
            double factor = round((strtod(a->edits.text[i] + n, NULL) + step) * 1e6) / 1e6;
            snprintf(start + n, sizeof start - n, "%.9g", factor);
            int r = edit_list_replace(&a->edits, i, start, &e);
            if (r == 0)
                app_say(a, "edit %d: %s", i + 1, a->edits.text[i]);
            return finish(a, r, &e);
        }
    snprintf(start + n, sizeof start - n, "%.9g", 1 + step);
    app_edit_add(a, start);
    return 0;
}

unsigned act_SELECT(struct app *a, const char *args)
{
    (void)args;
    a->selecting = !a->selecting;
    a->select_row = a->cur.row;
    a->select_column = a->cur.column;
    app_say(a, a->selecting ? "move to the other corner, then a verb: x s M P" : "no selection");
    return 0;
}

unsigned act_EDIT(struct app *a, const char *args)
{
    struct err e = {0};
    int replacing = a->replacing - 1;
    a->replacing = 0;
    if (*args) {
        if (replacing < 0 || replacing >= a->edits.n) {
            app_edit_add(a, args);
            return 0;
        }
        finish_new(a, edit_list_replace(&a->edits, replacing, args, &e), &e, replacing,
                   replacing + 1);
        return 0;
    }
    char line[LIMIT_EDIT_TEXT + 8] = "edit ", noun[256];
    if (a->cur.view == VIEW_EDITS && a->edits.n) {
        snprintf(line, sizeof line, "edit %s", a->edits.text[a->cur.edit]);
        a->replacing = a->cur.edit + 1;
    } else if (app_noun_text(a, false, noun)) {
        snprintf(line, sizeof line, "edit %s = 0", noun);
    }
    app_line_open(a, LINE_COMMAND, line);
    return 0;
}

/* ---- the list ---- */

/* The edit that the cursor means: in the edits view its row, else the last one on the noun, else
 * the last. -1 = none */
static int edit_under(const struct app *a)
{
    if (a->cur.view == VIEW_EDITS || !a->edits.n)
        return a->edits.n ? a->cur.edit : -1;
    struct noun noun = {0};
    char name[LIMIT_NAME];
    if (app_view(a)->noun && app_view(a)->noun(a, &noun)) {
        app_hook_name(noun.site, noun.expert, name);
        for (int i = a->edits.n - 1; i >= 0; i--) {
            size_t n = strcspn(a->edits.text[i], "[ ");
            if (strlen(name) == n && memcmp(name, a->edits.text[i], n) == 0)
                return i;
        }
    }
    return a->edits.n - 1;
}

/* The number given, or the edit under the cursor; -1 with a message. */
static int chosen(struct app *a, const char *args)
{
    if (!a->edits.n) {
        app_complain(a, "no edits yet · {zero} zeroes what is under the cursor");
        return -1;
    }
    if (!*args)
        return edit_under(a);
    long i = strtol(args, NULL, 10);
    if (i < 1 || i > a->edits.n) {
        app_complain(a, "no such edit · 1 to %d", a->edits.n);
        return -1;
    }
    return (int)i - 1;
}

unsigned act_TOGGLE(struct app *a, const char *args)
{
    struct err e = {0};
    if (*args && !isdigit((unsigned char)*args))
        return edit_toggle_group(a, args);
    int i = chosen(a, args);
    if (i < 0)
        return 0;
    int r = edit_list_set_on(&a->edits, i, !a->edits.on[i], &e);
    app_say(a, "edit %d %s: %s", i + 1, a->edits.on[i] ? "on" : "off", a->edits.text[i]);
    return finish(a, r, &e);
}

unsigned act_TOGGLE_ALL(struct app *a, const char *args)
{
    (void)args;
    struct err e = {0};
    if (!a->edits.n) {
        app_complain(a, "no edits yet · {zero} zeroes what is under the cursor");
        return 0;
    }
    bool on = edit_list_count_on(&a->edits) == 0;
    int r = edit_list_set_all(&a->edits, on, &e);
    app_say(a, "all edits %s", on ? "on" : "off");
    return finish(a, r, &e);
}

unsigned act_DELETE(struct app *a, const char *args)
{
    struct err e = {0};
    if (!*args && a->cur.view != VIEW_EDITS) {
        app_complain(
            a,
            "{delete} deletes in the edits view ({view edits}) · here: {toggle} switches off, {undo} takes back, :delete 1");
        return 0;
    }
    int i = chosen(a, args);
    if (i < 0)
        return 0;
    app_say(a, "deleted %s · {undo} brings it back", a->edits.text[i]);
    return finish(a, edit_list_delete(&a->edits, i, &e), &e);
}

unsigned act_UNDO(struct app *a, const char *args)
{
    (void)args;
    struct err e = {0};
    int r = edit_list_undo(&a->edits, &e);
    app_say(a, "undone: %d edit%s, %d on", a->edits.n, a->edits.n == 1 ? "" : "s",
            edit_list_count_on(&a->edits));
    return finish(a, r, &e);
}

unsigned act_REDO(struct app *a, const char *args)
{
    (void)args;
    struct err e = {0};
    int r = edit_list_redo(&a->edits, &e);
    app_say(a, "redone: %d edit%s, %d on", a->edits.n, a->edits.n == 1 ? "" : "s",
            edit_list_count_on(&a->edits));
    return finish(a, r, &e);
}
