/* prompt_set.h - the prompts of sweep and attribute, each with its runs and its metric: the one of
 * -p, or those of --prompts (sweep_prompts.h).  Tested in tests/tui/test_cli_sweep.c and
 * test_cli_attribute.c. */
#ifndef PROMPT_SET_H
#define PROMPT_SET_H

#include "cli.h"
#include "measure/sweep.h"
#include "sweep_prompts.h"

struct prompt_set {
    struct pair_target target; /* edits, sets and --run, of the prompt where there is one; c's */
    struct sweep_file file;
    struct sweep_prompt *prompts;
    int32_t n;
    struct pair_prompt *runs; /* [n][n_runs] of the file */
    int32_t n_runs;
    char *metric;     /* --metric, or what stands for it */
    char **metrics;   /* [n] with the file's texts in it */
    int32_t **tokens; /* [n] of the file's prompts */
};

/* The model is open; c->tokens become those of the first prompt.  best: as metric_choose.  Freed
 * with prompt_set_free, also after a failure. */
int prompt_set_open(struct cli *c, bool best, struct prompt_set *s);
void prompt_set_free(struct prompt_set *s);

#endif
