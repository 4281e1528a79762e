/* tensor.c - the slice of a hook on show: axes, values, order (see tensor.h). */
#include "tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "list/experts.h"

enum { WHOLE_MAX = 1 << 21 };

struct tensor_slice tensor_slice(const struct app *a)
{
    struct tensor_slice s = {.heads = 1};
    s.rank = site_shape(&a->m->cfg, a->cur.site.id, a->n, s.shape);
    s.expert = a->cur.expert && s.rank == 3;
    if (s.expert)
        s.shape[1] = s.shape[2], s.rank = 2;
    s.columns = s.rank < 2 ? 1 : (int32_t)s.shape[s.rank - 1];
    s.head_first = s.rank == 3 && site_row_axis(a->cur.site.id) == 1;
    if (s.rank == 3)
        s.heads = (int32_t)s.shape[s.head_first ? 0 : 1];
    s.by_head = s.rank == 3 && a->tensor_heads;
    s.rows = s.by_head ? s.heads : a->n;
    return s;
}

int32_t tensor_head(const struct app *a, const struct tensor_slice *s)
{
    return a->cur.head < s->heads ? a->cur.head : s->heads - 1;
}

int32_t tensor_cursor(const struct app *a, const struct tensor_slice *s)
{
    return s->by_head ? tensor_head(a, s) : a->cur.row;
}

/* The head on show, all rows if they are few, else those on screen; or one row of all heads. */
void tensor_want(const struct app *a, const struct tensor_slice *s, int32_t top, int32_t page,
                 struct want_list *l)
{
    int64_t slots = s->expert ? a->m->cfg.n_active : 1;
    bool whole = a->n * slots * s->columns <= WHOLE_MAX;
    struct want w = want_make(WANT_VALUES, a->cur.site, whole ? 0 : top,
                              whole               ? a->n
                              : top + page < a->n ? top + page
                                                  : a->n);
    if (s->by_head)
        w.row0 = a->cur.row, w.row1 = a->cur.row + 1;
    else if (s->rank == 3)
        w.head0 = tensor_head(a, s), w.head1 = w.head0 + 1;
    want_add(l, w);
    if (s->expert)
        want_add(l, experts_want(SITE_EXPERT_INDICES, w.site.layer, w.row0, w.row1));
}

void tensor_column_name(const struct app *a, const struct tensor_slice *s, int32_t column,
                        char *buf, size_t size)
{
    enum site_dim dim = s->rank < 2 ? DIM_ONE
                                    : site_table[a->cur.site.id].dims[s->expert ? 2 : s->rank - 1];
    *buf = 0;
    if (dim == DIM_SRC || dim == DIM_POS) {
        size_t len;
        const char *text = model_input_text(a->m, a->tokens[column], &len);
        text_copy(buf, size, text, len, TEXT_TOKEN);
    } else if (dim == DIM_HEAD || dim == DIM_KV_HEAD) {
        snprintf(buf, size, "head");
    } else if (dim == DIM_EXPERT) {
        snprintf(buf, size, "expert");
    }
}

/* ---- values ---- */

bool tensor_open(struct tensor_values *v, const struct app *a, const struct tensor_slice *s)
{
    if (!app_answer(a, WANT_VALUES, a->cur.site.id, &v->at) || v->at.s->n != a->n ||
        v->at.w->site.layer != a->cur.site.layer)
        return false;
    const struct want *w = v->at.w;
    bool one = w->head1 != 0;
    if (one != (s->rank == 3 && !s->by_head) || w->head1 - w->head0 > 1)
        return false;
    v->columns = s->columns;
    v->heads = s->by_head ? s->heads : 0;
    v->slots = s->expert ? a->m->cfg.n_active : 1;
    v->expert = s->expert ? a->cur.expert - 1 : -1;
    v->row0 = s->by_head ? 0 : w->row0;
    v->row1 = s->by_head ? s->heads : w->row1;
    struct want index = experts_want(SITE_EXPERT_INDICES, w->site.layer, w->row0, w->row1);
    v->at.stale = v->at.stale || (one && w->head0 != tensor_head(a, s)) ||
                  (s->by_head && w->row0 != a->cur.row);
    for (int f = 0; f < FACE_COUNT; f++)
        v->v[f] = snapshot_rows(v->at.s, (enum face)f, w),
        v->index[f] = s->expert ? snapshot_rows(v->at.s, (enum face)f, &index) : NULL;
    return v->v[FACE_BASE] && (!s->expert || (v->index[FACE_BASE] &&
                                              (v->at.show == SHOW_BASE || v->index[FACE_EDITED])));
}

/* A row that goes to other experts has 0. */
bool tensor_face_value(const struct tensor_values *v, enum face face, int32_t row, int32_t column,
                       float *out)
{
    if (row < v->row0 || row >= v->row1 || !v->v[face])
        return false;
    size_t slots = (size_t)v->slots, slot = 0, at = (size_t)(row - v->row0);
    const float *index = v->index[face] ? v->index[face] + at * slots : NULL;
    while (index && slot < slots && (int32_t)index[slot] != v->expert)
        slot++;
    *out = slot < slots ? v->v[face][(at * slots + slot) * (size_t)v->columns + (size_t)column] : 0;
    return true;
}

