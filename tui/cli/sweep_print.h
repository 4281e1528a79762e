/* sweep_print.h - a sweep as a table, JSON, a file of tensors or a picture.  Tested in
 * tests/tui/test_cli_sweep.c. */
#ifndef SWEEP_PRINT_H
#define SWEEP_PRINT_H

#include "cli.h"
#include "measure/sweep.h"

struct sweep_shown {
    struct cli *c;
    struct sweep *s;
    const char *kind;   /* or the edits with holes */
    const char *metric; /* as text */
    int32_t n_prompts;
    const struct sweep_axis *axes;
    int32_t n_axes;
};

/* What --json, --tsv, --png, --sixel, --ansi and -o ask for. */
int sweep_print(const struct sweep_shown *x);

#endif
