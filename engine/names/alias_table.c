/* alias_table.c - the names: one table for the bridge, one for each family of module names
 * (arch.names).
 *
 * Rows stand in forward order: before the blocks, a block, after the blocks; the first row of a
 * tensor in a library is its usual name.  Paths are those of transformers 5; names that older
 * versions or the published checkpoints use are second rows.  taker's points follow its model map:
 * where that says pre-norm, pre_attn is the norm's input, else what attention reads.  Tested in
 * tests/engine/test_alias.c. */
#include "names/alias_table.h"

#define BRIDGE(name, means, when)                                    \
    {                                                                \
        LIBRARY_BRIDGE, name, ALIAS_##means, ROW_##when, false, NULL \
    }
#define HF(name, means)                                          \
    {                                                            \
        LIBRARY_HF, name, ALIAS_##means, ROW_ALWAYS, false, NULL \
    }
#define HF_SECOND(name, means, note)                            \
    {                                                           \
        LIBRARY_HF, name, ALIAS_##means, ROW_ALWAYS, true, note \
    }
#define NO(name, why)                                          \
    {                                                          \
        LIBRARY_HF, name, ALIAS_REFUSED, ROW_ALWAYS, true, why \
    }
#define TAKER(point, means, note)                                                \
    {                                                                            \
        LIBRARY_TAKER, "layer_%d_" point, ALIAS_##means, ROW_ALWAYS, false, note \
    }
#define END                                                       \
    {                                                             \
        LIBRARY_COUNT, NULL, ALIAS_COUNT, ROW_ALWAYS, false, NULL \
    }

#define B "blocks.%d."
#define ONE_BY_ONE \
    "the bridge hooks q, k and v one by one and never fires it · use attn.q.hook_out, attn.k.hook_out, attn.v.hook_out"
#define POSITIONS "position numbers are no hook · the nearest are hook_tokens and hook_pos_embed"
#define TUPLE "element 0 of the tuple that the module returns"
#define OLD_TUPLE "before transformers 5 a layer returned a tuple"
#define DROPPED \
    "the attention function drops out by itself: this module is never called · use attn.hook_pattern"

