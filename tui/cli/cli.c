/* cli.c - model, prompt and edits of a headless command (see cli.h). */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_device.h"
#include "edit/edit_reach.h"
#include "save/image_file.h"
#include "measure/lens.h"
#include "model/process.h"
#include "edit/reference.h"
#include "run/run.h"
#include "text.h"
#include "input/token_word.h"
#include "run/weight_copy.h"
#include "token/token_ids.h"

const struct command command_table[] = {
#define COMMAND(name, words, arguments, options, help) \
    {#name, arguments, help, words, OPTION_SET options, cli_##name},
#include "commands.def"
};
const int command_count = sizeof command_table / sizeof *command_table;

const struct command *command_find(const char *name)
{
    for (int i = 0; i < command_count; i++)
        if (!strcmp(command_table[i].name, name))
            return &command_table[i];
    return NULL;
}

void cli_close(struct cli *c)
{
    pair_close(c->pair);
    edit_program_free(c->program);
    for (int32_t i = 0; i < c->n_edits; i++)
        edit_free(c->edits[i]);
    taker_free(&c->taker);
    for (int32_t i = 0; i < c->n_prompts; i++) {
        free((void *)(uintptr_t)c->prompts[i].name);
        free((void *)(uintptr_t)c->prompts[i].tokens);
        image_drop(c->prompts[i].image);
    }
    for (int i = 0; i < c->opt->refs.n && c->sets; i++)
        reference_free(c->sets[i]);
    free(c->sets);
    free(c->edits);
    cli_edit_texts_free(c);
    free(c->prompts);
    free(c->tokens), free(c->types);
    image_drop(c->image);
    model_close(c->m);
    model_close(c->against);
    if (c->be)
        kn_close(c->be);
    bytes_free(&c->out);
}

int cli_memory(struct cli *c)
{
    return err_memory(&c->err, "%s", c->opt->command->name);
}

int cli_model(struct cli *c, bool weights)
{
    unsigned process = 0;
    int rc = c->opt->process ? process_parse(c->opt->process, &process, &c->err) : 0;
    if (!rc)
        rc = weights ? cli_open_device(c) : model_open(&c->m, c->model_name, NULL, &c->err);
    if (rc || !weights)
        return rc;
    const char *why = process_left_out(&c->m->cfg, process);
    if (why)
        snprintf(c->note, sizeof c->note, "%s", why);
    return process_model(c->m, process, &c->err);
}

/* ------------------------------------------------------------------ the prompt */

int cli_stdin(char **text, size_t *len, struct err *e)
{
    struct bytes b = {0};
    for (;;) {
        char *room = bytes_reserve(&b, 1 << 16);
        ssize_t n = room ? read(STDIN_FILENO, room, 1 << 16) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || !room) {
            int code = errno;
            bytes_free(&b);
            return err_set(e, ERR_SYSTEM, "standard input · %s",
                           room ? strerror(code) : "out of memory");
        }
        if (n == 0)
            break;
        b.len += (size_t)n;
    }
    bytes_add(&b, "", 1);
    *text = b.data;
    *len = b.len - 1;
    return b.failed ? err_set(e, ERR_SYSTEM, "standard input · out of memory") : 0;
}

int cli_bos(const struct options *o)
{
    return o->bos ? 1 : o->no_bos ? 0 : -1;
}

/* Can the model run these?  Longer than it was trained on is noted. */
static int check_prompt(struct cli *c, const int32_t *ids, int32_t n)
{
    bool over = false;
    int rc = model_check_tokens(c->m, ids, n, &over, &c->err);
    if (over)
        snprintf(c->note, sizeof c->note,
                 "note: the prompt has %d tokens, the model was trained on %d", (int)n,
                 (int)c->m->cfg.n_ctx);
    return rc;
}

