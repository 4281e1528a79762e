/* explore.c - the commands that start the explorer: with a terminal, or driven by a script. */
#include "explorer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_read.h"
#include "cli.h"

enum { SCRIPT_BYTES_MAX = 1 << 24 };

/* "A/B": two tokens, or -1, -1. */
/* The prompt may also be the second word, and may be left out: the explorer asks for one. */
static int read_prompt(struct cli *c, const char *word)
{
    if (!word)
        return cli_prompt(c, true);
    if (c->opt->given[ON(prompt)] || c->opt->given[ON(from_stdin)] || c->opt->given[ON(tokens)] ||
        c->opt->given[ON(image)])
        return err_set(&c->err, ERR_USAGE, "two prompts: \"%s\" and an option · give one", word);
    struct options with_prompt = *c->opt;
    with_prompt.prompt = word;
    const struct options *given = c->opt;
    c->opt = &with_prompt;
    int rc = cli_prompt(c, false);
    c->opt = given;
    return rc;
}

static int open_explorer(struct cli *c, const char *prompt, struct explorer_options *x)
{
    const struct options *o = c->opt;
    int rc = cli_model(c, true);
    if (!rc)
        rc = read_prompt(c, prompt);
    *x = (struct explorer_options){.cache_bytes = cli_cache_bytes(c),
                                   .graphics = o->graphics,
                                   .color = o->color,
                                   .keymap = o->keymap,
                                   .plain = o->plain,
                                   .no_mouse = o->no_mouse};
    x->app = (struct app_options){.model = c->m,
                                  .prompt = o->image ? o->image
                                            : prompt ? prompt
                                                     : o->prompt,
                                  .bos = cli_bos(o),
                                  .edits = o->edits.item,
                                  .n_edits = o->edits.n,
                                  .refs = o->refs.item,
                                  .n_refs = o->refs.n,
                                  .other = o->other};
    x->app.image = c->image;
    if (o->tokens || o->from_stdin) {
        x->app.tokens = c->tokens;
        x->app.n = c->n;
    }
    if (!rc)
        rc = cli_present(c, &x->app.present, &x->app.locked);
    return rc ? rc : cli_pair(c, x->app.pair);
}

int cli_present(struct cli *c, bool *present, bool *locked)
{
    const char *how = c->opt->present;
    *present = how != NULL;
    *locked = how && !strcmp(how, "locked");
    return !how || !*how || *locked
               ? 0
               : err_set(&c->err, ERR_USAGE, "--present=%s · --present or --present=locked", how);
}

int cli_explore(struct cli *c)
{
    struct explorer_options x;
    int rc = open_explorer(c, c->opt->n_words ? c->opt->words[0] : NULL, &x);
    return rc ? rc : explorer_main(&x, &c->err);
}

static int parse_size(struct cli *c, int *w, int *h)
{
    char rest;
    const char *text = c->opt->size ? c->opt->size : "120x40";
    if (sscanf(text, "%4dx%4d%c", w, h, &rest) == 2 && *w > 0 && *h > 0)
        return 0;
    return err_set(&c->err, ERR_USAGE, "--size \"%s\" · columns x rows, e.g. 120x40", text);
}

/* "-" = standard input. */
static int read_script(struct cli *c, const char *path, char **text, size_t *len)
{
    int rc = strcmp(path, "-") == 0 ? cli_stdin(text, len, &c->err)
                                    : file_read_all(path, SCRIPT_BYTES_MAX, text, len, &c->err);
    if (rc)
        err_prefix(&c->err, "script");
    return rc;
}

int cli_play(struct cli *c)
{
    struct explorer_options x;
    char *script = NULL, *screens = NULL;
    size_t len, out_len;
    int w = 0, h = 0;
    c->model_name = c->opt->n_words ? c->opt->words[0] : "teach";
    int rc = parse_size(c, &w, &h);
    if (!rc)
        rc = read_script(c, c->opt->model, &script, &len);
    if (!rc)
        rc = open_explorer(c, NULL, &x);
    FILE *out = rc ? NULL : open_memstream(&screens, &out_len);
    if (!rc && !out)
        rc = cli_memory(c);
    if (!rc)
        rc = play_main(&x, script, len, c->opt->model, w, h, out, &c->err);
    if (out && fclose(out))
        rc = rc ? rc : cli_memory(c);
    if (!rc)
        bytes_add(&c->out, screens, out_len);
    free(screens);
    free(script);
    return rc;
}

int cli_keys(struct cli *c)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    int rc = out ? explorer_print_keymap(c->opt->keymap, out, &c->err) : cli_memory(c);
    if (out && fclose(out))
        rc = rc ? rc : cli_memory(c);
    if (!rc)
        bytes_add(&c->out, text, len);
    free(text);
    return rc;
}
