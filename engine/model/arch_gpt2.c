/* arch_gpt2.c - GPT-2: learned positions, LayerNorm, fused Conv1D projections stored [k,n]. */
#include "names/alias_table.h"
#include "model/arch.h"

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

#define FUSED(id, name, layout, k, part)                            \
    {                                                               \
        id, name, layout, DIM_HEAD, k, FUSE_THIRDS, part, IF_ALWAYS \
    }
#define PLAIN(id, name, layout, n, k)                   \
    {                                                   \
        id, name, layout, n, k, FUSE_NONE, 0, IF_ALWAYS \
    }
static const struct arch_weight weights[] = {
    PLAIN(W_E, "wte.weight", LAYOUT_NK, DIM_D_VOCAB, DIM_D_MODEL),
    PLAIN(W_POS, "wpe.weight", LAYOUT_NK, DIM_POS, DIM_D_MODEL),
    PLAIN(W_LN1, "h.%d.ln_1.weight", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(B_LN1, "h.%d.ln_1.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    FUSED(W_Q, "h.%d.attn.c_attn.weight", LAYOUT_KN, DIM_D_MODEL, 0),
    FUSED(B_Q, "h.%d.attn.c_attn.bias", LAYOUT_VECTOR, DIM_NONE, 0),
    FUSED(W_K, "h.%d.attn.c_attn.weight", LAYOUT_KN, DIM_D_MODEL, 1),
    FUSED(B_K, "h.%d.attn.c_attn.bias", LAYOUT_VECTOR, DIM_NONE, 1),
    FUSED(W_V, "h.%d.attn.c_attn.weight", LAYOUT_KN, DIM_D_MODEL, 2),
    FUSED(B_V, "h.%d.attn.c_attn.bias", LAYOUT_VECTOR, DIM_NONE, 2),
    PLAIN(W_O, "h.%d.attn.c_proj.weight", LAYOUT_KN, DIM_D_MODEL, DIM_HEAD),
    PLAIN(B_O, "h.%d.attn.c_proj.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(W_LN2, "h.%d.ln_2.weight", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(B_LN2, "h.%d.ln_2.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(W_IN, "h.%d.mlp.c_fc.weight", LAYOUT_KN, DIM_D_MLP, DIM_D_MODEL),
    PLAIN(B_IN, "h.%d.mlp.c_fc.bias", LAYOUT_VECTOR, DIM_D_MLP, DIM_NONE),
    PLAIN(W_OUT, "h.%d.mlp.c_proj.weight", LAYOUT_KN, DIM_D_MODEL, DIM_D_MLP),
    PLAIN(B_OUT, "h.%d.mlp.c_proj.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(W_LNF, "ln_f.weight", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    PLAIN(B_LNF, "ln_f.bias", LAYOUT_VECTOR, DIM_D_MODEL, DIM_NONE),
    {W_U, "lm_head.weight", LAYOUT_NK, DIM_D_VOCAB, DIM_D_MODEL, FUSE_NONE, 0, IF_UNTIED},
    {W_NONE, NULL, LAYOUT_VECTOR, DIM_NONE, DIM_NONE, FUSE_NONE, 0, IF_ALWAYS},
};

extern const struct arch arch_gpt2;
const struct arch arch_gpt2 = {
    .model_type = "gpt2",
    .class_name = "GPT2LMHeadModel",
    .prefix = "transformer.",
    .norm_center = true,
    .gated = false,
    .prepend_bos = true,
    .pos = POS_LEARNED,
    .keys = keys,
    .must = must,
    .weights = weights,
    .names = alias_gpt2,
    .lens = {.convert = "convert_gpt2_weights"},
};
