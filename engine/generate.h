/* generate.h - continuing a prompt, with edits active at every step.
 *
 * Each new token is one run_sync of one more row.  Edits are resolved anew for every length, so that
 * [-1] follows the last position.  Tested in tests/engine/test_generate.c. */
#ifndef GENERATE_H
#define GENERATE_H

#include "pair.h"

struct generate_options {
    double temperature; /* 0 = greedy (the highest logit, ties by lower id) */
    int32_t top_k;      /* 0 = all */
    double top_p;       /* 1 = all */
    uint64_t seed;
    const struct callbacks *callbacks; /* NULL = none.  The first pass gives them the prompt, each next one its new row */
};

/* Continue t->tokens by up to `count` tokens under t->edits; `emit` is called with each new id and may return
 * false to stop.  Stops at eos_id (not emitted) unless it is -1.  Learned positions end at the trained
 * context: an error after the last possible token.  Same seed, same ids.  cache_bytes as in run.h. */
int generate(const struct model *m, const struct pair_target *t, int32_t count, const struct generate_options *opt,
             int32_t eos_id, size_t cache_bytes, bool (*emit)(void *user, int32_t id), void *user, struct err *e);

/* Choose from one row of logits[n]; *state is the generator's (start it with the seed). */
int generate_choose(const float *logits, int32_t n, const struct generate_options *opt, uint64_t *state, int32_t *id,
                    struct err *e);

#endif
