/* sweep.c - what each cell of a sweep does to the metric, as a map or sorted as a list,
 * while it is computed. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "keybar.h"
#include "save/figure.h"
#include "say.h"
#include "sweeps.h"
#include "text.h"

enum {
    LABEL = 18,
    CELL_MIN = 3,
    CELL_NUMBER = 6,
    CELL_MAX = 13,
    HIGH_MAX = 3,
    BEST = 6,
    FEW = 16 /* cells: the rate says little before */
};

/* How the body is shared out: a frame line, labels of columns, rows, the scale. */
struct parts {
    struct rect frame, heads, rows, legend;
    int label, cell, shown; /* columns of a label and of a cell; cells across */
    int high, rows_shown;   /* rows of a cell; cells down */
};

static struct parts share_out(const struct sweep_grid *g, struct rect body)
{
    struct parts p = {.frame = rect_cut_top(&body, 1), .heads = rect_cut_top(&body, 1)};
    p.legend = rect_cut_bottom(&body, 1);
    p.rows = body;
    p.label = g->down && g->down->role == SWEEP_POS ? LABEL : 10;
    int room = body.w - p.label, n = g->columns > 0 ? g->columns : 1, fit = room / n;
    p.cell = fit < CELL_MIN ? CELL_MIN : fit > CELL_MAX ? CELL_MAX : fit;
    p.shown = room / p.cell < 1 ? 1 : room / p.cell;
    p.shown = p.shown > n ? n : p.shown;
    int high = g->rows > 0 ? p.rows.h / g->rows : 1; /* a small map fills what there is */
    p.high = high < 1 || p.cell < CELL_NUMBER ? 1 : high > HIGH_MAX ? HIGH_MAX : high;
    p.rows_shown = p.rows.h / p.high;
    return p;
}

static int32_t sorted_place(const struct app *a, const struct sweep_map *m)
{
    const int32_t *list = sweeps_sorted(a);
    for (int32_t i = 0; list && i < m->cells; i++)
        if (list[i] == a->cur.cell)
            return i;
    return 0;
}

static void sweep_layout(struct app *a, struct rect body)
{
    const struct sweep_map *m = sweeps_map(a);
    if (!m || !m->cells)
        return;
    struct sweep_grid g = sweeps_grid(m);
    struct parts p = share_out(&g, body);
    int32_t plane, row, column;
    a->cur.cell = draw_clamp(a->cur.cell, m->cells);
    sweeps_place(&g, a->cur.cell, &plane, &row, &column);
    int32_t shown = a->sweep_list ? p.rows.h : p.rows_shown;
    a->page = shown > 1 ? shown - 1 : 1;
    a->rows_y = p.rows.y, a->sweep_high = a->sweep_list ? 1 : p.high;
    a->columns_x = p.rows.x + p.label, a->column_width = p.cell;
    if (a->sweep_list) {
        a->sweep_top = draw_scroll(a->sweep_top, sorted_place(a, m), m->cells, p.rows.h);
        return;
    }
    a->sweep_top = draw_scroll(a->sweep_top, row, g.rows, p.rows_shown);
    a->sweep_left = draw_scroll(a->sweep_left, column, g.columns, p.shown);
}

static void sweep_want(const struct app *a, struct want_list *l)
{
    (void)a;
    (void)l; /* the map comes by itself */
}

/* ---- values ---- */

static double change_of(const struct sweep_map *m, int32_t cell)
{
    return (double)m->value[cell] - m->base;
}

/* Attribution's estimate, until the cell is there. */
static bool has_guess(const struct sweep_map *m, int32_t cell)
{
    return m->guess && !isnan(m->guess[cell]);
}

/* The largest change there is. */
static double largest(const struct sweep_map *m)
{
    double most = 0;
    for (int32_t i = 0; i < m->cells; i++)
        if (m->has[i] && isfinite(change_of(m, i)) && fabs(change_of(m, i)) > most)
            most = fabs(change_of(m, i));
    return most > 0 ? most : 1;
}

