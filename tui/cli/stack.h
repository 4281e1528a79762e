/* stack.h - what `stack` and `logit_attrs` share: which stack is asked for. */
#ifndef STACK_H
#define STACK_H

#include "measure/analysis.h"
#include "cli.h"

/* --stack, --with and --layer. */
int stack_choose(struct cli *c, struct stack_options *of);

#endif
