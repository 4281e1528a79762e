/* attention_map.c - the large map of the attention view (see attention_map.h). */
#include "attention_map.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"

enum { LABEL_ROWS = 2, SOURCE_MAX = 10, LABEL_MIN = 3, TICK = 10 };

/* A pure function of its size. */
struct parts {
    struct rect title, labels, area;
    int cell_w; /* columns of a source; 0: sources share the columns of the area */
};

static struct parts share_out(const struct app *a, struct rect r)
{
    struct parts p = {.title = rect_cut_top(&r, 1)};
    if (a->map_face == MAP_TEXT) {
        rect_cut_top(&r, 1);
        p.area = (struct rect){r.x + 1, r.y, r.w - 2, r.h};
        return p;
    }
    p.labels = rect_cut_top(&r, LABEL_ROWS);
    p.area = r;
    rect_cut_left(&p.area, DRAW_LABEL);
    p.cell_w = a->n > 0 ? p.area.w / a->n : 0;
    p.cell_w = p.cell_w > SOURCE_MAX ? SOURCE_MAX : p.cell_w;
    if (a->pixels && p.cell_w < LABEL_MIN)
        p.cell_w = 0; /* pixels share the width better */
    return p;
}

void attention_map_layout(struct app *a, struct rect r)
{
    struct parts p = share_out(a, r);
    a->rows_y = p.area.y;
    a->columns_x = p.area.x;
    a->map_top = draw_scroll(a->map_top, a->cur.row, a->n, p.area.h);
}

/* First column of a source and columns up to the next one. */
static int source_x(const struct parts *p, int32_t n, int32_t src)
{
    return p->cell_w ? src * p->cell_w : (int)((int64_t)p->area.w * src / n);
}

/* ---- labels ---- */

static void label_cursor(const struct app *a, struct canvas *c, struct rect labels, int x)
{
    size_t len;
    const char *text = model_input_text(a->m, a->tokens[a->cur.src], &len);
    char number[16];
    snprintf(number, sizeof number, "%d", (int)a->cur.src);
    int width = (int)strlen(number) + 1 + text_width(text, len, TEXT_TOKEN);
    int at = x + 2 + width > labels.w ? x - 1 - width : x + 2;
    canvas_fill(c, (struct rect){labels.x + (at < x ? at : x), labels.y + 1, width + 3, 1},
                canvas_plain(0), " ");
    canvas_put(c, labels, x, 1, canvas_plain(CANVAS_BOLD), "▼");
    at += canvas_put(c, labels, at, 1, canvas_plain(CANVAS_BOLD), number) + 1;
    canvas_put_text(c, labels, at, 1, canvas_plain(CANVAS_BOLD), text, len, TEXT_TOKEN);
}

/* Narrow columns: positions at round numbers, and the cursor's token. */
static void label_ticks(const struct app *a, struct canvas *c, const struct parts *p, int32_t n)
{
    int32_t step = TICK;
    while (source_x(p, n, step < n ? step : n - 1) < 6 && step < n)
        step *= 2;
    for (int32_t j = 0; j < n; j += step)
        canvas_putf(c, p->labels, DRAW_LABEL + source_x(p, n, j), 0, canvas_plain(CANVAS_DIM), "%d",
                    (int)j);
    if (a->cur.map)
        label_cursor(a, c, p->labels, DRAW_LABEL + source_x(p, n, a->cur.src));
}

/* Source labels above the columns: on two lines in turn, so that each has the width of two. */
static void label_sources(const struct app *a, struct canvas *c, const struct parts *p, int32_t n)
{
    canvas_put(c, p->labels, 6, LABEL_ROWS - 1, canvas_plain(CANVAS_DIM), "dest");
    if (p->cell_w < LABEL_MIN) {
        label_ticks(a, c, p, n);
        return;
    }
    for (int32_t j = 0; j < n; j++) {
        bool on = j == a->cur.src && a->cur.map;
        size_t len;
        const char *text = model_input_text(a->m, a->tokens[j], &len);
        while (len > 1 && *text == ' ') {
            text++;
            len--;
        }
        struct rect field = {p->labels.x + DRAW_LABEL + j * p->cell_w, p->labels.y + j % 2,
                             p->cell_w * 2 - 1, 1};
        canvas_put_text(c, field, 0, 0,
                        canvas_plain(on ? CANVAS_BOLD | CANVAS_UNDERLINE : CANVAS_DIM), text, len,
                        TEXT_TOKEN);
    }
}

