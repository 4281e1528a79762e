/* grid.c - every token at every layer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detail.h"
#include "list/experts.h"
#include "list/patches.h"
#include "run/run.h"
#include "say.h"

enum { COLUMN_MIN = 7, COLUMN_MAX = 16, COLUMN_EXPERTS = 35 };

static const struct {
    enum want_kind kind;
    enum site_id site;
    int decimals;
    const char *legend, *title;
} quantities[QUANTITY_COUNT] = {
#define QUANTITY(id, name, kind, site, decimals, legend, title) \
    {WANT_##kind, SITE_##site, decimals, legend, title},
#include "quantity.def"
};

static int32_t rows_shown(const struct app *a)
{
    int32_t room = a->body.h - 2; /* header and legend */
    return room < 1 ? 1 : room;
}

static void grid_layout(struct app *a, struct rect body)
{
    int32_t columns = a->m->cfg.n_layers + 1, room = body.w - DRAW_LABEL;
    int32_t width = room / columns, most = COLUMN_MAX;
    if (a->quantity == QUANTITY_EXPERTS) /* all that a token goes to, where there is room */
        most = 3 + a->m->cfg.n_active * (a->m->cfg.n_experts > 100 ? 4 : 3);
    most = most < COLUMN_MAX ? COLUMN_MAX : most > COLUMN_EXPERTS ? COLUMN_EXPERTS : most;
    int32_t least = a->wide ? COLUMN_MIN : 1; /* compact where wide ones would hide layers */
    a->column_width = width > most ? most : width < least ? least : width;
    a->page = rows_shown(a);
    a->row_top = draw_scroll(a->row_top, a->cur.row, a->n, a->page);
    a->column_left = draw_scroll(a->column_left, a->cur.column, columns, room / a->column_width);
    a->rows_y = body.y + 1;
    a->columns_x = body.x + DRAW_LABEL;
}

/* Site whose norm, or whose edits, a column shows; column 0 is the embedding. */
static struct site_ref cell_site(const struct app *a, int32_t column)
{
    if (column == 0)
        return run_lens_site(a->m, 0);
    struct site_ref s = {quantities[a->quantity].site, column - 1};
    return s.id == SITE_RESID_POST ? run_lens_site(a->m, column) : s;
}

/* The embedding has no attention, a dense layer no experts. */
static bool is_figure(const struct app *a, int32_t column)
{
    if (a->quantity == QUANTITY_EXPERTS)
        return column > 0 && layer_in(&a->m->cfg.moe, column - 1);
    return column > 0 || quantities[a->quantity].site == SITE_RESID_POST;
}

static struct want column_want(const struct app *a, int32_t column)
{
    int32_t end = a->row_top + a->page < a->n ? a->row_top + a->page : a->n;
    enum want_kind kind = quantities[a->quantity].kind;
    if (kind == WANT_CELL)
        return detail_cell(a, column, a->row_top, end);
    if (kind == WANT_VALUES)
        return experts_want(SITE_EXPERT_INDICES, column - 1, a->row_top, end);
    struct want w = want_make(kind, column ? cell_site(a, column) : run_lens_site(a->m, 0),
                              a->row_top, end);
    if (kind == WANT_NORM && !column)
        w.site = (struct site_ref){SITE_RESID_PRE, 0};
    if (kind == WANT_PICK)
        w.id[0] = a->pair[0], w.id[1] = a->pair[1];
    return w;
}

static void grid_want(const struct app *a, struct want_list *l)
{
    bool side;
    app_body(a, &side);
    bool experts = a->quantity == QUANTITY_EXPERTS;
    if (experts && (side || a->side_open)) {
        experts_side_want(a, l);
    } else if (side || a->side_open) {
        struct want all = column_want(a, a->cur.column);
        all.row0 = 0, all.row1 = a->n;
        detail_want(a, l, a->body.h - 12 < 5 ? 5 : a->body.h - 12);
        if (a->image && is_figure(a, a->cur.column))
            want_add(l, all);
    }
    for (int32_t column = a->m->cfg.n_layers; column >= 0; column--) {
        if (!is_figure(a, column))
            continue;
        struct want w = column_want(a, column);
        want_add(l, w);
        if (experts)
            want_add(l, experts_want(SITE_ROUTER_SCORES, column - 1, w.row0, w.row1));
    }
}

