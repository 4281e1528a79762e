/* lens.h - what the values mean: logit lens, metrics, attention scores, statistics.
 *
 * Everything is over the full vocabulary and reduced in row blocks; layer x position x vocabulary is
 * never materialised.  Ranks are 0-based, counting strictly greater logits; entropies in nats; log-probs natural.
 * Runs on the thread that owns the runs.  Tested in tests/engine/test_lens.c. */
#ifndef LENS_H
#define LENS_H

#include "run.h"

/* One lens cell: the model's final norm and unembedding on one residual row. */
struct lens_cell {
    float entropy;
    float lse;                 /* log-sum-exp: logprob = logit - lse */
    float target_logit;        /* NaN without a target */
    int32_t target_rank;       /* -1 without a target */
};

struct lens_top {
    int32_t id;
    float logit;
};

enum { LENS_TOP_MAX = 64 };

/* Lens of column `column` (run_lens_site) for rows [row0, row1): cells[row1-row0], top[(row1-row0) * k]
 * (k <= LENS_TOP_MAX, descending), target: one id for all rows, or -1.  Column n_layers equals the
 * model's own logits unless ln_final or unembed sites are edited. */
int lens_column(struct run *r, int32_t column, int32_t row0, int32_t row1, int32_t k, int32_t target,
                struct lens_cell *cells, struct lens_top *top, struct err *e);
/* The same on the model's output (unembed.hook_out of the run, edits included). */
int lens_output(struct run *r, int32_t row0, int32_t row1, int32_t k, int32_t target,
                struct lens_cell *cells, struct lens_top *top, struct err *e);

/* Logits of one position as the model gives them (edits included): out[d_vocab]. */
int lens_logits(struct run *r, int32_t row, float *out, struct err *e);

/* KL(base || edited) in nats of the output distributions at one row. */
int lens_kl(struct run *base, struct run *edited, int32_t row, double *kl, struct err *e);
/* Mean next-token cross-entropy over rows 0..n-2 (TransformerLens' return_type="loss"); per_token
 * (may be NULL) takes n-1 values. */
int lens_loss(struct run *r, double *loss, float *per_token, struct err *e);

/* Euclidean norms of rows [row0,row1) of a [pos, ...] site, over all further axes together. */
int lens_norms(struct run *r, struct site_ref s, int32_t row0, int32_t row1, float *out, struct err *e);

/* Statistics of a whole site; -inf of masked scores is left out of mean, std and max but counted in min. */
struct lens_stats {
    double mean, std;      /* population standard deviation over finite values */
    float min, max;
    int64_t n, n_nan, n_inf;
};
int lens_stats(struct run *r, struct site_ref s, int32_t row0, int32_t row1, struct lens_stats *out, struct err *e);

/* Scores of one head on this prompt, each a mean over destination rows of attention mass:
 * previous: on dest-1 (rows >= 1); duplicate: on earlier copies of the same token (rows that have one);
 * induction: on tokens that follow an earlier copy of the same token (rows that have one);
 * first: on position 0 (rows >= 1); entropy: of the row in nats (all rows).  NaN where no row qualifies. */
struct lens_head { float previous, duplicate, induction, first, entropy; };
/* pattern: [dest, src] of one head, n x n, row stride `stride`; tokens[n]. */
void lens_head_scores(const float *pattern, int64_t stride, const int32_t *tokens, int32_t n, struct lens_head *out);

#endif
