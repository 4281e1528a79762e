/* bench_peer.c - beside PyTorch with TransformerLens, and beside llama.cpp, on the same weights.
 *
 *   bench_peer [--threads N] [--busy] [--goals]
 *
 * A random model of GPT-2's small size.  BORESCOPE_PYTHON: an interpreter that has torch,
 * transformer_lens and (for llama.cpp's model file) gguf; BORESCOPE_LLAMA: llama.cpp's llama-bench.
 * Who is absent is named.  Contenders take turns, each in its own process, after a pause in which
 * the other's threads go to sleep.
 */
#include "bench_bed.h"
#include "bench_row.h"
#include "bench_torch.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure/grad.h"

enum { ROUNDS = 9 };
static struct bed b;
static const char *folder;

/* ---- llama.cpp: llama-bench, started for each sample ---- */

static double llama_time(const char *gguf, int n)
{
    char command[1024];
    snprintf(command, sizeof command, "'%s' -m '%s' -p %d -n 0 -r 1 -t %d -o json 2>/dev/null",
             getenv("BORESCOPE_LLAMA"), gguf, n, bench_options.threads);
    FILE *f = popen(command, "r");
    json_t *o = f ? json_loadf(f, 0, NULL) : NULL;
    double ns = json_number_value(json_object_get(json_array_get(o, 0), "avg_ns"));
    json_decref(o);
    if (f)
        pclose(f);
    return ns * 1e-6;
}

/* ---- what is measured of this program ---- */

static struct run *runs[2]; /* with everything captured */

static double captured(bool all_logits)
{
    struct err e;
    struct kn_view v;
    double from = bench_now();
    bed_forward(&b, runs[0]);
    if (all_logits)
        bed_check(run_view(runs[0], (struct site_ref){SITE_UNEMBED_OUT, SITE_ROOT}, 0, b.n, &v, &e),
                  &e);
    return bench_now() - from;
}

static double lens(void)
{
    enum { TOP = 5 };
    static struct lens_cell cell[32];
    static struct lens_top top[32 * TOP];
    struct err e;
    double from = bench_now();
    for (int32_t c = 1; c <= b.m->cfg.n_layers; c++)
        bed_check(lens_column(runs[0], c, 0, b.n, TOP, -1, cell, top, &e), &e);
    return bench_now() - from;
}

static int take_gradient(void *user, struct site_ref s, int32_t row0, int32_t row1,
                         const struct kn_view *g, struct err *e)
{
    (void)s, (void)row0, (void)row1, (void)g, (void)e;
    ++*(int *)user;
    return 0;
}

static double backward(void)
{
    struct err e;
    struct metric metric;
    struct site_ref sites[64];
    int taken = 0;
    bed_check(metric_parse(&metric, "logit[-1, 1] - logit[-1, 2]", b.m->tok, b.m->cfg.d_vocab, &e),
              &e);
    for (int32_t l = 0; l < b.m->cfg.n_layers; l++)
        sites[l] = (struct site_ref){SITE_Z, l};
    double from = bench_now();
    bed_check(grad_run(runs[0], NULL, &metric, sites, b.m->cfg.n_layers, take_gradient, &taken, &e),
              &e);
    return bench_now() - from;
}

/* ---- goals ---- */

static void report(const char *goal, const char *what, double must, const double *a,
                   const double *theirs, const char *why)
{
    if (*why)
        bench_report_absent(goal, what, "<=", must, why);
    else
        bench_report_ratio(goal, what, "<=", must, a, theirs, ROUNDS);
}

static void against_torch(void)
{
    static const double must[] = {.5, .5};
    double ours[ROUNDS], theirs[ROUNDS];
    char what[100];
    for (int i = 0; i < 2; i++) {
        bed_length(&b, i ? 128 : 32);
        snprintf(what, sizeof what,
                 "everything captured / TransformerLens run_with_cache, %d tokens", (int)b.n);
        for (int r = -1; r < ROUNDS && !torch_why()[0]; r++) {
            double a = captured(true), t = torch_time("cache", b.n);
            if (r >= 0)
                ours[r] = a, theirs[r] = t;
        }
        report("G5", what, must[i], ours, theirs, torch_why());
    }
    bed_length(&b, 32);
    captured(false);
    for (int r = -1; r < ROUNDS && !torch_why()[0]; r++) {
        double a = lens(), t = torch_time("lens", b.n);
        if (r >= 0)
            ours[r] = a, theirs[r] = t;
    }
    report("G9", "lens, all layers x 32 positions, top 5 / PyTorch", .75, ours, theirs,
           torch_why());
}

