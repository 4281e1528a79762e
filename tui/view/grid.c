/* grid.c - view 1: every token at every layer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detail.h"
#include "run/run.h"

enum { COLUMN_MIN = 7, COLUMN_MAX = 11 };

static bool is_lens(enum quantity q)
{
    return q == QUANTITY_LENS || q == QUANTITY_ENTROPY || q == QUANTITY_RANK;
}

static int32_t rows_shown(const struct app *a)
{
    int32_t room = a->body.h - 2; /* header and legend */
    return room < 1 ? 1 : room;
}

static void grid_layout(struct app *a, struct rect body)
{
    int32_t columns = a->m->cfg.n_layers + 1, room = body.w - DRAW_LABEL;
    int32_t width = room / columns;
    a->column_width = width > COLUMN_MAX ? COLUMN_MAX : width < COLUMN_MIN ? COLUMN_MIN : width;
    a->page = rows_shown(a);
    a->row_top = draw_scroll(a->row_top, a->cur.row, a->n, a->page);
    a->column_left = draw_scroll(a->column_left, a->cur.column, columns, room / a->column_width);
    a->rows_y = body.y + 1;
    a->columns_x = body.x + DRAW_LABEL;
}

static void grid_want(const struct app *a, struct session_want *w)
{
    bool side;
    app_body(a, &side);
    w->row0 = a->row_top;
    w->row1 = a->row_top + a->page < a->n ? a->row_top + a->page : a->n;
    w->lens = is_lens(a->quantity);
    w->norms = !w->lens;
    if (side || a->side_open)
        detail_want(a, w, a->body.h - 12 < 5 ? 5 : a->body.h - 12);
}

/* ---- values
 * ------------------------------------------------------------------------------------------- */

static const float *norms_of(const struct snapshot_norms *n, enum quantity q)
{
    switch (q) {
    case QUANTITY_PRE: return n->pre;
    case QUANTITY_MID: return n->mid;
    case QUANTITY_ATTN: return n->attn;
    case QUANTITY_MLP: return n->mlp;
    default: return n->post;
    }
}

/* The figure of a cell: NaN where there is none (the embedding has no attention) or none yet. */
static float face_value(const struct app *a, const struct snapshot *s, enum face face,
                        int32_t column, int32_t row)
{
    const struct snapshot_face *f = &s->face[face];
    int32_t rows = s->row1 - s->row0, i = row - s->row0;
    if (i < 0 || i >= rows)
        return NAN;
    if (!is_lens(a->quantity)) {
        const float *v = norms_of(&f->norms, a->quantity);
        if (column == 0)
            return a->quantity == QUANTITY_NORM && f->norms.pre ? f->norms.pre[i] : NAN;
        return v ? v[(column - 1) * rows + i] : NAN;
    }
    const struct lens_cell *cell = &f->cells[column * rows + i];
    const struct lens_top *top = &f->top[column * rows + i];
    if (a->quantity == QUANTITY_ENTROPY)
        return cell->entropy;
    if (a->quantity == QUANTITY_RANK)
        return cell->target_rank < 0 ? NAN : (float)cell->target_rank + 1;
    if (a->show == SHOW_DIFFERENCE && s->edited)
        return cell->target_logit - cell->lse;
    return top->id < 0 ? NAN : expf(top->logit - cell->lse);
}

static float value(const struct app *a, const struct snapshot *s, int32_t column, int32_t row)
{
    enum show show = app_show(a, s);
    float base = face_value(a, s, FACE_BASE, column, row);
    return show_value(show, base,
                      show == SHOW_BASE ? base : face_value(a, s, FACE_EDITED, column, row));
}

static struct scale fit(const struct app *a, const struct snapshot *s)
{
    int32_t rows = s->row1 - s->row0, n = 0;
    enum show show = app_show(a, s);
    if (show != SHOW_DIFFERENCE && a->quantity == QUANTITY_LENS)
        return scale_make(SCALE_LINEAR, 0, 1);
    if (show != SHOW_DIFFERENCE && a->quantity == QUANTITY_ENTROPY)
        return scale_make(SCALE_LINEAR, 0, logf((float)a->m->cfg.d_vocab));
    if (show != SHOW_DIFFERENCE && a->quantity == QUANTITY_RANK)
        return scale_make(SCALE_LOG, 1, (float)(a->m->cfg.d_vocab > 2 ? a->m->cfg.d_vocab : 2));
    float *v = calloc((size_t)rows * (size_t)s->n_columns + 1, sizeof *v);
    for (int32_t c = 0; v && c < s->n_columns; c++)
        for (int32_t r = 0; r < rows; r++)
            v[n++] = value(a, s, c, s->row0 + r);
    struct scale sc = scale_fit(show == SHOW_DIFFERENCE ? SCALE_SYMMETRIC
                                : a->linear             ? SCALE_LINEAR
                                                        : SCALE_LOG,
                                v, (size_t)n);
    free(v);
    return sc;
}