/* ---- values ---- */

/* The columns of an answer, for the target or the pair of then. */
struct columns {
    struct answer at;
    int32_t id[2];
};

static bool columns_open(struct columns *s, const struct app *a)
{
    if (!app_answer(a, quantities[a->quantity].kind, SITE_COUNT, &s->at))
        return false;
    memcpy(s->id, s->at.w->id, sizeof s->id);
    return true;
}

static const void *element(const struct app *a, const struct columns *s, enum face face,
                           int32_t column, int32_t row)
{
    struct want w = column_want(a, column);
    memcpy(w.id, s->id, sizeof w.id);
    return is_figure(a, column) ? snapshot_at(s->at.s, face, &w, row) : NULL;
}

static const struct want_cell *lens_at(const struct app *a, const struct columns *s, enum face face,
                                       int32_t column, int32_t row)
{
    return element(a, s, face, column, row);
}

static struct experts experts_of(const struct app *a, const struct columns *s, enum face face,
                                 int32_t column, int32_t row)
{
    return is_figure(a, column) ? experts_at(a, s->at.s, face, column - 1, row)
                                : (struct experts){0};
}

/* Of the first expert's weight in the sum, or the share of it that an edit moves. */
static bool experts_value(const struct app *a, const struct columns *s, int32_t column, int32_t row,
                          float *v)
{
    struct experts base = experts_of(a, s, FACE_BASE, column, row), edited = base;
    if (s->at.show != SHOW_BASE)
        edited = experts_of(a, s, FACE_EDITED, column, row);
    if (!base.index || !edited.index)
        return false;
    *v = s->at.show == SHOW_DIFFERENCE ? experts_moved(&base, &edited) : edited.weight[0];
    return true;
}

/* The figure of a cell; false while it is not there. */
static bool face_value(const struct app *a, const struct columns *s, enum face face, int32_t column,
                       int32_t row, float *v)
{
    const void *at = element(a, s, face, column, row);
    const struct want_cell *cell = at;
    const float *f = at;
    if (!at)
        return false;
    switch (a->quantity) {
    case QUANTITY_ENTROPY: *v = cell->cell.entropy; break;
    case QUANTITY_RANK: *v = detail_rank(&cell->cell); break;
    case QUANTITY_P: *v = expf(cell->cell.target_logit - cell->cell.lse); break;
    case QUANTITY_LOGP: *v = cell->cell.target_logit - cell->cell.lse; break;
    case QUANTITY_DELTA: *v = f[0] - f[1]; break;
    case QUANTITY_LENS:
        *v = s->at.show == SHOW_DIFFERENCE ? cell->cell.target_logit - cell->cell.lse
                                           : expf(cell->top.logit - cell->cell.lse);
        break;
    default: *v = *f;
    }
    return a->quantity != QUANTITY_RANK || cell->cell.target_rank >= 0;
}

static bool value(const struct app *a, const struct columns *s, int32_t column, int32_t row,
                  float *v)
{
    float base, edited = 0;
    if (a->quantity == QUANTITY_EXPERTS)
        return experts_value(a, s, column, row, v);
    bool there = face_value(a, s, FACE_BASE, column, row, &base) &&
                 (s->at.show == SHOW_BASE || face_value(a, s, FACE_EDITED, column, row, &edited));
    if (there)
        *v = s->at.show == SHOW_DIFFERENCE && base == edited ? 0
                                                             : show_value(s->at.show, base, edited);
    return there;
}

static struct scale fit(const struct app *a, const struct columns *s)
{
    int32_t columns = a->m->cfg.n_layers + 1, n = 0;
    bool diff = s->at.show == SHOW_DIFFERENCE;
    enum scale_kind kind = diff || a->quantity == QUANTITY_DELTA ? SCALE_SYMMETRIC
                           : a->linear || quantities[a->quantity].kind != WANT_NORM ? SCALE_LINEAR
                                                                                    : SCALE_LOG;
    if (a->quantity == QUANTITY_EXPERTS)
        return scale_make(SCALE_LINEAR, 0, 1);
    if (!diff && (a->quantity == QUANTITY_LENS || a->quantity == QUANTITY_P))
        return scale_make(SCALE_LINEAR, 0, 1);
    if (!diff && a->quantity == QUANTITY_COSINE)
        return scale_make(SCALE_SYMMETRIC, -1, 1);
    if (!diff && a->quantity == QUANTITY_ENTROPY)
        return scale_make(SCALE_LINEAR, 0, logf((float)a->m->cfg.d_vocab));
    if (!diff && a->quantity == QUANTITY_RANK)
        return scale_make(SCALE_LOG, 1, (float)(a->m->cfg.d_vocab > 2 ? a->m->cfg.d_vocab : 2));
    float *v = calloc((size_t)a->page * (size_t)columns + 1, sizeof *v);
    for (int32_t c = 0; v && c < columns; c++)
        for (int32_t r = 0; r < a->page; r++)
            n += value(a, s, c, a->row_top + r, &v[n]);
    struct scale sc = scale_fit(kind, v, (size_t)n);
    free(v);
    return sc;
}

