/* generate.h - continuing a prompt, with edits active at every step.
 *
 * Each new token is one run_sync of one more row.  Edits are resolved anew for every length, so that
 * [-1] follows the last position.  Tested in tests/engine/test_generate.c. */
#ifndef GENERATE_H
#define GENERATE_H

#include "run.h"

struct generate_options {
    double temperature; /* 0 = greedy (the highest logit, ties by lower id) */
    int32_t top_k;      /* 0 = all */
    double top_p;       /* 1 = all */
    uint64_t seed;
};

/* Continue tokens[n] by up to `count` tokens; `emit` is called with each new id and may return false to stop.
 * Stops at eos_id (not emitted) unless it is -1.  Learned positions end at the trained context: an error
 * after the last possible token. */
int generate(const struct model *m, const int32_t *tokens, int32_t n, int32_t count, struct edit *const *edits,
             int32_t n_edits, const struct generate_options *opt, int32_t eos_id,
             bool (*emit)(void *user, int32_t id), void *user, struct err *e);

#endif
