/* plan.h - the block program: a model's forward pass as a list of steps.
 *
 * What an architecture's properties mean for the forward pass is said in plan_build alone; which
 * sites they bring stands in site.def.  (process.c and analysis.c do a norm's arithmetic outside of
 * a pass, on weights and stacks.)  A step runs one op and writes exactly one site, so every value
 * is hookable by construction.  Steps are grouped in stages: stage 0 embeds, stages 1..n_layers are
 * the blocks, stage n_layers+1 is the final norm and the unembedding.  Each layer has steps of its
 * own: parameters, operands and ops may differ (windows, rotary bases, sizes); layers that have the
 * same share them.  A step reads sites of its stage, row by row; the first ones of the previous
 * stage; attention reads keys and values of all rows.  A plan is immutable and knows nothing of
 * tokens, values or devices.  Tested in tests/engine/test_plan.c. */
#ifndef PLAN_H
#define PLAN_H

#include "model/weight.h"

enum operand_kind {
    OPERAND_NONE,
    OPERAND_SITE, /* rows of a site of the same stage */
    OPERAND_FLAT, /* the same, [pos, heads, d] seen as [pos, heads*d] */
    OPERAND_ALL,  /* all rows of a site of the same stage up to the last computed one (keys, values)
                   */
    OPERAND_PREV, /* rows of a site of the previous stage */
    OPERAND_REPEAT, /* rows of a [pos, d] site repeated along a new head axis */
    OPERAND_WEIGHT,
    OPERAND_EXPERT, /* a weight of the expert that a row and slot goes to, as SITE_EXPERT_INDICES
                       says: the product of each expert with its rows */
    OPERAND_TOKENS,
    OPERAND_POSITIONS,
    OPERAND_TYPES,   /* token types */
    OPERAND_PATCHES, /* the pixels of an image, a row for each patch */
    OPERAND_COS,     /* a rotary table; id: 0, or 1 for that of layers with a window */
    OPERAND_SIN,
    OPERAND_ROOT /* rows of a site of the first stage (edited rotary tables) */
};

struct operand {
    enum operand_kind kind;
    uint32_t id; /* enum site_id or enum weight_id */
};

/* When a step of an on-request site runs. */
enum step_when {
    STEP_ALWAYS,
    STEP_IF_WANTED, /* the site it writes is observed or edited: a branch nothing else reads unless
                       edited */
    STEP_IF_EDITED, /* any of `edited` is edited: replaces or amends what an ALWAYS step wrote */
};

struct step {
    enum kn_op op;
    enum site_id site; /* what it writes */
    enum step_when when;
    enum site_id edited; /* STEP_IF_EDITED: the on-request site that switches it on */
    int32_t first_rows;  /* runs for so many positions from the first on alone; 0: for all */
    bool in_place;       /* amends `site`, which an earlier step of the stage wrote */
    bool per_head;       /* LINEAR from a per-head residual input [pos, head, d_model]: ln1 and the
                            projection head by head */
    bool flat_out;       /* writes [pos, heads, d] as [pos, heads*d] */
    bool heads_are_rows; /* [pos, heads, d] is run as [pos*heads, d] */
    int32_t fuse;        /* it and so many steps after it can be one call where nobody looks in
                            between and none of those on request among them runs; 0: none */
    int32_t beside; /* so many steps on is the next product of the same rows, which one call can
                       make as well where no step on request changes them; 0: none */
    bool through;   /* a copy of the stage before, which its readers can read instead */
    struct operand in[KN_IN_MAX];
    struct kn_param p;
};

/* Does it multiply each row with the experts that it goes to? */
static inline bool step_is_routed(const struct step *s)
{
    return s->in[1].kind == OPERAND_EXPERT;
}

enum { PLAN_STAGE_ORDER = 1 << 16 }; /* orders per stage: more than a stage has steps */

struct plan {
    struct config cfg;
    int32_t stages;
    struct step *steps;
    int32_t *first, *count;   /* [stages] */
    bool always[SITE_COUNT];  /* some step that always runs writes it */
    bool carried[SITE_COUNT]; /* other stages, or rows that come later, read it */
    /* Would changing one hide the other, in one layer?  Queries, keys and values come from one of
     * their inputs; those per head have a norm of their own. */
    bool conflicts[SITE_COUNT][SITE_COUNT];
};

/* Build the plan of a model shape.  NULL only when memory is out. */
struct plan *plan_build(const struct config *cfg);
void plan_free(struct plan *p);
/* The end of a stage: which of its n steps can be one call (plan_fuse.c). */
void plan_fuse_mark(struct step *steps, int32_t n);
/* How many calls the n steps of a stage are where nobody looks in between.  call[i], unless NULL:
 * that of step i, from 0 on; -1: none, since it runs on request or is a copy that is read through.
 */
int32_t plan_calls(const struct step *steps, int32_t n, int32_t *call);
/* Does what step i makes lie nowhere after these calls? */
bool plan_unwritten(const struct step *steps, int32_t i);
/* The end of building: what n steps say of their sites. */
void plan_sites_mark(struct plan *p, int32_t n);

int32_t plan_stages(const struct plan *p); /* n_layers + 2 */
/* The steps of a stage; *n = how many.  Stages with the same steps have the same ones. */
const struct step *plan_stage(const struct plan *p, int32_t stage, int32_t *n);
/* The stage that writes a site. */
int32_t plan_stage_of(const struct plan *p, struct site_ref s);
/* Order of a site's value in the forward pass: stage * PLAN_STAGE_ORDER + index of the step that
 * first writes it. This is the "step" of the dirty pair. */
int32_t plan_order(const struct plan *p, struct site_ref s);
/* That of the step behind the last one that writes it. */
int32_t plan_order_end(const struct plan *p, struct site_ref s);
/* Order of the first step that reads a weight, which stands in a row of weight.h (root weights:
 * any).
 */
int32_t plan_weight_order(const struct plan *p, int32_t row, enum weight_id w);
/* How many positions a layer's attention looks back over, itself included; 0 = all. */
int32_t plan_window(const struct plan *p, int32_t layer);
/* Floating-point operations of one step for rows [0, n) (a product counts 2 per multiply-add), and
 * bytes of the sites' values: what `borescope plan` prints. */
double plan_step_flops(const struct plan *p, const struct step *s, int32_t n);

#endif
