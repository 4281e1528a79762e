/* arch_opt.c - OPT and Galactica: learned positions from the third row of their table on,
 * LayerNorm, relu.
 *
 * opt-350m normalizes the sum of stream and branch, has no final norm, and embeddings that are
 * narrower than its stream. */
#include "base/json.h"
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"ffn_dim", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, KEY_REQUIRED},
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 2048},
    {"activation_function", KEY_ACT, AT(act), 0, 0, KN_ACT_RELU},
    {"word_embed_proj_dim", KEY_INT, AT(d_embed), 1, LIMIT_D_MODEL, 0}, /* 0: hidden_size */
    {"enable_bias", KEY_BOOL, AT(attn_bias), 0, 0, 1},
    {"enable_bias", KEY_BOOL, AT(mlp_bias), 0, 0, 1},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    KEY_END,
};

static const struct arch_must must[] = {
    {"_remove_final_layer_norm", false},
    {NULL, false},
};

static int settle(struct config *cfg, struct js_node root, struct err *e)
{
    bool before, weights;
    int rc = js_bool_or(js_get(root, "do_layer_norm_before"), true, &before, e);
    if (!rc)
        rc = js_bool_or(js_get(root, "layer_norm_elementwise_affine"), true, &weights, e);
    if (rc)
        return rc;
    cfg->norm_place = before ? NORM_BEFORE : NORM_RESIDUAL;
    cfg->norm_bare = !weights;
    return 0;
}

#define LAYER "decoder.layers.%d."
#define ATTN LAYER "self_attn."

static const struct arch_tensor tensors[] = {
    {.name = "decoder.embed_tokens.weight", .part = {W_E}},
    {.name = "decoder.project_in.weight", .part = {W_PROJECT_IN}, .when = PROPERTY_PROJECTED},
    {.name = "decoder.embed_positions.weight", .part = {W_POS}},
    {.name = LAYER "self_attn_layer_norm.weight", .part = {W_LN1}, .when = PROPERTY_NORM_WEIGHTS},
    {.name = LAYER "self_attn_layer_norm.bias", .part = {B_LN1}, .when = PROPERTY_NORM_WEIGHTS},
    {.name = ATTN "q_proj.weight", .part = {W_Q}},
    {.name = ATTN "q_proj.bias", .part = {B_Q}, .when = PROPERTY_ATTN_BIAS},
    {.name = ATTN "k_proj.weight", .part = {W_K}},
    {.name = ATTN "k_proj.bias", .part = {B_K}, .when = PROPERTY_ATTN_BIAS},
    {.name = ATTN "v_proj.weight", .part = {W_V}},
    {.name = ATTN "v_proj.bias", .part = {B_V}, .when = PROPERTY_ATTN_BIAS},
    {.name = ATTN "out_proj.weight", .part = {W_O}},
    {.name = ATTN "out_proj.bias", .part = {B_O}, .when = PROPERTY_ATTN_BIAS},
    {.name = LAYER "final_layer_norm.weight", .part = {W_LN2}, .when = PROPERTY_NORM_WEIGHTS},
    {.name = LAYER "final_layer_norm.bias", .part = {B_LN2}, .when = PROPERTY_NORM_WEIGHTS},
    {.name = LAYER "fc1.weight", .part = {W_IN}},
    {.name = LAYER "fc1.bias", .part = {B_IN}, .when = PROPERTY_MLP_BIAS},
    {.name = LAYER "fc2.weight", .part = {W_OUT}},
    {.name = LAYER "fc2.bias", .part = {B_OUT}, .when = PROPERTY_MLP_BIAS},
    {.name = "decoder.final_layer_norm.weight",
     .part = {W_LNF},
     .when = PROPERTY_FINAL_NORM_WEIGHTS},
    {.name = "decoder.final_layer_norm.bias", .part = {B_LNF}, .when = PROPERTY_FINAL_NORM_WEIGHTS},
    {.name = "decoder.project_out.weight", .part = {W_PROJECT_OUT}, .when = PROPERTY_PROJECTED},
    {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},
    {.name = NULL},
};

#define D "model.decoder."
#define L D "layers.%d."

