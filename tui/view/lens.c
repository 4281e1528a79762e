/* lens.c - one cell of the grid in full, its position through all layers, and where there is room
 * its layer at all positions. */
#include <math.h>
#include <stdio.h>

#include "detail.h"
#include "run/run.h"

enum {
    LABEL = 9, /* columns in front of a row's figures */
    FIGURES = 57,
    SIDE_COLUMNS = LABEL + FIGURES + 42, /* of a screen that has the panel beside them */
    POSITIONS_COLUMNS = 116,             /* of a screen that has positions too */
    POSITIONS_MIN = 6                    /* lines of them */
};

/* Where the layers, the positions (height 0: no room) and the panel stand, and how wide the labels
 * of the first two are. */
struct places {
    struct rect layers, positions, panel;
    int label;
};

static struct places places_of(const struct app *a, struct rect body)
{
    struct places p = {.label = body.w < POSITIONS_COLUMNS ? LABEL : DRAW_LABEL};
    int rows = a->m->cfg.n_layers + 2;
    if (body.w < SIDE_COLUMNS) {
        p.layers = rect_cut_top(&body, rows < body.h / 2 ? rows : body.h / 2);
        rect_cut_top(&body, 1);
        p.panel = body;
        return p;
    }
    p.layers = rect_cut_left(&body, p.label + FIGURES);
    p.panel = body;
    if (p.label == DRAW_LABEL && p.layers.h - rows - 1 >= POSITIONS_MIN) {
        p.positions = p.layers;
        p.layers = rect_cut_top(&p.positions, rows);
        rect_cut_top(&p.positions, 1);
    }
    return p;
}

/* The first position that is shown. */
static int32_t positions_top(const struct app *a, struct rect r)
{
    return draw_scroll(0, a->cur.row, a->n, r.h - 1);
}

static void lens_layout(struct app *a, struct rect body)
{
    a->page = a->n < 10 ? a->n : 10;
    a->rows_y = body.y + 2;
}

static void lens_want(const struct app *a, struct want_list *l)
{
    struct places p = places_of(a, a->body);
    struct rect r = p.positions;
    int32_t top = r.h ? positions_top(a, r) : 0;
    int best = (a->body.h - 10 < 8 ? 8 : a->body.h - 10) * detail_columns(p.panel.w - 2);
    detail_want(a, l, best);
    if (r.h && !a->m->cfg.headless)
        want_add(l, detail_cell(a, a->cur.column, top, top + r.h - 1));
}

/* A figure, or its change: blank where there is none. */
static void draw_figure(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                        const struct answer *at, double base, double value, int width)
{
    if (at->show != SHOW_DIFFERENCE)
        draw_number(c, r, x, y, st, value, width, 2, 0);
    else if (!(value == base))
        draw_number(c, r, x, y, st, value - base, width, 2, NUMBER_SIGN);
}

/* Best token and figures of a cell, from x on; those of the target of then. */
static void draw_cell(struct app *a, struct canvas *c, struct rect r, int x, int y,
                      struct canvas_style st, const struct answer *at, int32_t column, int32_t row)
{
    struct want w = detail_cell(a, column, row, row + 1);
    w.id[0] = at->w->id[0];
    const struct want_cell *base = snapshot_at(at->s, FACE_BASE, &w, row),
                           *cell = at->show == SHOW_BASE ? base
                                                         : snapshot_at(at->s, FACE_EDITED, &w, row);
    if (!base || !cell) {
        canvas_put(c, r, x, y, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    const struct lens_cell *d = &cell->cell, *b = &base->cell;
    draw_token(a, c, r, x, y, st, cell->top.id, 14);
    draw_number(c, r, x + 15, y, st, exp((double)cell->top.logit - (double)d->lse), 5, 3,
                NUMBER_SMALL);
    draw_figure(c, r, x + 22, y, st, at, (double)b->entropy, (double)d->entropy, 7);
    draw_figure(c, r, x + 30, y, st, at, (double)b->target_logit, (double)d->target_logit, 8);
    draw_figure(c, r, x + 39, y, st, at, (double)b->target_logit - (double)b->lse,
                (double)d->target_logit - (double)d->lse, 9);
    if (d->target_rank >= 0)
        draw_number(c, r, x + 48, y, st, (double)detail_rank(d), 6, 0, 0);
}

static void draw_heading(struct canvas *c, struct rect r, int x, const char *what)
{
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD), what);
    canvas_put(c, r, x, 0, canvas_plain(CANVAS_BOLD),
               "top-1              p  entropy    logit     log p  rank");
}

static struct canvas_style row_style(const struct answer *at, bool answered, bool on)
{
    return canvas_plain((on ? CANVAS_BOLD : 0) | (answered && at->stale ? CANVAS_DIM : 0));
}

