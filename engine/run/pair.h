/* pair.h - the runs of one question: the base, its edited fork, and further prompts that edits
 * read.
 *
 * pair_sync resolves an edit list and brings all of them to it with the smallest work, and keeps
 * book of what changed, so that a caller can keep figures it derived from values that did not. One
 * thread at a time.  Tested in tests/engine/test_pair.c. */
#ifndef PAIR_H
#define PAIR_H

#include "run/run.h"
#include "token/token_align.h"

struct callbacks;
struct reference_set;

enum face { FACE_BASE, FACE_EDITED, FACE_COUNT };

/* A further prompt: from(NAME).  "base" always exists and is the run without edits. */
struct pair_prompt {
    const char *name;
    const int32_t *tokens;
    int32_t n;
    const struct image_input *image; /* of models that take images; tokens and n are its */
};

struct pair_target {
    struct run_input input;
    struct edit *const *edits;
    const bool *on; /* NULL = all on */
    int32_t n_edits;
    const struct pair_prompt *prompts;
    int32_t n_prompts;
    struct reference_set *const *sets; /* for mean(REF) and resample(REF) */
    int32_t n_sets;
    /* Which position of a further prompt of another length from() without pos= reads
     * (prompt_align.h); of none by index. */
    enum token_align align;
    int32_t
        paired; /* not 0: positions from here on followed the prompt, and none stands for them */
};

/* A copy of all that a target points to but the rows of its input, which it has none of; edits,
 * sets and images are counted.  Freed with pair_target_free, also after a failure. */
int pair_target_copy(struct pair_target *to, const struct pair_target *from, struct err *e);
void pair_target_free(struct pair_target *t);
/* Are their further prompts the same ones? */
bool pair_prompts_same(const struct pair_target *a, const struct pair_target *b);

struct pair;

/* cache_bytes: the budget of all runs together (run.h). */
int pair_open(struct pair **out, const struct model *m, size_t cache_bytes, struct err *e);
void pair_close(struct pair *p);

/* Resolve, then compute.  Everything is copied.  An edit list that does not fit is an error before
 * anything changes; after ERR_CANCELLED the next call completes the work.  *cost (may be NULL) is
 * that of the face on show: the fork's if there are edits. */
int pair_sync(struct pair *p, const struct pair_target *t, struct run_cost *cost, struct err *e);

/* The same for several pairs of one model (at most RUN_TOGETHER_MAX), t[i] for pairs[i]: where each
 * computes few rows, they share products. *which: whose edits do not fit, else -1. */
int pair_sync_all(struct pair *const *pairs, const struct pair_target *t, int32_t n, int32_t *which,
                  struct err *e);

/* The callbacks of the following pair_sync calls (copied; NULL = none), as run_callbacks.  They
 * belong to the edited face, which is then there without edits too; or, `alone`, to the base, and
 * there must be no edits: nothing is computed twice.  To be called before each pair_sync. */
int pair_callbacks(struct pair *p, const struct callbacks *c, bool alone, int32_t row0,
                   struct err *e);
/* run_stop and run_differentiate of both faces; `alone`: stop the base too, else it is computed to
 * its end. */
void pair_stop(struct pair *p, int32_t stop, bool alone);
/* The same of run_stop_after. */
void pair_stop_after(struct pair *p, const struct site_ref *sites, int32_t n, bool alone);
void pair_differentiate(struct pair *p, bool on);

/* The edits of the last pair_sync that succeeded, resolved; a reference of the caller's own, NULL
 * if none is on. */
const struct edit_program *pair_program(const struct pair *p);

/* FACE_EDITED is NULL while no edit is on and it has no callbacks. */
struct run *pair_run(const struct pair *p, enum face f);
/* The edited run, or the base where there is none. */
struct run *pair_shown(const struct pair *p);

/* Rows [pair_first_changed_row(p, stage), n) of the sites of a stage (plan.h) can differ between
 * the faces; others cannot. */
int32_t pair_first_changed_row(const struct pair *p, int32_t stage);
/* Rows [this, n) of a stage's sites may have changed since pair_settle, even by calls that failed.
 */
int32_t pair_changed(const struct pair *p, enum face f, int32_t stage);
/* The caller has seen the changes. */
void pair_settle(struct pair *p);

#endif
