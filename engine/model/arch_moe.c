/* arch_moe.c - mixtures of experts on the Llama plan: Mixtral, Qwen3-MoE, OLMoE.
 *
 * Published files have a tensor for each expert, those that transformers 5 writes one for all of a
 * layer.  Mixtral calls the projections w1 (gate), w3 (up) and w2 (down). */
#include "model/arch_llama_rows.h"

#define KEYS_SHARED(kv, ctx, eps, base)                                                       \
    KEYS_SIZES,                                                                               \
        {"head_dim", KEY_INT, AT(d_head), 1, LIMIT_D_HEAD, 0}, /* 0: hidden_size / heads */   \
        {"num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, kv},                 \
        {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, ctx},       \
        {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, eps},                                \
        {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_SILU},                                  \
        {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, base}, \
    {                                                                                         \
        "tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0                                    \
    }

#define KEYS_EXPERTS(experts, active)                                                     \
    {"num_local_experts|num_experts", KEY_INT, AT(n_experts), 1, LIMIT_EXPERTS, experts}, \
    {                                                                                     \
        "num_experts_per_tok", KEY_INT, AT(n_active), 1, LIMIT_EXPERTS, active            \
    }

static const struct arch_key mixtral_keys[] = {
    KEYS_SHARED(8, 131072, 1e-5, 1e6),
    KEYS_EXPERTS(8, 2),
    {"intermediate_size", KEY_INT, AT(d_expert), 1, LIMIT_D_MLP, 14336},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 0},
    KEY_END,
};

static const struct arch_key qwen3_keys[] = {
    KEYS_SHARED(4, 32768, 1e-6, 10000),
    KEYS_EXPERTS(128, 8),
    {"moe_intermediate_size", KEY_INT, AT(d_expert), 1, LIMIT_D_MLP, 768},
    {"norm_topk_prob", KEY_BOOL, AT(share_top), 0, 0, 0},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},
    {"use_sliding_window", KEY_BOOL, AT(window_on), 0, 0, 0},
    {"sliding_window", KEY_INT, AT(window), 1, LIMIT_TOKENS * 1024.0, 4096},
    KEY_END,
};

