/* arch_gguf.c - families and tensors under the names that GGUF files have for them (gguf_parts.h).
 *
 * Names: gguf-py's constants.py; which tensors are rewritten: llama.cpp's conversion scripts. */
#include "model/gguf_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/limit.h"

#define GEMMA "{\"hidden_activation\": \"gelu_pytorch_tanh\"}"

static const struct gguf_arch archs[] = {
    {.name = "llama",
     .model_type = "llama",
     .windowed = "mistral",
     .mixture = "mixtral",
     .neighbours = true},
    {.name = "qwen2", .model_type = "qwen2"},
    {.name = "qwen3", .model_type = "qwen3"},
    {.name = "qwen3moe", .model_type = "qwen3_moe", .more = "{\"norm_topk_prob\": true}"},
    {.name = "gpt2", .model_type = "gpt2"},
    {.name = "gptneox", .model_type = "gpt_neox"},
    {.name = "bloom", .model_type = "bloom"},
    {.name = "falcon", .model_type = "falcon"},
    {.name = "stablelm", .model_type = "stablelm"},
    {.name = "starcoder", .model_type = "gpt_bigcode"},
    {.name = "starcoder2", .model_type = "starcoder2"},
    {.name = "gemma",
     .model_type = "gemma",
     .more = GEMMA,
     .norm_plus_one = true,
     .by_place = true},
    {.name = "gemma2",
     .model_type = "gemma2",
     .more = GEMMA,
     .wide_layers = 46,
     .norm_plus_one = true,
     .by_place = true},
    {.name = "gemma3",
     .model_type = "gemma3_text",
     .more = GEMMA,
     .wide_layers = 62,
     .norm_plus_one = true,
     .by_place = true},
    {.name = "bert",
     .model_type = "bert",
     .more = "{\"architectures\": [\"BertModel\"]}", /* the head is in no such file */
     .encoder = true},
    {.name = "olmo", .model_type = "olmo", .neighbours = true, .clips = true},
    {.name = "olmo2", .model_type = "olmo2", .windowed = "olmo3"},
    {.name = "olmoe", .model_type = "olmoe", .clips = true},
    {.name = "gpt-oss",
     .model_type = "gpt_oss",
     .more = "{\"rope_scaling\": {\"truncate\": false}}"},
    {.name = "smollm3", .model_type = "smollm3", .neighbours = true},
    {.name = "phi2", .model_type = "phi"},
    {.name = "phi3", .model_type = "phi3"},
};

enum { ARCHS = sizeof archs / sizeof *archs };

const struct gguf_arch *gguf_arch_of(const struct gguf *g, struct err *e)
{
    static const char key[] = "general.architecture";
    const char *name = "";
    size_t len = 0;
    if (gguf_string(g, key, &name, &len, e) < 0)
        return NULL;
    char known[256] = "";
    for (int i = 0; i < ARCHS; i++) {
        if (strlen(archs[i].name) == len && memcmp(archs[i].name, name, len) == 0)
            return &archs[i];
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", archs[i].name);
    }
    err_set(e, ERR_BAD_INPUT, "%s · key \"%s\" · \"%.*s\" is not supported · supported: %s",
            gguf_file(g), key, (int)(len < 60 ? len : 60), name, known);
    return NULL;
}

#define B "blk.%d."
#define ROW(file, ...)                                    \
    {                                                     \
        .name = file, .part = {__VA_ARGS__}, .bare = true \
    }
/* Of all experts, one after the other; in older files, of each of them. */
#define EXPERTS(file, weight, bias)                                                \
    {.name = file "_exps.weight", .part = {weight}, .merged = true, .bare = true}, \
        {.name = file "_exps.bias", .part = {bias}, .merged = true, .bare = true}, \
        ROW(file ".%d.weight", weight)
/* A weight and its bias. */
#define PAIR(file, weight, bias) ROW(file ".weight", weight), ROW(file ".bias", bias)

const struct arch_tensor gguf_tensors[] = {
    ROW("token_embd.weight", W_E),
    ROW("position_embd.weight", W_POS),
    ROW("token_types.weight", W_TYPE),
    PAIR("token_embd_norm", W_EMBED_LN, B_EMBED_LN),
    PAIR(B "attn_norm_2", W_LN1, B_LN1), /* Falcon's, beside attn_norm for the MLP */
    PAIR(B "attn_norm", W_LN1, B_LN1),
    PAIR(B "attn_q", W_Q, B_Q),
    PAIR(B "attn_k", W_K, B_K),
    PAIR(B "attn_v", W_V, B_V),
    ROW(B "attn_qkv.weight", W_Q, W_K, W_V),
    ROW(B "attn_qkv.bias", B_Q, B_K, B_V),
    ROW(B "attn_q_norm.weight", W_QN),
    ROW(B "attn_k_norm.weight", W_KN),
    ROW(B "attn_q_norm.weight", W_QN_ALL),
    ROW(B "attn_k_norm.weight", W_KN_ALL),
    {.name = B "attn_q_norm.weight", .part = {W_QN_ALL}, .each = DIM_HEAD, .bare = true},
    {.name = B "attn_k_norm.weight", .part = {W_KN_ALL}, .each = DIM_KV_HEAD, .bare = true},
    PAIR(B "attn_output", W_O, B_O),
    ROW(B "attn_sinks.weight", B_SINKS),
    PAIR(B "attn_output_norm", W_LN1, B_LN1),
    ROW(B "post_attention_norm.weight", W_LN1_POST),
    PAIR(B "ffn_norm", W_LN2, B_LN2),
    {.name = B "attn_norm.weight", .part = {W_LN2}, .bare = true, .when = PROPERTY_NORM_EACH},
    {.name = B "attn_norm.bias", .part = {B_LN2}, .bare = true, .when = PROPERTY_NORM_EACH},
    PAIR(B "ffn_gate", W_GATE, B_GATE),
    ROW(B "ffn_up.weight", W_GATE, W_IN), /* where there is no ffn_gate */
    PAIR(B "ffn_up", W_IN, B_IN),
    PAIR(B "ffn_down", W_OUT, B_OUT),
    PAIR(B "ffn_gate_inp", W_ROUTER, B_ROUTER),
    EXPERTS(B "ffn_gate", W_EXPERT_GATE, B_EXPERT_GATE),
    EXPERTS(B "ffn_up", W_EXPERT_IN, B_EXPERT_IN),
    EXPERTS(B "ffn_down", W_EXPERT_OUT, B_EXPERT_OUT),
    PAIR(B "layer_output_norm", W_LN2, B_LN2),
    ROW(B "post_ffw_norm.weight", W_LN2_POST),
    /* where there is no attn_norm or ffn_norm: OLMo 2; gpt-oss, whose norm is that of the MLP */
    ROW(B "post_attention_norm.weight", W_LN1),
    ROW(B "post_ffw_norm.weight", W_LN2),
    ROW(B "post_attention_norm.weight", W_LN2),
    PAIR("output_norm", W_LNF, B_LNF),
    PAIR("output", W_U, B_U),
    {.name = NULL},
};
