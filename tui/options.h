/* options.h - the command line as data: parsing, and the tables that help texts are printed from.
 *
 * Nothing is computed here and nothing is printed.  Tested in tests/tui/test_options.c. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum option_id {
#define FLAG(id, s, l, help) OPTION_##id,
#define TEXT(id, s, l, v, help) OPTION_##id,
#define LIST(id, s, l, v, help) OPTION_##id,
#define INT(id, s, l, v, fallback, min, max, help) OPTION_##id,
#define REAL(id, s, l, v, fallback, min, max, help) OPTION_##id,
#include "options.def"
    OPTION_COUNT
};

/* Options as a list of their ids; OPTION_SET(...) ends it. */
#define ON(id) OPTION_##id
#define OPTION_SET(...) ((const uint8_t[]){__VA_ARGS__, OPTION_COUNT})
#define SET_TEXT ON(prompt), ON(from_stdin), ON(tokens), ON(bos), ON(no_bos), ON(help)
#define SET_PROMPT SET_TEXT, ON(image)
#define SET_EDITS \
    ON(token_types), ON(edits), ON(taker), ON(taker_params), ON(runs), ON(refs), ON(align)
#define SET_TEXTS                                                                                  \
    ON(bos), ON(no_bos), ON(paragraphs), ON(format), ON(field), ON(label), ON(window), ON(stride), \
        ON(limit), ON(limit_tokens), ON(skip), ON(sample), ON(seed)
#define SET_SCREEN ON(other), ON(against), ON(pair), ON(keymap)
#define SET_TERMINAL ON(graphics), ON(color), ON(no_mouse), ON(present)
#define SET_TABLE ON(json), ON(tsv)
#define SET_BACKEND                                                                         \
    ON(backend), ON(devices), ON(gpu_layers), ON(blas), ON(threads), ON(cpu), ON(cache_mb), \
        ON(process), ON(help)

enum { OPTION_WORDS = 64 };

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_LIST, OPTION_INT, OPTION_REAL };

struct option_info {
    enum option_kind kind;
    char letter; /* 0 = none */
    const char *name, *value, *help;
    double fallback, min, max;
};
extern const struct option_info option_table[OPTION_COUNT];

/* Repeated options. */
struct option_list {
    const char **item; /* [n], pointing into argv */
    int n;
};

struct options {
    bool given[OPTION_COUNT];        /* what stood on the command line */
    const char *model;               /* the first word; NULL if there was none */
    const char *words[OPTION_WORDS]; /* further words */
    int n_words;
    const struct command *command;
#define FLAG(id, s, l, help) bool id;
#define TEXT(id, s, l, v, help) const char *id;
#define LIST(id, s, l, v, help) struct option_list id;
#define INT(id, s, l, v, fallback, min, max, help) int32_t id;
#define REAL(id, s, l, v, fallback, min, max, help) double id;
#include "options.def"
};

/* Is an option in a set? */
bool option_in(const uint8_t *set, int id);
/* Parse argv[0..argc) with the options of `set` and at most words_max words (MODEL first).  Values
 * point into argv.  ERR_USAGE with one line on failure.  options_free in any case. */
int options_parse(struct options *o, const uint8_t *set, int words_max, int argc, char *const *argv,
                  struct err *e);
void options_free(struct options *o);

#endif
