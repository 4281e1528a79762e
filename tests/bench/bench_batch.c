/* bench_batch.c - generation of a batch beside its prompts one after the other.
 *
 *   bench_batch [--threads N] [--tokens N] [--bf16]
 *
 * A random model of GPT-2's small size (bench.h), prompts of 32 tokens, N new ones each (default
 * 16).  In every round each batch size takes its turn, together and prompt by prompt; figures are
 * medians of nine rounds.  The tokens are the same, which is checked.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/generate.h"

enum { PROMPT = 32, BATCH_MAX = 16, NEW_MAX = 256 };
static const int sizes[] = {1, 2, 4, 8, 16};
enum { SIZES = sizeof sizes / sizeof *sizes };

struct page {
    int32_t id[BATCH_MAX][NEW_MAX], n[BATCH_MAX];
};
static struct page pages[2];

static bool keep(void *user, int32_t row, int32_t id, const float *logits)
{
    struct page *p = user;
    (void)logits;
    p->id[row][p->n[row]++] = id;
    return true;
}

static double run(const struct model *m, const struct pair_target *t, int rows, int count,
                  bool together)
{
    static struct page one;
    struct err e;
    struct generate_options o = {.temperature = 0};
    struct page *p = memset(&pages[together], 0, sizeof *p);
    double begin = bench_now();
    int rc = together ? generate(m, t, rows, count, &o, -1, 0, keep, p, &e) : 0;
    for (int i = 0; i < rows && !together && !rc; i++) {
        memset(&one, 0, sizeof one);
        rc = generate(m, t + i, 1, count, &o, -1, 0, keep, &one, &e);
        memcpy(p->id[i], one.id[0], sizeof one.id[0]);
        p->n[i] = one.n[0];
    }
    if (rc) {
        fprintf(stderr, "bench_batch: %s\n", e.text);
        bench_model_remove();
        exit(1);
    }
    return bench_now() - begin;
}

int main(int argc, char **argv)
{
    struct kn_options k = {.backend = "cpu", .cpu = -1};
    enum st_dtype dtype = ST_F32;
    int count = 16;
    bench_take_options(&argc, argv);
    k.threads = bench_options.threads;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bf16"))
            dtype = ST_BF16;
        else if (!strcmp(argv[i], "--tokens") && i + 1 < argc &&
                 (count = (int)strtol(argv[i + 1], NULL, 10)) > 0 && count <= NEW_MAX)
            i++;
        else
            return fprintf(stderr, "usage: bench_batch [--threads N] [--tokens 1..%d] [--bf16]\n",
                           NEW_MAX),
                   2;
    }
    char why[200];
    struct err e;
    struct model *m = NULL;
    struct kn_backend *be = kn_open(&k, why, sizeof why);
    if (!be || model_open(&m, bench_model(dtype), be, &e))
        return fprintf(stderr, "bench_batch: %s\n", be ? e.text : why), bench_model_remove(), 1;
    int32_t tokens[BATCH_MAX][PROMPT];
    struct pair_target t[BATCH_MAX];
    double ms[SIZES][2][BENCH_ROUNDS];
    for (int i = 0; i < BATCH_MAX; i++) {
        for (int c = 0; c < PROMPT; c++)
            tokens[i][c] = (i * 7919 + c * 104729) % m->cfg.d_vocab;
        t[i] = (struct pair_target){.input.tokens = tokens[i], .input.n = PROMPT};
    }
    for (int round = 0; round < BENCH_ROUNDS; round++)
        for (int s = 0; s < SIZES; s++) {
            for (int together = 0; together < 2; together++)
                ms[s][together][round] = run(m, t, sizes[s], count, together);
            if (memcmp(&pages[0], &pages[1], sizeof pages[0]))
                return fprintf(stderr, "bench_batch: other tokens together than alone\n"),
                       bench_model_remove(), 1;
        }
    printf("%s, %d layers of %d, prompts of %d and %d new tokens\n", be->describe,
           (int)m->cfg.n_layers, (int)m->cfg.d_model, PROMPT, count);
    for (int s = 0; s < SIZES; s++) {
        double alone = bench_median(ms[s][0], BENCH_ROUNDS),
               all = bench_median(ms[s][1], BENCH_ROUNDS);
        printf("batch %2d   one by one %8.1f ms   together %8.1f ms   %.2f times as fast\n",
               sizes[s], alone, all, alone / all);
    }
    model_close(m);
    kn_close(be);
    bench_model_remove();
    return 0;
}
