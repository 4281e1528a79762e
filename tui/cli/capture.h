/* capture.h - chosen sites of a run as tensors: selected, sliced, read one at a time.
 * Tested in tests/tui/test_cli.c. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "names/alias.h"
#include "measure/lens.h"
#include "measure/metric.h"
#include "slice.h"
#include "edit/taker.h"
#include "model/tensor_write.h"

/* One tensor to keep. */
struct capture {
    struct run *run;
    struct alias_value value;
    char name[LIMIT_NAME]; /* "logits" for the model's output */
    const struct slice *slice;
    int rank;
    int64_t shape[SITE_RANK_MAX + 1]; /* batch first; without the sliced axis if slice->drop */
    int64_t count;                    /* elements */
    float *values;                    /* read by capture_read, one capture at a time */
    int32_t collected; /* the value after so many edits of the list; -1: after all of them */
    bool gradient;     /* values are there from captures_gradient to captures_close */
};

struct capture_list {
    struct capture *item;
    int n;
    struct slice all, slice;
};

/* The sites that globs mean, in firing order, under TransformerLens' names; then those asked for by
 * other libraries' names, under these; then "logits" (never sliced).  A glob that matches nothing
 * and a site that this model refuses are errors.  Close with captures_close in any case. */
int captures_open(struct capture_list *l, struct run *run, const char *const *globs, int n_globs,
                  const char *pos, struct err *e);
/* Append what taker's collect hooks keep, under their names, before the logits. */
int captures_collect(struct capture_list *l, const struct taker_hooks *t, struct err *e);
void captures_close(struct capture_list *l);
/* Append NAME_grad for every capture but the logits and token ids: the gradient of m, all taken in
 * one backward pass and held.  base: what kl compares with.  A name that cannot be edited has none:
 * refused. */
int captures_gradient(struct capture_list *l, struct run *base, const struct metric *m,
                      struct err *e);
/* Fill c->values; release them again with capture_drop. */
int capture_read(struct capture *c, struct err *e);
void capture_drop(struct capture *c);
void capture_stats(const struct capture *c, struct lens_stats *out);
int captures_write(struct capture_list *l, const char *path, const struct tensor_meta *meta,
                   size_t n_meta, struct err *e);

#endif
