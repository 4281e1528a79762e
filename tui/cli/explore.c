/* explore.c - the commands that start the explorer: with a terminal, or driven by a script. */
#include "explorer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_read.h"
#include "cli.h"
#include "compare.h"
#include "model/hub.h"
#include "model/process.h"
#include "save/state_files.h"
#include "term/tty.h"

enum { SCRIPT_BYTES_MAX = 1 << 24 };

static int refuse_two_prompts(struct cli *c, const char *word)
{
    const bool *given = c->opt->given;
    bool two = word && (given[ON(prompt)] || given[ON(from_stdin)] || given[ON(tokens)] ||
                        given[ON(image)]);
    return !two ? 0
                : err_set(&c->err, ERR_USAGE, "two prompts: \"%s\" and an option · give one", word);
}

/* The prompt may also be the second word, and may be left out: the explorer asks for one. */
static int read_prompt(struct cli *c, const char *word)
{
    if (!word)
        return cli_prompt(c, true);
    struct options with_prompt = *c->opt;
    with_prompt.prompt = word;
    const struct options *given = c->opt;
    c->opt = &with_prompt;
    int rc = cli_prompt(c, false);
    c->opt = given;
    return rc;
}

/* The second model, where the first is and processed as it is; like that one it opens compared. */
static int open_against(struct cli *c, const char *name)
{
    if (!name)
        return 0;
    int rc = model_open(&c->against, name, c->be, &c->err);
    if (!rc)
        rc = process_model(c->against, c->m->process, &c->err);
    return rc ? rc : compare_models(c->m, c->against, &c->err);
}

/* That of a session, which goes on without one that is not there any more: why says so. */
static int open_against_of(struct cli *c, const char *name, struct err *why)
{
    if (c->opt->against || !open_against(c, name))
        return 0;
    *why = c->err;
    c->err = (struct err){0};
    model_close(c->against);
    c->against = NULL;
    return 0;
}

/* What the explorer is started with, and what comes of it. */
struct starting {
    struct cli *c;
    const char *prompt;    /* the word that is one; NULL: none */
    const struct saved *s; /* the session that it goes on with, or NULL */
    const char *path;      /* of that one */
    bool share, named;     /* the model was named beside the session */
    struct err why;        /* what of the session is not there */
};

static void fill_app(struct starting *g, const char *against, struct app_options *app)
{
    const struct cli *c = g->c;
    const struct options *o = c->opt;
    *app = (struct app_options){.model = c->m,
                                .model_name = c->model_name,
                                .prompt = o->image    ? o->image
                                          : g->prompt ? g->prompt
                                                      : o->prompt,
                                .bos = cli_bos(o),
                                .edits = c->texts.item,
                                .n_edits = c->texts.n,
                                .refs = o->refs.item,
                                .n_refs = o->refs.n,
                                .other = o->other,
                                .against = c->against,
                                .against_name = against,
                                .no_against = g->why.code ? g->why.text : NULL,
                                .image = c->image};
    if (o->tokens || o->from_stdin) {
        app->tokens = c->tokens;
        app->n = c->n;
    }
    if (g->share) {
        app->share = o->as_name ? o->as_name : "";
        app->allow = o->allow.item;
        app->n_allow = o->allow.n;
    }
}

/* Model, prompt, edits. */
static int open_explorer(struct starting *g, struct explorer_options *x)
{
    struct cli *c = g->c;
    const struct options *o = c->opt;
    const char *of_session = g->s ? saved_get(g->s, NULL, SAVED_AGAINST) : NULL;
    int rc = cli_model(c, true);
    if (!rc)
        rc = open_against(c, o->against);
    if (!rc && of_session)
        rc = open_against_of(c, of_session, &g->why);
    if (!rc)
        rc = read_prompt(c, g->prompt);
    if (!rc)
        rc = cli_edit_texts(c);
    x->cache_bytes = cli_cache_bytes(c);
    fill_app(g, o->against ? o->against : of_session, &x->app);
    if (!rc)
        rc = cli_present(c, &x->app.present, &x->app.locked);
    return rc ? rc : cli_pair(c, x->app.pair);
}

/* It could not be opened, of a session that names it. */
static void name_session(const struct starting *g, struct err *e)
{
    const struct cli *c = g->c;
    const struct err why = *e;
    if (g->path && !c->m && !g->named)
        err_set(e, why.code,
                "%.150s is of %.100s · %.150s · borescope MODEL --session FILE opens it with a "
                "model that is there",
                g->path, c->model_name ? c->model_name : "no model", why.text);
}

/* As the explorer calls it. */
static int open_behind_frame(void *of, struct explorer_options *x, struct err *e)
{
    struct starting *g = of;
    int rc = open_explorer(g, x);
    *e = g->c->err;
    if (rc)
        name_session(g, e);
    return rc;
}

/* A prompt that is typed into the terminal is typed before the screen is there. */
static int typed_prompt(struct cli *c, struct options *with, char **text)
{
    size_t n;
    if (!with->from_stdin || !isatty(STDIN_FILENO))
        return 0;
    with->from_stdin = false;
    int rc = cli_stdin(text, &n, &c->err);
    with->prompt = *text;
    return rc;
}

