/* paint.c - canvas to ncurses (see paint.h). */
#include "paint.h"

#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "shift.h"

struct paint {
    struct canvas_cell *was; /* what the ncurses screen holds */
    int w, h;
    bool pictures;             /* the last frame had some as pixels */
    struct rect panel, beside; /* of the last frame; empty: none, or something lay over it */
};

struct paint *paint_new(void)
{
    return calloc(1, sizeof(struct paint));
}

void paint_free(struct paint *p)
{
    if (p)
        free(p->was);
    free(p);
}

void paint_forget(struct paint *p)
{
    free(p->was);
    p->was = NULL;
}

static int direct(uint32_t rgb)
{
    return rgb & COLOR_DEFAULT_FLAG ? -1
           : rgb < 8 ? 8 /* 0..7 are the user's palette, and bold makes them bright */
                     : (int)rgb;
}

/* A cell's colours as the terminal numbers them, its text readable. */
static void color_numbers(const struct canvas_cell *cell, enum color_depth depth, int *fg, int *bg)
{
    *fg = *bg = -1;
    if (depth == COLOR_DEPTH_TRUE) {
        *fg = direct(cell->style.fg);
        *bg = direct(cell->style.bg);
    } else if (depth != COLOR_DEPTH_NONE) {
        canvas_cell_colors(cell, depth, fg, bg);
    }
    if (depth == COLOR_DEPTH_16 && COLORS < 16) { /* the bright ones are the others to it */
        *bg = *bg < 0 ? -1 : *bg & 7;
        *fg = *fg < 0 ? -1 : *fg & 7;
        bool text = strcmp(cell->text, "\u2580") != 0 && *fg >= 0 && *bg >= 0;
        if (text && color_contrast(color_of_index(*fg), color_of_index(*bg)) < 3)
            *fg = color_text_over(color_of_index(*bg)) ? 7 : 0;
    }
}

static void put_cell(int x, int y, const struct canvas_cell *cell, enum color_depth depth)
{
    wchar_t wide[CCHARW_MAX + 1];
    int n = 0;
    const char *s = cell->text, *end = s + strlen(s);
    while (s < end && n < CCHARW_MAX) {
        int32_t cp;
        s += text_decode(s, (size_t)(end - s), &cp);
        wide[n++] = cp < 0 ? L'?' : (wchar_t)cp;
    }
    wide[n] = 0;
    attr_t attr = (cell->style.attr & CANVAS_BOLD ? A_BOLD : 0) |
                  (cell->style.attr & CANVAS_DIM ? A_DIM : 0) |
                  (cell->style.attr & CANVAS_REVERSE ? A_REVERSE : 0) |
                  (cell->style.attr & CANVAS_UNDERLINE ? A_UNDERLINE : 0);
    int fg, bg;
    color_numbers(cell, depth, &fg, &bg);
    int pair = fg < 0 && bg < 0 ? 0 : alloc_pair(fg, bg);
    if (pair < 0)
        pair = 0;
    cchar_t cc;
    if (setcchar(&cc, wide, attr, 0, &pair) == OK)
        mvadd_wch(y, x, &cc);
}

/* Row y below a picture: eight columns of space and no-break space spell y in binary. */
static struct canvas_cell filler(int x, int y)
{
    struct canvas_cell cell = {.width = 1, .style = canvas_plain(0)};
    snprintf(cell.text, sizeof cell.text, "%s", y >> (x & 7) & 1 ? "\xc2\xa0" : " ");
    return cell;
}

static bool is_blank(const struct canvas_cell *a)
{
    return strcmp(a->text, " ") == 0 && !(a->style.attr & (CANVAS_REVERSE | CANVAS_UNDERLINE));
}

/* Blanks between two words of one style take it, where nobody sees that: a style left and taken up
 * again costs more bytes than they. */
static void join_words(struct canvas_cell *row, int w)
{
    enum { GAP_MAX = 8 };
    for (int x = 1, from = 0; x < w; x++) {
        const struct canvas_style *st = &row[x].style;
        if (is_blank(&row[x]))
            continue;
        bool same = x - from - 1 <= GAP_MAX && canvas_same_style(&row[from].style, st) &&
                    !(st->attr & (CANVAS_REVERSE | CANVAS_UNDERLINE));
        for (int i = from + 1; i < x && same; i++)
            if (row[i].style.bg == st->bg)
                row[i].style = *st;
        from = x;
    }
}

