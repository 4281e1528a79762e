/* stats_run.h - statistics of a model over a set of texts.  Tested in tests/engine/test_stats.c. */
#ifndef STATS_RUN_H
#define STATS_RUN_H

#include "lab/batch.h"
#include "lab/stats.h"
#include "lab/token_filter.h"

struct stats_work {
    const struct model *m;
    const struct texts_options *options; /* of the texts, for what `about` says */
    const struct pair_target *target;    /* edits in force */
    const struct token_filter *filter;
    const struct stats *center; /* NULL, or statistics of the same hooks: each element is taken
                                   minus its peak there, the middle of its fullest bin */
    size_t cache_bytes;
    struct ranks *ranks; /* NULL, or those who share the work and have agreed (ranks.h) */
    /* After each batch, on rank 0; may be NULL.  `s` are whole units, from whose end the work could
     * go on; `news` is of all ranks: tokens that were taken, and how far they are.  Not zero ends
     * the work. */
    int (*rest)(void *user, const struct stats *s, const struct gather_news *news, struct err *e);
    void *user;
};

/* What the statistics are of: the model's fingerprint, windows, filters, edits, to s->about. */
int stats_about(struct stats *s, const struct stats_work *w, struct err *e);
/* Add the texts from s->place on, the end of a unit, of a set that nothing was taken from. s->place
 * moves along.  Of several ranks all call it with the same place; the result is rank 0's. */
int stats_run(struct stats *s, struct texts *t, const struct stats_work *w, struct err *e);

/* The value around which an element's values lie: the middle of its fullest bin, within its
 * smallest and largest value; 0 where there are none. */
float stats_peak(const struct stats_site *s, int64_t element);

#endif
