/* mask_learn.h - which units a set of texts can do without, learned: sigmoid masks by gradient.
 *
 * Each unit's activation x becomes m x, m = sigmoid(theta).  Steps of Adam (Kingma and Ba 2015,
 * beta 0.9 and 0.999) lower KL(base || masked), the mean over the positions of some windows of the
 * set in turn, plus l1 times the mean of all m.  d KL / dm is the sum over positions of x times the
 * gradient at the masked activation (grad.h); no gradient of a weight is taken.  Tested in
 * tests/engine/test_mask_learn.c against differences. */
#ifndef MASK_LEARN_H
#define MASK_LEARN_H

#include "lab/prune.h"
#include "lab/score_run.h"

struct mask_step {
    int32_t step;               /* from 1 */
    double kl;                  /* before the step, nats */
    double mean;                /* of all m, after it */
    int64_t below[PRUNE_PARTS]; /* with m < 1/2, after it */
};

struct mask_learn {
    const struct model *m;
    const struct pair_target
        *target;          /* edits in force, before the masks; the base is without them */
    struct score_set set; /* texts */
    const float *theta[PRUNE_PARTS]; /* [n_layers, n] to begin with; NULL: this part has no masks */
    double rate, l1;
    int32_t steps, windows; /* windows of a step */
    size_t cache_bytes;
    const char *path; /* where the masks are kept, step by step: --taker-params (prune.h); each rank
                         has a file of its own */
    struct ranks *ranks; /* or NULL: windows are shared, the masks have the same bits */
    int (*told)(void *user, const struct mask_step *s, struct err *e); /* may be NULL; of rank 0 */
    void *user;
};

/* Of several ranks all call it, between works (ranks.h).  On return w->path has the masks, and p's
 * units with m < 1/2 are gone. */
int mask_learn(struct pruned *p, const struct mask_learn *w, struct err *e);
/* The edits of masks in such a file, as prune_edits has its own. */
int mask_edits(const struct pruned *p, const float *const theta[PRUNE_PARTS], const char *path,
               const char *fn, char ***texts, int32_t *n, struct err *e);

#endif
