/* bench.h - what the benchmarks share: the clock, medians, a random model of GPT-2's small size.
 *
 * A benchmark prints times and, what counts, ratios of things that took turns in one run.  None
 * passes or fails on a clock. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>

#include "model/checkpoint.h"

enum { BENCH_ROUNDS = 9, BENCH_TOKENS_MAX = 512, BENCH_VOCAB = 50257 };

/* Milliseconds since some moment. */
double bench_now(void);
/* Sorts v[n]. */
double bench_median(double *v, int n);

/* A folder with config.json and random weights in f32 or bf16 below TMPDIR, shaped like GPT-2
 * small; the same bytes every time.  Ends the program with a line when it cannot be written. */
const char *bench_model(enum st_dtype dtype);
/* Remove the folders that bench_model made. */
void bench_model_remove(void);

#endif
