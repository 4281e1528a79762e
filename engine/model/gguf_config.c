/* gguf_config.c - a GGUF file's keys as the config.json that Hugging Face has for such a model.
 *
 * Where a key says less than config.json (Gemma's query scale, the rotary frequencies of Llama 3),
 * what is missing is taken from the tensors or from what the files' own library computes with. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/checkpoint.h"
#include "model/gguf_parts.h"

enum { KEY_LEN = 96 };

struct making {
    const struct checkpoint *st;
    const struct gguf *g;
    const struct gguf_arch *arch;
    json_t *out;
    char key[KEY_LEN]; /* scratch of key() */
};

/* "llama." and the rest of a key. */
static const char *key(struct making *m, const char *rest)
{
    snprintf(m->key, sizeof m->key, "%s.%s", m->arch->name, rest);
    return m->key;
}

/* Takes value, as it comes from jansson. */
static int put(struct making *m, const char *name, json_t *value, struct err *e)
{
    return json_object_set_new(m->out, name, value)
               ? err_memory(e, "%s, its configuration", gguf_file(m->g))
               : 0;
}

/* The shortest number that is this one in 32 bits: 1e-06 and not 9.99999997e-07. */
static double shortest(double x)
{
    char text[32];
    for (int digits = 1; digits < 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        double y = strtod(text, NULL);
        if ((float)y == (float)x)
            return y;
    }
    return x;
}

/* An integer; of a list by layers the one that all have. */
static int read_int(struct making *m, const char *rest, int64_t *out, struct err *e)
{
    const struct gguf_value *v = gguf_find(m->g, key(m, rest));
    if (!v || !v->list)
        return gguf_int(m->g, m->key, 0, INT32_MAX, out, e);
    int rc = gguf_list(m->g, m->key, GGUF_I32, &v, e);
    if (rc <= 0)
        return rc;
    for (uint64_t i = 0; i < v->n; i++)
        if (gguf_list_i32(v, i) < 0 || gguf_list_i32(v, i) != gguf_list_i32(v, 0))
            return err_set(e, ERR_BAD_INPUT,
                           "%s · key \"%s\" · layers that differ (%d, %d) are not supported",
                           gguf_file(m->g), m->key, gguf_list_i32(v, 0), gguf_list_i32(v, i));
    if (!v->n)
        return 0;
    *out = gguf_list_i32(v, 0);
    return 1;
}

enum kind { INTEGER, NUMBER, FLAG };

/* Keys that config.json has under one or another name. */
static const struct {
    const char *from, *to[2];
    enum kind kind;
} rows[] = {
    {"block_count", {"num_hidden_layers"}, INTEGER},
    {"context_length", {"max_position_embeddings"}, INTEGER},
    {"embedding_length", {"hidden_size"}, INTEGER},
    {"feed_forward_length", {"intermediate_size", "n_inner"}, INTEGER},
    {"expert_count", {"num_local_experts"}, INTEGER},
    {"expert_used_count", {"num_experts_per_tok"}, INTEGER},
    {"expert_feed_forward_length", {"moe_intermediate_size"}, INTEGER},
    {"attention.head_count", {"num_attention_heads"}, INTEGER},
    {"attention.head_count_kv", {"num_key_value_heads"}, INTEGER},
    {"attention.key_length", {"head_dim"}, INTEGER},
    {"attention.layer_norm_rms_epsilon", {"rms_norm_eps"}, NUMBER},
    {"attention.layer_norm_epsilon", {"layer_norm_eps", "layer_norm_epsilon"}, NUMBER},
    {"attention.sliding_window", {"sliding_window"}, INTEGER},
    {"rope.freq_base", {"rope_theta"}, NUMBER},
    {"attn_logit_softcapping", {"attn_logit_softcapping"}, NUMBER},
    {"final_logit_softcapping", {"final_logit_softcapping"}, NUMBER},
    {"attention.clamp_kqv", {"clip_qkv"}, NUMBER},
    {"use_parallel_residual", {"use_parallel_residual"}, FLAG},
};

static int put_row(struct making *m, size_t i, struct err *e)
{
    int64_t n = 0;
    double x = 0;
    bool b = false;
    int rc = 0;
    switch (rows[i].kind) {
    case INTEGER: rc = read_int(m, rows[i].from, &n, e); break;
    case NUMBER: rc = gguf_number(m->g, key(m, rows[i].from), &x, e); break;
    case FLAG: rc = gguf_bool(m->g, key(m, rows[i].from), &b, e); break;
    }
    if (rc <= 0)
        return rc;
    for (int k = 0; k < 2 && rows[i].to[k]; k++) {
        json_t *value = rows[i].kind == INTEGER  ? json_integer(n)
                        : rows[i].kind == NUMBER ? json_real(shortest(x))
                                                 : json_boolean(b);
        if ((rc = put(m, rows[i].to[k], value, e)) < 0)
            return rc;
    }
    return 0;
}

