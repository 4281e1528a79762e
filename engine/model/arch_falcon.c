/* arch_falcon.c - Falcon: attention and MLP are parallel, heads share keys and values, q, k and v
 * lie group by group in one tensor.
 *
 * The first models (7B) have one key/value head and one norm for both branches, the later ones
 * (new_decoder_architecture: 40B, 180B, 11B) several, and a norm for each branch or one for both.
 * falcon-rw has slopes in place of positions (alibi), whose multiples are rounded to bfloat16.
 * They are added once, as in the models' own code and all of Hugging Face's attention functions
 * but the eager one, which adds them twice. */
#include "base/json.h"
#include "model/arch.h"
#include "model/arch_rows.h"

#define AT(field) offsetof(struct config, field)

static const struct arch_key keys[] = {
    {"num_hidden_layers|n_layer", KEY_INT, AT(n_layers), 1, LIMIT_LAYERS, KEY_REQUIRED},
    {"num_attention_heads|n_head", KEY_INT, AT(n_heads), 1, LIMIT_HEADS, KEY_REQUIRED},
    {"n_embed|hidden_size", KEY_INT, AT(d_model), 1, LIMIT_D_MODEL, KEY_REQUIRED},
    {"ffn_hidden_size|intermediate_size", KEY_INT, AT(d_mlp), 1, LIMIT_D_MLP,
     0}, /* 0: four times as wide */
    {"vocab_size", KEY_INT, AT(d_vocab), 1, LIMIT_VOCAB, KEY_REQUIRED},
    {"max_position_embeddings", KEY_INT, AT(n_ctx), 1, LIMIT_TOKENS * 1024.0, 2048},
    {"num_kv_heads|n_head_kv|num_key_value_heads", KEY_INT, AT(n_kv_heads), 1, LIMIT_HEADS, 0},
    {"layer_norm_epsilon", KEY_NUMBER, AT(norm_eps), 0, 1, 1e-5},
    {"activation", KEY_ACT, AT(act), 0, 0, KN_ACT_GELU},
    {"rope_theta|rope_parameters.rope_theta", KEY_NUMBER, AT(rope.theta), 1, 1e12, 10000},
    {"parallel_attn", KEY_BOOL, AT(parallel), 0, 0, 1},
    {"bias|attention_bias", KEY_BOOL, AT(attn_bias), 0, 0, 0},
    {"bias|mlp_bias", KEY_BOOL, AT(mlp_bias), 0, 0, 0},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), 0, 0, 1},
    KEY_END,
};

static const struct arch_must must[] = {{NULL, false}};

/* How many key/value heads and norms there are, which three keys say together; what says the
 * positions. */
static int settle(struct config *cfg, struct js_node root, struct err *e)
{
    bool new, one, slopes;
    int64_t norms = 0;
    int rc = js_bool_or(js_get(root, "new_decoder_architecture"), false, &new, e);
    if (!rc)
        rc = js_bool_or(js_get(root, "multi_query"), true, &one, e);
    if (!rc)
        rc = js_bool_or(js_get(root, "alibi"), false, &slopes, e);
    if (!rc)
        rc = js_int_or(js_get(root, "num_ln_in_parallel_attn"), 1, 2, new ? 2 : 1, &norms, e);
    if (rc)
        return rc;
    if (slopes)
        cfg->pos = POS_ALIBI, cfg->alibi_early = true;
    cfg->parallel |= new;
    cfg->norm_shared = cfg->parallel && (!new || norms == 1);
    if (!new)
        cfg->n_kv_heads = one ? 1 : cfg->n_heads;
    return 0;
}

#define ATTN "h.%d.self_attention."
#define MLP "h.%d.mlp."
#define JOINED "kv_head*qkv*d_head"
#define NORM(name_, weight, bias, has)                                \
    {.name = "h.%d." name_ ".weight", .part = {weight}, .when = has}, \
    {                                                                 \
        .name = "h.%d." name_ ".bias", .part = {bias}, .when = has    \
    }

