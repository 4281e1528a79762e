/* bench.c - see bench.h. */
#include "bench.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "model/tensor_write.h"

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
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
    CONTEXT = 1024,
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

const char *bench_model(enum st_dtype dtype)
{
    const char *tmp = getenv("TMPDIR");
    char *folder = folders[n_folders], path[PATH_BYTES + 32];
    snprintf(folder, PATH_BYTES, "%s/borescope-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    struct err e = {.text = "cannot write"};
    bool ok = mkdtemp(folder) != NULL;
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
    n_folders += *folder != '\0';
    if (!ok || weights_write(path, dtype, &e)) {
        fprintf(stderr, "bench: %s · %s\n", folder, e.text);
        bench_model_remove();
        exit(1);
    }
    return folder;
}

void bench_model_remove(void)
{
    for (; n_folders > 0; n_folders--) {
        char path[PATH_BYTES + 32];
        snprintf(path, sizeof path, "%s/config.json", folders[n_folders - 1]);
        unlink(path);
        snprintf(path, sizeof path, "%s/model.safetensors", folders[n_folders - 1]);
        unlink(path);
        rmdir(folders[n_folders - 1]);
    }
}