/* ---- drawing
 * ------------------------------------------------------------------------------------------ */

static bool is_selected(const struct app *a, int32_t column, int32_t row)
{
    int32_t c0 = a->select_column, c1 = a->cur.column, r0 = a->select_row, r1 = a->cur.row;
    return a->selecting && (column - c0) * (column - c1) <= 0 && (row - r0) * (row - r1) <= 0;
}

static struct site_ref cell_site(const struct app *a, int32_t column)
{
    if (column == 0)
        return run_lens_site(a->m, 0);
    static const enum site_id ids[QUANTITY_COUNT] = {
        SITE_RESID_POST, SITE_RESID_POST, SITE_RESID_PRE,  SITE_RESID_MID,
        SITE_ATTN_OUT,   SITE_MLP_OUT,    SITE_RESID_POST, SITE_RESID_POST};
    return (struct site_ref){ids[a->quantity], column - 1};
}

static void draw_cell(const struct app *a, struct frame *f, struct rect r, const struct snapshot *s,
                      struct scale sc, bool stale, int32_t column, int32_t row)
{
    struct canvas *c = f->canvas;
    int width = a->column_width - 1;
    enum show show = app_show(a, s);
    float v = value(a, s, column, row);
    bool diff = show == SHOW_DIFFERENCE, blank = isnan(v) || (diff && v == 0);
    bool on = column == a->cur.column && row == a->cur.row;
    struct canvas_style st = blank
                                 ? canvas_plain(0)
                                 : draw_value_style(f,
                                                    diff ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL,
                                                    scale_at(sc, v));
    st.attr |= (stale ? CANVAS_DIM : 0) | (on ? CANVAS_BOLD : 0) |
               (is_selected(a, column, row) ? CANVAS_REVERSE : 0);
    canvas_fill(c, (struct rect){r.x, r.y, width, 1}, st, " ");
    bool edited = draw_is_edited(a, cell_site(a, column), 0, row);
    bool both = on && edited &&
                width >= COLUMN_MIN; /* in the narrowest cells the mark stands for the bracket */
    int x = both ? 2 : 1, room = width - 1 - x; /* bracket, mark, value, bracket */
    bool pending = isnan(v) &&
                   !(column == 0 && !is_lens(a->quantity) && a->quantity != QUANTITY_NORM);
    if (pending)
        canvas_put(c, r, 1, 0, canvas_plain(CANVAS_DIM), "…");
    else if (!blank && a->quantity == QUANTITY_LENS && !diff) {
        const struct lens_top *top = s->face[show == SHOW_BASE ? FACE_BASE : FACE_EDITED].top;
        draw_token(a, c, r, x, 0, st, top[column * (s->row1 - s->row0) + row - s->row0].id, room);
    } else if (!blank) {
        char n[NUMBER_BYTES];
        int decimals = a->quantity == QUANTITY_RANK              ? 0
                       : diff || a->quantity == QUANTITY_ENTROPY ? 2
                                                                 : 1;
        canvas_put(c, r, x, 0, st,
                   number_fit(n, (double)v, room, decimals, diff ? NUMBER_SIGN : 0));
    }
    if (on) {
        canvas_put(c, r, 0, 0, st, "[");
        canvas_put(c, r, width - 1, 0, st, "]");
    }
    if (edited)
        canvas_put(c, r, both ? 1 : 0, 0, st, "*");
}

