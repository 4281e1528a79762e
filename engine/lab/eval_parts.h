/* eval_parts.h - what the files eval*.c share; nobody else includes it. */
#ifndef EVAL_PARTS_H
#define EVAL_PARTS_H

#include "lab/eval.h"
#include "measure/lens.h"

/* What a unit of work adds to a text. */
struct eval_part {
    int64_t text;
    double sum[EVAL_SUMS];
};

/* An evaluation on its way, whatever it is of: the first member of each kind's job. */
struct eval_flow {
    struct eval *v;
    const struct eval_work *w;
    double (*share)(const void *job);  /* of the work, that this rank is behind */
    int64_t (*units)(const void *job); /* how many there are, once all are known */
    struct gather gather;
    struct eval_part *part; /* [n] of the unit at hand, by their texts */
    size_t n;
    int64_t counted; /* tokens, questions */
    /* of what is read one by one, questions and images: */
    int64_t number, first;   /* of those read; of the first that counts */
    struct fingerprint seen; /* of all that were read */
};

/* Over all that a source gives; `done` is called with the job. */
int eval_flow_run(struct eval_flow *job, const struct batch_source *s, batch_fn *done,
                  struct err *e);
/* The sums of a text in the unit at hand; NULL: memory is out. */
double *eval_flow_text(struct eval_flow *f, int64_t text);
/* Of questions and images: the unit of work of one, how many units there were, and where it is. */
int64_t eval_flow_unit(const struct eval_flow *f, int64_t number);
int64_t eval_flow_units(const void *job);
void eval_flow_place(const void *job, struct texts_place *out);
/* Are those that were read the same as an earlier run's up to there?  The next one counts, after
 * `skip` of all. */
bool eval_flow_resume(struct eval_flow *f, const struct texts_place *to, int64_t skip);
/* What is said of a token, without and with edits, to these sums. */
void eval_token_add(struct eval_flow *f, double sum[EVAL_SUMS], int32_t token, size_t bytes,
                    const struct lens_next *base, const struct lens_next *other, double kl);
/* eval_run of a model that sees all tokens. */
int eval_masked_run(struct eval *v, struct texts *t, const struct eval_work *w, struct err *e);

#endif
