/* prune_print.h - the history of `prune`: as a table, TSV, JSON, drawn.  Tested in
 * tests/tui/test_cli_score.c. */
#ifndef PRUNE_PRINT_H
#define PRUNE_PRINT_H

#include "cli.h"
#include "lab/mask_learn.h"
#include "lab/prune_run.h"

/* What a step left; step 0: before the first. */
struct prune_record {
    int32_t step;
    int64_t gone[PRUNE_PARTS];
    int64_t *layers; /* [PRUNE_PARTS][n_layers] */
    struct prune_choice choice[SCORE_UNITS];
    int n_choices;
    int n_values[SCORE_SETS]; /* 0: not evaluated */
    struct eval_value value[SCORE_SETS][EVAL_MEASURES];
};

struct prune_history {
    struct prune_record *record;
    int n;
    struct mask_step *learned; /* of --learn */
    int n_learned;
    int32_t n_layers;
    const char *score; /* by what */
};

/* The result, to c->out: docs/headless.md; the table or, with --tsv, its data. */
int prune_history_json(struct cli *c, const struct prune_history *h);
int prune_history_table(struct cli *c, const struct prune_history *h);

/* The loss on a set after a step (edited, or base where there are no edits); NaN: none. */
double prune_loss(const struct prune_record *r, int set);
/* Both losses over the steps: a row of blocks each into c->out; lines in a PNG file. */
int prune_plot(struct cli *c, const struct prune_history *h);
int prune_png(struct cli *c, const struct prune_history *h, const char *path);

#endif
