/* sweep.h - one metric under many edits: activation patching, ablation and path patching over whole
 * axes.
 *
 * A sweep has a cell for every value of its axes (sweep_set.h); a cell's value is the metric of the
 * run with that cell's edits, as a fork of it would have it, bit for bit on the cpu.  Cells are
 * computed some at a time, the likely ones first (sweep_order), so that whatever is there is true.
 * Several prompts: the mean over them and its standard error; their positions are paired as `align`
 * says.  Path patching (Wang et al. 2022): the cell's edits act on receivers alone, along the path
 * from the one to the others through the residual stream and the MLPs, what attention gives
 * elsewhere held as it was.
 *
 * One thread at a time, the one that owns the runs; the model must outlive the sweep.  Tested in
 * tests/engine/test_sweep.c against TransformerLens' patching.py. */
#ifndef SWEEP_H
#define SWEEP_H

#include "measure/metric.h"
#include "measure/sweep_kind.h"
#include "measure/sweep_set.h"
#include "run/pair.h"
#include "token/token_align.h"

enum { SWEEP_CELLS_MAX = 1 << 22, SWEEP_PROMPTS_MAX = 256 };

/* One prompt, the further ones that its edits read, of the same names for every prompt, and its
 * metric. */
struct sweep_prompt {
    struct run_input input;
    const struct pair_prompt *runs;
    int32_t n_runs;
    const char *metric;
};

/* What to sweep; copied by sweep_open.  Zero is the default of every field but prompts. */
struct sweep_want {
    const char *kind;       /* sweep_kind.h; NULL: `set` */
    const char *const *set; /* edits with holes (sweep_set.h), all made in every cell */
    int32_t n_set;
    /* Of a kind, what is put there: "zero", "freeze", a value of the edit language ("mean(ref)",
     * "from(clean)"), or an operator and a value ("*= 0.5").  NULL: from() the only further prompt,
     * zero where there is none. */
    const char *with;
    struct sweep_choose choose; /* choices for its axes: "layer=0..3", "pos=-1" */
    /* Path patching: the hooks, with holes perhaps, that the edits reach and where they act. */
    const char *const *receivers;
    int32_t n_receivers;
    bool freeze_mlp;       /* hold what MLPs give on the way, too */
    const char *normalize; /* values as shares of the way from the base (0) to this run (1) */
    enum token_align align;
    struct edit *const *edits; /* in force in every cell and in the base */
    int32_t n_edits;
    struct reference_set *const *sets;
    int32_t n_sets;
    const struct sweep_prompt *prompts;
    int32_t n_prompts;
    size_t cache_bytes; /* of all its runs together (run.h) */
};

struct sweep;

/* Check all that can be checked without computing; errors name what does not fit. */
int sweep_open(struct sweep **out, const struct model *m, const struct sweep_want *w,
               struct err *e);
void sweep_close(struct sweep *s);

int32_t sweep_axes(const struct sweep *s, const struct sweep_axis **axes);
int32_t sweep_cells(const struct sweep *s); /* the product of all sizes; the last axis is inner */
int32_t sweep_done(const struct sweep *s);  /* cells that have a value, or never will */
/* Has this cell a value?  If not, it is waiting, or there is no such thing (a key of a head that
 * shares it). */
bool sweep_has(const struct sweep *s, int32_t cell);
bool sweep_absent(const struct sweep *s, int32_t cell);
/* The mean over prompts, and in *error (may be NULL) its standard error: 0 for one prompt.  NaN is
 * a value like any other. */
double sweep_value(const struct sweep *s, int32_t cell, double *error);
/* What a cell without edits would have, in the same unit; known once a cell is. */
double sweep_base(const struct sweep *s);
/* The metric of base and `normalize` themselves, means over prompts; NaN without one. */
void sweep_sides(const struct sweep *s, double *base, double *other);
/* The edits of a cell as text, of the first prompt: "blocks.3.attn.hook_z[14, 2] = 0"; several are
 * on lines of their own.  Length as snprintf's; 0 for an absent cell. */
int sweep_cell_text(const struct sweep *s, int32_t cell, char *buf, size_t size);
/* The position of the first prompt that a value of a position axis means; -1: none. */
int32_t sweep_position(const struct sweep *s, int32_t axis, int32_t i);

/* Compute cells in the order of |score| (cells values, NaN last) from here on.  NULL: in their
 * own. */
int sweep_order(struct sweep *s, const double *score, struct err *e);
/* Told after each value; not 0: stop there and return that. */
typedef int sweep_fn(void *user, struct err *e);
/* Compute up to `cells` more, the base first.  ERR_CANCELLED: what is there is true, and the next
 * call goes on. */
int sweep_step(struct sweep *s, int32_t cells, sweep_fn *fn, void *user, struct err *e);
/* What each cell changes the metric by, to first order, without running it (attribution patching,
 * attribute.h): for all that its edits touch, (edited - value) · d metric / d value, from one
 * backward pass for each prompt.  values, errors and there have a place for each cell; values are
 * means over the prompts that have such a cell, errors standard errors of them, 0 for one prompt.
 * Refused: paths, scores, metrics without a gradient, edits of weights. */
int sweep_attribute(struct sweep *s, float *values, float *errors, bool *there, struct err *e);
/* Cells in units of SWEEP_UNIT, in their own order, so that several processes can share a sweep
 * (base/ranks.h): one computes a unit (all of its cells, into out[cells of it][prompts]), another
 * takes what came of it. */
enum { SWEEP_UNIT = 64 };
struct sweep_unit_cell {
    double value;
    int64_t gone; /* there is no such thing in this prompt */
};
int32_t sweep_units(const struct sweep *s);
size_t sweep_unit_bytes(const struct sweep *s, int32_t unit);
int sweep_unit_compute(struct sweep *s, int32_t unit, struct sweep_unit_cell *out, sweep_fn *fn,
                       void *user, struct err *e);
int sweep_unit_take(struct sweep *s, int32_t unit, const struct sweep_unit_cell *cells,
                    struct err *e);
/* Another metric, one for each prompt: cells whose final residual rows were kept and are all that
 * it reads have their values by the next step without being run again; of a few tokens only their
 * logits are computed.  One that is refused for any prompt changes nothing: the sweep is still of
 * the metric it had. */
int sweep_metric(struct sweep *s, const char *const *metric, struct err *e);

#endif
