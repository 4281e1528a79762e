/* export.c - `borescope export`: a run, its edits and captures as a Python program for another
 * library. */
#include "export/export.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "base/file_write.h"

/* -c, and the hooks that taker's config collects at. */
static int captures(struct cli *c, const char ***out, int *n)
{
    const struct option_list *given = &c->opt->capture;
    const struct taker_hooks *t = &c->taker;
    *n = given->n + (int)t->n_collects;
    *out = malloc(((size_t)*n + 1) * sizeof **out);
    if (!*out)
        return cli_memory(c);
    for (int i = 0; i < given->n; i++)
        (*out)[i] = given->item[i];
    for (int32_t i = 0; i < t->n_collects; i++) {
        const char *name = t->collect[i].name;
        (*out)[given->n + i] = name;
        for (int32_t k = t->collect[i].edits; k < t->n_edits; k++)
            if (!strncmp(t->edit[k], name, strlen(name)) && t->edit[k][strlen(name)] == ' ')
                return err_set(
                    &c->err, ERR_BAD_INPUT,
                    "collect at %s · %s comes after it: an exported program keeps values after all edits",
                    name, t->edit[k]);
    }
    return 0;
}

int cli_export(struct cli *c)
{
    const struct options *o = c->opt;
    struct pair_target t;
    struct bytes text = {0};
    enum export_to to = EXPORT_TRANSFORMER_LENS;
    int rc = o->to ? export_find(o->to, &to, &c->err)
                   : err_set(&c->err, ERR_USAGE,
                             "export needs a library · --to transformer_lens or --to nnsight");
    if (!rc)
        rc = cli_model(c, true);
    if (!rc)
        rc = cli_prompt(c, false);
    if (!rc)
        rc = cli_target(c, &t);
    const char **names = NULL;
    int n_names = 0;
    if (!rc)
        rc = captures(c, &names, &n_names);
    if (rc) {
        free(names);
        return rc;
    }
    const struct export x = {.m = c->m,
                             .tokens = t.input.tokens,
                             .n = t.input.n,
                             .edits = t.edits,
                             .on = t.on,
                             .n_edits = t.n_edits,
                             .prompts = t.prompts,
                             .n_prompts = t.n_prompts,
                             .align = t.align,
                             .sets = t.sets,
                             .n_sets = t.n_sets,
                             .captures = names,
                             .n_captures = n_names,
                             .grad = o->grad};
    rc = export_program(o->output ? &text : &c->out, to, &x, &c->err);
    if (!rc && o->output)
        rc = file_write_all(o->output, text.data, text.len, &c->err);
    bytes_free(&text);
    free(names);
    return rc;
}
