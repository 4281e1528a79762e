/* scoring.h - what `score` and `prune` share: both sets, the score, what is put there.
 * Tested in tests/tui/test_cli_score.c. */
#ifndef CLI_SCORING_H
#define CLI_SCORING_H

#include "cli.h"
#include "lab/score_run.h"
#include "lab/stats.h"
#include "long_work.h"

struct scoring {
    struct cli *c;
    struct score_run run; /* as the options say; points into this struct */
    struct pair_target target;
    struct texts_options texts;
    struct stats stats[SCORE_SETS]; /* of sets that are files of statistics */
    struct long_work work;
};

/* Open the model, the edits and both sets (--focus, --cripple: statistics where a file ends in
 * .safetensors), on all ranks; `rc`: what came of the command's own checks.  scoring_close in any
 * case. */
int scoring_open(struct scoring *s, struct cli *c, int rc);
void scoring_close(struct scoring *s);
/* struct score_work's: a line of progress. */
int scoring_rest(void *user, const struct gather_news *news, struct err *e);

#endif
