/* slice.h - `--pos`: which positions to keep.
 *
 * As in TransformerLens' pos_slice: a single position drops the axis, a range or a list keeps it.
 * The axis is always the one of positions (the destination for scores and patterns).  Tested in
 * tests/tui/test_options.c. */
#ifndef SLICE_H
#define SLICE_H

#include "measure/capture.h"

/* "3", "-1", "2:5", ":-1", "::2", "0,2,-1" for a prompt of n positions; NULL = all.  Free index. */
int slice_parse(struct capture_slice *out, const char *text, int32_t n, struct err *e);

#endif