static int tokens_of(struct cli *c, const char *text, size_t len, int32_t **ids, int32_t *n)
{
    const struct options *o = c->opt;
    if (o->bos && c->m->cfg.bos_id < 0)
        return err_set(&c->err, ERR_BAD_INPUT,
                       "--bos · this model names no beginning-of-text token · use --no-bos");
    int rc = model_tokens(c->m, text, len, cli_bos(o), ids, n, &c->err);
    if (!rc && (rc = check_prompt(c, *ids, *n)) != 0) {
        free(*ids);
        *ids = NULL;
    }
    return rc;
}

/* A prompt that is given as ids: exactly these. */
static int ids_of(struct cli *c, const char *text, int32_t **ids, int32_t *n)
{
    int rc = model_ids(text, strlen(text), ids, n, &c->err);
    return rc ? rc : check_prompt(c, *ids, *n);
}

struct run_input cli_input(const struct cli *c)
{
    struct run_input in = c->image ? run_of_image(c->image) : run_ids(c->tokens, c->n);
    in.types = c->types;
    return in;
}

/* --token-types: one for each token of the prompt. */
static int types_of(struct cli *c, const char *text)
{
    int32_t n = 0;
    int rc = token_ids_read(text, strlen(text), &c->types, &n, &c->err);
    if (!rc && n != c->n)
        rc = err_set(&c->err, ERR_BAD_INPUT, "--token-types · %d types · the prompt has %d tokens",
                     (int)n, (int)c->n);
    return rc ? rc : model_check_types(c->m, c->types, n, &c->err);
}

static int text_prompt(struct cli *c, bool optional);

int cli_prompt(struct cli *c, bool optional)
{
    int rc = text_prompt(c, optional);
    return rc || !c->opt->token_types || !c->n ? rc : types_of(c, c->opt->token_types);
}

static int text_prompt(struct cli *c, bool optional)
{
    const struct options *o = c->opt;
    int rc = 0;
    if (o->image)
        return cli_image(c, o->image);
    if (c->m->cfg.patch_size && (!optional || o->tokens || o->from_stdin || o->prompt))
        return err_set(&c->err, ERR_USAGE, "%s · %s takes an image, no text · --image FILE",
                       o->command->name, c->m->name);
    if (o->tokens)
        return ids_of(c, o->tokens, &c->tokens, &c->n);
    if (o->from_stdin) {
        char *text;
        size_t len;
        rc = cli_stdin(&text, &len, &c->err);
        if (rc)
            return rc;
        rc = tokens_of(c, text, len, &c->tokens, &c->n);
        free(text);
        return rc;
    }
    if (o->prompt)
        return tokens_of(c, o->prompt, strlen(o->prompt), &c->tokens, &c->n);
    return optional ? 0
                    : err_set(&c->err, ERR_USAGE,
                              "%s needs a prompt · -p TEXT, --stdin or --tokens 1,2,3",
                              o->command->name);
}

bool cli_has_bos(const struct cli *c)
{
    return c->n > 0 && c->m->cfg.bos_id >= 0 && c->tokens[0] == c->m->cfg.bos_id;
}

/* ------------------------------------------------------------------ edits and runs */

static int parse_edits(struct cli *c)
{
    const struct options *o = c->opt;
    int rc = cli_edit_texts(c);
    if (!rc && o->taker)
        rc = taker_load(&c->taker, &c->m->cfg, o->taker, o->taker_params, &c->err);
    if (!rc && o->taker_params && !o->taker)
        rc = err_set(&c->err, ERR_USAGE,
                     "--taker-params without --taker · the config says which hooks read them");
    if (rc)
        return rc;
    int32_t n = c->taker.n_edits + c->texts.n;
    c->edits = calloc((size_t)n + 1, sizeof(struct edit *));
    if (!c->edits)
        return cli_memory(c);
    if (n > LIMIT_EDITS)
        return err_set(&c->err, ERR_BAD_INPUT, "%d edits · at most %d", (int)n, LIMIT_EDITS);
    for (; c->n_edits < n && !rc; c->n_edits += !rc) {
        int32_t i = c->n_edits - c->taker.n_edits;
        rc = edit_parse(&c->edits[c->n_edits], i < 0 ? c->taker.edit[c->n_edits] : c->texts.item[i],
                        &c->err);
        if (rc)
            err_prefix(&c->err, "edit %d", (int)c->n_edits + 1);
    }
    return rc;
}