static const struct arch_tensor tensors[] = {
    {.name = "word_embeddings.weight", .part = {W_E}},
    NORM("input_layernorm", W_LN1, B_LN1, PROPERTY_NORM_FIRST),
    NORM("ln_attn", W_LN1, B_LN1, PROPERTY_NORM_EACH),
    {.name = ATTN "query_key_value.weight",
     .part = {W_Q, W_K, W_V},
     .groups = DIM_KV_HEAD,
     .axis = JOINED},
    {.name = ATTN "query_key_value.bias",
     .part = {B_Q, B_K, B_V},
     .groups = DIM_KV_HEAD,
     .axis = JOINED,
     .when = PROPERTY_ATTN_BIAS},
    {.name = ATTN "dense.weight", .part = {W_O}},
    {.name = ATTN "dense.bias", .part = {B_O}, .when = PROPERTY_ATTN_BIAS},
    NORM("post_attention_layernorm", W_LN2, B_LN2, PROPERTY_SEQUENTIAL),
    NORM("ln_mlp", W_LN2, B_LN2, PROPERTY_NORM_EACH),
    {.name = MLP "dense_h_to_4h.weight", .part = {W_IN}},
    {.name = MLP "dense_h_to_4h.bias", .part = {B_IN}, .when = PROPERTY_MLP_BIAS},
    {.name = MLP "dense_4h_to_h.weight", .part = {W_OUT}},
    {.name = MLP "dense_4h_to_h.bias", .part = {B_OUT}, .when = PROPERTY_MLP_BIAS},
    {.name = "ln_f.weight", .part = {W_LNF}},
    {.name = "ln_f.bias", .part = {B_LNF}},
    {.name = "lm_head.weight", .part = {W_U}, .bare = true, .when = PROPERTY_UNTIED},
    {.name = NULL},
};

#define H "transformer.h.%d."
#define GROUPED \
    "queries, keys and values lie group by group there · use attn.hook_q, attn.hook_k, attn.hook_v"

static const struct alias_row names[] = {
    HF("transformer.word_embeddings.input", TOKENS),
    HF("transformer.word_embeddings.output", EMBED),
    HF_IF("transformer.rotary_emb.input", ROTARY_IN, ROTARY),
    HF_IF("transformer.rotary_emb.output.0", COS, ROTARY),
    HF_IF("transformer.rotary_emb.output.1", SIN, ROTARY),
    HF(H "input", RESID_PRE),
    HF_IF(H "input_layernorm.input", NORM_IN, NORM_SHARED),
    HF_IF(H "input_layernorm.input", LN1_IN, SEQUENTIAL),
    HF_IF(H "ln_attn.input", LN1_IN, NORM_EACH),
    HF_IF(H "input_layernorm.output", NORM_OUT, NORM_SHARED),
    HF_IF(H "input_layernorm.output", LN1_OUT, SEQUENTIAL),
    HF_IF(H "ln_attn.output", LN1_OUT, NORM_EACH),
    HF_IF(H "ln_mlp.input", MLP_IN, NORM_EACH),
    HF_IF(H "ln_mlp.output", LN2_OUT, NORM_EACH),
    HF(H "self_attention.input", LN1_OUT),
    HF(H "self_attention.query_key_value.input", LN1_OUT),
    HF_IF(H "self_attention.query_key_value.output", QKV_THIRDS, KV_ONE),
    HF_IF(H "self_attention.query_key_value.output", QKV_HEADS, KV_EACH),
    NO(H "self_attention.query_key_value.output", GROUPED),
    HF_IF(H "self_attention.attention_dropout.input", PATTERN, ALIBI),
    HF_IF(H "self_attention.attention_dropout.output", PATTERN, ALIBI),
    HF(H "self_attention.dense.input", Z_FLAT),
    HF(H "self_attention.output.0", ATTN_OUT),
    HF(H "self_attention.dense.output", ATTN_OUT),
    HF_SECOND(H "self_attention.output", ATTN_TUPLE, TUPLE),
    HF(H "self_attention.output.1", PATTERN_COPY),
    HF_IF(H "post_attention_layernorm.input", MLP_IN, SEQUENTIAL),
    HF_IF(H "post_attention_layernorm.output", LN2_OUT, SEQUENTIAL),
    HF(H "mlp.input", LN2_OUT),
    HF(H "mlp.dense_h_to_4h.input", LN2_OUT),
    HF(H "mlp.dense_h_to_4h.output", PRE),
    HF(H "mlp.act.input", PRE),
    HF(H "mlp.act.output", POST),
    HF(H "mlp.dense_4h_to_h.input", POST),
    HF(H "mlp.output", MLP_OUT),
    HF(H "mlp.dense_4h_to_h.output", MLP_OUT),
    HF(H "output.0", RESID_POST),
    HF(H "output.1", PATTERN_COPY),
    NO(H "output", "the module returns a tuple · output[0] is the stream"),
    HF("transformer.ln_f.input", RESID_LAST),
    HF("transformer.ln_f.output", UNEMBED_IN),
    NAMES_HEAD("transformer."),
};

extern const struct arch arch_falcon;
const struct arch arch_falcon = {
    .model_type = "falcon",
    .class_name = "FalconForCausalLM",
    .prefix = "transformer.",
    .base = {.pos = POS_ROTARY, .rotary_share = 1, .norm_center = true, .prepend_bos = true},
    .keys = keys,
    .must = must,
    .settle = settle,
    .tensors = tensors,
    .names = names,
    .closed_attention = true,
    .adds_in_place = true,
    .early_norm = ".ln_mlp",
};
