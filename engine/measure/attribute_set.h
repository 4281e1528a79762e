/* attribute_set.h - one attribution of several prompts: the mean over them and its standard error.
 *
 * One thread at a time.  Tested in tests/engine/test_attribute_set.c. */
#ifndef ATTRIBUTE_SET_H
#define ATTRIBUTE_SET_H

#include "measure/attribute.h"
#include "measure/sweep.h"

/* Attribute the metric of each of prompts[n] (1..SWEEP_PROMPTS_MAX), with their runs as `with` and
 * edits read them, under the edits and with the sets and the pairing of `shared`, whose own input
 * and prompts are not read.  *mean: a value is the mean over the prompts that have such a cell,
 * positions paired as shared->align says (prompt_columns); metric, constant and sum are means, too.
 * *errors: standard errors, malloc'ed, in the order of the values, 0 where one prompt alone has the
 * cell.  cache_bytes: of the runs of one prompt (run.h), which are given back before the next
 * one's. Errors name the prompt. */
int attribute_set(struct attribution *mean, float **errors, const struct model *m,
                  const struct pair_target *shared, const struct sweep_prompt *prompts, int32_t n,
                  const struct attribute_options *o, size_t cache_bytes, struct err *e);

#endif
