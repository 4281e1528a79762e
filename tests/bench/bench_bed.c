/* bench_bed.c - see bench_bed.h. */
#include "bench_bed.h"

#include <stdio.h>
#include <stdlib.h>

void bed_check(int rc, const struct err *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench: %s\n", e->text);
    bench_model_remove();
    exit(1);
}

void bed_open(struct bed *b, const char *folder)
{
    bed_open_on(b, folder, "cpu");
}

void bed_open_on(struct bed *b, const char *folder, const char *backend)
{
    struct err e = {0};
    struct kn_options options = {.backend = backend, .threads = bench_options.threads, .cpu = -1};
    *b = (struct bed){.be = kn_open(&options, e.text, sizeof e.text)};
    bed_check(b->be ? 0 : -1, &e);
    bed_check(model_open(&b->m, folder, b->be, &e), &e);
    b->logits = malloc((size_t)b->m->cfg.d_vocab * sizeof *b->logits);
}

void bed_close(struct bed *b)
{
    free(b->logits);
    model_close(b->m);
    kn_close(b->be);
}

void bed_length(struct bed *b, int32_t n)
{
    b->n = n;
    bench_tokens(b->tokens, n, b->m->cfg.d_vocab, 0);
}

struct run *bed_run(const struct bed *b, struct run *base, size_t cache_bytes)
{
    struct err e;
    struct run_options opt = {.cache_bytes = cache_bytes};
    struct run *r = run_create(b->m, base, &opt, &e);
    bed_check(r ? 0 : -1, &e);
    return r;
}

void bed_forward(struct bed *b, struct run *r)
{
    struct err e;
    struct run_cost cost;
    b->tokens[0] = ++b->passes % b->m->cfg.d_vocab;
    bed_check(run_sync(r, run_ids(b->tokens, b->n), NULL, NULL, &cost, &e), &e);
    if (cost.share < 1) {
        err_set(&e, ERR_SYSTEM, "only %g of the blocks were computed", cost.share);
        bed_check(-1, &e);
    }
    bed_check(lens_logits(r, b->n - 1, b->logits, &e), &e);
}

double bed_edit(struct bed *b, struct run *fork, int32_t layer, int32_t row, double *share)
{
    char text[80];
    struct err e;
    struct edit *ed;
    struct edit_program *prog;
    struct run_cost cost;
    bool on = true;
    struct edit_context ctx = {.cfg = &b->m->cfg, .n_pos = b->n};
    snprintf(text, sizeof text, "blocks.%d.attn.hook_z[%d, 0] = 0", layer, row);
    bed_check(edit_parse(&ed, text, &e), &e);
    bed_check(edit_resolve(&prog, &ed, &on, 1, &ctx, &e), &e);
    bed_check(run_sync(fork, (struct run_input){0}, NULL, NULL, NULL, &e), &e);
    double from = bench_now();
    bed_check(run_sync(fork, (struct run_input){0}, prog, NULL, &cost, &e), &e);
    bed_check(lens_logits(fork, b->n - 1, b->logits, &e), &e);
    double took = bench_now() - from;
    *share = cost.share;
    edit_program_free(prog);
    edit_free(ed);
    return took;
}
