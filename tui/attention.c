/* attention.c - the numbers of the attention view (see attention.h). */
#include "attention.h"

#include <math.h>
#include <stdlib.h>

bool attention_open(struct attention *at, const struct app *a, bool *stale)
{
    const struct snapshot *s = app_part(a, PART_PATTERN, stale);
    if (!s || s->attn_layer < 0)
        return false;
    *stale = *stale || s->attn_layer != app_layer(a) || s->attn_scores != a->scores;
    *at = (struct attention){a, s, app_show(a, s), s->n < a->n ? s->n : a->n};
    return true;
}

float attention_value_norm(const struct attention *at, int32_t head, int32_t src)
{
    const struct snapshot *s = at->s;
    const float *v = s->face[at->show == SHOW_BASE ? FACE_BASE : FACE_EDITED].tensor;
    const struct config *cfg = &at->a->m->cfg;
    if (!v || s->tensor.id != SITE_V || s->tensor.layer != s->attn_layer || src >= s->tensor_row1)
        return NAN;
    int32_t kv = head / (cfg->n_heads / cfg->n_kv_heads);
    v += ((size_t)src * (size_t)cfg->n_kv_heads + (size_t)kv) * (size_t)cfg->d_head;
    double sum = 0;
    for (int32_t i = 0; i < cfg->d_head; i++)
        sum += (double)v[i] * (double)v[i];
    return (float)sqrt(sum);
}

static const float *row_of(const struct attention *at, enum face face, int32_t head, int32_t dest)
{
    size_t n = (size_t)at->s->n;
    return at->s->face[face].pattern + ((size_t)head * n + (size_t)dest) * n;
}

/* The row's divisor under the mask. */
static float row_divisor(const struct attention *at, const float *row, int32_t dest)
{
    float sum = 0, max = 0;
    for (int32_t j = 0; j <= dest; j++) {
        if (j && isfinite(row[j]))
            sum += row[j];
        max = isfinite(row[j]) && fabsf(row[j]) > max ? fabsf(row[j]) : max;
    }
    switch (at->a->mask) {
    case MASK_RENORMALISED: return sum > 0 ? sum : 1;
    case MASK_ROW_MAX: return max > 0 ? max : 1;
    default: return 1;
    }
}

static float face_value(const struct attention *at, enum face face, int32_t head, int32_t dest,
                        int32_t src, const float *divisor)
{
    const float *row = row_of(at, face, head, dest);
    enum mask mask = at->a->mask;
    if ((mask == MASK_NO_FIRST || mask == MASK_RENORMALISED) && src == 0)
        return 0;
    float v = row[src];
    if (mask == MASK_VALUE) {
        float norm = attention_value_norm(at, head, src);
        return isnan(norm) ? v : v * norm;
    }
    if (mask == MASK_RAW || mask == MASK_NO_FIRST)
        return v;
    return v / (divisor ? *divisor : row_divisor(at, row, dest));
}

static float value_with(const struct attention *at, int32_t head, int32_t dest, int32_t src,
                        const float divisor[FACE_COUNT])
{
    float base = face_value(at, FACE_BASE, head, dest, src, divisor ? &divisor[FACE_BASE] : NULL);
    if (at->show == SHOW_BASE)
        return base;
    float edited = face_value(at, FACE_EDITED, head, dest, src,
                              divisor ? &divisor[FACE_EDITED] : NULL);
    if (at->show == SHOW_DIFFERENCE && base == edited) /* also -inf beside -inf */
        return 0;
    return show_value(at->show, base, edited);
}

float attention_value(const struct attention *at, int32_t head, int32_t dest, int32_t src)
{
    return value_with(at, head, dest, src, NULL);
}

float *attention_matrix(const struct attention *at, int32_t head)
{
    size_t n = (size_t)at->n;
    float *v = calloc(n * n, sizeof *v);
    if (!v)
        return NULL;
    for (int32_t i = 0; i < at->n; i++) {
        float divisor[FACE_COUNT] = {row_divisor(at, row_of(at, FACE_BASE, head, i), i), 1};
        if (at->show != SHOW_BASE)
            divisor[FACE_EDITED] = row_divisor(at, row_of(at, FACE_EDITED, head, i), i);
        for (int32_t j = 0; j < at->n; j++)
            v[(size_t)i * n + (size_t)j] = j <= i ? value_with(at, head, i, j, divisor)
                                           : at->s->attn_scores && at->show != SHOW_DIFFERENCE
                                               ? -INFINITY
                                               : 0;
    }
    return v;
}

struct scale attention_scale(const struct attention *at, const float *matrix)
{
    size_t n = (size_t)at->n * (size_t)at->n;
    if (at->show == SHOW_DIFFERENCE)
        return scale_fit(SCALE_SYMMETRIC, matrix, n);
    if (at->s->attn_scores || at->a->mask == MASK_VALUE)
        return scale_fit(SCALE_LINEAR, matrix, n);
    return at->a->attn_log ? scale_make(SCALE_LOG, 1e-3f, 1) : scale_make(SCALE_LINEAR, 0, 1);
}

enum colormap attention_map(const struct attention *at)
{
    return at->show == SHOW_DIFFERENCE ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL;
}

int attention_top(const struct attention *at, int32_t head, int32_t dest, int32_t *src, int max)
{
    int n = 0;
    bool diff = at->show == SHOW_DIFFERENCE;
    for (int32_t j = 0; j <= dest && j < at->n; j++) {
        float v = attention_value(at, head, dest, j);
        int at_place = n;
        while (at_place > 0) {
            float other = attention_value(at, head, dest, src[at_place - 1]);
            if (diff ? fabsf(v) > fabsf(other) : v > other)
                at_place--;
            else
                break;
        }
        if (at_place == max)
            continue;
        for (int k = n < max ? n : max - 1; k > at_place; k--)
            src[k] = src[k - 1];
        src[at_place] = j;
        n += n < max;
    }
    return n;
}
