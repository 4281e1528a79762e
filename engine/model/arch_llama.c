/* arch_llama.c - the Llama family: RMSNorm, rotary positions, grouped heads, gated MLP.
 * Mistral adds a sliding window, Qwen2 biases on q, k and v (and a window on its last layers),
 * Qwen3 norms of each head's queries and keys. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

#define KEYS_SHARED                                                                            \
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},               \
        {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},           \
        {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},                 \
        {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 0}, /* 0: hidden_size / heads */    \
        {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, KEY_REQUIRED},               \
        {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},                    \
        {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-6},                                \
        {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_SILU},                                   \
        {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000}, \
    {                                                                                          \
        "tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0                                     \
    }

static const struct arch_key llama_keys[] = {
    KEYS_SHARED,
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0}, /* 0: as many as heads */
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 2048},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},
    {"mlp_bias", KEY_BOOL, AT(mlp_bias), 0, 0, 0},
    KEY_END,
};

static const struct arch_key mistral_keys[] = {
    KEYS_SHARED,
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 8},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 131072},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 4096}, /* null: none */
    KEY_END,
};

#define KEYS_QWEN                                                                         \
    KEYS_SHARED, {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 32},    \
        {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 32768}, \
        {"use_sliding_window", KEY_BOOL, AT(window_on), 0, 0, 0},                         \
        {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 4096},          \
    {                                                                                     \
        "max_window_layers", KEY_INT, AT(window_layer0), 0, LIMIT_LAYERS, 28              \
    }

static const struct arch_key qwen2_keys[] = {KEYS_QWEN, KEY_END};

