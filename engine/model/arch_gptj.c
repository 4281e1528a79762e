/* arch_gptj.c - GPT-J and CodeGen: attention and MLP are parallel and read one LayerNorm,
 * neighbouring elements of each head are rotated together, attention has no biases.  CodeGen has
 * queries, values and keys in one tensor, in four shards of the machines that trained it. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)
enum { SHARDS = 4 };

static const struct arch_key keys[] = {
    {"n_layer|num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"n_head|num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"n_embd|hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"n_inner", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, 0}, /* 0: four times as wide */
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"n_positions|max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 2048},
    {"layer_norm_epsilon", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"activation_function", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"rotary_dim", KEY_INT, AT(n_rot), 2, LIMIT_D_HEAD, 64},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 0},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

/* No head lies in two shards. */
static int codegen_settle(struct config *cfg, struct js_node root, struct err *e)
{
    if (cfg->n_heads % SHARDS == 0)
        return 0;
    return err_set(e, ERR_BAD_INPUT, "%s · %d attention heads · expected a multiple of %d",
                   js_name(root.doc), cfg->n_heads, SHARDS);
}

#define ATTN "h.%d.attn."
#define MLP "h.%d.mlp."

#define TENSORS                                                                                   \
    {.name = "wte.weight", .part = {W_E}}, {.name = "h.%d.ln_1.weight", .part = {W_LN1}},         \
        {.name = "h.%d.ln_1.bias", .part = {B_LN1}},                                              \
        {.name = ATTN "out_proj.weight", .part = {W_O}},                                          \
        {.name = MLP "fc_in.weight", .part = {W_IN}}, {.name = MLP "fc_in.bias", .part = {B_IN}}, \
        {.name = MLP "fc_out.weight", .part = {W_OUT}},                                           \
        {.name = MLP "fc_out.bias", .part = {B_OUT}}, {.name = "ln_f.weight", .part = {W_LNF}},   \
        {.name = "ln_f.bias", .part = {B_LNF}},                                                   \
        {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},         \
        {.name = "lm_head.bias", .part = {B_U}, .bare = true},                                    \
    {                                                                                             \
        .name = NULL                                                                              \
    }

static const struct arch_tensor gptj_tensors[] = {
    {.name = ATTN "q_proj.weight", .part = {W_Q}},
    {.name = ATTN "k_proj.weight", .part = {W_K}},
    {.name = ATTN "v_proj.weight", .part = {W_V}},
    TENSORS,
};

static const struct arch_tensor codegen_tensors[] = {
    {.name = ATTN "qkv_proj.weight",
     .part = {W_Q, W_V, W_K},
     .groups = DIM_SHARD,
     .axis = "shard*qvk*d_model/4"},
    TENSORS,
};

#define L "transformer.h.%d."
#define HALF_TABLES \
    "sines and cosines, one column for both elements of a pair · use rotary_emb.hook_sin, rotary_emb.hook_cos"

#define NAMES_BEFORE                                                                  \
    HF("transformer.wte.input", TOKENS), HF("transformer.wte.output", EMBED),         \
        HF("transformer.drop.input", EMBED), HF("transformer.drop.output", EMBED),    \
        HF("transformer.rotary_emb.input", ROTARY_IN),                                \
        NO("transformer.rotary_emb.output", HALF_TABLES),                             \
        NO("transformer.rotary_emb.output.0", HALF_TABLES),                           \
        NO("transformer.rotary_emb.output.1", HALF_TABLES), HF(L "input", RESID_PRE), \
        HF(L "ln_1.input", NORM_IN), HF(L "ln_1.output", NORM_OUT), HF(L "attn.input", LN1_OUT)
#define NAMES_ATTN                                                                          \
    HF(L "attn.out_proj.input", Z_FLAT), HF(L "attn.output.0", ATTN_OUT),                   \
        HF(L "attn.out_proj.output", ATTN_OUT), HF(L "attn.resid_dropout.input", ATTN_OUT), \
        HF(L "attn.resid_dropout.output", ATTN_OUT),                                        \
        HF_SECOND(L "attn.output", ATTN_TUPLE, TUPLE), HF(L "attn.output.1", PATTERN_COPY)
