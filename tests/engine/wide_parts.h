/* wide_parts.h - the inside of wide.h, for wide.c (values, weights, the walk) and wide_ops.c (what
 * each operation computes). */
#ifndef WIDE_PARTS_H
#define WIDE_PARTS_H

#include "wide.h"

/* W[n, k] at x[k * n_rows + n], a bias as one k: products run along n. */
struct dense {
    double *x; /* NULL: the model has none */
    int64_t n;
};

struct wide {
    const struct model *m;
    int32_t n, *tokens;
    double **value;       /* [stages * SITE_COUNT] */
    struct dense *weight; /* [weight_places] */
    double *rotary[4];    /* cosines and sines of each rotary table */
};

/* A step with its operands, as the ops see them. */
struct op {
    struct wide *w;
    const struct step *s;
    int32_t stage;
    double *out;
    int64_t count, width;        /* elements of `out`, of one of its positions */
    const double *in[KN_IN_MAX]; /* sites, rotary tables */
    const struct dense *weight[KN_IN_MAX];
};

/* A weight of a layer, or in the root; of experts by the row of weight.h. */
struct dense *wide_dense(struct wide *w, int32_t layer, enum weight_id id);
/* Compute o->out of one step. */
void wide_step(struct op *o);

#endif
