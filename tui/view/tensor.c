/* tensor.c - the values of any hook, one slice of two axes at a time, as a map and as numbers, rows
 * and columns sorted as one likes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "explain.h"
#include "keybar.h"
#include "say.h"
#include "tensor.h"

enum { VALUE_WIDTH = 9, STATISTICS = 44 };

static int32_t table_rows(const struct tensor_slice *s, struct rect body)
{
    int32_t rows = body.h > 20 ? body.h / 2 : body.h - 3;
    rows = rows > s->rows ? s->rows : rows; /* what few rows leave is the map's */
    return rows < 1 ? 1 : rows;
}

static void tensor_layout(struct app *a, struct rect body)
{
    struct tensor_slice s = tensor_slice(a);
    a->cur.head = draw_clamp(a->cur.head,
                             s.heads > a->m->cfg.n_heads ? s.heads : a->m->cfg.n_heads);
    a->cur.element = draw_clamp(a->cur.element, s.columns);
    a->page = table_rows(&s, body);
    a->tensor_top = draw_scroll(
        a->tensor_top, tensor_place(a, &s, SLICE_ROWS, tensor_cursor(a, &s)), s.rows, a->page);
    a->tensor_left = draw_scroll(a->tensor_left, tensor_place(a, &s, SLICE_COLUMNS, a->cur.element),
                                 s.columns, (body.w - DRAW_LABEL) / VALUE_WIDTH);
}

static void view_want(const struct app *a, struct want_list *l)
{
    struct tensor_slice s = tensor_slice(a);
    tensor_want(a, &s, a->tensor_top, a->page, l);
    explain_want(a, a->cur.site, a->cur.row, l);
}

/* "▶ head 3", or a position's label. */
static void draw_label(const struct app *a, struct canvas *c, struct rect r, int y,
                       const struct tensor_slice *s, int32_t row)
{
    bool on = row == tensor_cursor(a, s);
    if (s->by_head)
        canvas_putf(c, r, 0, y, canvas_plain(on ? CANVAS_BOLD : 0), "%s head %d", on ? "▶" : " ",
                    (int)row);
    else
        draw_position(a, c, r, y, row);
}

static void draw_header(const struct app *a, struct canvas *c, struct rect r,
                        const struct tensor_slice *s, int shown)
{
    for (int j = 0; j < shown && a->tensor_left + j < s->columns; j++) {
        int32_t col = tensor_at(a, s, SLICE_COLUMNS, a->tensor_left + j);
        struct rect cell = {r.x + DRAW_LABEL + j * VALUE_WIDTH, r.y, VALUE_WIDTH - 1, 1};
        struct canvas_style st = canvas_plain(col == a->cur.element ? CANVAS_BOLD : CANVAS_DIM);
        char name[40], text[64];
        tensor_column_name(a, s, col, name, sizeof name);
        snprintf(text, sizeof text, "%d %s", (int)col, name);
        if (*name)
            canvas_put_field(c, cell, 1, 0, st, text, strlen(text), TEXT_PLAIN, cell.w - 1, true);
        else
            canvas_putf(c, cell, 0, 0, st, "%8d", (int)col);
    }
}

