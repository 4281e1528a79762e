/* edit_apply.c - one act on the values of its site (edit.h, edit_apply).
 *
 * Rank 1 and 2 are treated as rank 3 with leading axes of one element.  Tested in
 * tests/engine/test_edit_apply.c. */
#include "edit.h"

#include <assert.h>

/* A selection on one axis of the view, cut to what the view holds. */
struct cut {
    const int32_t *list; /* values, or NULL: lo, lo+1, ... */
    int64_t lo, n;
    int64_t base;        /* value of the view's element 0 */
    int64_t stride, src_stride;
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
    struct cut c = {a->list, a->lo, a->n, base, 0, 0};
    int64_t before = cut_count_below(&c, base), end = cut_count_below(&c, base + size);
    c.n = end - before;
    c.lo += before;
    if (c.list)
        c.list += before;
    return c;
}

static int64_t cut_value(const struct cut *c, int64_t i)
{
    return c->list ? c->list[i] : c->lo + i;
}

/* n elements of the last axis; `factor` is 1 or multiplies the source. */
static void apply_line(enum edit_op op, float factor, const struct cut *c, int64_t n, float *v, const float *src)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t at = cut_value(c, i) - c->base;
        float *x = v + at * c->stride, s = src[at * c->src_stride];
        if (factor != 1.0f)
            s *= factor;
        switch (op) {
        case EDIT_SET: *x = s; break;
        case EDIT_ADD: *x += s; break;
        case EDIT_SUB: *x -= s; break;
        case EDIT_MUL: *x *= s; break;
        case EDIT_OP_COUNT: break;
        }
    }
}

void edit_apply(const struct edit_act *act, const struct kn_view *v, int32_t row0, const struct kn_view *src)
{
    bool number = act->value == EDIT_NUMBER;
    bool masked = !act->full && (act->site.id == SITE_ATTN_SCORES || act->site.id == SITE_PATTERN);
    assert(v->dtype == KN_F32 && v->ndim == act->rank);
    assert(number || (src && src->dtype == KN_F32 && src->ndim == act->rank));

    struct cut cut[SITE_RANK_MAX];
    int lead = SITE_RANK_MAX - act->rank, row_axis = site_row_axis(act->site.id);
    for (int i = 0; i < lead; i++)
        cut[i] = (struct cut){NULL, 0, 1, 0, 0, 0};
    for (int i = 0; i < act->rank; i++) {
        cut[lead + i] = cut_axis(&act->axis[i], i == row_axis ? row0 : 0, v->shape[i]);
        cut[lead + i].stride = v->stride[i];
        cut[lead + i].src_stride = number ? 0 : src->stride[i];
    }
    float factor = number ? 1.0f : act->number;
    const float *from = number ? &act->number : src->data;
    for (int64_t i = 0; i < cut[0].n; i++) {
        int64_t a = cut_value(&cut[0], i) - cut[0].base;
        for (int64_t j = 0; j < cut[1].n; j++) {
            int64_t row = cut_value(&cut[1], j), b = row - cut[1].base;
            int64_t n = masked ? cut_count_below(&cut[2], row + 1) : cut[2].n;
            apply_line(act->op, factor, &cut[2], n, (float *)v->data + a * cut[0].stride + b * cut[1].stride,
                       from + a * cut[0].src_stride + b * cut[1].src_stride);
        }
    }
}
