/* analysis.h - where the residual stream comes from: TransformerLens' ActivationCache stacks,
 * direct logit attribution, head detection.
 *
 * A stack is a list of labelled vectors per position that sum to a residual stream (the library's
 * return_labels). Names and labels are the library's: accumulated_resid, decompose_resid,
 * stack_head_results, stack_neuron_results, get_full_resid_decomposition, logit_attrs, detect_head.
 * One thread, the one that owns the run.  Tested in tests/engine/test_analysis.c. */
#ifndef ANALYSIS_H
#define ANALYSIS_H

#include "measure/lens.h"

/* Labels as of the whole stream; of an earlier one (struct stack_options) they end sooner. */
enum stack_kind {
    STACK_ACCUMULATED, /* resid_pre of every block, then the last resid_post: "0_pre", ...,
                          "final_post" */
    STACK_DECOMPOSED, /* "embed", "pos_embed", "0_attn_out", "0_mlp_out", ...; sums to the stream */
    STACK_HEADS,      /* "L0H0", ...; then "remainder": everything that is not a head's */
    STACK_NEURONS,    /* "L0N0", ...; then "remainder" */
    STACK_FULL, /* "L0H0", ..., "0_mlp_out", ..., "embed", "pos_embed", "bias" (the b_O): sums to
                   the stream */
    STACK_KIND_COUNT
};

/* The library's parameters, each for the kinds that have it; others refuse it. */
enum stack_flag {
    STACK_MLP_INPUT = 1, /* the stream that enters the MLP of `layer` */
    STACK_INCL_MID = 2,  /* accumulated_resid: "0_mid", ... too */
    STACK_APPLY_LN = 4,  /* centred if the norms centre, and divided by the run's own scale of the
                            norm that reads the stream;  accumulated_resid of the whole stream: each
                            through the final norm itself */
    STACK_EXPAND_NEURONS = 8, /* get_full_resid_decomposition: neurons and b_out instead of
                                 "0_mlp_out" */
    STACK_NO_EMBEDS = 16,     /* decompose_resid: incl_embeds=False */
    STACK_NO_ATTN = 32,       /* decompose_resid: mode="mlp" */
    STACK_NO_MLP = 64,        /* decompose_resid: mode="attn" */
    STACK_NO_REMAINDER = 128, /* heads, neurons: incl_remainder=False */
    STACK_ONE_LAYER = 256     /* neurons of the last layer alone, the others in the remainder */
};

struct stack_options {
    enum stack_kind kind;
    unsigned flags;
    int32_t layer; /* the stream that enters this layer; -1 or the number of layers: the one that
                      leaves the last */
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

/* Words for the flags, "mlp_input,apply_ln": incl_mid, expand_neurons, no_embeds, no_attn, no_mlp,
 * no_remainder, one_layer. */
int stack_flags_parse(const char *text, unsigned *flags, struct err *e);

/* Components of a residual stream at rows[n_rows], in any order.  Refused past LIMIT_STACK_BYTES,
 * all rows together.  Freed with stack_free. */
int stack_make(struct stack *out, struct run *r, const struct stack_options *o, const int32_t *rows,
               int32_t n_rows, struct err *e);
void stack_free(struct stack *s);

/* Direct logit attribution with the run's own final norm held fixed: out[n * rows], the share of
 * each component in logit[a] (minus logit[b] if b >= 0) at its position; rows: those of the stack.
 * *constant: what the norm's bias and b_U give (same for all rows); a stack that sums to the
 * residual stream sums, with it, to the logit.  Where the final norm has weights they belong to the
 * direction (a model processed with fold_ln has none: then this is logit_attrs). */
int stack_logit_attrs(const struct stack *s, struct run *r, const int32_t *rows, int32_t a,
                      int32_t b, float *out, double *constant, struct err *e);

/* What it is made of, for other readings of a stream.  Refuse a model whose stream is no sum of
 * what its layers give; `what` is asked for. */
int stack_check(const struct config *c, const char *what, struct err *e);
/* What attention (or the MLP) is made of, n vectors x[n][n_at][d_model] at these rows, becomes what
 * it is of the sum in the stream: where a norm stands behind, times its weight over the scale that
 * it had in the run; else as it was.  (Norms that stand there have no mean and no bias.) */
int stack_as_added(struct run *r, int32_t layer, bool mlp, const int32_t *at, int32_t n_at,
                   float *x, int32_t n, struct err *e);
/* dir[d_model] = w_lnf * (W_U[:, a] - W_U[:, b]) (b < 0: without it), and what the norm's bias and
 * b_U add to that logit (difference). */
int stack_direction(const struct run *r, int32_t a, int32_t b, double *dir, double *constant,
                    struct err *e);

enum head_pattern { HEAD_PREVIOUS, HEAD_DUPLICATE, HEAD_INDUCTION, HEAD_PATTERN_COUNT };
const char *head_pattern_name(enum head_pattern p); /* "previous_token_head", ... */
int head_pattern_parse(const char *name, enum head_pattern *out, struct err *e);

struct detect_options {
    bool exclude_bos, exclude_current_token;
    bool abs; /* error_measure "abs" instead of "mul" */
};

/* What attention is expected: pattern[n][n], [dest, src], lower triangular; one of the library's
 * names gives zeros and ones. */
void head_pattern_fill(enum head_pattern p, const int32_t *tokens, int32_t n, float *pattern);
/* The same out of a safetensors file: "FILE:TENSOR", or "FILE" of one tensor.  Errors: another
 * shape, something past the diagonal. */
int head_pattern_read(const char *where, int32_t n, float *pattern, struct err *e);

/* TransformerLens' detect_head: scores[n_layers * n_heads] of how much each head's attention is the
 * expected one on this prompt; "abs" is rounded to three places as there.  At least two tokens; a
 * pattern that is not lower triangular is refused. */
int detect_head(struct run *r, const float *pattern, const struct detect_options *opt,
                float *scores, struct err *e);

#endif
