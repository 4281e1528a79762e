/* batch.h - the pieces of a set of texts through a model, many at a time.
 *
 * Pieces of a few tokens share products: their rows lie one below the other, none is padded, and
 * every value has the bits that it has alone (run.h, run_compute).  Each is run in a pair of its
 * own, so that edits act as on a prompt, and what is held is one batch.  One thread, that of the
 * runs.  Tested in tests/engine/test_batch.c. */
#ifndef BATCH_H
#define BATCH_H

#include "lab/units.h"
#include "run/pair.h"

/* A piece is computed: `pair` has it, its string is gone (NULL).  Not zero ends the work. */
typedef int batch_fn(void *user, const struct text_piece *p, struct pair *pair, struct err *e);

struct batch_work {
    const struct model *m;
    const struct pair_target *target; /* edits and what they read; its input is not looked at */
    const struct site_ref *keep;      /* [n_keep] sites whose values `done` reads: they are not
                                         computed twice then, but for scores and patterns */
    int32_t n_keep;
    bool stops; /* what comes after the last of them is not computed */
    size_t cache_bytes;
    batch_fn *done; /* called once per piece, in the order of the set */
    void *user;
    /* Called behind the last piece of a batch, while all its pieces and pairs are as `done` saw
     * them.  May be NULL. */
    int (*all_done)(void *user, struct err *e);
    /* Called when all pieces of a unit (units.h) were handed out, of which there is at least one;
     * the next one begins at the place.  A batch is of one unit.  May be NULL. */
    int (*unit_done)(void *user, int64_t unit, const struct texts_place *next, struct err *e);
    /* Called after each batch, whose pieces were handed out; the next one begins at the place.  May
     * be NULL. */
    int (*rest)(void *user, const struct texts_place *next, struct err *e);
};

/* Where pieces come from. */
struct batch_source {
    int (*next)(void *from, struct text_piece *out, struct err *e); /* as texts_next */
    void (*place)(const void *from, struct texts_place *out);       /* as texts_place */
    void *from;
};
int batch_run_from(const struct batch_source *s, const struct batch_work *w, struct err *e);

/* All that is left of a set, by a process alone. */
int batch_run(struct texts *t, const struct batch_work *w, struct err *e);

#endif
