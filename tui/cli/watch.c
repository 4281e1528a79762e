/* watch.c - `borescope watch`: a shared explorer in this terminal. */
#include <stdio.h>

#include "cli.h"
#include "share/watch.h"

int cli_watch(struct cli *c)
{
    const struct options *o = c->opt;
    const struct watch_options w = {.room = o->model,
                                    .name = o->as_name,
                                    .graphics = o->graphics,
                                    .color = o->color,
                                    .no_mouse = o->no_mouse};
    return watch_main(&w, c->note, &c->err);
}
