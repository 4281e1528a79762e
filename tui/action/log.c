/* log.c - commands about commands: the log, running it again, files of commands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "base/file_read.h"

enum { SOURCE_BYTES_MAX = 1 << 20 };

unsigned act_RUN(struct app *a, const char *args)
{
    char *end;
    long i = *args ? strtol(args, &end, 10) : a->cur.log + 1;
    if ((*args && *end) || i < 1 || i > a->log.n) {
        app_complain(a, "no such command · 1 to %d", a->log.n);
        return 0;
    }
    char *text = strdup(a->log.line[i - 1]);
    unsigned react = text ? app_command(a, text) : 0;
    free(text);
    return react;
}

unsigned act_REPLACE(struct app *a, const char *args)
{
    char *end;
    long i = strtol(args, &end, 10);
    struct err e = {0};
    if (end == args || *end != ' ' || i < 1 || i > a->edits.n) {
        app_complain(a, "replace NUMBER EDIT · there are %d edits", a->edits.n);
        return 0;
    }
    if (edit_list_replace(&a->edits, (int)i - 1, end + strspn(end, " "), &e) < 0)
        app_complain(a, "%s", e.text);
    else
        app_edits_try(a, (int)i - 1, (int)i);
    return 0;
}

/* ---- a file of commands ---- */

struct source_task {
    struct task task;
    char *text;
    size_t len;
    char path[];
};

static int read_source(struct session_task *t, struct err *e)
{
    struct source_task *s = (struct source_task *)t;
    return file_read_all(s->path, SOURCE_BYTES_MAX, &s->text, &s->len, e);
}

/* Lines that fail are said and left; the others run. */
static void run_source(struct app *a, struct task *t)
{
    struct source_task *s = (struct source_task *)t;
    struct bytes bad = {0};
    int n = 0, number = 0;
    if (t->work.err.code < 0) {
        app_complain(a, "%s", t->work.err.text);
        return;
    }
    for (size_t at = 0; at < s->len; number++) {
        size_t len = strcspn(s->text + at, "\n");
        char *line = strndup(s->text + at, len);
        at += len + 1;
        if (line && *line && *line != '#') {
            a->message_bad = false;
            app_command(a, line);
            n++;
            if (a->message_bad)
                bytes_addf(&bad, "%s:%d: %s\n", s->path, number + 1, a->message);
        }
        free(line);
    }
    app_say(a, "%s: %d commands", s->path, n);
    if (bad.len && !bad.failed) {
        free(a->notice);
        a->notice = strdup(bad.data);
    }
    bytes_free(&bad);
}

static void free_source(struct task *t)
{
    free(((struct source_task *)t)->text);
    free(t);
}

unsigned act_SOURCE(struct app *a, const char *args)
{
    size_t size = strlen(args) + 1;
    struct source_task *s = *args ? calloc(1, sizeof *s + size) : NULL;
    if (!s) {
        app_complain(a, *args ? "out of memory" : "source FILE · of commands, one a line");
        return 0;
    }
    s->task = (struct task){.work.run = read_source, .finish = run_source, .free = free_source};
    memcpy(s->path, args, size);
    app_begin(a, &s->task);
    return 0;
}
