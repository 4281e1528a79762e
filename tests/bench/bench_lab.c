/* bench_lab.c - statistics over texts beside the floor that the products' multiply-adds set, and
 * beside TransformerLens in batches.
 *
 *   bench_lab [--threads N] [--busy] [--goals]
 *
 * A random model of GPT-2's small size, f32; 2048 tokens, as texts of 8 to 72, as texts whose
 * lengths are spread as those of paragraphs, many short and few long, and as windows of 512; of
 * each layer's neurons and heads. In every round each kind takes its turn, and so do the same texts
 * in TransformerLens (bench_torch.h), eight together with padding, or one window.  The floor is the
 * operations of all blocks' weights on all tokens over the rate of a fused multiply-add in the same
 * round.
 */
#include "bench_bed.h"
#include "bench_roof.h"
#include "bench_row.h"
#include "bench_torch.h"
#include "cpu/pool.h"
#include "lab/stats_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS = 2048, ROUNDS = 3 };

static const struct kind {
    const char *name;
    int32_t least, most, batch; /* tokens of a text; texts together, of the peer */
    double times;               /* as fast as the peer: asked for */
    double median, sigma;       /* of log-normal lengths; 0: evenly spread */
} kinds[] = {
    {"texts of 8 to 72 tokens", 8, 72, 8, 3, 0, 0},
    {"paragraphs", 4, 512, 8, 0, 48, .9},
    {"windows of 512", 512, 512, 1, 0, 0, 0},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static struct bed b;

/* From 0 to below n. */
static uint32_t next_below(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525 + 1013904223;
    return (*state >> 16) % n;
}

static int32_t text_length(const struct kind *k, uint32_t *state)
{
    enum { TERMS = 12, PARTS = 1 << 15 }; /* so many uniform ones add up to a variance of 1 */
    if (!(k->median > 0))
        return k->least + (int32_t)next_below(state, (uint32_t)(k->most - k->least + 1));
    double normal = -TERMS / 2.;
    for (int i = 0; i < TERMS; i++)
        normal += (double)next_below(state, PARTS) / PARTS;
    double n = k->median * exp(k->sigma * normal);
    return n < k->least ? k->least : n > k->most ? k->most : (int32_t)n;
}

/* Texts as numbers, one a line. */
static void texts_write(const char *path, const struct kind *k)
{
    int32_t ids[TOKENS];
    uint32_t state = 7;
    FILE *f = fopen(path, "w");
    if (!f) {
        perror(path);
        bench_model_remove();
        exit(1);
    }
    bench_tokens(ids, TOKENS, b.m->cfg.d_vocab, 0);
    for (int32_t at = 0, n; at < TOKENS; at += n) {
        n = text_length(k, &state);
        n = n < TOKENS - at ? n : TOKENS - at;
        for (int32_t i = 0; i < n; i++)
            fprintf(f, "%d%c", (int)ids[at + i], i + 1 < n ? ' ' : '\n');
    }
    fclose(f);
}

static double stats_time(const char *path)
{
    static const char *const hooks[] = {"blocks.*.{mlp.hook_post,attn.hook_z}"};
    static const struct pair_target plain;
    static const struct token_filter all;
    struct err e;
    struct texts *t;
    struct stats s;
    const struct texts_options o = {.window = 512};
    const struct stats_work w = {.m = b.m, .options = &o, .target = &plain, .filter = &all};
    double from = bench_now();
    bed_check(texts_open(&t, b.m, path, &o, &e), &e);
    bed_check(stats_init(&s, &b.m->cfg, hooks, 1, 5, &e), &e);
    bed_check(stats_run(&s, t, &w, &e), &e);
    double took = bench_now() - from;
    if (s.tokens != TOKENS) {
        fprintf(stderr, "bench_lab: %lld tokens of %d\n", (long long)s.tokens, TOKENS);
        exit(1);
    }
    stats_free(&s), texts_close(t);
    return took;
}

/* Of all products of the blocks, for all tokens. */
static double operations(void)
{
    const struct config *c = &b.m->cfg;
    double attention = 4.0 * c->d_model * c->d_model, mlp = 2.0 * c->d_model * c->d_mlp;
    return 2.0 * TOKENS * c->n_layers * (attention + mlp);
}

static void measure(const struct kind *k, struct pool *pool)
{
    char path[] = "/tmp/bore-bench-XXXXXX", task[80], what[80];
    double own[ROUNDS], peer[ROUNDS], floor[ROUNDS], share[ROUNDS];
    int fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    texts_write(path, k);
    snprintf(task, sizeof task, "stats %s", path);
    for (int round = -1; round < ROUNDS; round++) {
        int i = round < 0 ? 0 : round;
        floor[i] = operations() / roof_flops(pool, roof_of(-1), bench_options.threads) * 1e3;
        own[i] = stats_time(path);
        peer[i] = torch_time(task, k->batch);
        share[i] = own[i] / floor[i];
    }
    unlink(path);
    if (bench_options.goals) {
        snprintf(what, sizeof what, "stats of %s / products' floor", k->name);
        bench_report("lab", what, "", "", 0, share, ROUNDS);
        snprintf(what, sizeof what, "TransformerLens / stats of %s", k->name);
        if (torch_why()[0])
            bench_report_absent("lab", what, k->times > 0 ? ">=" : "", k->times, torch_why());
        else
            bench_report_ratio("lab", what, k->times > 0 ? ">=" : "", k->times, peer, own, ROUNDS);
        return;
    }
    printf("%-24s %8.1f ms, %6.0f tokens/s, %.2f times the floor of %.1f ms", k->name,
           bench_median(own, ROUNDS), TOKENS * 1e3 / bench_median(own, ROUNDS),
           bench_median(share, ROUNDS), bench_median(floor, ROUNDS));
    if (torch_why()[0])
        printf("  (TransformerLens: %s)\n", torch_why());
    else
        printf("  TransformerLens %.1f ms\n", bench_median(peer, ROUNDS));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    bench_take_options(&argc, argv);
    const char *folder = bench_model(ST_F32);
    bed_open(&b, folder);
    torch_start(folder);
    struct pool *pool = pool_new(bench_options.threads);
    for (int k = 0; k < KINDS; k++)
        measure(&kinds[k], pool);
    torch_end();
    pool_free(pool);
    bed_close(&b);
    bench_model_remove();
    return 0;
}
