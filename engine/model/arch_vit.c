/* arch_vit.c - ViT and DeiT: encoders of images, whose rows are a class token and the image's
 * patches; between them DeiT has the token that it was distilled with.
 *
 * The class head reads the first row.  Files hold the parameters under the names that modules had
 * in transformers 4.  DeiT with its teacher's head beside the class head is refused: what it
 * answers is the mean of two rows, each through a head of its own. */
#include "base/json.h"
#include "model/arch.h"
#include "model/arch_rows.h"

#include <string.h>

#define AT(field) offsetof(struct config, field)
static const struct arch_key keys[] = {
    {"num_hidden_layers", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, 12},
    {"num_attention_heads", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, 12},
    {"hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, 768},
    {"intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP, 3072},
    {"image_size", KEY_INT, AT(image_size), 1, LIMIT_IMAGE_SIDE, 224},
    {"patch_size", KEY_INT, AT(patch_size), 1, LIMIT_IMAGE_SIDE, 16},
    {"num_channels", KEY_INT, AT(n_channels), 1, LIMIT_CHANNELS, 3},
    {"id2label", KEY_COUNT, AT(d_vocab), 1, LIMIT_VOCAB, 2},
    {"layer_norm_eps", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-12},
    {"hidden_act", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU},
    {"qkv_bias", KEY_BOOL, AT(attn_bias), 0, 0, 1},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

#define E "embeddings."
#define L "layers.%d."
#define O "encoder.layer.%d." /* as files have it */
#define Q O "attention.attention."

#define TENSORS                                                                                  \
    {.name = E "patch_embeddings.projection.weight", .part = {W_PATCH}, .form = TENSOR_PATCHES}, \
        {.name = E "patch_embeddings.projection.bias", .part = {B_PATCH}},                       \
        {.name = E "position_embeddings", .part = {W_POS}, .form = TENSOR_ROWS},                 \
        {.name = O "layernorm_before.weight|" L "layernorm_before.weight", .part = {W_LN1}},     \
        {.name = O "layernorm_before.bias|" L "layernorm_before.bias", .part = {B_LN1}},         \
        {.name = Q "query.weight|" L "attention.q_proj.weight", .part = {W_Q}},                  \
        {.name = Q "query.bias|" L "attention.q_proj.bias",                                      \
         .part = {B_Q},                                                                          \
         .when = PROPERTY_ATTN_BIAS},                                                            \
        {.name = Q "key.weight|" L "attention.k_proj.weight", .part = {W_K}},                    \
        {.name = Q "key.bias|" L "attention.k_proj.bias",                                        \
         .part = {B_K},                                                                          \
         .when = PROPERTY_ATTN_BIAS},                                                            \
        {.name = Q "value.weight|" L "attention.v_proj.weight", .part = {W_V}},                  \
        {.name = Q "value.bias|" L "attention.v_proj.bias",                                      \
         .part = {B_V},                                                                          \
         .when = PROPERTY_ATTN_BIAS},                                                            \
        {.name = O "attention.output.dense.weight|" L "attention.o_proj.weight", .part = {W_O}}, \
        {.name = O "attention.output.dense.bias|" L "attention.o_proj.bias", .part = {B_O}},     \
        {.name = O "layernorm_after.weight|" L "layernorm_after.weight", .part = {W_LN2}},       \
        {.name = O "layernorm_after.bias|" L "layernorm_after.bias", .part = {B_LN2}},           \
        {.name = O "intermediate.dense.weight|" L "mlp.fc1.weight", .part = {W_IN}},             \
        {.name = O "intermediate.dense.bias|" L "mlp.fc1.bias", .part = {B_IN}},                 \
        {.name = O "output.dense.weight|" L "mlp.fc2.weight", .part = {W_OUT}},                  \
        {.name = O "output.dense.bias|" L "mlp.fc2.bias", .part = {B_OUT}},                      \
        {.name = "layernorm.weight", .part = {W_LNF}},                                           \
        {.name = "layernorm.bias", .part = {B_LNF}},                                             \
        {.name = "classifier.weight", .part = {W_U}, .bare = true, .when = PROPERTY_HEAD},       \
    {                                                                                            \
        .name = "classifier.bias", .part = {B_U}, .bare = true, .when = PROPERTY_HEAD            \
    }

static const struct arch_tensor vit_tensors[] = {
    {.name = E "cls_token", .part = {W_CLS}, .form = TENSOR_ROWS},
    TENSORS,
    {.name = NULL},
};
static const struct arch_tensor deit_tensors[] = {
    {.name = E "cls_token", .part = {W_CLS}, .form = TENSOR_ROWS, .each = DIM_PREFIX},
    {.name = E "distillation_token",
     .part = {W_CLS},
     .form = TENSOR_ROWS,
     .each = DIM_PREFIX,
     .number = 1},
    TENSORS,
    {.name = NULL},
};

#define PATCH_ROWS "the patches alone, without the class token · hook_embed[1:]"
#define GRID "the product before its pixels are put in rows · hook_embed[1:]"
#define FIRST_ROW(site) "the head reads the class token's row alone there · " site "[0]"
#define TWICE "it runs after attention and after the MLP · hook_attn_out, hook_mlp_out"
#define BOTH(M, now, before, end, means) \
    HF(M L now end, means), HF_SECOND(M O before end, means, NULL)

#define NAMES(M)                                                                                   \
    NO(M E "patch_embeddings.projection.output", GRID),                                            \
        NO(M E "patch_embeddings.output", PATCH_ROWS), HF(M E "dropout.input", RESID_FIRST),       \
        HF(M E "dropout.output", RESID_FIRST), HF(M "embeddings.output", RESID_FIRST),             \
        HF(M L "input", RESID_PRE), HF_SECOND(M O "input", RESID_PRE, NULL),                       \
        BOTH(M, "layernorm_before", "layernorm_before", ".input", LN1_IN),                         \
        BOTH(M, "layernorm_before", "layernorm_before", ".output", LN1_OUT),                       \
        BOTH(M, "attention", "attention", ".input", LN1_OUT),                                      \
        HF_SECOND(M O "attention.attention.input", LN1_OUT, NULL),                                 \
        BOTH(M, "attention.q_proj", "attention.attention.query", ".input", Q_IN),                  \
        BOTH(M, "attention.k_proj", "attention.attention.key", ".input", K_IN),                    \
        BOTH(M, "attention.v_proj", "attention.attention.value", ".input", V_IN),                  \
        BOTH(M, "attention.q_proj", "attention.attention.query", ".output", Q_FLAT),               \
        BOTH(M, "attention.k_proj", "attention.attention.key", ".output", K_FLAT),                 \
        BOTH(M, "attention.v_proj", "attention.attention.value", ".output", V_FLAT),               \
        BOTH(M, "attention.o_proj", "attention.output.dense", ".input", Z_FLAT),                   \
        HF_SECOND(M O "attention.attention.output.0", Z_FLAT, NULL),                               \
        BOTH(M, "attention.o_proj", "attention.output.dense", ".output", ATTN_OUT),                \
        HF(M L "attention.output.0", ATTN_OUT),                                                    \
        HF_SECOND(M O "attention.output.0", ATTN_OUT, NULL),                                       \
        HF(M L "attention.output.1", PATTERN_COPY),                                                \
        HF_SECOND(M O "attention.output.1", PATTERN_COPY, NULL), NO(M L "dropout.input", TWICE),   \
        NO(M L "dropout.output", TWICE),                                                           \
        BOTH(M, "layernorm_after", "layernorm_after", ".input", MLP_IN),                           \
        BOTH(M, "layernorm_after", "layernorm_after", ".output", LN2_OUT),                         \
        HF(M L "mlp.input", LN2_OUT), BOTH(M, "mlp.fc1", "intermediate.dense", ".input", LN2_OUT), \
        HF_SECOND(M O "intermediate.input", LN2_OUT, NULL),                                        \
        BOTH(M, "mlp.fc1", "intermediate.dense", ".output", PRE),                                  \
        BOTH(M, "mlp.activation_fn", "intermediate.intermediate_act_fn", ".input", PRE),           \
        BOTH(M, "mlp.activation_fn", "intermediate.intermediate_act_fn", ".output", POST),         \
        HF_SECOND(M O "intermediate.output", POST, NULL),                                          \
        BOTH(M, "mlp.fc2", "output.dense", ".input", POST),                                        \
        BOTH(M, "mlp.fc2", "output.dense", ".output", MLP_OUT), HF(M L "mlp.output", MLP_OUT),     \
        HF(M L "output", RESID_POST), HF_SECOND(M O "output", RESID_POST, NULL),                   \
        HF_SECOND(M O "output.0", RESID_POST, OLD_TUPLE), HF(M "layernorm.input", RESID_LAST),     \
        HF(M "layernorm.output", UNEMBED_IN), HF(M "output.last_hidden_state", UNEMBED_IN),        \
        NO("classifier.input", FIRST_ROW("unembed.hook_in")),                                      \
        NO("classifier.output", FIRST_ROW("unembed.hook_out")),                                    \
        NO("output.logits", FIRST_ROW("unembed.hook_out")),                                        \
        NO("output", "the model returns a record · unembed.hook_out[0] are its logits"), TAKER_IN, \
        TAKER_ATTN, TAKER_OUT, END

static const struct alias_row vit_names[] = {NAMES("vit.")};
static const struct alias_row deit_names[] = {NAMES("deit.")};

static int deit_settle(struct config *cfg, struct js_node root, struct err *e)
{
    struct js_node name = js_at(js_get(root, "architectures"), 0);
    const char *class;
    (void)cfg;
    int rc = js_string_or(name, "", &class, e);
    if (!rc && !strcmp(class, "DeiTForImageClassificationWithTeacher"))
        rc = js_expected(name, "DeiTForImageClassification (one head; two are not supported)", e);
    return rc;
}

#define ARCH_LIKE(name_, type, class, prefix_, rows, settle_, tensors_, names_) \
    const struct arch name_ = {                                                 \
        .model_type = type,                                                     \
        .class_name = class,                                                    \
        .heads = class,                                                         \
        .prefix = prefix_,                                                      \
        .base = {.pos = POS_LEARNED,                                            \
                 .n_prefix = rows,                                              \
                 .norm_center = true,                                           \
                 .bidirectional = true,                                         \
                 .mlp_bias = true},                                             \
        .keys = keys,                                                           \
        .settle = settle_,                                                      \
        .must = must,                                                           \
        .tensors = tensors_,                                                    \
        .names = names_,                                                        \
    }

extern const struct arch arch_vit, arch_deit;
ARCH_LIKE(arch_vit, "vit", "ViTForImageClassification", "vit.", 1, NULL, vit_tensors, vit_names);
ARCH_LIKE(arch_deit, "deit", "DeiTForImageClassification", "deit.", 2, deit_settle, deit_tensors,
          deit_names);
