/* arch_phi3.c - Phi-3 and its successors: the Llama family's forward pass with q, k and v in one
 * tensor, gate and up in another, a part of each head rotated, and longrope. */
#include "model/arch_llama_rows.h"

static const struct arch_key keys[] = {
    KEYS_SIZES,
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0}, /* 0: as many as heads */
    {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 0}, /* 0: hidden_size / heads */
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 4096},
    {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_SILU},
    {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000},
    {"partial_rotary_factor", KEY_NUMBER, AT(rotary_share), 1e-6, 1, 1},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 0},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

static const struct arch_tensor tensors[] = {
    {.name = "embed_tokens.weight", .part = {W_E}},
    TENSOR_NORM("input_", W_LN1),
    {.name = ATTN "qkv_proj.weight", .part = {W_Q, W_K, W_V}, .axis = "qkv*head*d_head"},
    {.name = ATTN "o_proj.weight", .part = {W_O}},
    TENSOR_NORM("post_attention_", W_LN2),
    {.name = MLP "gate_up_proj.weight", .part = {W_GATE, W_IN}, .axis = "gate_up*d_mlp"},
    {.name = MLP "down_proj.weight", .part = {W_OUT}},
    {.name = "norm.weight", .part = {W_LNF}},
    TENSOR_HEAD,
    {.name = NULL},
};

#define L "model.layers.%d."

static const struct alias_row names[] = {
    NAMES_EMBED("model."),
    NAMES_ROTARY("model."),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", LN1_IN),
    TAKER_IN,
    HF(L "input_layernorm.output", LN1_OUT),
    HF(L "self_attn.input", LN1_OUT),
    HF(L "self_attn.qkv_proj.input", LN1_OUT),
    HF(L "self_attn.qkv_proj.output", QKV_THIRDS),
    HF(L "self_attn.o_proj.input", Z_FLAT),
    HF(L "self_attn.output.0", ATTN_OUT),
    HF(L "self_attn.o_proj.output", ATTN_OUT),
    HF(L "resid_attn_dropout.input", ATTN_OUT),
    HF(L "resid_attn_dropout.output", ATTN_OUT),
    HF_SECOND(L "self_attn.output", ATTN_TUPLE, TUPLE),
    HF(L "self_attn.output.1", PATTERN_COPY),
    HF(L "post_attention_layernorm.input", MLP_IN),
    TAKER_ATTN,
    HF(L "post_attention_layernorm.output", LN2_OUT),
    HF(L "mlp.input", LN2_OUT),
    HF(L "mlp.gate_up_proj.input", LN2_OUT),
    HF(L "mlp.gate_up_proj.output", GATE_UP),
    HF(L "mlp.activation_fn.input", PRE),
    HF(L "mlp.activation_fn.output", ACT_OUT),
    HF(L "mlp.down_proj.input", POST),
    HF(L "mlp.output", MLP_OUT),
    HF(L "mlp.down_proj.output", MLP_OUT),
    HF(L "resid_mlp_dropout.input", MLP_OUT),
    HF(L "resid_mlp_dropout.output", MLP_OUT),
    NAMES_LAYER_OUT(L),
    TAKER_OUT,
    NAMES_END("model."),
};

extern const struct arch arch_phi3;
const struct arch arch_phi3 = {
    .model_type = "phi3",
    .class_name = "Phi3ForCausalLM",
    .prefix = "model.",
    .base = {.pos = POS_ROTARY, .gated = true, .window_on = true, .prepend_bos = true},
    .keys = keys,
    .must = must,
    .tensors = tensors,
    .names = names,
    .lens = {.convert = "convert_phi3_weights", .grouped = true},
};
