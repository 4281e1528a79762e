/* alias_read.c - see alias_read.h. */
#include "measure/alias_read.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Rows of the sites, taken apart in units of columns that stay together, to where they lie in the
 * alias. */
static int read_parts(struct run *r, const struct alias_value *v, int32_t row0, int32_t row1,
                      float *dst, struct err *e)
{
    int64_t shape[SITE_RANK_MAX], rows = row1 - row0;
    int rank = site_shape(&run_model(r)->cfg, v->site[0].id, 1, shape), n = v->n_sites;
    int64_t d = shape[rank - 1], each = rank == 3 ? shape[1] * d : d,
            unit = v->form == FORM_THIRDS ? each : d;
    float *part = malloc((size_t)(rows * each) * sizeof *part);
    if (!part)
        return err_set(e, ERR_SYSTEM, "out of memory · values under another library's name");
    int rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        rc = run_read(r, v->site[i], row0, row1, part, NULL, e);
        for (int64_t p = 0; p < rows && !rc; p++)
            for (int64_t k = 0; k < each; k += unit) {
                int64_t at = v->form == FORM_HEAD_FIRST ? k * rows + p * unit
                                                        : (p * each + k) * n + i * unit;
                memcpy(dst + at, part + p * each + k, (size_t)unit * sizeof *dst);
            }
    }
    free(part);
    return rc;
}

int alias_read(struct run *r, const struct alias_value *v, int32_t row0, int32_t row1, float *dst,
               struct err *e)
{
    assert(v->form != FORM_REFUSED && "a refused name has no value");
    return v->form == FORM_SITE || v->form == FORM_FLAT
               ? run_read(r, v->site[0], row0, row1, dst, NULL, e)
               : read_parts(r, v, row0, row1, dst, e);
}
