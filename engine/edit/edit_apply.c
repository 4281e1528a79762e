/* edit_apply.c - one instruction on the values of its site (edit.h, edit_apply).
 *
 * Rank 1 and 2 are treated as rank 3 with leading axes of one element.  Tested in
 * tests/engine/test_edit_apply.c. */
#include "edit/edit.h"

#include <assert.h>
#include <math.h>

#include "base/splitmix.h"

/* A selection on one axis of the view, cut to what the view holds. */
struct cut {
    const int32_t *list; /* values, or NULL: lo, lo+1, ... */
    int64_t lo, n;
    int64_t base; /* value of the view's element 0 */
    int64_t stride, src_stride;
    int64_t first; /* how many of the selection come before the view */
    bool counted;  /* the source goes by place in the selection, not by place in the view */
};

/* How many values of an ascending list are below x. */
static int64_t count_below(const int32_t *list, int64_t n, int64_t x)
{
    int64_t lo = 0;
    while (lo < n) {
        int64_t mid = lo + (n - lo) / 2;
        if (list[mid] < x)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

static int64_t cut_count_below(const struct cut *c, int64_t x)
{
    if (c->list)
        return count_below(c->list, c->n, x);
    return x <= c->lo ? 0 : x - c->lo < c->n ? x - c->lo : c->n;
}

static struct cut cut_axis(const struct edit_axis *a, int64_t base, int64_t size)
{
    struct cut c = {.list = a->list, .lo = a->lo, .n = a->n, .base = base};
    int64_t before = cut_count_below(&c, base), end = cut_count_below(&c, base + size);
    c.n = end - before;
    c.first = before;
    c.lo += before;
    if (c.list)
        c.list += before;
    return c;
}

static int64_t cut_value(const struct cut *c, int64_t i)
{
    return c->list ? c->list[i] : c->lo + i;
}

static float clamped(const struct edit_instr *instr, float x)
{
    return x < instr->lo ? instr->lo : x > instr->hi ? instr->hi : x; /* a NaN stays */
}

static int64_t cut_source(const struct cut *c, int64_t i)
{
    return (c->counted ? c->first + i : cut_value(c, i) - c->base) * c->src_stride;
}

/* Seed, hook, and the element's place in the hook make the number: nothing else does. */
static uint64_t noise_key(const struct edit_instr *instr)
{
    uint64_t h = splitmix64((uint32_t)instr->seed);
    for (const char *p = instr->weight ? instr->weight->name : site_table[instr->site.id].name; *p;
         p++)
        h = splitmix64(h ^ (unsigned char)*p);
    return splitmix64(
        h ^ (uint32_t)(instr->weight ? 0 : instr->site.layer)); /* a weight's name has its layer */
}

static float noise_at(const struct edit_instr *instr, uint64_t key, int64_t at)
{
    uint64_t a = splitmix64(key ^ (uint64_t)at), b = splitmix64(a);
    double u = ((double)(a >> 11) + 0.5) * 0x1p-53, v = (double)(b >> 11) * 0x1p-53;
    return instr->sigma * (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

static void project_line(const struct edit_instr *instr, const struct cut *c, float *v)
{
    double along = 0;
    for (int64_t i = 0; i < c->n; i++)
        along += (double)v[i * c->stride] * (double)instr->vec[i];
    for (int64_t i = 0; i < c->n; i++)
        v[i * c->stride] = (float)((double)v[i * c->stride] - along * (double)instr->vec[i]);
}

/* n elements of the last axis; key: of the noise of this line. */
static void apply_line(const struct edit_instr *instr, const struct cut *c, int64_t n, float *v,
                       const float *src, uint64_t key)
{
    if (instr->value == EDIT_PROJECT_OUT) {
        project_line(instr, c, v);
        return;
    }
    float factor = instr->value == EDIT_NUMBER ? 1.0f : instr->number;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = cut_value(c, i) - c->base;
        float *x = v + at * c->stride, s;
        if (instr->value == EDIT_CLAMP)
            s = clamped(instr, *x);
        else if (instr->value == EDIT_NOISE)
            s = noise_at(instr, key, cut_value(c, i));
        else
            s = src[cut_source(c, i)];
        if (factor != 1.0f)
            s *= factor;
        switch (instr->op) {
        case EDIT_SET: *x = s; break;
        case EDIT_ADD: *x += s; break;
        case EDIT_SUB: *x -= s; break;
        case EDIT_MUL: *x *= s; break;
        case EDIT_OP_COUNT: break;
        }
    }
}

/* The selection as three axes, cut to what v holds. */
static void cut_all(struct cut cut[SITE_RANK_MAX], const struct edit_instr *instr,
                    const struct kn_view *v, int32_t row0, const struct kn_view *src)
{
    assert(v->dtype == KN_F32 && v->ndim == instr->rank);
    assert(!src || (src->dtype == KN_F32 && src->ndim == instr->rank));
    int lead = SITE_RANK_MAX - instr->rank,
        row_axis = instr->weight ? 0 : site_row_axis(instr->site.id);
    for (int i = 0; i < lead; i++)
        cut[i] = (struct cut){.n = 1};
    for (int i = 0; i < instr->rank; i++) {
        cut[lead + i] = cut_axis(&instr->axis[i], i == row_axis ? row0 : 0, v->shape[i]);
        cut[lead + i].stride = v->stride[i];
        cut[lead + i].counted = instr->vec != NULL;
        cut[lead + i].src_stride = instr->vec ? instr->vec_stride[i] : src ? src->stride[i] : 0;
    }
}

static float *line_at(const struct kn_view *v, const struct cut *cut, int64_t a, int64_t b)
{
    return kn_f32(v) + a * cut[0].stride + b * cut[1].stride;
}

bool edit_reads_source(enum edit_value_kind v)
{
    return v == EDIT_FROM || v == EDIT_RESAMPLE || v == EDIT_MEAN || v == EDIT_FROZEN;
}

/* Sources of a row that its destination sees. */
static int64_t row_sources(const struct edit_instr *instr, const struct kn_view *v, int64_t row)
{
    return instr->full || row + 1 > v->shape[2] ? v->shape[2] : row + 1;
}

static void renormalize(const struct edit_instr *instr, const struct kn_view *v,
                        const struct cut cut[SITE_RANK_MAX])
{
    for (int64_t i = 0; i < cut[0].n; i++)
        for (int64_t j = 0; j < cut[1].n; j++) {
            int64_t row = cut_value(&cut[1], j), n = row_sources(instr, v, row);
            float *x = line_at(v, cut, cut_value(&cut[0], i) - cut[0].base, row - cut[1].base);
            double sum = 0;
            for (int64_t k = 0; k < n; k++)
                sum += (double)x[k * v->stride[2]];
            for (int64_t k = 0; k < n; k++)
                x[k * v->stride[2]] = (float)((double)x[k * v->stride[2]] / sum);
        }
}

/* How many of the selected elements of the last axis lie in a row. */
static int64_t line_length(const struct edit_instr *instr, const struct cut cut[SITE_RANK_MAX],
                           int64_t row)
{
    bool masked = !instr->full &&
                  (instr->site.id == SITE_ATTN_SCORES || instr->site.id == SITE_PATTERN);
    return masked ? cut_count_below(&cut[2], row + 1) : cut[2].n;
}

void edit_apply(const struct edit_instr *instr, const struct kn_view *v, int32_t row0,
                const struct kn_view *src)
{
    assert(instr->value != EDIT_WHITEN && instr->value != EDIT_UNWHITEN &&
           "edit_whiten_apply does this");
    bool reads = edit_reads_source(instr->value);
    assert((!reads || src) && (instr->value != EDIT_MEAN_REF || instr->vec));
    struct cut cut[SITE_RANK_MAX];
    cut_all(cut, instr, v, row0, reads ? src : NULL);
    const float *from = reads ? src->data : instr->vec ? instr->vec : &instr->number;
    uint64_t key = instr->value == EDIT_NOISE ? noise_key(instr) : 0;
    for (int64_t i = 0; i < cut[0].n; i++) {
        int64_t a = cut_value(&cut[0], i) - cut[0].base;
        for (int64_t j = 0; j < cut[1].n; j++) {
            int64_t row = cut_value(&cut[1], j), b = row - cut[1].base;
            apply_line(
                instr, &cut[2], line_length(instr, cut, row), line_at(v, cut, a, b),
                from + cut_source(&cut[0], i) + cut_source(&cut[1], j),
                key ? splitmix64(splitmix64(key ^ (uint64_t)cut_value(&cut[0], i)) ^ (uint64_t)row)
                    : 0);
        }
    }
    if (instr->renormalize)
        renormalize(instr, v, cut);
}

/* ---- backward
 * -------------------------------------------------------------------------------------- */

void edit_clamp_back(const struct edit_instr *instr, const struct kn_view *g, int32_t row0,
                     const struct kn_view *value)
{
    struct cut cut[SITE_RANK_MAX];
    cut_all(cut, instr, g, row0, value);
    for (int64_t i = 0; i < cut[0].n; i++)
        for (int64_t j = 0; j < cut[1].n; j++) {
            int64_t a = cut_value(&cut[0], i) - cut[0].base, row = cut_value(&cut[1], j),
                    b = row - cut[1].base;
            float *to = line_at(g, cut, a, b);
            const float *x = kn_f32(value) + a * cut[0].src_stride + b * cut[1].src_stride;
            for (int64_t k = 0, n = line_length(instr, cut, row); k < n; k++) {
                int64_t at = cut_value(&cut[2], k) - cut[2].base;
                float y = x[at * cut[2].src_stride];
                if (y < instr->lo || y > instr->hi)
                    to[at * cut[2].stride] = 0.0f;
            }
        }
}

/* y = x / S, S = the sum of x: dx = (dy - sum of dy * y) / S. */
void edit_renormalize_back(const struct edit_instr *instr, const struct kn_view *g, int32_t row0,
                           const struct kn_view *value)
{
    struct cut cut[SITE_RANK_MAX];
    cut_all(cut, instr, g, row0, value);
    for (int64_t i = 0; i < cut[0].n; i++)
        for (int64_t j = 0; j < cut[1].n; j++) {
            int64_t a = cut_value(&cut[0], i) - cut[0].base, row = cut_value(&cut[1], j),
                    b = row - cut[1].base;
            int64_t n = row_sources(instr, g, row);
            float *to = line_at(g, cut, a, b);
            const float *x = kn_f32(value) + a * cut[0].src_stride + b * cut[1].src_stride;
            double sum = 0, along = 0;
            for (int64_t k = 0; k < n; k++) {
                sum += (double)x[k * value->stride[2]];
                along += (double)to[k * g->stride[2]] * (double)x[k * value->stride[2]];
            }
            for (int64_t k = 0; k < n; k++)
                to[k * g->stride[2]] = (float)(((double)to[k * g->stride[2]] - along / sum) / sum);
        }
}
