/* bench_attention.c - attention per operation beside the products of the same rows.
 *
 *   bench_attention [--threads N] [--busy] [--goals]
 *
 * Twelve heads of 64, as GPT-2 small has them.  Operations of attention: two for each visible
 * score and each of the 64 elements, of scores and of the mix; those of the products, of the four
 * matrices of one block, in the same rounds.
 *
 * What bounds it: docs/performance.md, Attention.
 */
#include "bench.h"
#include "bench_row.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEADS = 12, D_HEAD = 64, D_MODEL = HEADS * D_HEAD, CHUNK = 256 };

static struct kn_backend *be;
static float *q, *k, *v, *z, *scores, *pattern, *x, *out, *weight;

static float *numbers(int64_t n)
{
    float *p = be->type->alloc(be, (size_t)n * sizeof *p);
    if (!p) {
        fprintf(stderr, "bench_attention: out of memory\n");
        exit(1);
    }
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(i % 1021) / 1021 - 0.5f;
    return p;
}

static void run(const struct kn_call *c)
{
    if (kn_run(be, c) != KN_OK)
        abort();
}

/* Rows in chunks, as the engine computes them; fused: nobody looks at scores and pattern. */
static void attention(int64_t n, bool fused)
{
    for (int64_t r0 = 0; r0 < n; r0 += CHUNK) {
        int64_t r1 = r0 + CHUNK < n ? r0 + CHUNK : n, rows = r1 - r0;
        struct kn_view s = kn_view3(scores, KN_F32, HEADS, rows, r1),
                       p = kn_view3(pattern, KN_F32, HEADS, rows, r1),
                       qv = kn_view3(q + r0 * D_MODEL, KN_F32, rows, HEADS, D_HEAD),
                       kv = kn_view3(k, KN_F32, r1, HEADS, D_HEAD),
                       vv = kn_view3(v, KN_F32, r1, HEADS, D_HEAD),
                       zv = kn_view3(z + r0 * D_MODEL, KN_F32, rows, HEADS, D_HEAD);
        struct kn_param param = {.scale = 0.125f, .dest0 = (int32_t)r0};
        if (fused) {
            run(&(struct kn_call){
                .op = KN_OP_ATTENTION, .out = {zv}, .in = {qv, kv, vv}, .p = param});
            continue;
        }
        run(&(struct kn_call){.op = KN_OP_ATTN_SCORES, .out = {s}, .in = {qv, kv}, .p = param});
        run(&(struct kn_call){.op = KN_OP_SOFTMAX, .out = {p}, .in = {s}, .p = param});
        run(&(struct kn_call){.op = KN_OP_ATTN_MIX, .out = {zv}, .in = {p, vv}, .p = param});
    }
}

static void products(int64_t n)
{
    static const int64_t shape[4][2] = {
        {3 * D_MODEL, D_MODEL}, {D_MODEL, D_MODEL}, {4 * D_MODEL, D_MODEL}, {D_MODEL, 4 * D_MODEL}};
    for (int64_t r0 = 0; r0 < n; r0 += CHUNK)
        for (int i = 0; i < 4; i++) {
            int64_t rows = r0 + CHUNK < n ? CHUNK : n - r0;
            struct kn_view w = kn_view2(weight, KN_F32, shape[i][0], shape[i][1]);
            w.stride[0] = 1, w.stride[1] = shape[i][0]; /* GPT-2's Conv1D */
            run(&(struct kn_call){.op = KN_OP_LINEAR,
                                  .out = {kn_view2(out, KN_F32, rows, shape[i][0])},
                                  .in = {kn_view2(x, KN_F32, rows, shape[i][1]), w}});
        }
}

int main(int argc, char **argv)
{
    static const int64_t lengths[] = {128, 512, 2048};
    char why[200], what[80];
    bench_take_options(&argc, argv);
    be = argc == 1 ? kn_open(&(struct kn_options){.backend = "cpu",
                                                  .threads = bench_options.threads,
                                                  .cpu = -1},
                             why, sizeof why)
                   : NULL;
    if (!be) {
        fprintf(stderr, "bench_attention: %s\n", argc > 1 ? "--threads N, --busy, --goals" : why);
        return 2;
    }
    q = numbers(2048 * D_MODEL), k = numbers(2048 * D_MODEL), v = numbers(2048 * D_MODEL);
    z = numbers(2048 * D_MODEL), x = numbers(CHUNK * 4 * D_MODEL),
    out = numbers(CHUNK * 4 * D_MODEL);
    scores = numbers(HEADS * CHUNK * 2048), pattern = numbers(HEADS * CHUNK * 2048);
    weight = numbers(4 * D_MODEL * D_MODEL);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        double a[2][BENCH_ROUNDS], p[BENCH_ROUNDS], n = (double)lengths[i];
        for (int round = -1; round < BENCH_ROUNDS; round++) {
            double at[4];
            for (int c = 0; c < 3; c++) {
                at[c] = bench_now();
                if (c < 2)
                    attention(lengths[i], c == 1);
                else
                    products(lengths[i]);
            }
            at[3] = bench_now();
            if (round < 0)
                continue;
            for (int c = 0; c < 2; c++)
                a[c][round] = (at[c + 1] - at[c]) / (2.0 * D_MODEL * n * (n + 1));
            p[round] = (at[3] - at[2]) / (24.0 * D_MODEL * D_MODEL * n);
        }
        snprintf(what, sizeof what, "attention / products, per operation, %d tokens", (int)n);
        bench_report_ratio("", what, "<=", 1, a[1], p, BENCH_ROUNDS);
        snprintf(what, sizeof what, "the same with its pattern looked at, %d tokens", (int)n);
        bench_report_ratio("", what, "", 0, a[0], p, BENCH_ROUNDS);
    }
    kn_close(be);
    return 0;
}