#define NAMES_MLP                                                                                 \
    HF(L "mlp.input", LN2_OUT), HF(L "mlp.fc_in.input", LN2_OUT), HF(L "mlp.fc_in.output", PRE),  \
        HF(L "mlp.act.input", PRE), HF(L "mlp.act.output", POST), HF(L "mlp.fc_out.input", POST), \
        HF(L "mlp.output", MLP_OUT), HF(L "mlp.fc_out.output", MLP_OUT),                          \
        HF(L "mlp.dropout.input", MLP_OUT), HF(L "mlp.dropout.output", MLP_OUT),                  \
        HF(L "output", RESID_POST), HF_SECOND(L "output.0", RESID_POST, OLD_TUPLE)
#define NAMES_AFTER                                                                      \
    HF("transformer.ln_f.input", RESID_LAST), HF("transformer.ln_f.output", UNEMBED_IN), \
        NAMES_HEAD("transformer.")
#define SHARDED \
    "queries, values and keys lie in four shards there · use attn.hook_q, attn.hook_k, attn.hook_v"

static const struct alias_row gptj_names[] = {
    NAMES_BEFORE,
    HF(L "attn.q_proj.input", Q_IN),
    HF(L "attn.k_proj.input", K_IN),
    HF(L "attn.v_proj.input", V_IN),
    HF(L "attn.q_proj.output", Q_FLAT),
    HF(L "attn.k_proj.output", K_FLAT),
    HF(L "attn.v_proj.output", V_FLAT),
    TAKER_IN_SHARED,
    NAMES_ATTN,
    TAKER_ATTN,
    NAMES_MLP,
    TAKER_OUT,
    NAMES_AFTER,
};

static const struct alias_row codegen_names[] = {
    NAMES_BEFORE,
    HF(L "attn.qkv_proj.input", LN1_OUT),
    NO(L "attn.qkv_proj.output", SHARDED),
    NAMES_ATTN,
    NAMES_MLP,
    NAMES_AFTER,
};

/* CodeGen's modules as GPT-J's. */
#define APART                                                                                \
    "    for block in hf.transformer.h:  # the converter wants q, k and v apart\n"           \
    "        shards = block.attn.qkv_proj.weight.unflatten(0, (4, 3, -1)).transpose(0, 1)\n" \
    "        for name, weight in zip(\"qvk\", shards.flatten(1, 2)):\n"                      \
    "            block.attn.add_module(name + \"_proj\", torch.nn.Linear(1, 1))\n"           \
    "            getattr(block.attn, name + \"_proj\").weight = torch.nn.Parameter(weight)\n"

#define ARCH_LIKE(name_, type, class, settle_, tensors_, names_, ...) \
    extern const struct arch name_;                                   \
    const struct arch name_ = {                                       \
        .model_type = type,                                           \
        .class_name = class,                                          \
        .prefix = "transformer.",                                     \
        .base = {.pos = POS_ROTARY,                                   \
                 .rope = {.theta = 10000},                            \
                 .rotary_share = 1,                                   \
                 .rope_pairs = true,                                  \
                 .norm_center = true,                                 \
                 .parallel = true,                                    \
                 .norm_shared = true,                                 \
                 .mlp_bias = true,                                    \
                 .prepend_bos = true},                                \
        .keys = keys,                                                 \
        .must = must,                                                 \
        .settle = settle_,                                            \
        .tensors = tensors_,                                          \
        .names = names_,                                              \
        .lens = {.convert = "convert_gptj_weights", __VA_ARGS__},     \
    }

ARCH_LIKE(arch_gptj, "gptj", "GPTJForCausalLM", NULL, gptj_tensors, gptj_names, .before = NULL);
ARCH_LIKE(arch_codegen, "codegen", "CodeGenForCausalLM", codegen_settle, codegen_tensors,
          codegen_names, .before = APART);