static const struct arch_key olmoe_keys[] = {
    KEYS_SHARED(0, 4096, 1e-5, 10000), /* 0 key/value heads: as many as heads */
    KEYS_EXPERTS(64, 8),
    {"intermediate_size", KEY_INT, AT(d_expert), 1, LIMIT_D_MLP, 2048},
    {"norm_topk_prob", KEY_BOOL, AT(share_top), 0, 0, 0},
    {"attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},
    {"clip_qkv", KEY_OPTIONAL, AT(clip_qkv), 1e-6, 1e6, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define L "layers.%d."
#define EXPERTS(mlp, gate, up, down)                                                               \
    {.name = mlp "gate.weight|" L "mlp.gate.weight", .part = {W_ROUTER}, .when = PROPERTY_MOE},    \
        {.name = L "mlp.experts.gate_up_proj",                                                     \
         .part = {W_EXPERT_GATE, W_EXPERT_IN},                                                     \
         .axis = "gate_up*d_mlp",                                                                  \
         .merged = true,                                                                           \
         .when = PROPERTY_MOE},                                                                    \
        {.name = L "mlp.experts.down_proj",                                                        \
         .part = {W_EXPERT_OUT},                                                                   \
         .merged = true,                                                                           \
         .when = PROPERTY_MOE},                                                                    \
        {.name = mlp "experts.%d." gate ".weight", .part = {W_EXPERT_GATE}, .when = PROPERTY_MOE}, \
        {.name = mlp "experts.%d." up ".weight", .part = {W_EXPERT_IN}, .when = PROPERTY_MOE},     \
    {                                                                                              \
        .name = mlp "experts.%d." down ".weight", .part = {W_EXPERT_OUT}, .when = PROPERTY_MOE     \
    }
#define DENSE                                                                     \
    {.name = L "mlp.gate_proj.weight", .part = {W_GATE}, .when = PROPERTY_DENSE}, \
        {.name = L "mlp.up_proj.weight", .part = {W_IN}, .when = PROPERTY_DENSE}, \
    {                                                                             \
        .name = L "mlp.down_proj.weight", .part = {W_OUT}, .when = PROPERTY_DENSE \
    }
#define TENSORS                                                                   \
    {.name = "embed_tokens.weight", .part = {W_E}}, TENSOR_NORM("input_", W_LN1), \
        TENSORS_ATTN(PROPERTY_ATTN_BIAS), TENSOR_NORM("post_attention_", W_LN2),  \
        {.name = "norm.weight", .part = {W_LNF}}, TENSOR_HEAD,                    \
    {                                                                             \
        .name = NULL                                                              \
    }

static const struct arch_tensor mixtral_tensors[] = {
    EXPERTS(L "block_sparse_moe.", "w1", "w3", "w2"),
    TENSORS,
};
static const struct arch_tensor qwen3_tensors[] = {
    TENSORS_QK_NORM,
    EXPERTS(L "mlp.", "gate_proj", "up_proj", "down_proj"),
    DENSE,
    TENSORS,
};
static const struct arch_tensor olmoe_tensors[] = {
    TENSORS_QK_NORM_JOINED,
    EXPERTS(L "mlp.", "gate_proj", "up_proj", "down_proj"),
    TENSORS,
};

#undef L
#define L "model.layers.%d."

#define ROUTED \
    "it runs once for each expert with the rows that go to it · use mlp.experts.N.hook_gate"

static const struct alias_row names[] = {
    NAMES_EMBED("model."),
    NAMES_ROTARY("model."),
    HF(L "input", RESID_PRE),
    HF(L "input_layernorm.input", LN1_IN),
    HF(L "input_layernorm.output", LN1_OUT),
    HF(L "self_attn.input", LN1_OUT),
    NAMES_HEADS(L),
    NAMES_QK_NORM(L, Q, Q_NORMED, K, K_NORMED),
    NAMES_ATTN_OUT(L, ATTN_OUT, ATTN_TUPLE),
    HF(L "post_attention_layernorm.input", MLP_IN),
    HF(L "post_attention_layernorm.output", LN2_OUT),
    HF(L "mlp.input", LN2_OUT),
    HF_IF(L "mlp.gate.input", MIXTURE_IN, MOE),
    HF_IF(L "mlp.gate.output.0", ROUTER_LOGITS_COPY, MOE),
    HF_IF(L "mlp.gate.output.1", ROUTER_SCORES, MOE),
    HF_IF(L "mlp.gate.output.2", EXPERT_INDICES, MOE),
    HF_IF(L "mlp.experts.input", MIXTURE_IN, MOE),
    NO(L "mlp.experts.act_fn.input", ROUTED),
    NO(L "mlp.experts.act_fn.output", ROUTED),
    HF_IF(L "mlp.gate_proj.input", GATE_IN, DENSE),
    HF_IF(L "mlp.up_proj.input", UP_IN, DENSE),
    HF_IF(L "mlp.gate_proj.output", PRE, DENSE),
    HF_IF(L "mlp.act_fn.input", PRE, DENSE),
    HF_IF(L "mlp.up_proj.output", PRE_LINEAR, DENSE),
    HF_IF(L "mlp.act_fn.output", ACT_OUT, DENSE),
    HF_IF(L "mlp.down_proj.input", POST, DENSE),
    HF_IF(L "mlp.experts.output", MLP_OUT, MOE),
    HF(L "mlp.output", MLP_OUT),
    HF_IF(L "mlp.down_proj.output", MLP_OUT, DENSE),
    NAMES_LAYER_OUT(L),
    NAMES_END("model."),
};

/* The library's converter reads modules of before transformers 5. */
static const char modules_of_before[] =
    "    for block in hf.model.layers:\n"
    "        at, mixture = types.SimpleNamespace, block.mlp.experts\n"
    "        parts = [(*gate_up.chunk(2), down) for gate_up, down in zip(mixture.gate_up_proj, mixture.down_proj)]\n"
    "        experts = [at(w1=at(weight=gate), w3=at(weight=up), w2=at(weight=down)) for gate, up, down in parts]\n"
    "        block.block_sparse_moe = at(gate=block.mlp.gate, experts=experts)\n";

/* Further properties may follow. */
#define ARCH_MOE(name, type, class, key_table, tensor_table, ...)                                  \
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
        .lens = LENS_OF_##name,                                                                    \
    }

#define LENS_OF_arch_mixtral                                                               \
    {                                                                                      \
        .convert = "convert_mixtral_weights", .grouped = true, .before = modules_of_before \
    }
#define LENS_OF_arch_qwen3_moe \
    {                          \
        .grouped = true        \
    }
#define LENS_OF_arch_olmoe                                  \
    {                                                       \
        .convert = "convert_olmoe_weights", .grouped = true \
    }
ARCH_MOE(arch_mixtral, "mixtral", "MixtralForCausalLM", mixtral_keys, mixtral_tensors,
         .share_top = true, .prepend_bos = true);
ARCH_MOE(arch_qwen3_moe, "qwen3_moe", "Qwen3MoeForCausalLM", qwen3_keys, qwen3_tensors,
         .qk_norm = true);
ARCH_MOE(arch_olmoe, "olmoe", "OlmoeForCausalLM", olmoe_keys, olmoe_tensors, .qk_norm = true,
         .qk_norm_joined = true, .prepend_bos = true);