static void label_row(const struct app *a, struct canvas *c, const struct parts *p, int y,
                      int32_t row)
{
    draw_position(a, c, (struct rect){p->labels.x, p->area.y + y, DRAW_LABEL, 1}, 0, row);
}

/* ---- the faces ---- */

static struct heat heat_of(const struct attention *at, const float *v, int32_t rows)
{
    size_t count = (size_t)rows * (size_t)at->n;
    return (struct heat){v, rows, at->n, at->n, attention_scale(at, v, count), attention_map(at)};
}

static void mark_cursor(const struct app *a, struct canvas *c, const struct parts *p, int32_t n,
                        int y)
{
    int x = p->area.x + source_x(p, n, a->cur.src), cell_w = p->cell_w ? p->cell_w : 1;
    struct rect cell = {x, y, cell_w, 1};
    const struct canvas_cell *was = canvas_at(c, x, y);
    if (!was)
        return;
    struct canvas_style st = was->style;
    st.attr |= CANVAS_BOLD;
    if (cell_w >= 3) {
        canvas_put(c, cell, 0, 0, st, "[");
        canvas_put(c, cell, cell_w - 1, 0, st, "]");
    } else {
        canvas_restyle(c, cell, canvas_plain(CANVAS_REVERSE));
        if (!strcmp(was->text, " "))
            canvas_put(c, cell, 0, 0, (struct canvas_style){st.fg, st.bg, CANVAS_REVERSE}, "□");
    }
}

/* Rows of `m` with a row of text each: sources in cells of their own, in pixels, or several in a
 * cell. */
static void draw_rows_of(struct frame *f, const struct parts *p, const struct heat *m)
{
    struct rect r = {p->area.x, p->area.y, p->area.w, m->rows};
    if (p->cell_w) {
        frame_heat_cells(f, r, m, p->cell_w);
    } else if (frame_has_pixels(f)) {
        frame_heat(f, r, m);
    } else {
        struct heat small = *m;
        float *v = malloc((size_t)m->rows * (size_t)r.w * sizeof *v);
        if (!v)
            return;
        heat_pool(m, m->rows, r.w, v);
        small.value = v;
        small.stride = small.cols = r.w;
        frame_heat_cells(f, r, &small, 1);
        free(v);
    }
}

static void draw_rows(const struct app *a, struct frame *f, const struct parts *p,
                      const struct attention *at, const struct attention_part *part,
                      const struct heat *all)
{
    int32_t from = a->map_top > part->w->row0 ? a->map_top : part->w->row0,
            to = a->map_top + p->area.h < part->w->row1 ? a->map_top + p->area.h : part->w->row1;
    to = to < at->n ? to : at->n;
    if (from >= to)
        return;
    struct heat m = *all;
    m.value += (ptrdiff_t)(from - part->w->row0) * m.stride;
    m.rows = to - from;
    struct parts shown = *p;
    shown.area.y += from - a->map_top;
    shown.area.h = m.rows;
    draw_rows_of(f, &shown, &m);
    for (int32_t i = 0; i < m.rows; i++) {
        label_row(a, f->canvas, &shown, i, from + i);
        struct attention_row row;
        int32_t seen = attention_row(at, a->cur.head, from + i, &row) ? attention_seen(at, &row)
                                                                      : 0;
        struct rect after = {p->area.x + seen * p->cell_w, shown.area.y + i,
                             (at->n - seen) * p->cell_w, 1};
        canvas_fill(f->canvas, after, canvas_plain(0), " "); /* what is not seen */
    }
    if (a->cur.map && a->cur.row >= from && a->cur.row < to)
        mark_cursor(a, f->canvas, p, at->n, shown.area.y + a->cur.row - from);
}

/* Characters are half as wide as samples may be: each sample `by` columns wide.  To free; NULL when
 * out of memory. */
static float *widened(const struct heat *m, int by)
{
    float *v = calloc((size_t)m->rows * (size_t)m->cols * (size_t)by, sizeof *v);
    for (int i = 0; v && i < m->rows; i++)
        for (int j = 0; j < m->cols * by; j++)
            v[(ptrdiff_t)i * m->cols * by + j] = m->value[i * m->stride + j / by];
    return v;
}

static struct frame_place draw_picture(struct frame *f, struct rect area, const struct heat *m)
{
    int by = frame_has_pixels(f) ? 1 : area.w / m->cols > 3 ? 3 : area.w / m->cols;
    float *v = by > 1 ? widened(m, by) : NULL;
    if (!v)
        return frame_heat(f, area, m);
    struct heat wide = *m;
    wide.value = v;
    wide.stride = wide.cols = m->cols * by;
    struct frame_place p = frame_heat(f, area, &wide);
    p.dx *= by;
    free(v);
    return p;
}

