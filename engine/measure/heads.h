/* heads.h - what views of all heads show of each: its pattern in small, and what it writes.
 * Runs on the thread that owns the runs.  Tested in tests/engine/test_heads.c. */
#ifndef HEADS_H
#define HEADS_H

#include "measure/lens.h"

enum { HEADS_SMALL_MAX = 64 };

/* The patterns of a layer, [dest, src], shrunk to side x side (1..min(HEADS_SMALL_MAX, n)): each
 * element is the largest of its part, so that a single bright cell is never lost; NaN wins.  Part i
 * of the positions begins at n * i / side.  out[n_heads][side][side]. */
int heads_small(struct run *r, int32_t layer, int32_t side, float *out, struct err *e);

/* What a head adds to the stream at a position, z W_O, as tokens: out[k] by falling value of W_U^T
 * x, without norm and bias (circuit_read).  k 1..LENS_TOP_MAX. */
int heads_says(struct run *r, int32_t layer, int32_t head, int32_t row, int32_t k,
               struct lens_top *out, struct err *e);

#endif
