/* command_log.c - see command_log.h. */
#include "save/command_log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void command_log_free(struct command_log *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->line[i]);
    free(l->line);
    *l = (struct command_log){0};
}

void command_log_add(struct command_log *l, const char *text)
{
    char *copy = strdup(text);
    if (copy && l->n == COMMAND_LOG_MAX) {
        free(l->line[0]);
        memmove(l->line, l->line + 1, (size_t)--l->n * sizeof *l->line);
    }
    char **more = copy ? realloc(l->line, ((size_t)l->n + 1) * sizeof *more) : NULL;
    if (!more) {
        free(copy);
        return;
    }
    l->line = more;
    l->line[l->n++] = copy;
}

void command_log_drop(struct command_log *l)
{
    if (l->n)
        free(l->line[--l->n]);
}

bool command_log_edits(enum action_id id)
{
    bool looks = id == ACTION_ALIGN || id == ACTION_COMPARE || id == ACTION_SELECT;
    return !looks && ((id >= ACTION_ZERO && id <= ACTION_DELETE) || id == ACTION_REPLACE);
}

bool command_log_takes(enum action_id id)
{
    static const enum action_id silent[] = {
        ACTION_MOVE,   ACTION_GO,       ACTION_ENTER,   ACTION_BACK,   ACTION_OLDER,
        ACTION_NEWER,  ACTION_SELECT,   ACTION_NEXT,    ACTION_SEARCH, ACTION_COPY,
        ACTION_HELP,   ACTION_COMMAND,  ACTION_KEYBAR,  ACTION_QUIT,   ACTION_REDRAW,
        ACTION_CANCEL, ACTION_PREVIOUS, ACTION_SUSPEND, ACTION_RUN,    ACTION_SOURCE};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        if (silent[i] == id)
            return false;
    return (action_table[id].where & CTX_VIEWS) && !command_log_edits(id);
}

/* ---- what became of the edits ---- */

static int count(const char *lines)
{
    int n = 0;
    for (; *lines; lines++)
        n += *lines == '\n';
    return n;
}

/* Line i, without its end. */
static const char *line_of(const char *lines, int i, size_t *len)
{
    for (; i; i--)
        lines += strcspn(lines, "\n") + 1;
    *len = strcspn(lines, "\n");
    return lines;
}

static bool same(const char *a, int i, const char *b, int j)
{
    size_t m, n;
    const char *x = line_of(a, i, &m), *y = line_of(b, j, &n);
    return m == n && memcmp(x, y, n) == 0;
}

static void addf(struct command_log *l, const char *fmt, int i, const char *text, size_t len)
{
    char head[64];
    struct bytes b = {0};
    snprintf(head, sizeof head, fmt, i);
    bytes_add_string(&b, head);
    bytes_add(&b, text, len);
    if (!b.failed)
        command_log_add(l, b.data);
    bytes_free(&b);
}

/* Lines i of both differ: switched, or another text. */
static void changed(struct command_log *l, const char *before, const char *after, int i)
{
    size_t m, n;
    const char *x = line_of(before, i, &m), *y = line_of(after, i, &n);
    if (m == n && n && memcmp(x + 1, y + 1, n - 1) == 0)
        addf(l, "toggle %d", i + 1, "", 0);
    else
        addf(l, "replace %d ", i + 1, y + 1, n - 1);
}

void command_log_change(struct command_log *l, const char *before, const char *after)
{
    int n = count(before), m = count(after), gone = 0;
    if (m < n) { /* one or more were taken out */
        for (int i = 0; i < n; i++)
            if (i - gone >= m || !same(before, i, after, i - gone)) {
                addf(l, "delete %d", i + 1 - gone, "", 0);
                gone++;
            }
        return;
    }
    for (int i = 0; i < n; i++)
        if (!same(before, i, after, i))
            changed(l, before, after, i);
    for (int i = n; i < m; i++) {
        size_t len;
        const char *text = line_of(after, i, &len);
        addf(l, "edit%.0d ", 0, text + 1, len - 1);
    }
}

void command_log_print(const struct command_log *l, struct bytes *out)
{
    for (int i = 0; i < l->n; i++)
        bytes_addf(out, "%s\n", l->line[i]);
}
