/* lessons.c - `borescope lessons`: the lessons there are, and opening one. */
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "cli.h"
#include "explorer.h"
#include "lesson/lesson.h"
#include "model/hub.h"
#include "term/tty.h"

/* Parse a lesson's text; bad lines are one error, all of them told. */
static int parse(struct cli *c, const char *name, const char *text, size_t len, struct lesson *l)
{
    struct bytes errors = {0};
    int bad = lesson_parse(l, name, text, len, &errors), rc = 0;
    if (bad < 0)
        rc = cli_memory(c);
    else if (bad) {
        errors.data[errors.len - 1] = 0; /* the last newline */
        for (char *s = errors.data; (s = strchr(s, '\n'));)
            *s = ' ';
        rc = err_set(&c->err, ERR_BAD_INPUT, "%s", errors.data);
    }
    bytes_free(&errors);
    if (rc)
        lesson_free(l);
    return rc;
}

static void json_entry(struct json_out *j, const char *name, const struct lesson *l)
{
    json_out_object(j);
    json_out_string(json_out_key(j, "name"), name);
    json_out_int(json_out_key(j, "steps"), l->n);
    json_out_string(json_out_key(j, "title"), l->title);
    json_out_string(json_out_key(j, "about"), l->about);
    json_out_string(json_out_key(j, "model"), l->model);
    json_out_close(j);
}

static void table_entry(struct table *t, const char *name, const struct lesson *l)
{
    table_string(t, name);
    table_int(t, l->n);
    table_string(t, l->title);
    table_string(t, l->about);
}

static int list(struct cli *c)
{
    static const struct table_column columns[] = {COLUMN_TEXT("name"), COLUMN_INT("steps"),
                                                  COLUMN_TEXT("title"), COLUMN_TEXT("about")};
    struct table *t = c->opt->json ? NULL : table_new(columns, sizeof columns / sizeof *columns);
    struct json_out j;
    json_out_begin(&j, &c->out);
    if (c->opt->json)
        json_out_array(&j);
    const char *name;
    int rc = 0;
    for (int i = 0; (t || c->opt->json) && !rc && (name = lesson_name(i)); i++) {
        size_t len;
        const char *text = lesson_builtin(name, &len);
        struct lesson l;
        rc = parse(c, name, text, len, &l);
        if (!rc && t)
            table_entry(t, name, &l);
        else if (!rc)
            json_entry(&j, name, &l);
        lesson_free(&l);
    }
    if (rc) {
        table_free(t);
        return rc;
    }
    return c->opt->json ? cli_json_end(c, &j) : cli_table(c, t);
}

/* A built-in lesson by its name, or a file. */
static int read_lesson(struct cli *c, const char *name, struct lesson *l)
{
    size_t len;
    const char *text = lesson_builtin(name, &len);
    if (text)
        return parse(c, name, text, len, l);
    if (!strpbrk(name, "/."))
        return err_set(
            &c->err, ERR_BAD_INPUT,
            "no lesson \"%s\" · borescope lessons lists them, a file of your own has a . or /",
            name);
    char *own;
    int rc = file_read_all(name, LESSON_BYTES_MAX, &own, &len, &c->err);
    if (!rc) {
        rc = parse(c, name, own, len, l);
        free(own);
    }
    return rc;
}

struct opened {
    struct cli *c;
    struct lesson lesson;
};

/* As the explorer calls it. */
static int open_lesson(void *of, struct explorer_options *x, struct err *e)
{
    struct opened *l = of;
    struct cli *c = l->c;
    int rc = cli_model(c, true);
    x->app = (struct app_options){.model = c->m, .bos = -1, .pair = {-1, -1}, .lesson = &l->lesson};
    x->cache_bytes = rc ? 0 : cli_cache_bytes(c);
    if (!rc)
        rc = cli_present(c, &x->app.present, &x->app.locked);
    *e = c->err;
    return rc;
}

int cli_lessons(struct cli *c)
{
    const struct options *o = c->opt;
    struct opened l = {.c = c};
    struct hub_model h = {.name = ""};
    if (!o->model)
        return list(c);
    int rc = read_lesson(c, o->model, &l.lesson);
    c->model_name = l.lesson.model;
    if (!rc)
        rc = hub_resolve(c->model_name, &h, &c->err);
    struct explorer_options x = {.open = open_lesson,
                                 .of = &l,
                                 .name = h.name,
                                 .graphics = o->graphics,
                                 .color = o->color,
                                 .keymap = o->keymap,
                                 .plain = o->plain,
                                 .no_mouse = o->no_mouse};
    c->on_screen = !o->plain && tty_is_usable();
    if (!rc)
        rc = explorer_main(&x, &c->err);
    lesson_free(&l.lesson);
    return rc;
}