/* 0..1 with no change in the middle; log: small changes are told apart, too. */
static double position(const struct app *a, double change, double most)
{
    double x = isnan(change) ? NAN : change / most;
    if (a->sweep_log && !isnan(x))
        x = copysign(log1p(99 * fabs(x)) / log(100), x);
    x = x > 1 ? 1 : x < -1 ? -1 : x;
    return (x + 1) / 2;
}

/* Where there is no room for numbers: which way, and how far. */
static const char *glyph(double at)
{
    double x = 2 * at - 1;
    if (isnan(x))
        return "!";
    return fabs(x) < 0.02 ? "·" : fabs(x) < 0.33 ? (x > 0 ? "'" : ",") : x > 0 ? "+" : "−";
}

static void draw_cell(const struct app *a, struct frame *f, struct rect r, const struct parts *p,
                      const struct sweep_map *m, int32_t cell, double most)
{
    bool on = cell == a->cur.cell;
    struct canvas_style st = canvas_plain(CANVAS_DIM);
    if (!m->has[cell] && has_guess(m, cell) && p->cell >= CELL_NUMBER) {
        char n[NUMBER_BYTES];
        st.attr |= on ? CANVAS_REVERSE : 0;
        canvas_put(
            f->canvas, r, 0, p->high / 2, st,
            number_fit(n, (double)m->guess[cell], p->cell - 1, p->cell > 7 ? 2 : 1, NUMBER_SIGN));
        return;
    }
    if (!m->has[cell]) {
        canvas_put(f->canvas, r, p->cell / 2, p->high / 2, on ? canvas_plain(CANVAS_REVERSE) : st,
                   sweeps_run(a, m) ? "…" : " ");
        return;
    }
    double change = change_of(m, cell), at = position(a, change, most);
    st = draw_value_style(f, COLORMAP_DIVERGING, at);
    if (on)
        st.attr |= CANVAS_BOLD | CANVAS_REVERSE;
    canvas_fill(f->canvas, (struct rect){r.x, r.y, p->cell - 1, p->high}, st, " ");
    if (p->cell < CELL_NUMBER) {
        canvas_put(f->canvas, r, p->cell / 2, 0, st, glyph(at));
        return;
    }
    char n[NUMBER_BYTES];
    canvas_put(f->canvas, r, 0, p->high / 2, st,
               number_fit(n, change, p->cell - 1, p->cell > 7 ? 2 : 1, NUMBER_SIGN));
}

/* ---- labels ---- */

static void draw_token_of(const struct app *a, struct canvas *c, struct rect r, int x,
                          struct canvas_style st, int32_t pos, int width)
{
    size_t len;
    if (pos >= a->n_sweep_tokens || width < 1)
        return;
    const char *text = model_input_text(a->m, a->sweep_tokens[pos], &len);
    canvas_put_field(c, r, x, 0, st, text, len, TEXT_TOKEN, width, true);
}

static void row_label(const struct app *a, struct canvas *c, struct rect r,
                      const struct sweep_grid *g, int32_t row, bool on)
{
    struct canvas_style st = canvas_plain(on ? CANVAS_BOLD : 0);
    canvas_put(c, r, 0, 0, st, on ? "▶" : " ");
    if (g->down && g->down->role == SWEEP_POS) {
        canvas_putf(c, r, 1, 0, st, "%4d ", (int)row);
        draw_token_of(a, c, r, 6, st, row, LABEL - 7);
    } else if (g->down) {
        canvas_putf(c, r, 1, 0, st, "%.5s %d", g->down->name, (int)row);
    }
}

static void draw_heads(const struct app *a, struct canvas *c, const struct parts *p,
                       const struct sweep_grid *g, int32_t at)
{
    for (int i = 0; i < p->shown && g->across; i++) {
        int32_t column = a->sweep_left + i;
        struct rect r = {p->heads.x + p->label + i * p->cell, p->heads.y, p->cell - 1, 1};
        struct canvas_style st = canvas_plain(column == at ? CANVAS_BOLD : CANVAS_DIM);
        canvas_putf(c, r, 0, 0, st, "%d", (int)column);
        if (g->across->role == SWEEP_POS && p->cell >= CELL_NUMBER)
            draw_token_of(a, c, r, 3, st, column, p->cell - 4);
    }
    if (g->across)
        canvas_putf(c, p->heads, 1, 0, canvas_plain(CANVAS_DIM), "%.8s", g->across->name);
    if (a->sweep_left)
        canvas_put(c, p->heads, p->label - 1, 0, canvas_plain(0), "‹");
    if (a->sweep_left + p->shown < g->columns)
        canvas_put(c, p->heads, p->label + p->shown * p->cell - 1, 0, canvas_plain(0), "›");
}

