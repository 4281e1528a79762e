/* run_pass.h - one pass of a run through steps of a stage: for run_exec.c, which goes through them,
 * and run_fuse.c, which makes one call of several where nobody looks in between. */
#ifndef RUN_PASS_H
#define RUN_PASS_H

#include "run/run_parts.h"

/* One pass of one step: what the operands are resolved against. */
struct pass {
    struct run *r;
    struct frame *f;
    const struct step *step;
    bool full;     /* attention sees all positions in this stage */
    int32_t n_src; /* sources [0, n_src) can be seen from these rows */

    /* run_fuse.c's: */
    bool unseen;                      /* nobody looks at what is not kept */
    bool quiet;                       /* and no step on request runs */
    bool shared;                      /* products are made for several runs together */
    const struct step *last;          /* the steps of this pass end before it */
    const struct step *group, *end;   /* from the one to the other one call; NULL: none */
    const struct step *through;       /* a copy that was left out, or NULL */
    const struct step *beside, *made; /* products from the one to the other are made; NULL: none */
};

/* Rows of the frame, of a site of a stage. */
struct kn_view pass_rows(const struct pass *p, int32_t stage, enum site_id s);
struct kn_view pass_operand(const struct pass *p, const struct operand *o);
/* The step's call; *all: the site whose keys or values attention reads, or SITE_COUNT. */
struct kn_call pass_call(const struct pass *p, enum site_id *all);
bool pass_step_active(const struct run *r, const struct frame *f, const struct step *s,
                      enum site_id want);

/* Before the first step, of `count` in the stage, which run up to the one before `last`; `shared`:
 * other runs go along. */
void pass_fuse_begin(struct pass *p, const struct step *steps, int32_t count, int32_t last,
                     bool shared, enum site_id want);
/* p->step is next: true where it is not to be run, since a later one is its call too, or nobody
 * needs it. */
bool pass_fuse(struct pass *p);
/* Scratch for the site a step writes, unless it is kept. */
int pass_reserve(struct pass *p, enum site_id s, struct err *e);
/* p->step is a product, and so is each of the *n - 1 beside it that can be made in its turn (none
 * where *n is 1): the call of all of them, whose sites have room.  pass_set_made: n of them are
 * made; pass_made: p->step is one of those whose turn comes later. */
int pass_products(struct pass *p, struct kn_call *c, int *n, struct err *e);
void pass_set_made(struct pass *p, int n);
bool pass_made(const struct pass *p);
/* Make p->step together with those beside it, where one call can; *made: it did. */
int pass_beside(struct pass *p, bool *made, struct err *e);
/* The steps from p->group to p->end, which is p->step, as one call. */
int pass_fused(const struct pass *p, struct err *e);

#endif
