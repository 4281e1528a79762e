/* score_run.h - scores of a model from two sets, each texts or statistics of them.
 * Tested in tests/engine/test_score.c. */
#ifndef SCORE_RUN_H
#define SCORE_RUN_H

#include "lab/score.h"

/* One of both sets. */
struct score_set {
    const char *path; /* as texts_open; NULL: there are no texts */
    const struct texts_options *texts;
    const struct stats *stats; /* NULL: made of the texts */
};

enum { SCORE_FOCUS, SCORE_CRIPPLE, SCORE_SETS };

struct score_run {
    enum score_id id;
    double eps; /* negative: score_eps */
    enum score_heads by;
    uint64_t seed;
    struct score_set set[SCORE_SETS];
    struct score_work work;
};

/* Fill scores of n different units, initialised for the model; statistics are made once for all of
 * them, under the edits of work.target.  Of several ranks all call it, between works, and all have
 * the scores. */
int score_run(struct scores *const *s, int n, const struct score_run *w, struct err *e);

#endif