/* "120/360 · 812/s · 3 s left" */
static void add_progress(const struct app *a, const struct sweep_map *m, struct bytes *b)
{
    double s = (double)m->time_us * 1e-6, rate = s > 0 ? m->done / s : 0;
    bytes_addf(b, "%d/%d", (int)m->done, (int)m->cells);
    if (!a->opt.fixed && rate > 0)
        bytes_addf(b, " · %.0f/s", rate);
    if (a->sweep.paused && m->done < m->cells)
        bytes_add_string(b, " · stopped");
    else if (!a->opt.fixed && m->done < m->cells && m->done >= FEW)
        bytes_addf(b, " · %.0f s left", (m->cells - m->done) / rate);
}

static void draw_frame_line(const struct app *a, struct canvas *c, const struct parts *p,
                            const struct sweep_grid *g, int32_t plane)
{
    struct bytes b = {0};
    char named[KEYBAR_TEXT];
    add_progress(a, g->m, &b);
    if (a->sweep_question != sweeps_question(a))
        bytes_add_string(&b, keybar_text(a, " · of what was before · {sweep} again", named));
    int32_t first = plane * g->rows * g->columns;
    for (int32_t i = 0; g->planes > 1 && i < g->m->n_axes - 2; i++) {
        char text[16];
        bytes_addf(&b, " · %s %s", g->m->axis[i].name,
                   sweeps_text(g->m, i, sweeps_at(g->m, first, i), text));
    }
    if (g->planes > 1)
        bytes_addf(&b, ", plane %d of %d", (int)plane + 1, (int)g->planes);
    if (!b.failed && b.len)
        canvas_put_text(c, p->frame, 1, 0, canvas_plain(0), b.data, b.len, TEXT_PLAIN);
    bytes_free(&b);
}

static void draw_legend(const struct app *a, struct frame *f, const struct parts *p, double most)
{
    char n[NUMBER_BYTES];
    struct scale s = scale_make(SCALE_SYMMETRIC, (float)-most, (float)most);
    int x = heat_legend(f->canvas, p->legend, 1, 0, "change", s, COLORMAP_DIVERGING);
    if (a->sweep_log)
        canvas_putf(f->canvas, p->legend, x + 1, 0, canvas_plain(CANVAS_DIM), "log from %s",
                    number_short(n, most / 100));
}

/* ---- drawing ---- */

static void draw_map(const struct app *a, struct frame *f, const struct parts *p,
                     const struct sweep_grid *g, double most)
{
    int32_t plane, at_row, at_column;
    sweeps_place(g, a->cur.cell, &plane, &at_row, &at_column);
    draw_frame_line(a, f->canvas, p, g, plane);
    draw_heads(a, f->canvas, p, g, at_column);
    for (int y = 0; y < p->rows_shown && a->sweep_top + y < g->rows; y++) {
        int32_t row = a->sweep_top + y;
        int at = p->rows.y + y * p->high;
        struct rect r = {p->rows.x, at + p->high / 2, p->label, 1};
        row_label(a, f->canvas, r, g, row, row == at_row);
        for (int i = 0; i < p->shown; i++) {
            r = (struct rect){p->rows.x + p->label + i * p->cell, at, p->cell, p->high};
            draw_cell(a, f, r, p, g->m, sweeps_cell(g, plane, row, a->sweep_left + i), most);
        }
    }
}

