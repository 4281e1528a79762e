/* arch_llama.c - the Llama family: RMSNorm, rotary positions, grouped heads, gated MLP.
 * Mistral adds a sliding window, Qwen2 biases on q, k and v (and a window on its last layers),
 * Qwen3 norms of each head's queries and keys, SmolLM3 layers without rotary positions. */
#include "model/arch_llama_rows.h"

#define KEYS_SHARED                                                                            \
    KEYS_SIZES,                                                                                \
        {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 0}, /* 0: hidden_size / heads */    \
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

static const struct arch_key smollm3_keys[] = {
    KEYS_SHARED,
    {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 2000000},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 4},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 32768},
    {"no_rope_layer_interval", KEY_INT, AT(unrotated_pattern), 1, LIMIT_LAYERS, 4},
    {"use_sliding_window", KEY_BOOL, AT(window_on), 0, 0, 0},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 0},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},
    {"mlp_bias", KEY_BOOL, AT(mlp_bias), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define TENSORS(qkv_bias)                                                           \
    {.name = "embed_tokens.weight", .part = {W_E}}, TENSOR_NORM("input_", W_LN1),   \
        TENSORS_ATTN(qkv_bias), TENSOR_NORM("post_attention_", W_LN2), TENSORS_MLP, \
        {.name = "norm.weight", .part = {W_LNF}}, TENSOR_HEAD,                      \
    {                                                                               \
        .name = NULL                                                                \
    }

static const struct arch_tensor tensors[] = {TENSORS(PROPERTY_ATTN_BIAS)};
static const struct arch_tensor qwen2_tensors[] = {TENSORS(PROPERTY_ALWAYS)};
static const struct arch_tensor qwen3_tensors[] = {TENSORS_QK_NORM, TENSORS(PROPERTY_ATTN_BIAS)};

#define L "model.layers.%d."

const struct alias_row arch_llama_names[] = {
    NAMES_EMBED("model."),
    NAMES_ROTARY("model."),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", LN1_IN),
    TAKER_IN,
    HF(L "input_layernorm.output", LN1_OUT),
    HF(L "self_attn.input", LN1_OUT),
    NAMES_HEADS(L),
    NAMES_QK_NORM(L, Q, Q_NORMED, K, K_NORMED),
    NAMES_ATTN_OUT(L, ATTN_OUT, ATTN_TUPLE),
    NAMES_OLD_ROTARY(L),
    HF(L "post_attention_layernorm.input", MLP_IN),
    TAKER_ATTN,
    HF(L "post_attention_layernorm.output", LN2_OUT),
    NAMES_MLP(L, LN2_OUT, MLP_OUT),
    NAMES_LAYER_OUT(L),
    TAKER_OUT,
    NAMES_END("model."),
};

/* Further properties may follow. */
#define ARCH_LLAMA(name, type, class, divide, key_table, tensor_table, ...)                   \
    ARCH_LIKE(name, type, class, divide, "convert_" type "_weights", key_table, tensor_table, \
              __VA_ARGS__)
#define ARCH_LIKE(name, type, class, divide, converter, key_table, tensor_table, ...)              \
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
        .heads_divide = divide,                                                                    \
        .names = arch_llama_names,                                                                 \
        .lens = {.convert = converter, .grouped = true, .biases = LENS_BIASES("model.")},          \
    }

ARCH_LLAMA(arch_llama, "llama", "LlamaForCausalLM", true, llama_keys, tensors, .prepend_bos = true);
ARCH_LLAMA(arch_mistral, "mistral", "MistralForCausalLM", false, mistral_keys, tensors,
           .prepend_bos = true);
ARCH_LLAMA(arch_qwen2, "qwen2", "Qwen2ForCausalLM", false, qwen2_keys, qwen2_tensors,
           .prepend_bos = false);
ARCH_LLAMA(arch_qwen3, "qwen3", "Qwen3ForCausalLM", false, qwen3_keys, qwen3_tensors,
           .qk_norm = true);
ARCH_LIKE(arch_smollm3, "smollm3", "SmolLM3ForCausalLM", false, "convert_llama_weights",
          smollm3_keys, tensors, .prepend_bos = true);
