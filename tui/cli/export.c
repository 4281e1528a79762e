/* export.c - `borescope export`: a run, its edits and captures as a Python program for another library. */
#include "export.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "file_write.h"

static int write_program(struct cli *c, const char *path, const struct bytes *text)
{
    struct file_write f;
    int err = file_write_begin(&f, path, &c->err);
    if (err)
        return err;
    err = file_write_bytes(&f, text->data, text->len, &c->err);
    if (err)
        file_write_abandon(&f);
    return err ? err : file_write_commit(&f, &c->err);
}

int cli_export(struct cli *c)
{
    const struct options *o = c->opt;
    struct pair_target t;
    struct bytes text = {0};
    enum export_to to = EXPORT_TRANSFORMER_LENS;
    int err = o->to ? export_find(o->to, &to, &c->err)
                    : err_set(&c->err, ERR_USAGE, "export needs a library · --to transformer_lens or --to nnsight");
    if (!err)
        err = cli_model(c, true);
    if (!err)
        err = cli_prompt(c, false);
    if (!err)
        err = cli_target(c, &t);
    if (err)
        return err;
    const struct export x = {.m = c->m, .tokens = t.tokens, .n = t.n, .edits = t.edits, .on = t.on, .n_edits = t.n_edits,
                             .prompts = t.prompts, .n_prompts = t.n_prompts, .sets = t.sets, .n_sets = t.n_sets, .captures = o->capture.item,
                             .n_captures = o->capture.n, .grad = o->grad};
    err = export_program(o->output ? &text : &c->out, to, &x, &c->err);
    if (!err && o->output)
        err = write_program(c, o->output, &text);
    bytes_free(&text);
    return err;
}
