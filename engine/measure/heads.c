/* heads.c - what views of all heads show of each (see heads.h). */
#include "measure/heads.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "measure/circuit.h"

enum { CHUNK_FLOATS = 1 << 20 };

int32_t heads_small_part(int32_t i, int32_t n, int32_t side)
{
    return (int32_t)(((int64_t)i * side + side - 1) / n);
}

void heads_small_row(const float *row, int32_t n, int32_t dest, int32_t side, float *to)
{
    to += (int64_t)heads_small_part(dest, n, side) * side;
    for (int32_t s = 0; s < n; s++) {
        float *at = &to[heads_small_part(s, n, side)];
        *at = isnan(row[s]) || row[s] > *at ? row[s] : *at;
    }
}

int heads_small(struct run *r, int32_t layer, int32_t side, float *out, struct err *e)
{
    const struct site_ref site = {SITE_PATTERN, layer};
    const struct config *cfg = &run_model(r)->cfg;
    int32_t n = run_length(r), heads = cfg->n_heads;
    assert(side >= 1 && side <= n && side <= HEADS_SMALL_MAX);
    int64_t row = site_row_size(cfg, site.id, n);
    int32_t step = row < CHUNK_FLOATS ? (int32_t)(CHUNK_FLOATS / row) : 1;
    step = step < n ? step : n;
    float *v = malloc((size_t)(row * step) * sizeof *v);
    int rc = v ? 0 : err_memory(e, "patterns");
    for (int64_t i = 0; i < (int64_t)heads * side * side; i++)
        out[i] = 0;
    for (int32_t i = 0, rows; i < n && !rc; i += rows) {
        rows = n - i < step ? n - i : step;
        rc = run_read(r, site, i, i + rows, v, NULL, e);
        for (int64_t h = 0; h < heads && !rc; h++)
            for (int32_t d = 0; d < rows; d++)
                heads_small_row(v + (h * rows + d) * n, n, i + d, side, out + h * side * side);
    }
    free(v);
    return rc;
}

/* x[d_model] = W_O z of one head; rows of W_O are elements of the stream, columns all heads'. */
static void write_out(const struct kn_view *w, int32_t head, int64_t d_head, const float *z,
                      float *row, float *x)
{
    for (int64_t i = 0; i < w->shape[0]; i++) {
        kn_decode_rows(w, i, 1, row);
        double sum = 0;
        for (int64_t k = 0; k < d_head; k++)
            sum += (double)row[head * d_head + k] * (double)z[k];
        x[i] = (float)sum;
    }
}

int heads_says(struct run *r, int32_t layer, int32_t head, int32_t row, int32_t k,
               struct lens_top *out, struct err *e)
{
    const struct model *m = run_model(r);
    const struct kn_view *w = run_weight(r, layer, W_O);
    int64_t d_head = m->cfg.d_head, d = m->cfg.d_model, all = w->shape[1];
    float *z = malloc((size_t)(d_head + all + d) * sizeof *z);
    struct lens_top *least = malloc((size_t)k * sizeof *least);
    int rc = z && least ? 0 : err_memory(e, "what a head writes");
    if (!rc)
        rc = run_read_heads(r, (struct site_ref){SITE_Z, layer}, row, row + 1, head, head + 1, z,
                            e);
    if (!rc) {
        write_out(w, head, d_head, z, z + d_head, z + d_head + all);
        rc = circuit_says(m, z + d_head + all, 1, k, out, least, e);
    }
    free(z), free(least);
    return rc;
}
