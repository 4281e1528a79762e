/* bench_sweep.c - sweeps as one wave beside their variants one fork after the other, and beside the
 * floor that the machine's multiply-adds set.
 *
 *   bench_sweep [--threads N] [--busy] [--goals] [KIND]...
 *
 * A random model of GPT-2's small size, f32, 15 tokens, of which another prompt's runs are patched
 * in: `residual` (180: layer x position), `heads` (144: layer x head, all positions), `places`
 * (2160: layer x head x position); two logits of the last position of each.  In every round each
 * kind is swept both ways; one by one only every n-th variant, another one each round, and scaled.
 * The floor is the products' operations, counted in a wave, over the rate of a fused multiply-add
 * in the same round.  The logits of both ways are the same bits, which is checked. TransformerLens'
 * patching.py (bench_torch.h), which reruns the model for each, is timed by the patch and scaled.
 */

#include "bench_bed.h"
#include "bench_roof.h"
#include "bench_row.h"
#include "bench_torch.h"
#include "cpu/pool.h"
#include "run/wave.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 15, ROUNDS = 5 };

static const struct kind {
    const char *name, *goal, *peer; /* as peer.py calls it */
    int32_t heads, positions;       /* swept; 0: all together */
    int32_t one_of;                 /* that go one by one in a round */
    double times;                   /* as fast as patching.py: asked for */
} kinds[] = {
    {"residual", "G7", "resid_pre", 0, 1, 3, 45},
    {"heads", "G8", "z", 1, 0, 3, 28},
    {"places", "G8", "z_pos", 1, 1, 40, 60},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static struct bed b;
static struct run *base, *clean;
static const int32_t picks[2] = {11, 4242}, last = TOKENS - 1;

/* A sweep's variants and what came of them. */
struct sweep {
    struct wave_variant *v;
    float (*logits)[2];
    int32_t n;
};

static struct edit_program *program(const char *text)
{
    struct err e;
    struct edit *ed;
    struct edit_program *p;
    bool on = true;
    struct edit_context ctx = {.cfg = &b.m->cfg, .n_pos = TOKENS};
    bed_check(edit_parse(&ed, text, &e), &e);
    bed_check(edit_resolve(&p, &ed, &on, 1, &ctx, &e), &e);
    edit_free(ed);
    return p;
}

static struct sweep sweep_make(const struct kind *k)
{
    const struct config *c = &b.m->cfg;
    int32_t heads = k->heads ? c->n_heads : 1, places = k->positions ? TOKENS : 1;
    size_t room = (size_t)(c->n_layers * heads * places);
    struct sweep s = {calloc(room, sizeof *s.v), calloc(room, sizeof *s.logits), 0};
    for (int32_t l = 0; l < c->n_layers; l++)
        for (int32_t h = 0; h < heads; h++)
            for (int32_t p = 0; p < places; p++) {
                char text[80];
                if (!k->heads)
                    snprintf(text, sizeof text, "blocks.%d.hook_resid_pre[%d] = from(clean)", l, p);
                else if (k->positions)
                    snprintf(text, sizeof text, "blocks.%d.attn.hook_z[%d, %d] = from(clean)", l, p,
                             h);
                else
                    snprintf(text, sizeof text, "blocks.%d.attn.hook_z[:, %d] = from(clean)", l, h);
                s.v[s.n++] = (struct wave_variant){program(text), &clean, NULL};
            }
    return s;
}

static void sweep_free(struct sweep *s)
{
    for (int32_t i = 0; i < s->n; i++)
        edit_program_free((struct edit_program *)(uintptr_t)s->v[i].prog);
    free(s->v), free(s->logits);
}

static int take(void *user, const struct wave_value *v, struct err *e)
{
    struct sweep *s = user;
    (void)e;
    memcpy(s->logits[v->variant], v->logits, sizeof *s->logits);
    return 0;
}

static double wave(struct sweep *s)
{
    struct wave_want want = {&last, 1, picks, 2};
    struct err e;
    double from = bench_now();
    bed_check(wave_run(base, s->v, s->n, &want, take, s, &e), &e);
    return bench_now() - from;
}

/* Every n-th variant from `first` on, as many as there are of them scaled to all. */
static double one_by_one(const struct sweep *s, int32_t first, int32_t one_of)
{
    struct run *fork = bed_run(&b, base, BED_KEEP_ALL);
    struct err e;
    int32_t count = 0;
    double from = bench_now(), took;
    for (int32_t i = first; i < s->n; i += one_of, count++) {
        float logits[2];
        bed_check(run_sync(fork, (struct run_input){0}, s->v[i].prog, &clean, NULL, &e), &e);
        bed_check(run_logits(fork, &last, 1, picks, 2, logits, &e), &e);
        if (memcmp(logits, s->logits[i], sizeof logits)) {
            fprintf(stderr, "bench_sweep: variant %d has other logits in the wave\n", (int)i);
            exit(1);
        }
    }
    took = bench_now() - from;
    run_free(fork);
    return took * s->n / count;
}

/* Operations of products, and memory, of a wave. */
static const struct kn_backend_type *real;
static double operations;
static size_t bytes, bytes_most;

static enum kn_status counted_run(struct kn_backend *be, const struct kn_call *c)
{
    if (c->op == KN_OP_LINEAR)
        operations += 2.0 * (double)kn_count(&c->out[0]) * (double)c->in[1].shape[1];
    return real->run(be, c);
}

static void *counted_alloc(struct kn_backend *be, size_t n)
{
    bytes += n;
    bytes_most = bytes > bytes_most ? bytes : bytes_most;
    return real->alloc(be, n);
}

static void counted_release(struct kn_backend *be, void *mem, size_t n)
{
    bytes -= mem ? n : 0;
    real->release(be, mem, n);
}

static void wave_count(struct sweep *s)
{
    struct kn_backend_type type = *b.be->type;
    real = b.be->type, operations = 0, bytes = bytes_most = 0;
    type.run = counted_run, type.alloc = counted_alloc, type.release = counted_release;
    b.be->type = &type;
    wave(s);
    b.be->type = real;
}

/* What took turns in the rounds: milliseconds, and figures made of them. */
struct figures {
    double alone[ROUNDS], together[ROUNDS], peer[ROUNDS], ratio[ROUNDS], floor[ROUNDS],
        share[ROUNDS];
};

static void print_rows(const struct kind *k, int n, struct figures *f)
{
    char what[80];
    snprintf(what, sizeof what, "sweep of %d (%s), share of its floor", n, k->name);
    bench_report(k->goal, what, "%", ">=", 65, f->share, ROUNDS);
    snprintf(what, sizeof what, "TransformerLens' patching.py / sweep of %d (%s)", n, k->name);
    if (torch_why()[0])
        bench_report_absent(k->goal, what, ">=", k->times, torch_why());
    else
        bench_report_ratio(k->goal, what, ">=", k->times, f->peer, f->together, ROUNDS);
}

static void print_line(const struct kind *k, int n, struct figures *f)
{
    printf("%-9s%5d  one by one %8.1f ms  wave %8.1f ms  %5.2f times as fast  %6.1f GFLOP, floor "
           "%7.1f ms, share %3.0f %%  %5.1f MB",
           k->name, n, bench_median(f->alone, ROUNDS), bench_median(f->together, ROUNDS),
           bench_median(f->ratio, ROUNDS), operations / 1e9, bench_median(f->floor, ROUNDS),
           bench_median(f->share, ROUNDS), (double)bytes_most / 1e6);
    if (torch_why()[0])
        printf("  (patching.py: %s)\n", torch_why());
    else
        printf("  patching.py %.1f s\n", bench_median(f->peer, ROUNDS) / 1e3);
    fflush(stdout);
}

static void measure(const struct kind *k, struct pool *pool)
{
    struct sweep s = sweep_make(k);
    struct figures f;
    char task[40];
    snprintf(task, sizeof task, "patch %s", k->peer);
    wave_count(&s);
    for (int round = -1; round < ROUNDS; round++) {
        int i = round < 0 ? 0 : round;
        double flops = roof_flops(pool, roof_of(-1), bench_options.threads);
        f.together[i] = wave(&s);
        f.alone[i] = one_by_one(&s, (round + 1) % k->one_of, k->one_of);
        f.peer[i] = torch_time(task, TOKENS) * s.n;
        f.ratio[i] = f.alone[i] / f.together[i];
        f.floor[i] = operations / flops * 1e3;
        f.share[i] = 100 * f.floor[i] / f.together[i];
    }
    (bench_options.goals ? print_rows : print_line)(k, s.n, &f);
    sweep_free(&s);
}

int main(int argc, char **argv)
{
    struct err e;
    bench_take_options(&argc, argv);
    const char *folder = bench_model(ST_F32);
    bed_open(&b, folder);
    torch_start(folder);
    bed_length(&b, TOKENS);
    int32_t other[TOKENS];
    bench_tokens(other, TOKENS, b.m->cfg.d_vocab, 11);
    other[0] = b.tokens[0];
    base = bed_run(&b, NULL, BED_KEEP_ALL), clean = bed_run(&b, NULL, BED_KEEP_ALL);
    bed_check(run_sync(base, run_ids(b.tokens, TOKENS), NULL, NULL, NULL, &e), &e);
    bed_check(run_sync(clean, run_ids(other, TOKENS), NULL, NULL, NULL, &e), &e);
    struct pool *pool = pool_new(bench_options.threads);
    for (int k = 0; k < KINDS; k++) {
        bool asked = argc < 2;
        for (int i = 1; i < argc; i++)
            asked |= !strcmp(argv[i], kinds[k].name);
        if (asked)
            measure(&kinds[k], pool);
    }
    torch_end();
    pool_free(pool);
    run_free(clean), run_free(base);
    bed_close(&b);
    bench_model_remove();
    return 0;
}
