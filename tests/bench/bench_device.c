/* bench_device.c - a device beside what its own memory and matrix units allow.
 *
 *   bench_device BACKEND [--model gpt2|gpt2-bf16|1.4b|8b]... [--tokens N]... [--copy-mb N]
 *
 * Random models, written below TMPDIR (8b: 16 GB).  First the device's rates: a copy of large
 * tensors (bytes read and written), and a product of 4096 x 4096 bf16 weights with 4096 rows, as
 * the backend's provider makes it.  Then for each model and number of tokens (1, 32, 128, 512),
 * medians of
 *
 *   plain      the forward pass, nothing kept but residuals, keys and values, logits of the last
 *              position; its floor: weights over the copy's rate, or operations over the product's,
 *              whichever is more
 *   captured   every hook point of every layer kept
 *   edit       one head of the middle layer at the middle position set to 0; its share of the
 *              blocks x rows
 *   lens       the best token of every layer at the last 20 positions, with the rerun of an edit
 *   sweep      of every head of every layer, from another prompt, all positions (up to 128 tokens)
 *
 * The last column is the target of docs/devices.md and whether it is met.  Exit 77 where the
 * backend does not open.
 */
#include "bench_bed.h"
#include "run/wave.h"
#include "session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 7, SKIPPED = 77, LENS_ROWS = 20, LENGTHS_MAX = 8, MODELS_MAX = 8 };

static struct bed b;
static double copy_rate, product_rate; /* bytes and operations a millisecond */
static size_t copy_bytes = (size_t)512 << 20;

static const struct shape {
    const char *name;
    struct bench_llama llama; /* layers 0: GPT-2's small size */
    enum st_dtype dtype;
} SHAPES[] = {
    {"gpt2", {0}, ST_F32},
    {"gpt2-bf16", {0}, ST_BF16},
    {"1.4b", {24, 2048, 16, 16, 5632, 50304}, ST_BF16},
    {"8b", {32, 4096, 32, 8, 14336, 128256}, ST_BF16},
};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

static void must(enum kn_status st, const char *what)
{
    struct err e;
    if (!st)
        return;
    err_set(&e, ERR_DEVICE, "%s failed on %s · status %d", what, b.be->describe, (int)st);
    bed_check(-1, &e);
}

/* Median milliseconds of a call, each waited for. */
static double call_time(const struct kn_call *c)
{
    double took[ROUNDS];
    for (int i = -1; i < ROUNDS; i++) {
        double from = bench_now();
        must(kn_run(b.be, c), kn_op_name(c->op));
        must(b.be->type->sync(b.be), kn_op_name(c->op));
        if (i >= 0)
            took[i] = bench_now() - from;
    }
    return bench_median(took, ROUNDS);
}

static char *room(size_t bytes)
{
    char *mem = b.be->type->alloc(b.be, bytes);
    must(mem ? KN_OK : KN_OUT_OF_MEMORY, "alloc");
    return mem;
}

static void rates(int64_t side)
{
    int64_t n = (int64_t)(copy_bytes / 4096);
    size_t matrix = (size_t)(side * side);
    char *from = room(copy_bytes), *to = room(copy_bytes), *w = room(matrix * 2),
         *x = room(matrix * 4), *y = room(matrix * 4);
    const struct kn_call copy = {.op = KN_OP_COPY,
                                 .out = {kn_view2(to, KN_F32, n, 1024)},
                                 .in = {kn_view2(from, KN_F32, n, 1024)}},
                         product = {.op = KN_OP_LINEAR,
                                    .out = {kn_view2(y, KN_F32, side, side)},
                                    .in = {kn_view2(x, KN_F32, side, side),
                                           kn_view2(w, KN_BF16, side, side)}};
    copy_rate = 2.0 * (double)copy_bytes / call_time(&copy);
    product_rate = 2.0 * (double)side * (double)side * (double)side / call_time(&product);
    printf("copy %.0f GB/s, product of bf16 weights %.2f TFLOP/s\n", copy_rate / 1e6,
           product_rate / 1e9);
    b.be->type->release(b.be, y, matrix * 4), b.be->type->release(b.be, x, matrix * 4);
    b.be->type->release(b.be, w, matrix * 2), b.be->type->release(b.be, to, copy_bytes);
    b.be->type->release(b.be, from, copy_bytes);
}

/* The least milliseconds of a plain forward; the embedding is looked up, and the unembedding is of
 * one row. */
