/* bench_run.c - a run with everything captured, and reruns after edits, beside a plain forward.
 *
 *   bench_run [--threads N] [--tokens N]... [--bf16|--f32] [--model FOLDER]
 *
 * A random model of GPT-2's small size, written to a temporary folder.  In every round each
 * contender runs once, in turn; figures are medians of nine rounds. plain      the forward pass,
 * nothing kept but residuals, keys and values; logits of the last position captured   the same with
 * every hook point kept, in memory that earlier runs have touched fresh      the same with a run
 * made anew, its memory touched for the first time all logits captured, and the logits of every
 * position (what a cache of TransformerLens holds) edit       one head's attn.hook_z at one (layer,
 * position) set to 0 on top of the run without edits; the mean over all layers and eight positions,
 * each the median of its rounds products   with OpenBLAS: the products of the plain pass alone, on
 * the same weights (f32)
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure/lens.h"
#ifdef BENCH_OPENBLAS
#include <cblas.h>
extern void openblas_set_num_threads(int threads);
#endif

enum { PLACES = 8, LAYERS_MAX = 64 };
enum contender { PLAIN, CAPTURED, FRESH, ALL_LOGITS, PRODUCTS, CONTENDER_COUNT };
static const char *const contender_names[CONTENDER_COUNT] = {
    "plain forward", "captured, every hook", "captured, fresh memory",
    "captured, logits everywhere", "OpenBLAS, products alone"};

static struct bench {
    struct model *m;
    int threads;
    int32_t tokens[BENCH_TOKENS_MAX], n;
    struct run *plain, *captured, *fork;
    float *logits;
} b;

static void check(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_run: %s\n", e->text);
    bench_model_remove();
    exit(1);
}

static struct run *make(struct run *base, size_t cache_bytes)
{
    struct err e;
    struct run_options opt = {.cache_bytes = cache_bytes};
    struct run *r = run_create(b.m, base, &opt, &e);
    check(r ? 0 : -1, &e);
    return r;
}

/* Change the first token, so that nothing of the last run holds, then run and take the last logits.
 */
static void forward(struct run *r)
{
    struct err e;
    struct run_cost cost;
    b.tokens[0] = (b.tokens[0] + 1) % b.m->cfg.d_vocab;
    check(run_sync(r, run_ids(b.tokens, b.n), NULL, NULL, &cost, &e), &e);
    if (cost.share < 1) {
        fprintf(stderr, "bench_run: only %g of the blocks were computed\n", cost.share);
        exit(1);
    }
    check(lens_logits(r, b.n - 1, b.logits, &e), &e);
}

#ifdef BENCH_OPENBLAS
static void product(const struct kn_view *w, const float *x, float *y, int rows)
{
    bool nk = w->stride[1] == 1;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, nk ? CblasTrans : CblasNoTrans, rows, (int)w->shape[0],
                (int)w->shape[1], 1, x, (int)w->shape[1], w->data,
                (int)(nk ? w->stride[0] : w->stride[1]), 0, y, (int)w->shape[0]);
}

static void products(void)
{
    static const enum weight_id ids[] = {W_Q, W_K, W_V, W_O, W_IN, W_OUT};
    static float *x, *y;
    const struct kn_view *u = model_weight(b.m, 0, W_U);
    if (!x) {
        const struct config *c = &b.m->cfg;
        size_t wide = BENCH_TOKENS_MAX * (size_t)(c->d_mlp + c->d_model + c->n_heads * c->d_head);
        x = malloc(wide * sizeof *x);
        y = malloc((wide + (size_t)c->d_vocab) * sizeof *y);
        for (size_t i = 0; i < wide; i++)
            x[i] = (float)(i % 1021) / 1021 - 0.5f; /* a library may skip zeros */
    }
    for (int32_t l = 0; l < b.m->cfg.n_layers; l++)
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
            struct kn_view w = *model_weight(b.m, l, ids[i]);
            if (w.ndim == 3) { /* rows in groups, contiguous here */
                w.shape[0] *= w.shape[1];
                w.shape[1] = w.shape[2];
                w.stride[0] = w.stride[1];
                w.stride[1] = w.stride[2];
            }
            product(&w, x, y, b.n);
        }
    product(u, x, y, 1);
}
#else
static void products(void)
{
}
#endif

static void contend(enum contender c)
{
    struct err e;
    struct kn_view v;
    if (c == PLAIN)
        forward(b.plain);
    else if (c == PRODUCTS)
        products();
    else if (c == FRESH) {
        struct run *r = make(NULL, (size_t)4 << 30);
        forward(r);
        run_free(r);
    } else {
        forward(b.captured);
        if (c == ALL_LOGITS)
            check(run_view(b.captured, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, b.n, &v,
                           &e),
                  &e);
    }
}

/* Time and share of one edit of head 0 at (layer, row) upon the run without edits. */
static double edit_time(int32_t layer, int32_t row, double *share)
{
    char text[80];
    struct err e;
    struct edit *ed;
    struct edit_program *prog;
    struct run_cost cost;
    bool on = true;
    struct edit_context ctx = {.cfg = &b.m->cfg, .n_pos = b.n};
    snprintf(text, sizeof text, "blocks.%d.attn.hook_z[%d, 0] = 0", layer, row);
    check(edit_parse(&ed, text, &e), &e);
    check(edit_resolve(&prog, &ed, &on, 1, &ctx, &e), &e);
    check(run_sync(b.fork, (struct run_input){0}, NULL, NULL, NULL, &e), &e);
    double from = bench_now();
    check(run_sync(b.fork, (struct run_input){0}, prog, NULL, &cost, &e), &e);
    check(lens_logits(b.fork, b.n - 1, b.logits, &e), &e);
    double took = bench_now() - from;
    *share = cost.share;
    edit_program_free(prog);
    edit_free(ed);
    return took;
}

