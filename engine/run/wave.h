/* wave.h - many variants of one run, together: what sweeps are made of.
 *
 * A variant is what a fork of the base with these edits would be: every value that is handed out
 * has the bits that run_sync of such a fork gives it (where the backend's rows are exact, kn.h).
 * What is saved is everything that variants share: the base's values where a variant's edits cannot
 * reach, and the reading of the weights, since the rows that variants change go through each layer
 * in chunks of a few hundred, one product per weight for all of them.  What cannot travel so
 * (edits of weights, edits that let attention see later positions, a base with edits or callbacks
 * of its own) is computed by one fork after the other, in its place in the order.
 *
 * Called on the thread that owns the runs.  Tested in tests/engine/test_wave.c. */
#ifndef WAVE_H
#define WAVE_H

#include "run/run.h"

/* One variant of a base run.  What it points to lives as long as wave_run. */
struct wave_variant {
    const struct edit_program *prog; /* resolved against the base's length; NULL: none */
    struct run *const *sources; /* of prog, as run_sync takes them; may be NULL if it has none */
    /* NULL: the base's.  Else [n_pos] ids in their place, as edits of hook_tokens before those of
     * prog would put them there: token types stay, and frozen, mean() and from(base) mean the base
     * with its own tokens.  Not of a model of images, nor of a run of given rows. */
    const int32_t *tokens;
};

/* What is asked of every variant. */
struct wave_want {
    const int32_t *rows; /* positions, ascending; at least one */
    int32_t n_rows;
    const int32_t *tokens; /* logits of these ids alone, in this order; NULL: of the vocabulary */
    int32_t n_tokens;
};

/* The answer of one variant, in host memory, good during the call. */
struct wave_value {
    int32_t variant;     /* index in the list */
    const float *logits; /* [n_rows][n_tokens or d_vocab], the final stage's edits included; NULL in
                            a model without logits (wave_want.n_tokens is 0 there) */
    const float *resid;  /* [n_rows][d_model]: the residual stream behind the last block */
};

/* Takes one variant's answer; not zero: wave_run stops there and returns that, *e as it was set. */
typedef int wave_fn(void *user, const struct wave_value *v, struct err *e);

/* Compute n variants of `base`, which is synced and stays as it is.  `done` is called once per
 * variant, in the order of the list, on the calling thread, some dozens of them after each chunk.
 * ERR_CANCELLED when the backend's flag was seen: what was handed out until then is true, and the
 * rest can be asked for again.  An edit that a fork would refuse is the error that run_sync gives,
 * after the variants before it were handed out.  Memory: a chunk's values lie within the
 * base's cache_bytes, which says how many rows it can have, and are given back at the end; where
 * that is room for none, variants go one by one. */
int wave_run(struct run *base, const struct wave_variant *v, int32_t n,
             const struct wave_want *want, wave_fn *done, void *user, struct err *e);

#endif
