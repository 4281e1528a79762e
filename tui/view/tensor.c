/* tensor.c - the values of any hook, one slice of two axes at a time, as a map and as
 * numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "draw.h"
#include "list/experts.h"
#include "say.h"
#include "statistics.h"

enum { VALUE_WIDTH = 9, WHOLE_MAX = 1 << 21 };

/* The slice on show: rows are positions, columns the last axis; a head is chosen where there is
 * one. */
struct slice {
    int64_t shape[SITE_RANK_MAX];
    int rank;
    bool head_first; /* [head, dest, src], else [pos, head, d] */
    bool expert;     /* [pos, d]: of [pos, slot, d] the slot of one expert, 0 where none is its */
    int32_t heads, columns;
};

static struct slice slice_of(const struct app *a)
{
    struct slice s = {.heads = 1};
    s.rank = site_shape(&a->m->cfg, a->cur.site.id, a->n, s.shape);
    s.expert = a->cur.expert && s.rank == 3;
    if (s.expert)
        s.shape[1] = s.shape[2], s.rank = 2;
    s.columns = s.rank < 2 ? 1 : (int32_t)s.shape[s.rank - 1];
    s.head_first = s.rank == 3 && site_row_axis(a->cur.site.id) == 1;
    if (s.rank == 3)
        s.heads = (int32_t)s.shape[s.head_first ? 0 : 1];
    return s;
}

static int32_t table_rows(struct rect body)
{
    int32_t rows = body.h > 20 ? body.h / 2 : body.h - 3;
    return rows < 1 ? 1 : rows;
}

static void tensor_layout(struct app *a, struct rect body)
{
    struct slice s = slice_of(a);
    a->cur.head = draw_clamp(a->cur.head,
                             s.heads > a->m->cfg.n_heads ? s.heads : a->m->cfg.n_heads);
    a->cur.element = draw_clamp(a->cur.element, s.columns);
    a->page = table_rows(body);
    a->tensor_top = draw_scroll(a->tensor_top, a->cur.row, a->n, a->page);
    a->tensor_left = draw_scroll(a->tensor_left, a->cur.element, s.columns,
                                 (body.w - DRAW_LABEL) / VALUE_WIDTH);
}

static int32_t head_of(const struct app *a, const struct slice *s)
{
    return a->cur.head < s->heads ? a->cur.head : s->heads - 1;
}

/* The head on show, all rows if they are few, else those on screen. */
static void tensor_want(const struct app *a, struct want_list *l)
{
    struct slice s = slice_of(a);
    int64_t slots = s.expert ? a->m->cfg.n_active : 1;
    bool whole = a->n * slots * s.columns <= WHOLE_MAX;
    struct want w = want_make(WANT_VALUES, a->cur.site, whole ? 0 : a->tensor_top,
                              whole ? a->n : a->tensor_top + a->page);
    if (s.rank == 3) {
        w.head0 = head_of(a, &s);
        w.head1 = w.head0 + 1;
    }
    want_add(l, w);
    if (s.expert)
        want_add(l, experts_want(SITE_EXPERT_INDICES, w.site.layer, w.row0, w.row1));
}

/* The rows of an answer. */
struct values {
    struct answer at;
    int32_t columns, slots;
    int32_t expert; /* whose slot is meant, else -1 */
    const float *v[FACE_COUNT], *index[FACE_COUNT];
};

/* False: nothing there that is of the hook and the prompt on show.  Another head is stale. */
static bool values_open(struct values *v, const struct app *a, const struct slice *s)
{
    if (!app_answer(a, WANT_VALUES, a->cur.site.id, &v->at) || v->at.s->n != a->n ||
        v->at.w->site.layer != a->cur.site.layer || (v->at.w->head1 != 0) != (s->rank == 3) ||
        v->at.w->head1 - v->at.w->head0 > 1)
        return false;
    v->columns = s->columns;
    v->slots = s->expert ? a->m->cfg.n_active : 1;
    v->expert = s->expert ? a->cur.expert - 1 : -1;
    struct want index = experts_want(SITE_EXPERT_INDICES, v->at.w->site.layer, v->at.w->row0,
                                     v->at.w->row1);
    v->at.stale = v->at.stale || (s->rank == 3 && v->at.w->head0 != head_of(a, s));
    for (int f = 0; f < FACE_COUNT; f++)
        v->v[f] = snapshot_rows(v->at.s, (enum face)f, v->at.w),
        v->index[f] = s->expert ? snapshot_rows(v->at.s, (enum face)f, &index) : NULL;
    return !s->expert ||
           (v->index[FACE_BASE] && (v->at.show == SHOW_BASE || v->index[FACE_EDITED]));
}

/* One face's value at a row of the answer; a row that goes to other experts has 0. */
static float face_value(const struct values *v, enum face face, size_t row, int32_t col)
{
    size_t slots = (size_t)v->slots, slot = 0;
    const float *index = v->index[face] ? v->index[face] + row * slots : NULL;
    while (index && slot < slots && (int32_t)index[slot] != v->expert)
        slot++;
    return slot < slots ? v->v[face][(row * slots + slot) * (size_t)v->columns + (size_t)col] : 0;
}

