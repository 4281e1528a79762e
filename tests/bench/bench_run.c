/* bench_run.c - a run with everything captured, and reruns after edits, beside a plain forward.
 *
 *   bench_run [--threads N] [--busy] [--goals] [--tokens N]... [--bf16|--f32] [--model FOLDER]
 *
 * A random model of GPT-2's small size.  In every round each contender runs once, in turn; figures
 * are medians of nine rounds.
 * plain: the forward pass, nothing kept but residuals, keys and values; logits of the last position
 * captured: the same with every hook point kept, in memory that earlier runs have touched
 * fresh: the same with a run made anew
 * all logits: captured, and the logits of every position (what a cache of TransformerLens holds)
 * unembedding: of every position, alone, into memory that was touched; last: of the last position
 * edit: one head's attn.hook_z at one (layer, position) set to 0 on top of the run without edits;
 * the mean over all layers and eight positions
 * products: with OpenBLAS, the products of the plain pass alone, on the same weights (f32)
 */
#include "bench_bed.h"
#include "bench_row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef BENCH_OPENBLAS
#include <cblas.h>
extern void openblas_set_num_threads(int threads);
#endif

enum { LAYERS_MAX = 64 };
enum contender { PLAIN, CAPTURED, FRESH, ALL_LOGITS, UNEMBED, LAST, PRODUCTS, CONTENDER_COUNT };
static const char *const contender_names[CONTENDER_COUNT] = {
    "plain forward",           "captured, every hook",
    "captured, fresh memory",  "captured, logits everywhere",
    "unembedding of all",      "unembedding of the last",
    "OpenBLAS, products alone"};

static struct bed b;
static struct run *plain, *captured, *fork_run;
static float *wide; /* logits of every position */

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
        size_t row = (size_t)(c->d_mlp + c->d_model + c->n_heads * c->d_head);
        x = malloc(BENCH_TOKENS_MAX * row * sizeof *x);
        y = malloc((BENCH_TOKENS_MAX * row + (size_t)c->d_vocab) * sizeof *y);
        for (size_t i = 0; i < BENCH_TOKENS_MAX * row; i++)
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

static void unembed_all(void)
{
    struct err e;
    struct kn_view x, out = kn_view2(wide, KN_F32, b.n, b.m->cfg.d_vocab);
    struct site_ref last = {SITE_RESID_POST, b.m->cfg.n_layers - 1};
    bed_check(run_view(captured, last, 0, b.n, &x, &e), &e);
    bed_check(run_unembed(captured, &x, &out, &e), &e);
}

static void contend(enum contender c)
{
    struct err e;
    struct kn_view v;
    struct run *r;
    switch (c) {
    case PLAIN: bed_forward(&b, plain); break;
    case PRODUCTS: products(); break;
    case UNEMBED: unembed_all(); break;
    case LAST: bed_check(lens_logits(captured, b.n - 1, b.logits, &e), &e); break;
    case FRESH:
        r = bed_run(&b, NULL, BED_KEEP_ALL);
        bed_forward(&b, r);
        run_free(r);
        break;
    default: bed_forward(&b, captured);
    }
    if (c == ALL_LOGITS)
        bed_check(
            run_view(captured, (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, b.n, &v, &e), &e);
}

/* What the cells would take if each were a plain pass over as many rows, in as many layers: reading
 * the weights costs the same for two rows as for six. */
static double passes(void)
{
    double mean = 0, layers = 0;
    int32_t n = b.n, n_layers = b.m->cfg.n_layers;
    for (int32_t l = 0; l < n_layers; l++)
        layers += (double)(n_layers - l) / (n_layers * n_layers);
    for (int p = 0; p < BED_PLACES; p++) {
        b.n = n;
        b.n = n - bed_place(&b, p);
        double from = bench_now();
        bed_forward(&b, plain);
        double end = bench_now();
        contend(LAST);
        double last = bench_now() - end;
        mean += ((end - from - last) * layers + last) / BED_PLACES;
    }
    b.n = n;
    return mean;
}

/* Of each round: the mean over cells, and of their shares; what plain passes would take. */
static void edits(double mean[BENCH_ROUNDS], double pass[BENCH_ROUNDS], double *share)
{
    int cells = BED_PLACES * b.m->cfg.n_layers;
    *share = 0;
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        mean[round] = 0;
        pass[round] = passes();
        bed_forward(&b, captured);
        for (int32_t l = 0; l < b.m->cfg.n_layers; l++)
            for (int p = 0; p < BED_PLACES; p++) {
                double s;
                mean[round] += bed_edit(&b, fork_run, l, bed_place(&b, p), &s) / cells;
                *share += s / (BENCH_ROUNDS * cells);
            }
    }
}

static void print_times(double took[][BENCH_ROUNDS], double *edited, double *pass, double share)
{
    double base = bench_median(took[PLAIN], BENCH_ROUNDS),
           whole = bench_median(took[CAPTURED], BENCH_ROUNDS);
    printf("%d tokens\n", b.n);
    for (int c = 0; c < CONTENDER_COUNT; c++) {
        double t = bench_median(took[c], BENCH_ROUNDS);
        if (t > 0)
            printf("  %-28s %8.1f ms  %.2f of plain\n", contender_names[c], t, t / base);
    }
    double t = bench_median(edited, BENCH_ROUNDS);
    printf("  %-28s %8.1f ms  %.2f of a captured run (share of blocks x rows %.2f), %.2f of plain "
           "passes\n",
           "edit, mean over cells", t, t / whole, share, t / bench_median(pass, BENCH_ROUNDS));
}