static void attribution(void)
{
    double one[ROUNDS], map[ROUNDS], pass[ROUNDS], theirs[ROUNDS];
    bed_length(&b, 32);
    for (int r = -1; r < ROUNDS; r++) {
        double first = captured(false), second = captured(false), back = backward(),
               t = torch_time("grad", b.n);
        if (r >= 0)
            one[r] = first, map[r] = first + second + back, pass[r] = second + back, theirs[r] = t;
    }
    bench_report_ratio("G11", "attribution map / own forward, 32 tokens", "<=", 4, map, one,
                       ROUNDS);
    report("G11", "forward + backward to every hook_z / PyTorch, 32 tokens", .5, pass, theirs,
           torch_why());
}

static void exactness(void)
{
    char path[] = "/tmp/borescope-logits-XXXXXX", task[64], answer[TORCH_ANSWER] = "";
    const char *what = "error of the logits / PyTorch f32's own, against float64, 32 tokens";
    struct err e;
    bed_length(&b, 32);
    bed_check(run_sync(runs[0], run_ids(b.tokens, b.n), NULL, NULL, NULL, &e), &e);
    bed_check(lens_logits(runs[0], b.n - 1, b.logits, &e), &e);
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f) {
        fwrite(b.logits, sizeof *b.logits, (size_t)b.m->cfg.d_vocab, f);
        fclose(f);
    }
    snprintf(task, sizeof task, "exact %s %d", path, (int)b.n);
    double own = 0, theirs = 1;
    if (torch_ask(answer, task) && sscanf(answer, "%lf %lf", &own, &theirs) == 2)
        bench_report_ratio("G18", what, "<=", 5, &own, &theirs, 1);
    else
        bench_report_absent("G18", what, "<=", 5, torch_why());
    unlink(path);
}

/* Whole lists of lengths beside llama.cpp, which captures nothing. */
static void against_llama(const char *goal, const char *kind, const int *n, const double *must,
                          int lengths, bool all)
{
    char gguf[256] = "", what[100], why[TORCH_ANSWER] = "";
    const char *program = getenv("BORESCOPE_LLAMA"), *tmp = getenv("TMPDIR");
    snprintf(gguf, sizeof gguf, "%s/borescope-bench-%ld.gguf", tmp && *tmp ? tmp : "/tmp",
             (long)getpid());
    if (bench_options.busy)
        snprintf(why, sizeof why, "llama-bench tells the clock, not the processor's time");
    else if (!program || access(program, X_OK))
        snprintf(why, sizeof why, "BORESCOPE_LLAMA names no llama-bench");
    else if (!bench_gguf(folder, gguf, kind))
        snprintf(why, sizeof why, "no model file without gguf in BORESCOPE_PYTHON");
    for (int i = 0; i < lengths; i++) {
        double ours[ROUNDS], theirs[ROUNDS];
        bed_length(&b, n[i]);
        for (int r = -1; r < ROUNDS && !*why; r++) {
            double from = bench_now();
            bed_forward(&b, runs[all ? 0 : 1]);
            double a = bench_now() - from, t = llama_time(gguf, b.n);
            if (t <= 0)
                snprintf(why, sizeof why, "%.200s gave no figure", program);
            if (r >= 0)
                ours[r] = a, theirs[r] = t;
        }
        snprintf(what, sizeof what, "%s %s / llama.cpp %s, %d tokens",
                 all ? "everything captured," : "forward,", kind, kind, (int)b.n);
        report(goal, what, must[i], ours, theirs, why);
    }
    unlink(gguf);
}

static void bed_begin(enum st_dtype dtype)
{
    folder = bench_model(dtype);
    bed_open(&b, folder);
    runs[0] = bed_run(&b, NULL, BED_KEEP_ALL);
    runs[1] = bed_run(&b, NULL, 0);
}

static void bed_end(void)
{
    run_free(runs[0]), run_free(runs[1]);
    bed_close(&b);
}

int main(int argc, char **argv)
{
    static const int two[] = {32, 128}, four[] = {1, 16, 32, 128};
    static const double g1[] = {.85, .65}, g2[] = {.75, .40, .33, .20};
    bench_take_options(&argc, argv);
    if (argc > 1) {
        fprintf(stderr, "bench_peer: %s · --threads N, --busy, --goals\n", argv[1]);
        return 2;
    }
    bed_begin(ST_F32);
    against_llama("G1", "f32", two, g1, 2, true);
    torch_start(folder);
    against_torch();
    attribution();
    exactness();
    torch_end();
    bed_end();
    bed_begin(ST_BF16);
    against_llama("G2", "bf16", four, g2, 4, false);
    bed_end();
    bench_model_remove();
    return 0;
}
