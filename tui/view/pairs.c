/* pairs.c - two answers position by position: the prompt and the other one where they are compared,
 * else the run without edits and with them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compare.h"
#include "draw.h"
#include "run/run.h"
#include "say.h"

enum { SIDE = 34, FIGURES = 2 * SIDE + 22 };

static struct site_ref end_site(const struct app *a)
{
    return run_lens_site(a->m, a->m->cfg.n_layers);
}

static struct want cells(const struct app *a)
{
    int32_t last = a->row_top + a->page;
    struct want w = want_make(WANT_CELL, end_site(a), a->row_top, last < a->n ? last : a->n);
    w.id[0] = app_target(a);
    return w;
}

static struct want norms(const struct app *a)
{
    struct want w = cells(a);
    return want_make(WANT_NORM, w.site, w.row0, w.row1);
}

static void pairs_layout(struct app *a, struct rect body)
{
    a->page = body.h > 3 ? body.h - 3 : 1;
    a->row_top = draw_scroll(a->row_top, a->cur.row, a->n, a->page);
    a->rows_y = body.y + 2;
}

static void pairs_want(const struct app *a, struct want_list *l)
{
    want_add(l, norms(a));
    if (!a->m->cfg.headless)
        want_add(l, cells(a));
}

/* What one of both says behind a position: its best token, p and entropy. */
static void draw_said(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                      struct canvas_style st, const struct want_cell *cell)
{
    if (!cell) {
        canvas_put(c, r, x, y, canvas_plain(CANVAS_DIM), "…");
        return;
    }
    draw_token(a, c, r, x, y, st, cell->top.id, 11);
    draw_number(c, r, x + 12, y, st, exp((double)cell->top.logit - (double)cell->cell.lse), 6, 3,
                NUMBER_SMALL);
}

static int32_t other_row(const struct app *a, int32_t row)
{
    return compare_is_on(a) ? compare_partner(a)[row] : row;
}

static void draw_other(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                       struct canvas_style st, int32_t row)
{
    int32_t p = other_row(a, row);
    size_t len;
    if (p < 0) {
        canvas_put(c, r, x, y, canvas_plain(CANVAS_DIM), "   – no partner");
        return;
    }
    const char *text = model_input_text(
        a->m, compare_is_on(a) ? compare_tokens(a)[p] : a->tokens[p], &len);
    canvas_putf(c, r, x, y, st, "%4d ", (int)p);
    canvas_put_field(c, r, x + 5, y, st, text, len, TEXT_TOKEN, 10, true);
}

/* log p of the target and the stream's norm, the second minus the first. */
static void draw_change(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                        struct canvas_style st, const struct want_cell *const cell[FACE_COUNT],
                        const struct answer *at, int32_t row)
{
    const struct want w = norms(a);
    const float *first = snapshot_at(at->s, FACE_BASE, &w, row),
                *second = snapshot_at(at->s, FACE_EDITED, &w, row);
    const struct want_cell *p = cell[FACE_BASE], *q = cell[FACE_EDITED];
    if (p && q && app_target(a) >= 0)
        draw_number(c, r, x, y, st,
                    ((double)q->cell.target_logit - (double)q->cell.lse) -
                        ((double)p->cell.target_logit - (double)p->cell.lse),
                    9, 2, NUMBER_SIGN);
    if (first && second)
        draw_number(c, r, x + 10, y, st, (double)*second - (double)*first, 9, 1, NUMBER_SIGN);
}

static void draw_row(const struct app *a, struct canvas *c, struct rect r, int y, int32_t row,
                     const struct answer *at)
{
    const struct want w = cells(a);
    struct canvas_style st = canvas_plain((row == a->cur.row ? CANVAS_BOLD : 0) |
                                          (at && at->stale ? CANVAS_DIM : 0));
    const struct want_cell *cell[FACE_COUNT] = {0};
    for (int f = 0; at && !a->m->cfg.headless && f < FACE_COUNT; f++)
        cell[f] = snapshot_at(at->s, (enum face)f, &w, row);
    draw_position(a, c, r, y, row);
    if (!a->m->cfg.headless)
        draw_said(a, c, r, 19, y, st, cell[FACE_BASE]);
    int32_t p = other_row(a, row);
    bool differs = p >= 0 && cell[FACE_BASE] && cell[FACE_EDITED] &&
                   cell[FACE_BASE]->top.id != cell[FACE_EDITED]->top.id;
    canvas_put(c, r, SIDE + 4, y, st, differs ? "≠" : " ");
    draw_other(a, c, r, SIDE + 5, y, st, row);
    if (p < 0 || !at || !at->s->edited)
        return;
    if (!a->m->cfg.headless)
        draw_said(a, c, r, SIDE + 22, y, st, cell[FACE_EDITED]);
    if (r.w >= FIGURES)
        draw_change(a, c, r, 2 * SIDE + 8, y, st, cell, at, row);
}

