/* check.h - the identities of `borescope check`, one function each (rows of checks.def).
 * Tested in tests/tui/test_cli_check.c. */
#ifndef CHECK_H
#define CHECK_H

#include "cli.h"

/* One identity being tested on one run. */
struct check {
    struct cli *c;
    struct run *r;
    int32_t n;
    double worst, scale;   /* largest deviation and largest value seen */
    struct site_ref first; /* the hook where it goes wrong, where one can be named: id SITE_COUNT */
    float **buffers;       /* values read for this identity, freed together */
    int n_buffers;
};

struct check_info {
    int (*test)(struct check *k, int32_t layer);
    bool per_block;
    double limit;
    const char *name;
};
extern const struct check_info check_table[];
extern const int check_count;

#define CHECK(function, per_block, limit, name) int function(struct check *k, int32_t layer);
#include "checks.def"

/* All rows of a site in canonical order; NULL and cli.err on failure. */
const float *check_values(struct check *k, enum site_id id, int32_t layer);
/* Note one comparison. */
void check_compare(struct check *k, double got, double expected);

#endif