static const struct arch_key qwen3_keys[] = {
    KEYS_QWEN,
    {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 128},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define ATTN "layers.%d.self_attn."
#define MLP "layers.%d.mlp."
#define TENSORS(qkv_bias)                                                                 \
    {.name = "embed_tokens.weight", .part = {W_E}},                                       \
        {.name = "layers.%d.input_layernorm.weight", .part = {W_LN1}},                    \
        {.name = ATTN "q_proj.weight", .part = {W_Q}},                                    \
        {.name = ATTN "q_proj.bias", .part = {B_Q}, .when = qkv_bias},                    \
        {.name = ATTN "k_proj.weight", .part = {W_K}},                                    \
        {.name = ATTN "k_proj.bias", .part = {B_K}, .when = qkv_bias},                    \
        {.name = ATTN "v_proj.weight", .part = {W_V}},                                    \
        {.name = ATTN "v_proj.bias", .part = {B_V}, .when = qkv_bias},                    \
        {.name = ATTN "o_proj.weight", .part = {W_O}},                                    \
        {.name = ATTN "o_proj.bias", .part = {B_O}, .when = PROPERTY_ATTN_BIAS},          \
        {.name = "layers.%d.post_attention_layernorm.weight", .part = {W_LN2}},           \
        {.name = MLP "gate_proj.weight", .part = {W_GATE}},                               \
        {.name = MLP "gate_proj.bias", .part = {B_GATE}, .when = PROPERTY_MLP_BIAS},      \
        {.name = MLP "up_proj.weight", .part = {W_IN}},                                   \
        {.name = MLP "up_proj.bias", .part = {B_IN}, .when = PROPERTY_MLP_BIAS},          \
        {.name = MLP "down_proj.weight", .part = {W_OUT}},                                \
        {.name = MLP "down_proj.bias", .part = {B_OUT}, .when = PROPERTY_MLP_BIAS},       \
        {.name = "norm.weight", .part = {W_LNF}},                                         \
        {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED}, \
    {                                                                                     \
        .name = NULL                                                                      \
    }

static const struct arch_tensor tensors[] = {TENSORS(PROPERTY_ATTN_BIAS)};
static const struct arch_tensor qwen2_tensors[] = {TENSORS(PROPERTY_ALWAYS)};
static const struct arch_tensor qwen3_tensors[] = {
    {.name = ATTN "q_norm.weight", .part = {W_QN}},
    {.name = ATTN "k_norm.weight", .part = {W_KN}},
    TENSORS(PROPERTY_ATTN_BIAS),
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
    HF(L "self_attn.q_proj.input", Q_IN),
    HF(L "self_attn.k_proj.input", K_IN),
    HF(L "self_attn.v_proj.input", V_IN),
    HF(L "self_attn.q_proj.output", Q_FLAT),
    HF(L "self_attn.k_proj.output", K_FLAT),
    HF(L "self_attn.v_proj.output", V_FLAT),
    HF_IF(L "self_attn.q_norm.input", Q, QK_NORM),
    HF_IF(L "self_attn.q_norm.output", Q_NORMED, QK_NORM),
    HF_IF(L "self_attn.k_norm.input", K, QK_NORM),
    HF_IF(L "self_attn.k_norm.output", K_NORMED, QK_NORM),
    HF(L "self_attn.o_proj.input", Z_FLAT),
    HF(L "self_attn.output.0", ATTN_OUT),
    HF(L "self_attn.o_proj.output", ATTN_OUT),
    HF_SECOND(L "self_attn.output", ATTN_TUPLE, TUPLE),
    HF(L "self_attn.output.1", PATTERN_COPY),
    HF_SECOND(L "self_attn.rotary_emb.input", V_FIRST, OLD_ROTARY),
    HF_SECOND(L "self_attn.rotary_emb.output.0", COS_FIRST, OLD_ROTARY),
    HF_SECOND(L "self_attn.rotary_emb.output.1", SIN_FIRST, OLD_ROTARY),
    NO(L "self_attn.rotary_emb.output", "a tuple: output[0] are the cosines, output[1] the sines"),
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
    HF_SECOND("model.output", UNEMBED_IN, LAST_STATE),
    HF_SECOND("model.input", TOKENS, NULL),
    HF_SECOND("output.logits", UNEMBED_OUT, NULL),
    NO("output", "the model returns a record · output.logits are its logits"),
    END,
};

static const char biases
    [] = "    for layer, block in enumerate(hf.model.layers):  # the converter drops these biases\n"
         "        part, at = block.self_attn, f\"blocks.{layer}.attn.\"\n"
         "        weights[at + \"b_Q\"] = part.q_proj.bias.detach().view(-1, cfg.d_head)\n"
         "        weights[at + \"_b_K\"] = part.k_proj.bias.detach().view(-1, cfg.d_head)\n"
         "        weights[at + \"_b_V\"] = part.v_proj.bias.detach().view(-1, cfg.d_head)\n"
         "        weights[at + \"b_O\"] = part.o_proj.bias.detach()\n";

/* Further properties may follow. */
#define ARCH_LLAMA(name, type, class, key_table, tensor_table, ...)                                \
    extern const struct arch name;                                                                 \
    const struct arch name = {                                                                     \
        .model_type = type,                                                                        \
        .class_name = class,                                                                       \
        .prefix = "model.",                                                                        \
        .base =                                                                                    \
            {.pos = POS_ROTARY, .gated = true, .rotary_share = 1, .window_on = true, __VA_ARGS__}, \
        .keys = key_table,                                                                         \
        .must = must,                                                                              \
        .tensors = tensor_table,                                                                   \
        .names = names,                                                                            \
        .lens = {.convert = "convert_" type "_weights", .grouped = true, .biases = biases},        \
    }

ARCH_LLAMA(arch_llama, "llama", "LlamaForCausalLM", llama_keys, tensors, .prepend_bos = true);
ARCH_LLAMA(arch_mistral, "mistral", "MistralForCausalLM", mistral_keys, tensors,
           .prepend_bos = true);
ARCH_LLAMA(arch_qwen2, "qwen2", "Qwen2ForCausalLM", qwen2_keys, qwen2_tensors,
           .prepend_bos = false);
ARCH_LLAMA(arch_qwen3, "qwen3", "Qwen3ForCausalLM", qwen3_keys, qwen3_tensors, .qk_norm = true);