/* False: that row is not there. */
static bool value(const struct values *v, int32_t row, int32_t col, float *out)
{
    const struct want *w = v->at.w;
    if (row < w->row0 || row >= w->row1)
        return false;
    size_t at = (size_t)(row - w->row0);
    float base = face_value(v, FACE_BASE, at, col);
    float edited = v->at.show == SHOW_BASE ? base : face_value(v, FACE_EDITED, at, col);
    *out = v->at.show == SHOW_DIFFERENCE && base == edited ? 0
                                                           : show_value(v->at.show, base, edited);
    return true;
}

static void draw_table(const struct app *a, struct frame *f, struct rect r, const struct slice *s,
                       const struct values *values, struct scale sc)
{
    struct canvas *c = f->canvas;
    bool diff = values->at.show == SHOW_DIFFERENCE;
    int shown = (r.w - DRAW_LABEL) / VALUE_WIDTH;
    for (int j = 0; j < shown && a->tensor_left + j < s->columns; j++)
        canvas_putf(c, r, DRAW_LABEL + j * VALUE_WIDTH, 0,
                    canvas_plain(a->tensor_left + j == a->cur.element ? CANVAS_BOLD : CANVAS_DIM),
                    "%8d", (int)a->tensor_left + j);
    rect_cut_top(&r, 1);
    for (int32_t i = 0; i < r.h && a->tensor_top + i < a->n; i++) {
        int32_t row = a->tensor_top + i;
        draw_position(a, c, r, i, row);
        for (int j = 0; j < shown && a->tensor_left + j < s->columns; j++) {
            int32_t col = a->tensor_left + j;
            bool on = row == a->cur.row && col == a->cur.element;
            char n[NUMBER_BYTES];
            struct rect cell = {r.x + DRAW_LABEL + j * VALUE_WIDTH, r.y + i, VALUE_WIDTH, 1};
            float v;
            if (!value(values, row, col, &v)) {
                canvas_put(c, cell, 1, 0, canvas_plain(CANVAS_DIM), "…");
                continue;
            }
            if (diff && v == 0 && !on)
                continue;
            struct canvas_style st = draw_value_style(
                f, sc.kind == SCALE_SYMMETRIC ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL,
                scale_at(sc, v));
            st.attr |= (values->at.stale ? CANVAS_DIM : 0) | (on ? CANVAS_BOLD : 0);
            canvas_fill(c, (struct rect){cell.x, cell.y, VALUE_WIDTH, 1}, st, " ");
            canvas_put(c, cell, 1, 0, st,
                       number_fit(n, (double)v, VALUE_WIDTH - 2, 3, diff ? NUMBER_SIGN : 0));
            if (on) {
                canvas_put(c, cell, 0, 0, st, "[");
                canvas_put(c, cell, VALUE_WIDTH - 1, 0, st, "]");
            }
        }
    }
}

/* Where the value under the cursor lies among those of many texts. */
static void draw_statistics(const struct app *a, struct canvas *c, struct rect legend,
                            const struct slice *s, const struct values *values)
{
    enum { WIDTH = 44 };
    struct stats_site stats;
    const char *of;
    float v;
    if (legend.w < 2 * WIDTH || values->at.show == SHOW_DIFFERENCE || s->expert ||
        !statistics_of(a, a->cur.site, &stats, &of) ||
        !value(values, a->cur.row, a->cur.element, &v))
        return;
    int64_t element = a->cur.element + (s->rank == 3 ? head_of(a, s) * stats.shape[1] : 0);
    char n[NUMBER_BYTES];
    canvas_putf(c, legend, legend.w - WIDTH, 0, canvas_plain(0),
                "of %.12s at or below it %.1f %%, mean %s", of,
                100 * stats_quantile(&stats, element, v),
                number_short(n, stat_mean(&stats, STAT_mean)[element]));
}

