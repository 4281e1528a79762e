/* pattern_stats.h - attention patterns as numbers that tokens of all texts have.
 *
 * A pattern [head, dest, src] has the shape of its prompt, so its elements have no statistics.
 * What tokens have in common is how far back a head looks: of each destination's row this makes,
 * by head, its share of the first position (where heads that find nothing look), its shares by
 * distance, what is left, its entropy and its mean distance.  One that a destination does not have
 * (a source before the text) is NaN, which statistics leave out.  Tested in
 * tests/engine/test_stats.c. */
#ifndef PATTERN_STATS_H
#define PATTERN_STATS_H

#include "model/config.h"

enum {
    PATTERN_DISTANCES = 16, /* 0 .. 15; where all tokens are seen, -15 .. 15 */
    PATTERN_NUMBERS = 2 * PATTERN_DISTANCES + 3
};

/* How many numbers a head has, at most PATTERN_NUMBERS. */
int pattern_numbers(const struct config *cfg);
/* Their names, of n as above, as a JSON list: "first", "self", "previous", "back_2", ...,
 * "ahead_1",
 * ..., "further", "entropy" (nats), "distance" (tokens). */
void pattern_names(int n, char *out, size_t size);
/* Rows of a pattern in host memory, v [head, rows, src] of which the first has dest `row0`:
 * out[rows][heads][pattern_numbers]. */
void pattern_take(const struct config *cfg, const struct kn_view *v, int32_t row0, float *out);

#endif
