/* edit_list.c - the edits of the session (see edit_list.h).
 *
 * A state of the history is the list as text, a line "+TEXT" or "-TEXT" for each edit (on, off):
 * small, and restoring one is parsing it. */
#include "list/edit_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "save/saved.h"

static void list_clear(struct edit_list *l)
{
    for (int i = 0; i < l->n; i++) {
        edit_free(l->edit[i]);
        free(l->text[i]);
        free(l->why[i]);
    }
    free(l->edit);
    free(l->text);
    free(l->on);
    free(l->why);
    free(l->in_force);
    l->edit = NULL;
    l->text = l->why = NULL;
    l->on = l->in_force = NULL;
    l->n = 0;
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_SYSTEM, "out of memory");
}

const char *edit_list_name(const char *text)
{
    const char *at = NULL;
    for (const char *s = text; (s = strstr(s, " # ")); s++)
        at = s + 3;
    return at && saved_is_name(at) ? at : NULL;
}

/* Canonical words of a parsed edit, and the name that stood behind them. */
static void print_named(const struct edit *ed, const char *text, char buf[LIMIT_EDIT_TEXT])
{
    const char *name = edit_list_name(text);
    edit_print(ed, buf, LIMIT_EDIT_TEXT);
    size_t n = strlen(buf);
    if (name && n + strlen(name) + 4 < LIMIT_EDIT_TEXT)
        snprintf(buf + n, LIMIT_EDIT_TEXT - n, " # %s", name);
}

static bool grow(void *array, size_t bytes)
{
    void *old, *fresh;
    memcpy(&old, array, sizeof old);
    fresh = realloc(old, bytes);
    if (fresh)
        memcpy(array, &fresh, sizeof fresh);
    return fresh;
}

/* Room for one more edit: twice as much where l->n is a power of two, so that a list of many costs
 * no more per edit than one of few. */
static bool list_grow(struct edit_list *l)
{
    size_t n = (size_t)l->n, room = n ? 2 * n : 1;
    return n & (n - 1) ||
           (grow(&l->edit, room * sizeof *l->edit) && grow(&l->text, room * sizeof *l->text) &&
            grow(&l->on, room * sizeof *l->on) && grow(&l->why, room * sizeof *l->why) &&
            grow(&l->in_force, room * sizeof *l->in_force));
}

static int list_append(struct edit_list *l, const char *text, bool on, struct err *e)
{
    if (l->n >= LIMIT_EDITS)
        return err_set(e, ERR_BAD_INPUT, "more than %d edits · delete some first", LIMIT_EDITS);
    struct edit *ed = NULL;
    int rc = edit_parse(&ed, text, e);
    if (rc < 0)
        return rc;
    char canonical[LIMIT_EDIT_TEXT];
    print_named(ed, text, canonical);
    char *copy = strdup(canonical);
    if (!copy || !list_grow(l)) {
        free(copy);
        edit_free(ed);
        return no_memory(e);
    }
    l->edit[l->n] = ed;
    l->text[l->n] = copy;
    l->why[l->n] = NULL;
    l->in_force[l->n] = on;
    l->on[l->n++] = on;
    return 0;
}

/* Parse `state` into an empty *l. */
static int state_read(struct edit_list *l, const char *state, struct err *e)
{
    while (*state) {
        size_t n = strcspn(state, "\n");
        char *line = strndup(state + 1, n - 1);
        if (!line)
            return no_memory(e);
        int rc = list_append(l, line, *state == '+', e);
        free(line);
        if (rc < 0)
            return rc;
        state += n + 1;
    }
    return 0;
}

/* The list becomes `state`; untouched on failure. */
static int state_restore(struct edit_list *l, const char *state, struct err *e)
{
    struct edit_list fresh = {0};
    int rc = state_read(&fresh, state, e);
    if (rc < 0) {
        list_clear(&fresh);
        return rc;
    }
    list_clear(l);
    l->edit = fresh.edit;
    l->text = fresh.text;
    l->on = fresh.on;
    l->why = fresh.why;
    l->in_force = fresh.in_force;
    l->n = fresh.n;
    return 0;
}

static void past_free(struct edit_list *l, int i)
{
    l->past_bytes -= strlen(l->past[i]) + 1;
    free(l->past[i]);
}

