/* arch_phi3.c - Phi-3 and its successors: the Llama family's forward pass with q, k and v in one
 * tensor, gate and up in another, a part of each head rotated, and longrope. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0}, /* 0: as many as heads */
    {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 0}, /* 0: hidden_size / heads */
    {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, KEY_REQUIRED},
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
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

#define ATTN "layers.%d.self_attn."
#define MLP "layers.%d.mlp."

static const struct arch_tensor tensors[] = {
    {.name = "embed_tokens.weight", .part = {W_E}},
    {.name = "layers.%d.input_layernorm.weight", .part = {W_LN1}},
    {.name = ATTN "qkv_proj.weight", .part = {W_Q, W_K, W_V}, .axis = "qkv*head*d_head"},
    {.name = ATTN "o_proj.weight", .part = {W_O}},
    {.name = "layers.%d.post_attention_layernorm.weight", .part = {W_LN2}},
    {.name = MLP "gate_up_proj.weight", .part = {W_GATE, W_IN}, .axis = "gate_up*d_mlp"},
    {.name = MLP "down_proj.weight", .part = {W_OUT}},
    {.name = "norm.weight", .part = {W_LNF}},
    {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},
    {.name = NULL},
};

#define L "model.layers.%d."

static const struct alias_row names[] = {
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
    HF(L "output", RESID_POST),
    HF_SECOND(L "output.0", RESID_POST, OLD_TUPLE),
    TAKER_OUT,
    HF("model.norm.input", RESID_LAST),
    HF("model.norm.output", UNEMBED_IN),
    HF("model.output.last_hidden_state", UNEMBED_IN),
    HF("lm_head.input", UNEMBED_IN),
    HF("lm_head.output", UNEMBED_OUT),
    HF_SECOND("model.output", UNEMBED_IN, LAST_STATE),
    HF_SECOND("model.input", TOKENS, NULL),
    HF_SECOND("output.logits", UNEMBED_OUT, NULL),
    NO("output", "the model returns a record · output.logits are its logits"),
    END,
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