/* Keys that change what a model computes and have no place in config.json here. */
static int refuse_unknown(struct making *m, struct err *e)
{
    static const struct {
        const char *key;
        double plain; /* a value that changes nothing, as 0 does */
    } unread[] = {
        {"attention.scale", 0},     {"attention.clamp_kqv", 0}, {"attention.max_alibi_bias", 0},
        {"logit_scale", 0},         {"residual_scale", 0},      {"embedding_scale", 0},
        {"expert_shared_count", 0}, {"expert_gating_func", 1},  {"expert_weights_scale", 1},
    };
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++) {
        double x = 0;
        int rc = gguf_number(m->g, key(m, unread[i].key), &x, e);
        if (rc < 0)
            return rc;
        bool read = m->arch->clips && !strcmp(unread[i].key, "attention.clamp_kqv");
        if (rc && x != 0 && x != unread[i].plain && !read)
            return err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · is %g, which is not supported",
                           gguf_file(m->g), m->key, x);
    }
    bool causal = true;
    int rc = gguf_bool(m->g, key(m, "attention.causal"), &causal, e);
    if (rc >= 0 && !causal && !m->arch->encoder)
        rc = err_set(e, ERR_BAD_INPUT,
                     "%s · key \"%s\" · is false; attention that looks both ways is not supported "
                     "for this family",
                     gguf_file(m->g), m->key);
    return rc < 0 ? rc : 0;
}

static int64_t member(const struct making *m, const char *name)
{
    return json_integer_value(json_object_get(m->out, name));
}

static bool has(const struct making *m, const char *tensor)
{
    return checkpoint_find(m->st, tensor) != NULL;
}

/* ---- rotary positions ---- */

/* Head size, which share of it is rotated, and what scores are divided by the root of. */
static int put_head(struct making *m, struct err *e)
{
    int64_t heads = member(m, "num_attention_heads"), d_head = member(m, "head_dim"), n_rot = 0,
            values = 0;
    int rc = read_int(m, "rope.dimension_count", &n_rot, e);
    if (rc < 0 || (rc = read_int(m, "attention.value_length", &values, e)) < 0)
        return rc;
    if (values && d_head && values != d_head)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · keys of %jd and values of %jd elements are not supported",
                       gguf_file(m->g), (intmax_t)d_head, (intmax_t)values);
    int64_t even = heads && member(m, "hidden_size") % heads == 0 ? member(m, "hidden_size") / heads
                                                                  : 0;
    d_head = d_head ? d_head : even;
    bool wide = m->arch->wide_layers && member(m, "num_hidden_layers") == m->arch->wide_layers;
    if (d_head && (rc = put(m, "query_pre_attn_scalar", json_integer(wide ? even : d_head), e)))
        return rc;
    if (!n_rot || !d_head)
        return 0;
    double share = (double)n_rot / (double)d_head;
    while ((int64_t)(share * (double)d_head) < n_rot)
        share = nextafter(share, 2);
    return put(m, "partial_rotary_factor", json_real(share), e);
}

/* Factors by which the frequencies are divided, from a tensor of n_rot / 2; NULL: no such tensor.
 */
static const struct st_tensor *factors(const struct making *m, const char *name)
{
    const struct st_tensor *t = checkpoint_find(m->st, name);
    return t && t->dtype == ST_F32 && t->rank == 1 ? t : NULL;
}

/* Is this Llama 3's scaling with its usual bounds (low 1, high 4 of 8192 positions), whose factor
 * is that of the slowest frequency? */
static bool is_llama3(const struct making *m, const struct st_tensor *t, double *factor)
{
    enum { POSITIONS = 8192, HIGH = 4 };
    const float *have = t->data;
    int64_t half = t->shape[0];
    double theta = json_number_value(json_object_get(m->out, "rope_theta"));
    *factor = 1;
    for (int64_t i = 0; i < half; i++)
        *factor = fmax(*factor, (double)have[i]);
    for (int64_t i = 0; i < half; i++) {
        double wave = 2 * M_PI * pow(theta, (double)i / (double)half),
               smooth = (POSITIONS / wave - 1) / (HIGH - 1),
               want = wave > POSITIONS          ? *factor
                      : wave < POSITIONS / HIGH ? 1
                                                : 1 / ((1 - smooth) / *factor + smooth);
        if (!(fabs((double)have[i] - want) <= 1e-4 * want))
            return false;
    }
    return true;
}

