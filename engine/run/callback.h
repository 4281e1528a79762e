/* callback.h - functions called on a site's values (forward) or gradients (backward).
 *
 * A list in firing order: per site and direction in order of adding, prepended ones first.  Each
 * belongs to a level (a depth of nested scopes) unless it is permanent; the meanings of level,
 * direction and including_permanent are those of TransformerLens' hook_points.py. Knows nothing of
 * runs; run_callbacks.c calls them.  Tested in tests/engine/test_lifecycle.c. */
#ifndef CALLBACK_H
#define CALLBACK_H

#include "model/site.h"

enum callback_dir { CALLBACK_FORWARD = 1, CALLBACK_BACKWARD = 2, CALLBACK_BOTH = 3 };

enum callback_flag {
    CALLBACK_PERMANENT = 1,
    CALLBACK_PREPEND = 2,
    CALLBACK_READS = 4, /* promises not to change the values: nothing after it is computed for its
                           sake */
    CALLBACK_GRAD_PASS = 8, /* gradients pass straight through what it changes, instead of ending
                               there */
};

enum { CALLBACK_ANY_LEVEL = -1, CALLBACK_WITH_MAX = 2 };

struct callback;

/* Rows [row0, row0 + rows of v) of the site as a canonical f32 view (no batch dimension, strides
 * free) in host memory, which may be changed in place; v[1], v[2]: the same rows of self->with.
 * Views are good until it returns.  Non-zero stops the pass with that code; *e may be filled. */
typedef int callback_fn(const struct callback *self, int32_t row0, const struct kn_view *v,
                        struct err *e);

struct callback {
    struct site_ref site;
    enum callback_dir dir; /* one of the two */
    unsigned flags;
    int32_t level;
    callback_fn *fn;
    struct site_ref with[CALLBACK_WITH_MAX]; /* forward: sites of the stage that are computed before
                                                and kept, because they have callbacks too;
                                                backward: SITE_EXPERT_INDICES alone, their values */
    int n_with;
    void *user, *owner;  /* the caller's */
    void (*inner)(void); /* the caller's: a function of another type behind fn */
};

/* Zero-initialised is empty. */
struct callbacks {
    struct callback *list;
    int32_t n, cap;
};

int callbacks_add(struct callbacks *c, const struct callback *add, struct err *e);
/* Which callbacks are meant; NULL: all. */
typedef bool callback_test(const struct callback *c, const void *user);
/* Remove those of `dir` that are meant: all if including_permanent, whatever their level; else
 * those that are not permanent and of `level` (or CALLBACK_ANY_LEVEL). */
void callbacks_remove(struct callbacks *c, enum callback_dir dir, callback_test *meant,
                      const void *user, bool including_permanent, int32_t level);
bool callbacks_any(const struct callbacks *c, enum callback_dir dir, callback_test *meant,
                   const void *user, bool including_permanent, int32_t level);
int callbacks_copy(struct callbacks *to, const struct callbacks *from, struct err *e);
void callbacks_free(struct callbacks *c);

/* The next one of a site and direction from place *i on, in firing order; NULL: there is none. */
const struct callback *callbacks_next(const struct callbacks *c, enum callback_dir dir,
                                      struct site_ref s, int32_t *i);

#endif
