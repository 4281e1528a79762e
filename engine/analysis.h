/* analysis.h - where the residual stream comes from: TransformerLens' ActivationCache stacks, direct logit attribution, head
 * detection.
 *
 * A stack is a list of labelled vectors per position that sum to a residual stream (the library's return_labels).
 * Names and labels are the library's: accumulated_resid, decompose_resid, stack_head_results,
 * stack_neuron_results, get_full_resid_decomposition, logit_attrs, detect_head.
 * One thread, the one that owns the run.  Tested in tests/engine/test_analysis.c. */
#ifndef ANALYSIS_H
#define ANALYSIS_H

#include "lens.h"

enum stack_kind {
    STACK_ACCUMULATED, /* resid_pre of every block, then the last resid_post: "0_pre", ..., "final_post" */
    STACK_DECOMPOSED,  /* "embed", "pos_embed", "0_attn_out", "0_mlp_out", ...; sums to the last resid_post */
    STACK_HEADS,       /* "L0H0", ...; then "remainder": everything that is not a head's */
    STACK_NEURONS,     /* "L0N0", ...; then "remainder" */
    STACK_FULL,        /* "L0H0", ..., "0_mlp_out", ..., "embed", "pos_embed", "bias" (the b_O): sums to the last resid_post */
    STACK_KIND_COUNT
};

enum { STACK_LABEL_MAX = 24 };

struct stack {
    int32_t n, rows, d_model;
    char (*label)[STACK_LABEL_MAX]; /* [n] */
    float *values;                  /* [n][rows][d_model] */
};

/* The library's spelling: "accumulated_resid", "decompose_resid", "stack_head_results", ... */
const char *stack_kind_name(enum stack_kind k);
int stack_kind_parse(const char *name, enum stack_kind *out, struct err *e);

/* Components of the residual stream at rows [row0, row1) as the final norm sees it.  Neurons: of `layer` only, or of all
 * layers with -1: n_layers * d_mlp vectors per row, refused past LIMIT_STACK_BYTES.
 * Freed with stack_free. */
int stack_make(struct stack *out, struct run *r, enum stack_kind kind, int32_t layer, int32_t row0, int32_t row1, struct err *e);
void stack_free(struct stack *s);

/* Direct logit attribution with the run's own final norm held fixed: out[n * rows], the share of each component in
 * logit[a] (minus logit[b] if b >= 0) at its position.  *constant: what the norm's bias and b_U give (same for
 * all rows); a stack that sums to the residual stream sums, with it, to the logit.  Where the final norm has
 * weights they belong to the direction (a model processed with fold_ln has none: then this is logit_attrs). */
int stack_logit_attrs(const struct stack *s, struct run *r, int32_t row0, int32_t a, int32_t b, float *out, double *constant,
                      struct err *e);

enum head_pattern { HEAD_PREVIOUS, HEAD_DUPLICATE, HEAD_INDUCTION, HEAD_PATTERN_COUNT };
const char *head_pattern_name(enum head_pattern p); /* "previous_token_head", ... */
int head_pattern_parse(const char *name, enum head_pattern *out, struct err *e);

struct detect_options {
    bool exclude_bos, exclude_current_token;
    bool abs; /* error_measure "abs" instead of "mul" */
};

/* TransformerLens' detect_head: scores[n_layers * n_heads] of how much each head's pattern is `p` on this prompt,
 * on all
 * positions; "abs" is rounded to three places as there.  At least two tokens. */
int detect_head(struct run *r, enum head_pattern p, const struct detect_options *opt, float *scores, struct err *e);

#endif
