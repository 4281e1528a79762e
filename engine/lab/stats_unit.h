/* stats_unit.h - the statistics of one unit of work (ranks.h) in one piece of memory, so that they
 * travel as they are.
 *
 * All statistics are merged of units, each from nothing, in the order of their numbers: so what
 * many processes make has the bits of what one makes.  Tested in tests/engine/test_stats.c. */
#ifndef STATS_UNIT_H
#define STATS_UNIT_H

#include "lab/stats.h"

struct stats_unit {
    struct stats s; /* its arrays lie in bytes[len]; about and chosen elements are another's */
    void *bytes;
    size_t len;
};

/* Empty, of the hooks of `like`, which outlives it. */
int stats_unit_open(struct stats_unit *u, const struct stats *like, struct err *e);
void stats_unit_close(struct stats_unit *u);
/* Of no tokens again. */
void stats_unit_clear(struct stats_unit *u);
/* What was added is all; the unit behind it begins at `end`.  Then bytes[len] are what to send. */
void stats_unit_end(struct stats_unit *u, const struct texts_place *end);
/* Into `to`, of the same hooks; its place moves to the unit's end.  ERR_SYSTEM for bytes of another
 * length. */
int stats_unit_merge(struct stats *to, const void *bytes, size_t len, struct err *e);

#endif
