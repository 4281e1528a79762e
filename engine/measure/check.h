/* check.h - identities that hold in every sound model, tested on a run's own values.
 *
 * Nothing is compared with a reference: sums of the residual stream, norms, softmax, activations,
 * and that the same question asked in another way has the same answer, bit for bit.  Pure but for
 * the run's caches; runs on the thread that owns the runs.  Tested in tests/tui/test_cli_check.c
 * and tests/engine/test_session.c. */
#ifndef CHECK_H
#define CHECK_H

#include "run/run.h"

enum {
    CHECK_COUNT = 0 /* rows of check.def */
#define CHECK(function, per_block, limit, name) +1
#include "measure/check.def"
};

struct check_info {
    const char *name; /* "pattern . v == z" */
    double limit;     /* the largest deviation that passes; 0 = bit for bit */
};
extern const struct check_info check_table[CHECK_COUNT];

enum check_result {
    CHECK_ABSENT, /* the model has nothing to compare */
    CHECK_HOLDS,
    CHECK_FAILS
};

/* What one identity came to. */
struct check_finding {
    double deviation;      /* relative to the largest value compared; inf where one is NaN */
    int32_t layer;         /* where it was worst; -1 = not of a block */
    struct site_ref first; /* the hook where it goes wrong; id SITE_COUNT: none can be named */
    enum check_result result;
};

/* Test identity `i` of the table on a synced run without edits, block by block.  cache_bytes: of
 * the further runs that it may need (run.h).  ERR_CANCELLED between blocks too; *out is untouched
 * on failure. */
int check_identity(struct run *base, int i, size_t cache_bytes, struct check_finding *out,
                   struct err *e);

#endif
