/* grad_parts.h - what grad.c (the walk) and grad_step.c (the products) share. */
#ifndef GRAD_PARTS_H
#define GRAD_PARTS_H

#include "measure/grad.h"
#include "run/run_parts.h"

/* Gradients of one stage: some sites for all rows of the run (keys, values, the residual stream
 * that leaves the stage), the others for the rows [r0, r1) of the pass.  `before` holds the
 * previous stage's sites that this stage reads, for all rows. */
struct walk {
    struct run *r;
    int32_t stage, r0, r1;
    bool full;
    bool wanted[SITE_COUNT];       /* of this stage: by the caller or a callback */
    bool asked[SITE_COUNT];        /* by the caller */
    bool grad_changed[SITE_COUNT]; /* edits or callbacks change the gradient there */
    bool whole;                    /* all rows in one pass */
    struct buffer rows[SITE_COUNT];
    bool fresh[SITE_COUNT]; /* nothing was added to rows[] yet: what is there means nothing */
    struct buffer all[SITE_COUNT];
    struct buffer before[SITE_COUNT];
    struct buffer root[SITE_COUNT]; /* sites of the first stage that every block reads, for all
                                       rows; none: not wanted */
    struct buffer temp[2], slots;
    const struct run_chain
        *chain; /* not NULL: operands are those of run_chain, and the gradients */
    struct kn_view chain_x, chain_dx; /* of what it reads and writes are these */
    struct buffer aside[SITE_COUNT];
};

/* Rows [r0, r1) of a site's gradient in this stage. */
struct kn_view grad_view(struct walk *w, enum site_id s);
/* All rows of keys or values. */
struct kn_view grad_view_all(struct walk *w, enum site_id s);
/* Zeros where nothing was added yet. */
int grad_settle(struct walk *w, enum site_id s, struct err *e);
/* Add the products of one step to its inputs' gradients; own = G of the step's own site. */
int grad_step(struct walk *w, const struct step *s, struct err *e);
/* Gradient of mlp.instr.hook_out from that of mlp.hook_post: nothing else reads it. */
int grad_act_out(struct walk *w, struct err *e);

#endif
