/* cli.h - what the headless commands share: the model, the prompt, the edits, and where output
 * goes.
 *
 * A command writes into cli.out and returns 0, or negative with cli.err filled; main.c prints one
 * or the other, so that a failed command leaves nothing on standard output.  Strings from outside
 * go through the sanitizer (tables, json_out and text_add do that).  Tested in
 * tests/tui/test_cli*.c. */
#ifndef CLI_H
#define CLI_H

#include "bytes.h"
#include "json_out.h"
#include "measure/lens.h"
#include "model/model.h"
#include "options.h"
#include "run/pair.h"
#include "run/placement.h"
#include "table.h"
#include "edit/taker.h"
#include "text.h"

struct cli {
    const struct options *opt;
    const char *model_name; /* what to open */
    struct err err;
    struct bytes out;
    struct kn_backend *be;
    struct model *m, *against; /* the second: --against */
    struct placement place;    /* which layers are computed where, and the memory that takes */
    bool places_wait;          /* that was not told yet */
    int32_t *tokens;           /* the prompt; of an image its rows' ids */
    int32_t n;
    int32_t *types;            /* [n] of --token-types, or NULL */
    struct image_input *image; /* of a model that takes images */
    struct option_list texts;  /* -e, @FILE read: cli_edit_texts */
    char **edit_file;          /* [n_edit_files]: what those point into */
    int n_edit_files;
    struct edit **edits; /* [n_edits]: those of --taker, then -e */
    int32_t n_edits;
    struct taker_hooks taker;
    struct pair_prompt *prompts; /* [n_prompts]: --run */
    int32_t n_prompts;
    struct reference_set **sets; /* [opt->refs.n] */
    struct pair *pair;
    struct edit_program *program; /* of cli_edit_weights, else NULL */
    bool show_anyway;             /* the result is printed even though the command fails (check) */
    double metric;                /* value of --grad */
    char note[480];               /* a notice for standard error beside the result */
    struct ranks *ranks;          /* who share the work; NULL: nobody */
    bool on_screen;               /* the terminal shows frames: nothing is told before it is left */
    bool silent;                  /* another rank speaks for all */
    int signal;                   /* what ended the work: raised again when all is said; 0 = none */
};

struct command {
    const char *name, *arguments, *help;
    int words;
    const uint8_t *options; /* a set (options.h) */
    int (*run)(struct cli *c);
};
/* The rows of commands.def; NULL where there is none of that name. */
extern const struct command command_table[];
extern const int command_count;
const struct command *command_find(const char *name);

/* One function per row. */
#define COMMAND(name, words, arguments, options, help) int cli_##name(struct cli *c);
#include "commands.def"

/* Free all but the options. */
void cli_close(struct cli *c);

/* What most commands begin with. */
enum cli_need {
    CLI_SHAPE,  /* the model without its weights, and a prompt if there is one */
    CLI_PROMPT, /* the model and a prompt */
    CLI_RUN     /* both, and the run computed */
};
int cli_open(struct cli *c, enum cli_need need);
/* The same for a command that is of text alone. */
int cli_open_text(struct cli *c, enum cli_need need);

/* The parts of cli_open.  Open the backend and the model; `weights` false: shape, plan and
 * tokenizer only. */
int cli_model(struct cli *c, bool weights);
/* The prompt from -p, --stdin or --tokens into c->tokens.  Without one: an error, or n = 0 if
 * `optional`.  A prompt longer than the trained context of a rotary model is noted. */