static json_t *numbers(const struct st_tensor *t)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < t->shape[0]; i++)
        json_array_append_new(list, json_real((double)((const float *)t->data)[i]));
    return list;
}

/* One tensor of factors, for prompts of any length. */
static json_t *one_table(const struct making *m, const struct st_tensor *t)
{
    double factor;
    if (is_llama3(m, t, &factor))
        return json_pack("{s:s,s:f,s:f,s:f,s:i}", "rope_type", "llama3", "factor", factor,
                         "low_freq_factor", 1.0, "high_freq_factor", 4.0,
                         "original_max_position_embeddings", 8192);
    return json_pack("{s:s,s:o,s:o,s:f}", "rope_type", "longrope", "short_factor", numbers(t),
                     "long_factor", numbers(t), "attention_factor", 1.0);
}

/* A scaling that its keys say. */
static json_t *by_keys(struct making *m, struct err *e)
{
    const char *type = "";
    size_t len = 0;
    double factor = 0;
    int rc = gguf_string(m->g, key(m, "rope.scaling.type"), &type, &len, e);
    if (rc < 0 || (rc = gguf_number(m->g, key(m, "rope.scaling.factor"), &factor, e)) < 0 ||
        (!rc && gguf_number(m->g, key(m, "rope.scale_linear"), &factor, e) < 0))
        return NULL;
    if ((len == 0 && (factor == 0 || factor == 1)) || (len == 4 && memcmp(type, "none", 4) == 0))
        return json_null();
    json_t *name = len ? json_stringn(type, len) : json_string("linear");
    if (!name)
        err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · is not UTF-8", gguf_file(m->g),
                key(m, "rope.scaling.type"));
    return name ? json_pack("{s:o,s:f}", "rope_type", name, "factor", shortest(factor)) : NULL;
}

static int put_rope(struct making *m, struct err *e)
{
    const struct st_tensor *freqs = factors(m, "rope_freqs.weight"),
                           *brief = factors(m, "rope_factors_short.weight"),
                           *lengthy = factors(m, "rope_factors_long.weight");
    int64_t context = 0;
    int rc = read_int(m, "rope.scaling.original_context_length", &context, e);
    if (rc < 0)
        return rc;
    json_t *rope = freqs ? one_table(m, freqs)
                   : brief && lengthy
                       ? json_pack("{s:s,s:o,s:o}", "rope_type", "longrope", "short_factor",
                                   numbers(brief), "long_factor", numbers(lengthy))
                       : by_keys(m, e);
    if (!rope)
        return freqs || lengthy ? err_memory(e, "%s, its configuration", gguf_file(m->g))
                                : err_code(e);
    if (context && json_is_object(rope) && !freqs)
        json_object_set_new(rope, "original_max_position_embeddings", json_integer(context));
    json_t *always = json_object_get(m->out, "rope_scaling");
    if (json_is_object(rope) && always)
        json_object_update_missing(rope, always);
    return put(m, "rope_scaling", rope, e);
}

/* ---- the whole ---- */

/* Falcon's norms beside each other, and its later layout; StableLM's norms of heads. */
static int put_norms(struct making *m, struct err *e)
{
    bool two = has(m, "blk.0.attn_norm_2.weight");
    int rc = put(m, "num_ln_in_parallel_attn", json_integer(two ? 2 : 1), e);
    if (!rc)
        rc = put(m, "qk_layernorm", json_boolean(has(m, "blk.0.attn_q_norm.weight")), e);
    return rc ? rc
              : put(m, "new_decoder_architecture",
                    json_boolean(two || member(m, "num_key_value_heads") > 1), e);
}

/* Which layers have a window: of so many the last has none, or each by itself. */
static int put_windows(struct making *m, struct err *e)
{
    static const char name[] = "attention.sliding_window_pattern";
    const struct gguf_value *v = gguf_find(m->g, key(m, name));
    int64_t pattern = 0;
    if (!v || !v->list || v->type != GGUF_BOOL) {
        int rc = read_int(m, name, &pattern, e);
        return rc > 0 ? put(m, "sliding_window_pattern", json_integer(pattern), e) : rc;
    }
    json_t *list = json_array();
    for (uint64_t i = 0; i < v->n && i <= LIMIT_LAYERS; i++)
        json_array_append_new(
            list, json_string(gguf_list_bool(v, i) ? "sliding_attention" : "full_attention"));
    return put(m, "layer_types", list, e);
}