static const struct alias_row names[] = {
    HF(D "embed_tokens.input", TOKENS),
    HF_IF(D "embed_tokens.output", EMBED, EMBED_WIDE),
    HF_IF(D "embed_tokens.output", PROJECT_IN, PROJECTED),
    HF_IF(D "project_in.input", PROJECT_IN, PROJECTED),
    HF_IF(D "project_in.output", EMBED, PROJECTED),
    NO(D "embed_positions.input", POSITIONS),
    HF(D "embed_positions.output", POS_EMBED),
    HF(L "input", RESID_PRE),
    HF_IF(L "self_attn_layer_norm.input", LN1_IN, NORM_BRANCH),
    TAKER_IN_IF(NORM_BRANCH),
    HF_IF(L "self_attn_layer_norm.output", LN1_OUT, NORM_BRANCH),
    HF_IF(L "self_attn.input", LN1_OUT, NORM_BRANCH),
    HF_IF(L "self_attn.input", LN1_IN, NORM_RESIDUAL),
    HF(L "self_attn.q_proj.input", Q_IN),
    HF(L "self_attn.k_proj.input", K_IN),
    HF(L "self_attn.v_proj.input", V_IN),
    HF(L "self_attn.q_proj.output", Q_FLAT),
    HF(L "self_attn.k_proj.output", K_FLAT),
    HF(L "self_attn.v_proj.output", V_FLAT),
    HF(L "self_attn.out_proj.input", Z_FLAT),
    HF(L "self_attn.output.0", ATTN_OUT),
    HF(L "self_attn.out_proj.output", ATTN_OUT),
    HF_SECOND(L "self_attn.output", ATTN_TUPLE, TUPLE),
    HF(L "self_attn.output.1", PATTERN_COPY),
    HF_IF(L "self_attn_layer_norm.input", RESID_MID, NORM_RESIDUAL),
    HF_IF(L "self_attn_layer_norm.output", LN1_OUT, NORM_RESIDUAL),
    HF_IF(L "final_layer_norm.input", MLP_IN, NORM_BRANCH),
    TAKER_ATTN_IF(NORM_BRANCH),
    HF_IF(L "final_layer_norm.output", LN2_OUT, NORM_BRANCH),
    HF_IF(L "fc1.input", LN2_OUT, NORM_BRANCH),
    HF_IF(L "fc1.input", UP_IN, NORM_RESIDUAL),
    HF(L "fc1.output", PRE),
    HF(L "activation_fn.input", PRE),
    HF(L "activation_fn.output", POST),
    HF(L "fc2.input", POST),
    HF(L "fc2.output", MLP_OUT),
    HF_IF(L "final_layer_norm.input", RESID_POST, NORM_RESIDUAL),
    HF_IF(L "final_layer_norm.output", NORMALIZED_POST, NORM_RESIDUAL),
    HF_IF(L "output", RESID_POST, NORM_BRANCH),
    HF_IF(L "output", NORMALIZED_POST, NORM_RESIDUAL),
    HF_SECOND_IF(L "output.0", RESID_POST, NORM_BRANCH, OLD_TUPLE),
    HF_SECOND_IF(L "output.0", NORMALIZED_POST, NORM_RESIDUAL, OLD_TUPLE),
    TAKER_OUT_IF(NORM_BRANCH),
    HF_IF(D "final_layer_norm.input", RESID_LAST, FINAL_NORM),
    HF_IF(D "final_layer_norm.output", UNEMBED_IN, FINAL_NORM),
    HF_IF(D "project_out.input", UNEMBED_IN, PROJECTED),
    HF_IF(D "project_out.output", PROJECT_OUT, PROJECTED),
    HF_IF(D "output.last_hidden_state", PROJECT_OUT, PROJECTED),
    HF_IF("lm_head.input", PROJECT_OUT, PROJECTED),
    NAMES_HEAD_IF(D, EMBED_WIDE),
};

/* Galactica's biases and weights of norms, which its files leave out. */
#define LACKING                                                                             \
    "    for module in hf.modules():  # the converter reads what this model has not\n"      \
    "        if isinstance(module, torch.nn.Linear) and module.bias is None:\n"             \
    "            module.bias = torch.nn.Parameter(torch.zeros(module.out_features))\n"      \
    "        if isinstance(module, torch.nn.LayerNorm) and module.weight is None:\n"        \
    "            module.weight = torch.nn.Parameter(torch.ones(module.normalized_shape))\n" \
    "            module.bias = torch.nn.Parameter(torch.zeros(module.normalized_shape))\n"

extern const struct arch arch_opt;
const struct arch arch_opt = {
    .model_type = "opt",
    .class_name = "OPTForCausalLM",
    .prefix = "model.",
    .base = {.pos = POS_LEARNED,
             .pos_row0 = 2,
             .norm_center = true,
             .norm_eps = 1e-5,
             .prepend_bos = true},
    .keys = keys,
    .must = must,
    .settle = settle,
    .tensors = tensors,
    .names = names,
    .flat_mlp = true,
    .lens = {.convert = "convert_opt_weights", .before = LACKING},
};