/* Figures below 0 too: differences of logits, cosines, and changes, but for the share that routing
 * moves. */
static bool is_signed(const struct app *a, enum show show)
{
    return (show == SHOW_DIFFERENCE && a->quantity != QUANTITY_EXPERTS) ||
           a->quantity == QUANTITY_DELTA || a->quantity == QUANTITY_COSINE;
}

/* ---- drawing ---- */

static int decimals(const struct app *a, bool diff)
{
    return diff && quantities[a->quantity].decimals == 1 ? 2 : quantities[a->quantity].decimals;
}

/* Without colour: does a glyph say what the colour would, that the text does not? */
static bool is_shaded(const struct app *a, bool diff, int width)
{
    return (a->quantity == QUANTITY_LENS && !diff) ||
           (width < COLUMN_MIN - 1 && a->quantity != QUANTITY_EXPERTS);
}

static bool is_selected(const struct app *a, int32_t column, int32_t row)
{
    int32_t c0 = a->select_column, c1 = a->cur.column, r0 = a->select_row, r1 = a->cur.row;
    return a->selecting && (column - c0) * (column - c1) <= 0 && (row - r0) * (row - r1) <= 0;
}

/* What stands in a cell: text of `room` columns at x. */
static void draw_content(const struct app *a, struct canvas *c, struct rect r, int x, int room,
                         struct canvas_style st, const struct columns *s, int32_t column,
                         int32_t row, float v)
{
    bool diff = s->at.show == SHOW_DIFFERENCE;
    enum face face = s->at.show == SHOW_BASE ? FACE_BASE : FACE_EDITED;
    if (a->quantity == QUANTITY_LENS && !diff && !isnan(v)) {
        size_t len;
        int32_t id = lens_at(a, s, face, column, row)->top.id;
        const char *text = tokenizer_text(a->m->tok, id, &len);
        if (room < COLUMN_MIN - 2) /* letters count: no blank before them, no ellipsis behind */
            while (len > 1 && *text == ' ')
                text++, len--;
        struct rect field = {r.x + x, r.y, room, 1};
        if (room < COLUMN_MIN - 2)
            canvas_put_text(c, field, 0, 0, st, text, len, TEXT_TOKEN);
        else
            canvas_put_field(c, field, 0, 0, st, text, len, TEXT_TOKEN, room, true);
    } else if (a->quantity == QUANTITY_EXPERTS) {
        char text[COLUMN_EXPERTS * 2];
        struct experts e = experts_of(a, s, face, column, row);
        canvas_put(c, r, x, 0, st, experts_text(&e, room, text, sizeof text));
    } else if (room >= 4) {
        draw_number(c, r, x, 0, st, (double)v, room, decimals(a, diff),
                    diff || a->quantity == QUANTITY_DELTA ? NUMBER_SIGN
                    : a->quantity == QUANTITY_P           ? NUMBER_SMALL
                                                          : 0);
    } else if (isnan(v)) {
        canvas_put(c, r, x, 0, st, "!");
    }
}

