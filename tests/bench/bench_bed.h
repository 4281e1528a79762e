/* bench_bed.h - a model opened on the cpu or another device, its prompt and runs of it, as several
 * benchmarks use them.  What fails ends the program with a line. */
#ifndef BENCH_BED_H
#define BENCH_BED_H

#include "bench.h"
#include "measure/lens.h"

struct bed {
    struct model *m;
    struct kn_backend *be;
    int32_t tokens[BENCH_TOKENS_MAX], n, passes;
    float *logits;
};

enum { BED_PLACES = 8 }; /* positions where edits are measured, spread over the prompt */
#define BED_KEEP_ALL ((size_t)4 << 30)

void bed_open(struct bed *b, const char *folder);
void bed_open_on(struct bed *b, const char *folder, const char *backend);
void bed_close(struct bed *b);
void bed_check(int rc, const struct err *e);
/* A prompt of n tokens. */
void bed_length(struct bed *b, int32_t n);
/* A run; cache_bytes 0: nothing kept but residuals, keys and values; BED_KEEP_ALL: every site. */
struct run *bed_run(const struct bed *b, struct run *base, size_t cache_bytes);
/* Change the first token, so that nothing of the last run holds, then run, and take the last
 * logits. */
void bed_forward(struct bed *b, struct run *r);
/* Milliseconds of one edit of a fork, `blocks.LAYER.attn.hook_z[ROW, 0] = 0`, upon its base without
 * edits, and the last logits; *share: of the blocks times rows, that were computed. */
double bed_edit(struct bed *b, struct run *fork, int32_t layer, int32_t row, double *share);
/* Position p of BED_PLACES. */
static inline int32_t bed_place(const struct bed *b, int p)
{
    return (2 * p + 1) * b->n / (2 * BED_PLACES);
}

#endif
