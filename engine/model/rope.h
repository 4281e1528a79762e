/* rope.h - rotary positions as config.json says them: one table's parameters.
 *
 * Both of Hugging Face's forms are read: rope_parameters of transformers 5, and the keys at the top
 * with rope_scaling of 4.  What the parameters mean for angles: run/run_rope.c.  Tested in
 * tests/engine/test_rope.c, tests/fuzz/fuzz_config.c. */
#ifndef ROPE_H
#define ROPE_H

#include "base/json.h"
#include "base/limit.h"

enum rope_scaling {
    ROPE_PLAIN,
    ROPE_LINEAR,
    ROPE_DYNAMIC,
    ROPE_LLAMA3,
    ROPE_YARN,
    ROPE_LONGROPE,
    ROPE_SCALINGS
};

/* Rotary angles: the parameters of one table.  No padding: it is hashed. */
struct rope {
    double theta, factor;
    double low_freq, high_freq; /* llama3, yarn: pairs that turn less often than the first over the
                                   original context are scaled, those above the second are not */
    double attention_factor;    /* on cosines and sines; 1 where the scaling has none */
    int32_t scaling;            /* enum rope_scaling */
    int32_t n_ctx;              /* original context of llama3, yarn and longrope */
    int32_t truncate;           /* yarn: the pairs between which it mixes are whole numbers */
    int32_t n_factors;          /* longrope: how many pairs have a factor, else 0 */
    float short_factor[LIMIT_ROPE_FACTORS], long_factor[LIMIT_ROPE_FACTORS];
};

struct config;

enum { ROPE_TEXT_MAX = 256 };

/* Hugging Face's name of a scaling, "default" for none. */
const char *rope_scaling_name(int32_t scaling);
/* The numbers of a table under their keys, "rope_theta 10000, factor 8"; returns buf. */
const char *rope_text(const struct rope *rope, char buf[ROPE_TEXT_MAX]);
/* Read cfg->n_rot, rope and rope_local from the root of a config.json; cfg holds the sizes of heads
 * and what the architecture's keys say.  0, or ERR_BAD_INPUT. */
int rope_read(struct config *cfg, struct js_node root, struct err *e);
/* The tables of n positions are those of this length: dynamic scaling grows with the prompt past
 * the trained context, longrope has other factors past the original one. */
int32_t rope_length(const struct config *cfg, int32_t n);

#endif
