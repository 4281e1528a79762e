/* sweep_guess.h - what a sweep will probably find, for the price of a backward pass: attribution
 * patching of its kind (measure/attribute.h).  Session-internal.  Tested in
 * tests/engine/test_sweeping.c. */
#ifndef SWEEP_GUESS_H
#define SWEEP_GUESS_H

#include "session/sweeping.h"

/* The change of the metric in each cell of `s`, which is of `of` on target t; NaN where there is no
 * estimate.  *out is malloc'ed.  Errors: kinds and metrics without one, ERR_CANCELLED. */
int sweep_guess(float **out, const struct model *m, const struct pair_target *t,
                const struct session_sweep *of, const struct sweep *s, size_t cache_bytes,
                struct err *e);

#endif
