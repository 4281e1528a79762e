/* reference.c - `:ref`: the reference sets that edits read. */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "edit/reference.h"

int app_set_reference(struct app *a, struct reference_set *fresh, int *place, struct err *e)
{
    int at = 0;
    while (at < a->n_sets && strcmp(a->sets[at]->name, fresh->name) != 0)
        at++;
    if (at == a->n_sets) {
        struct reference_set **more = realloc(a->sets,
                                              ((size_t)at + 1) * sizeof(struct reference_set *));
        if (!more) {
            reference_free(fresh);
            return err_set(e, ERR_SYSTEM, "out of memory");
        }
        a->sets = more;
        a->sets[a->n_sets++] = NULL;
    }
    reference_free(a->sets[at]);
    a->sets[at] = fresh;
    if (place)
        *place = at;
    app_values_changed(a);
    return 0;
}

/* The worker reads the file. */
struct ref_task {
    struct task task;
    const struct model *m;
    int bos;
    struct reference_set *set;
    char arg[];
};

static int read_set(struct session_task *t, struct err *e)
{
    struct ref_task *r = (struct ref_task *)t;
    return reference_load(&r->set, r->m, r->bos, r->arg, e);
}

static void say_set(struct app *a, const struct reference_set *s)
{
    char path[200];
    text_copy(path, sizeof path, s->path, strlen(s->path), TEXT_PLAIN);
    if (s->means) {
        app_say(a, "%s: means of hooks · %s", s->name, path);
        return;
    }
    app_say(a, "%s: %d prompt%s, %lld tokens, the longest %d · %s", s->name, (int)s->n,
            s->n == 1 ? "" : "s", (long long)s->n_tokens, (int)s->longest, path);
}

static void take_set(struct app *a, struct task *t)
{
    struct ref_task *r = (struct ref_task *)t;
    struct err e = t->work.err;
    int at, rc = e.code ? e.code : app_set_reference(a, r->set, &at, &e);
    r->set = NULL;
    if (rc < 0)
        app_complain(a, "%s", e.text);
    else
        say_set(a, a->sets[at]);
}

static void free_ref(struct task *t)
{
    reference_free(((struct ref_task *)t)->set);
    free(t);
}

static void begin_ref(struct app *a, const char *arg)
{
    size_t size = strlen(arg) + 1;
    struct ref_task *r = calloc(1, sizeof *r + size);
    if (!r) {
        app_complain(a, "out of memory");
        return;
    }
    r->task = (struct task){.work.run = read_set, .finish = take_set, .free = free_ref};
    r->m = a->m;
    r->bos = a->opt.bos;
    memcpy(r->arg, arg, size);
    app_begin(a, &r->task);
}

unsigned act_REF(struct app *a, const char *args)
{
    if (*args)
        begin_ref(a, args);
    else if (!a->n_sets)
        app_say(a, "no reference sets · ref NAME=FILE reads one, a prompt per line");
    else if (a->n_sets == 1)
        say_set(a, a->sets[0]);
    else {
        struct bytes b = {0};
        for (int i = 0; i < a->n_sets; i++)
            bytes_addf(&b, "%s%s: %d prompts", i ? " · " : "", a->sets[i]->name,
                       (int)a->sets[i]->n);
        if (!b.failed)
            app_say(a, "%s", b.data);
        bytes_free(&b);
    }
    return 0;
}