static double floor_of(int32_t n)
{
    const struct config *c = &b.m->cfg;
    double table = (double)c->d_vocab * c->d_model, whole = (double)b.m->params,
           block = whole - (c->tied ? 1 : 2) * table;
    double bytes = (block + table) * (strcmp(b.m->dtype, "f32") == 0 ? 4 : 2);
    double reading = bytes / copy_rate, working = 2 * (block * n + table) / product_rate;
    return reading > working ? reading : working;
}

static double forward_time(struct run *r)
{
    double took[ROUNDS];
    for (int i = -2; i < ROUNDS; i++) {
        double from = bench_now();
        bed_forward(&b, r);
        if (i >= 0)
            took[i] = bench_now() - from;
    }
    return bench_median(took, ROUNDS);
}

static double edit_time(struct run *base, double *share)
{
    double took[ROUNDS];
    struct run *fork = bed_run(&b, base, BED_KEEP_ALL);
    bed_forward(&b, base);
    for (int i = -1; i < ROUNDS; i++) {
        double t = bed_edit(&b, fork, b.m->cfg.n_layers / 2, b.n / 2, share);
        if (i >= 0)
            took[i] = t;
    }
    run_free(fork);
    return bench_median(took, ROUNDS);
}

static double lens_time(void)
{
    struct err e;
    struct session *s;
    struct want_list wants = {0};
    double took[ROUNDS];
    bed_check(session_open(&s, b.m, BED_KEEP_ALL, &e), &e);
    int32_t first = b.n > LENS_ROWS ? b.n - LENS_ROWS : 0;
    for (int32_t c = 1; c <= b.m->cfg.n_layers; c++)
        want_add(&wants, want_make(WANT_CELL, run_lens_site(b.m, c), first, b.n));
    for (int i = -2; i < ROUNDS; i++) {
        char text[80];
        struct edit *edit;
        snprintf(text, sizeof text, "blocks.%d.attn.hook_z[%d, 0] *= %g", b.m->cfg.n_layers / 2,
                 first, 0.01 * (i + 3));
        bed_check(edit_parse(&edit, text, &e), &e);
        struct session_want w = {
            .target = {.input = run_ids(b.tokens, b.n), .edits = &edit, .n_edits = 1},
            .wants = wants.item,
            .n_wants = wants.n};
        double from = bench_now();
        const struct snapshot *snap = session_wait(s, session_request(s, &w));
        if (i >= 0)
            took[i] = bench_now() - from;
        bed_check(snap ? snap->err.code : -1, &snap->err);
        snapshot_release(snap);
        edit_free(edit);
    }
    session_close(s);
    want_list_free(&wants);
    return bench_median(took, ROUNDS);
}

static int drop(void *user, const struct wave_value *v, struct err *e)
{
    (void)user, (void)v, (void)e;
    return 0;
}

static double sweep_time(struct run *base, int32_t *variants)
{
    const struct config *c = &b.m->cfg;
    static const int32_t picks[2] = {11, 42};
    int32_t last = b.n - 1, other[BENCH_TOKENS_MAX];
    struct run *clean = bed_run(&b, NULL, BED_KEEP_ALL);
    struct wave_variant *v = calloc((size_t)(c->n_layers * c->n_heads), sizeof *v);
    struct edit_context ctx = {.cfg = c, .n_pos = b.n};
    struct wave_want want = {&last, 1, picks, 2};
    struct err e;
    bool on = true;
    *variants = 0;
    bench_tokens(other, b.n, c->d_vocab, 11);
    bed_check(run_sync(clean, run_ids(other, b.n), NULL, NULL, NULL, &e), &e);
    for (int32_t l = 0; l < c->n_layers; l++)
        for (int32_t h = 0; h < c->n_heads; h++) {
            char text[80];
            struct edit *ed;
            struct edit_program *p;
            snprintf(text, sizeof text, "blocks.%d.attn.hook_z[:, %d] = from(clean)", l, h);
            bed_check(edit_parse(&ed, text, &e), &e);
            bed_check(edit_resolve(&p, &ed, &on, 1, &ctx, &e), &e);
            edit_free(ed);
            v[(*variants)++] = (struct wave_variant){p, &clean, NULL};
        }
    bed_check(wave_run(base, v, *variants, &want, drop, NULL, &e), &e);
    double from = bench_now();
    bed_check(wave_run(base, v, *variants, &want, drop, NULL, &e), &e);
    double took = bench_now() - from;
    for (int32_t i = 0; i < *variants; i++)
        edit_program_free((struct edit_program *)(uintptr_t)v[i].prog);
    free(v);
    run_free(clean);
    return took;
}