const struct alias_row alias_bridge[] = {
    BRIDGE("embed.hook_in", TOKENS, ALWAYS),
    BRIDGE("embed.hook_out", EMBED, ALWAYS),
    BRIDGE("pos_embed.hook_out", POS_EMBED, LEARNED),
    BRIDGE("rotary_emb.hook_cos", COS, ROTARY),
    BRIDGE("rotary_emb.hook_sin", SIN, ROTARY),
    BRIDGE(B "hook_in", RESID_PRE, ALWAYS),
    BRIDGE(B "attn.hook_attn_in", ATTN_IN, ALWAYS),
    BRIDGE(B "attn.hook_q_input", Q_INPUT, ALWAYS),
    BRIDGE(B "attn.hook_k_input", K_INPUT, ALWAYS),
    BRIDGE(B "attn.hook_v_input", V_INPUT, ALWAYS),
    BRIDGE(B "ln1.hook_in", LN1_IN, ALWAYS),
    BRIDGE(B "ln1.hook_scale", LN1_SCALE, ALWAYS),
    BRIDGE(B "ln1.hook_normalized", LN1_NORMALIZED, ALWAYS),
    BRIDGE(B "ln1.hook_out", LN1_OUT, ALWAYS),
    BRIDGE(B "attn.hook_in", LN1_OUT, ALWAYS),
    {LIBRARY_BRIDGE, B "attn.hook_cos", ALIAS_COS_HERE, ROW_ROTARY, true, NULL},
    {LIBRARY_BRIDGE, B "attn.hook_sin", ALIAS_SIN_HERE, ROW_ROTARY, true, NULL},
    BRIDGE(B "attn.q.hook_in", Q_IN, ALWAYS),
    BRIDGE(B "attn.k.hook_in", K_IN, ALWAYS),
    BRIDGE(B "attn.v.hook_in", V_IN, ALWAYS),
    BRIDGE(B "attn.q.hook_out", Q, ALWAYS),
    BRIDGE(B "attn.k.hook_out", K, ALWAYS),
    BRIDGE(B "attn.v.hook_out", V, ALWAYS),
    {LIBRARY_BRIDGE, B "attn.qkv.hook_in", ALIAS_REFUSED, ROW_ALWAYS, true, ONE_BY_ONE},
    {LIBRARY_BRIDGE, B "attn.qkv.hook_out", ALIAS_REFUSED, ROW_ALWAYS, true, ONE_BY_ONE},
    BRIDGE(B "attn.hook_rot_q", ROT_Q, ROTARY),
    BRIDGE(B "attn.hook_rot_k", ROT_K, ROTARY),
    BRIDGE(B "attn.hook_attn_scores", ATTN_SCORES, ALWAYS),
    BRIDGE(B "attn.hook_pattern", PATTERN, ALWAYS),
    BRIDGE(B "attn.o.hook_in", Z, ALWAYS),
    BRIDGE(B "attn.hook_result", RESULT, ALWAYS),
    BRIDGE(B "attn.hook_out", ATTN_OUT, ALWAYS),
    BRIDGE(B "attn.o.hook_out", ATTN_OUT, ALWAYS),
    {LIBRARY_BRIDGE, B "attn.hook_hidden_states", ALIAS_ATTN_OUT, ROW_ALWAYS, true,
     "it fires only where q, k and v are one product"},
    BRIDGE(B "ln2.hook_in", MLP_IN, ALWAYS),
    BRIDGE(B "hook_mlp_in", MLP_IN, ALWAYS),
    BRIDGE(B "ln2.hook_scale", LN2_SCALE, ALWAYS),
    BRIDGE(B "ln2.hook_normalized", LN2_NORMALIZED, ALWAYS),
    BRIDGE(B "ln2.hook_out", LN2_OUT, ALWAYS),
    BRIDGE(B "mlp.hook_in", LN2_OUT, ALWAYS),
    BRIDGE(B "mlp.in.hook_in", LN2_OUT, UNGATED),
    BRIDGE(B "mlp.gate.hook_in", GATE_IN, GATED),
    BRIDGE(B "mlp.in.hook_in", UP_IN, GATED),
    BRIDGE(B "mlp.in.hook_out", PRE, UNGATED),
    BRIDGE(B "mlp.gate.hook_out", PRE, GATED),
    BRIDGE(B "mlp.in.hook_out", PRE_LINEAR, GATED),
    BRIDGE(B "mlp.out.hook_in", POST, ALWAYS),
    BRIDGE(B "mlp.hook_out", MLP_OUT, ALWAYS),
    BRIDGE(B "mlp.out.hook_out", MLP_OUT, ALWAYS),
    BRIDGE(B "hook_out", RESID_POST, ALWAYS),
    BRIDGE("ln_final.hook_in", RESID_LAST, ALWAYS),
    BRIDGE("ln_final.hook_scale", LNF_SCALE, ALWAYS),
    BRIDGE("ln_final.hook_normalized", LNF_NORMALIZED, ALWAYS),
    BRIDGE("unembed.hook_in", UNEMBED_IN, ALWAYS),
    BRIDGE("ln_final.hook_out", UNEMBED_IN, ALWAYS),
    BRIDGE("unembed.hook_out", UNEMBED_OUT, ALWAYS),
    BRIDGE("hook_unembed", UNEMBED_OUT, ALWAYS),
    END,
};
#undef B

#define H "transformer.h.%d."
#define TRAP \
    "taker's GPT-2 map takes the norm for what follows the sublayer: this is the norm's output, no contribution"
#define AFTER_NORM \
    "taker's GPT-2 map says post-norm: this is what the sublayer reads, not the residual stream"

