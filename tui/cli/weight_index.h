/* weight_index.h - "NAME[3, :, {0,2}]": a weight and which of its elements.  Tested in
 * tests/tui/test_cli_weights.c. */
#ifndef WEIGHT_INDEX_H
#define WEIGHT_INDEX_H

#include "names/named_weight.h"

/* Some elements of a weight. */
struct weight_cut {
    struct named_weight w;
    int32_t *index[WEIGHT_RANK_MAX]; /* NULL: the whole axis */
    int64_t n[WEIGHT_RANK_MAX];      /* elements kept of every axis */
    bool drop[WEIGHT_RANK_MAX];      /* a single index: the axis goes */
};

/* Per axis as in Python: 3, -1, 2:5, ::2, or a set {0,2,-1}; axes that are left out are whole. Free
 * with weight_cut_free. */
int weight_cut_parse(struct weight_cut *out, const struct model *m, const char *text,
                     struct err *e);
void weight_cut_free(struct weight_cut *c);
int64_t weight_cut_size(const struct weight_cut *c);
/* Shape without dropped axes; returns the rank. */
int weight_cut_shape(const struct weight_cut *c, int64_t shape[WEIGHT_RANK_MAX],
                     const char *dims[WEIGHT_RANK_MAX]);

#endif
