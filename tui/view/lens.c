/* lens.c - one cell of the grid in full, and its position through all layers. */
#include <math.h>
#include <stdio.h>

#include "detail.h"
#include "run/run.h"

enum { LAYERS_WIDTH = 66 };

static void lens_layout(struct app *a, struct rect body)
{
    a->page = a->n < 10 ? a->n : 10;
    a->rows_y = body.y + 2;
}

static void lens_want(const struct app *a, struct want_list *l)
{
    detail_want(a, l, a->body.h - 10 < 8 ? 8 : a->body.h - 10);
}

/* Best token and figures of a row's cell; those of the target of then. */
static void draw_cell(struct app *a, struct canvas *c, struct rect r, int y, struct canvas_style st,
                      const struct answer *at, int32_t column)
{
    struct want w = detail_cell(a, column, a->cur.row, a->cur.row + 1);
    w.id[0] = at->w->id[0];
    const struct want_cell *base = snapshot_at(at->s, FACE_BASE, &w, a->cur.row),
                           *cell = at->show == SHOW_BASE
                                       ? base
                                       : snapshot_at(at->s, FACE_EDITED, &w, a->cur.row);
    if (!base || !cell) {
        canvas_put(c, r, 9, y, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    const struct lens_cell *d = &cell->cell, *b = &base->cell;
    unsigned sign = at->show == SHOW_DIFFERENCE ? NUMBER_SIGN : 0;
    double entropy = (double)d->entropy, logit = (double)d->target_logit,
           logp = logit - (double)d->lse;
    if (at->show == SHOW_DIFFERENCE) {
        entropy -= (double)b->entropy;
        logp -= (double)b->target_logit - (double)b->lse;
        logit -= (double)b->target_logit;
    }
    draw_token(a, c, r, 9, y, st, cell->top.id, 14);
    draw_number(c, r, 24, y, st, exp((double)cell->top.logit - (double)d->lse), 5, 3, NUMBER_SMALL);
    draw_number(c, r, 31, y, st, entropy, 7, 2, sign);
    draw_number(c, r, 39, y, st, logit, 8, 2, sign);
    draw_number(c, r, 48, y, st, logp, 9, 2, sign);
    if (d->target_rank >= 0)
        draw_number(c, r, 57, y, st, (double)detail_rank(d), 6, 0, 0);
}

static void draw_layers(struct app *a, struct frame *f, struct rect r)
{
    struct canvas *c = f->canvas;
    struct answer at;
    bool answered = app_answer(a, WANT_CELL, SITE_COUNT, &at);
    canvas_put(c, r, 1, 0, canvas_plain(CANVAS_BOLD),
               "column  top-1              p  entropy    logit     log p  rank");
    int32_t n = a->m->cfg.n_layers + 1, top = draw_scroll(0, a->cur.column, n, r.h - 1);
    for (int32_t i = 0; i + 1 < r.h && top + i < n; i++) {
        int32_t col = top + i;
        bool on = col == a->cur.column;
        char name[16] = "emb";
        if (col)
            snprintf(name, sizeof name, "%d", (int)col - 1);
        struct canvas_style st = canvas_plain((on ? CANVAS_BOLD : 0) |
                                              (answered && at.stale ? CANVAS_DIM : 0));
        canvas_putf(c, r, 0, i + 1, st, "%s%4s", on ? "▶" : " ", name);
        if (answered)
            draw_cell(a, c, r, i + 1, st, &at, col);
    }
}

/* Where the layers stand: beside the panel, or above it. */
static struct rect layers_rect(const struct app *a, struct rect body)
{
    if (body.w >= SIDE_MIN_COLUMNS)
        return rect_cut_left(&body, LAYERS_WIDTH);
    int rows = a->m->cfg.n_layers + 2;
    return rect_cut_top(&body, rows < body.h / 2 ? rows : body.h / 2);
}

static void lens_draw(struct app *a, struct frame *f, struct rect body)
{
    struct rect right = body, layers = layers_rect(a, body);
    if (a->m->cfg.headless) {
        canvas_putf(f->canvas, body, 1, 0, canvas_plain(0), "no lens · %s",
                    config_lack(&a->m->cfg, PROPERTY_HEAD));
        return;
    }
    draw_layers(a, f, layers);
    if (body.w >= SIDE_MIN_COLUMNS) {
        rect_cut_left(&right, layers.w);
        canvas_fill(f->canvas, (struct rect){right.x, right.y, 1, right.h},
                    canvas_plain(CANVAS_DIM), "│");
        rect_cut_left(&right, 2);
        detail_draw(a, f, right);
        return;
    }
    rect_cut_top(&right, layers.h + 1);
    detail_draw(a, f, right);
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
    struct rect r = layers_rect(a, a->body);
    int32_t n = a->m->cfg.n_layers + 1,
            col = y - r.y - 1 + draw_scroll(0, a->cur.column, n, r.h - 1);
    if (!rect_has(r, x, y) || y == r.y || col >= n || a->m->cfg.headless)
        return false;
    a->cur.column = col;
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
        "one cell of the grid: the best tokens, and the target at this position through all layers",
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