static void draw_layers(struct app *a, struct canvas *c, struct rect r, int x)
{
    struct answer at;
    bool answered = app_answer(a, WANT_CELL, SITE_COUNT, &at);
    draw_heading(c, r, x, "column");
    int32_t n = a->m->cfg.n_layers + 1, top = draw_scroll(0, a->cur.column, n, r.h - 1);
    for (int32_t i = 0; i + 1 < r.h && top + i < n; i++) {
        int32_t col = top + i;
        bool on = col == a->cur.column;
        char name[16] = "emb";
        if (col)
            snprintf(name, sizeof name, "%d", (int)col - 1);
        struct canvas_style st = row_style(&at, answered, on);
        canvas_putf(c, r, 0, i + 1, st, "%s%4s", on ? "▶" : " ", name);
        if (answered)
            draw_cell(a, c, r, x, i + 1, st, &at, col, a->cur.row);
    }
}

/* The cursor's layer at all positions. */
static void draw_positions(struct app *a, struct canvas *c, struct rect r, int x)
{
    struct answer at;
    bool answered = app_answer(a, WANT_CELL, SITE_COUNT, &at);
    int32_t top = positions_top(a, r);
    draw_heading(c, r, x, "position");
    for (int32_t i = 0; i + 1 < r.h && top + i < a->n; i++) {
        draw_position(a, c, r, i + 1, top + i);
        if (answered)
            draw_cell(a, c, r, x, i + 1, row_style(&at, answered, top + i == a->cur.row), &at,
                      a->cur.column, top + i);
    }
}

static void lens_draw(struct app *a, struct frame *f, struct rect body)
{
    struct places p = places_of(a, body);
    if (a->m->cfg.headless) {
        canvas_putf(f->canvas, body, 1, 0, canvas_plain(0), "no lens · %s",
                    config_lack(&a->m->cfg, PROPERTY_HEAD));
        return;
    }
    draw_layers(a, f->canvas, p.layers, p.label);
    if (p.positions.h)
        draw_positions(a, f->canvas, p.positions, p.label);
    if (body.w >= SIDE_COLUMNS) {
        canvas_fill(f->canvas, (struct rect){p.panel.x, p.panel.y, 1, p.panel.h},
                    canvas_plain(CANVAS_DIM), "│");
        rect_cut_left(&p.panel, 2);
    }
    detail_draw(a, f, p.panel);
    f->beside = p.positions;
}

static void lens_title(const struct app *a, struct bytes *out)
{
    char name[LIMIT_NAME + 24];
    detail_name(a, name);
    bytes_addf(out, "lens of %s", name);
}

static void lens_move(struct app *a, enum move m, int count)
{
    /* the layers stand below each other here, so up and down go through them, and pages through
     * positions */
    bool page = m == MOVE_PAGE_UP || m == MOVE_PAGE_DOWN;
    m = m == MOVE_PAGE_UP ? MOVE_LEFT : m == MOVE_PAGE_DOWN ? MOVE_RIGHT : m;
    draw_move_cursor(m, page ? 10 : count, &a->cur.column, a->m->cfg.n_layers + 1, 1, &a->cur.row,
                     a->n);
}

static bool lens_noun(const struct app *a, struct noun *n)
{
    n->site = run_lens_site(a->m, a->cur.column);
    snprintf(n->here, sizeof n->here, "[%d]", (int)draw_row_index(a, a->cur.row));
    n->all[0] = 0;
    return true;
}

static bool lens_enter(struct app *a)
{
    app_jump_push(a);
    a->cur.site = run_lens_site(a->m, a->cur.column);
    a->cur.view = VIEW_TENSOR;
    return true;
}

static void lens_say(const struct app *a, struct bytes *b)
{
    detail_say(a, b);
}

static bool lens_click(struct app *a, int x, int y)
{
    struct places p = places_of(a, a->body);
    struct rect r = p.layers, q = p.positions;
    int32_t n = a->m->cfg.n_layers + 1,
            col = y - r.y - 1 + draw_scroll(0, a->cur.column, n, r.h - 1),
            row = y - q.y - 1 + (q.h ? positions_top(a, q) : 0);
    if (a->m->cfg.headless)
        return false;
    if (rect_has(r, x, y) && y > r.y && col < n)
        a->cur.column = col;
    else if (rect_has(q, x, y) && y > q.y && row < a->n)
        a->cur.row = row;
    else
        return false;
    return true;
}

static void lens_copy(const struct app *a, struct bytes *out)
{
    char name[LIMIT_NAME + 24];
    detail_name(a, name);
    bytes_add_string(out, name);
}

const struct view view_lens = {
    .help =
        "one cell of the grid: the best tokens, the target at this position through all layers, and in this layer at all positions",
    .layout = lens_layout,
    .want = lens_want,
    .draw = lens_draw,
    .title = lens_title,
    .move = lens_move,
    .noun = lens_noun,
    .enter = lens_enter,
    .say = lens_say,
    .click = lens_click,
    .copy = lens_copy};
