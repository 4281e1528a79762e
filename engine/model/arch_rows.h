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
#define HF_SECOND(name, means, note)                                 \
    {                                                                \
        LIBRARY_HF, name, ALIAS_##means, PROPERTY_ALWAYS, true, note \
    }
#define NO(name, why)                                               \
    {                                                               \
        LIBRARY_HF, name, ALIAS_REFUSED, PROPERTY_ALWAYS, true, why \
    }
#define TAKER(point, means, note)                                                     \
    {                                                                                 \
        LIBRARY_TAKER, "layer_%d_" point, ALIAS_##means, PROPERTY_ALWAYS, false, note \
    }
/* What comes after the last norm; P is the path of the model that ends in it. */
#define NAMES_HEAD(P)                                                                     \
    HF(P "output.last_hidden_state", UNEMBED_IN), HF("lm_head.input", UNEMBED_IN),        \
        HF("lm_head.output", UNEMBED_OUT), HF_SECOND(P "output", UNEMBED_IN, LAST_STATE), \
        HF_SECOND(P "input", TOKENS, NULL), HF("output.logits", LOGITS),                  \
        HF_SECOND("output.logits", UNEMBED_OUT, NULL),                                    \
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
#define TAKER_IN TAKER("pre_decoder", RESID_PRE, NULL), TAKER("pre_attn", LN1_IN, NULL)
#define TAKER_IN_SHARED TAKER("pre_decoder", RESID_PRE, NULL), TAKER("pre_attn", NORM_IN, NULL)
#define TAKER_ATTN                                                      \
    TAKER("attn_pre_out", Z, NULL), TAKER("post_attn", ATTN_OUT, NULL), \
        TAKER("pre_mlp", MLP_IN, NULL)
#define TAKER_OUT                                                       \
    TAKER("mlp_pre_out", POST, NULL), TAKER("post_mlp", MLP_OUT, NULL), \
        TAKER("post_decoder", RESID_POST, NULL)

#endif