static void draw_table(const struct app *a, struct frame *f, struct rect r,
                       const struct tensor_slice *s, const struct tensor_values *values,
                       struct scale sc)
{
    struct canvas *c = f->canvas;
    bool diff = values->at.show == SHOW_DIFFERENCE;
    int shown = (r.w - DRAW_LABEL) / VALUE_WIDTH;
    draw_header(a, c, rect_cut_top(&r, 1), s, shown);
    for (int32_t i = 0; i < r.h && a->tensor_top + i < s->rows; i++) {
        int32_t row = tensor_at(a, s, SLICE_ROWS, a->tensor_top + i);
        draw_label(a, c, r, i, s, row);
        for (int j = 0; j < shown && a->tensor_left + j < s->columns; j++) {
            int32_t col = tensor_at(a, s, SLICE_COLUMNS, a->tensor_left + j);
            bool on = row == tensor_cursor(a, s) && col == a->cur.element;
            char n[NUMBER_BYTES];
            struct rect cell = {r.x + DRAW_LABEL + j * VALUE_WIDTH, r.y + i, VALUE_WIDTH, 1};
            float v;
            if (!tensor_value(values, row, col, &v)) {
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

/* Symmetric where there is a sign; to most of the values, or with :colour full to the largest. */
static struct scale scale_of(const struct app *a, const struct tensor_sum *t, bool diff)
{
    bool signs = diff || t->min < 0;
    float top = a->tensor_full ? fmaxf(fabsf(t->min), fabsf(t->max)) : t->limit;
    float low = signs ? -top : t->min < top / 10 ? 0 : t->min;
    if (!(top > low)) {
        const float v[] = {t->min, t->max};
        return scale_fit(signs ? SCALE_SYMMETRIC : SCALE_LINEAR, v, 2);
    }
    return scale_make(signs ? SCALE_SYMMETRIC : SCALE_LINEAR, low, top);
}

static void tensor_draw(struct app *a, struct frame *f, struct rect body)
{
    struct tensor_slice s = tensor_slice(a);
    struct tensor_values values;
    struct rect rest = body, legend = rect_cut_bottom(&rest, 1),
                table = rect_cut_top(&rest, a->page + 1);
    if (!tensor_open(&values, a, &s)) {
        canvas_put(f->canvas, table, 1, 1, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    bool diff = values.at.show == SHOW_DIFFERENCE;
    int32_t rows = values.row1 - values.row0;
    const float *v = tensor_shown(a, &s, &values);
    if (!v)
        return;
    const struct tensor_sum *t = &a->tensor_kept->sum;
    struct scale sc = scale_of(a, t, diff);
    enum colormap map = sc.kind == SCALE_SYMMETRIC ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL;
    draw_table(a, f, table, &s, &values, sc);
    if (rest.h > 2) {
        rect_cut_top(&rest, 1);
        rect_cut_left(&rest, DRAW_LABEL);
        struct heat m = {v, rows, s.columns, s.columns, sc, map};
        frame_heat(f, rest, &m);
    }
    int x = heat_legend(f->canvas, legend, 1, 0, diff ? "change" : "value", sc, map);
    if (fmaxf(fabsf(t->min), fabsf(t->max)) > fmaxf(sc.hi, -sc.lo))
        keybar_put(a, f->canvas, legend, x + 3, 0, canvas_plain(CANVAS_DIM),
                   "and beyond: {colour} shows all of it");
    bool side;
    app_body(a, &side);
    if (!side && legend.w >= 2 * STATISTICS)
        tensor_statistics(a, f->canvas,
                          (struct rect){legend.x + legend.w - STATISTICS, legend.y, STATISTICS, 1},
                          &s, &values);
}

static void tensor_title(const struct app *a, struct bytes *out)
{
    struct tensor_slice s = tensor_slice(a);
    char name[LIMIT_NAME];
    bytes_addf(out, "%s [", app_hook_name(a->cur.site, s.expert ? a->cur.expert : 0, name));
    for (int i = 0; i < s.rank; i++)
        bytes_addf(out, "%s%lld", i ? ", " : "", (long long)s.shape[i]);
    bytes_add_char(out, ']');
    if (s.by_head)
        bytes_addf(out, "  position %d", (int)a->cur.row);
    else if (s.rank == 3)
        bytes_addf(out, "  %s %d",
                   site_table[a->cur.site.id].dims[1] == DIM_SLOT ? site_dim_name(DIM_SLOT)
                                                                  : site_dim_name(DIM_HEAD),
                   (int)tensor_head(a, &s));
    bool rows = tensor_is_sorted(a, &s, SLICE_ROWS),
         columns = tensor_is_sorted(a, &s, SLICE_COLUMNS);
    if (rows || columns)
        bytes_addf(out, "  %s%s%s sorted", rows ? "rows" : "", rows && columns ? ", " : "",
                   columns ? "columns" : "");
}

static void tensor_move(struct app *a, enum move m, int count)
{
    struct tensor_slice s = tensor_slice(a);
    int32_t down = tensor_place(a, &s, SLICE_ROWS, tensor_cursor(a, &s)),
            across = tensor_place(a, &s, SLICE_COLUMNS, draw_clamp(a->cur.element, s.columns));
    draw_move_cursor(m, count, &down, s.rows, a->page, &across, s.columns);
    down = tensor_at(a, &s, SLICE_ROWS, draw_clamp(down, s.rows));
    *(s.by_head ? &a->cur.head : &a->cur.row) = down;
    a->cur.element = tensor_at(a, &s, SLICE_COLUMNS, draw_clamp(across, s.columns));
}

static bool tensor_noun(const struct app *a, struct noun *n)
{
    struct tensor_slice s = tensor_slice(a);
    int row = (int)draw_row_index(a, a->cur.row), head = (int)tensor_head(a, &s),
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
    struct tensor_slice s = tensor_slice(a);
    struct tensor_values values;
    say_position(a, b, a->cur.row);
    say_line(b);
    explain_formula(a, a->cur.site, b);
    say_line(b);
    explain_inputs(a, a->cur.site, a->cur.row, s.expert ? -1 : tensor_head(a, &s), a->cur.element,
                   b);
    if (!tensor_open(&values, a, &s))
        return;
    int32_t from = a->cur.element / BESIDE * BESIDE;
    for (int32_t i = from; i < from + BESIDE && i < s.columns; i++) {
        float v;
        bytes_addf(b, "element %d: ", (int)i);
        if (tensor_value(&values, tensor_cursor(a, &s), i, &v))
            say_number(b, (double)v, 4, values.at.show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0);
        else
            bytes_add_string(b, "not computed");
        bytes_addf(b, "%s\n", i == a->cur.element ? ", the cursor" : "");
    }
}

static bool tensor_click(struct app *a, int x, int y)
{
    struct tensor_slice s = tensor_slice(a);
    int32_t row = a->tensor_top + y - a->body.y - 1;
    if (!rect_has(a->body, x, y) || y <= a->body.y || y > a->body.y + a->page || row >= s.rows)
        return false;
    *(s.by_head ? &a->cur.head : &a->cur.row) = tensor_at(a, &s, SLICE_ROWS, row);
    if (x >= a->body.x + DRAW_LABEL)
        a->cur.element = tensor_at(
            a, &s, SLICE_COLUMNS,
            draw_clamp(a->tensor_left + (x - a->body.x - DRAW_LABEL) / VALUE_WIDTH, s.columns));
    return true;
}

/* The panel, where there is no room for it beside the values. */
static bool tensor_enter(struct app *a)
{
    bool side;
    app_body(a, &side);
    bool opens = !side && !a->side_open && a->w >= SMALL_COLUMNS && a->h >= SMALL_ROWS;
    a->side_open = a->side_open || opens;
    return opens;
}

static void view_side(struct app *a, struct frame *f, struct rect r)
{
    tensor_side(a, f, r);
}

static void tensor_copy(const struct app *a, struct bytes *out)
{
    struct tensor_slice s = tensor_slice(a);
    struct tensor_values values;
    struct noun n = {0};
    float v;
    char name[LIMIT_NAME];
    tensor_noun(a, &n);
    bytes_addf(out, "%s%s", app_hook_name(n.site, n.expert, name), n.here);
    if (tensor_open(&values, a, &s) &&
        tensor_value(&values, tensor_cursor(a, &s), a->cur.element, &v))
        bytes_addf(out, " %.9g", (double)v);
}

const struct view view_tensor = {
    .help = "values of one hook: rows are positions, columns the last axis; {quantity next}: "
            "rows are heads; {head previous} {head next} head or expert, {layer next} "
            "{layer previous} layer; {go} goes to a #column; {sort rows least} {sort rows} "
            "{sort columns least} {sort columns} sort",
    .layout = tensor_layout,
    .want = view_want,
    .draw = tensor_draw,
    .title = tensor_title,
    .move = tensor_move,
    .noun = tensor_noun,
    .enter = tensor_enter,
    .side = view_side,
    .say = tensor_say,
    .click = tensor_click,
    .copy = tensor_copy};