/* Brackets and a mark where there is room for them; compact cells are reversed instead. */
static void draw_marks(const struct app *a, struct canvas *c, struct rect r, int width, bool on,
                       bool edited, struct canvas_style st)
{
    bool brackets = width >= COLUMN_MIN - 1;
    if (on && brackets) {
        canvas_put(c, r, 0, 0, st, "[");
        canvas_put(c, r, width - 1, 0, st, "]");
    }
    if (edited) /* in the narrowest cells with brackets the mark stands for one */
        canvas_put(c, r, on && width >= COLUMN_MIN ? 1 : 0, 0, st, "*");
    if (on && !brackets) {
        canvas_restyle(c, (struct rect){r.x, r.y, width, 1}, canvas_plain(CANVAS_REVERSE));
        if (a->no_color && strcmp(canvas_at(c, r.x, r.y)->text, " ") == 0)
            canvas_put(c, r, 0, 0, canvas_plain(CANVAS_REVERSE), "□");
    }
}

static bool is_edited(const struct app *a, int32_t column, int32_t row)
{
    return draw_is_edited(a, cell_site(a, column), 0, row) ||
           (a->quantity == QUANTITY_EXPERTS && /* the router's other hooks choose too */
            (draw_is_edited(a, (struct site_ref){SITE_EXPERT_INDICES, column - 1}, 0, row) ||
             draw_is_edited(a, (struct site_ref){SITE_ROUTER_SCORES, column - 1}, 0, row)));
}

static void draw_cell(const struct app *a, struct frame *f, struct rect r, const struct columns *s,
                      struct scale sc, int32_t column, int32_t row)
{
    struct canvas *c = f->canvas;
    int width = a->column_width - (a->column_width > 2);
    float v = 0;
    bool diff = s->at.show == SHOW_DIFFERENCE, there = value(a, s, column, row, &v);
    bool blank = !there || (diff && v == 0), pending = !there && is_figure(a, column);
    bool on = column == a->cur.column && row == a->cur.row, edited = is_edited(a, column, row);
    enum colormap map = is_signed(a, s->at.show) ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL;
    struct canvas_style st = blank ? canvas_plain(0) : draw_value_style(f, map, scale_at(sc, v));
    st.attr |= (s->at.stale ? CANVAS_DIM : 0) | (on ? CANVAS_BOLD : 0) |
               (is_selected(a, column, row) ? CANVAS_REVERSE : 0);
    canvas_fill(c, (struct rect){r.x, r.y, width, 1}, st, " ");
    bool wide = width >= COLUMN_MIN - 1, shade = a->no_color && !blank && is_shaded(a, diff, width);
    int x = !wide                                 ? 0
            : on && edited && width >= COLUMN_MIN ? 2
                                                  : 1, /* bracket, mark, value, bracket */
        room = width - x - wide - (shade && width > 1);
    if (pending)
        canvas_put(c, r, wide, 0, canvas_plain(CANVAS_DIM), "…");
    else if (!blank && room > 0 && !(shade && width == 1))
        draw_content(a, c, r, x, room, st, s, column, row, v);
    if (shade)
        canvas_put(
            c, r, x + (width > 1 ? room : 0), 0, st,
            heat_glyph(is_signed(a, s->at.show) ? fabs(2 * scale_at(sc, v) - 1) : scale_at(sc, v),
                       f->caps.ascii ? HEAT_RAMP : HEAT_SHADES));
    draw_marks(a, c, r, width, on, edited, st);
}

static void draw_header(const struct app *a, struct canvas *c, struct rect r, int shown)
{
    canvas_put(c, r, 6, 0, canvas_plain(CANVAS_DIM), "token");
    int step = a->column_width < 4 ? 8 / a->column_width : 1; /* names do not touch */
    for (int32_t i = 0; i < shown; i++) {
        int32_t column = a->column_left + i;
        bool on = column == a->cur.column;
        char name[16];
        snprintf(name, sizeof name,
                 column                ? "%d"
                 : a->column_width < 4 ? "e"
                                       : "emb",
                 (int)column - 1);
        int x = DRAW_LABEL + (a->column_width > 6) + i * a->column_width;
        if (on || (column % step == 0 && abs(column - a->cur.column) * a->column_width > 3))
            canvas_put(c, r, x, 0, canvas_plain(on ? CANVAS_BOLD : CANVAS_DIM), name);
    }
    if (a->column_left + shown < a->m->cfg.n_layers + 1)
        canvas_put(c, r, r.w - 1, 0, canvas_plain(0), "›");
    if (a->column_left > 0)
        canvas_put(c, r, DRAW_LABEL - 1, 0, canvas_plain(0), "‹");
}

