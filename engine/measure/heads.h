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

/* Put a row of a pattern of n positions, that of destination `dest`, into its head's small one:
 * to[side][side], zeros before the first row. */
void heads_small_row(const float *row, int32_t n, int32_t dest, int32_t side, float *to);
/* The part that a position belongs to. */
int32_t heads_small_part(int32_t i, int32_t n, int32_t side);
/* What a head adds to the stream at a position, z W_O, as tokens: out[k] by falling value of W_U^T
 * x, without norm and bias (circuit_says).  k 1..LENS_TOP_MAX. */
int heads_says(struct run *r, int32_t layer, int32_t head, int32_t row, int32_t k,
               struct lens_top *out, struct err *e);

#endif
