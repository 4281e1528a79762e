/* heads.c - commands of the heads view: sorting, the wall, copying scores. */
#include <stdlib.h>
#include <string.h>

#include "list/head_list.h"
#include "tensor.h"
#include "measure/copying.h"

/* Scores of the weights alone: once for a model, on the worker. */
struct copying_task {
    struct task task;
    const struct model *m;
    float *scores;
};

static int compute(struct session_task *t, struct err *e)
{
    struct copying_task *c = (struct copying_task *)t;
    return copying_scores(c->m, c->scores, e);
}

static void take(struct app *a, struct task *t)
{
    struct copying_task *c = (struct copying_task *)t;
    if (t->work.err.code < 0) {
        app_complain(a, "%s", t->work.err.text);
        return;
    }
    free(a->copying);
    a->copying = c->scores;
    c->scores = NULL;
}

static void drop(struct task *t)
{
    free(((struct copying_task *)t)->scores);
    free(t);
}

static void begin_copying(struct app *a)
{
    const struct config *cfg = &a->m->cfg;
    struct copying_task *t = calloc(1, sizeof *t);
    float *scores = calloc((size_t)cfg->n_layers * (size_t)cfg->n_heads, sizeof *scores);
    if (!t || !scores) {
        free(t), free(scores);
        app_complain(a, "out of memory");
        return;
    }
    *t = (struct copying_task){
        .task = {.work = {.run = compute}, .finish = take, .free = drop, .for_guests = true},
        .m = a->m,
        .scores = scores};
    app_begin(a, &t->task);
}

static unsigned sort_tensor(struct app *a, const char *args)
{
    size_t n = strcspn(args, " ");
    bool rows = n == 4 && strncmp(args, "rows", n) == 0,
         columns = n == 7 && strncmp(args, "columns", n) == 0,
         least = strcmp(args + n, " least") == 0;
    if (strcmp(args, "place") == 0)
        tensor_unsort(a);
    else if ((rows || columns) && (least || !args[n]))
        tensor_sort(a, rows ? SLICE_ROWS : SLICE_COLUMNS, least);
    else
        app_complain(a, "sort rows|columns [least], or place: as they are");
    return 0;
}

unsigned act_SORT(struct app *a, const char *args)
{
    int k = -1;
    if (a->cur.view == VIEW_TENSOR)
        return sort_tensor(a, args);
    if (a->cur.view == VIEW_SWEEP) {
        a->sweep_list = !a->sweep_list;
        app_say(a, a->sweep_list ? "by change" : "as a map");
        return 0;
    }
    if (!*args || strcmp(args, "next") == 0)
        k = ((int)a->heads_sort + 1) % HEADS_SORT_COUNT;
    else if (strcmp(args, "previous") == 0)
        k = ((int)a->heads_sort + HEADS_SORT_COUNT - 1) % HEADS_SORT_COUNT;
    for (int i = 0; i < HEADS_SORT_COUNT && k < 0; i++)
        if (strcmp(args, heads_sort_names[i]) == 0)
            k = i;
    if (strcmp(args, "reverse") == 0) {
        a->heads_ascending = !a->heads_ascending;
        return 0;
    }
    if (k < 0) {
        app_complain(a, "sort %s", action_table[ACTION_SORT].usage);
        return 0;
    }
    a->heads_sort = (enum heads_sort)k;
    if (k == HEADS_BY_COPYING && !a->copying)
        begin_copying(a);
    return 0;
}

unsigned act_WALL(struct app *a, const char *args)
{
    (void)args;
    a->heads_wall = !a->heads_wall;
    a->heads_top = 0;
    return 0;
}
