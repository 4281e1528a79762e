/* sweep_prompts.h - the file of --prompts: a set of prompts, what is patched into each, and texts
 * for its metric.
 *
 *     prompt <tab> clean <tab> answer <tab> wrong
 *     When John and Mary went to the store, John gave a bag to <tab> ... <tab>  Mary <tab>  John
 *
 * Columns under a heading, tabs between; the first is the prompt.  A heading that the metric names
 * in braces, {answer}, is a text for it; every other one names a run, from(clean).  Empty lines are
 * skipped, everything else counts, blanks too.  Tested in tests/tui/test_cli_sweep.c, fuzzed in
 * tests/fuzz/fuzz_sweep_prompts.c. */
#ifndef SWEEP_PROMPTS_H
#define SWEEP_PROMPTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sweep_file {
    int32_t rows, cols; /* rows without the heading */
    char **cell;        /* [(1 + rows) * cols] */
};

/* path: for messages, which name the line. */
int sweep_file_parse(struct sweep_file *out, const char *path, const char *text, size_t len,
                     struct err *e);
void sweep_file_free(struct sweep_file *f);
static inline const char *sweep_file_at(const struct sweep_file *f, int32_t row, int32_t col)
{
    return f->cell[(row + 1) * f->cols + col];
}
static inline const char *sweep_file_heading(const struct sweep_file *f, int32_t col)
{
    return f->cell[col];
}
/* The metric of a row: {answer} is what stands under that heading.  malloc'ed; NULL: memory. */
char *sweep_file_metric(const struct sweep_file *f, int32_t row, const char *metric);

#endif