static void line(const char *what, double ms, const char *ratio, double times, double most)
{
    printf("  %-34s %10.3f ms", what, ms);
    if (ratio)
        printf("  %6.2f of %s", times, ratio);
    if (ratio && most > 0)
        printf("  (<= %.2f: %s)", most, times <= most ? "met" : "MISSED");
    putchar('\n');
    fflush(stdout);
}

static void at_length(const struct shape *s, int32_t n)
{
    enum { SWEEP_TOKENS = 128 };
    double share;
    char text[60];
    bed_length(&b, n);
    struct run *plain = bed_run(&b, NULL, 0), *all = bed_run(&b, NULL, BED_KEEP_ALL);
    double least = floor_of(n), p = forward_time(plain), c = forward_time(all);
    bool small = s->llama.layers == 0;
    printf("%s, %d tokens\n", s->name, (int)n);
    line("plain", p, "its floor", p / least, small ? 0 : 1.3);
    if (small && n == 32)
        line("plain, target 0.4 ms", p, "it", p / 0.4, 1);
    line("captured", c, "plain", c / p, 1.1);
    double t = edit_time(all, &share);
    snprintf(text, sizeof text, "edit, share %.2f of blocks x rows", share);
    line(text, t, "captured", t / c, 0);
    t = lens_time();
    line("lens after an edit", t, "plain", t / p, 0);
    if (n > 1 && n <= SWEEP_TOKENS) {
        int32_t variants;
        t = sweep_time(all, &variants);
        snprintf(text, sizeof text, "sweep of %d heads", (int)variants);
        line(text, t, "plain passes", t / (p * variants), 0);
    }
    run_free(all), run_free(plain);
}

static const struct shape *shape_named(const char *name)
{
    for (int i = 0; i < SHAPE_COUNT; i++)
        if (strcmp(SHAPES[i].name, name) == 0)
            return &SHAPES[i];
    return NULL;
}

static void with_shape(const struct shape *s, const char *backend, const int *lengths, int n,
                       int64_t side)
{
    bed_open_on(&b, s->llama.layers ? bench_llama(&s->llama) : bench_model(s->dtype), backend);
    printf("\n%s: %.0f M parameters, %s, on %s, driver %s\n", s->name, (double)b.m->params / 1e6,
           b.m->dtype, b.be->describe, b.be->driver);
    rates(side);
    for (int i = 0; i < n; i++)
        at_length(s, lengths[i]);
    bed_close(&b);
    bench_model_remove();
}

static bool opens(const char *backend)
{
    char why[256];
    struct kn_backend *be = kn_open(&(struct kn_options){.backend = backend, .cpu = -1}, why,
                                    sizeof why);
    if (!be)
        printf("SKIP %s\n", why);
    kn_close(be);
    return be != NULL;
}

int main(int argc, char **argv)
{
    int lengths[LENGTHS_MAX] = {1, 32, 128, 512}, n_lengths = 0, n_shapes = 0;
    int64_t side = 4096;
    const struct shape *shapes[MODELS_MAX];
    bench_take_options(&argc, argv);
    for (int i = 2; i + 1 < argc; i += 2) {
        long n = strtol(argv[i + 1], NULL, 10);
        const struct shape *s = shape_named(argv[i + 1]);
        if (strcmp(argv[i], "--model") == 0 && s && n_shapes < MODELS_MAX)
            shapes[n_shapes++] = s;
        else if (strcmp(argv[i], "--tokens") == 0 && n > 0 && n <= BENCH_TOKENS_MAX &&
                 n_lengths < LENGTHS_MAX)
            lengths[n_lengths++] = (int)n;
        else if (strcmp(argv[i], "--copy-mb") == 0 && n > 0)
            copy_bytes = (size_t)n << 20, side = n < 512 ? 512 : side;
        else
            argc = 0;
    }
    if (argc < 2 || argc % 2) {
        fprintf(stderr, "bench_device BACKEND [--model gpt2|gpt2-bf16|1.4b|8b]... [--tokens N]... "
                        "[--copy-mb N]\n");
        return 2;
    }
    if (!opens(argv[1]))
        return SKIPPED;
    for (int i = 0; n_shapes == 0 && i < SHAPE_COUNT; i++)
        with_shape(&SHAPES[i], argv[1], lengths, n_lengths ? n_lengths : 4, side);
    for (int i = 0; i < n_shapes; i++)
        with_shape(shapes[i], argv[1], lengths, n_lengths ? n_lengths : 4, side);
    return 0;
}
