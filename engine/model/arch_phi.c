/* arch_phi.c - Phi 1, 1.5 and 2: attention and MLP are parallel and read one LayerNorm, a part of
 * each head is rotated, everything has a bias. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0}, /* 0: as many as heads */
    {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, KEY_REQUIRED},
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 2048},
    {"layer_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000},
    {"partial_rotary_factor", KEY_NUMBER, AT(rotary_share), 1e-6, 1, 0.5},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{"qk_layernorm", false}, {NULL, false}};

#define ATTN "layers.%d.self_attn."
#define MLP "layers.%d.mlp."

static const struct arch_tensor tensors[] = {
    {.name = "embed_tokens.weight", .part = {W_E}},
    {.name = "layers.%d.input_layernorm.weight", .part = {W_LN1}},
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
    {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},
    {.name = "lm_head.bias", .part = {B_U}, .bare = true},
    {.name = NULL},
};

#define L "model.layers.%d."

static const struct alias_row names[] = {
    HF("model.embed_tokens.input", TOKENS),
    HF("model.embed_tokens.output", EMBED),
    HF("model.embed_dropout.input", EMBED),
    HF("model.embed_dropout.output", EMBED),
    HF("model.rotary_emb.input", ROTARY_IN),
    HF("model.rotary_emb.output.0", COS),
    HF("model.rotary_emb.output.1", SIN),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", NORM_IN),
    TAKER_IN_SHARED,
    HF(L "input_layernorm.output", NORM_OUT),
    HF(L "self_attn.input", LN1_OUT),
    HF(L "self_attn.q_proj.input", Q_IN),
    HF(L "self_attn.k_proj.input", K_IN),
    HF(L "self_attn.v_proj.input", V_IN),
    HF(L "self_attn.q_proj.output", Q_FLAT),
    HF(L "self_attn.k_proj.output", K_FLAT),
    HF(L "self_attn.v_proj.output", V_FLAT),
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
    HF(L "output", RESID_POST),
    HF_SECOND(L "output.0", RESID_POST, OLD_TUPLE),
    TAKER_OUT,
    HF("model.final_layernorm.input", RESID_LAST),
    HF("model.final_layernorm.output", UNEMBED_IN),
    HF("model.output.last_hidden_state", UNEMBED_IN),
    HF("lm_head.input", UNEMBED_IN),
    HF("lm_head.output", UNEMBED_OUT),
    HF_SECOND("model.output", UNEMBED_IN, LAST_STATE),
    HF_SECOND("model.input", TOKENS, NULL),
    HF_SECOND("output.logits", UNEMBED_OUT, NULL),
    NO("output", "the model returns a record · output.logits are its logits"),
    END,
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
