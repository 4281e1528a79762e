/* bench_attribute.c - attributions beside forward passes of the same run.
 *
 *   bench_attribute [--threads N] [--busy] [--goals] [--tokens N]... [--bf16] [--model FOLDER]
 *
 * A random model of GPT-2's small size (bench.h).  In every round each contender runs once, in
 * turn; figures are medians of nine rounds.
 * forward: a run with everything kept, and the logits of the last position
 * backward: the gradient of a logit difference at every resid_pre, of values that are there
 * map: attribution patching of resid_pre, layer x position, from another prompt: both prompts run,
 * one goes backwards
 * zero: the same of heads, layer x position x head, against zero: one prompt runs
 * edges: eap, every edge of the stream
 */
#include "bench.h"
#include "bench_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure/attribute.h"
#include "measure/grad.h"
#include "measure/lens.h"

enum contender { FORWARD, BACKWARD, MAP, ZERO, EDGES, CONTENDER_COUNT };
static const char *const names[CONTENDER_COUNT] = {"forward", "backward, resid_pre",
                                                   "map from another prompt",
                                                   "map of heads against zero", "edges (eap)"};

static struct bench {
    struct model *m;
    struct pair *pair;
    struct pair_target target;
    struct pair_prompt other;
    int32_t tokens[2][BENCH_TOKENS_MAX], n;
    float *logits;
} b;

static void check(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_attribute: %s\n", e->text);
    bench_model_remove();
    exit(1);
}

/* Another first token, so that nothing of the last run holds. */
static void forward(void)
{
    struct err e;
    b.tokens[0][0] = (b.tokens[0][0] + 1) % b.m->cfg.d_vocab;
    b.tokens[1][0] = (b.tokens[1][0] + 1) % b.m->cfg.d_vocab;
    check(pair_sync(b.pair, &b.target, NULL, &e), &e);
    check(lens_logits(pair_run(b.pair, FACE_BASE), b.n - 1, b.logits, &e), &e);
}

static int drop(void *user, struct site_ref s, int32_t row0, int32_t row1, const struct kn_view *g,
                struct err *e)
{
    (void)user, (void)s, (void)row0, (void)row1, (void)g, (void)e;
    return 0;
}

static void attributed(const struct metric *m, enum attribute_method method, const char *kind,
                       const char *with)
{
    struct err e;
    struct attribution a;
    struct attribute_options o = {.method = method, .with = with, .cache_bytes = (size_t)1 << 30};
    o.kind = kind ? sweep_kind_find(kind, &e) : NULL;
    check(attribute(&a, b.pair, &b.target, m, &o, &e), &e);
    attribution_free(&a);
}

/* Milliseconds of what the contender is for; a forward pass that it builds upon and does not count
 * comes before. */
static double contend(enum contender c)
{
    struct metric m = {.n = 2, .terms = {{METRIC_LOGIT, 1, -1, 262}, {METRIC_LOGIT, -1, -1, 11}}};
    struct site_ref sites[64];
    struct err e;
    int32_t n = 0;
    double from = bench_now();
    for (int32_t l = 0; l < b.m->cfg.n_layers && n < 64; l++)
        sites[n++] = (struct site_ref){SITE_RESID_PRE, l};
    forward();
    if (c == BACKWARD) {
        from = bench_now();
        check(grad_run(pair_run(b.pair, FACE_BASE), NULL, &m, sites, n, drop, NULL, &e), &e);
    } else if (c == MAP)
        attributed(&m, ATTRIBUTE_ATP, "resid_pre", "from(other)");
    else if (c == ZERO)
        attributed(&m, ATTRIBUTE_ATP, "z", "zero");
    else if (c == EDGES)
        attributed(&m, ATTRIBUTE_EAP, NULL, "from(other)");
    return bench_now() - from;
}

static void report(int32_t n, double took[CONTENDER_COUNT][BENCH_ROUNDS])
{
    char what[96];
    if (!bench_options.goals)
        printf("%d tokens\n", n);
    for (int c = FORWARD + 1; c < CONTENDER_COUNT && bench_options.goals; c++) {
        snprintf(what, sizeof what, "attribution: %s / own forward, %d tokens", names[c], n);
        bench_report_ratio(c == MAP ? "G11" : "", what, c == MAP ? "<=" : "", c == MAP ? 4 : 0,
                           took[c], took[FORWARD], BENCH_ROUNDS);
    }
    double plain = bench_median(took[FORWARD], BENCH_ROUNDS);
    for (int c = 0; c < CONTENDER_COUNT && !bench_options.goals; c++) {
        double t = bench_median(took[c], BENCH_ROUNDS);
        printf("  %-28s %8.1f ms  %.2f of a forward pass\n", names[c], t, t / plain);
    }
}

static void at_length(int32_t n)
{
    double took[CONTENDER_COUNT][BENCH_ROUNDS];
    struct err e;
    b.n = n;
    for (int32_t i = 0; i < n; i++)
        for (int p = 0; p < 2; p++)
            b.tokens[p][i] = (int32_t)(((uint32_t)i * 7919u + (uint32_t)p * 31u) %
                                       (uint32_t)b.m->cfg.d_vocab);
    b.other = (struct pair_prompt){.name = "other", .tokens = b.tokens[1], .n = n};
    b.target = (struct pair_target){
        .input = run_ids(b.tokens[0], n), .prompts = &b.other, .n_prompts = 1};
    check(pair_open(&b.pair, b.m, (size_t)8 << 30, &e), &e);
    for (int round = -1; round < BENCH_ROUNDS; round++) /* the first only warms */
        for (int c = 0; c < CONTENDER_COUNT; c++) {
            double t = contend((enum contender)c);
            if (round >= 0)
                took[c][round] = t;
        }
    pair_close(b.pair);
    report(n, took);
}

int main(int argc, char **argv)
{
    struct kn_options k = {.backend = "cpu", .cpu = -1};
    enum st_dtype dtype = ST_F32;
    const char *folder = NULL;
    int lengths[8], n_lengths = 0;
    char why[256];
    struct err e;
    bench_take_options(&argc, argv);
    k.threads = bench_options.threads;
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--tokens") && more && n_lengths < 8)
            lengths[n_lengths++] = (int)strtol(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--bf16"))
            dtype = ST_BF16;
        else if (!strcmp(argv[i], "--model") && more)
            folder = argv[++i];
        else {
            fprintf(stderr,
                    "usage: bench_attribute [--threads N] [--busy] [--goals] [--tokens N]... "
                    "[--bf16] [--model FOLDER]\n");
            return 2;
        }
    }
    for (int i = 0; i < n_lengths; i++)
        lengths[i] = lengths[i] < 2                  ? 2
                     : lengths[i] > BENCH_TOKENS_MAX ? BENCH_TOKENS_MAX
                                                     : lengths[i];
    if (!n_lengths && bench_options.goals)
        lengths[n_lengths++] = 32;
    if (!n_lengths)
        lengths[n_lengths++] = 15, lengths[n_lengths++] = 128;
    struct kn_backend *be = kn_open(&k, why, sizeof why);
    if (!be) {
        fprintf(stderr, "bench_attribute: %s\n", why);
        return 1;
    }
    check(model_open(&b.m, folder ? folder : bench_model(dtype), be, &e), &e);
    b.logits = malloc((size_t)b.m->cfg.d_vocab * sizeof *b.logits);
    for (int i = 0; i < n_lengths; i++)
        at_length(lengths[i]);
    free(b.logits);
    model_close(b.m);
    kn_close(be);
    bench_model_remove();
    return 0;
}