static void keep_cells(const struct paint *p, struct rect r, struct rect was,
                       struct canvas_cell *now)
{
    for (int y = r.y; y < r.y + r.h && memcmp(&r, &was, sizeof r) == 0; y++)
        memcpy(&now[y * p->w + r.x], &p->was[y * p->w + r.x], (size_t)r.w * sizeof *now);
}

static void keep_panel(const struct paint *p, const struct frame *f, struct canvas_cell *now)
{
    if (f->panel_waits && !f->n_popups) {
        keep_cells(p, f->panel, p->panel, now);
        keep_cells(p, f->beside, p->beside, now);
    }
}

static void put_cells(const struct paint *p, const struct canvas_cell *now, enum color_depth depth)
{
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const struct canvas_cell *cell = &now[y * p->w + x];
            if (cell->width && (!p->was || !canvas_same_cell(cell, &p->was[y * p->w + x])))
                put_cell(x, y, cell, depth);
        }
}

/* Rows that move together are moved by the terminal, and all that stands beside them: ncurses
 * does that by itself where whole rows are alike, so first they are. */
static void move_rows(struct paint *p, const struct frame *f, const struct canvas_cell *now)
{
    struct shift s;
    int w = p->w, columns = f->panel.x > w / 3 ? f->panel.x : w;
    if (!p->was || p->pictures || f->n_popups || !shift_find(p->was, now, w, p->h, columns, &s))
        return;
    size_t cells = (size_t)w * (size_t)p->h;
    struct canvas_cell *moved = malloc(cells * sizeof *moved);
    if (!moved)
        return;
    memcpy(moved, p->was, cells * sizeof *moved);
    for (int y = s.lo; y <= s.hi; y++) {
        int from = y + s.by;
        memcpy(&moved[y * w], from < s.lo || from > s.hi ? &now[y * w] : &p->was[from * w],
               (size_t)w * sizeof *moved);
    }
    put_cells(p, moved, f->caps.depth);
    wnoutrefresh(stdscr);
    doupdate();
    free(p->was);
    p->was = moved;
}

/* The frame's cells as the terminal is to have them; NULL: memory is out. */
static struct canvas_cell *cells_of(struct paint *p, const struct frame *f, const bool *show)
{
    const struct canvas *c = f->canvas;
    size_t cells = (size_t)c->w * (size_t)c->h;
    struct canvas_cell *now = malloc(cells * sizeof *now);
    if (!now)
        return NULL;
    memcpy(now, c->cell, cells * sizeof *now);
    for (int y = 0; y < c->h; y++)
        join_words(&now[y * c->w], c->w);
    for (int i = 0; i < f->n_pictures; i++) {
        struct rect part[1 + 4 * FRAME_POPUPS_MAX];
        int n = show[i] ? frame_visible(f, f->picture[i].r, part, 1 + 4 * FRAME_POPUPS_MAX) : 0;
        p->pictures |= n > 0;
        for (int k = 0; k < n; k++)
            for (int y = part[k].y; y < part[k].y + part[k].h; y++)
                for (int x = part[k].x; x < part[k].x + part[k].w; x++)
                    now[y * c->w + x] = filler(x - f->picture[i].r.x, y);
    }
    return now;
}

void paint_frame(struct paint *p, const struct frame *f, const bool *show)
{
    const struct canvas *c = f->canvas;
    bool pictures = p->pictures;
    p->pictures = false;
    struct canvas_cell *now = cells_of(p, f, show);
    if (!now)
        return;
    if (!p->was || p->w != c->w || p->h != c->h) {
        paint_forget(p);
        werase(stdscr);
    } else {
        keep_panel(p, f, now);
    }
    p->w = c->w, p->h = c->h;
    if (!pictures)
        move_rows(p, f, now);
    put_cells(p, now, f->caps.depth);
    free(p->was);
    p->was = now;
    p->panel = f->n_popups ? (struct rect){0} : f->panel;
    p->beside = f->n_popups ? (struct rect){0} : f->beside;
}
