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
    {"rotary_emb_base|rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12,
     10000},
    {"use_parallel_residual", KEY_BOOL, AT(parallel), 0, 0, 1},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 1},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define ATTN "layers.%d.attention."
#define MLP "layers.%d.mlp."
#define JOINED "head*qkv*d_head"

static const struct arch_tensor tensors[] = {
    {.name = "embed_in.weight", .part = {W_E}},
    {.name = "layers.%d.input_layernorm.weight", .part = {W_LN1}},
    {.name = "layers.%d.input_layernorm.bias", .part = {B_LN1}},
    {.name = ATTN "query_key_value.weight",
     .part = {W_Q, W_K, W_V},
     .groups = DIM_KV_HEAD,
     .axis = JOINED},
    {.name = ATTN "query_key_value.bias",
     .part = {B_Q, B_K, B_V},
     .groups = DIM_KV_HEAD,
     .axis = JOINED,
     .when = PROPERTY_ATTN_BIAS},
    {.name = ATTN "dense.weight", .part = {W_O}},
    {.name = ATTN "dense.bias", .part = {B_O}, .when = PROPERTY_ATTN_BIAS},
    {.name = "layers.%d.post_attention_layernorm.weight", .part = {W_LN2}},
    {.name = "layers.%d.post_attention_layernorm.bias", .part = {B_LN2}},
    {.name = MLP "dense_h_to_4h.weight", .part = {W_IN}},
    {.name = MLP "dense_h_to_4h.bias", .part = {B_IN}},
    {.name = MLP "dense_4h_to_h.weight", .part = {W_OUT}},
    {.name = MLP "dense_4h_to_h.bias", .part = {B_OUT}},
    {.name = "final_layer_norm.weight", .part = {W_LNF}},
    {.name = "final_layer_norm.bias", .part = {B_LNF}},
    {.name = "embed_out.weight|lm_head.weight",
     .part = {W_U},
     .bare = true,
     .when = PROPERTY_UNTIED},
    {.name = NULL},
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
    HF_SECOND("gpt_neox.output", UNEMBED_IN, LAST_STATE),
    HF_SECOND("output.logits", UNEMBED_OUT, NULL),
    NO("output", "the model returns a record · output.logits are its logits"),
    END,
};

extern const struct arch arch_gpt_neox;
const struct arch arch_gpt_neox = {
    .model_type = "gpt_neox",
    .class_name = "GPTNeoXForCausalLM",
    .prefix = "gpt_neox.",
    .base = {.pos = POS_ROTARY, .norm_center = true},
    .keys = keys,
    .must = must,
    .tensors = tensors,
    .names = names,
    .lens =
        {.convert = "convert_neox_weights",
         .before = "    hf.embed_out = hf.lm_head  # the converter knows it by its former name\n"},
};
