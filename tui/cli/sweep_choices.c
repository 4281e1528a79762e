/* sweep_choices.c - see sweep_choices.h. */
#include "sweep_choices.h"

#include <stdio.h>

int sweep_choices_make(struct cli *c, struct sweep_choices *out)
{
    const struct options *o = c->opt;
    if (o->over.n > SWEEP_CHOICES_MAX - 2)
        return err_set(&c->err, ERR_USAGE, "--over · at most %d of them", SWEEP_CHOICES_MAX - 2);
    for (int i = 0; i < o->over.n; i++)
        out->item[out->n++] = o->over.item[i];
    snprintf(out->layer, sizeof out->layer, "layer=%d", (int)o->layer);
    snprintf(out->head, sizeof out->head, "head=%d", (int)o->head);
    if (o->given[ON(layer)])
        out->item[out->n++] = out->layer;
    if (o->head >= 0)
        out->item[out->n++] = out->head;
    return 0;
}

const char *sweep_edits_text(const struct cli *c, struct bytes *buf)
{
    for (int i = 0; i < c->opt->set.n; i++) {
        bytes_add_string(buf, i ? "; " : "");
        bytes_add_string(buf, c->opt->set.item[i]);
    }
    bytes_add(buf, "", 1);
    return buf->failed ? "" : buf->data;
}
