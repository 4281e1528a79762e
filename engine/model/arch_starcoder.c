/* arch_starcoder.c - StarCoder 1 (gpt_bigcode) and 2, StableLM: LayerNorm and heads that share keys
 * and values.
 *
 * The first is GPT-2 with one key/value head and plain projections.  The others are laid out as
 * Llama is: StarCoder 2 with a plain MLP and a window, StableLM with a part of each head rotated
 * and a gated MLP, which in parallel models reads the norm that attention reads. */
#include "base/json.h"
#include "model/arch_llama_rows.h"

static const struct arch_key bigcode_keys[] = {
    {"n_layer|num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"n_head|num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"n_embd|hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"n_inner", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, 0}, /* absent or null: 4 * n_embd */
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"n_positions|max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 1024},
    {"layer_norm_epsilon", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"activation_function", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    KEY_END,
};

#define KEYS_SHARED(eps)                                                                         \
    KEYS_SIZES, {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 4096}, \
        {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000},   \
    {                                                                                            \
        eps, KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5                                                \
    }

static const struct arch_key starcoder2_keys[] = {
    KEYS_SHARED("norm_epsilon|layer_norm_epsilon"),
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 2},
    {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 0},
    {"use_bias|attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 1},
    {"use_bias|mlp_bias", KEY_BOOL, AT(mlp_bias), 0, 0, 1},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    KEY_END,
};

static const struct arch_key stablelm_keys[] = {
    KEYS_SHARED("layer_norm_eps"),
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0}, /* 0: as many as heads */
    {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_SILU},
    {"partial_rotary_factor", KEY_NUMBER, AT(rotary_share), 1e-6, 1, 0.25},
    {"use_parallel_residual", KEY_BOOL, AT(parallel), 0, 0, 0},
    {"use_parallel_residual", KEY_BOOL, AT(norm_shared), 0, 0, 0},
    {"use_qkv_bias|attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},
    {"qk_layernorm", KEY_BOOL, AT(qk_norm), 0, 0, 0},
    {"qk_layernorm", KEY_BOOL, AT(qk_norm_each), 0, 0, 0},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must bigcode_must[] = {
    {"scale_attn_weights", true},
    {"add_cross_attention", false},
    {NULL, false},
};
static const struct arch_must starcoder2_must[] = {{NULL, false}};
static const struct arch_must stablelm_must[] = {{NULL, false}};

/* multi_query: all heads have one key and one value, else each its own. */
static int bigcode_settle(struct config *cfg, struct js_node root, struct err *e)
{
    bool one;
    int rc = js_bool_or(js_get(root, "multi_query"), true, &one, e);
    if (!rc && one)
        cfg->n_kv_heads = 1;
    return rc;
}

#define JOINED "kv_head*qkv*d_head"

static const struct arch_tensor bigcode_tensors[] = {
    {.name = "wte.weight", .part = {W_E}},
    {.name = "wpe.weight", .part = {W_POS}},
    {.name = "h.%d.ln_1.weight", .part = {W_LN1}},
    {.name = "h.%d.ln_1.bias", .part = {B_LN1}},
    {.name = "h.%d.attn.c_attn.weight",
     .part = {W_Q, W_K, W_V},
     .groups = DIM_KV_HEAD,
     .axis = JOINED},
    {.name = "h.%d.attn.c_attn.bias",
     .part = {B_Q, B_K, B_V},
     .groups = DIM_KV_HEAD,
     .axis = JOINED},
    {.name = "h.%d.attn.c_proj.weight", .part = {W_O}},
    {.name = "h.%d.attn.c_proj.bias", .part = {B_O}},
    {.name = "h.%d.ln_2.weight", .part = {W_LN2}},
    {.name = "h.%d.ln_2.bias", .part = {B_LN2}},
    {.name = "h.%d.mlp.c_fc.weight", .part = {W_IN}},
    {.name = "h.%d.mlp.c_fc.bias", .part = {B_IN}},
    {.name = "h.%d.mlp.c_proj.weight", .part = {W_OUT}},
    {.name = "h.%d.mlp.c_proj.bias", .part = {B_OUT}},
    {.name = "ln_f.weight", .part = {W_LNF}},
    {.name = "ln_f.bias", .part = {B_LNF}},
    TENSOR_HEAD,
    {.name = NULL},
};

#define TENSORS_NORM(name_, weight, bias, has)                    \
    {.name = name_ "norm.weight", .part = {weight}, .when = has}, \
    {                                                             \
        .name = name_ "norm.bias", .part = {bias}, .when = has    \
    }
#define TENSORS_NORMS                                                                    \
    TENSORS_NORM("layers.%d.input_layer", W_LN1, B_LN1, PROPERTY_ALWAYS),                \
        TENSORS_NORM("layers.%d.post_attention_layer", W_LN2, B_LN2, PROPERTY_NORM_OWN), \
        TENSORS_NORM("", W_LNF, B_LNF, PROPERTY_ALWAYS)

static const struct arch_tensor starcoder2_tensors[] = {
    {.name = "embed_tokens.weight", .part = {W_E}},
    TENSORS_NORMS,
    TENSORS_ATTN(PROPERTY_ATTN_BIAS),
    {.name = MLP "c_fc.weight", .part = {W_IN}},
    {.name = MLP "c_fc.bias", .part = {B_IN}, .when = PROPERTY_MLP_BIAS},
    {.name = MLP "c_proj.weight", .part = {W_OUT}},
    {.name = MLP "c_proj.bias", .part = {B_OUT}, .when = PROPERTY_MLP_BIAS},
    TENSOR_HEAD,
    {.name = NULL},
};

static const struct arch_tensor stablelm_tensors[] = {
    {.name = "embed_tokens.weight", .part = {W_E}},
    TENSORS_NORMS,
    TENSORS_QKV(PROPERTY_ATTN_BIAS),
    {.name = ATTN "q_layernorm.norms.%d.weight",
     .part = {W_QN_ALL},
     .each = DIM_HEAD,
     .when = PROPERTY_QK_NORM_EACH},
    {.name = ATTN "k_layernorm.norms.%d.weight",
     .part = {W_KN_ALL},
     .each = DIM_KV_HEAD,
     .when = PROPERTY_QK_NORM_EACH},
    {.name = ATTN "o_proj.weight", .part = {W_O}},
    TENSORS_MLP,
    TENSOR_HEAD,
    {.name = NULL},
};

#define H "transformer.h.%d."

static const struct alias_row bigcode_names[] = {
    NAMES_GPT_EMBED,
    HF(H "input", RESID_PRE),
    HF(H "ln_1.input", LN1_IN),
    HF(H "ln_1.output", LN1_OUT),
    HF(H "attn.input", LN1_OUT),
    HF(H "attn.c_attn.input", LN1_OUT),
    HF_IF(H "attn.c_attn.output", QKV_THIRDS, KV_ONE),
    HF_IF(H "attn.c_attn.output", QKV_HEADS, KV_EACH),
    HF(H "attn.c_proj.input", Z_FLAT),
    HF(H "attn.output.0", ATTN_OUT),
    HF(H "attn.c_proj.output", ATTN_OUT),
    HF(H "attn.resid_dropout.input", ATTN_OUT),
    HF(H "attn.resid_dropout.output", ATTN_OUT),
    HF_SECOND(H "attn.output", ATTN_TUPLE, TUPLE),
    HF(H "attn.output.1", PATTERN_COPY),
    HF(H "ln_2.input", MLP_IN),
    HF(H "ln_2.output", LN2_OUT),
    HF(H "mlp.input", LN2_OUT),
    HF(H "mlp.c_fc.input", LN2_OUT),
    HF(H "mlp.c_fc.output", PRE),
    HF(H "mlp.act.input", PRE),
    HF(H "mlp.act.output", POST),
    HF(H "mlp.c_proj.input", POST),
    HF(H "mlp.output", MLP_OUT),
    HF(H "mlp.c_proj.output", MLP_OUT),
    HF(H "mlp.dropout.input", MLP_OUT),
    HF(H "mlp.dropout.output", MLP_OUT),
    HF(H "output", RESID_POST),
    HF_SECOND(H "output.0", RESID_POST, OLD_TUPLE),
    HF("transformer.ln_f.input", RESID_LAST),
    HF("transformer.ln_f.output", UNEMBED_IN),
    NAMES_HEAD("transformer."),
};

#define L "model.layers.%d."

static const struct alias_row starcoder2_names[] = {
    NAMES_EMBED("model."),
    NAMES_ROTARY("model."),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", LN1_IN),
    HF(L "input_layernorm.output", LN1_OUT),
    HF(L "self_attn.input", LN1_OUT),
    NAMES_HEADS(L),
    NAMES_ATTN_OUT(L, ATTN_OUT, ATTN_TUPLE),
    HF(L "post_attention_layernorm.input", MLP_IN),
    HF(L "post_attention_layernorm.output", LN2_OUT),
    HF(L "mlp.input", LN2_OUT),
    HF(L "mlp.c_fc.input", LN2_OUT),
    HF(L "mlp.c_fc.output", PRE),
    HF(L "mlp.act.input", PRE),
    HF(L "mlp.act.output", POST),
    HF(L "mlp.c_proj.input", POST),
    HF(L "mlp.output", MLP_OUT),
    HF(L "mlp.c_proj.output", MLP_OUT),
    NAMES_LAYER_OUT(L),
    NAMES_END("model."),
};

/* A norm of heads, turned around there, and those of each, which are told where their values are.
 */
#define ONE_HEAD(part) "a norm of one head there · edit attn." part "_norm.hook_out[:, head]"
#define NAMES_NORM_EACH(module, x, part)                         \
    HF_IF(module ".input", x##_FIRST, QK_NORM_EACH),             \
        HF_IF(module ".output", x##_NORMED_FIRST, QK_NORM_EACH), \
        NO(module ".norms.%d.input", ONE_HEAD(part)),            \
        NO(module ".norms.%d.output", ONE_HEAD(part))

static const struct alias_row stablelm_names[] = {
    NAMES_EMBED("model."),
    NAMES_ROTARY("model."),
    HF(L "input", RESID_PRE),
    HF_IF(L "input_layernorm.input", LN1_IN, NORM_OWN),
    HF_IF(L "input_layernorm.input", NORM_IN, NORM_SHARED),
    HF_IF(L "input_layernorm.output", LN1_OUT, NORM_OWN),
    HF_IF(L "input_layernorm.output", NORM_OUT, NORM_SHARED),
    HF(L "self_attn.input", LN1_OUT),
    NAMES_HEADS(L),
    NAMES_NORM_EACH(L "self_attn.q_layernorm", Q, "q"),
    NAMES_NORM_EACH(L "self_attn.k_layernorm", K, "k"),
    NAMES_ATTN_OUT(L, ATTN_OUT, ATTN_TUPLE),
    HF_IF(L "post_attention_layernorm.input", MLP_IN, NORM_OWN),
    HF_IF(L "post_attention_layernorm.output", LN2_OUT, NORM_OWN),
    NAMES_MLP(L, LN2_OUT, MLP_OUT),
    HF(L "dropout.input", MLP_OUT),
    HF(L "dropout.output", MLP_OUT),
    NAMES_LAYER_OUT(L),
    NAMES_END("model."),
};

extern const struct arch arch_gpt_bigcode, arch_starcoder2, arch_stablelm;
const struct arch arch_gpt_bigcode = {
    .model_type = "gpt_bigcode",
    .class_name = "GPTBigCodeForCausalLM",
    .prefix = "transformer.",
    .base = {.pos = POS_LEARNED, .norm_center = true, .prepend_bos = true},
    .keys = bigcode_keys,
    .must = bigcode_must,
    .settle = bigcode_settle,
    .tensors = bigcode_tensors,
    .names = bigcode_names,
};
const struct arch arch_starcoder2 = {
    .model_type = "starcoder2",
    .class_name = "Starcoder2ForCausalLM",
    .prefix = "model.",
    .base = {.pos = POS_ROTARY,
             .norm_center = true,
             .rotary_share = 1,
             .window_on = true,
             .prepend_bos = true},
    .keys = starcoder2_keys,
    .must = starcoder2_must,
    .tensors = starcoder2_tensors,
    .names = starcoder2_names,
};
const struct arch arch_stablelm = {
    .model_type = "stablelm",
    .class_name = "StableLmForCausalLM",
    .prefix = "model.",
    .base = {.pos = POS_ROTARY, .norm_center = true, .gated = true, .prepend_bos = true},
    .keys = stablelm_keys,
    .must = stablelm_must,
    .tensors = stablelm_tensors,
    .names = stablelm_names,
};
