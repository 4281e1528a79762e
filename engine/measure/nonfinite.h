/* nonfinite.h - where the first NaN or infinity of a run stands.
 * Tested in tests/engine/test_nonfinite.c. */
#ifndef NONFINITE_H
#define NONFINITE_H

#include "run/run.h"

/* index is in the site's own axis order (site_shape): [pos, d], [pos, head, d], [head, dest, src].
 */
struct lens_nonfinite {
    bool found;
    struct site_ref site;
    int64_t index[SITE_RANK_MAX];
    float value; /* NaN, inf or -inf */
};

/* The first site in firing order, of those that every run has, that holds a NaN or an infinity, and
 * the first position there; masked scores (-inf) are none.  Asked is first what everything reaches:
 * the residual stream behind the last block and the logits of the answer; where they are finite,
 * nothing is found, whatever was overwritten on the way.  Cost without one: one pass over the last
 * residual stream.  Runs on the thread that owns the runs. */
int lens_nonfinite(struct run *r, struct lens_nonfinite *out, struct err *e);

#endif
