/* eval_choices.h - multiple choice: which continuation of a question a causal model finds the
 * likeliest, as lm-eval (0.4.13) scores tasks of this kind.
 *
 * A line of the file is a question (question.h).  A choice's log-probability is the sum over the
 * tokens that question, blank and choice have together beyond those that the question has alone,
 * its own blanks at the end left out.  Several questions share products (batch.h).  Tested in
 * tests/tui/test_cli_eval.c. */
#ifndef EVAL_CHOICES_H
#define EVAL_CHOICES_H

#include "lab/eval.h"

struct choices_options {
    int64_t skip, limit; /* questions left out at the beginning; at most so many of the others; 0:
                            all */
    int bos;             /* as model_tokens */
};

/* Over a .jsonl file (gzip'ed too), "-": standard input, as eval_run; `filter` and `top` of the
 * work are not looked at.  ERR_BAD_INPUT names the line. */
int eval_choices_run(struct eval *v, const char *path, const struct choices_options *o,
                     const struct eval_work *w, struct err *e);

#endif
