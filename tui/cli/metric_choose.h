/* metric_choose.h - what maps measure: --metric, --pair, or what stands for them.  Tested in
 * tests/tui/test_cli_sweep.c and test_cli_attribute.c. */
#ifndef METRIC_CHOOSE_H
#define METRIC_CHOOSE_H

#include "cli.h"

/* --metric; the logit difference of --pair; with one --run that of the best tokens of both prompts;
 * else with `best` the logit of the prompt's best token, or kl.  t: --run and the prompt.  *out is
 * malloc'ed. */
int metric_choose(struct cli *c, const struct pair_target *t, bool best, char **out);

#endif
