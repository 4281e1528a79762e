/* arch_bloom.c - BLOOM and BLOOMZ: slopes in place of positions, a LayerNorm of the embedding, q, k
 * and v head by head in one tensor.
 *
 * The attention and MLP modules are given the stream and add what they make to it: what they return
 * is the stream after them.  Published files leave "transformer." out. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"n_layer|num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"n_head|num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"n_embed|hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"seq_length|max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 2048},
    {"layer_norm_epsilon", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    KEY_END,
};

static const struct arch_must must[] = {
    {"apply_residual_connection_post_layernorm", false},
    {NULL, false},
};

#define ATTN "h.%d.self_attention."
#define MLP "h.%d.mlp."
#define JOINED "head*qkv*d_head"

static const struct arch_tensor tensors[] = {
    {.name = "word_embeddings.weight", .part = {W_E}},
    {.name = "word_embeddings_layernorm.weight", .part = {W_EMBED_LN}},
    {.name = "word_embeddings_layernorm.bias", .part = {B_EMBED_LN}},
    {.name = "h.%d.input_layernorm.weight", .part = {W_LN1}},
    {.name = "h.%d.input_layernorm.bias", .part = {B_LN1}},
    {.name = ATTN "query_key_value.weight",
     .part = {W_Q, W_K, W_V},
     .groups = DIM_HEAD,
     .axis = JOINED},
    {.name = ATTN "query_key_value.bias",
     .part = {B_Q, B_K, B_V},
     .groups = DIM_HEAD,
     .axis = JOINED},
    {.name = ATTN "dense.weight", .part = {W_O}},
    {.name = ATTN "dense.bias", .part = {B_O}},
    {.name = "h.%d.post_attention_layernorm.weight", .part = {W_LN2}},
    {.name = "h.%d.post_attention_layernorm.bias", .part = {B_LN2}},
    {.name = MLP "dense_h_to_4h.weight", .part = {W_IN}},
    {.name = MLP "dense_h_to_4h.bias", .part = {B_IN}},
    {.name = MLP "dense_4h_to_h.weight", .part = {W_OUT}},
    {.name = MLP "dense_4h_to_h.bias", .part = {B_OUT}},
    {.name = "ln_f.weight", .part = {W_LNF}},
    {.name = "ln_f.bias", .part = {B_LNF}},
    {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},
    {.name = NULL},
};

#define H "transformer.h.%d."
#define PAIR "the module returns a tuple · output[0] is the stream after it"

static const struct alias_row names[] = {
    HF("transformer.word_embeddings.input", TOKENS),
    HF("transformer.word_embeddings.output", EMBED_SUM),
    HF("transformer.word_embeddings_layernorm.input", EMBED_SUM),
    HF("transformer.word_embeddings_layernorm.output", EMBED),
    HF(H "input", RESID_PRE),
    HF(H "input_layernorm.input", LN1_IN),
    HF(H "input_layernorm.output", LN1_OUT),
    HF(H "self_attention.input", LN1_OUT),
    HF(H "self_attention.query_key_value.input", LN1_OUT),
    HF(H "self_attention.query_key_value.output", QKV_HEADS),
    HF(H "self_attention.attention_dropout.input", PATTERN),
    HF(H "self_attention.attention_dropout.output", PATTERN),
    HF(H "self_attention.dense.input", Z_FLAT),
    HF(H "self_attention.dense.output", ATTN_OUT),
    HF(H "self_attention.output.0", RESID_MID),
    HF(H "self_attention.output.1", PATTERN_COPY),
    NO(H "self_attention.output", PAIR),
    HF(H "post_attention_layernorm.input", MLP_IN),
    HF(H "post_attention_layernorm.output", LN2_OUT),
    HF(H "mlp.input", LN2_OUT),
    HF(H "mlp.dense_h_to_4h.input", LN2_OUT),
    HF(H "mlp.dense_h_to_4h.output", PRE),
    HF(H "mlp.gelu_impl.input", PRE),
    HF(H "mlp.gelu_impl.output", POST),
    HF(H "mlp.dense_4h_to_h.input", POST),
    HF(H "mlp.dense_4h_to_h.output", MLP_OUT),
    HF(H "mlp.output", RESID_POST),
    HF(H "output.0", RESID_POST),
    HF(H "output.1", PATTERN_COPY),
    NO(H "output", PAIR),
    HF("transformer.ln_f.input", RESID_LAST),
    HF("transformer.ln_f.output", UNEMBED_IN),
    NAMES_HEAD("transformer."),
};

extern const struct arch arch_bloom;
const struct arch arch_bloom = {
    .model_type = "bloom",
    .class_name = "BloomForCausalLM",
    .prefix = "transformer.",
    .base = {.pos = POS_ALIBI,
             .norm_center = true,
             .embed_norm = true,
             .adds_stream = true,
             .act = KN_ACT_GELU_NEW,
             .attn_bias = true,
             .mlp_bias = true},
    .keys = keys,
    .must = must,
    .tensors = tensors,
    .names = names,
    .closed_attention = true,
    .lens = {.convert = "convert_bloom_weights"},
};