void edit_list_forget(struct edit_list *l)
{
    for (int i = l->at + 1; i < l->n_past; i++)
        past_free(l, i);
    l->n_past = l->at + 1;
}

/* Push a state behind the present one, forgetting what was undone, and make it the present. */
static int state_push(struct edit_list *l, const char *state, struct err *e)
{
    if (strcmp(state, l->past[l->at]) == 0)
        return 0;
    int rc = state_restore(l, state, e);
    if (rc < 0)
        return rc;
    char *copy = strdup(state);
    char **grown = copy ? realloc(l->past, (size_t)(l->at + 2 > l->n_past ? l->at + 2 : l->n_past) *
                                               sizeof *grown)
                        : NULL;
    if (!grown) {
        free(copy);
        struct err ignored;
        state_restore(l, l->past[l->at], &ignored);
        return no_memory(e);
    }
    l->past = grown;
    edit_list_forget(l);
    l->past[++l->at] = copy;
    l->n_past = l->at + 1;
    l->past_bytes += strlen(copy) + 1;
    while (l->n_past > EDIT_LIST_UNDO_MAX ||
           (l->past_bytes > EDIT_LIST_UNDO_BYTES && l->n_past > 2)) {
        past_free(l, 0);
        memmove(l->past, l->past + 1, (size_t)--l->n_past * sizeof *l->past);
        l->at--;
    }
    return 0;
}

int edit_list_become(struct edit_list *l, const char *state, struct err *e)
{
    return state_push(l, state, e);
}

int edit_list_init(struct edit_list *l, struct err *e)
{
    *l = (struct edit_list){0};
    l->past = calloc(1, sizeof *l->past);
    if (l->past)
        l->past[0] = strdup("");
    if (!l->past || !l->past[0]) {
        free(l->past);
        return no_memory(e);
    }
    l->n_past = 1;
    l->past_bytes = 1;
    return 0;
}

void edit_list_free(struct edit_list *l)
{
    list_clear(l);
    for (int i = 0; i < l->n_past; i++)
        free(l->past[i]);
    free(l->past);
    *l = (struct edit_list){0};
}

enum { EVERY = -1 };
/* The present state with edit `at` (EVERY: all) switched to `on`, or left out, or with another
 * text. */
static int state_change(struct edit_list *l, int at, bool on, bool leave_out, const char *text,
                        struct err *e)
{
    struct bytes b = {0};
    for (int i = 0; i < l->n; i++) {
        bool here = i == at || at == EVERY;
        if (here && leave_out)
            continue;
        bytes_addf(&b, "%c%s\n", (here ? on : l->on[i]) ? '+' : '-',
                   here && text ? text : l->text[i]);
    }
    if (at == l->n)
        bytes_addf(&b, "+%s\n", text);
    int rc = b.failed ? no_memory(e) : state_push(l, b.data ? b.data : "", e);
    bytes_free(&b);
    return rc;
}

int edit_list_may(const struct edit_list *l, const struct edit *ed, struct err *e)
{
    return l->no_files && edit_names_file(ed)
               ? err_set(e, ERR_BAD_INPUT,
                         "an edit that reads a file is not for guests · ^] gives the keyboard back")
               : 0;
}

/* Canonical text of a new edit into buf. */
static int canonical_text(const struct edit_list *l, const char *text, char buf[LIMIT_EDIT_TEXT],
                          struct err *e)
{
    struct edit *ed = NULL;
    int rc = edit_parse(&ed, text, e);
    if (!rc)
        rc = edit_list_may(l, ed, e);
    if (!rc)
        print_named(ed, text, buf);
    edit_free(ed);
    return rc;
}

int edit_list_add(struct edit_list *l, const char *text, struct err *e)
{
    return edit_list_replace(l, l->n, text, e);
}

int edit_list_add_all(struct edit_list *l, char *const *texts, int n, struct err *e)
{
    struct bytes all = {0};
    int rc = 0;
    for (int i = 0; i < n && rc >= 0; i++) {
        char canonical[LIMIT_EDIT_TEXT];
        rc = canonical_text(l, texts[i], canonical, e);
        bytes_addf(&all, "%s%s", i ? "\n+" : "", rc < 0 ? "" : canonical);
    }
    if (rc >= 0)
        rc = all.failed ? no_memory(e) : n ? state_change(l, l->n, true, false, all.data, e) : 0;
    bytes_free(&all);
    return rc;
}