bool tensor_value(const struct tensor_values *v, int32_t row, int32_t column, float *out)
{
    float base, edited;
    if (!tensor_face_value(v, FACE_BASE, row, column, &base))
        return false;
    edited = base;
    if (v->at.show != SHOW_BASE && !tensor_face_value(v, FACE_EDITED, row, column, &edited))
        return false;
    *out = v->at.show == SHOW_DIFFERENCE && base == edited ? 0
                                                           : show_value(v->at.show, base, edited);
    return true;
}

const float *tensor_shown(struct app *a, const struct tensor_slice *s,
                          const struct tensor_values *v)
{
    struct tensor_kept *k = a->tensor_kept;
    const struct want *w = v->at.w;
    const int64_t key[TENSOR_KEY] = {(int64_t)(uintptr_t)v->at.s,
                                     (int64_t)v->at.s->generation,
                                     w->site.id,
                                     w->site.layer,
                                     w->head0,
                                     w->head1,
                                     w->row0,
                                     w->row1,
                                     v->expert,
                                     v->at.show};
    int32_t rows = v->row1 - v->row0;
    size_t n = (size_t)rows * (size_t)s->columns;
    if (k->v && k->n == n && memcmp(k->key, key, sizeof key) == 0)
        return k->v;
    free(k->v);
    k->v = calloc(n + 1, sizeof *k->v);
    k->n = n;
    memcpy(k->key, key, sizeof key);
    float *to = k->v;
    for (int32_t i = 0; k->v && i < rows; i++) { /* only whole slices are sorted */
        int32_t row = rows == s->rows ? tensor_at(a, s, SLICE_ROWS, i) : v->row0 + i;
        for (int32_t j = 0; j < s->columns; j++)
            tensor_value(v, row, tensor_at(a, s, SLICE_COLUMNS, j), to++);
    }
    if (k->v)
        tensor_sum(&k->sum, k->v, n);
    return k->v;
}

/* ---- order ---- */

bool tensor_is_sorted(const struct app *a, const struct tensor_slice *s, enum slice_axis axis)
{
    return a->tensor_order[axis].at &&
           a->tensor_order[axis].n == (axis == SLICE_ROWS ? s->rows : s->columns);
}

int32_t tensor_at(const struct app *a, const struct tensor_slice *s, enum slice_axis axis,
                  int32_t shown)
{
    return tensor_is_sorted(a, s, axis) ? a->tensor_order[axis].at[shown] : shown;
}

int32_t tensor_place(const struct app *a, const struct tensor_slice *s, enum slice_axis axis,
                     int32_t index)
{
    int32_t i = 0;
    if (!tensor_is_sorted(a, s, axis))
        return index;
    while (i + 1 < a->tensor_order[axis].n && a->tensor_order[axis].at[i] != index)
        i++;
    return i;
}

struct keyed {
    float value;
    int32_t index;
};

/* The largest first, NaN last, equal ones by number. */
static int compare(const void *x, const void *y)
{
    const struct keyed *a = x, *b = y;
    if (isnan(a->value) != isnan(b->value))
        return isnan(a->value) ? 1 : -1;
    if (a->value > b->value || a->value < b->value)
        return a->value > b->value ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

static void forget(struct app *a, enum slice_axis axis)
{
    free(a->tensor_order[axis].at);
    a->tensor_order[axis] = (struct tensor_order){0};
    free(a->tensor_kept->v);
    a->tensor_kept->v = NULL;
}

void tensor_unsort(struct app *a)
{
    for (int i = 0; i < SLICE_AXES; i++)
        forget(a, (enum slice_axis)i);
}

void tensor_free(struct app *a)
{
    if (!a->tensor_kept)
        return;
    tensor_unsort(a);
    free(a->tensor_kept);
}

void tensor_sort(struct app *a, enum slice_axis axis, bool least)
{
    struct tensor_slice s = tensor_slice(a);
    struct tensor_values values;
    bool rows = axis == SLICE_ROWS;
    int32_t n = rows ? s.rows : s.columns, by = rows ? a->cur.element : tensor_cursor(a, &s);
    const struct tensor_order *was = &a->tensor_order[axis];
    if (was->at && was->n == n && was->by == by && was->least == least) {
        forget(a, axis);
        app_say(a, "%s in their own order", rows ? "rows" : "columns");
        return;
    }
    if (!tensor_open(&values, a, &s) || values.at.stale ||
        (rows && values.row1 - values.row0 < s.rows)) {
        app_complain(a, "not all of these values are here yet · %s",
                     rows ? "a hook this large is read where it is looked at; sort its columns"
                          : "once more in a moment");
        return;
    }
    struct keyed *k = calloc((size_t)n, sizeof *k);
    int32_t *at = calloc((size_t)n, sizeof *at);
    for (int32_t i = 0; k && at && i < n; i++) {
        k[i].index = i;
        tensor_value(&values, rows ? i : by, rows ? by : i, &k[i].value);
        k[i].value *= least ? -1 : 1;
    }
    if (k && at) {
        qsort(k, (size_t)n, sizeof *k, compare);
        for (int32_t i = 0; i < n; i++)
            at[i] = k[i].index;
        forget(a, axis);
        a->tensor_order[axis] = (struct tensor_order){at, n, by, least};
        at = NULL;
        app_say(a, "%s by %s %d, the %s first · again: in their own order",
                rows ? "rows" : "columns",
                rows        ? "column"
                : s.by_head ? "head"
                            : "position",
                (int)by, least ? "least" : "largest");
    }
    free(k), free(at);
}
