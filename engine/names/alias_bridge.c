/* alias_bridge.c - the names of TransformerLens 3's bridge, for every architecture, in forward
 * order; the first row of a tensor is its usual name.  Tested in tests/engine/test_alias.c. */
#include "names/alias.h"

#include "model/arch_rows.h"

#define BRIDGE(name, means, when)                                         \
    {                                                                     \
        LIBRARY_BRIDGE, name, ALIAS_##means, PROPERTY_##when, false, NULL \
    }
#define SECOND(name, means, when, note)                                  \
    {                                                                    \
        LIBRARY_BRIDGE, name, ALIAS_##means, PROPERTY_##when, true, note \
    }
#define B "blocks.%d."
#define HEADS_FIRST(x) "it is [head, pos, d_head] in the bridge · use attn.hook_" x
#define NORMED_FIRST(x) "it is [head, pos, d_head] in the bridge · use attn." x "_norm.hook_out"
#define BY_WINDOW(x)                                                         \
    "layers with a window have another table · use rotary_emb_local.hook_" x \
    ", or rotary_emb.hook_" x
#define ONE_BY_ONE \
    "the bridge hooks q, k and v one by one and never fires it · use attn.q.hook_out, attn.k.hook_out, attn.v.hook_out"

const struct alias_row alias_bridge[] = {
    BRIDGE("embed.hook_in", TOKENS, ALWAYS),
    BRIDGE("embed.hook_out", WORD_EMBED, EMBED_PARTS),
    BRIDGE("embed.hook_out", EMBED_SUM, EMBED_ALONE),
    BRIDGE("embed_ln.hook_in", EMBED_SUM, EMBED_ALONE),
    BRIDGE("embed_ln.hook_scale", EMBED_LN_SCALE, EMBED_ALONE),
    BRIDGE("embed_ln.hook_normalized", EMBED_LN_NORMALIZED, EMBED_ALONE),
    BRIDGE("embed_ln.hook_out", EMBED, EMBED_ALONE),
    BRIDGE("embed.hook_out", PROJECT_IN, PROJECTED),
    BRIDGE("project_in.hook_out", EMBED, PROJECTED),
    BRIDGE("embed.hook_out", EMBED, EMBED_RAW),
    SECOND("hook_embed", WORD_EMBED, EMBED_PARTS, NULL),
    BRIDGE("pos_embed.hook_out", WORD_POS_EMBED, EMBED_PARTS),
    BRIDGE("pos_embed.hook_out", POS_EMBED, PLAIN_POS),
    SECOND("hook_pos_embed", WORD_POS_EMBED, EMBED_PARTS, NULL),
    BRIDGE("rotary_emb.hook_cos", COS, ROTARY),
    BRIDGE("rotary_emb.hook_sin", SIN, ROTARY),
    BRIDGE("rotary_emb_local.hook_cos", COS_LOCAL, ROPE_LOCAL),
    BRIDGE("rotary_emb_local.hook_sin", SIN_LOCAL, ROPE_LOCAL),
    BRIDGE(B "hook_in", RESID_PRE, ALWAYS),
    BRIDGE(B "attn.hook_attn_in", ATTN_IN, ALWAYS),
    BRIDGE(B "attn.hook_q_input", Q_INPUT, ALWAYS),
    BRIDGE(B "attn.hook_k_input", K_INPUT, ALWAYS),
    BRIDGE(B "attn.hook_v_input", V_INPUT, ALWAYS),
    BRIDGE(B "ln1.hook_in", LN1_IN, OWN_BRANCH),
    BRIDGE(B "ln1.hook_in", NORM_IN, NORM_SHARED),
    BRIDGE(B "ln1.hook_in", RESID_MID, NORM_RESIDUAL),
    BRIDGE(B "ln1.hook_scale", LN1_SCALE, ALWAYS),
    BRIDGE(B "ln1.hook_normalized", LN1_NORMALIZED, ALWAYS),
    BRIDGE(B "ln1.hook_out", LN1_OUT, ALWAYS),
    BRIDGE(B "attn.hook_in", LN1_OUT, NORM_BEFORE),
    BRIDGE(B "attn.hook_in", LN1_IN, NORM_AFTER),
    BRIDGE(B "attn.hook_in", RESID_PRE, NORM_RESIDUAL),
    SECOND(B "attn.hook_cos", REFUSED, ROPE_LOCAL, BY_WINDOW("cos")),
    SECOND(B "attn.hook_sin", REFUSED, ROPE_LOCAL, BY_WINDOW("sin")),
    SECOND(B "attn.hook_cos", COS_HERE, ROTARY, NULL),
    SECOND(B "attn.hook_sin", SIN_HERE, ROTARY, NULL),
    BRIDGE(B "attn.q.hook_in", Q_IN, ALWAYS),
    BRIDGE(B "attn.k.hook_in", K_IN, ALWAYS),
    BRIDGE(B "attn.v.hook_in", V_IN, ALWAYS),
    BRIDGE(B "attn.q.hook_out", Q, ALWAYS),
    BRIDGE(B "attn.k.hook_out", K, ALWAYS),
    BRIDGE(B "attn.v.hook_out", V, ALWAYS),
    SECOND(B "attn.qkv.hook_in", REFUSED, ALWAYS, ONE_BY_ONE),
    SECOND(B "attn.qkv.hook_out", REFUSED, ALWAYS, ONE_BY_ONE),
    BRIDGE(B "attn.q_norm.hook_scale", Q_NORM_SCALE, QK_NORM),
    BRIDGE(B "attn.q_norm.hook_normalized", Q_NORM_NORMALIZED, QK_NORM),
    BRIDGE(B "attn.k_norm.hook_scale", K_NORM_SCALE, QK_NORM),
    BRIDGE(B "attn.k_norm.hook_normalized", K_NORM_NORMALIZED, QK_NORM),
    SECOND(B "attn.q_norm.hook_in", REFUSED, QK_NORM_HEADS, HEADS_FIRST("q")),
    SECOND(B "attn.k_norm.hook_in", REFUSED, QK_NORM_HEADS, HEADS_FIRST("k")),
    SECOND(B "attn.hook_q_normed", REFUSED, QK_NORM_HEADS, NORMED_FIRST("q")),
    SECOND(B "attn.hook_k_normed", REFUSED, QK_NORM_HEADS, NORMED_FIRST("k")),
    BRIDGE(B "attn.q_norm.hook_in", Q_FLAT, QK_NORM_JOINED),
    BRIDGE(B "attn.k_norm.hook_in", K_FLAT, QK_NORM_JOINED),
    BRIDGE(B "attn.hook_q_normed", Q_NORMED_FLAT, QK_NORM_JOINED),
    BRIDGE(B "attn.hook_k_normed", K_NORMED_FLAT, QK_NORM_JOINED),
    BRIDGE(B "attn.hook_rot_q", ROT_Q, ROTARY),
    BRIDGE(B "attn.hook_rot_k", ROT_K, ROTARY),
    BRIDGE(B "attn.hook_attn_scores", ATTN_SCORES, ALWAYS),
    BRIDGE(B "attn.hook_pattern", PATTERN, ALWAYS),
    BRIDGE(B "attn.o.hook_in", Z, ALWAYS),
    BRIDGE(B "attn.hook_result", RESULT, ALWAYS),
    BRIDGE(B "attn.hook_out", LN1_OUT, EMBED_PARTS),
    BRIDGE(B "attn.hook_out", RESID_MID, ADDS_STREAM),
    BRIDGE(B "attn.hook_out", ATTN_OUT, ATTN_ALONE),
    BRIDGE(B "attn.o.hook_out", ATTN_OUT, NORM_ONCE),
    BRIDGE(B "attn.o.hook_out", ATTN_LINEAR, NORM_BOTH),
    BRIDGE(B "ln1.hook_in", ATTN_OUT, NORM_AFTER),
    BRIDGE(B "ln1_post.hook_in", ATTN_LINEAR, NORM_BOTH),
    BRIDGE(B "ln1_post.hook_scale", LN1_POST_SCALE, NORM_BOTH),
    BRIDGE(B "ln1_post.hook_normalized", LN1_POST_NORMALIZED, NORM_BOTH),
    BRIDGE(B "ln1_post.hook_out", ATTN_OUT, NORM_BOTH),
    SECOND(B "attn.hook_hidden_states", RESID_MID, ADDS_STREAM,
           "it fires only where q, k and v are one product"),
    SECOND(B "attn.hook_hidden_states", ATTN_OUT, ALWAYS,
           "it fires only where q, k and v are one product"),
    BRIDGE(B "ln2.hook_in", MLP_IN, OWN_BRANCH),
    BRIDGE(B "ln2.hook_in", RESID_POST, NORM_RESIDUAL),
    BRIDGE(B "hook_mlp_in", MLP_IN, ALWAYS),
    BRIDGE(B "ln2.hook_scale", LN2_SCALE, NORM_OWN),
    BRIDGE(B "ln2.hook_normalized", LN2_NORMALIZED, NORM_OWN),
    BRIDGE(B "ln2.hook_out", LN2_OUT, OWN_BRANCH),
    BRIDGE(B "ln2.hook_out", NORMALIZED_POST, NORM_RESIDUAL),
    BRIDGE(B "mlp.hook_in", LN2_OUT, NORM_BEFORE),
    BRIDGE(B "mlp.hook_in", MLP_IN, NORM_AFTER),
    BRIDGE(B "mlp.in.hook_in", LN2_OUT, UNGATED_BRANCH),
    BRIDGE(B "mlp.in.hook_in", UP_IN, NORM_RESIDUAL),
    BRIDGE(B "mlp.gate.hook_in", GATE_IN, GATED),
    BRIDGE(B "mlp.in.hook_in", UP_IN, GATED),
    BRIDGE(B "mlp.in.hook_out", PRE, UNGATED),
    BRIDGE(B "mlp.gate.hook_out", PRE, GATED),
    BRIDGE(B "mlp.in.hook_out", PRE_LINEAR, GATED),
    BRIDGE(B "mlp.out.hook_in", POST, ALWAYS),
    BRIDGE(B "mlp.hook_out", RESID_POST, ADDS_STREAM),
    BRIDGE(B "mlp.hook_out", MLP_OUT, MLP_ALONE),
    BRIDGE(B "mlp.out.hook_out", MLP_OUT, NORM_ONCE),
    BRIDGE(B "mlp.out.hook_out", MLP_LINEAR, NORM_BOTH),
    BRIDGE(B "ln2.hook_in", MLP_OUT, NORM_AFTER),
    BRIDGE(B "ln2.hook_out", LN2_OUT, NORM_AFTER),
    BRIDGE(B "ln2_post.hook_in", MLP_LINEAR, NORM_BOTH),
    BRIDGE(B "ln2_post.hook_scale", LN2_POST_SCALE, NORM_BOTH),
    BRIDGE(B "ln2_post.hook_normalized", LN2_POST_NORMALIZED, NORM_BOTH),
    BRIDGE(B "ln2_post.hook_out", MLP_OUT, NORM_BOTH),
    BRIDGE(B "hook_out", NORMALIZED_POST, NORM_RESIDUAL),
    BRIDGE(B "hook_out", RESID_POST, NORM_BRANCH),
    BRIDGE("ln_final.hook_in", MLM_POST, MLM_HEAD),
    BRIDGE("ln_final.hook_in", RESID_LAST, FINAL_NORM),
    BRIDGE("ln_final.hook_scale", MLM_LN_SCALE, MLM_HEAD),
    BRIDGE("ln_final.hook_scale", LNF_SCALE, FINAL_NORM),
    BRIDGE("ln_final.hook_normalized", MLM_LN_NORMALIZED, MLM_HEAD),
    BRIDGE("ln_final.hook_normalized", LNF_NORMALIZED, FINAL_NORM),
    BRIDGE("unembed.hook_in", UNEMBED_IN, ALWAYS),
    BRIDGE("ln_final.hook_out", UNEMBED_IN, MLM_HEAD),
    BRIDGE("ln_final.hook_out", UNEMBED_IN, FINAL_NORM),
    BRIDGE("project_out.hook_in", UNEMBED_IN, PROJECTED),
    BRIDGE("unembed.hook_out", UNEMBED_OUT, ALWAYS),
    BRIDGE("hook_unembed", UNEMBED_OUT, ALWAYS),
};
const int alias_bridge_count = sizeof alias_bridge / sizeof *alias_bridge;

/* TransformerLens' names of what lies in one site with other values. */
#define EXPERT(name, means)                                                                      \
    {                                                                                            \
        LIBRARY_LENS, "blocks.%d.mlp.experts.%d." name, ALIAS_##means, PROPERTY_MOE, false, NULL \
    }
const struct alias_row alias_lens[] = {
    EXPERT("hook_gate", EXPERT_GATE),
    EXPERT("hook_pre", EXPERT_PRE),
    EXPERT("hook_post", EXPERT_POST),
};
const int alias_lens_count = sizeof alias_lens / sizeof *alias_lens;