/* The tokens of a further prompt: of a text, or ids where there is no tokenizer; of an image. */
static int prompt_of(struct cli *c, const char *text, struct pair_prompt *out)
{
    struct image_input *im = NULL;
    int32_t *ids = NULL, n = 0;
    int rc;
    if (c->m->cfg.patch_size) {
        rc = image_file_open(c->m, text, &im, &c->err);
        ids = rc ? NULL : malloc((size_t)im->rows * sizeof *ids);
        n = ids ? im->rows : 0;
        if (ids)
            memcpy(ids, im->ids, (size_t)n * sizeof *ids);
        else if (!rc)
            rc = cli_memory(c);
    } else {
        rc = tokens_of(c, text, strlen(text), &ids, &n);
    }
    out->tokens = ids, out->n = n, out->image = im;
    return rc;
}

static int parse_run(struct cli *c, const char *text, struct pair_prompt *out)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return err_set(&c->err, ERR_USAGE,
                       "--run \"%s\" · expected NAME=TEXT, or NAME=FILE of an image", text);
    size_t len = (size_t)(eq - text);
    if (len == 4 && !strncmp(text, "base", 4))
        return err_set(&c->err, ERR_USAGE,
                       "--run base · base is the run without edits · take another name");
    *out = (struct pair_prompt){.name = strndup(text, len)};
    int rc = out->name ? prompt_of(c, eq + 1, out) : cli_memory(c);
    if (rc)
        err_prefix(&c->err, "--run %.*s", (int)(len < 40 ? len : 40), text);
    return rc;
}

static int parse_runs(struct cli *c)
{
    const struct option_list *l = &c->opt->runs;
    c->prompts = calloc((size_t)l->n + 1, sizeof *c->prompts);
    if (!c->prompts)
        return cli_memory(c);
    for (int i = 0; i < l->n; i++) {
        c->n_prompts++;
        int rc = parse_run(c, l->item[i], &c->prompts[i]);
        for (int k = 0; k < i && !rc; k++)
            if (!strcmp(c->prompts[i].name, c->prompts[k].name))
                rc = err_set(&c->err, ERR_USAGE, "--run %s · it is given twice",
                             c->prompts[i].name);
        if (rc)
            return rc;
    }
    return 0;
}

static int load_sets(struct cli *c)
{
    const struct option_list *l = &c->opt->refs;
    c->sets = calloc((size_t)l->n + 1, sizeof(struct reference_set *));
    if (!c->sets)
        return cli_memory(c);
    if (l->n && c->m->cfg.patch_size)
        return err_set(&c->err, ERR_BAD_INPUT,
                       "--ref %s · reference sets are of texts, %s takes images", l->item[0],
                       c->m->name);
    for (int i = 0; i < l->n; i++) {
        int rc = reference_load(&c->sets[i], c->m, cli_bos(c->opt), l->item[i], &c->err);
        for (int k = 0; k < i && !rc; k++)
            if (!strcmp(c->sets[i]->name, c->sets[k]->name))
                rc = err_set(&c->err, ERR_USAGE, "--ref %s · it is given twice · --ref NAME=FILE",
                             c->sets[i]->name);
        if (rc)
            return rc;
    }
    return 0;
}

int cli_target(struct cli *c, struct pair_target *t)
{
    int rc = parse_edits(c);
    if (!rc)
        rc = parse_runs(c);
    if (!rc)
        rc = load_sets(c);
    *t = (struct pair_target){.input = cli_input(c),
                              .edits = c->edits,
                              .n_edits = c->n_edits,
                              .prompts = c->prompts,
                              .n_prompts = c->n_prompts,
                              .sets = c->sets,
                              .n_sets = c->opt->refs.n};
    return rc || !c->opt->align ? rc : token_align_parse(c->opt->align, &t->align, &c->err);
}

