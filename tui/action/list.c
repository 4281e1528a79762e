/* list.c - commands on the list of edits: their order, and the number in one. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "list/edit_number.h"

unsigned act_SHIFT(struct app *a, const char *args)
{
    int step = strcmp(args, "down") == 0 ? 1 : strcmp(args, "up") == 0 ? -1 : 0;
    int to = a->cur.edit + step;
    struct err e = {0};
    if (!step)
        app_complain(a, "shift %s", action_table[ACTION_SHIFT].usage);
    else if (to < 0 || to >= a->edits.n)
        app_say(a, a->edits.n ? "it stands at the end of the list" : "no edits yet");
    else if (edit_list_swap(&a->edits, a->cur.edit, to, &e) < 0)
        app_complain(a, "%s", e.text);
    else {
        a->cur.edit = to;
        app_edits_changed(a);
    }
    return 0;
}

unsigned act_NAME(struct app *a, const char *args)
{
    struct err e = {0};
    char *end;
    long number = strtol(args, &end, 10);
    bool given = end > args && (!*end || *end == ' ');
    int i = given ? (int)number - 1 : a->cur.edit;
    const char *name = given ? end + strspn(end, " ") : args;
    if (i < 0 || i >= a->edits.n)
        app_complain(a, a->edits.n ? "no such edit · 1 to %d" : "no edits yet", a->edits.n);
    else if (!*args && !edit_list_name(a->edits.text[i]))
        app_line_open(a, LINE_COMMAND, "name ");
    else if (*name && !saved_is_name(name))
        app_complain(a, "a name is of letters, digits, _ - and .");
    else if (edit_list_rename(&a->edits, i, name, &e) < 0)
        app_complain(a, "%s", e.text);
    else
        app_edits_changed(a);
    return 0;
}

unsigned edit_toggle_group(struct app *a, const char *name)
{
    struct err e = {0};
    bool on = true;
    for (int i = 0; i < a->edits.n; i++) {
        const char *is = edit_list_name(a->edits.text[i]);
        if (is && strcmp(is, name) == 0 && a->edits.on[i])
            on = false;
    }
    int n = edit_list_set_group(&a->edits, name, on, &e);
    if (n <= 0)
        app_complain(a, "%s", n ? e.text : "no edit has that name · name NAME gives one");
    else {
        app_edits_changed(a);
        app_say(a, "%s: %d edit%s %s", name, n, n == 1 ? "" : "s", on ? "on" : "off");
    }
    return 0;
}

bool edit_number_find(const char *text, size_t *begin, size_t *end)
{
    static const char *const ops[] = {" += ", " -= ", " *= ", " = "};
    bool quoted = false;
    for (const char *s = text; *s; s++) {
        quoted ^= *s == '"' && (s == text || s[-1] != '\\');
        for (size_t i = 0; !quoted && i < sizeof ops / sizeof *ops; i++) {
            size_t n = strlen(ops[i]);
            if (strncmp(s, ops[i], n) != 0)
                continue;
            char *stop;
            const char *at = s + n;
            double v = strtod(at, &stop);
            bool number = stop > at && isfinite(v) && !isalpha((unsigned char)*stop);
            *begin = (size_t)(at - text);
            *end = number ? (size_t)(stop - text) : *begin;
            return true;
        }
    }
    return false;
}

/* By a tenth where it is small, by one from 1 on, by ten from 10 on. */
static double stepped(double v, double sign)
{
    double size = fabs(v), unit = size < 1 || (size <= 1 && v * sign < 0)     ? 0.1
                                  : size < 10 || (size <= 10 && v * sign < 0) ? 1
                                                                              : 10;
    return round((v + sign * unit) * 1e6) / 1e6;
}

/* The number behind the operator of the edit under the cursor; a word without one has 1. */
unsigned edit_nudge(struct app *a, double sign)
{
    size_t begin, end;
    struct err e = {0};
    if (!a->edits.n) {
        app_complain(a, "no edits yet · {zero} zeroes what is under the cursor in the other views");
        return 0;
    }
    int i = a->cur.edit;
    const char *text = a->edits.text[i];
    if (!edit_number_find(text, &begin, &end)) {
        app_complain(a, "no number in this edit");
        return 0;
    }
    struct bytes b = {0};
    bytes_add(&b, text, begin);
    if (end > begin)
        bytes_addf(&b, "%.9g%s", stepped(strtod(text + begin, NULL), sign), text + end);
    else
        bytes_addf(&b, "%.9g * %s", stepped(1, sign), text + begin);
    int rc = b.failed ? -1 : edit_list_replace(&a->edits, i, b.data, &e);
    bytes_free(&b);
    if (rc < 0)
        app_complain(a, "%s", *e.text ? e.text : "out of memory");
    else {
        app_edits_changed(a);
        app_say(a, "edit %d: %s", i + 1, a->edits.text[i]);
    }
    return 0;
}