/* "layer 3  head 2", in a list "L3  H2" */
static void add_cell_name(const struct app *a, const struct sweep_map *m, int32_t cell, bool brief,
                          struct bytes *b)
{
    for (int32_t i = 0; i < m->n_axes; i++) {
        int32_t at = sweeps_at(m, cell, i);
        const char *name = m->axis[i].name, *letter = !brief                   ? NULL
                                                      : !strcmp(name, "layer") ? "L"
                                                      : !strcmp(name, "head")  ? "H"
                                                      : !strcmp(name, "pos")   ? ""
                                                      : !strcmp(name, "type")  ? ""
                                                                               : NULL;
        bytes_add_string(b, i ? "  " : "");
        char number[16];
        bytes_addf(b, letter ? "%s%s" : "%s %s", letter ? letter : name,
                   sweeps_text(m, i, at, number));
        if (m->axis[i].role == SWEEP_POS && at < a->n_sweep_tokens) {
            bytes_add_char(b, ' ');
            size_t len;
            const char *text = model_input_text(a->m, a->sweep_tokens[at], &len);
            text_add(b, text, len, TEXT_TOKEN);
        }
    }
}

static void draw_line(const struct app *a, struct frame *f, struct rect r, int y,
                      const struct sweep_map *m, int32_t cell, double most)
{
    bool on = cell == a->cur.cell;
    struct bytes b = {0};
    struct canvas_style st = canvas_plain(on ? CANVAS_BOLD : 0);
    char n[2][NUMBER_BYTES];
    canvas_put(f->canvas, r, 0, y, st, on ? "▶" : " ");
    if (m->has[cell]) {
        double change = change_of(m, cell);
        struct canvas_style value = draw_value_style(f, COLORMAP_DIVERGING,
                                                     position(a, change, most));
        canvas_put(f->canvas, r, 2, y, value, number_fit(n[0], change, 9, 3, NUMBER_SIGN));
        canvas_putf(f->canvas, r, 12, y, st, "%s",
                    number_fit(n[1], (double)m->value[cell], 9, 3, 0));
    } else {
        canvas_put(f->canvas, r, 9, y, canvas_plain(CANVAS_DIM), sweeps_run(a, m) ? "…" : "–");
    }
    add_cell_name(a, m, cell, true, &b);
    if (!b.failed && b.len)
        canvas_put_text(f->canvas, r, 23, y, st, b.data, b.len, TEXT_PLAIN);
    bytes_free(&b);
}

static void draw_list(const struct app *a, struct frame *f, const struct parts *p,
                      const struct sweep_grid *g, double most)
{
    const int32_t *list = sweeps_sorted(a);
    draw_frame_line(a, f->canvas, p, &(struct sweep_grid){.m = g->m, .planes = 1}, 0);
    canvas_put(f->canvas, p->heads, 4, 0, canvas_plain(CANVAS_DIM), " change     value  cell");
    for (int y = 0; list && y < p->rows.h && a->sweep_top + y < g->m->cells; y++)
        draw_line(a, f, p->rows, y, g->m, list[a->sweep_top + y], most);
}

static void sweep_draw(struct app *a, struct frame *f, struct rect body)
{
    const struct sweep_map *m = sweeps_map(a);
    if (!a->sweep.id || (m && m->err.code && !m->done)) {
        char named[KEYBAR_TEXT];
        rect_cut_top(&body, 2);
        draw_sentence(f->canvas, body, 2, canvas_plain(m ? CANVAS_BOLD : 0),
                      m ? m->err.text
                        : keybar_text(a,
                                      "no sweep yet · {sweep} on a head, an edge, a neuron or the "
                                      "stream makes a map of them all",
                                      named));
        return;
    }
    if (!m || !m->cells)
        return;
    struct sweep_grid g = sweeps_grid(m);
    struct parts p = share_out(&g, body);
    double most = largest(m);
    if (a->sweep_list)
        draw_list(a, f, &p, &g, most);
    else
        draw_map(a, f, &p, &g, most);
    if (m->err.code)
        canvas_put_text(f->canvas, p.legend, 1, 0, canvas_plain(CANVAS_BOLD), m->err.text,
                        strlen(m->err.text), TEXT_PLAIN);
    else
        draw_legend(a, f, &p, most);
}

/* ---- the panel ---- */

