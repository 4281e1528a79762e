/* alias_read.c - shapes, values and index maps of aliases: what arch_names.def's forms mean.
 *
 * Tested in tests/engine/test_alias.c against the tensors that Hugging Face's modules take and
 * return. */
#include "names/alias.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *alias_form_text(enum alias_form form)
{
    switch (form) {
    case FORM_FLAT: return "heads joined: column k is head k / d_head, element k % d_head";
    case FORM_THIRDS: return "q, k and v with their heads joined, one after the other";
    case FORM_HEADS: return "q, k and v of head 0, then of head 1, and so on";
    case FORM_SITE:
    case FORM_REFUSED: break;
    }
    return NULL;
}

/* Columns that one site of a flat form has. */
static int64_t columns(const struct config *cfg, struct site_ref s)
{
    int64_t shape[SITE_RANK_MAX];
    int rank = site_shape(cfg, s.id, 1, shape);
    return rank == 3 ? shape[1] * shape[2] : shape[1];
}

int alias_shape(const struct config *cfg, const struct alias_value *v, int32_t n_pos,
                int64_t shape[ALIAS_RANK_MAX], const char *dims[ALIAS_RANK_MAX])
{
    static const char *const word[] = {[FORM_FLAT] = "head*d_head",
                                       [FORM_THIRDS] = "qkv*head*d_head",
                                       [FORM_HEADS] = "head*qkv*d_head"};
    if (v->form == FORM_SITE) {
        int rank = site_shape(cfg, v->site[0].id, n_pos, shape);
        for (int i = 0; i < rank && dims; i++)
            dims[i] = site_dim_name(site_table[v->site[0].id].dims[i]);
        return rank;
    }
    shape[0] = n_pos;
    shape[1] = 0;
    for (int i = 0; i < v->n_sites; i++)
        shape[1] += columns(cfg, v->site[i]);
    if (dims) {
        dims[0] = site_dim_name(DIM_POS);
        dims[1] = word[v->form];
    }
    return 2;
}

int alias_row_axis(const struct alias_value *v)
{
    return v->form == FORM_SITE ? site_row_axis(v->site[0].id) : 0;
}

struct alias_at alias_map_index(const struct config *cfg, const struct alias_value *v, int64_t k)
{
    int64_t d = cfg->d_head, each = columns(cfg, v->site[0]);
    if (v->form == FORM_HEADS)
        return (struct alias_at){(int)(k / d % v->n_sites), (int32_t)(k / (d * v->n_sites)),
                                 (int32_t)(k % d)};
    assert(v->form == FORM_FLAT || v->form == FORM_THIRDS);
    return (struct alias_at){(int)(k / each), (int32_t)(k % each / d), (int32_t)(k % d)};
}

bool alias_is_site(const struct alias_value *v)
{
    return v->form == FORM_SITE && !v->spread;
}

/* Column of an element of the part-th site. */
static int64_t column_of(const struct config *cfg, const struct alias_value *v, int64_t part,
                         int64_t head, int64_t d)
{
    if (v->form == FORM_HEADS)
        return (head * v->n_sites + part) * cfg->d_head + d;
    return part * columns(cfg, v->site[0]) + head * cfg->d_head + d;
}

void alias_add_row(const struct config *cfg, const struct alias_value *v, struct site_ref s,
                   const struct kn_view *row, float *dst)
{
    assert(row->ndim == 3 && !alias_is_site(v));
    for (int i = 0; i < v->n_edits; i++) {
        if (v->edit[i].id != s.id || v->edit[i].layer != s.layer)
            continue;
        for (int64_t h = 0; h < row->shape[1]; h++)
            for (int64_t d = 0; d < row->shape[2]; d++)
                dst[v->spread ? d : column_of(cfg, v, i, h, d)] += ((const float *)row
                                                                        ->data)[h * row->stride[1] +
                                                                                d * row->stride[2]];
    }
}

/* ---- values
 * ---------------------------------------------------------------------------------------- */

/* q, k and v side by side: THIRDS in one run of columns each, HEADS d_head columns at a time. */
static int read_fused(struct run *r, const struct alias_value *v, int32_t row0, int32_t row1,
                      float *dst, struct err *e)
{
    const struct config *cfg = &run_model(r)->cfg;
    int64_t each = columns(cfg, v->site[0]), rows = row1 - row0;
    int64_t unit = v->form == FORM_HEADS ? cfg->d_head : each;
    float *part = malloc((size_t)(rows * each) * sizeof *part);
    if (!part)
        return err_set(e, ERR_SYSTEM, "out of memory · a fused projection");
    int rc = 0;
    for (int i = 0; i < v->n_sites && !rc; i++) {
        rc = run_read(r, v->site[i], row0, row1, part, NULL, e);
        for (int64_t p = 0; p < rows && !rc; p++)
            for (int64_t k = 0; k < each; k += unit)
                memcpy(dst + p * each * v->n_sites + k * v->n_sites + i * unit, part + p * each + k,
                       (size_t)unit * sizeof *dst);
    }
    free(part);
    return rc;
}

int alias_read(struct run *r, const struct alias_value *v, int32_t row0, int32_t row1, float *dst,
               struct err *e)
{
    assert(v->form != FORM_REFUSED && "a refused name has no value");
    bool fused = v->form == FORM_THIRDS || v->form == FORM_HEADS;
    return fused ? read_fused(r, v, row0, row1, dst, e)
                 : run_read(r, v->site[0], row0, row1, dst, NULL, e);
}
