/* lens.h - what the values mean: logit lens, metrics, attention scores, statistics.
 *
 * Everything is over the full vocabulary and reduced in row blocks; layer x position x vocabulary
 * is never materialised.  Ranks are 0-based, counting strictly greater logits; entropies in nats;
 * log-probs natural. Runs on the thread that owns the runs.  Tested in tests/engine/test_lens.c. */
#ifndef LENS_H
#define LENS_H

#include "run/run.h"

/* One lens cell: the model's final norm and unembedding on one residual row. */
struct lens_cell {
    float entropy;
    float lse;           /* log-sum-exp: logprob = logit - lse */
    float target_logit;  /* NaN without a target */
    int32_t target_rank; /* -1 without a target */
};

struct lens_top {
    int32_t id;
    float logit;
};

enum { LENS_TOP_MAX = 64 };

/* Why encoders have no loss. */
#define LENS_NO_LOSS                                                                                 \
    "the mean over next tokens is of causal models, this one sees them · take logprob[pos, token] " \
    "at a mask"

/* Refuse, in one line, a model that has no logits. */
int lens_check(const struct model *m, struct err *e);

/* Lens of n cells in any order, each (column as run_lens_site counts, row): cells[n], top[n * k]
 * descending, k 0..LENS_TOP_MAX.  target: one id for all, or -1.  A cell's value does not depend on
 * the others asked for. */
struct lens_at {
    int32_t column, row;
};
int lens_cells(struct run *r, const struct lens_at *at, int32_t n, int32_t k, int32_t target,
               struct lens_cell *cells, struct lens_top *top, struct err *e);
/* Lens of column `column` (run_lens_site) for rows [row0, row1): cells[row1-row0], top[(row1-row0)
 * * k] (k <= LENS_TOP_MAX, descending), target: one id for all rows, or -1.  Column n_layers equals
 * the model's own logits unless ln_final or unembed sites are edited. */
int lens_column(struct run *r, int32_t column, int32_t row0, int32_t row1, int32_t k,
                int32_t target, struct lens_cell *cells, struct lens_top *top, struct err *e);
/* Logits of chosen tokens in one lens cell: out[n] for ids[n]. */
int lens_pick(struct run *r, struct lens_at at, const int32_t *ids, int32_t n, float *out,
              struct err *e);
/* The same on the model's output (unembed.hook_out of the run, edits included). */
int lens_output(struct run *r, int32_t row0, int32_t row1, int32_t k, int32_t target,
                struct lens_cell *cells, struct lens_top *top, struct err *e);

/* Logits of one position as the model gives them (edits included): out[d_vocab]. */
int lens_logits(struct run *r, int32_t row, float *out, struct err *e);

/* KL(softmax(p) || softmax(q)) in nats, in double. */
double lens_kl_logits(const float *p, const float *q, int64_t n);
/* KL(base || edited) of the output distributions at one row. */
int lens_kl(struct run *base, struct run *edited, int32_t row, double *kl, struct err *e);
/* The same at rows [row0, row1): kl[row1 - row0]. */
int lens_kl_rows(struct run *base, struct run *edited, int32_t row0, int32_t row1, double *kl,
                 struct err *e);
/* KL(model's logits || lens of column) of rows [row0, row1), in nats, out[row1 - row0]: how far the
 * answer at each position is from what a column would say. */
int lens_kl_final(struct run *r, int32_t column, int32_t row0, int32_t row1, float *out,
                  struct err *e);
/* Cosine of rows of the residual stream at a column to the same rows at the last: out[row1 - row0];
 * NaN where one of them is zero. */
int lens_cosines(struct run *r, int32_t column, int32_t row0, int32_t row1, float *out,
                 struct err *e);
/* How a row expects the token after it, by the model's output: rows [row0, row1), before the last.
 */
struct lens_next {
    float loss;   /* -log p of that token */
    int32_t rank; /* tokens with a greater logit */
    int32_t best; /* the token with the greatest logit, of equal ones that of the lowest id */
};
int lens_next(struct run *r, int32_t row0, int32_t row1, struct lens_next *out, struct err *e);
/* The same of any tokens in their place: tokens[row1 - row0]. */
int lens_tokens(struct run *r, int32_t row0, int32_t row1, const int32_t *tokens,
                struct lens_next *out, struct err *e);
/* Mean next-token cross-entropy of rows 0..n-2 (TransformerLens' return_type="loss"); NaN for a
 * single token. per_token (may be NULL) takes n-1 values. */
int lens_loss(struct run *r, double *loss, float *per_token, struct err *e);

/* Euclidean norms of rows [row0,row1) of a [pos, ...] site, over all further axes together. */
int lens_norms(struct run *r, struct site_ref s, int32_t row0, int32_t row1, float *out,
               struct err *e);

/* Statistics of a site.  Masked scores (-inf) are left out of mean, std, max and n_inf but counted
 * in n and min. */
struct lens_stats {
    double mean, std; /* population standard deviation over finite values; NaN if there are none */
    float min, max;   /* over all but NaN; NaN if there are none */
    int64_t n, n_nan, n_inf;
};
int lens_stats(struct run *r, struct site_ref s, int32_t row0, int32_t row1, struct lens_stats *out,
               struct err *e);
/* The same of n values; masked: they are attention scores. */
void lens_stats_values(const float *v, int64_t n, bool masked, struct lens_stats *out);

/* Scores of one head on this prompt, each a mean over destination rows of attention mass:
 * previous: on dest-1 (rows >= 1); duplicate: on earlier copies of the same token (rows that have
 * one); induction: on tokens that follow an earlier copy of the same token (rows that have one);
 * first: on position 0 (rows >= 1); self: on dest (all rows); entropy: of the row in nats (all
 * rows).  NaN where no row qualifies, or where a NaN is in them. */
struct lens_head {
    float previous, duplicate, induction, first, self, entropy;
    int32_t n_repeats; /* rows whose token stands before: those of duplicate and induction */
};
/* Of every head of a layer: out[n_heads].  Its pattern is read in blocks of rows. */
int lens_heads(struct run *r, int32_t layer, struct lens_head *out, struct err *e);
/* pattern: [dest, src] of one head, n x n, row stride `stride`; tokens[n]. */
void lens_head_scores(const float *pattern, int64_t stride, const int32_t *tokens, int32_t n,
                      struct lens_head *out);

#endif
