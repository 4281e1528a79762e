/* attribute_print.h - an attribution as a table, JSON, a file of tensors or a picture.  Tested in
 * tests/tui/test_cli_attribute.c. */
#ifndef ATTRIBUTE_PRINT_H
#define ATTRIBUTE_PRINT_H

#include "cli.h"
#include "measure/attribute.h"
#include "measure/sweep.h"

struct attribute_shown {
    struct cli *c;
    const struct attribute_options *options;
    const char *metric;  /* as text */
    const char *edits;   /* with holes, as one text, or NULL: a kind */
    struct sweep *sweep; /* of what the values estimate, or NULL */
    bool by_cells;       /* the values are of its cells: it says what its axes' values are */
    struct attribution found;
    int32_t n_prompts; /* 1: errors are not shown */
    float *errors;     /* standard errors of its values */
    float *exact;      /* of a sweep: what the values estimate, or NULL */
    double pearson, spearman;
};

/* What --json, --tsv, --png, --sixel, --ansi and -o ask for. */
int attribute_print(const struct attribute_shown *x);

#endif
