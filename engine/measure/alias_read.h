/* alias_read.h - values under the names of other libraries.
 *
 * Tested in tests/engine/test_alias.c against the tensors that Hugging Face's modules take and
 * return. */
#ifndef ALIAS_READ_H
#define ALIAS_READ_H

#include "names/alias.h"
#include "run/run.h"

/* Rows [row0, row1) of an alias to contiguous host memory, in the alias' own order of axes.  Errors
 * as run_read. */
int alias_read(struct run *r, const struct alias_value *v, int32_t row0, int32_t row1, float *dst,
               struct err *e);

#endif