const struct alias_row alias_gpt2[] = {
    HF("transformer.wte.input", TOKENS),
    HF("transformer.wte.output", EMBED),
    NO("transformer.wpe.input", POSITIONS),
    HF("transformer.wpe.output", POS_EMBED),
    HF("transformer.drop.input", RESID_FIRST),
    HF("transformer.drop.output", RESID_FIRST),
    HF(H "input", RESID_PRE),
    TAKER("pre_decoder", RESID_PRE, NULL),
    HF(H "ln_1.input", LN1_IN),
    HF(H "ln_1.output", LN1_OUT),
    HF(H "attn.input", LN1_OUT),
    TAKER("pre_attn", LN1_OUT, AFTER_NORM),
    HF(H "attn.c_attn.input", LN1_OUT),
    HF(H "attn.c_attn.output", QKV_THIRDS),
    HF(H "attn.c_proj.input", Z_FLAT),
    TAKER("attn_pre_out", Z, NULL),
    HF(H "attn.output.0", ATTN_OUT),
    HF(H "attn.c_proj.output", ATTN_OUT),
    HF(H "attn.resid_dropout.input", ATTN_OUT),
    HF(H "attn.resid_dropout.output", ATTN_OUT),
    HF_SECOND(H "attn.output", ATTN_TUPLE, TUPLE),
    TAKER("post_attn", LN1_OUT, TRAP),
    HF(H "attn.output.1", PATTERN_COPY),
    NO(H "attn.attn_dropout.input", DROPPED),
    NO(H "attn.attn_dropout.output", DROPPED),
    HF(H "ln_2.input", MLP_IN),
    HF(H "ln_2.output", LN2_OUT),
    HF(H "mlp.input", LN2_OUT),
    TAKER("pre_mlp", LN2_OUT, AFTER_NORM),
    HF(H "mlp.c_fc.input", LN2_OUT),
    HF(H "mlp.c_fc.output", PRE),
    HF(H "mlp.act.input", PRE),
    HF(H "mlp.act.output", POST),
    HF(H "mlp.c_proj.input", POST),
    TAKER("mlp_pre_out", POST, NULL),
    HF(H "mlp.output", MLP_OUT),
    HF(H "mlp.c_proj.output", MLP_OUT),
    HF(H "mlp.dropout.input", MLP_OUT),
    HF(H "mlp.dropout.output", MLP_OUT),
    TAKER("post_mlp", LN2_OUT, TRAP),
    HF(H "output", RESID_POST),
    HF_SECOND(H "output.0", RESID_POST, OLD_TUPLE),
    TAKER("post_decoder", RESID_POST, NULL),
    HF("transformer.ln_f.input", RESID_LAST),
    HF("transformer.ln_f.output", UNEMBED_IN),
    HF("transformer.output.last_hidden_state", UNEMBED_IN),
    HF("lm_head.input", UNEMBED_IN),
    HF("lm_head.output", UNEMBED_OUT),
    HF_SECOND("transformer.input", TOKENS, NULL),
    HF_SECOND("output.logits", UNEMBED_OUT, NULL),
    END,
};
#undef H

/* The points of taker's maps that say pre-norm. */
#define TAKER_IN TAKER("pre_decoder", RESID_PRE, NULL), TAKER("pre_attn", LN1_IN, NULL)
#define TAKER_ATTN                                                      \
    TAKER("attn_pre_out", Z, NULL), TAKER("post_attn", ATTN_OUT, NULL), \
        TAKER("pre_mlp", MLP_IN, NULL)
#define TAKER_OUT                                                       \
    TAKER("mlp_pre_out", POST, NULL), TAKER("post_mlp", MLP_OUT, NULL), \
        TAKER("post_decoder", RESID_POST, NULL)

#define L "gpt_neox.layers.%d."

