/* arch_phi.c - Phi 1, 1.5 and 2: attention and MLP are parallel and read one LayerNorm, a part of
 * each head is rotated, everything has a bias. */
#include "model/arch_llama_rows.h"

static const struct arch_key keys[] = {
    KEYS_SIZES,
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0}, /* 0: as many as heads */
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 2048},
    {"layer_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000},
    {"partial_rotary_factor", KEY_NUMBER, AT(rotary_share), 1e-6, 1, 0.5},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{"qk_layernorm", false}, {NULL, false}};

static const struct arch_tensor tensors[] = {
    {.name = "embed_tokens.weight", .part = {W_E}},
    TENSOR_NORM("input_", W_LN1),
    {.name = "layers.%d.input_layernorm.bias", .part = {B_LN1}},
    {.name = ATTN "q_proj.weight", .part = {W_Q}},
    {.name = ATTN "q_proj.bias", .part = {B_Q}},
    {.name = ATTN "k_proj.weight", .part = {W_K}},
    {.name = ATTN "k_proj.bias", .part = {B_K}},
    {.name = ATTN "v_proj.weight", .part = {W_V}},
    {.name = ATTN "v_proj.bias", .part = {B_V}},
    {.name = ATTN "dense.weight", .part = {W_O}},
    {.name = ATTN "dense.bias", .part = {B_O}},
    {.name = MLP "fc1.weight", .part = {W_IN}},
    {.name = MLP "fc1.bias", .part = {B_IN}},
    {.name = MLP "fc2.weight", .part = {W_OUT}},
    {.name = MLP "fc2.bias", .part = {B_OUT}},
    {.name = "final_layernorm.weight", .part = {W_LNF}},
    {.name = "final_layernorm.bias", .part = {B_LNF}},
    TENSOR_HEAD,
    {.name = "lm_head.bias", .part = {B_U}, .bare = true},
    {.name = NULL},
};

#define L "model.layers.%d."

static const struct alias_row names[] = {
    NAMES_EMBED("model."),
    HF("model.embed_dropout.input", EMBED),
    HF("model.embed_dropout.output", EMBED),
    NAMES_ROTARY("model."),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", NORM_IN),
    TAKER_IN_SHARED,
    HF(L "input_layernorm.output", NORM_OUT),
    HF(L "self_attn.input", LN1_OUT),
    NAMES_HEADS(L),
    HF(L "self_attn.dense.input", Z_FLAT),
    HF(L "self_attn.output.0", ATTN_OUT),
    HF(L "self_attn.dense.output", ATTN_OUT),
    HF_SECOND(L "self_attn.output", ATTN_TUPLE, TUPLE),
    HF(L "self_attn.output.1", PATTERN_COPY),
    TAKER_ATTN,
    HF(L "mlp.input", LN2_OUT),
    HF(L "mlp.fc1.input", LN2_OUT),
    HF(L "mlp.fc1.output", PRE),
    HF(L "mlp.activation_fn.input", PRE),
    HF(L "mlp.activation_fn.output", POST),
    HF(L "mlp.fc2.input", POST),
    HF(L "mlp.output", MLP_OUT),
    HF(L "mlp.fc2.output", MLP_OUT),
    NO(L "resid_dropout.input",
       "called for attention and for the MLP · use self_attn.output[0] or mlp.output"),
    NO(L "resid_dropout.output",
       "called for attention and for the MLP · use self_attn.output[0] or mlp.output"),
    NAMES_LAYER_OUT(L),
    TAKER_OUT,
    HF("model.final_layernorm.input", RESID_LAST),
    HF("model.final_layernorm.output", UNEMBED_IN),
    NAMES_HEAD("model."),
};

extern const struct arch arch_phi;
const struct arch arch_phi = {
    .model_type = "phi",
    .class_name = "PhiForCausalLM",
    .prefix = "model.",
    .base = {.pos = POS_ROTARY,
             .norm_center = true,
             .parallel = true,
             .norm_shared = true,
             .attn_bias = true,
             .mlp_bias = true},
    .keys = keys,
    .must = must,
    .tensors = tensors,
    .names = names,
    .lens = {.convert = "convert_phi_weights"},
};
