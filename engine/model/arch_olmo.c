/* arch_olmo.c - OLMo 1 to 3, dense: Llama's layout with other norms.
 * OLMo 1 has a LayerNorm without weights before its branches and clips queries, keys and values;
 * OLMo 2 normalizes what its branches give, and queries and keys, all heads together; OLMo 3 looks
 * through a window in three of four layers, whose rotary table is not scaled. */
#include "model/arch_llama_rows.h"

#define KEYS_SHARED(base)                                                                     \
    KEYS_SIZES,                                                                               \
        {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 0}, /* 0: hidden_size / heads */   \
        {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0}, /* 0: all */     \
        {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 2048},      \
        {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_SILU},                                  \
        {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, base}, \
        {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},                                 \
    {                                                                                         \
        "tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0                                    \
    }

static const struct arch_key olmo_keys[] = {
    KEYS_SHARED(10000),
    {"clip_qkv", KEY_OPTIONAL, AT(clip_qkv), 1e-6, 1e6, 0},
    KEY_END,
};

static const struct arch_key olmo2_keys[] = {
    KEYS_SHARED(10000),
    {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    KEY_END,
};

static const struct arch_key olmo3_keys[] = {
    KEYS_SHARED(500000),
    {"rope_theta", KEY_NUMBER, AT(rope_local.theta), 1, 1e12, 500000},
    {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 4096},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define TENSORS_FIRST \
    {.name = "embed_tokens.weight", .part = {W_E}}, TENSORS_ATTN(PROPERTY_ATTN_BIAS), TENSORS_MLP

static const struct arch_tensor olmo_tensors[] = {TENSORS_FIRST, TENSOR_HEAD, {.name = NULL}};
static const struct arch_tensor olmo2_tensors[] = {
    TENSORS_QK_NORM_JOINED,
    TENSORS_FIRST,
    TENSOR_NORM("post_attention_", W_LN1),
    TENSOR_NORM("post_feedforward_", W_LN2),
    {.name = "norm.weight", .part = {W_LNF}},
    TENSOR_HEAD,
    {.name = NULL},
};

#define L "model.layers.%d."
#define NAMES_LAYER                                                                          \
    HF(L "input", RESID_PRE), HF(L "self_attn.input", LN1_IN), NAMES_HEADS(L),               \
        NAMES_QK_NORM(L, Q, Q_NORMED, K, K_NORMED), NAMES_ATTN_OUT(L, ATTN_OUT, ATTN_TUPLE), \
        HF(L "post_attention_layernorm.input", ATTN_OUT),                                    \
        HF(L "post_attention_layernorm.output", LN1_OUT), NAMES_MLP(L, MLP_IN, MLP_OUT),     \
        HF(L "post_feedforward_layernorm.input", MLP_OUT),                                   \
        HF(L "post_feedforward_layernorm.output", LN2_OUT), NAMES_LAYER_OUT(L)

static const struct alias_row olmo2_names[] = {NAMES_EMBED("model."), NAMES_ROTARY("model."),
                                               NAMES_LAYER, NAMES_END("model.")};
static const struct alias_row olmo3_names[] = {NAMES_EMBED("model."), NAMES_ROTARY_TWICE("model."),
                                               NAMES_LAYER, NAMES_END("model.")};

/* Further properties may follow. */
#define BASE(...)                                                                             \
    {                                                                                         \
        .pos = POS_ROTARY, .gated = true, .rotary_share = 1, .prepend_bos = true, __VA_ARGS__ \
    }

extern const struct arch arch_olmo, arch_olmo2, arch_olmo3;

const struct arch arch_olmo = {
    .model_type = "olmo",
    .class_name = "OlmoForCausalLM",
    .prefix = "model.",
    .base = BASE(.norm_center = true, .norm_bare = true, .norm_eps = 1e-5),
    .keys = olmo_keys,
    .must = must,
    .tensors = olmo_tensors,
    .names = arch_llama_names,
    .lens = {.convert = "convert_olmo_weights", .biases = LENS_BIASES("model.")},
};

/* OLMo 3's converter reads OLMo 2 too, and its grouped heads. */
const struct arch arch_olmo2 = {
    .model_type = "olmo2",
    .class_name = "Olmo2ForCausalLM",
    .prefix = "model.",
    .base = BASE(.norm_place = NORM_AFTER, .qk_norm = true, .qk_norm_joined = true),
    .keys = olmo2_keys,
    .must = must,
    .tensors = olmo2_tensors,
    .names = olmo2_names,
    .lens = {.convert = "convert_olmo3_weights"},
};

const struct arch arch_olmo3 = {
    .model_type = "olmo3",
    .class_name = "Olmo3ForCausalLM",
    .prefix = "model.",
    .base = BASE(.norm_place = NORM_AFTER, .qk_norm = true, .qk_norm_joined = true,
                 .window_on = true, .window_pattern = 4, .rope_by_window = true),
    .keys = olmo3_keys,
    .must = must,
    .tensors = olmo2_tensors,
    .names = olmo3_names,
    .lens = {.convert = "convert_olmo3_weights"},
};
