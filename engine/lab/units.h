/* units.h - the windows of a set of texts cut into units, which are dealt out to ranks (ranks.h).
 *
 * Every rank reads all texts, which costs little beside a model, and takes the windows of its own
 * units.  Where a unit ends depends on the windows before it alone, counted from where the work
 * began: one that goes on at a unit's end (texts_place) has the same ones.  Tested in
 * tests/engine/test_batch.c. */
#ifndef UNITS_H
#define UNITS_H

#include "base/ranks.h"
#include "lab/texts.h"

enum { UNIT_TOKENS = 1024 }; /* fresh ones: windows until there are so many */

/* Zero-initialised but for the first two. */
struct units {
    struct texts *texts;
    const struct ranks *ranks;
    int64_t n;      /* whole units behind us, of all ranks */
    int64_t tokens; /* of the one at hand */
};

/* As texts_next and texts_place, of the windows of this rank; `from`: the units. */
int units_next(void *from, struct text_piece *out, struct err *e);
void units_place(const void *from, struct texts_place *out);
/* How many there are, once there is no next one. */
int64_t units_count(const struct units *u);

#endif