static void sweep_side(struct app *a, struct frame *f, struct rect r)
{
    const struct sweep_map *m = sweeps_map(a);
    struct bytes b = {0};
    char n[NUMBER_BYTES];
    if (!m || !m->cells)
        return;
    add_cell_name(a, m, a->cur.cell, false, &b);
    if (!b.failed && b.len)
        canvas_put_text(f->canvas, r, 1, 0, canvas_plain(CANVAS_BOLD), b.data, b.len, TEXT_PLAIN);
    bytes_free(&b);
    if (m->cell == a->cur.cell)
        canvas_put_text(f->canvas, r, 1, 1, canvas_plain(0), m->text, strcspn(m->text, "\n"),
                        TEXT_PLAIN);
    const char *wait = sweeps_run(a, m) ? "…" : "–";
    bool has = m->has[a->cur.cell];
    if (has_guess(m, a->cur.cell))
        canvas_putf(f->canvas, r, 1, 6, canvas_plain(CANVAS_DIM), "attribution  %s",
                    number_fit(n, (double)m->guess[a->cur.cell], 9, 3, NUMBER_SIGN));
    canvas_putf(f->canvas, r, 1, 3, canvas_plain(0), "value        %s",
                has ? number_fit(n, (double)m->value[a->cur.cell], 9, 3, 0) : wait);
    canvas_putf(f->canvas, r, 1, 4, canvas_plain(0), "base         %s",
                m->done ? number_fit(n, m->base, 9, 3, 0) : wait);
    canvas_putf(f->canvas, r, 1, 5, canvas_plain(0), "change       %s",
                has ? number_fit(n, change_of(m, a->cur.cell), 9, 3, NUMBER_SIGN) : wait);
    const int32_t *list = sweeps_sorted(a);
    canvas_put(f->canvas, r, 1, 8, canvas_plain(CANVAS_DIM), "largest changes");
    struct rect rest = {r.x, r.y + 9, r.w, r.h - 9};
    for (int i = 0; list && i < BEST && i < m->cells && i < rest.h && m->has[list[i]]; i++)
        draw_line(a, f, rest, i, m, list[i], largest(m));
}

static void sweep_title(const struct app *a, struct bytes *b)
{
    const struct session_sweep *of = &a->sweep;
    if (!of->id) {
        bytes_add_string(b, "sweep");
        return;
    }
    bytes_addf(b, "%s", of->kind);
    for (int i = 0; i < 2 && *of->over[i]; i++)
        bytes_addf(b, " %s", of->over[i]);
    bytes_addf(b, " · %s · ", of->with);
    text_add(b, of->metric, strlen(of->metric), TEXT_PLAIN);
}

/* ---- moving ---- */

static void sweep_move(struct app *a, enum move mv, int count)
{
    const struct sweep_map *m = sweeps_map(a);
    if (!m || !m->cells)
        return;
    struct sweep_grid g = sweeps_grid(m);
    const int32_t *list = sweeps_sorted(a);
    int32_t plane, row, column;
    if (a->sweep_list && list) {
        int32_t at = sorted_place(a, m);
        draw_move_cursor(mv, count, &at, m->cells, a->page, NULL, 0);
        a->cur.cell = list[at];
        return;
    }
    sweeps_place(&g, a->cur.cell, &plane, &row, &column);
    draw_move_cursor(mv, count, &row, g.rows, a->page, &column, g.columns);
    a->cur.cell = sweeps_cell(&g, plane, row, column);
}

static bool sweep_noun(const struct app *a, struct noun *n)
{
    (void)a;
    (void)n;
    return false;
}

static bool sweep_click(struct app *a, int x, int y)
{
    const struct sweep_map *m = sweeps_map(a);
    if (!m || !m->cells || y < a->rows_y || !a->column_width || !a->sweep_high)
        return false;
    struct sweep_grid g = sweeps_grid(m);
    const int32_t *list = sweeps_sorted(a);
    int32_t plane, row, column, at = a->sweep_top + (y - a->rows_y) / a->sweep_high;
    if (a->sweep_list && list && at < m->cells) {
        a->cur.cell = list[at];
        return true;
    }
    sweeps_place(&g, a->cur.cell, &plane, &row, &column);
    column = a->sweep_left + (x - a->columns_x) / a->column_width;
    if (a->sweep_list || x < a->columns_x || at >= g.rows || column >= g.columns)
        return false;
    a->cur.cell = sweeps_cell(&g, plane, at, column);
    return true;
}

