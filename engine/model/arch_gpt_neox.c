/* arch_gpt_neox.c - GPT-NeoX and Pythia: partial rotary, LayerNorm, parallel or sequential
 * residual, query_key_value rows interleaved per head. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, KEY_REQUIRED},
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 2048},
    {"layer_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU},
    {"rotary_pct|rope_parameters.partial_rotary_factor|partial_rotary_factor", KEY_NUMBER,
     AT(rotary_share), 1e-6, 1, 0.25},
    {"rotary_emb_base|rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope_theta), 1, 1e12,
     10000},
    {"use_parallel_residual", KEY_BOOL, AT(parallel), 0, 0, 1},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 1},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define QKV "layers.%d.attention.query_key_value."
#define FUSED(id, name, layout, k, part, when)                \
    {                                                         \
        id, name, layout, DIM_HEAD, k, FUSE_HEADS, part, when \
    }
#define PLAIN(id, name, layout, n, k)                   \
    {                                                   \
        id, name, layout, n, k, FUSE_NONE, 0, IF_ALWAYS \
    }
static const struct arch_weight weights[] = {
    PLAIN(W_E, "embed_in.weight", LAYOUT_NK, DIM_D_VOCAB, DIM_D_MODEL),
    PLAIN(W_LN1, "layers.%d.input_layernorm.weight", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(B_LN1, "layers.%d.input_layernorm.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    FUSED(W_Q, QKV "weight", LAYOUT_NK, DIM_D_MODEL, 0, IF_ALWAYS),
    FUSED(B_Q, QKV "bias", LAYOUT_VECTOR, DIM_NONE, 0, IF_ATTN_BIAS),
    FUSED(W_K, QKV "weight", LAYOUT_NK, DIM_D_MODEL, 1, IF_ALWAYS),
    FUSED(B_K, QKV "bias", LAYOUT_VECTOR, DIM_NONE, 1, IF_ATTN_BIAS),
    FUSED(W_V, QKV "weight", LAYOUT_NK, DIM_D_MODEL, 2, IF_ALWAYS),
    FUSED(B_V, QKV "bias", LAYOUT_VECTOR, DIM_NONE, 2, IF_ATTN_BIAS),
    PLAIN(W_O, "layers.%d.attention.dense.weight", LAYOUT_NK, DIM_D_MODEL, DIM_HEAD),
    {B_O, "layers.%d.attention.dense.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE, FUSE_NONE, 0,
     IF_ATTN_BIAS},
    PLAIN(W_LN2, "layers.%d.post_attention_layernorm.weight", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(B_LN2, "layers.%d.post_attention_layernorm.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(W_IN, "layers.%d.mlp.dense_h_to_4h.weight", LAYOUT_NK, DIM_D_MLP, DIM_D_MODEL),
    PLAIN(B_IN, "layers.%d.mlp.dense_h_to_4h.bias", LAYOUT_VECTOR, DIM_D_MLP, DIM_NONE),
    PLAIN(W_OUT, "layers.%d.mlp.dense_4h_to_h.weight", LAYOUT_NK, DIM_D_MODEL, DIM_D_MLP),
    PLAIN(B_OUT, "layers.%d.mlp.dense_4h_to_h.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(W_LNF, "final_layer_norm.weight", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(B_LNF, "final_layer_norm.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    {W_U, "embed_out.weight|lm_head.weight", LAYOUT_NK, DIM_D_VOCAB, DIM_D_MODEL, FUSE_NONE, 0,
     IF_UNTIED},
    {W_NONE, NULL, LAYOUT_VECTOR, DIM_NONE, DIM_NONE, FUSE_NONE, 0, IF_ALWAYS},
};

#define L "gpt_neox.layers.%d."

static const struct alias_row names[] = {
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

extern const struct arch arch_gpt_neox;
const struct arch arch_gpt_neox = {
    .model_type = "gpt_neox",
    .class_name = "GPTNeoXForCausalLM",
    .prefix = "gpt_neox.",
    .norm_center = true,
    .gated = false,
    .prepend_bos = false,
    .pos = POS_ROTARY,
    .keys = keys,
    .must = must,
    .weights = weights,
    .names = names,
    .lens =
        {.convert = "convert_neox_weights",
         .before = "    hf.embed_out = hf.lm_head  # the converter knows it by its former name\n"},
};
