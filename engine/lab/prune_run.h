/* prune_run.h - score, take away, evaluate, again: what a model loses step by step on two sets.
 * Tested in tests/engine/test_prune.c. */
#ifndef PRUNE_RUN_H
#define PRUNE_RUN_H

#include "lab/eval.h"
#include "lab/prune.h"
#include "lab/score_run.h"

/* What is told after each step; step 0: before the first one.  What it points to is good until the
 * call ends. */
struct prune_step {
    int32_t step;
    const struct pruned *gone;               /* in all */
    struct prune_choice choice[SCORE_UNITS]; /* [n_choices] of this step */
    int n_choices;
    bool evaluated[SCORE_SETS]; /* there are texts of it */
    struct eval eval[SCORE_SETS];
};

struct prune_run {
    struct score_run score;    /* its target: edits in force, which stay */
    double share[SCORE_UNITS]; /* of each kind of unit, in each step; 0: none */
    bool per_layer;
    int64_t head_group; /* heads go in groups of so many neighbours (scores_share); 0: alone */
    bool cumulative; /* one scoring for all steps: step i takes away i times the share of it.  Else
                        each step scores what the one before left, and takes the share of all. */
    int32_t steps;
    const char *value;                 /* as prune_edits */
    struct score_set eval[SCORE_SETS]; /* texts to evaluate on; path NULL: none */
    int32_t top;                       /* of eval_work */
    int (*told)(void *user, const struct prune_step *s, struct err *e); /* rank 0's numbers count */
    /* Of evaluations: as score_work's, which the scoring calls. */
    int (*rest)(void *user, const struct gather_news *news, struct err *e);
    void *user;
};

/* `p`, which is initialised and may hold what is gone already, takes what goes.  Of several ranks
 * (score.work.ranks) all call it, between works, and all have the same in `p`. */
int prune_run(struct pruned *p, const struct prune_run *w, struct err *e);
/* Evaluate a model with a target's edits on w's sets, to s, of rank 0. */
int prune_evaluate(const struct prune_run *w, const struct pair_target *t, struct prune_step *s,
                   struct err *e);

#endif