static const char *legend_name(const struct app *a, bool diff)
{
    if (a->quantity == QUANTITY_EXPERTS && diff)
        return "share that goes elsewhere";
    return diff ? a->quantity == QUANTITY_LENS ? "change of log p" : "change"
                : quantities[a->quantity].legend;
}

static void grid_draw(struct app *a, struct frame *f, struct rect body)
{
    struct rect rest = body, header = rect_cut_top(&rest, 1),
                legend = rect_cut_bottom(&rest, body.h > 3 ? 1 : 0);
    int32_t columns = a->m->cfg.n_layers + 1, shown = (body.w - DRAW_LABEL) / a->column_width;
    shown = shown > columns - a->column_left ? columns - a->column_left : shown;
    draw_header(a, f->canvas, header, shown);
    struct columns s = {.at = {0}};
    bool there = columns_open(&s, a), diff = s.at.show == SHOW_DIFFERENCE;
    struct scale sc = there ? fit(a, &s) : scale_make(SCALE_LINEAR, 0, 1);
    for (int32_t i = 0; i < rest.h && a->row_top + i < a->n; i++) {
        int32_t row = a->row_top + i;
        draw_position(a, f->canvas, rest, i, row);
        for (int32_t j = 0; j < shown; j++) {
            struct rect cell = {rest.x + DRAW_LABEL + j * a->column_width, rest.y + i,
                                a->column_width, 1};
            if (there)
                draw_cell(a, f, cell, &s, sc, a->column_left + j, row);
            else
                canvas_put(f->canvas, cell, 1, 0, canvas_plain(CANVAS_DIM), "…");
        }
    }
    if (legend.h)
        heat_legend(f->canvas, legend, 1, 0, legend_name(a, diff), sc,
                    is_signed(a, s.at.show) ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL);
}

/* The figures of the cursor's column at all patches, above the cell in full. */
static void patches_side(struct app *a, struct frame *f, struct rect r)
{
    struct rect top = patches_cut(a, &r);
    struct columns s = {.at = {0}};
    bool there = !rect_is_empty(top) && columns_open(&s, a), diff = s.at.show == SHOW_DIFFERENCE;
    float *v = there ? malloc((size_t)a->n * sizeof *v) : NULL;
    for (int32_t row = 0; row < a->n && v; row++)
        if (!value(a, &s, a->cur.column, row, &v[row])) {
            free(v);
            v = NULL;
        }
    char name[32];
    snprintf(name, sizeof name, a->cur.column ? "%s, layer %d" : "%s", legend_name(a, diff),
             (int)a->cur.column - 1);
    patches_draw(a, f, top, v, v ? fit(a, &s) : scale_make(SCALE_LINEAR, 0, 1),
                 diff ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL, name);
    free(v);
    detail_draw(a, f, r);
}

static void grid_title(const struct app *a, struct bytes *out)
{
    if (a->quantity == QUANTITY_LENS && a->show == SHOW_DIFFERENCE && a->snap && a->snap->edited &&
        app_target(a) >= 0) {
        bytes_add_string(out, "lens: change of log p of \"");
        draw_add_token(a, app_target(a), out);
        bytes_add_string(out, "\"");
        return;
    }
    const char *title = quantities[a->quantity].title;
    bytes_add_string(out, title);
    if (strcmp(title + strlen(title) - 3, "of ") != 0)
        return;
    bool pair = a->quantity == QUANTITY_DELTA;
    for (int i = 0; i <= pair; i++) {
        int32_t id = pair ? a->pair[i] : app_target(a);
        bytes_add_string(out, i ? "\" − \"" : "\"");
        if (id >= 0)
            draw_add_token(a, id, out);
    }
    bytes_add_string(out, "\"");
}

/* ---- moving ---- */

static void grid_move(struct app *a, enum move m, int count)
{
    int32_t page = a->page > 1 ? a->page - 1 : 1;
    draw_move_cursor(m, count, &a->cur.row, a->n, page, &a->cur.column, a->m->cfg.n_layers + 1);
}

