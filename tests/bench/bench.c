/* bench.c - see bench.h. */
#include "bench.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "model/tensor_write.h"

struct bench_options bench_options;

void bench_take_options(int *argc, char **argv)
{
    struct bench_options *o = &bench_options;
    int kept = 1;
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], "--goals") == 0)
            o->goals = true;
        else if (strcmp(argv[i], "--busy") == 0)
            o->busy = true;
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < *argc)
            o->threads = (int)strtol(argv[++i], NULL, 10); /* kn_open refuses nonsense */
        else
            argv[kept++] = argv[i];
    argv[ *argc = kept] = NULL;
    o->threads = o->busy ? 1 : o->threads ? o->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

double bench_now(void)
{
    struct timespec t;
    clock_gettime(bench_options.busy ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

enum {
    LAYERS = 12,
    WIDTH = 768,
    CONTEXT = BENCH_TOKENS_MAX,
    PARTS = 12,
    TENSORS = LAYERS * PARTS + 4,
    PATH_BYTES = 512
};

static char folders[4][PATH_BYTES];
static int n_folders;

/* Values of one tensor: `one` everywhere, or uniform with a standard deviation of 0.02. */
struct source {
    uint64_t state;
    enum st_dtype dtype;
    bool one;
};

static int source_read(void *ctx, void *buf, size_t offset, size_t n, struct err *e)
{
    (void)offset, (void)e;
    struct source *s = ctx;
    size_t size = s->dtype == ST_F32 ? 4 : 2;
    for (char *p = buf, *end = p + n; p < end; p += size) {
        s->state = s->state * 6364136223846793005u + 1442695040888963407u;
        float v = s->one ? 1 : (float)(int32_t)(s->state >> 32) * (0.0346f / 2147483648.0f);
        uint32_t bits;
        memcpy(&bits, &v, 4);
        uint16_t high = (uint16_t)(bits >> 16); /* bf16, rounded towards 0 */
        memcpy(p, s->dtype == ST_F32 ? (const void *)&bits : &high, size);
    }
    return 0;
}

static const struct part {
    const char *name;
    int64_t rows, columns; /* columns 0: a vector */
} parts[PARTS] = {
    {"ln_1.weight", WIDTH, 0},
    {"ln_1.bias", WIDTH, 0},
    {"attn.c_attn.weight", WIDTH, 3 * WIDTH},
    {"attn.c_attn.bias", 3 * WIDTH, 0},
    {"attn.c_proj.weight", WIDTH, WIDTH},
    {"attn.c_proj.bias", WIDTH, 0},
    {"ln_2.weight", WIDTH, 0},
    {"ln_2.bias", WIDTH, 0},
    {"mlp.c_fc.weight", WIDTH, 4 * WIDTH},
    {"mlp.c_fc.bias", 4 * WIDTH, 0},
    {"mlp.c_proj.weight", 4 * WIDTH, WIDTH},
    {"mlp.c_proj.bias", WIDTH, 0},
};

static int weights_write(const char *path, enum st_dtype dtype, struct err *e)
{
    static const struct part root[] = {{"wte.weight", BENCH_VOCAB, WIDTH},
                                       {"wpe.weight", CONTEXT, WIDTH},
                                       {"ln_f.weight", WIDTH, 0},
                                       {"ln_f.bias", WIDTH, 0}};
    static char names[TENSORS][48];
    static struct source sources[TENSORS];
    static struct tensor_out out[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        int layer = i / PARTS;
        const struct part *p = layer < LAYERS ? &parts[i % PARTS] : &root[i - LAYERS * PARTS];
        if (layer < LAYERS)
            snprintf(names[i], sizeof names[i], "h.%d.%s", layer, p->name);
        else
            snprintf(names[i], sizeof names[i], "%s", p->name);
        sources[i] = (struct source){(uint64_t)i + 1, dtype,
                                     strncmp(p->name, "ln_", 3) == 0 && strstr(p->name, "weight")};
        out[i] = (struct tensor_out){.name = names[i],
                                     .dtype = dtype,
                                     .rank = p->columns ? 2 : 1,
                                     .shape = {p->rows, p->columns},
                                     .read = source_read,
                                     .ctx = &sources[i]};
    }
    return tensor_write(path, out, TENSORS, NULL, 0, e);
}

void bench_tokens(int32_t *tokens, int32_t n, int32_t d_vocab, int32_t shift)
{
    for (int32_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(((uint32_t)i * 7919u + (uint32_t)shift) % (uint32_t)d_vocab);
}

/* The folder that a model goes to; *there: it has been made before. */
static char *model_folder(enum st_dtype dtype, bool *there)
{
    static char kept[2][PATH_BYTES];
    const char *tmp = getenv("TMPDIR"), *models = getenv("BENCH_MODELS");
    char *folder = models ? kept[dtype == ST_F32] : folders[n_folders];
    *there = false;
    if (!models) {
        snprintf(folder, PATH_BYTES, "%s/borescope-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        return mkdtemp(folder) ? folder : NULL;
    }
    snprintf(folder, PATH_BYTES, "%s/%s", models, dtype == ST_F32 ? "f32" : "bf16");
    *there = mkdir(folder, 0700) && errno == EEXIST;
    return folder;
}

const char *bench_model(enum st_dtype dtype)
{
    char path[PATH_BYTES + 32];
    struct err e = {.text = "cannot write"};
    bool there;
    char *folder = model_folder(dtype, &there);
    if (there)
        return folder;
    bool ok = folder != NULL;
    folder = folder ? folder : folders[n_folders];
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *f = ok ? fopen(path, "w") : NULL;
    ok =
        f &&
        fprintf(
            f,
            "{\"model_type\":\"gpt2\",\"architectures\":[\"GPT2LMHeadModel\"],\"n_layer\":%d,\"n_head\":12,"
            "\"n_embd\":%d,\"n_positions\":%d,\"vocab_size\":%d}\n",
            LAYERS, WIDTH, CONTEXT, BENCH_VOCAB) > 0;
    ok = f && fclose(f) == 0 && ok;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    n_folders += folder == folders[n_folders];
    if (!ok || weights_write(path, dtype, &e)) {
        fprintf(stderr, "bench: %s · %s\n", folder, e.text);
        bench_model_remove();
        exit(1);
    }
    return folder;
}

enum { LLAMA_PARTS = 9, LLAMA_LAYERS_MAX = 48 };

static int llama_write(const char *path, const struct bench_llama *l, struct err *e)
{
    int64_t d = l->width, kv = d / l->heads * l->kv_heads;
    const struct part each[LLAMA_PARTS] = {
        {"input_layernorm", d, 0},    {"self_attn.q_proj", d, d},
        {"self_attn.k_proj", kv, d},  {"self_attn.v_proj", kv, d},
        {"self_attn.o_proj", d, d},   {"post_attention_layernorm", d, 0},
        {"mlp.gate_proj", l->mlp, d}, {"mlp.up_proj", l->mlp, d},
        {"mlp.down_proj", d, l->mlp}};
    const struct part root[] = {
        {"model.embed_tokens", l->vocab, d}, {"model.norm", d, 0}, {"lm_head", l->vocab, d}};
    static char names[LLAMA_LAYERS_MAX * LLAMA_PARTS + 3][64];
    static struct source sources[LLAMA_LAYERS_MAX * LLAMA_PARTS + 3];
    static struct tensor_out out[LLAMA_LAYERS_MAX * LLAMA_PARTS + 3];
    int tensors = (int)l->layers * LLAMA_PARTS + 3;
    for (int i = 0; i < tensors; i++) {
        int layer = i / LLAMA_PARTS;
        bool in_block = layer < (int)l->layers;
        const struct part *p = in_block ? &each[i % LLAMA_PARTS]
                                        : &root[i - (int)l->layers * LLAMA_PARTS];
        if (in_block)
            snprintf(names[i], sizeof names[i], "model.layers.%d.%s.weight", layer, p->name);
        else
            snprintf(names[i], sizeof names[i], "%s.weight", p->name);
        sources[i] = (struct source){(uint64_t)i + 1, ST_BF16, !p->columns};
        out[i] = (struct tensor_out){.name = names[i],
                                     .dtype = ST_BF16,
                                     .rank = p->columns ? 2 : 1,
                                     .shape = {p->rows, p->columns},
                                     .read = source_read,
                                     .ctx = &sources[i]};
    }
    return tensor_write(path, out, (size_t)tensors, NULL, 0, e);
}

const char *bench_llama(const struct bench_llama *l)
{
    char path[PATH_BYTES + 32];
    const char *tmp = getenv("TMPDIR");
    struct err e = {.text = "cannot write"};
    char *folder = folders[n_folders];
    snprintf(folder, PATH_BYTES, "%s/borescope-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    bool ok = l->layers <= LLAMA_LAYERS_MAX && mkdtemp(folder);
    n_folders += ok;
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *f = ok ? fopen(path, "w") : NULL;
    ok = f && fprintf(f,
                      "{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],"
                      "\"num_hidden_layers\":%d,\"hidden_size\":%d,\"num_attention_heads\":%d,"
                      "\"num_key_value_heads\":%d,\"intermediate_size\":%d,\"vocab_size\":%d,"
                      "\"max_position_embeddings\":%d,\"rms_norm_eps\":1e-5,\"rope_theta\":500000,"
                      "\"hidden_act\":\"silu\",\"tie_word_embeddings\":false}\n",
                      (int)l->layers, (int)l->width, (int)l->heads, (int)l->kv_heads, (int)l->mlp,
                      (int)l->vocab, CONTEXT) > 0;
    ok = f && fclose(f) == 0 && ok;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (!ok || llama_write(path, l, &e)) {
        fprintf(stderr, "bench: %s · %s\n", folder, e.text);
        bench_model_remove();
        exit(1);
    }
    return folder;
}

static void remove_model(const char *folder)
{
    char path[PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

void bench_model_remove(void)
{
    for (; n_folders > 0; n_folders--)
        remove_model(folders[n_folders - 1]);
}

void bench_models_remove(const char *models)
{
    char folder[PATH_BYTES];
    for (int f32 = 0; f32 < 2; f32++) {
        snprintf(folder, sizeof folder, "%s/%s", models, f32 ? "f32" : "bf16");
        remove_model(folder);
    }
    rmdir(models);
}

bool bench_gguf(const char *folder, const char *path, const char *kind)
{
    char command[4 * PATH_BYTES], answer[16] = "";
    const char *python = getenv("BORESCOPE_PYTHON");
    snprintf(command, sizeof command,
             "echo gguf '%s' %s | '%s' '%s/peer.py' '%s' 1 clock 2>&1 | tail -1", path, kind,
             python ? python : "", BENCH_SOURCE, folder);
    FILE *f = python ? popen(command, "r") : NULL;
    bool ok = f && fgets(answer, sizeof answer, f) && strcmp(answer, "0\n") == 0;
    if (f)
        pclose(f);
    return ok;
}
