/* reference_mean.h - the means that mean(REF) asks for: over the prompts of a set, in runs without
 * edits.
 *
 * The mean of an element is over all positions of all prompts (pos left out), over the prompts that
 * are long enough at one position (pos=N; negative: from each prompt's own end), or at every
 * position by itself (pos=same).  The first position counts like any other, a beginning-of-text
 * token included.  Prompts are runs of their own, not the wave of run/wave.h, whose variants share
 * one base; short ones share products (run_compute).  Sums are double, in the order of the prompts
 * and their positions. Means are kept
 * in memory and on disk (reference_cache.h).  The worker's thread only.  Tested in
 * tests/engine/test_reference.c. */
#ifndef REFERENCE_MEAN_H
#define REFERENCE_MEAN_H

#include "run/run.h"

struct reference_means;

/* The model must outlive it.  NULL + *e when memory is out. */
struct reference_means *reference_means_open(const struct model *m, struct err *e);
void reference_means_close(struct reference_means *s);
/* Give every EDIT_MEAN_REF instruction of a freshly resolved program its values.  ERR_CANCELLED:
 * what is done so far is kept, the next call goes on from there. */
int reference_means_fill(struct reference_means *s, struct edit_program *prog, struct err *e);
/* Prompts that were run so far, for tests. */
int64_t reference_means_runs(const struct reference_means *s);

#endif
