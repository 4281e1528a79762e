/* arch_rows.h - how the tables of an architecture's file are spelled: names of modules and weights.
 *
 * Rows of names stand in forward order: before the blocks, a block, after the blocks; the first row
 * of a tensor in a library is its usual name.  Paths are those of transformers 5; names that older
 * versions or the published checkpoints use are second rows.  taker's points follow its model map:
 * where that says pre-norm, pre_attn is the norm's input, else what attention reads.  For arch_*.c
 * and alias_bridge.c. */
#ifndef ARCH_ROWS_H
#define ARCH_ROWS_H

#include "model/arch_names.h"

#define HF(name, means)                                               \
    {                                                                 \
        LIBRARY_HF, name, ALIAS_##means, PROPERTY_ALWAYS, false, NULL \
    }
#define HF_IF(name, means, when)                                      \
    {                                                                 \
        LIBRARY_HF, name, ALIAS_##means, PROPERTY_##when, false, NULL \
    }
#define HF_SECOND(name, means, note) HF_SECOND_IF(name, means, ALWAYS, note)
#define HF_SECOND_IF(name, means, when, note)                        \
    {                                                                \
        LIBRARY_HF, name, ALIAS_##means, PROPERTY_##when, true, note \
    }
#define NO(name, why)                                               \
    {                                                               \
        LIBRARY_HF, name, ALIAS_REFUSED, PROPERTY_ALWAYS, true, why \
    }
#define TAKER(point, means, note) TAKER_IF(point, means, ALWAYS, note)
#define TAKER_IF(point, means, when, note)                                            \
    {                                                                                 \
        LIBRARY_TAKER, "layer_%d_" point, ALIAS_##means, PROPERTY_##when, false, note \
    }
/* What comes before the blocks where GPT-2's code was the model. */
#define NAMES_GPT_EMBED                                                                  \
    HF("transformer.wte.input", TOKENS), HF("transformer.wte.output", EMBED),            \
        NO("transformer.wpe.input", POSITIONS), HF("transformer.wpe.output", POS_EMBED), \
        HF("transformer.drop.input", RESID_FIRST), HF("transformer.drop.output", RESID_FIRST)
/* What comes after the last norm; P is the path of the model that ends in it. */
#define NAMES_HEAD(P) NAMES_HEAD_IF(P, ALWAYS)
/* `has`: what is there is no wider or narrower than the unembedding reads it. */
#define NAMES_HEAD_IF(P, has)                                                                      \
    HF_IF(P "output.last_hidden_state", UNEMBED_IN, has), HF_IF("lm_head.input", UNEMBED_IN, has), \
        HF("lm_head.output", UNEMBED_OUT), HF_SECOND_IF(P "output", UNEMBED_IN, has, LAST_STATE),  \
        HF_SECOND(P "input", TOKENS, NULL), HF("output.logits", LOGITS),                           \
        HF_SECOND("output.logits", UNEMBED_OUT, NULL),                                             \
        NO("output", "the model returns a record · output.logits are its logits"), END
#define END                                                            \
    {                                                                  \
        LIBRARY_COUNT, NULL, ALIAS_COUNT, PROPERTY_ALWAYS, false, NULL \
    }

#define POSITIONS "position numbers are no hook · the nearest are hook_tokens and hook_pos_embed"
#define TUPLE "element 0 of the tuple that the module returns"
#define OLD_TUPLE "before transformers 5 a layer returned a tuple"
#define LAST_STATE "the last hidden state, after the final norm"
#define OLD_ROTARY "before transformers 4.35 each layer had a rotary module of its own"
#define DROPPED \
    "the attention function drops out by itself: this module is never called · use attn.hook_pattern"

/* The points of taker's maps that say pre-norm. */
#define TAKER_IN TAKER_IN_IF(ALWAYS)
#define TAKER_IN_IF(has) \
    TAKER_IF("pre_decoder", RESID_PRE, has, NULL), TAKER_IF("pre_attn", LN1_IN, has, NULL)
#define TAKER_IN_SHARED TAKER("pre_decoder", RESID_PRE, NULL), TAKER("pre_attn", NORM_IN, NULL)
#define TAKER_ATTN TAKER_ATTN_IF(ALWAYS)
#define TAKER_ATTN_IF(has)                                                              \
    TAKER_IF("attn_pre_out", Z, has, NULL), TAKER_IF("post_attn", ATTN_OUT, has, NULL), \
        TAKER_IF("pre_mlp", MLP_IN, has, NULL)
#define TAKER_OUT TAKER_OUT_IF(ALWAYS)
#define TAKER_OUT_IF(has)                                                               \
    TAKER_IF("mlp_pre_out", POST, has, NULL), TAKER_IF("post_mlp", MLP_OUT, has, NULL), \
        TAKER_IF("post_decoder", RESID_POST, has, NULL)

#endif
