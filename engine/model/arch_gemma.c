/* arch_gemma.c - Gemma: embeddings times the root of the width, norm weights stored less one.
 * Gemma 2 normalizes on both sides of attention and MLP, caps scores and logits, and looks through
 * a window in every other layer; Gemma 3 normalizes queries and keys instead of capping, looks
 * through a window in five of six layers, and turns those by another rotary table. */
#include "model/arch_llama_rows.h"

#define KEYS_SHARED                                              \
    {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-6},      \
        {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 256}, \
        {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},    \
    {                                                            \
        "tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1       \
    }

static const struct arch_key gemma_keys[] = {
    KEYS_SIZES,
    KEYS_SHARED,
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 16},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 8192},
    {"hidden_act", KEY_ACT_TANH, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000},
    KEY_END,
};

/* of 2 and 3 */
#define KEYS_LATER                                                                     \
    KEYS_SHARED, {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 4},  \
        {"hidden_activation", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},                \
        {"query_pre_attn_scalar", KEY_NUMBER, AT(query_pre_attn_scalar), 1, 1e6, 256}, \
    {                                                                                  \
        "sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 4096          \
    }

static const struct arch_key gemma2_keys[] = {
    KEYS_SIZES,
    KEYS_LATER,
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 8192},
    {"rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000},
    {"attn_logit_softcapping", KEY_OPTIONAL, AT(softcap), 1e-6, 1e6, 50},
    {"final_logit_softcapping", KEY_OPTIONAL, AT(final_softcap), 1e-6, 1e6, 30},
    KEY_END,
};

/* Files of models for text and images leave out what is the class's own default. */
#define KEYS_GEMMA3                                                                        \
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},           \
        {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},             \
        {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, KEY_REQUIRED},           \
        {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, 8},                  \
        {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, 262208}, KEYS_LATER,          \
        {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 131072}, \
        {"rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 1000000},                      \
        {"rope_local_base_freq", KEY_NUMBER, AT(rope_local.theta), 1, 1e12, 10000},        \
    {                                                                                      \
        "sliding_window_pattern", KEY_INT, AT(window_pattern), 1, LIMIT_LAYERS, 6          \
    }

static const struct arch_key gemma3_keys[] = {
    KEYS_GEMMA3,
    {"final_logit_softcapping", KEY_OPTIONAL, AT(final_softcap), 1e-6, 1e6, 0},
    KEY_END,
};
static const struct arch_key gemma3_image_keys[] = {KEYS_GEMMA3, KEY_END};

static const struct arch_must must[] = {{"use_bidirectional_attention", false}, {NULL, false}};

#define TENSORS_FIRST                                                             \
    {.name = "embed_tokens.weight", .part = {W_E}}, TENSOR_NORM("input_", W_LN1), \
        TENSORS_ATTN(PROPERTY_ATTN_BIAS)
#define TENSORS_LAST                                                    \
    TENSORS_MLP, {.name = "norm.weight", .part = {W_LNF}}, TENSOR_HEAD, \
    {                                                                   \
        .name = NULL                                                    \
    }
#define TENSORS_BOTH                                                                    \
    TENSOR_NORM("post_attention_", W_LN1_POST), TENSOR_NORM("pre_feedforward_", W_LN2), \
        TENSOR_NORM("post_feedforward_", W_LN2_POST)

static const struct arch_tensor gemma_tensors[] = {
    TENSORS_FIRST, TENSOR_NORM("post_attention_", W_LN2), TENSORS_LAST};
static const struct arch_tensor gemma2_tensors[] = {TENSORS_FIRST, TENSORS_BOTH, TENSORS_LAST};
static const struct arch_tensor gemma3_tensors[] = {TENSORS_QK_NORM, TENSORS_FIRST, TENSORS_BOTH,
                                                    TENSORS_LAST};

/* A layer with norms on both sides. */
#define NAMES_LAYER(L)                                                                             \
    HF(L "input", RESID_PRE), HF(L "input_layernorm.input", LN1_IN), TAKER_IN,                     \
        HF(L "input_layernorm.output", LN1_OUT), HF(L "self_attn.input", LN1_OUT), NAMES_HEADS(L), \
        NAMES_QK_NORM(L, Q_FIRST, Q_NORMED_FIRST, K_FIRST, K_NORMED_FIRST),                        \
        NAMES_ATTN_OUT(L, ATTN_LINEAR, ATTN_LINEAR_TUPLE),                                         \
        HF(L "post_attention_layernorm.input", ATTN_LINEAR),                                       \
        HF(L "post_attention_layernorm.output", ATTN_OUT),                                         \
        HF(L "pre_feedforward_layernorm.input", MLP_IN), TAKER_ATTN,                               \
        HF(L "pre_feedforward_layernorm.output", LN2_OUT), NAMES_MLP(L, LN2_OUT, MLP_LINEAR),      \
        HF(L "post_feedforward_layernorm.input", MLP_LINEAR),                                      \
        HF(L "post_feedforward_layernorm.output", MLP_OUT), NAMES_LAYER_OUT(L), TAKER_OUT

static const struct alias_row gemma2_names[] = {NAMES_EMBED("model."), NAMES_ROTARY("model."),
                                                NAMES_LAYER("model.layers.%d."),
                                                NAMES_END("model.")};

static const struct alias_row gemma3_names[] = {NAMES_EMBED("model."), NAMES_ROTARY_TWICE("model."),
                                                NAMES_LAYER("model.layers.%d."),
                                                NAMES_END("model.")};
static const struct alias_row gemma3_image_names[] = {
    NAMES_EMBED("model.language_model."), NAMES_ROTARY_TWICE("model.language_model."),
    NAMES_LAYER("model.language_model.layers.%d."), NAMES_END("model.language_model.")};

/* Further properties may follow. */
#define BASE(...)                                                                                 \
    {                                                                                             \
        .pos = POS_ROTARY, .gated = true, .rotary_share = 1, .window_on = true, .norm_offset = 1, \
        .embed_scaled = true, .prepend_bos = true, __VA_ARGS__                                    \
    }

#define GEMMA3 BASE(.norm_place = NORM_BOTH, .qk_norm = true, .rope_by_window = true)

#define LENS(before_, model)                                                    \
    {                                                                           \
        .convert = "convert_gemma_weights", .grouped = true, .before = before_, \
        .biases = LENS_BIASES(model)                                            \
    }

extern const struct arch arch_gemma, arch_gemma2, arch_gemma3, arch_gemma3_image;

const struct arch arch_gemma = {
    .model_type = "gemma",
    .class_name = "GemmaForCausalLM",
    .prefix = "model.",
    .base = BASE(.norm_place = NORM_BEFORE),
    .keys = gemma_keys,
    .must = must,
    .tensors = gemma_tensors,
    .names = arch_llama_names,
    .lens = LENS(NULL, "model."),
};

const struct arch arch_gemma2 = {
    .model_type = "gemma2",
    .class_name = "Gemma2ForCausalLM",
    .prefix = "model.",
    .base = BASE(.norm_place = NORM_BOTH, .window_pattern = 2),
    .keys = gemma2_keys,
    .heads_divide = true,
    .must = must,
    .tensors = gemma2_tensors,
    .names = gemma2_names,
    .lens = LENS(NULL, "model."),
};

const struct arch arch_gemma3 = {
    .model_type = "gemma3_text",
    .class_name = "Gemma3ForCausalLM",
    .prefix = "model.",
    .base = GEMMA3,
    .keys = gemma3_keys,
    .heads_divide = true,
    .must = must,
    .tensors = gemma3_tensors,
    .names = gemma3_names,
    .lens = LENS(NULL, "model."),
};

/* Of a model for text and images the part for text. */
const struct arch arch_gemma3_image = {
    .model_type = "gemma3",
    .class_name = "Gemma3ForConditionalGeneration",
    .prefix = "model.language_model.",
    .old_prefix = "language_model.model.",
    .within = "text_config",
    .skipped =
        "vision_tower.|multi_modal_projector.|model.vision_tower.|model.multi_modal_projector.",
    .base = GEMMA3,
    .keys = gemma3_image_keys,
    .heads_divide = true,
    .must = must,
    .tensors = gemma3_tensors,
    .names = gemma3_image_names,
    .lens = LENS("    hf.language_model = hf.model.language_model\n", "model.language_model."),
};