static bool grid_noun(const struct app *a, struct noun *n)
{
    n->site = cell_site(a, a->cur.column);
    snprintf(n->here, sizeof n->here, "[%d]", (int)draw_row_index(a, a->cur.row));
    n->all[0] = 0;
    if (a->quantity != QUANTITY_EXPERTS)
        return true;
    if (a->selecting) { /* what all experts of a rectangle add */
        n->site.id = SITE_MLP_OUT;
        return true;
    }
    /* without weight the router takes another expert */
    int32_t expert = is_figure(a, a->cur.column) ? experts_chosen(a, a->cur.column - 1) : -1;
    snprintf(n->here, sizeof n->here, "[%d, %d]", (int)draw_row_index(a, a->cur.row), (int)expert);
    snprintf(n->all, sizeof n->all, "[:, %d]", (int)expert);
    return expert >= 0;
}

static void grid_side(struct app *a, struct frame *f, struct rect r)
{
    if (a->quantity == QUANTITY_EXPERTS)
        experts_side(a, f, r);
    else
        patches_side(a, f, r);
}

static bool grid_enter(struct app *a)
{
    bool side;
    app_body(a, &side);
    if (!side && !a->side_open && a->w >= SMALL_COLUMNS && a->h >= SMALL_ROWS) {
        a->side_open = true;
    } else if (a->quantity == QUANTITY_EXPERTS && is_figure(a, a->cur.column)) {
        app_jump_push(a);
        a->cur.site = cell_site(a, a->cur.column);
        a->cur.element = draw_clamp(experts_chosen(a, a->cur.column - 1), a->m->cfg.n_experts);
        a->cur.view = VIEW_TENSOR;
    } else {
        app_show_view(a, VIEW_LENS);
    }
    return true;
}

/* The figure or word of one cell. */
static void say_cell(const struct app *a, struct bytes *b, const struct columns *s, int32_t column,
                     int32_t row)
{
    float v = 0;
    bool diff = s->at.show == SHOW_DIFFERENCE;
    enum face face = s->at.show == SHOW_BASE ? FACE_BASE : FACE_EDITED;
    if (!value(a, s, column, row, &v)) {
        bytes_add_string(b, is_figure(a, column) ? "not computed" : "nothing there");
    } else if (diff && v == 0) {
        bytes_add_string(b, "no change");
    } else if (a->quantity == QUANTITY_LENS && !diff) {
        const struct want_cell *cell = lens_at(a, s, face, column, row);
        say_token(a, b, cell->top.id);
        bytes_add_string(b, ", probability ");
        say_number(b, (double)v, 3, NUMBER_SMALL);
    } else if (a->quantity == QUANTITY_EXPERTS) {
        char text[COLUMN_EXPERTS * 2];
        struct experts e = experts_of(a, s, face, column, row);
        bytes_add_string(b, experts_text(&e, COLUMN_EXPERTS, text, sizeof text));
    } else {
        say_number(b, (double)v, decimals(a, diff),
                   diff                        ? NUMBER_SIGN
                   : a->quantity == QUANTITY_P ? NUMBER_SMALL
                                               : 0);
    }
}

static void grid_say(const struct app *a, struct bytes *b)
{
    struct columns s = {.at = {0}};
    say_position(a, b, a->cur.row);
    say_line(b);
    if (!columns_open(&s, a))
        return;
    for (int32_t column = 0; column <= a->m->cfg.n_layers; column++) {
        if (!is_figure(a, column))
            continue;
        bytes_addf(b, column ? "layer %d: " : "embedding: ", (int)column - 1);
        say_cell(a, b, &s, column, a->cur.row);
        bytes_addf(b, "%s%s\n", is_edited(a, column, a->cur.row) ? ", edited" : "",
                   column == a->cur.column ? ", the cursor" : "");
    }
}

static bool grid_click(struct app *a, int x, int y)
{
    if (!rect_has(a->body, x, y) || y < a->rows_y)
        return false;
    int32_t row = a->row_top + y - a->rows_y;
    if (row >= a->n)
        return false;
    a->cur.row = row;
    if (x >= a->columns_x)
        a->cur.column = draw_clamp(a->column_left + (x - a->columns_x) / a->column_width,
                                   a->m->cfg.n_layers + 1);
    return true;
}

const struct view view_grid = {
    .help = "rows are tokens, columns the residual stream from the embedding to the last "
            "layer; {quantity next} changes what cells show",
    .layout = grid_layout,
    .want = grid_want,
    .draw = grid_draw,
    .side = grid_side,
    .title = grid_title,
    .move = grid_move,
    .noun = grid_noun,
    .enter = grid_enter,
    .say = grid_say,
    .click = grid_click};
