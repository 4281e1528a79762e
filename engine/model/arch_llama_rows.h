/* arch_llama_rows.h - rows of families that are laid out as Llama is: keys of the config, tensors,
 * modules.  P is the path of the layers within Hugging Face's model, "model."; L that of one,
 * "model.layers.%d."  For arch_*.c. */
#ifndef ARCH_LLAMA_ROWS_H
#define ARCH_LLAMA_ROWS_H

#include "model/arch.h"
#include "model/arch_rows.h"

#include <stddef.h>

#define AT(field) offsetof(struct config, field)

#define KEYS_SIZES                                                                   \
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},     \
        {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED}, \
        {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},       \
        {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, KEY_REQUIRED},     \
    {                                                                                \
        "vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED             \
    }

#define ATTN "layers.%d.self_attn."
#define MLP "layers.%d.mlp."

#define TENSORS_QKV(qkv_bias)                                          \
    {.name = ATTN "q_proj.weight", .part = {W_Q}},                     \
        {.name = ATTN "q_proj.bias", .part = {B_Q}, .when = qkv_bias}, \
        {.name = ATTN "k_proj.weight", .part = {W_K}},                 \
        {.name = ATTN "k_proj.bias", .part = {B_K}, .when = qkv_bias}, \
        {.name = ATTN "v_proj.weight", .part = {W_V}},                 \
    {                                                                  \
        .name = ATTN "v_proj.bias", .part = {B_V}, .when = qkv_bias    \
    }
#define TENSORS_ATTN(qkv_bias)                                                \
    TENSORS_QKV(qkv_bias), {.name = ATTN "o_proj.weight", .part = {W_O}},     \
    {                                                                         \
        .name = ATTN "o_proj.bias", .part = {B_O}, .when = PROPERTY_ATTN_BIAS \
    }
#define TENSORS_QK_NORM                                \
    {.name = ATTN "q_norm.weight", .part = {W_QN}},    \
    {                                                  \
        .name = ATTN "k_norm.weight", .part = { W_KN } \
    }
#define TENSORS_QK_NORM_JOINED                             \
    {.name = ATTN "q_norm.weight", .part = {W_QN_ALL}},    \
    {                                                      \
        .name = ATTN "k_norm.weight", .part = { W_KN_ALL } \
    }
#define TENSORS_MLP                                                                  \
    {.name = MLP "gate_proj.weight", .part = {W_GATE}},                              \
        {.name = MLP "gate_proj.bias", .part = {B_GATE}, .when = PROPERTY_MLP_BIAS}, \
        {.name = MLP "up_proj.weight", .part = {W_IN}},                              \
        {.name = MLP "up_proj.bias", .part = {B_IN}, .when = PROPERTY_MLP_BIAS},     \
        {.name = MLP "down_proj.weight", .part = {W_OUT}},                           \
    {                                                                                \
        .name = MLP "down_proj.bias", .part = {B_OUT}, .when = PROPERTY_MLP_BIAS     \
    }
#define TENSOR_NORM(name_, weight)                                        \
    {                                                                     \
        .name = "layers.%d." name_ "layernorm.weight", .part = { weight } \
    }
#define TENSOR_HEAD                                                                    \
    {                                                                                  \
        .name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED \
    }

/* Llama's modules, which other families have under the same names. */
extern const struct alias_row arch_llama_names[];

#define NAMES_EMBED(P) HF(P "embed_tokens.input", TOKENS), HF(P "embed_tokens.output", EMBED)
#define NAMES_ROTARY(P)                                                    \
    HF(P "rotary_emb.input", ROTARY_IN), HF(P "rotary_emb.output.0", COS), \
        HF(P "rotary_emb.output.1", SIN)
/* In no fixed order: nothing says which of two calls is meant. */
#define TWICE \
    "the module runs once for each kind of layer · use rotary_emb.hook_cos, hook_sin, and those of rotary_emb_local for layers with a window"
#define NAMES_ROTARY_TWICE(P)                                                \
    HF(P "rotary_emb.input", ROTARY_IN), NO(P "rotary_emb.output.0", TWICE), \
        NO(P "rotary_emb.output.1", TWICE)
/* the projections of queries, keys and values */
#define NAMES_HEADS(L)                                                                 \
    HF(L "self_attn.q_proj.input", Q_IN), HF(L "self_attn.k_proj.input", K_IN),        \
        HF(L "self_attn.v_proj.input", V_IN), HF(L "self_attn.q_proj.output", Q_FLAT), \
        HF(L "self_attn.k_proj.output", K_FLAT), HF(L "self_attn.v_proj.output", V_FLAT)
/* norms of queries and keys: what those of each head take and give, and those of all together */
#define NAMES_QK_NORM(L, q, q_normed, k, k_normed)                         \
    HF_IF(L "self_attn.q_norm.input", q, QK_NORM_HEADS),                   \
        HF_IF(L "self_attn.q_norm.output", q_normed, QK_NORM_HEADS),       \
        HF_IF(L "self_attn.k_norm.input", k, QK_NORM_HEADS),               \
        HF_IF(L "self_attn.k_norm.output", k_normed, QK_NORM_HEADS),       \
        HF_IF(L "self_attn.q_norm.input", Q_FLAT, QK_NORM_JOINED),         \
        HF_IF(L "self_attn.q_norm.output", Q_NORMED_FLAT, QK_NORM_JOINED), \
        HF_IF(L "self_attn.k_norm.input", K_FLAT, QK_NORM_JOINED),         \
        HF_IF(L "self_attn.k_norm.output", K_NORMED_FLAT, QK_NORM_JOINED)
/* the product of the output, and what attention returns */
#define NAMES_ATTN_OUT(L, means, tuple)                                                        \
    HF(L "self_attn.o_proj.input", Z_FLAT), HF(L "self_attn.output.0", means),                 \
        HF(L "self_attn.o_proj.output", means), HF_SECOND(L "self_attn.output", tuple, TUPLE), \
        HF(L "self_attn.output.1", PATTERN_COPY)
#define NAMES_OLD_ROTARY(L)                                                  \
    HF_SECOND(L "self_attn.rotary_emb.input", OLD_V, OLD_ROTARY),            \
        HF_SECOND(L "self_attn.rotary_emb.output.0", COS_FIRST, OLD_ROTARY), \
        HF_SECOND(L "self_attn.rotary_emb.output.1", SIN_FIRST, OLD_ROTARY), \
        NO(L "self_attn.rotary_emb.output",                                  \
           "a tuple: output[0] are the cosines, output[1] the sines")
/* of a gated MLP that reads `x` */
#define NAMES_MLP(L, x, means)                                                                    \
    HF(L "mlp.input", x), HF(L "mlp.gate_proj.input", GATE_IN), HF(L "mlp.up_proj.input", UP_IN), \
        HF(L "mlp.gate_proj.output", PRE), HF(L "mlp.act_fn.input", PRE),                         \
        HF(L "mlp.up_proj.output", PRE_LINEAR), HF(L "mlp.act_fn.output", ACT_OUT),               \
        HF(L "mlp.down_proj.input", POST), HF(L "mlp.output", means),                             \
        HF(L "mlp.down_proj.output", means)
#define NAMES_LAYER_OUT(L) \
    HF(L "output", RESID_POST), HF_SECOND(L "output.0", RESID_POST, OLD_TUPLE)
#define NAMES_END(P) HF(P "norm.input", RESID_LAST), HF(P "norm.output", UNEMBED_IN), NAMES_HEAD(P)

/* TransformerLens' converters drop these biases. */
#define LENS_BIASES(model)                                                                         \
    "    for layer, block in enumerate(hf." model "layers):  # the converter drops these biases\n" \
    "        part, at = block.self_attn, f\"blocks.{layer}.attn.\"\n"                              \
    "        weights[at + \"b_Q\"] = part.q_proj.bias.detach().view(-1, cfg.d_head)\n"             \
    "        weights[at + \"_b_K\"] = part.k_proj.bias.detach().view(-1, cfg.d_head)\n"            \
    "        weights[at + \"_b_V\"] = part.v_proj.bias.detach().view(-1, cfg.d_head)\n"            \
    "        weights[at + \"b_O\"] = part.o_proj.bias.detach()\n"

#endif
