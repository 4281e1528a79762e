/* export_index.c - the elements that an edit selects, as an index of a Python tensor.
 *
 * A negative number, an anchor or a set has become what it means for these tokens.  A hook point's
 * tensor has the batch axis first, a weight has none.  Tested in tests/tui/test_export.py. */
#include "export/export_parts.h"

#include <string.h>

/* One axis of an index. */
struct piece {
    enum { PIECE_WHOLE, PIECE_ONE, PIECE_RANGE, PIECE_LIST } kind;
    int32_t lo, hi, step, size;
    const struct edit_axis *axis;
    bool outside; /* the tensor that is read may be longer: count from the start, name the end */
};

static int32_t axis_value(const struct edit_axis *a, int32_t i)
{
    return a->list ? a->list[i] : a->lo + i;
}

static struct piece piece_of(const struct edit_axis *a, int64_t size, bool outside)
{
    int32_t step = a->n > 1 ? axis_value(a, 1) - axis_value(a, 0) : 1, lo = axis_value(a, 0);
    struct piece p = {PIECE_RANGE, lo,     axis_value(a, a->n - 1) + 1, step, (int32_t)size,
                      a,           outside};
    for (int32_t i = 2; i < a->n; i++)
        if (axis_value(a, i) - axis_value(a, i - 1) != step)
            p.kind = PIECE_LIST;
    if (a->n == 2 && step > 1)
        p.kind = PIECE_LIST;
    if (a->n == size && !outside)
        p.kind = PIECE_WHOLE;
    else if (a->n == 1)
        p.kind = PIECE_ONE;
    return p;
}

void export_list(struct bytes *b, const struct edit_axis *a, int nested)
{
    for (int32_t i = 0; i < a->n; i++) {
        bytes_addf(b, "%s", i ? ", " : "[");
        bytes_add_repeat(b, '[', (size_t)nested);
        bytes_addf(b, "%d", (int)axis_value(a, i));
        bytes_add_repeat(b, ']', (size_t)nested);
    }
    bytes_add_char(b, ']');
}

static void put_range(struct bytes *b, const struct piece *p)
{
    bool open = p->hi == p->size && !p->outside;
    if (p->lo)
        bytes_addf(b, "%d", (int)p->lo);
    bytes_add_char(b, ':');
    if (!open)
        bytes_addf(b, "%d", (int)p->hi);
    if (p->step != 1)
        bytes_addf(b, ":%d", (int)p->step);
}

static void put_piece(struct bytes *b, const struct piece *p, enum index_form form)
{
    if (p->kind == PIECE_WHOLE)
        bytes_add_char(b, ':');
    else if (p->kind == PIECE_RANGE || (p->kind == PIECE_ONE && form == INDEX_KEEP))
        put_range(b, p);
    else if (p->kind == PIECE_ONE)
        bytes_addf(b, "%d", p->lo == p->size - 1 && p->size > 1 && !p->outside ? -1 : (int)p->lo);
    else
        export_list(b, p->axis, 0);
}

void export_shape(const struct exporter *x, const struct edit_instr *act,
                  int64_t shape[SITE_RANK_MAX])
{
    if (!act->weight) {
        site_shape(x->cfg, act->site.id, x->x->n, shape);
        if (act->expert)
            shape[1] = x->cfg->d_expert;
        return;
    }
    memcpy(shape, act->weight->shape, sizeof act->weight->shape);
    shape[0] /= act->weight->repeat;
}

static bool is_position(const struct edit_instr *act, int axis)
{
    return !act->weight && site_dim_is_position(site_table[act->site.id].dims[axis]);
}

bool export_index(struct bytes *b, const struct exporter *x, const struct edit_instr *act, int n,
                  enum index_form form, bool outside)
{
    struct piece p[SITE_RANK_MAX];
    int64_t shape[SITE_RANK_MAX];
    int lists = 0, last = -1, left;
    export_shape(x, act, shape);
    for (int i = 0; i < n; i++) {
        p[i] = piece_of(&act->axis[i], shape[i], outside && is_position(act, i));
        lists += p[i].kind == PIECE_LIST;
        last = p[i].kind == PIECE_WHOLE ? last : i;
    }
    if (last < 0)
        return false;
    bool all = lists > 1 &&
               form ==
                   INDEX_KEEP; /* lists apart from each other would move their axes to the front */
    if (all)
        last = n - 1;
    left = all ? n : lists;
    bytes_add_string(b, act->weight ? "[" : "[:");
    for (int i = 0; i <= last; i++) {
        bytes_add_string(b, act->weight && !i ? "" : ", ");
        if (lists > 1 && (all || p[i].kind == PIECE_LIST))
            export_list(b, p[i].axis, --left);
        else
            put_piece(b, &p[i], form);
    }
    bytes_add_char(b, ']');
    return true;
}

void export_target(struct bytes *b, const struct exporter *x, const struct edit_instr *act, int n,
                   enum index_form form)
{
    bytes_add_char(b, 'x');
    if (!export_index(b, x, act, n, form, false))
        bytes_add_string(b, "[:]");
}