/* All destinations: labels where a round position falls, at the ends, and at the cursor. */
static void draw_whole(struct app *a, struct frame *f, const struct parts *p,
                       const struct attention_part *part, const struct heat *m)
{
    struct frame_place place = a->map_place = draw_picture(f, p->area, m);
    int32_t step = 1;
    static const int32_t rounder[] = {2, 5, 10, 20, 50, 100, 200, 500, 1000};
    for (size_t i = 0; step * place.dy < 1 && i < sizeof rounder / sizeof *rounder; i++)
        step = rounder[i];
    int32_t row0 = part->w->row0, cursor = a->cur.row - row0;
    int cursor_y = (int)((cursor + 0.5) * place.dy), end_y = (int)((m->rows - 0.5) * place.dy);
    for (int32_t i = 0; i < m->rows; i++) {
        int y = (int)((i + 0.5) * place.dy);
        bool tick = (row0 + i) % step == 0 && y != end_y;
        if (i == cursor || ((tick || i == m->rows - 1) && y != cursor_y))
            label_row(a, f->canvas, p, y, row0 + i);
    }
    canvas_put(f->canvas, p->labels, 6, LABEL_ROWS - 1, canvas_plain(CANVAS_DIM), "dest");
    struct parts shown = *p;
    shown.cell_w = 0;
    shown.area.w = (int)(place.dx * m->cols + 0.5);
    label_ticks(a, f->canvas, &shown, m->cols);
}

/* Where the text face has token `at`: line and column, and columns of its text. */
struct token_place {
    int32_t at;
    int x, line, width;
};

static void token_next(const struct app *a, bool digits, int columns, struct token_place *t)
{
    t->at++;
    t->x += t->width + (t->at > 0);
    if (t->at >= a->n)
        return;
    size_t len;
    const char *text = model_input_text(a->m, a->tokens[t->at], &len);
    t->width = text_width(text, len, TEXT_TOKEN) + 2 * digits;
    if (t->x + t->width > columns && t->x) {
        t->x = 0;
        t->line++;
    }
}

static int text_top(const struct app *a, bool digits, struct rect area)
{
    int line = 0;
    struct token_place t = {.at = -1};
    for (token_next(a, digits, area.w, &t); t.at < a->n; token_next(a, digits, area.w, &t))
        if (t.at == a->cur.row)
            line = t.line;
    return draw_scroll(0, line, t.line + 1, area.h);
}

static void draw_text(const struct app *a, struct frame *f, const struct parts *p,
                      const struct attention *at, const struct attention_row *row, struct scale sc)
{
    bool digits = f->caps.depth == COLOR_DEPTH_NONE;
    int top = text_top(a, digits, p->area);
    struct token_place t = {.at = -1};
    int32_t seen = attention_seen(at, row);
    for (token_next(a, digits, p->area.w, &t); t.at < a->n; token_next(a, digits, p->area.w, &t)) {
        int y = t.line - top;
        if (y < 0 || y >= p->area.h)
            continue;
        double share = t.at < seen ? scale_at(sc, attention_value(at, row, t.at)) : 0;
        struct canvas_style st = t.at < seen ? draw_value_style(f, attention_map(at), share)
                                             : canvas_plain(CANVAS_DIM);
        st.attr |= (t.at == row->dest ? CANVAS_BOLD | CANVAS_UNDERLINE : 0) |
                   (a->cur.map && t.at == a->cur.src ? CANVAS_REVERSE : 0);
        size_t len;
        const char *text = model_input_text(a->m, a->tokens[t.at], &len);
        int x = t.x + canvas_put_text(f->canvas, p->area, t.x, y, st, text, len, TEXT_TOKEN);
        const char *tenths = heat_glyph(share, HEAT_DIGITS);
        if (digits && *tenths != '0')
            canvas_putf(f->canvas, p->area, x, y, canvas_plain(0), ":%s", tenths);
    }
}

