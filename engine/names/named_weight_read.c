/* named_weight_read.c - values of named weights (see named_weight.h): from an index as a library
 * counts to the element as it is stored. */
#include "names/named_weight.h"

int64_t named_weight_size(const struct named_weight *w)
{
    int64_t n = 1;
    for (int i = 0; i < w->rank; i++)
        n *= w->shape[i];
    return n;
}

/* Element (n, k) of a stored view: [n, k] or [groups, n of a group, k]; vectors without k. */
static int64_t element(const struct kn_view *v, enum weight_id id, int64_t n, int64_t k)
{
    bool matrix = weight_table[id].k != DIM_NONE;
    int64_t last = matrix ? k * v->stride[v->ndim - 1] : 0;
    if (v->ndim - matrix == 1)
        return n * v->stride[0] + last;
    return n / v->shape[1] * v->stride[0] + n % v->shape[1] * v->stride[1] + last;
}

/* Where an element lies: the stored weight's view (ndim 0: this model has none, its elements are 0)
 * and the element in it. */
struct weight_at {
    enum weight_id id;
    int32_t layer;
    int64_t offset;
};

static struct weight_at element_at(const struct model *m, const struct named_weight *w,
                                   const int64_t index[WEIGHT_RANK_MAX])
{
    int64_t n = 0, k = 0, group = 0, layer = w->layer < 0 ? 0 : w->layer;
    int part = 0;
    for (int i = 0; i < w->rank; i++) {
        int64_t left = index[i];
        for (int r = w->axis[i].n; r-- > 0; left /= w->axis[i].run[r].size) {
            int64_t at = left % w->axis[i].run[r].size * w->axis[i].run[r].step;
            switch (w->axis[i].run[r].over) {
            case RUN_N: n += at; break;
            case RUN_K: k += at; break;
            case RUN_GROUP: group = at; break;
            case RUN_PART:
                while (at >= w->part_first[part + 1])
                    part++;
                n = at - w->part_first[part];
                break;
            case RUN_LAYER: layer += at; break;
            case RUN_REPEAT: break;
            }
        }
    }
    n += group * (w->part_first[part + 1] - w->part_first[part]);
    struct weight_at out = {.id = w->part[part], .layer = (int32_t)layer};
    const struct kn_view *v = model_weight(m, out.layer, out.id);
    out.offset = v->ndim ? element(v, out.id, n, k) : 0;
    return out;
}

float named_weight_value(const struct model *m, const struct named_weight *w,
                         const int64_t index[WEIGHT_RANK_MAX])
{
    struct weight_at at = element_at(m, w, index);
    const struct kn_view *v = model_weight(m, at.layer, at.id);
    return v->ndim ? kn_load(v, at.offset) : 0;
}

/* Elements of the last axis in one line: their distance in the stored weight, or 0 where they lie
 * otherwise. */
static int64_t last_stride(const struct model *m, const struct named_weight *w,
                           struct weight_at first, int64_t at[WEIGHT_RANK_MAX])
{
    const struct weight_axis *a = &w->axis[w->rank - 1];
    int64_t size = w->shape[w->rank - 1], second, last;
    if (a->n != 1 || size < 2 || (a->run[0].over != RUN_N && a->run[0].over != RUN_K))
        return 0;
    at[w->rank - 1] = 1;
    second = element_at(m, w, at).offset;
    at[w->rank - 1] = size - 1;
    last = element_at(m, w, at).offset;
    at[w->rank - 1] = 0;
    return last - first.offset == (size - 1) * (second - first.offset) ? second - first.offset : 0;
}

/* All of the last axis at at[0..rank-1); false where it is no line. */
static bool read_line(const struct model *m, const struct named_weight *w,
                      int64_t at[WEIGHT_RANK_MAX], float *dst)
{
    at[w->rank - 1] = 0;
    struct weight_at first = element_at(m, w, at);
    const struct kn_view *v = model_weight(m, first.layer, first.id);
    int64_t step = v->ndim ? last_stride(m, w, first, at) : 0;
    for (int64_t i = 0; step && i < w->shape[w->rank - 1]; i++)
        dst[i] = kn_load(v, first.offset + i * step);
    return step != 0;
}

void named_weight_cut(const struct model *m, const struct named_weight *w,
                      const int64_t *const index[WEIGHT_RANK_MAX], const int64_t n[WEIGHT_RANK_MAX],
                      float *dst)
{
    int64_t size[WEIGHT_RANK_MAX] = {1, 1, 1, 1}, at[WEIGHT_RANK_MAX] = {0},
            i[WEIGHT_RANK_MAX] = {0};
    for (int d = 0; d < w->rank; d++)
        size[d] = index && index[d] ? n[d] : w->shape[d];
    /* the last axis innermost, whatever the rank */
    int last = w->rank - 1;
    int64_t lines = 1;
    for (int d = 0; d < last; d++)
        lines *= size[d];
    for (int64_t line = 0; line < lines; line++, dst += size[last]) {
        int64_t left = line;
        for (int d = last - 1; d >= 0; left /= size[d], d--) {
            i[d] = left % size[d];
            at[d] = index && index[d] ? index[d][i[d]] : i[d];
        }
        if (!(index && index[last]) && read_line(m, w, at, dst))
            continue;
        for (i[last] = 0; i[last] < size[last]; i[last]++) {
            at[last] = index && index[last] ? index[last][i[last]] : i[last];
            dst[i[last]] = named_weight_value(m, w, at);
        }
    }
}

void named_weight_read(const struct model *m, const struct named_weight *w, float *dst)
{
    named_weight_cut(m, w, NULL, NULL, dst);
}
