/* metric.h - a number to explain: logit differences, log-probabilities, loss, KL, ranks; as text
 * and as a value.
 *
 *     logit[-1, " Mary"] - logit[-1, " John"]      logprob[3, 17]      2 * logit[5, 9]      loss kl
 *
 * A metric is a sum of terms.  Tokens are ids or quoted text (one token exactly); positions count
 * from 0, negative ones from the end.  loss: mean next-token cross-entropy over positions 0..n-2.
 * kl[pos] (default: the last position): KL(base || edited) in nats, base: the run without any edit;
 * 0 for a run without a base.
 * rank[pos, token]: how many tokens have a greater logit; it has no gradient.  Tested in
 * tests/engine/test_grad.c and tests/engine/test_sweep.c; fuzzed in tests/fuzz/fuzz_metric.c. */
#ifndef METRIC_H
#define METRIC_H

#include "run/run.h"

enum metric_kind { METRIC_LOGIT, METRIC_LOGPROB, METRIC_LOSS, METRIC_KL, METRIC_RANK };
enum {
    METRIC_TERMS_MAX = 16,
    METRIC_ALL_POS = INT32_MIN /* the pos of a kl term that is the mean over all positions; no text
                                  says it */
};

struct metric_term {
    enum metric_kind kind;
    double factor;
    int32_t pos; /* as written: negative counts from the end */
    int32_t token;
};

struct metric {
    struct metric_term terms[METRIC_TERMS_MAX];
    int32_t n;
};

/* Parse against a tokenizer and a vocabulary size.  Errors name the column and what would work. */
int metric_parse(struct metric *out, const char *text, const struct tokenizer *tok, int32_t d_vocab,
                 struct err *e);
/* A token as metrics take it: its text in quotes, or its id where the text is not plain; buf. */
const char *metric_token(const struct tokenizer *tok, int32_t id, char buf[LIMIT_NAME]);
/* Refuse a metric that this model cannot have; one that has no gradient, too. */
int metric_check(const struct metric *m, const struct model *model, struct err *e);
int metric_check_gradient(const struct metric *m, const struct model *model, struct err *e);
/* Check positions against a length; rows [*row0, *row1) are the ones whose logits the metric reads.
 */
int metric_rows(const struct metric *m, int32_t n, int32_t *row0, int32_t *row1, struct err *e);
/* The value on a run; base: the run that kl compares with, or NULL. */
int metric_value(const struct metric *m, struct run *r, struct run *base, double *out,
                 struct err *e);
/* The logits that a metric reads: of rows, ascending, and of a few tokens or (n_tokens 0) all. */
struct metric_reads {
    int32_t *rows, *tokens; /* malloc'ed: metric_reads_free */
    int32_t n_rows, n_tokens;
};
/* For a prompt of n tokens; errors as metric_rows. */
int metric_reads(const struct metric *m, int32_t n, struct metric_reads *out, struct err *e);
void metric_reads_free(struct metric_reads *r);
/* The value from logits [n_rows][n_tokens or d_vocab] of the host; base: those of the run that kl
 * compares with, or NULL.  prompt[n]: whose next tokens loss looks at. */
double metric_of(const struct metric *m, const struct metric_reads *r, const float *logits,
                 const float *base, const int32_t *prompt, int32_t n, int64_t d_vocab);
/* d metric / d logits of rows [row0, row1), added to g [rows, d_vocab] in device memory. */
int metric_gradient(const struct metric *m, struct run *r, struct run *base, int32_t row0,
                    int32_t row1, const struct kn_view *g, struct err *e);

#endif
