/* taker.c - the command that reads taker's hook-config text into edits. */
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "base/ends_with.h"
#include "edit/taker.h"

/* The worker reads text and parameters. */
struct taker_task {
    struct task task;
    const struct config *cfg;
    struct taker_hooks hooks;
    const char *params; /* in `config`, behind its end; NULL = none */
    char config[];
};

static int read_hooks(struct session_task *t, struct err *e)
{
    struct taker_task *k = (struct taker_task *)t;
    return taker_load(&k->hooks, k->cfg, k->config, k->params, e);
}

static void take_hooks(struct app *a, struct task *t)
{
    struct taker_hooks *h = &((struct taker_task *)t)->hooks;
    struct err e = t->work.err;
    int from = a->edits.n, rc = e.code;
    if (!rc)
        rc = edit_list_add_all(&a->edits, h->edit, h->n_edits, &e);
    if (rc < 0) {
        app_complain(a, "%s", e.text);
        return;
    }
    app_say(a, "%d edit%s · collect: %d hook%s, in the tensor view", (int)h->n_edits,
            h->n_edits == 1 ? "" : "s", (int)h->n_collects, h->n_collects == 1 ? "" : "s");
    if (h->n_edits)
        app_edits_try(a, from, a->edits.n);
}

static void free_task(struct task *t)
{
    taker_free(&((struct taker_task *)t)->hooks);
    free(t);
}

/* "CONFIG [PARAMS]": the last word is a file of parameters if it ends so. */
unsigned act_TAKER(struct app *a, const char *args)
{
    size_t size = strlen(args) + 1;
    struct taker_task *k = *args ? calloc(1, sizeof *k + size) : NULL;
    if (!k) {
        app_complain(a, *args ? "out of memory · taker" : "taker %s",
                     action_table[ACTION_TAKER].usage);
        return 0;
    }
    k->task = (struct task){.work.run = read_hooks, .finish = take_hooks, .free = free_task};
    k->cfg = &a->m->cfg;
    memcpy(k->config, args, size);
    char *last = strrchr(k->config, ' ');
    if (last && ends_with(last, ".safetensors")) {
        *last = '\0';
        k->params = last + 1;
    }
    app_begin(a, &k->task);
    return 0;
}
