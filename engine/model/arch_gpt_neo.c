/* arch_gpt_neo.c - GPT-Neo: learned positions, LayerNorm, scores that are not scaled, a window in
 * every other layer. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"num_layers|num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"num_heads|num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, 0}, /* null: 4 * hidden_size */
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 2048},
    {"window_size", KEY_INT, AT(window), 1, LIMIT_TOKENS, 256},
    {"layer_norm_epsilon", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"activation_function", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU_NEW},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define ATTN "h.%d.attn.attention."
#define MLP "h.%d.mlp."

static const struct arch_tensor tensors[] = {
    {.name = "wte.weight", .part = {W_E}},
    {.name = "wpe.weight", .part = {W_POS}},
    {.name = "h.%d.ln_1.weight", .part = {W_LN1}},
    {.name = "h.%d.ln_1.bias", .part = {B_LN1}},
    {.name = ATTN "q_proj.weight", .part = {W_Q}},
    {.name = ATTN "k_proj.weight", .part = {W_K}},
    {.name = ATTN "v_proj.weight", .part = {W_V}},
    {.name = ATTN "out_proj.weight", .part = {W_O}},
    {.name = ATTN "out_proj.bias", .part = {B_O}},
    {.name = "h.%d.ln_2.weight", .part = {W_LN2}},
    {.name = "h.%d.ln_2.bias", .part = {B_LN2}},
    {.name = MLP "c_fc.weight", .part = {W_IN}},
    {.name = MLP "c_fc.bias", .part = {B_IN}},
    {.name = MLP "c_proj.weight", .part = {W_OUT}},
    {.name = MLP "c_proj.bias", .part = {B_OUT}},
    {.name = "ln_f.weight", .part = {W_LNF}},
    {.name = "ln_f.bias", .part = {B_LNF}},
    {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},
    {.name = NULL},
};

#define H "transformer.h.%d."

static const struct alias_row names[] = {
    NAMES_GPT_EMBED,
    HF(H "input", RESID_PRE),
    HF(H "ln_1.input", LN1_IN),
    TAKER_IN,
    HF(H "ln_1.output", LN1_OUT),
    HF(H "attn.input", LN1_OUT),
    HF(H "attn.attention.input", LN1_OUT),
    HF(H "attn.attention.q_proj.input", Q_IN),
    HF(H "attn.attention.k_proj.input", K_IN),
    HF(H "attn.attention.v_proj.input", V_IN),
    HF(H "attn.attention.q_proj.output", Q_FLAT),
    HF(H "attn.attention.k_proj.output", K_FLAT),
    HF(H "attn.attention.v_proj.output", V_FLAT),
    HF(H "attn.attention.attn_dropout.input", PATTERN),
    HF(H "attn.attention.attn_dropout.output", PATTERN),
    HF(H "attn.attention.out_proj.input", Z_FLAT),
    HF(H "attn.output.0", ATTN_OUT),
    HF(H "attn.attention.output.0", ATTN_OUT),
    HF(H "attn.attention.out_proj.output", ATTN_OUT),
    HF(H "attn.attention.resid_dropout.input", ATTN_OUT),
    HF(H "attn.attention.resid_dropout.output", ATTN_OUT),
    HF_SECOND(H "attn.output", ATTN_TUPLE, TUPLE),
    HF_SECOND(H "attn.attention.output", ATTN_TUPLE, TUPLE),
    HF(H "attn.output.1", PATTERN_COPY),
    HF(H "attn.attention.output.1", PATTERN_COPY),
    HF(H "ln_2.input", MLP_IN),
    TAKER_ATTN,
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
    HF(H "output.0", RESID_POST),
    HF(H "output.1", PATTERN_COPY),
    NO(H "output", "the module returns a tuple · output.0 is the stream"),
    TAKER_OUT,
    HF("transformer.ln_f.input", RESID_LAST),
    HF("transformer.ln_f.output", UNEMBED_IN),
    NAMES_HEAD("transformer."),
};

extern const struct arch arch_gpt_neo;
const struct arch arch_gpt_neo = {
    .model_type = "gpt_neo",
    .class_name = "GPTNeoForCausalLM",
    .prefix = "transformer.",
    .base = {.pos = POS_LEARNED,
             .norm_center = true,
             .prepend_bos = true,
             .query_pre_attn_scalar = 1, /* scores as they are */
             .window_on = true,
             .window_layer0 = 1, /* where no kinds of layers are given: every other one */
             .window_pattern = 2},
    .keys = keys,
    .must = must,
    .tensors = tensors,
    .names = names,
    .closed_attention = true,
    .lens = {.convert = "convert_neo_weights"},
};