static void print_goals(double took[][BENCH_ROUNDS], double *edited, double *pass, double share)
{
    double least[BENCH_ROUNDS], ideal[BENCH_ROUNDS];
    char what[4][80];
    static const char *const texts[4] = {
        "everything captured / plain forward, %d tokens",
        "captured into fresh memory / plain, %d tokens",
        "logits of all positions / (plain + the product), %d tokens",
        "edit, mean over all cells / captured run, %d tokens"};
    for (int i = 0; i < 4; i++)
        snprintf(what[i], sizeof what[i], texts[i], (int)b.n);
    for (int i = 0; i < BENCH_ROUNDS; i++) {
        least[i] = took[PLAIN][i] + took[UNEMBED][i];
        ideal[i] = share * (took[CAPTURED][i] - took[LAST][i]) + took[LAST][i];
    }
    bench_report_ratio("G4", what[0], "<=", 1.10, took[CAPTURED], took[PLAIN], BENCH_ROUNDS);
    bench_report_ratio("G4", what[1], "<=", 1.10, took[FRESH], took[PLAIN], BENCH_ROUNDS);
    bench_report_ratio("G4", what[2], "<=", 1.15, took[ALL_LOGITS], least, BENCH_ROUNDS);
    bench_report_ratio("G6", what[3], "<=", 0.40, edited, took[CAPTURED], BENCH_ROUNDS);
    snprintf(what[0], sizeof what[0], "edit / (its share, %.2f, + the last logits), %d tokens",
             share, (int)b.n);
    bench_report_ratio("G6", what[0], "<=", 1.25, edited, ideal, BENCH_ROUNDS);
    snprintf(what[0], sizeof what[0], "edit / plain passes over its rows and layers, %d tokens",
             (int)b.n);
    bench_report_ratio("G6", what[0], "<=", 1.25, edited, pass, BENCH_ROUNDS);
}

static void at_length(int32_t n)
{
    static double took[CONTENDER_COUNT][BENCH_ROUNDS], edited[BENCH_ROUNDS], pass[BENCH_ROUNDS];
    double share;
    bool openblas = false;
#ifdef BENCH_OPENBLAS
    openblas = model_weight(b.m, 0, W_Q)->dtype == KN_F32 && !bench_options.goals;
#endif
    bed_length(&b, n);
    plain = bed_run(&b, NULL, 0);
    captured = bed_run(&b, NULL, BED_KEEP_ALL);
    fork_run = bed_run(&b, captured, BED_KEEP_ALL);
    wide = b.be->type->alloc(b.be, (size_t)n * (size_t)b.m->cfg.d_vocab * sizeof *wide);
    for (int round = -1; round < BENCH_ROUNDS; round++) /* the first only warms */
        for (int c = 0; c < CONTENDER_COUNT; c++) {
            double from = bench_now();
            if (c != PRODUCTS || openblas)
                contend((enum contender)c);
            if (round >= 0)
                took[c][round] = c != PRODUCTS || openblas ? bench_now() - from : 0;
        }
    edits(edited, pass, &share);
    (bench_options.goals ? print_goals : print_times)(took, edited, pass, share);
    b.be->type->release(b.be, wide, (size_t)n * (size_t)b.m->cfg.d_vocab * sizeof *wide);
    run_free(fork_run);
    run_free(captured);
    run_free(plain);
}

static void with_model(const char *folder, const int *lengths, int n_lengths)
{
    bed_open(&b, folder);
    if (!bench_options.goals)
        printf("\n%.0f M parameters, %s, %d layers, %s\n", (double)b.m->params / 1e6, b.m->dtype,
               b.m->cfg.n_layers, b.be->describe);
    for (int i = 0; i < n_lengths; i++)
        at_length(lengths[i]);
    bed_close(&b);
}

int main(int argc, char **argv)
{
    int lengths[8], n_lengths = 0;
    bool f32 = true, bf16 = true;
    const char *folder = NULL;
    bench_take_options(&argc, argv);
    for (int i = 1; i < argc; i++) {
        long n = i + 1 < argc ? strtol(argv[i + 1], NULL, 10) : 0;
        if (strcmp(argv[i], "--tokens") == 0 && n > 0 && n <= BENCH_TOKENS_MAX && n_lengths < 8)
            lengths[n_lengths++] = (int)n, i++;
        else if (strcmp(argv[i], "--model") == 0 && i + 1 < argc)
            folder = argv[++i];
        else if (strcmp(argv[i], "--bf16") == 0)
            f32 = false;
        else if (strcmp(argv[i], "--f32") == 0)
            bf16 = false;
        else {
            fprintf(stderr,
                    "bench_run: %s · --threads N, --busy, --goals, --tokens 1..%d, --model FOLDER, "
                    "--bf16 or --f32\n",
                    argv[i], BENCH_TOKENS_MAX);
            return 2;
        }
    }
    static const int usual[] = {1, 16, 32, 128};
    bool own = n_lengths > 0;
    for (int i = 0; !own && i < 4; i++)
        if (!bench_options.goals || usual[i] >= 32)
            lengths[n_lengths++] = usual[i];
#ifdef BENCH_OPENBLAS
    openblas_set_num_threads(bench_options.threads);
#endif
    if (folder)
        with_model(folder, lengths, n_lengths);
    if (!folder && f32)
        with_model(bench_model(ST_F32), lengths, n_lengths);
    if (!folder && bf16 && !bench_options.goals)
        with_model(bench_model(ST_BF16), lengths, n_lengths);
    bench_model_remove();
    return 0;
}
