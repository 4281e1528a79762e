/* check_parts.h - the identities, one function each (rows of check.def): internal to check*.c. */
#ifndef CHECK_PARTS_H
#define CHECK_PARTS_H

#include "measure/check.h"

/* One identity being tested on one run. */
struct check {
    struct run *r;
    const struct model *m;
    int32_t n;
    size_t cache_bytes;
    double worst, scale;   /* largest deviation and largest value seen */
    struct site_ref first; /* check_finding.first */
    float **buffers;       /* values read for this identity, freed together */
    int n_buffers;
    struct err *err;
};

#define CHECK(function, per_block, limit, name) int function(struct check *k, int32_t layer);
#include "measure/check.def"

/* All rows of a site in canonical order; NULL and *err on failure. */
const float *check_values(struct check *k, enum site_id id, int32_t layer);
/* Note one comparison. */
void check_compare(struct check *k, double got, double expected);

#endif