int cli_edit_weights(struct cli *c)
{
    struct edit_context ctx = {.cfg = &c->m->cfg, .n_pos = 1, .model = c->m};
    char text[LIMIT_EDIT_TEXT];
    int rc = parse_edits(c);
    for (int32_t i = 0; i < c->n_edits && !rc; i++)
        if (!edit_of_weights(c->edits[i])) {
            edit_print(c->edits[i], text, sizeof text);
            rc = err_set(
                &c->err, ERR_BAD_INPUT,
                "edit %d: %.100s · it is of a hook and changes no weight · borescope run and hooks take it",
                (int)i + 1, text);
        }
    if (!rc)
        rc = edit_resolve(&c->program, c->edits, NULL, c->n_edits, &ctx, &c->err);
    return rc ? rc : weight_copy_keep(c->m, c->program, &c->err);
}

int cli_sync(struct cli *c)
{
    struct pair_target t;
    int rc = cli_target(c, &t);
    if (!rc)
        rc = pair_open(&c->pair, c->m, cli_cache_bytes(c), &c->err);
    if (!rc)
        pair_differentiate(c->pair, c->opt->grad != NULL);
    return rc ? rc : pair_sync(c->pair, &t, NULL, &c->err);
}

static int open_prompt(struct cli *c, enum cli_need need)
{
    int rc = cli_prompt(c, need == CLI_SHAPE);
    return rc || need != CLI_RUN ? rc : cli_sync(c);
}

int cli_open(struct cli *c, enum cli_need need)
{
    int rc = cli_model(c, need != CLI_SHAPE);
    return rc ? rc : open_prompt(c, need);
}

int cli_open_text(struct cli *c, enum cli_need need)
{
    int rc = cli_model(c, need != CLI_SHAPE);
    if (!rc && c->m->cfg.patch_size)
        rc = err_set(&c->err, ERR_BAD_INPUT, "%s · it is of texts, %s takes images",
                     c->opt->command->name, c->m->name);
    return rc ? rc : open_prompt(c, need);
}

struct run *cli_run_shown(const struct cli *c)
{
    return pair_shown(c->pair);
}

int cli_check_index(struct cli *c, const char *what, int32_t v, int32_t count)
{
    return v < count ? 0
                     : err_set(&c->err, ERR_BAD_INPUT, "no %s %d · this model has 0..%d", what,
                               (int)v, (int)count - 1);
}

int32_t cli_top(const struct cli *c)
{
    return c->opt->top < c->m->cfg.d_vocab ? c->opt->top : c->m->cfg.d_vocab;
}

/* ------------------------------------------------------------------ tokens by name */

int cli_token(struct cli *c, const char *arg, int32_t *id)
{
    bool spaced = false;
    *id = -1;
    int rc = arg ? token_word(c->m, arg, strlen(arg), id, &spaced, &c->err) : 0;
    if (!rc && spaced && !c->note[0])
        snprintf(c->note, sizeof c->note, "\"%.60s\" is no token · taken as \" %.60s\"", arg, arg);
    return rc;
}

int cli_pair(struct cli *c, int32_t pair[2])
{
    const char *text = c->opt->pair, *slash = text ? strchr(text, '/') : NULL;
    pair[0] = pair[1] = -1;
    if (!text)
        return 0;
    if (!slash || slash == text || !slash[1])
        return err_set(&c->err, ERR_USAGE,
                       "--pair \"%s\" · two tokens with / between them: ' Mary/ John'", text);
    char *first = strndup(text, (size_t)(slash - text));
    int rc = first ? cli_token(c, first, &pair[0]) : cli_memory(c);
    free(first);
    return rc ? rc : cli_token(c, slash + 1, &pair[1]);
}