int cli_prompt(struct cli *c, bool optional);
/* The same for --image: an image from a file as the model takes it. */
int cli_image(struct cli *c, const char *path);
/* Taken over, also on failure. */
int cli_image_take(struct cli *c, struct image_input *im);
/* What the prompt is for a run. */
struct run_input cli_input(const struct cli *c);
/* --top, at most the vocabulary. */
int32_t cli_top(const struct cli *c);
/* 1, 0, or -1 for the architecture's default. */
int cli_bos(const struct options *o);
/* -e with the lines of each @FILE in its place, into c->texts. */
int cli_edit_texts(struct cli *c);
void cli_edit_texts_free(struct cli *c);
/* -e, --run and --ref, parsed; then everything computed into c->pair. */
int cli_sync(struct cli *c);
/* Edits, runs and reference sets parsed into a target, nothing computed. */
int cli_target(struct cli *c, struct pair_target *t);
/* -e, all of weights, made the model's own; c->program keeps them. */
int cli_edit_weights(struct cli *c);
/* The face that a command shows: edited if there are edits. */
struct run *cli_run_shown(const struct cli *c);
/* --cache-mb, or a share of what the device has free beside the model. */
size_t cli_cache_bytes(const struct cli *c);
/* All of standard input; *text is malloc'ed. */
int cli_stdin(char **text, size_t *len, struct err *e);
/* Is the first token of the prompt the beginning-of-text token? */
bool cli_has_bos(const struct cli *c);
/* A token given by its id or its text; -1 for NULL. */
int cli_token(struct cli *c, const char *arg, int32_t *id);
/* --present into the explorer's options: ERR_USAGE for anything but `locked`. */
int cli_present(struct cli *c, bool *present, bool *locked);
/* --pair A/B as two ids, -1 without one. */
int cli_pair(struct cli *c, int32_t pair[2]);

/* Layers are checked here: ERR_BAD_INPUT with the range. */
int cli_check_index(struct cli *c, const char *what, int32_t v, int32_t count);

/* Output. */
const char *cli_token_text(const struct cli *c, int32_t id, size_t *len);
/* Of what stands at a position of the prompt. */
const char *cli_input_text(const struct cli *c, int32_t pos, size_t *len);
/* Running text: cleaned, but newlines and tabs stay what they are. */
void cli_plain_text(struct bytes *out, const char *text, size_t len);
/* {"id": …, "text": …}, with "bytes" (hex) where the text is no UTF-8; further members follow, not
 * closed. */
void cli_json_token(const struct cli *c, struct json_out *j, int32_t id);
/* The k best of a lens cell: [{id, text, logit, logprob}] */
void cli_json_top(const struct cli *c, struct json_out *j, const struct lens_cell *cell,
                  const struct lens_top *top, int32_t k);
/* A token's text between quotes, cleaned. */
void cli_plain_token(struct cli *c, int32_t id);
/* The texts of the edits that `on` marks (NULL: all): ["blocks.0.attn.W_Q = 0", ...] */
void cli_json_edits(const struct cli *c, struct json_out *j, const bool *on);
/* Their numbers: "*1 *3" */
void cli_table_edits(const struct cli *c, struct table *t, const bool *on);
/* "tokens": [{id, text}] */
void cli_json_tokens(const struct cli *c, struct json_out *j);
/* Begin an object with what every result says about itself: "model", "processing", "bos", "edits".
 */
void cli_json_begin(struct cli *c, struct json_out *j);
int cli_json_end(struct cli *c, struct json_out *j);
/* "mean", "std", "min", "max". */
void cli_json_stats(struct json_out *j, const struct lens_stats *s);
/* "teach · 15 tokens with BOS · raw · 1 edit" */
void cli_head(struct cli *c);
/* Print a table as --tsv or plainly and free it; NULL: memory is out. */
int cli_table(struct cli *c, struct table *t);
/* Cells: a token's text; "L0H1"; mean, std, min and max. */
void cli_table_token(const struct cli *c, struct table *t, int32_t id);
void cli_table_input(const struct cli *c, struct table *t, int32_t pos);
void cli_table_head(struct table *t, int64_t layer, int64_t head);
void cli_table_stats(struct table *t, const struct lens_stats *s);
/* Rows that become those of a table or, with --json, members of an array. */
struct cli_rows {
    struct table *t; /* NULL with --json */
    struct json_out j;
};
int cli_rows_open(struct cli *c, struct cli_rows *r, const struct table_column *columns, int n);
/* Prints them if err is 0; frees them in any case. */
int cli_rows_close(struct cli *c, struct cli_rows *r, int rc);
int cli_memory(struct cli *c);
/* Say on standard error which layers are computed on which device, if that still waits. */
void cli_tell_places(struct cli *c);
/* "borescope: TEXT" on standard error, cleaned. */
void cli_say(const char *text);

/* help.c */
void help_command(struct bytes *out, const struct command *cmd);
void help_program(struct bytes *out);
/* docs/commands.md, kept fresh by a test. */
void help_markdown(struct bytes *out);
/* docs/borescope.1, the same. */
void help_man(struct bytes *out);

#endif
