/* action_reference.c - `:ref`: the reference sets that edits read. */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "edit/reference.h"

int app_set_reference(struct app *a, const char *arg, int *place, struct err *e)
{
    struct reference_set *fresh = NULL;
    int at = 0, r = reference_load(&fresh, a->m, a->opt.bos, arg, e);
    if (r < 0)
        return r;
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
    app_resolve(a);
    app_values_changed(a);
    return 0;
}

static void say_set(struct app *a, const struct reference_set *s)
{
    char path[200];
    text_copy(path, sizeof path, s->path, strlen(s->path), TEXT_PLAIN);
    app_say(a, "%s: %d prompt%s, %lld tokens, the longest %d · %s", s->name, (int)s->n,
            s->n == 1 ? "" : "s", (long long)s->n_tokens, (int)s->longest, path);
}

unsigned act_REF(struct app *a, const char *args)
{
    struct err e = {0};
    int at;
    if (*args && app_set_reference(a, args, &at, &e) < 0)
        app_complain(a, "%s", e.text);
    else if (*args)
        say_set(a, a->sets[at]);
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