static void tensor_draw(struct app *a, struct frame *f, struct rect body)
{
    struct slice s = slice_of(a);
    struct values values;
    struct rect rest = body, legend = rect_cut_bottom(&rest, 1),
                table = rect_cut_top(&rest, a->page + 1);
    if (!values_open(&values, a, &s)) {
        canvas_put(f->canvas, table, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    bool diff = values.at.show == SHOW_DIFFERENCE, negative = false;
    int32_t row0 = values.at.w->row0, rows = values.at.w->row1 - row0;
    size_t count = (size_t)rows * (size_t)s.columns;
    float *v = calloc(count + 1, sizeof *v), *to = v;
    if (!v)
        return;
    for (int32_t i = 0; i < rows; i++)
        for (int32_t j = 0; j < s.columns; j++, to++) {
            value(&values, row0 + i, j, to);
            negative = negative || (*to < 0 && isfinite(*to));
        }
    struct scale sc = scale_fit(negative || diff ? SCALE_SYMMETRIC : SCALE_LINEAR, v, count);
    enum colormap map = sc.kind == SCALE_SYMMETRIC ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL;
    draw_table(a, f, table, &s, &values, sc);
    if (rest.h > 2) {
        rect_cut_top(&rest, 1);
        rect_cut_left(&rest, DRAW_LABEL);
        struct heat m = {v, rows, s.columns, s.columns, sc, map};
        frame_heat(f, rest, &m);
    }
    heat_legend(f->canvas, legend, 1, 0, diff ? "change" : "value", sc, map);
    draw_statistics(a, f->canvas, legend, &s, &values);
    free(v);
}

static void tensor_title(const struct app *a, struct bytes *out)
{
    struct slice s = slice_of(a);
    char name[LIMIT_NAME];
    bytes_addf(out, "%s [", app_hook_name(a->cur.site, s.expert ? a->cur.expert : 0, name));
    for (int i = 0; i < s.rank; i++)
        bytes_addf(out, "%s%lld", i ? ", " : "", (long long)s.shape[i]);
    bytes_add_char(out, ']');
    if (s.rank == 3)
        bytes_addf(out, "  %s %d",
                   site_table[a->cur.site.id].dims[1] == DIM_SLOT ? site_dim_name(DIM_SLOT)
                                                                  : site_dim_name(DIM_HEAD),
                   (int)head_of(a, &s));
}

static void tensor_move(struct app *a, enum move m, int count)
{
    draw_move_cursor(m, count, &a->cur.row, a->n, a->page, &a->cur.element, slice_of(a).columns);
}

static bool tensor_noun(const struct app *a, struct noun *n)
{
    struct slice s = slice_of(a);
    int row = (int)draw_row_index(a, a->cur.row), head = (int)head_of(a, &s),
        e = (int)a->cur.element;
    n->site = a->cur.site;
    n->expert = s.expert ? a->cur.expert : 0;
    if (s.rank == 2) {
        snprintf(n->here, sizeof n->here, "[%d, %d]", row, e);
        snprintf(n->all, sizeof n->all, "[:, %d]", e);
    } else if (s.rank == 3 && s.head_first) {
        snprintf(n->here, sizeof n->here, "[%d, %d, %d]", head, row, e);
        snprintf(n->all, sizeof n->all, "[%d, :, %d]", head, e);
    } else if (s.rank == 3) {
        snprintf(n->here, sizeof n->here, "[%d, %d, %d]", row, head, e);
        snprintf(n->all, sizeof n->all, "[:, %d, %d]", head, e);
    } else {
        snprintf(n->here, sizeof n->here, "[%d]", row);
        n->all[0] = 0;
    }
    return true;
}

/* The value under the cursor and those beside it. */
static void tensor_say(const struct app *a, struct bytes *b)
{
    enum { BESIDE = 8 };
    struct slice s = slice_of(a);
    struct values values;
    say_position(a, b, a->cur.row);
    say_line(b);
    if (!values_open(&values, a, &s))
        return;
    int32_t from = a->cur.element / BESIDE * BESIDE;
    for (int32_t i = from; i < from + BESIDE && i < s.columns; i++) {
        float v;
        bytes_addf(b, "element %d: ", (int)i);
        if (value(&values, a->cur.row, i, &v))
            say_number(b, (double)v, 4, values.at.show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0);
        else
            bytes_add_string(b, "not computed");
        bytes_addf(b, "%s\n", i == a->cur.element ? ", the cursor" : "");
    }
}

static bool tensor_click(struct app *a, int x, int y)
{
    int32_t row = a->tensor_top + y - a->body.y - 1;
    if (y <= a->body.y || y > a->body.y + a->page || row >= a->n)
        return false;
    a->cur.row = row;
    if (x >= a->body.x + DRAW_LABEL)
        a->cur.element = draw_clamp(a->tensor_left + (x - a->body.x - DRAW_LABEL) / VALUE_WIDTH,
                                    slice_of(a).columns);
    return true;
}

static void tensor_copy(const struct app *a, struct bytes *out)
{
    struct slice s = slice_of(a);
    struct values values;
    struct noun n = {0};
    float v;
    char name[LIMIT_NAME];
    tensor_noun(a, &n);
    bytes_addf(out, "%s%s", app_hook_name(n.site, n.expert, name), n.here);
    if (values_open(&values, a, &s) && value(&values, a->cur.row, a->cur.element, &v))
        bytes_addf(out, " %.9g", (double)v);
}

const struct view view_tensor = {
    .help =
        "values of one hook: rows are positions, columns the last axis; H L the head or expert, J K the layer, :tensor HOOK another",
    .layout = tensor_layout,
    .want = tensor_want,
    .draw = tensor_draw,
    .title = tensor_title,
    .move = tensor_move,
    .noun = tensor_noun,
    .say = tensor_say,
    .click = tensor_click,
    .copy = tensor_copy};