/* What is known to be wrong without opening anything is said before there is a screen. */
static int run_explorer(struct starting *g, struct explorer_options *x)
{
    struct cli *c = g->c;
    const struct options *given = c->opt;
    struct options with = *given;
    struct hub_model h = {.name = ""};
    char *typed = NULL;
    bool present, locked;
    int rc = cli_present(c, &present, &locked);
    if (!rc)
        rc = refuse_two_prompts(c, g->prompt);
    if (!rc && c->model_name && (rc = hub_resolve(c->model_name, &h, &c->err)))
        name_session(g, &c->err);
    c->opt = &with;
    if (!rc)
        rc = typed_prompt(c, &with, &typed);
    x->name = h.name;
    x->open = open_behind_frame;
    x->of = g;
    c->on_screen = !given->plain && tty_is_usable();
    if (!rc)
        rc = explorer_main(x, &c->err);
    c->opt = given;
    free(typed);
    return rc;
}

/* What it looks like. */
static struct explorer_options looks(const struct options *o)
{
    return (struct explorer_options){.graphics = o->graphics,
                                     .color = o->color,
                                     .keymap = o->keymap,
                                     .plain = o->plain,
                                     .no_mouse = o->no_mouse};
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

/* A session brings what it is of; what is given beside it would be lost. */
static int refuse_beside(struct cli *c)
{
    static const struct {
        int option;
        const char *name, *command;
    } options[] = {
        {ON(prompt), "-p", "prompt TEXT"},       {ON(from_stdin), "--stdin", "prompt TEXT"},
        {ON(tokens), "--tokens", "prompt TEXT"}, {ON(edits), "-e", "edit EDIT"},
        {ON(other), "--other", "other TEXT"},    {ON(pair), "--pair", "pair TOKEN TOKEN"}};
    const struct options *o = c->opt;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (o->given[options[i].option])
            return err_set(&c->err, ERR_USAGE,
                           "%s beside a session, which has its own · in it :%s changes that",
                           options[i].name, options[i].command);
    return o->n_words ? err_set(&c->err, ERR_USAGE,
                                "a prompt beside a session, which has its own · in it :prompt TEXT "
                                "changes that")
                      : 0;
}

/* The session that is asked for, into *s and its file's name into path; "" = none is. */
static int find_session(struct cli *c, char path[PATH_MAX], struct saved *s)
{
    const struct options *o = c->opt;
    char folder[PATH_MAX], *text = NULL;
    struct bytes ignored = {0}; /* told when it is applied */
    size_t n;
    int rc = 0;
    path[0] = 0;
    if (o->session)
        rc = state_session_path(state_folder(folder, NULL), o->session, path, &c->err);
    else if (o->resume)
        rc = state_newest(state_folder(folder, NULL), o->model, path, &c->err);
    if (!rc && *path)
        rc = refuse_beside(c);
    if (rc || !*path)
        return rc;
    rc = file_read_all(path, SAVED_BYTES_MAX, &text, &n, &c->err);
    if (!rc && saved_parse(s, path, text, n, &ignored) < 0)
        rc = cli_memory(c);
    if (!rc && !o->model && !saved_get(s, NULL, SAVED_MODEL))
        rc = err_set(&c->err, ERR_BAD_INPUT,
                     "%s · it names no model · borescope MODEL --session NAME", path);
    free(text);
    bytes_free(&ignored);
    return rc;
}

/* What the model is opened with, from a session; all else when it is open. */
static void options_of(struct cli *c, const struct saved *s, struct options *with)
{
    const char *bos = saved_get(s, NULL, SAVED_BOS);
    if (!with->model)
        c->model_name = saved_get(s, NULL, SAVED_MODEL);
    if (!with->process)
        with->process = saved_get(s, NULL, SAVED_PROCESS);
    if (!with->image)
        with->image = saved_get(s, NULL, SAVED_IMAGE);
    if (bos && !with->bos && !with->no_bos)
        *(*bos == '1' ? &with->bos : &with->no_bos) = true;
}

int cli_explore(struct cli *c)
{
    const struct options *given = c->opt;
    struct explorer_options x = looks(given);
    struct saved s = {0};
    struct options with = *given;
    char path[PATH_MAX];
    int rc = find_session(c, path, &s);
    bool goes_on = !rc && *path;
    struct starting g = {.c = c,
                         .prompt = given->n_words ? given->words[0] : NULL,
                         .s = goes_on ? &s : NULL,
                         .path = goes_on ? path : NULL,
                         .named = given->model != NULL};
    if (goes_on)
        options_of(c, &s, &with);
    c->opt = &with;
    x.session = g.path;
    x.session_name = given->session;
    if (!rc)
        rc = run_explorer(&g, &x);
    c->opt = given;
    saved_free(&s);
    return rc;
}

int cli_share(struct cli *c)
{
    const struct options *o = c->opt;
    struct explorer_options x = looks(o);
    struct starting g = {.c = c, .prompt = o->n_words ? o->words[0] : NULL, .share = true};
    if (!tty_is_usable())
        return err_set(&c->err, ERR_USAGE, "share needs a terminal");
    return run_explorer(&g, &x);
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
    struct explorer_options x = looks(c->opt);
    struct starting g = {.c = c};
    char *script = NULL, *screens = NULL;
    size_t len, out_len;
    int w = 0, h = 0;
    c->model_name = c->opt->n_words ? c->opt->words[0] : "teach";
    int rc = parse_size(c, &w, &h);
    if (!rc)
        rc = read_script(c, c->opt->model, &script, &len);
    if (!rc)
        rc = open_explorer(&g, &x);
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