static void draw_header(const struct app *a, struct canvas *c, struct rect r, int shown)
{
    canvas_put(c, r, 6, 0, canvas_plain(CANVAS_DIM), "token");
    for (int32_t i = 0; i < shown; i++) {
        int32_t column = a->column_left + i;
        char name[16] = "emb";
        if (column)
            snprintf(name, sizeof name, "%d", (int)column - 1);
        canvas_put(c, r, DRAW_LABEL + 1 + i * a->column_width, 0,
                   canvas_plain(column == a->cur.column ? CANVAS_BOLD : CANVAS_DIM), name);
    }
    if (a->column_left + shown < a->m->cfg.n_layers + 1)
        canvas_put(c, r, r.w - 1, 0, canvas_plain(0), "›");
    if (a->column_left > 0)
        canvas_put(c, r, DRAW_LABEL - 1, 0, canvas_plain(0), "‹");
}

static const char *legend_name(const struct app *a, bool diff)
{
    static const char *const names[QUANTITY_COUNT] = {"p(top-1)", "norm", "norm",    "norm",
                                                      "norm",     "norm", "entropy", "rank"};
    return diff ? a->quantity == QUANTITY_LENS ? "change of log p" : "change" : names[a->quantity];
}

static void grid_draw(struct app *a, struct frame *f, struct rect body)
{
    struct rect rest = body, header = rect_cut_top(&rest, 1),
                legend = rect_cut_bottom(&rest, body.h > 3 ? 1 : 0);
    int32_t columns = a->m->cfg.n_layers + 1, shown = (body.w - DRAW_LABEL) / a->column_width;
    shown = shown > columns - a->column_left ? columns - a->column_left : shown;
    draw_header(a, f->canvas, header, shown);
    bool stale;
    const struct snapshot *s = app_part(a, is_lens(a->quantity) ? PART_CELLS : PART_NORMS, &stale);
    struct scale sc = s ? fit(a, s) : scale_make(SCALE_LINEAR, 0, 1);
    for (int32_t i = 0; i < rest.h && a->row_top + i < a->n; i++) {
        int32_t row = a->row_top + i;
        draw_position(a, f->canvas, rest, i, row);
        for (int32_t j = 0; j < shown; j++) {
            struct rect cell = {rest.x + DRAW_LABEL + j * a->column_width, rest.y + i,
                                a->column_width, 1};
            if (s)
                draw_cell(a, f, cell, s, sc, stale, a->column_left + j, row);
            else
                canvas_put(f->canvas, cell, 1, 0, canvas_plain(CANVAS_DIM), "…");
        }
    }
    bool diff = s && app_show(a, s) == SHOW_DIFFERENCE;
    if (legend.h)
        heat_legend(f->canvas, legend, 1, 0, legend_name(a, diff), sc,
                    diff ? COLORMAP_DIVERGING : COLORMAP_SEQUENTIAL);
}

static void grid_title(const struct app *a, struct bytes *out)
{
    static const char *const names[QUANTITY_COUNT] = {"lens: top-1 of blocks.*.hook_resid_post",
                                                      "norm of blocks.*.hook_resid_post",
                                                      "norm of blocks.*.hook_resid_pre",
                                                      "norm of blocks.*.hook_resid_mid",
                                                      "attention: norm of blocks.*.hook_attn_out",
                                                      "MLP: norm of blocks.*.hook_mlp_out",
                                                      "entropy of the lens",
                                                      "rank of "};
    if (a->quantity == QUANTITY_LENS && a->show == SHOW_DIFFERENCE && a->snap && a->snap->edited &&
        app_target(a) >= 0) {
        bytes_add_string(out, "lens: change of log p of \"");
        draw_add_token(a, app_target(a), out);
        bytes_add_string(out, "\"");
        return;
    }
    bytes_add_string(out, names[a->quantity]);
    if (a->quantity == QUANTITY_RANK && app_target(a) >= 0) {
        bytes_add_string(out, "\"");
        draw_add_token(a, app_target(a), out);
        bytes_add_string(out, "\" in the lens");
    }
}

/* ---- moving
 * ------------------------------------------------------------------------------------------- */

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
    return true;
}

static bool grid_enter(struct app *a)
{
    bool side;
    app_body(a, &side);
    if (!side && !a->side_open && a->w >= SMALL_COLUMNS && a->h >= SMALL_ROWS)
        a->side_open = true;
    else
        app_show_view(a, VIEW_LENS);
    return true;
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
    .help =
        "rows are tokens, columns the residual stream from the embedding to the last layer; Tab changes what cells show",
    .layout = grid_layout,
    .want = grid_want,
    .draw = grid_draw,
    .side = detail_draw,
    .title = grid_title,
    .move = grid_move,
    .noun = grid_noun,
    .enter = grid_enter,
    .click = grid_click};