static void draw_title(const struct app *a, struct frame *f, struct rect r,
                       const struct attention *at, struct scale sc)
{
    static const char *const figures[MASK_COUNT] = {
        "weight", "weight, first token hidden",        "weight without the first token",
        "weight", "share of the row's largest weight", "weight × norm of the value"};
    char name[64];
    snprintf(name, sizeof name, "%s%s", at->show == SHOW_DIFFERENCE ? "change of " : "",
             at->scores ? "score" : figures[a->mask]);
    int x = canvas_putf(f->canvas, r, 1, 0, canvas_plain(CANVAS_BOLD), "L%dH%d", (int)app_layer(a),
                        (int)a->cur.head) +
            2;
    x += canvas_put(f->canvas, r, x, 0, canvas_plain(CANVAS_DIM),
                    a->map_face == MAP_TEXT ? "each token shaded by the" : "source (keys) ─────");
    x += heat_legend(f->canvas, r, x, 0, name, sc, attention_map(at)) + 2;
    char modes[48];
    int width = snprintf(modes, sizeof modes, "m:%s z:%s", mask_names[a->mask],
                         map_face_names[a->map_face]);
    if (x + width < r.w)
        canvas_put(f->canvas, r, x, 0, canvas_plain(CANVAS_DIM), modes);
}

void attention_map_draw(struct app *a, struct frame *f, struct rect r, const struct attention *at)
{
    struct parts p = share_out(a, r);
    const struct attention_part *part = attention_has(&at->large, a->cur.head) ? &at->large
                                                                               : &at->small;
    float *v = attention_matrix(at, part, a->cur.head);
    struct attention_row row;
    if (v && !rect_is_empty(p.area)) {
        struct heat m = heat_of(at, v, part->w->row1 - part->w->row0);
        draw_title(a, f, p.title, at, m.scale);
        if (a->map_face == MAP_TEXT) {
            if (a->cur.row < at->n && attention_row(at, a->cur.head, a->cur.row, &row))
                draw_text(a, f, &p, at, &row, m.scale);
        } else if (a->map_face == MAP_WHOLE && a->n > p.area.h) {
            draw_whole(a, f, &p, part, &m);
        } else {
            label_sources(a, f->canvas, &p, at->n);
            draw_rows(a, f, &p, at, part, &m);
        }
    }
    free(v);
}

/* The token of the text face at a cell, -1: none. */
static int32_t text_at(const struct app *a, const struct parts *p, int x, int y)
{
    int top = text_top(a, a->no_color, p->area);
    struct token_place t = {.at = -1};
    for (token_next(a, a->no_color, p->area.w, &t); t.at < a->n;
         token_next(a, a->no_color, p->area.w, &t))
        if (t.line - top == y - p->area.y && x >= p->area.x + t.x && x < p->area.x + t.x + t.width)
            return t.at;
    return -1;
}

/* Of the edges in a cell of the whole map, the strongest: that is the one whose colour is seen. */
static bool whole_at(const struct app *a, int x, int y, int32_t *dest, int32_t *src)
{
    const struct frame_place *at = &a->map_place;
    struct attention now;
    struct attention_row row;
    bool stale;
    if (!rect_has(at->r, x, y) || !attention_open(&now, a, &stale))
        return false;
    const struct attention_part *part = attention_has(&now.large, a->cur.head) ? &now.large
                                                                               : &now.small;
    int32_t row0 = part->w->row0, d0 = row0 + (int32_t)((y - at->r.y) / at->dy),
            d1 = row0 + (int32_t)ceil((y + 1 - at->r.y) / at->dy),
            s0 = (int32_t)((x - at->r.x) / at->dx), s1 = (int32_t)ceil((x + 1 - at->r.x) / at->dx);
    float best = -1;
    for (int32_t i = d0; i < d1 && i < now.n; i++) {
        int32_t seen = attention_row(&now, a->cur.head, i, &row) ? attention_seen(&now, &row) : 0;
        for (int32_t j = s0; j < s1 && j < seen; j++)
            if (fabsf(attention_value(&now, &row, j)) > best) {
                best = fabsf(attention_value(&now, &row, j));
                *dest = i, *src = j;
            }
    }
    if (best < 0 && d0 < now.n) /* what the row does not see: the row */
        *dest = d0;
    return *dest >= 0;
}

bool attention_map_at(const struct app *a, struct rect r, int x, int y, int32_t *dest, int32_t *src)
{
    struct parts p = share_out(a, r);
    *dest = *src = -1;
    if (a->map_face == MAP_TEXT) {
        *src = text_at(a, &p, x, y);
        return *src >= 0;
    }
    if (y < p.area.y || y >= p.area.y + p.area.h)
        return false;
    if (a->map_face == MAP_WHOLE && a->n > p.area.h)
        return whole_at(a, x, y, dest, src);
    *dest = a->map_top + y - p.area.y;
    if (*dest >= a->n)
        return false;
    for (int32_t j = 0; j < a->n && x >= p.area.x + source_x(&p, a->n, j); j++)
        *src = j;
    return true;
}
