/* bench.h - what the benchmarks share: the clock, medians, a random model of GPT-2's small size.
 *
 * A benchmark prints times and, what counts, ratios of things that took turns in one run.  None
 * passes or fails on a clock. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/checkpoint.h"

enum { BENCH_ROUNDS = 9, BENCH_SAMPLES_MAX = 512, BENCH_TOKENS_MAX = 2048, BENCH_VOCAB = 50257 };

/* What every program takes, out of argv: --threads N (0: all cores), --busy, --goals (bench_row.h).
 * --busy is for a machine that does other work: one thread, and the time of the processor instead
 * of the clock. */
struct bench_options {
    int threads;
    bool busy, goals;
};
extern struct bench_options bench_options;
void bench_take_options(int *argc, char **argv);

/* Milliseconds since some moment. */
double bench_now(void);
/* Sorts v[n]. */
double bench_median(double *v, int n);

/* Token ids that differ from place to place, below d_vocab; another `shift` gives others. */
void bench_tokens(int32_t *tokens, int32_t n, int32_t d_vocab, int32_t shift);

/* A folder with config.json and random weights in f32 or bf16 below TMPDIR, shaped like GPT-2
 * small but for BENCH_TOKENS_MAX positions; the same bytes every time.  In the folder BENCH_MODELS,
 * where that is set: then it is made once and stays.  Ends the program with a line when it cannot
 * be written. */
const char *bench_model(enum st_dtype dtype);
/* The same, of bf16, shaped like a Llama of these sizes with embeddings that are not tied, and
 * heads of width / heads; always a new folder. */
struct bench_llama {
    int64_t layers, width, heads, kv_heads, mlp, vocab;
};
const char *bench_llama(const struct bench_llama *l);
/* Remove the folders that bench_model and bench_llama made; a folder that was BENCH_MODELS, with
 * all models. */
void bench_model_remove(void);
void bench_models_remove(const char *models);
/* The f32 or bf16 model of a folder as GGUF, which peer.py writes with BORESCOPE_PYTHON's gguf;
 * false where that is not there. */
bool bench_gguf(const char *folder, const char *path, const char *kind);
/* A tokenizer.json of GPT-2's size and kind, the same every time: random merges of shorter tokens.
 * False when it cannot be written. */
bool bench_tokenizer(const char *path);

#endif
