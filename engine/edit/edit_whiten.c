/* edit_whiten.c - see edit_whiten.h.  Tested in tests/engine/test_taker.c. */
#include "edit/edit_whiten.h"

#include <stdlib.h>

/* y = R x, or its transpose. */
static void rotate(const float *r, const double *x, double *y, int64_t d, bool transposed)
{
    for (int64_t i = 0; i < d; i++)
        y[i] = 0;
    for (int64_t i = 0; i < d; i++)
        for (int64_t k = 0; k < d; k++) {
            if (transposed)
                y[k] += (double)r[i * d + k] * x[i];
            else
                y[i] += (double)r[i * d + k] * x[k];
        }
}

/* One vector there and back, or its gradient. */
static void map(const struct edit_instr *instr, double *x, double *y, bool gradient)
{
    const float *offset = instr->vec, *factor = instr->vec + instr->width,
                *r = instr->vec + 2 * (int64_t)instr->width;
    bool back = instr->value == EDIT_UNWHITEN,
         first = back != gradient; /* the factors come before the rotation */
    for (int64_t i = 0; i < instr->width; i++) {
        if (!back && !gradient)
            x[i] = (double)((float)x[i] + offset[i]);
        if (first)
            x[i] *= (double)factor[i];
    }
    rotate(r, x, y, instr->width, gradient);
    for (int64_t i = 0; i < instr->width; i++) {
        if (!first)
            y[i] *= (double)factor[i];
        if (back && !gradient)
            y[i] -= (double)offset[i];
    }
}

/* The vector that begins at element `at` of a row's inner elements. */
static float *element(const struct kn_view *v, int64_t row, int64_t at)
{
    int64_t inner = v->ndim == 3 ? v->shape[2] : v->shape[1];
    float *p = kn_f32(v) + row * v->stride[0];
    return v->ndim == 3 ? p + at / inner * v->stride[1] + at % inner * v->stride[2]
                        : p + at * v->stride[1];
}

static int each(const struct edit_instr *instr, const struct kn_view *v, int32_t row0,
                bool gradient)
{
    int64_t d = instr->width, inner = v->ndim == 3 ? v->shape[1] * v->shape[2] : v->shape[1];
    double *x = malloc(2 * (size_t)d * sizeof *x);
    if (!x)
        return -1;
    for (int32_t i = 0; i < instr->axis[0].n; i++) {
        int64_t row = (instr->axis[0].list ? instr->axis[0].list[i] : instr->axis[0].lo + i) - row0;
        if (row < 0 || row >= v->shape[0])
            continue;
        for (int64_t at = 0; at < inner; at += d) {
            for (int64_t k = 0; k < d; k++)
                x[k] = (double)*element(v, row, at + k);
            map(instr, x, x + d, gradient);
            for (int64_t k = 0; k < d; k++)
                *element(v, row, at + k) = (float)x[d + k];
        }
    }
    free(x);
    return 0;
}

int edit_whiten_apply(const struct edit_instr *instr, const struct kn_view *v, int32_t row0)
{
    return each(instr, v, row0, false);
}

int edit_whiten_back(const struct edit_instr *instr, const struct kn_view *g, int32_t row0)
{
    return each(instr, g, row0, true);
}