static void edits(void)
{
    static double took[LAYERS_MAX][PLACES][BENCH_ROUNDS], whole[BENCH_ROUNDS];
    int places = b.n < PLACES ? b.n : PLACES;
    double share = 0, mean = 0, worst = 0;
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        double from = bench_now();
        forward(b.captured);
        whole[round] = bench_now() - from;
        for (int32_t l = 0; l < b.m->cfg.n_layers; l++)
            for (int p = 0; p < places; p++) {
                double s;
                took[l][p][round] = edit_time(l, (2 * p + 1) * b.n / (2 * places), &s);
                share += s / (BENCH_ROUNDS * places * b.m->cfg.n_layers);
            }
    }
    double full = bench_median(whole, BENCH_ROUNDS);
    for (int32_t l = 0; l < b.m->cfg.n_layers; l++)
        for (int p = 0; p < places; p++) {
            double t = bench_median(took[l][p], BENCH_ROUNDS);
            mean += t / (places * b.m->cfg.n_layers);
            worst = t > worst ? t : worst;
        }
    printf(
        "  %-28s %8.1f ms  %.2f of a captured run (share of blocks x rows %.2f; the worst cell %.2f)\n",
        "edit, mean over cells", mean, mean / full, share, worst / full);
}

static void at_length(int32_t n)
{
    double took[CONTENDER_COUNT][BENCH_ROUNDS];
    bool openblas = false;
#ifdef BENCH_OPENBLAS
    openblas = model_weight(b.m, 0, W_Q)->dtype == KN_F32;
#endif
    b.n = n;
    for (int32_t i = 0; i < n; i++)
        b.tokens[i] = (int32_t)((uint32_t)i * 7919u % (uint32_t)b.m->cfg.d_vocab);
    b.plain = make(NULL, 0);
    b.captured = make(NULL, (size_t)4 << 30);
    b.fork = make(b.captured, (size_t)4 << 30);
    for (int round = -1; round < BENCH_ROUNDS; round++) /* the first only warms */
        for (int c = 0; c < CONTENDER_COUNT; c++) {
            double from = bench_now();
            if (c != PRODUCTS || openblas)
                contend((enum contender)c);
            if (round >= 0)
                took[c][round] = bench_now() - from;
        }
    printf("%d tokens\n", n);
    double plain = bench_median(took[PLAIN], BENCH_ROUNDS);
    for (int c = 0; c < CONTENDER_COUNT; c++)
        if (c != PRODUCTS || openblas) {
            double t = bench_median(took[c], BENCH_ROUNDS);
            printf("  %-28s %8.1f ms  %.2f of plain\n", contender_names[c], t, t / plain);
        }
    edits();
    run_free(b.fork);
    run_free(b.captured);
    run_free(b.plain);
}

static void with_model(const char *folder, const int *lengths, int n_lengths)
{
    struct err e;
    char why[256];
    struct kn_options options = {.backend = "cpu", .threads = b.threads, .cpu = -1};
    struct kn_backend *be = kn_open(&options, why, sizeof why);
    if (!be) {
        fprintf(stderr, "bench_run: %s\n", why);
        exit(1);
    }
    check(model_open(&b.m, folder, be, &e), &e);
    b.logits = malloc((size_t)b.m->cfg.d_vocab * sizeof *b.logits);
    printf("\n%.0f M parameters, %s, %d layers, %s\n", (double)b.m->params / 1e6, b.m->dtype,
           b.m->cfg.n_layers, be->describe);
    for (int i = 0; i < n_lengths; i++)
        at_length(lengths[i]);
    free(b.logits);
    model_close(b.m);
    kn_close(be);
}

int main(int argc, char **argv)
{
    int lengths[8], n_lengths = 0;
    bool f32 = true, bf16 = true;
    const char *folder = NULL;
    b.threads = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            b.threads = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--tokens") == 0 && i + 1 < argc && n_lengths < 8)
            lengths[n_lengths++] = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--model") == 0 && i + 1 < argc)
            folder = argv[++i];
        else if (strcmp(argv[i], "--bf16") == 0)
            f32 = false;
        else if (strcmp(argv[i], "--f32") == 0)
            bf16 = false;
        else {
            fprintf(stderr,
                    "bench_run: %s · --threads N, --tokens N, --model FOLDER, --bf16 or --f32\n",
                    argv[i]);
            return 2;
        }
    }
    if (n_lengths == 0)
        for (lengths[n_lengths++] = 1; n_lengths < 4; n_lengths++)
            lengths[n_lengths] = n_lengths == 1 ? 16 : n_lengths == 2 ? 32 : 128;
    for (int i = 0; i < n_lengths; i++)
        if (lengths[i] < 1 || lengths[i] > BENCH_TOKENS_MAX) {
            fprintf(stderr, "bench_run: --tokens %d · 1 to %d\n", lengths[i], BENCH_TOKENS_MAX);
            return 2;
        }
#ifdef BENCH_OPENBLAS
    openblas_set_num_threads(b.threads > 0 ? b.threads : (int)sysconf(_SC_NPROCESSORS_ONLN));
#endif
    if (folder)
        with_model(folder, lengths, n_lengths);
    if (!folder && f32)
        with_model(bench_model(ST_F32), lengths, n_lengths);
    bench_model_remove();
    if (!folder && bf16)
        with_model(bench_model(ST_BF16), lengths, n_lengths);
    bench_model_remove();
    return 0;
}
