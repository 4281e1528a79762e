/* nonfinite.c - where the first NaN or infinity of a run stands (see nonfinite.h). */
#include "measure/nonfinite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "measure/lens.h"

enum { CHUNK_FLOATS = 1 << 18 };

/* Place of the first one among n values, n: there is none. */
static int64_t first_of(const float *v, int64_t n, bool masked)
{
    int64_t i = 0;
    while (i < n && (isfinite(v[i]) || (masked && v[i] < 0)))
        i++;
    return i;
}

/* Flat index in [rows of a chunk] to an index of the site. */
static void unravel(int64_t at, const int64_t *shape, int rank, int axis, int32_t row0,
                    int64_t *index)
{
    for (int i = rank - 1; i >= 0; i--) {
        index[i] = at % shape[i];
        at /= shape[i];
    }
    index[axis] += row0;
}

/* The first position of a site that has one. */
static int search(struct run *r, struct site_ref s, struct lens_nonfinite *out, struct err *e)
{
    const struct config *cfg = &run_model(r)->cfg;
    int32_t n = run_length(r);
    int64_t shape[SITE_RANK_MAX], row = site_row_size(cfg, s.id, n);
    int rank = site_shape(cfg, s.id, n, shape), axis = site_row_axis(s.id), rc = 0;
    int32_t step = row < CHUNK_FLOATS ? (int32_t)(CHUNK_FLOATS / row) : 1;
    step = step < n ? step : n;
    float *v = malloc((size_t)(row * step) * sizeof *v);
    if (!v)
        return err_memory(e, "the first NaN");
    for (int32_t i = 0; i < n && !rc && !out->found; i += step) {
        int32_t rows = n - i < step ? n - i : step;
        int64_t count = row * rows;
        rc = run_read(r, s, i, i + rows, v, NULL, e);
        for (int32_t k = 0; k < rows && !rc && !out->found; k++) { /* by position, then within it */
            shape[axis] = rows;
            int64_t inner = 1, outer;
            for (int a = axis + 1; a < rank; a++)
                inner *= shape[a];
            outer = count / inner / rows;
            for (int64_t o = 0; o < outer && !out->found; o++) {
                int64_t from = (o * rows + k) * inner,
                        at = first_of(v + from, inner, s.id == SITE_ATTN_SCORES);
                if (at == inner)
                    continue;
                *out = (struct lens_nonfinite){.found = true, .site = s, .value = v[from + at]};
                unravel(from + at, shape, rank, axis, i, out->index);
            }
        }
    }
    free(v);
    return rc;
}

/* Has the answer's row of logits one? */
static int answer_has(struct run *r, bool *has, struct err *e)
{
    const struct model *m = run_model(r);
    *has = false;
    if (m->cfg.headless)
        return 0;
    float *logits = malloc((size_t)m->cfg.d_vocab * sizeof *logits);
    if (!logits)
        return err_memory(e, "the first NaN");
    int rc = lens_logits(r, model_answer_row(m, run_tokens(r), run_length(r)), logits, e);
    *has = !rc && first_of(logits, m->cfg.d_vocab, true) < m->cfg.d_vocab;
    free(logits);
    return rc;
}

/* The stages that a residual stream has been through: up to the first that has one, n_layers + 1 if
 * none. */
static int first_column(struct run *r, int32_t *column, struct err *e)
{
    int32_t layers = run_model(r)->cfg.n_layers;
    int rc = 0;
    for (*column = 0; *column <= layers; ++*column) {
        struct lens_nonfinite there = {0};
        rc = search(r, run_lens_site(run_model(r), *column), &there, e);
        if (rc || there.found)
            break;
    }
    return rc;
}

/* Sites between two residual streams, column - 1 and column. */
static int search_stage(struct run *r, int32_t column, struct lens_nonfinite *out, struct err *e)
{
    const struct model *m = run_model(r);
    struct site_ref *sites = malloc(((size_t)m->cfg.n_layers + 1) * SITE_COUNT * sizeof *sites);
    if (!sites)
        return err_memory(e, "the first NaN");
    int32_t n = site_list(&m->cfg, sites), i = 0;
    int rc = 0;
    if (column > 0)
        while (i < n && !site_same(sites[i], run_lens_site(m, column - 1)))
            i++;
    for (; i < n && !rc && !out->found; i++)
        if (site_fires(&m->cfg, sites[i].id) && sites[i].id != SITE_TOKENS)
            rc = search(r, sites[i], out, e);
    free(sites);
    return rc;
}

int lens_nonfinite(struct run *r, struct lens_nonfinite *out, struct err *e)
{
    struct lens_nonfinite last = {0}, found = {0};
    bool in_answer = false;
    int32_t column;
    int rc = search(r, run_lens_site(run_model(r), run_model(r)->cfg.n_layers), &last, e);
    if (!rc && !last.found)
        rc = answer_has(r, &in_answer, e);
    if (!rc && (last.found || in_answer)) {
        rc = first_column(r, &column, e);
        if (!rc)
            rc = search_stage(r, column, &found, e);
        if (!rc && !found.found) /* in the logits alone, at a place that only they have */
            found = last;
    }
    if (!rc)
        *out = found;
    return rc;
}
