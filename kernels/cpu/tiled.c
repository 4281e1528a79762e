/* tiled.c - see tiled.h. */
#include "tiled.h"

#include <stdlib.h>

enum {
    ROWS = 16,     /* of a tile */
    PACK_K = 512,  /* k that is packed at a time */
    MEND_ROWS = 16 /* rows that are made anew at a time */
};

enum kn_status tiled_reserve(struct cpu *c, size_t bytes)
{
    enum { ALIGN = 64 };
    if (bytes <= c->packed_bytes)
        return KN_OK;
    free(c->packed);
    c->packed = aligned_alloc(ALIGN, (bytes + ALIGN - 1) / ALIGN * ALIGN);
    c->packed_bytes = c->packed ? bytes : 0;
    return c->packed ? KN_OK : KN_OUT_OF_MEMORY;
}

static int64_t steps(const struct gemm *g)
{
    return (g->k + TILE_K - 1) / TILE_K;
}

int64_t tiled_row(const struct gemm *g, int64_t row)
{
    return row / ROWS * steps(g) * g->terms * g->tile_rows * 64;
}

size_t tiled_plan(const struct isa *isa, struct gemm *g)
{
    g->terms = isa->terms;
    g->tile_rows = g->m < ROWS ? g->m : ROWS;
    return (size_t)tiled_row(g, g->m + ROWS - 1);
}

struct packing {
    const struct isa *isa;
    const struct gemm *g;
    bool nk;
    int64_t x_group, row_groups, k_parts;
    char *to;
};

static void pack_units(void *ctx, int64_t first, int64_t end, void *scratch)
{
    const struct packing *p = ctx;
    (void)scratch;
    for (int64_t i = first; i < end; i++) {
        int64_t k = i % p->k_parts * PACK_K, rows = i / p->k_parts % p->row_groups,
                group = i / p->k_parts / p->row_groups;
        struct gemm g = *p->g;
        g.x += group * p->x_group;
        char *to = p->to + tiled_row(&g, (group * p->row_groups + rows) * ROWS) +
                   k / TILE_K * g.terms * g.tile_rows * 64;
        p->isa->tiles->pack(&g, p->nk, rows, k, k + PACK_K < g.k ? k + PACK_K : g.k, to);
    }
}

enum kn_status tiled_pack(struct cpu *c, const struct gemm *g, bool nk, int64_t groups,
                          int64_t x_group, char *to)
{
    struct packing p = {
        c->isa, g, nk, x_group, (g->m + ROWS - 1) / ROWS, (g->k + PACK_K - 1) / PACK_K, to};
    int64_t cost = (g->k < PACK_K ? g->k : PACK_K) * g->tile_rows * g->terms;
    return cpu_each(c, groups * p.row_groups * p.k_parts, cost, pack_units, &p);
}

static bool is_finite(float x)
{
    return x - x == 0;
}

static bool row_finite(const float *x, int64_t n)
{
    bool all = true;
    for (int64_t i = 0; i < n; i++)
        all &= is_finite(x[i]);
    return all;
}

/* Rows [row, row + m) of columns [lo, hi). */
static void mend(const struct isa *isa, const struct gemm *g, bool nk, int64_t lo, int64_t hi,
                 int64_t row, int64_t m)
{
    float anew[MEND_ROWS * GEMM_COLUMNS];
    struct gemm part = *g;
    gemm_skip(&part, lo * (nk ? g->w_stride : 1));
    part.x += row * g->x_stride;
    part.m = m;
    part.n = hi - lo;
    part.out = anew;
    part.out_stride = GEMM_COLUMNS;
    if (nk)
        isa->gemm_nk(&part);
    else
        isa->gemm_kn(&part);
    for (int64_t i = 0; i < m; i++)
        for (int64_t n = lo; n < hi; n++) {
            float *out = g->out + (row + i) * g->out_stride + n;
            if (!is_finite(*out))
                *out = anew[i * GEMM_COLUMNS + n - lo];
        }
}

void tiled_gemm(const struct isa *isa, const struct gemm *g, bool nk)
{
    if (isa->tiles->gemm(isa, g, nk))
        return;
    for (int64_t lo = 0, hi; lo < g->n; lo = hi) {
        hi = lo + GEMM_COLUMNS < g->n ? lo + GEMM_COLUMNS : g->n;
        for (int64_t row = 0, m; row < g->m; row += m ? m : 1) {
            for (m = 0; m < MEND_ROWS && row + m < g->m; m++)
                if (row_finite(g->out + (row + m) * g->out_stride + lo, hi - lo))
                    break;
            if (m > 0)
                mend(isa, g, nk, lo, hi, row, m);
        }
    }
}
