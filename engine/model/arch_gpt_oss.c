/* arch_gpt_oss.c - gpt-oss: a mixture of experts with biases everywhere, whose softmax runs over
 * the chosen experts alone; each head has a sink, every other layer a window.
 *
 * gate_up_proj holds gates and ups by turns.  Published files have the experts in MXFP4
 * (quantized_mxfp4.c), then [expert, n, k], else they lie [expert, k, n]. */
#include "model/arch_llama_rows.h"

static const struct arch_key keys[] = {
    KEYS_SIZES,
    {"intermediate_size", KEY_INT, AT(d_expert), 1, LIMIT_D_MLP, 2880},
    {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 64},
    {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 8},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 131072},
    {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 150000},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 128},
    {"num_local_experts|num_experts", KEY_INT, AT(n_experts), 1, LIMIT_EXPERTS, 128},
    {"num_experts_per_tok|experts_per_token", KEY_INT, AT(n_active), 1, LIMIT_EXPERTS, 4},
    /* that of the activation, which has no other; the bound stays */
    {"swiglu_alpha", KEY_NUMBER, AT(glu_limit), 1.702, 1.702, 1.702},
    {"swiglu_limit", KEY_NUMBER, AT(glu_limit), 1e-6, 1e6, 7},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 1},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define EXPERTS MLP "experts."

static const struct arch_tensor tensors[] = {
    {.name = "embed_tokens.weight", .part = {W_E}},
    TENSOR_NORM("input_", W_LN1),
    TENSORS_ATTN(PROPERTY_ATTN_BIAS),
    {.name = ATTN "sinks", .part = {B_SINKS}},
    TENSOR_NORM("post_attention_", W_LN2),
    {.name = MLP "router.weight", .part = {W_ROUTER}},
    {.name = MLP "router.bias", .part = {B_ROUTER}},
    {.name = EXPERTS "gate_up_proj",
     .part = {W_EXPERT_GATE, W_EXPERT_IN},
     .groups = DIM_D_EXPERT,
     .axis = "d_mlp*gate_up",
     .turned = true,
     .merged = true},
    {.name = EXPERTS "gate_up_proj_bias",
     .part = {B_EXPERT_GATE, B_EXPERT_IN},
     .groups = DIM_D_EXPERT,
     .axis = "d_mlp*gate_up",
     .merged = true},
    {.name = EXPERTS "down_proj", .part = {W_EXPERT_OUT}, .turned = true, .merged = true},
    {.name = EXPERTS "down_proj_bias", .part = {B_EXPERT_OUT}, .merged = true},
    {.name = "norm.weight", .part = {W_LNF}},
    TENSOR_HEAD,
    {.name = NULL},
};

#define L "model.layers.%d."
#define HALF \
    "one column for both elements of a pair there · use rotary_emb.hook_cos, rotary_emb.hook_sin"

static const struct alias_row names[] = {
    NAMES_EMBED("model."),
    HF("model.rotary_emb.input", ROTARY_IN),
    NO("model.rotary_emb.output.0", HALF),
    NO("model.rotary_emb.output.1", HALF),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", LN1_IN),
    HF(L "input_layernorm.output", LN1_OUT),
    HF(L "self_attn.input", LN1_OUT),
    NAMES_HEADS(L),
    NAMES_ATTN_OUT(L, ATTN_OUT, ATTN_TUPLE),
    HF(L "post_attention_layernorm.input", MLP_IN),
    HF(L "post_attention_layernorm.output", LN2_OUT),
    HF(L "mlp.input", LN2_OUT),
    HF(L "mlp.router.input", MIXTURE_IN),
    HF(L "mlp.router.output.0", ROUTER_LOGITS_COPY),
    HF(L "mlp.router.output.1", ROUTER_SCORES),
    HF(L "mlp.router.output.2", EXPERT_INDICES),
    HF(L "mlp.experts.input", MIXTURE_IN),
    HF(L "mlp.experts.output", MLP_OUT),
    HF(L "mlp.output.0", MLP_OUT),
    HF_SECOND(L "mlp.output.1", ROUTER_SCORES_COPY, NULL),
    HF_SECOND(L "mlp.output", MLP_TUPLE, TUPLE),
    NAMES_LAYER_OUT(L),
    NAMES_END("model."),
};

extern const struct arch arch_gpt_oss;
const struct arch arch_gpt_oss = {
    .model_type = "gpt_oss",
    .class_name = "GptOssForCausalLM",
    .prefix = "model.",
    .base = {.pos = POS_ROTARY,
             .gated = true,
             .rotary_share = 1,
             .rope = {.scaling = ROPE_YARN,
                      .factor = 32,
                      .low_freq = 1,
                      .high_freq = 32,
                      .n_ctx = 4096},
             .window_on = true,
             .window_pattern = 2,
             .act = KN_ACT_QUICK_GELU,
             .glu_offset = 1,
             .mlp_bias = true,
             .route_top = true,
             .sinks = true,
             .prepend_bos = true},
    .keys = keys,
    .must = must,
    .tensors = tensors,
    .names = names,
    .lens = {.convert = "convert_gpt_oss_weights", .grouped = true},
};