/* Layers without a router. */
static int put_dense(struct making *m, struct err *e)
{
    json_t *list = json_array();
    for (int64_t l = 0; l < member(m, "num_hidden_layers") && l < LIMIT_LAYERS; l++) {
        char name[KEY_LEN];
        snprintf(name, sizeof name, "blk.%d.ffn_gate_inp.weight", (int)l);
        if (!has(m, name))
            json_array_append_new(list, json_integer(l));
    }
    return put(m, "mlp_only_layers", list, e);
}

/* What no key says: sizes of tensors, and whether they are there. */
static int put_tensors(struct making *m, struct err *e)
{
    const struct st_tensor *embed = checkpoint_find(m->st, "token_embd.weight");
    const struct gguf_value *tokens = gguf_find(m->g, "tokenizer.ggml.tokens");
    int64_t said = 0;
    int rc = read_int(m, "vocab_size", &said, e);
    if (rc < 0)
        return rc;
    int64_t vocab = embed && embed->rank == 2         ? embed->shape[0]
                    : tokens && tokens->n < INT32_MAX ? (int64_t)tokens->n
                                                      : said;
    rc = vocab ? put(m, "vocab_size", json_integer(vocab), e) : 0;
    if (!rc)
        rc = put(m, "tie_word_embeddings", json_boolean(embed && !has(m, "output.weight")), e);
    if (!rc)
        rc = put(m, "attention_bias",
                 json_boolean(has(m, "blk.0.attn_q.bias") || has(m, "blk.0.attn_qkv.bias") ||
                              has(m, "blk.0.attn_output.bias")),
                 e);
    const struct st_tensor *types = checkpoint_find(m->st, "token_types.weight");
    if (!rc && types && types->rank == 2)
        rc = put(m, "type_vocab_size", json_integer(types->shape[0]), e);
    if (!rc && member(m, "num_local_experts"))
        rc = put_dense(m, e);
    if (!rc)
        rc = put(m, "mlp_bias", json_boolean(has(m, "blk.0.ffn_up.bias")), e);
    return rc ? rc : put_norms(m, e);
}

static int put_tokens(struct making *m, struct err *e)
{
    static const char *const names[][2] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                           {"tokenizer.ggml.eos_token_id", "eos_token_id"}};
    int rc = 0;
    for (int i = 0; i < 2 && rc >= 0; i++) {
        int64_t id;
        rc = gguf_int(m->g, names[i][0], 0, UINT32_MAX, &id, e);
        if (rc > 0 && id <= INT32_MAX)
            rc = put(m, names[i][1], json_integer(id), e);
    }
    return rc < 0 ? rc : 0;
}

/* model_type, and what always comes with it. */
static int put_family(struct making *m, struct err *e)
{
    bool window = gguf_find(m->g, key(m, "attention.sliding_window")) != NULL;
    int64_t experts = 0;
    if (read_int(m, "expert_count", &experts, e) < 0)
        return err_code(e);
    const char *type = experts && m->arch->mixture   ? m->arch->mixture
                       : window && m->arch->windowed ? m->arch->windowed
                                                     : m->arch->model_type;
    int rc = put(m, "model_type", json_string(type), e);
    json_t *more = !rc && m->arch->more ? json_loads(m->arch->more, 0, NULL) : NULL;
    if (more && json_object_update(m->out, more))
        rc = err_memory(e, "%s, its configuration", gguf_file(m->g));
    json_decref(more);
    return rc;
}

struct js_doc *gguf_config(const struct checkpoint *st, struct err *e)
{
    struct making m = {.st = st, .g = checkpoint_gguf(st)};
    m.arch = gguf_arch_of(m.g, e);
    if (!m.arch)
        return NULL;
    m.out = json_object();
    int rc = put_family(&m, e);
    for (size_t i = 0; i < sizeof rows / sizeof *rows && !rc; i++)
        rc = put_row(&m, i, e);
    if (!rc && !(rc = refuse_unknown(&m, e)) && !(rc = put_windows(&m, e)) &&
        !(rc = put_head(&m, e)) && !(rc = put_rope(&m, e)) && !(rc = put_tensors(&m, e)))
        rc = put_tokens(&m, e);
    if (!rc)
        return js_take(gguf_file(m.g), m.out, e);
    json_decref(m.out);
    return NULL;
}