int edit_list_replace(struct edit_list *l, int i, const char *text, struct err *e)
{
    char canonical[LIMIT_EDIT_TEXT];
    int rc = canonical_text(l, text, canonical, e);
    return rc < 0 ? rc : state_change(l, i, true, false, canonical, e);
}

int edit_list_delete(struct edit_list *l, int i, struct err *e)
{
    return state_change(l, i, false, true, NULL, e);
}

int edit_list_rename(struct edit_list *l, int i, const char *name, struct err *e)
{
    struct bytes b = {0};
    for (int at = 0; at < l->n; at++) {
        const char *was = edit_list_name(l->text[at]);
        size_t n = at == i && was ? (size_t)(was - l->text[at]) - 3 : strlen(l->text[at]);
        bytes_add_char(&b, l->on[at] ? '+' : '-');
        bytes_add(&b, l->text[at], n);
        if (at == i && name && *name)
            bytes_addf(&b, " # %s", name);
        bytes_add_char(&b, '\n');
    }
    int rc = b.failed ? no_memory(e) : state_push(l, b.data ? b.data : "", e);
    bytes_free(&b);
    return rc;
}

int edit_list_set_group(struct edit_list *l, const char *name, bool on, struct err *e)
{
    struct bytes b = {0};
    int found = 0;
    for (int at = 0; at < l->n; at++) {
        const char *is = edit_list_name(l->text[at]);
        bool member = is && strcmp(is, name) == 0;
        found += member;
        bytes_addf(&b, "%c%s\n", (member ? on : l->on[at]) ? '+' : '-', l->text[at]);
    }
    int rc = b.failed ? no_memory(e) : found ? state_push(l, b.data, e) : 0;
    bytes_free(&b);
    return rc < 0 ? rc : found;
}

int edit_list_swap(struct edit_list *l, int i, int k, struct err *e)
{
    struct bytes b = {0};
    for (int at = 0; at < l->n; at++) {
        int from = at == i ? k : at == k ? i : at;
        bytes_addf(&b, "%c%s\n", l->on[from] ? '+' : '-', l->text[from]);
    }
    int rc = b.failed ? no_memory(e) : state_push(l, b.data ? b.data : "", e);
    bytes_free(&b);
    return rc;
}

int edit_list_set_on(struct edit_list *l, int i, bool on, struct err *e)
{
    return state_change(l, i, on, false, NULL, e);
}

int edit_list_set_all(struct edit_list *l, bool on, struct err *e)
{
    return state_change(l, EVERY, on, false, NULL, e);
}

int edit_list_count_on(const struct edit_list *l)
{
    int n = 0;
    for (int i = 0; i < l->n; i++)
        n += l->on[i];
    return n;
}

int edit_list_count_in_force(const struct edit_list *l)
{
    int n = 0;
    for (int i = 0; i < l->n; i++)
        n += l->in_force[i];
    return n;
}

void edit_list_fail(struct edit_list *l, int i, const char *why)
{
    free(l->why[i]);
    l->why[i] = strdup(why);
    l->in_force[i] = false;
}

void edit_list_retry(struct edit_list *l)
{
    for (int i = 0; i < l->n; i++) {
        free(l->why[i]);
        l->why[i] = NULL;
        l->in_force[i] = l->on[i];
    }
}

int edit_list_undo(struct edit_list *l, struct err *e)
{
    if (!l->at)
        return err_set(e, ERR_BAD_INPUT, "nothing to undo");
    int rc = state_restore(l, l->past[l->at - 1], e);
    if (rc == 0)
        l->at--;
    return rc;
}

int edit_list_redo(struct edit_list *l, struct err *e)
{
    if (l->at + 1 >= l->n_past)
        return err_set(e, ERR_BAD_INPUT, "nothing to redo");
    int rc = state_restore(l, l->past[l->at + 1], e);
    if (rc == 0)
        l->at++;
    return rc;
}