static void pairs_draw(struct app *a, struct frame *f, struct rect body)
{
    struct canvas *c = f->canvas;
    struct answer at;
    bool answered = app_answer(a, WANT_NORM, end_site(a).id, &at), two = compare_is_on(a),
         models = compare_is_of_models(a);
    canvas_put(c, body, 1, 0, canvas_plain(CANVAS_BOLD),
               models ? "A: this model"
               : two  ? "A: the prompt"
                      : "base");
    canvas_put(c, body, SIDE + 6, 0, canvas_plain(CANVAS_BOLD),
               models       ? "B: the other model"
               : two        ? "B: the other prompt"
               : a->edits.n ? "edited"
                            : "edited (no edits: = compares with another prompt)");
    canvas_put(c, body, 1, 1, canvas_plain(CANVAS_DIM), "     token        says            p");
    canvas_put(c, body, SIDE + 6, 1, canvas_plain(CANVAS_DIM), "   token       says            p");
    if (body.w >= FIGURES)
        canvas_put(c, body, 2 * SIDE + 8, 1, canvas_plain(CANVAS_DIM),
                   a->ascii ? "log p diff norm diff" : "  Δ log p     Δ norm");
    struct rect rows = {body.x, body.y + 2, body.w, a->page};
    for (int y = 0; y < rows.h && a->row_top + y < a->n; y++)
        draw_row(a, c, rows, y, a->row_top + y, answered ? &at : NULL);
}

static void pairs_title(const struct app *a, struct bytes *out)
{
    if (compare_is_of_models(a))
        bytes_addf(out, "A %s, B %s", a->m->name, a->opt.against->name);
    else if (compare_is_on(a))
        bytes_addf(out, "A %d tokens, B %d, by %s", (int)a->n, (int)a->n_other,
                   token_align_names[a->align]);
    else
        bytes_add_string(out, "base and edited, at the end of the last layer");
}

static void pairs_move(struct app *a, enum move m, int count)
{
    draw_move_cursor(m, count, &a->cur.row, a->n, a->page, NULL, 0);
}

static bool pairs_enter(struct app *a)
{
    a->cur.column = a->m->cfg.n_layers;
    app_show_view(a, VIEW_LENS);
    return true;
}

static bool pairs_click(struct app *a, int x, int y)
{
    (void)x;
    int32_t row = a->row_top + y - a->rows_y;
    if (y < a->rows_y || row >= a->n)
        return false;
    a->cur.row = row;
    return true;
}

static void pairs_say(const struct app *a, struct bytes *b)
{
    struct answer at;
    const struct want w = cells(a);
    int32_t p = other_row(a, a->cur.row);
    say_position(a, b, a->cur.row);
    if (p < 0)
        bytes_add_string(b, " has no partner in the other prompt");
    say_line(b);
    for (int f = 0; p >= 0 && app_answer(a, WANT_CELL, end_site(a).id, &at) && f < FACE_COUNT;
         f++) {
        const struct want_cell *cell = snapshot_at(at.s, (enum face)f, &w, a->cur.row);
        if (!cell)
            continue;
        bytes_addf(b, "%s says ", compare_face(a, f));
        say_token(a, b, cell->top.id);
        bytes_add_string(b, ", probability ");
        say_number(b, exp((double)cell->top.logit - (double)cell->cell.lse), 3, NUMBER_SMALL);
        say_line(b);
    }
}

const struct view view_pairs = {
    .help = "what both prompts say, position by position, or the runs without and with the "
            "edits; {compare} compares prompts, {align} pairs positions in another way",
    .layout = pairs_layout,
    .want = pairs_want,
    .draw = pairs_draw,
    .title = pairs_title,
    .move = pairs_move,
    .enter = pairs_enter,
    .click = pairs_click,
    .say = pairs_say};
