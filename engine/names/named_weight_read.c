/* named_weight_read.c - values of named weights (see named_weight.h): from an index as a library
 * counts to the rows as they are stored, which are decoded a stretch at a time. */
#include "names/named_weight.h"

int64_t named_weight_size(const struct named_weight *w)
{
    int64_t n = 1;
    for (int i = 0; i < w->rank; i++)
        n *= w->shape[i];
    return n;
}

/* An element of a stored weight. */
struct place {
    enum weight_id id;
    int32_t layer;
    int64_t n, k;
};

static struct place place_of(const struct named_weight *w, const int64_t index[WEIGHT_RANK_MAX])
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
            case RUN_LAYER:
            case RUN_EXPERT: layer += at; break;
            case RUN_REPEAT: break;
            }
        }
    }
    n += w->first_n + group * (w->part_first[part + 1] - w->part_first[part]);
    return (struct place){w->part[part], (int32_t)layer, n, k};
}

/* Do a weight's elements lie side by side along n?  (Vectors, and what is stored [k, n].) */
static bool lies_along_n(const struct kn_view *v, enum weight_id id)
{
    return weight_table[id].k == DIM_NONE ||
           (v->ndim == 2 && v->stride[0] == 1 && v->stride[1] != 1);
}

enum { STRETCH = 1024 };

/* A cut while it is read, and the stretch of a line of a stored weight that is decoded. */
struct reader {
    const struct model *m;
    const struct named_weight *w;
    const int32_t *const *index;
    int64_t size[WEIGHT_RANK_MAX];
    bool along_n;    /* lines of types that are not stored in blocks run along n */
    int64_t stretch; /* elements to decode at once */
    const struct kn_view *view;
    int64_t line, lo, hi; /* the line's first element in the view, columns [lo, hi) of it */
    float x[STRETCH];
};

static bool line_is_along_n(const struct reader *r, const struct kn_view *v, enum weight_id id)
{
    return kn_dtype_block(v->dtype) > 1 ? lies_along_n(v, id) : r->along_n;
}

/* The element, decoded with what follows on its line: *left elements with it.  NULL: the model has
 * no such weight, all are 0.  A view is [n, k] or [groups, n of a group, k], without k for vectors.
 */
static const float *seek(struct reader *r, struct place p, int64_t *left)
{
    const struct kn_view *v = model_weight(r->m, p.layer, p.id);
    if (!v->ndim)
        return NULL;
    bool matrix = weight_table[p.id].k != DIM_NONE, along_n = line_is_along_n(r, v, p.id);
    int inner = v->ndim - 1 - matrix, axis = along_n ? inner : v->ndim - 1;
    int64_t group = inner ? p.n / v->shape[1] : 0, n = inner ? p.n % v->shape[1] : p.n,
            column = along_n ? n : p.k,
            line = group * v->stride[0] + (!along_n ? n * v->stride[inner]
                                           : matrix ? p.k * v->stride[v->ndim - 1]
                                                    : 0);
    if (v != r->view || line != r->line || column < r->lo || column >= r->hi) {
        struct kn_view row = {.data = v->data,
                              .dtype = v->dtype,
                              .ndim = 1,
                              .shape = {v->shape[axis]},
                              .stride = {v->stride[axis]},
                              .first = v->first + line};
        int64_t block = kn_dtype_block(v->dtype), most = r->stretch < block ? block : r->stretch;
        r->view = v, r->line = line;
        r->lo = column / most * most;
        r->hi = r->lo + most < row.shape[0] ? r->lo + most : row.shape[0];
        kn_decode_rows(&row, r->lo, r->hi - r->lo, r->x);
    }
    *left = r->hi - column;
    return r->x + (column - r->lo);
}

/* The last axis of the tensor that runs along lines. */
static int line_axis(const struct reader *r)
{
    for (int d = r->w->rank - 1; d > 0; d--) {
        enum weight_over over = r->w->axis[d].run[0].over;
        if (r->along_n ? over == RUN_N || over == RUN_GROUP : over == RUN_K)
            return d;
    }
    return 0;
}

/* All of an axis at at[], whose elements are `step` apart in dst: as many at a time as follow each
 * other in a line. */
static void read_axis(struct reader *r, int axis, int64_t at[WEIGHT_RANK_MAX], int64_t step,
                      float *dst)
{
    const struct weight_axis *a = &r->w->axis[axis];
    const int32_t *list = r->index ? r->index[axis] : NULL;
    enum weight_over over = a->run[0].over;
    bool straight = !list && a->n == 1 && a->run[0].step == 1 && (over == RUN_N || over == RUN_K);
    for (int64_t i = 0, n; i < r->size[axis]; i += n) {
        at[axis] = list ? list[i] : i;
        struct place p = place_of(r->w, at);
        int64_t left = 1;
        const float *x = seek(r, p, &left);
        const struct kn_view *v = model_weight(r->m, p.layer, p.id);
        bool follows = straight && x && line_is_along_n(r, v, p.id) == (over == RUN_N);
        n = !follows ? 1 : left < r->size[axis] - i ? left : r->size[axis] - i;
        for (int64_t k = 0; k < n; k++, dst += step)
            *dst = x ? x[k] * r->w->form.factor + r->w->form.offset : 0;
    }
}

void named_weight_cut(const struct model *m, const struct named_weight *w,
                      const int32_t *const index[WEIGHT_RANK_MAX], const int64_t n[WEIGHT_RANK_MAX],
                      float *dst)
{
    struct reader r = {.m = m, .w = w, .index = index};
    int64_t step[WEIGHT_RANK_MAX], at[WEIGHT_RANK_MAX] = {0}, all = 1;
    for (int d = w->rank - 1; d >= 0; d--) {
        r.size[d] = index && index[d] ? n[d] : w->shape[d];
        step[d] = all;
        all *= r.size[d];
    }
    const struct kn_view *v = model_weight(m, w->layer < 0 ? 0 : w->layer, w->part[0]);
    r.along_n = weight_table[w->part[0]].k == DIM_NONE ||
                (kn_dtype_block(v->dtype) > 1 ? lies_along_n(v, w->part[0])
                                              : w->axis[w->rank - 1].run[0].over != RUN_K);
    int axis = line_axis(&r);
    r.stretch = r.size[axis] > 1 ? STRETCH : 1;
    for (int64_t line = 0; all > 0 && line < all / r.size[axis]; line++) {
        int64_t left = line, offset = 0;
        for (int d = w->rank - 1; d >= 0; d--) {
            if (d == axis)
                continue;
            int64_t i = left % r.size[d];
            at[d] = index && index[d] ? index[d][i] : i;
            offset += i * step[d];
            left /= r.size[d];
        }
        read_axis(&r, axis, at, step[axis], dst + offset);
    }
}

void named_weight_read(const struct model *m, const struct named_weight *w, float *dst)
{
    named_weight_cut(m, w, NULL, NULL, dst);
}
