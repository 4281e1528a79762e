/* borescope_sweep.h - one metric under many edits, from C: sweeps, exact and cell by cell, and what
 * a few passes estimate of them.
 *
 * Part of borescope.h, which includes it; the conventions there hold here.  Tested in
 * tests/engine/test_library_sweep.c and tests/engine/test_library_attribute.c. */
#ifndef BORESCOPE_SWEEP_H
#define BORESCOPE_SWEEP_H

#include "borescope.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* ---- sweeps ---- */

/* One prompt of a sweep, what its edits read, and its metric ("logit[-1, 5] - logit[-1, 9]",
 * "logprob[3, 17]", "rank[-1, 5]", "loss", "kl" from the run without any edit, and sums of such).
 */
struct bore_sweep_prompt {
    const int32_t *tokens;
    int n;
    const float *pixels;            /* of a model that takes images: as in a pass */
    const struct bore_prompt *runs; /* from(NAME); the same names for every prompt */
    int n_runs;
    const char *metric;
};

/* One metric under many edits: activation patching (TransformerLens' patching.py), ablation, path
 * patching.  Each cell is the metric of the prompt with that cell's edits. */
struct bore_sweep {
    const char *kind;       /* "resid_pre", "z", "q_all_pos", "edge", ... or patching.py's names:
                               "borescope sweep --help" lists them; NULL: `set` */
    const char *const *set; /* edits with holes, "blocks.{layer}.attn.hook_z[{pos}, {head}] = 0",
                               all made in every cell (docs/edits.md) */
    int n_set;
    const char *with;        /* of a kind: "zero", "freeze", "mean(ref)", "*= 0.5", "from(clean)";
                                NULL: from() the only run, zero without one */
    const char *const *over; /* choices for axes: "layer=0..3", "pos=-1" (a single one drops it) */
    int n_over;
    const char *const *receivers; /* path patching: the hooks where the edits arrive, by the path
                                     through the residual stream and MLPs alone */
    int n_receivers;
    bool freeze_mlp;       /* not through MLPs either */
    const char *normalize; /* values as shares of the way from the prompt (0) to this run (1) */
    const char *align; /* positions of prompts of other lengths: "index" (NULL), "end", "token" */
    const char *const *edits; /* in force in every cell */
    int n_edits;
    const struct bore_prompt *references; /* of mean(NAME) and resample(NAME) */
    int n_references;
    const struct bore_sweep_prompt *prompts;
    int n_prompts;
    const double *scores; /* [cells], NULL: cells with a large one are computed first */
    bool estimate; /* attribution patching of the cells instead of running them: base + (edited -
                      value) * gradient, from one backward pass for each prompt */
};

enum { BORE_AXES_MAX = 6 };
struct bore_sweep_result {
    int n_axes;
    struct {
        char name[24]; /* "layer", "pos", "head", "type", or a hole's name */
        int size;
    } axes[BORE_AXES_MAX];
    int64_t cells, done; /* done < cells: the call was stopped */
    double base;         /* without a cell's edits; 0 with normalize */
    double
        *values; /* [cells], the last axis inner: means over the prompts; NaN where has is false */
    double *errors; /* [cells] their standard errors; 0 for one prompt */
    bool
        *has; /* [cells]; false: not computed, or there is no such thing (a key of grouped heads) */
};

/* Run it.  progress (may be NULL) hears how many cells have a value; not 0 stops, and *out is what
 * is there.  Hooks do not act.  Free with bore_sweep_result_free. */
int bore_sweep(struct bore_model *m, const struct bore_sweep *sweep,
               int (*progress)(void *user, int64_t done, int64_t cells), void *user,
               struct bore_sweep_result *out, struct bore_error *error);
void bore_sweep_result_free(struct bore_sweep_result *r);

/* ---- attribution ---- */

/* What each part does to the metric, estimated in a few passes instead of a sweep. */
struct bore_attribute {
    const char *method; /* "atp" (NULL): (put - value) * gradient, attribution patching; "ig":
                           integrated gradients; "eap", "eap-ig": edges between heads and MLPs;
                           "dla": direct logit attribution; "grad": the slope itself */
    const char *kind; /* atp, ig, grad: as of bore_sweep (NULL: "resid_pre", of grad "score"); dla:
                         "layer" (NULL), "head", "head_pos", "neuron", "pos" */
    const char *with; /* what is put there: "zero", "from(clean)", "mean(ref)", "*= 0.5"; NULL:
                         from() the only prompt of the pass, zero without one */
    int steps;        /* of ig and eap-ig; 0 = 5 */
};
struct bore_attribution {
    int n_axes;
    struct {
        char name[24]; /* "layer", "pos", "head", "neuron", "dest", "src", "type", "component",
                          "sender", "receiver" */
        int size;
        char (*labels)[32]; /* [size]: "3_attn_out", "a0.h1", "a1.h2<q>"; NULL: numbers */
    } axes[BORE_AXES_MAX];
    int64_t cells;
    float *values;   /* [cells], the last axis inner: changes of the metric; dla: shares of it */
    bool *has;       /* [cells]; false: there is no such edge, position or head */
    double base;     /* the metric; dla: before a cap of the logits */
    double sum;      /* of all values */
    double constant; /* dla: of the final norm's bias and b_U; base - constant - sum is no part's */
};

/* One whole prompt (pass.rows = 1, no mask, residual or stops) and pass.metric; edits act, hooks do
 * not.  Free with bore_attribution_free. */
int bore_attribute(struct bore_model *m, const struct bore_pass *pass,
                   const struct bore_attribute *how, struct bore_attribution *out,
                   struct bore_error *error);
void bore_attribution_free(struct bore_attribution *a);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif
#endif