/* All cells, tab-separated, as `borescope sweep --tsv` prints them. */
static void sweep_copy(const struct app *a, struct bytes *b)
{
    const struct sweep_map *m = sweeps_map(a);
    char n[NUMBER_BYTES];
    if (!m || !m->done)
        return;
    for (int32_t i = 0; i < m->n_axes; i++)
        bytes_addf(b, "%s\t", m->axis[i].name);
    bytes_add_string(b, "value\tchange\n");
    for (int32_t cell = 0; cell < m->cells; cell++) {
        if (!m->has[cell])
            continue;
        for (int32_t i = 0; i < m->n_axes; i++)
            bytes_addf(b, "%d\t", (int)sweeps_at(m, cell, i));
        bytes_addf(b, "%s\t", number_exact_float(n, m->value[cell]));
        bytes_addf(b, "%s\n", number_exact_float(n, (float)change_of(m, cell)));
    }
}

static void sweep_say(const struct app *a, struct bytes *b)
{
    const struct sweep_map *m = sweeps_map(a);
    const int32_t *list = sweeps_sorted(a);
    if (!m || (!m->cells && !m->err.code)) {
        bytes_add_string(b, "no sweep yet; S on a head, an edge or the stream makes one\n");
        return;
    }
    if (m->err.code) {
        bytes_addf(b, "the sweep failed: %s\n", m->err.text);
        return;
    }
    bytes_addf(b, "sweep %s, %s: %d of %d cells, base ", m->of.kind, m->of.with, (int)m->done,
               (int)m->cells);
    say_number(b, m->base, 3, 0);
    say_line(b);
    for (int k = -1; k < BEST && list && k < m->cells; k++) {
        int32_t cell = k < 0 ? a->cur.cell : list[k];
        if (!m->has[cell])
            continue;
        bytes_add_string(b, k < 0 ? "cursor: " : "");
        add_cell_name(a, m, cell, false, b);
        bytes_add_string(b, ", change ");
        say_number(b, change_of(m, cell), 3, NUMBER_SIGN);
        say_line(b);
    }
}

/* The metric without an edit and with a cell's; where that is not computed yet, what attribution
 * says of its change. */
static void sweep_figures(const struct app *a, struct figures *to)
{
    const struct sweep_map *m = sweeps_map(a);
    for (int32_t cell = 0; m && cell < m->cells; cell++) {
        struct figure f = figure_make();
        struct bytes at = {0};
        for (int32_t i = 0; i < m->n_axes; i++) {
            char n[16];
            int32_t v = sweeps_at(m, cell, i);
            bytes_addf(&at, "%s%s=%s", i ? " " : "", m->axis[i].name, sweeps_text(m, i, v, n));
        }
        snprintf(f.index, sizeof f.index, "%s", at.failed || !at.data ? "" : at.data);
        bytes_free(&at);
        f.there[FACE_EDITED] = m->has[cell];
        figure_number(to, &f, m->of.kind, m->base, (double)m->value[cell]);
        if (m->guess && !m->has[cell])
            figure_number(to, &f, "change_by_attribution", (double)m->guess[cell], 0);
    }
}

const struct view view_sweep = {
    .help =
        "what each cell does to the metric: {sweep} begins, {enter} tries a cell's edit where it "
        "is, {back} takes it back, {sort} sorts, {colour} scales, {cancel} stops",
    .layout = sweep_layout,
    .want = sweep_want,
    .draw = sweep_draw,
    .side = sweep_side,
    .title = sweep_title,
    .move = sweep_move,
    .noun = sweep_noun,
    .enter = sweeps_enter,
    .click = sweep_click,
    .say = sweep_say,
    .figures = sweep_figures,
    .copy = sweep_copy};
