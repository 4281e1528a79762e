/* arch_gpt2.c - GPT-2: learned positions, LayerNorm, fused Conv1D projections stored [k,n]. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"n_layer|num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"n_head|num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"n_embd|hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"n_inner", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, 0}, /* absent or null: 4 * n_embd */
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"n_positions|n_ctx|max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 1024},
    {"layer_norm_epsilon", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"activation_function", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    KEY_END,
};

static const struct arch_must must[] = {
    {"scale_attn_weights", true},
    {"scale_attn_by_inverse_layer_idx", false},
    {"add_cross_attention", false},
    {NULL, false},
};

#define JOINED "qkv*head*d_head"

static const struct arch_tensor tensors[] = {
    {.name = "wte.weight", .part = {W_E}},
    {.name = "wpe.weight", .part = {W_POS}},
    {.name = "h.%d.ln_1.weight", .part = {W_LN1}},
    {.name = "h.%d.ln_1.bias", .part = {B_LN1}},
    {.name = "h.%d.attn.c_attn.weight", .part = {W_Q, W_K, W_V}, .turned = true, .axis = JOINED},
    {.name = "h.%d.attn.c_attn.bias", .part = {B_Q, B_K, B_V}, .axis = JOINED},
    {.name = "h.%d.attn.c_proj.weight", .part = {W_O}, .turned = true},
    {.name = "h.%d.attn.c_proj.bias", .part = {B_O}},
    {.name = "h.%d.ln_2.weight", .part = {W_LN2}},
    {.name = "h.%d.ln_2.bias", .part = {B_LN2}},
    {.name = "h.%d.mlp.c_fc.weight", .part = {W_IN}, .turned = true},
    {.name = "h.%d.mlp.c_fc.bias", .part = {B_IN}},
    {.name = "h.%d.mlp.c_proj.weight", .part = {W_OUT}, .turned = true},
    {.name = "h.%d.mlp.c_proj.bias", .part = {B_OUT}},
    {.name = "ln_f.weight", .part = {W_LNF}},
    {.name = "ln_f.bias", .part = {B_LNF}},
    {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},
    {.name = NULL},
};

#define H "transformer.h.%d."
#define TRAP \
    "taker's GPT-2 map takes the norm for what follows the sublayer: this is the norm's output, no contribution"
#define AFTER_NORM \
    "taker's GPT-2 map says post-norm: this is what the sublayer reads, not the residual stream"

static const struct alias_row names[] = {
    NAMES_GPT_EMBED,
    HF(H "input", RESID_PRE),
    TAKER("pre_decoder", RESID_PRE, NULL),
    HF(H "ln_1.input", LN1_IN),
    HF(H "ln_1.output", LN1_OUT),
    HF(H "attn.input", LN1_OUT),
    TAKER("pre_attn", LN1_OUT, AFTER_NORM),
    HF(H "attn.c_attn.input", LN1_OUT),
    HF(H "attn.c_attn.output", QKV_THIRDS),
    HF(H "attn.c_proj.input", Z_FLAT),
    TAKER("attn_pre_out", Z, NULL),
    HF(H "attn.output.0", ATTN_OUT),
    HF(H "attn.c_proj.output", ATTN_OUT),
    HF(H "attn.resid_dropout.input", ATTN_OUT),
    HF(H "attn.resid_dropout.output", ATTN_OUT),
    HF_SECOND(H "attn.output", ATTN_TUPLE, TUPLE),
    TAKER("post_attn", LN1_OUT, TRAP),
    HF(H "attn.output.1", PATTERN_COPY),
    NO(H "attn.attn_dropout.input", DROPPED),
    NO(H "attn.attn_dropout.output", DROPPED),
    HF(H "ln_2.input", MLP_IN),
    HF(H "ln_2.output", LN2_OUT),
    HF(H "mlp.input", LN2_OUT),
    TAKER("pre_mlp", LN2_OUT, AFTER_NORM),
    HF(H "mlp.c_fc.input", LN2_OUT),
    HF(H "mlp.c_fc.output", PRE),
    HF(H "mlp.act.input", PRE),
    HF(H "mlp.act.output", POST),
    HF(H "mlp.c_proj.input", POST),
    TAKER("mlp_pre_out", POST, NULL),
    HF(H "mlp.output", MLP_OUT),
    HF(H "mlp.c_proj.output", MLP_OUT),
    HF(H "mlp.dropout.input", MLP_OUT),
    HF(H "mlp.dropout.output", MLP_OUT),
    TAKER("post_mlp", LN2_OUT, TRAP),
    HF(H "output", RESID_POST),
    HF_SECOND(H "output.0", RESID_POST, OLD_TUPLE),
    TAKER("post_decoder", RESID_POST, NULL),
    HF("transformer.ln_f.input", RESID_LAST),
    HF("transformer.ln_f.output", UNEMBED_IN),
    NAMES_HEAD("transformer."),
};

extern const struct arch arch_gpt2;
const struct arch arch_gpt2 = {
    .model_type = "gpt2",
    .class_name = "GPT2LMHeadModel",
    .prefix = "transformer.",
    .base = {.pos = POS_LEARNED, .norm_center = true, .prepend_bos = true},
    .keys = keys,
    .must = must,
    .tensors = tensors,
    .names = names,
    .lens = {.convert = "convert_gpt2_weights"},
};
