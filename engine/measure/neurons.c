/* neurons.c - the neurons of a layer that are most active (see neurons.h). */
#include "measure/neurons.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "measure/circuit.h"

enum { CHUNK_FLOATS = 1 << 20 };

static float magnitude(float v)
{
    return isnan(v) ? INFINITY : fabsf(v);
}

/* The value of largest magnitude of every neuron and its row: best[d_mlp], at[d_mlp]. */
static int most_active(struct run *r, struct site_ref site, int32_t row0, int32_t row1, float *best,
                       int32_t *at, struct err *e)
{
    int64_t width = site_row_size(&run_model(r)->cfg, site.id, run_length(r));
    int32_t step = width < CHUNK_FLOATS ? (int32_t)(CHUNK_FLOATS / width) : 1;
    step = step < row1 - row0 ? step : row1 - row0;
    float *v = malloc((size_t)(width * step) * sizeof *v);
    int rc = v ? 0 : err_memory(e, "neurons");
    for (int32_t i = row0, rows; i < row1 && !rc; i += rows) {
        rows = row1 - i < step ? row1 - i : step;
        rc = run_read(r, site, i, i + rows, v, NULL, e);
        for (int32_t d = 0; d < rows && !rc; d++)
            for (int64_t k = 0; k < width; k++) {
                float now = v[d * width + k];
                if ((i == row0 && d == 0) || magnitude(now) > magnitude(best[k]))
                    best[k] = now, at[k] = i + d;
            }
    }
    free(v);
    return rc;
}

/* The k largest of best[n], into out by falling magnitude. */
static void choose(const float *best, const int32_t *at, int64_t n, int32_t k,
                   struct lens_neuron *out)
{
    int32_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t place = found;
        while (place > 0 && magnitude(best[i]) > magnitude(out[place - 1].value))
            place--;
        if (place == k)
            continue;
        for (int32_t j = found < k ? found : k - 1; j > place; j--)
            out[j] = out[j - 1];
        out[place] = (struct lens_neuron){.neuron = (int32_t)i, .row = at[i], .value = best[i]};
        found += found < k;
    }
}

/* Column `neuron` of W_out for each of them: x[k][d_model]. */
static int directions(struct run *r, int32_t layer, const struct lens_neuron *list, int32_t k,
                      float *x, struct err *e)
{
    const struct kn_view *w = run_weight(r, layer, W_OUT);
    float *row = malloc((size_t)w->shape[1] * sizeof *row);
    if (!row)
        return err_memory(e, "neurons");
    for (int64_t i = 0; i < w->shape[0]; i++) {
        kn_decode_rows(w, i, 1, row);
        for (int32_t j = 0; j < k; j++)
            x[j * w->shape[0] + i] = row[list[j].neuron];
    }
    free(row);
    return 0;
}

static int add_tokens(struct run *r, int32_t layer, struct lens_neuron *list, int32_t k,
                      struct err *e)
{
    const struct model *m = run_model(r);
    size_t d = (size_t)m->cfg.d_model, n = (size_t)k * NEURON_TOKENS;
    float *x = malloc((size_t)k * d * sizeof *x);
    struct lens_top *top = malloc(2 * n * sizeof *top);
    int rc = x && top ? directions(r, layer, list, k, x, e) : err_memory(e, "neurons");
    if (!rc)
        rc = circuit_says(m, x, k, NEURON_TOKENS, top, top + n, e);
    for (int32_t i = 0; i < k && !rc; i++)
        for (int t = 0; t < NEURON_TOKENS; t++) {
            list[i].says[t] = top[i * NEURON_TOKENS + t];
            list[i].against[t] = top[n + (size_t)(i * NEURON_TOKENS + t)];
        }
    free(x), free(top);
    return rc;
}

int lens_neurons(struct run *r, int32_t layer, int32_t row0, int32_t row1, int32_t k,
                 struct lens_neuron *out, struct err *e)
{
    const struct site_ref site = {SITE_POST, layer};
    const struct config *cfg = &run_model(r)->cfg;
    int64_t width = site_row_size(cfg, site.id, run_length(r));
    assert(row0 < row1 && k >= 1 && k <= LENS_TOP_MAX && k <= width);
    float *best = malloc((size_t)width * sizeof *best);
    int32_t *at = malloc((size_t)width * sizeof *at);
    int rc = best && at ? most_active(r, site, row0, row1, best, at, e) : err_memory(e, "neurons");
    if (!rc)
        choose(best, at, width, k, out);
    if (!rc && !cfg->headless && cfg->d_vocab >= NEURON_TOKENS)
        rc = add_tokens(r, layer, out, k, e);
    else
        for (int32_t i = 0; i < k && !rc; i++)
            for (int t = 0; t < NEURON_TOKENS; t++)
                out[i].says[t].id = out[i].against[t].id = -1;
    free(best), free(at);
    return rc;
}