const struct alias_row alias_gpt_neox[] = {
    HF("gpt_neox.embed_in.input", TOKENS),
    HF("gpt_neox.embed_in.output", EMBED),
    HF("gpt_neox.emb_dropout.input", EMBED),
    HF("gpt_neox.emb_dropout.output", EMBED),
    HF("gpt_neox.rotary_emb.input", ROTARY_IN),
    HF("gpt_neox.rotary_emb.output.0", COS),
    HF("gpt_neox.rotary_emb.output.1", SIN),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", LN1_IN),
    TAKER_IN,
    HF(L "input_layernorm.output", LN1_OUT),
    HF(L "attention.input", LN1_OUT),
    HF(L "attention.query_key_value.input", LN1_OUT),
    HF(L "attention.query_key_value.output", QKV_HEADS),
    HF(L "attention.dense.input", Z_FLAT),
    HF(L "attention.output.0", ATTN_OUT),
    HF(L "attention.dense.output", ATTN_OUT),
    HF(L "post_attention_dropout.input", ATTN_OUT),
    HF(L "post_attention_dropout.output", ATTN_OUT),
    HF_SECOND(L "attention.output", ATTN_TUPLE, TUPLE),
    HF(L "attention.output.1", PATTERN_COPY),
    HF(L "post_attention_layernorm.input", MLP_IN),
    TAKER_ATTN,
    HF(L "post_attention_layernorm.output", LN2_OUT),
    HF(L "mlp.input", LN2_OUT),
    HF(L "mlp.dense_h_to_4h.input", LN2_OUT),
    HF(L "mlp.dense_h_to_4h.output", PRE),
    HF(L "mlp.act.input", PRE),
    HF(L "mlp.act.output", POST),
    HF(L "mlp.dense_4h_to_h.input", POST),
    HF(L "mlp.output", MLP_OUT),
    HF(L "mlp.dense_4h_to_h.output", MLP_OUT),
    HF(L "post_mlp_dropout.input", MLP_OUT),
    HF(L "post_mlp_dropout.output", MLP_OUT),
    HF(L "output", RESID_POST),
    HF_SECOND(L "output.0", RESID_POST, OLD_TUPLE),
    TAKER_OUT,
    HF("gpt_neox.final_layer_norm.input", RESID_LAST),
    HF("gpt_neox.final_layer_norm.output", UNEMBED_IN),
    HF("gpt_neox.output.last_hidden_state", UNEMBED_IN),
    HF("lm_head.input", UNEMBED_IN),
    HF("lm_head.output", UNEMBED_OUT),
    HF_SECOND("embed_out.input", UNEMBED_IN, NULL),
    HF_SECOND("embed_out.output", UNEMBED_OUT, NULL),
    HF_SECOND("gpt_neox.input", TOKENS, NULL),
    HF_SECOND("output.logits", UNEMBED_OUT, NULL),
    END,
};
#undef L

#define L "model.layers.%d."

const struct alias_row alias_llama[] = {
    HF("model.embed_tokens.input", TOKENS),
    HF("model.embed_tokens.output", EMBED),
    HF("model.rotary_emb.input", ROTARY_IN),
    HF("model.rotary_emb.output.0", COS),
    HF("model.rotary_emb.output.1", SIN),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", LN1_IN),
    TAKER_IN,
    HF(L "input_layernorm.output", LN1_OUT),
    HF(L "self_attn.input", LN1_OUT),
    HF(L "self_attn.q_proj.input", Q_IN),
    HF(L "self_attn.k_proj.input", K_IN),
    HF(L "self_attn.v_proj.input", V_IN),
    HF(L "self_attn.q_proj.output", Q_FLAT),
    HF(L "self_attn.k_proj.output", K_FLAT),
    HF(L "self_attn.v_proj.output", V_FLAT),
    HF(L "self_attn.o_proj.input", Z_FLAT),
    HF(L "self_attn.output.0", ATTN_OUT),
    HF(L "self_attn.o_proj.output", ATTN_OUT),
    HF_SECOND(L "self_attn.output", ATTN_TUPLE, TUPLE),
    HF(L "self_attn.output.1", PATTERN_COPY),
    HF(L "post_attention_layernorm.input", MLP_IN),
    TAKER_ATTN,
    HF(L "post_attention_layernorm.output", LN2_OUT),
    HF(L "mlp.input", LN2_OUT),
    HF(L "mlp.gate_proj.input", GATE_IN),
    HF(L "mlp.up_proj.input", UP_IN),
    HF(L "mlp.gate_proj.output", PRE),
    HF(L "mlp.act_fn.input", PRE),
    HF(L "mlp.up_proj.output", PRE_LINEAR),
    HF(L "mlp.act_fn.output", ACT_OUT),
    HF(L "mlp.down_proj.input", POST),
    HF(L "mlp.output", MLP_OUT),
    HF(L "mlp.down_proj.output", MLP_OUT),
    HF(L "output", RESID_POST),
    HF_SECOND(L "output.0", RESID_POST, OLD_TUPLE),
    TAKER_OUT,
    HF("model.norm.input", RESID_LAST),
    HF("model.norm.output", UNEMBED_IN),
    HF("model.output.last_hidden_state", UNEMBED_IN),
    HF("lm_head.input", UNEMBED_IN),
    HF("lm_head.output", UNEMBED_OUT),
    HF_SECOND("model.input", TOKENS, NULL),
    HF_SECOND("output.logits", UNEMBED_OUT, NULL),
    END,
};
