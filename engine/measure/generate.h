/* generate.h - continuing prompts, with edits active at every step.
 *
 * Each new token is one more row of each prompt's run; rows of several prompts go through the
 * products together (run_compute; the wave of run/wave.h is for variants of one base, whose keys
 * and values they share: prompts share none).  Edits are resolved anew for every length, so that
 * [-1] follows the last position; from() of a prompt of another length is paired with the prompt,
 * and new positions with nothing (pair.h).  Tested in tests/engine/test_generate.c. */
#ifndef GENERATE_H
#define GENERATE_H

#include "run/pair.h"

struct generate_options {
    double temperature; /* 0 = greedy (the highest logit, ties by lower id) */
    int32_t top_k;      /* 0 = all */
    double top_p;       /* 1 = all */
    uint64_t seed;
    double repetition_penalty; /* 0 or 1 = none.  Every token of the prompt and of what followed:
                                  its logit, if negative times, else divided by this (Hugging Face's
                                  RepetitionPenaltyLogitsProcessor; also when greedy) */
    double
        freq_penalty; /* 0 = none.  Taken from logit / temperature, times how often the token is
                         there (TransformerLens' sample_logits; needs a temperature, there too) */
    const int32_t *stop_ids; /* further tokens that end it as eos_id does */
    int32_t n_stop;
    const struct callbacks *callbacks; /* NULL = none.  The first pass gives them the prompt, each
                                          next one its new row.  Prompts then take turns: */
    void (*turn)(void *user, int32_t row); /* said before each pass of one; may be NULL */
};

/* A new token of prompt `row` and the logits [d_vocab] that the model gave, before penalties. false
 * ends that row. */
typedef bool generate_emit_fn(void *user, int32_t row, int32_t id, const float *logits);

/* Continue the prompts t[rows] by up to `count` tokens each, one token of every row after the
 * other, under their edits.  A row ends at eos_id (not emitted) unless it is -1, and draws with
 * opt->seed + its number: it comes out as it would alone.  Learned positions end at the trained
 * context: an error after the last possible token.  Same seed, same ids.  cache_bytes as in run.h,
 * of all rows together. */
int generate(const struct model *m, const struct pair_target *t, int32_t rows, int32_t count,
             const struct generate_options *opt, int32_t eos_id, size_t cache_bytes,
             generate_emit_fn *emit, void *user, struct err *e);

/* logits[n] with the penalties for tokens[n_tokens] (ids below n) to out[n]. */
void generate_penalize(const float *logits, float *out, int32_t n, const int32_t *tokens,
                       int32_t n_tokens, const struct generate_options *opt);
/* Choose from one row of logits[n]; *state is the generator's (start it with the seed). */
int generate_choose(const float *logits, int32_t n, const struct generate_options *opt,
                    uint64_t *state, int32_t *id, struct err *e);

#endif
