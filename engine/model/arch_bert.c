/* arch_bert.c - BERT and RoBERTa: encoders that normalize the sum of stream and branch.
 *
 * Positions, tokens and token types are added and normalized before the first block; a masked
 * language model has a layer of its own before the tied unembedding.  What else files hold (a
 * pooler, the next-sentence head) is no part of that and is not read.  Files from before
 * transformers 1 call the parameters of norms gamma and beta. */
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)
#define KEYS                                                                   \
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, 12},         \
        {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, 12},     \
        {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, 768},          \
        {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, 3072},       \
        {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},    \
        {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS, 512}, \
        {"type_vocab_size", KEY_INT, AT(n_types), 1, LIMIT_TYPES, 2},          \
        {"layer_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-12},             \
        {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU},                   \
        {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},

static const struct arch_key bert_keys[] = {
    KEYS{"hidden_act", KEY_ACT, AT(head_act), 0, 0, KN_ACT_GELU},
    KEY_END,
};

/* Positions are counted from the one after the padding token's id. */
static const struct arch_key roberta_keys[] = {
    KEYS{"pad_token_id", KEY_INT, AT(pos_pad), 0, LIMIT_TOKENS, 1},
    KEY_END,
};

static const struct arch_must must[] = {
    {"is_decoder", false},
    {"add_cross_attention", false},
    {NULL, false},
};

static const struct arch_word words[] = {
    {"position_embedding_type", "absolute"},
    {NULL, NULL},
};

#define E "embeddings."
#define L "encoder.layer.%d."
#define TENSORS                                                                               \
    {.name = E "word_embeddings.weight", .part = {W_E}},                                      \
        {.name = E "position_embeddings.weight", .part = {W_POS}},                            \
        {.name = E "token_type_embeddings.weight", .part = {W_TYPE}},                         \
        {.name = E "LayerNorm.weight|" E "LayerNorm.gamma", .part = {W_EMBED_LN}},            \
        {.name = E "LayerNorm.bias|" E "LayerNorm.beta", .part = {B_EMBED_LN}},               \
        {.name = L "attention.self.query.weight", .part = {W_Q}},                             \
        {.name = L "attention.self.query.bias", .part = {B_Q}},                               \
        {.name = L "attention.self.key.weight", .part = {W_K}},                               \
        {.name = L "attention.self.key.bias", .part = {B_K}},                                 \
        {.name = L "attention.self.value.weight", .part = {W_V}},                             \
        {.name = L "attention.self.value.bias", .part = {B_V}},                               \
        {.name = L "attention.output.dense.weight", .part = {W_O}},                           \
        {.name = L "attention.output.dense.bias", .part = {B_O}},                             \
        {.name = L "attention.output.LayerNorm.weight|" L "attention.output.LayerNorm.gamma", \
         .part = {W_LN1}},                                                                    \
        {.name = L "attention.output.LayerNorm.bias|" L "attention.output.LayerNorm.beta",    \
         .part = {B_LN1}},                                                                    \
        {.name = L "intermediate.dense.weight", .part = {W_IN}},                              \
        {.name = L "intermediate.dense.bias", .part = {B_IN}},                                \
        {.name = L "output.dense.weight", .part = {W_OUT}},                                   \
        {.name = L "output.dense.bias", .part = {B_OUT}},                                     \
        {.name = L "output.LayerNorm.weight|" L "output.LayerNorm.gamma", .part = {W_LN2}},   \
        {.name = L "output.LayerNorm.bias|" L "output.LayerNorm.beta", .part = {B_LN2}},
#define HEAD(name_, part_)                                                      \
    {                                                                           \
        .name = name_, .part = {part_}, .bare = true, .when = PROPERTY_MLM_HEAD \
    }
#define UNEMBED(name_)                                                      \
    {                                                                       \
        .name = name_, .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED \
    }
#define P "cls.predictions."

static const struct arch_tensor bert_tensors[] = {
    TENSORS HEAD(P "transform.dense.weight", W_MLM),
    HEAD(P "transform.dense.bias", B_MLM),
    HEAD(P "transform.LayerNorm.weight|" P "transform.LayerNorm.gamma", W_MLM_LN),
    HEAD(P "transform.LayerNorm.bias|" P "transform.LayerNorm.beta", B_MLM_LN),
    UNEMBED(P "decoder.weight"),
    HEAD(P "decoder.bias|" P "bias", B_U),
    {.name = NULL},
};

static const struct arch_tensor roberta_tensors[] = {
    TENSORS HEAD("lm_head.dense.weight", W_MLM),
    HEAD("lm_head.dense.bias", B_MLM),
    HEAD("lm_head.layer_norm.weight", W_MLM_LN),
    HEAD("lm_head.layer_norm.bias", B_MLM_LN),
    UNEMBED("lm_head.decoder.weight"),
    HEAD("lm_head.decoder.bias|lm_head.bias", B_U),
    {.name = NULL},
};

#define NAMES(M)                                                                                  \
    HF(M E "word_embeddings.input", TOKENS), HF(M E "word_embeddings.output", WORD_EMBED),        \
        NO(M E "token_type_embeddings.input", TYPES),                                             \
        HF(M E "token_type_embeddings.output", TYPE_EMBED),                                       \
        NO(M E "position_embeddings.input", POSITIONS),                                           \
        HF(M E "position_embeddings.output", WORD_POS_EMBED),                                     \
        HF(M E "LayerNorm.input", EMBED_SUM), HF(M E "LayerNorm.output", FULL_EMBED),             \
        HF(M E "dropout.input", FULL_EMBED), HF(M E "dropout.output", FULL_EMBED),                \
        HF(M "embeddings.output", FULL_EMBED), HF(M "encoder.input", FULL_EMBED),                 \
        HF(M L "input", RESID_PRE), HF(M L "attention.input", RESID_PRE),                         \
        HF(M L "attention.self.input", LN1_IN), HF(M L "attention.self.query.input", Q_IN),       \
        HF(M L "attention.self.key.input", K_IN), HF(M L "attention.self.value.input", V_IN),     \
        HF(M L "attention.self.query.output", Q_FLAT),                                            \
        HF(M L "attention.self.key.output", K_FLAT),                                              \
        HF(M L "attention.self.value.output", V_FLAT),                                            \
        HF(M L "attention.self.output.1", PATTERN_COPY),                                          \
        NO(M L "attention.self.dropout.input", DROPPED),                                          \
        NO(M L "attention.self.dropout.output", DROPPED),                                         \
        HF(M L "attention.output.dense.input", Z_FLAT), HF(M L "attention.output.input", Z_FLAT), \
        HF(M L "attention.self.output.0", Z_FLAT),                                                \
        HF(M L "attention.output.dense.output", ATTN_OUT),                                        \
        HF(M L "attention.output.dropout.input", ATTN_OUT),                                       \
        HF(M L "attention.output.dropout.output", ATTN_OUT),                                      \
        HF(M L "attention.output.LayerNorm.input", RESID_MID),                                    \
        HF(M L "attention.output.LayerNorm.output", LN1_OUT),                                     \
        HF(M L "attention.output.output", LN1_OUT), HF(M L "attention.output.0", LN1_OUT),        \
        HF(M L "attention.output.1", PATTERN_COPY), HF(M L "intermediate.dense.input", UP_IN),    \
        HF(M L "intermediate.input", UP_IN), HF(M L "intermediate.dense.output", PRE),            \
        HF(M L "intermediate.intermediate_act_fn.input", PRE),                                    \
        HF(M L "intermediate.intermediate_act_fn.output", POST),                                  \
        HF(M L "intermediate.output", POST), HF(M L "output.dense.input", POST),                  \
        HF(M L "output.input", POST), HF(M L "output.dense.output", MLP_OUT),                     \
        HF(M L "output.dropout.input", MLP_OUT), HF(M L "output.dropout.output", MLP_OUT),        \
        HF(M L "output.LayerNorm.input", RESID_POST), HF(M L "output", NORMALIZED_POST),          \
        HF(M L "output.LayerNorm.output", NORMALIZED_POST),                                       \
        HF(M L "output.output", NORMALIZED_POST),                                                 \
        HF_SECOND(M L "output.0", NORMALIZED_POST, OLD_TUPLE),                                    \
        HF(M "output.last_hidden_state", NORMALIZED_LAST),                                        \
        HF(M "encoder.output.last_hidden_state", NORMALIZED_LAST),                                \
        HF_SECOND(M "input", TOKENS, NULL),                                                       \
        HF_SECOND(M "output", NORMALIZED_LAST, "the last hidden state"),                          \
        HF_SECOND("output.logits", UNEMBED_OUT, NULL),                                            \
        NO("output", "the model returns a record · output.logits are its logits")
#define HF_HEAD(name, means) HF_IF(name, means, MLM_HEAD)
#define TYPES "token types are no hook · the nearest is embed.hook_token_type_embed"

static const struct alias_row bert_names[] = {
    NAMES("bert."),
    HF_HEAD(P "transform.dense.input", NORMALIZED_LAST),
    HF_HEAD(P "transform.input", NORMALIZED_LAST),
    HF_HEAD(P "input", NORMALIZED_LAST),
    HF_HEAD("cls.input", NORMALIZED_LAST),
    HF_HEAD(P "transform.dense.output", MLM_PRE),
    HF_HEAD(P "transform.transform_act_fn.input", MLM_PRE),
    HF_HEAD(P "transform.transform_act_fn.output", MLM_POST),
    HF_HEAD(P "transform.LayerNorm.input", MLM_POST),
    HF_HEAD(P "transform.LayerNorm.output", UNEMBED_IN),
    HF_HEAD(P "transform.output", UNEMBED_IN),
    HF_HEAD(P "decoder.input", UNEMBED_IN),
    HF_HEAD(P "decoder.output", UNEMBED_OUT),
    HF_HEAD(P "output", UNEMBED_OUT),
    HF_HEAD("cls.output", UNEMBED_OUT),
    END,
};

static const struct alias_row roberta_names[] = {
    NAMES("roberta."),
    HF_HEAD("lm_head.dense.input", NORMALIZED_LAST),
    HF_HEAD("lm_head.input", NORMALIZED_LAST),
    HF_HEAD("lm_head.dense.output", MLM_PRE),
    HF_HEAD("lm_head.layer_norm.input", MLM_POST),
    HF_HEAD("lm_head.layer_norm.output", UNEMBED_IN),
    HF_HEAD("lm_head.decoder.input", UNEMBED_IN),
    HF_HEAD("lm_head.decoder.output", UNEMBED_OUT),
    HF_HEAD("lm_head.output", UNEMBED_OUT),
    END,
};

#define ENCODER                                                                               \
    .pos = POS_LEARNED, .norm_place = NORM_RESIDUAL, .norm_center = true, .embed_norm = true, \
    .mlm_head = true, .bidirectional = true, .prepend_bos = true

extern const struct arch arch_bert, arch_roberta;
const struct arch arch_bert = {
    .model_type = "bert",
    .class_name = "BertForMaskedLM",
    .heads = "BertForMaskedLM|BertForPreTraining|BertLMHeadModel",
    .prefix = "bert.",
    .base = {ENCODER},
    .keys = bert_keys,
    .must = must,
    .words = words,
    .tensors = bert_tensors,
    .names = bert_names,
    .lens = {.convert = "convert_bert_weights"},
};
const struct arch arch_roberta = {
    .model_type = "roberta",
    .class_name = "RobertaForMaskedLM",
    .heads = "RobertaForMaskedLM|RobertaForCausalLM",
    .prefix = "roberta.",
    .base = {ENCODER, .head_act = KN_ACT_GELU, .pos_after_pad = true},
    .keys = roberta_keys,
    .must = must,
    .words = words,
    .tensors = roberta_tensors,
    .names = roberta_names,
};
