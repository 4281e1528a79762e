/* cells.c - see cells.h. */
#include "cells.h"

#include <stdio.h>
#include <string.h>

/* Colours as the terminal numbers them (true colour: 0xRRGGBB), -1 its own. */
struct pen {
    int fg, bg;
    unsigned attr;
};

struct writer {
    const struct cells_can *can;
    struct bytes *out;
    int w, h, x, y; /* x < 0: the cursor is somewhere */
    struct pen pen;
};

enum { BLOCK = CANVAS_REVERSE | CANVAS_UNDERLINE, MOVE_MAX = 40, SGR_MAX = 96 };
static const struct pen plain_pen = {-1, -1, 0};

/* ---- pens ---- */

static bool same_pen(const struct pen *a, const struct pen *b)
{
    return a->fg == b->fg && a->bg == b->bg && a->attr == b->attr;
}

static int direct(uint32_t rgb)
{
    return rgb & COLOR_DEFAULT_FLAG ? -1 : (int)rgb;
}

/* A cell's colours as the terminal numbers them, its text readable. */
static struct pen pen_of(const struct cells_can *can, const struct canvas_cell *cell)
{
    struct pen p = plain_pen;
    p.attr = cell->style.attr & can->attrs;
    if (can->depth == COLOR_DEPTH_TRUE)
        p.fg = direct(cell->style.fg), p.bg = direct(cell->style.bg);
    else if (can->depth != COLOR_DEPTH_NONE)
        canvas_cell_colors(cell, can->depth, &p.fg, &p.bg);
    if (can->depth == COLOR_DEPTH_16 && can->colors < 16) { /* the bright ones are the others */
        p.bg = p.bg < 0 ? -1 : p.bg & 7;
        p.fg = p.fg < 0 ? -1 : p.fg & 7;
        bool text = strcmp(cell->text, "\u2580") != 0 && p.fg >= 0 && p.bg >= 0;
        if (text && color_contrast(color_of_index(p.fg), color_of_index(p.bg)) < 3)
            p.fg = color_text_over(color_of_index(p.bg)) ? 7 : 0;
    }
    if (can->depth == COLOR_DEPTH_16 && p.fg == 0)
        p.attr &= ~(unsigned)CANVAS_BOLD; /* many make black a grey by it */
    if (p.fg >= 0 || p.bg >= 0)
        p.attr &= ~can->attrs_plain;
    return p;
}

static size_t add_color(char *s, enum color_depth depth, int v, bool back)
{
    int n;
    if (v < 0)
        n = snprintf(s, 8, "%d;", back ? 49 : 39);
    else if (depth == COLOR_DEPTH_TRUE)
        n = snprintf(s, 24, "%d;2;%d;%d;%d;", back ? 48 : 38, v >> 16, v >> 8 & 255, v & 255);
    else if (v < 16)
        n = snprintf(s, 8, "%d;", (v < 8 ? 30 : 90 - 8) + (back ? 10 : 0) + v);
    else
        n = snprintf(s, 16, "%d;5;%d;", back ? 48 : 38, v);
    return (size_t)n;
}

/* SGR from one pen to another, everything else of the first one being ended before if `reset`. */
static size_t sgr_by(const struct cells_can *can, struct pen from, const struct pen *to, bool reset,
                     char *s)
{
    static const char on[] = "1274"; /* bold, dim, reverse, underline */
    size_t n = 2;
    memcpy(s, "\x1b[", 2);
    unsigned ends = from.attr & ~to->attr, weight = CANVAS_BOLD | CANVAS_DIM;
    if (reset) {
        from = plain_pen;
        if (!same_pen(to, &plain_pen))
            s[n++] = '0', s[n++] = ';';
    } else if (ends & weight) {
        memcpy(s + n, "22;", 3), n += 3;
        from.attr &= ~weight;
    }
    for (int i = 2; i < 4 && !reset; i++)
        if (ends >> i & 1)
            s[n++] = '2', s[n++] = on[i], s[n++] = ';';
    for (int i = 0; i < 4; i++)
        if ((to->attr & ~from.attr) >> i & 1)
            s[n++] = on[i], s[n++] = ';';
    if (from.fg != to->fg)
        n += add_color(s + n, can->depth, to->fg, false);
    if (from.bg != to->bg)
        n += add_color(s + n, can->depth, to->bg, true);
    n -= s[n - 1] == ';';
    s[n++] = 'm';
    return n;
}

/* The shorter way from one pen to another; s has room for SGR_MAX. */
static size_t sgr(const struct cells_can *can, const struct pen *from, const struct pen *to,
                  char *s)
{
    char other[SGR_MAX];
    if (same_pen(from, to))
        return 0;
    size_t n = sgr_by(can, *from, to, true, s);
    if ((from->attr & ~to->attr) && !can->off)
        return n;
    size_t m = sgr_by(can, *from, to, false, other);
    if (m < n)
        memcpy(s, other, m);
    return m < n ? m : n;
}

static void set_pen(struct writer *o, const struct pen *to)
{
    char s[SGR_MAX];
    bytes_add(o->out, s, sgr(o->can, &o->pen, to, s));
    o->pen = *to;
}

/* ---- cells ---- */

static bool is_blank(const struct canvas_cell *c)
{
    return strcmp(c->text, " ") == 0 && !(c->style.attr & BLOCK);
}

/* A blank of the terminal's own colours, which erasing makes. */
static bool is_empty(const struct canvas_cell *c)
{
    return is_blank(c) && c->style.bg & COLOR_DEFAULT_FLAG;
}

/* Do two cells look alike? */
static bool same_look(const struct cells_can *can, const struct canvas_cell *a,
                      const struct canvas_cell *b)
{
    if (canvas_same_cell(a, b))
        return true;
    if (a->width != b->width || strcmp(a->text, b->text) != 0 ||
        ((a->style.attr ^ b->style.attr) & CELLS_PICTURE))
        return false;
    struct pen p = pen_of(can, a), q = pen_of(can, b);
    return is_blank(a) && is_blank(b) ? p.bg == q.bg : same_pen(&p, &q);
}

/* Does the cell look as it should when written with this pen? */
static bool fits(const struct writer *o, const struct canvas_cell *c, const struct pen *pen)
{
    struct pen want = pen_of(o->can, c);
    if (is_blank(c))
        return want.bg == pen->bg && !(pen->attr & BLOCK);
    return same_pen(&want, pen);
}

/* The pen for the blank row[x]: the last one but for what shows, or the default one, whichever
 * makes the way to the next word shorter. */
static void pen_for_blank(struct writer *o, const struct canvas_cell *row, int x)
{
    char s[SGR_MAX];
    struct pen want = pen_of(o->can, &row[x]), keep = o->pen, fresh = {-1, want.bg, 0}, next;
    if (fits(o, &row[x], &o->pen))
        return;
    keep.bg = want.bg;
    keep.attr &= ~(unsigned)BLOCK;
    int to = x;
    while (to < o->w && is_blank(&row[to]))
        to++;
    next = to < o->w ? pen_of(o->can, &row[to]) : plain_pen;
    size_t kept = sgr(o->can, &o->pen, &keep, s) + sgr(o->can, &keep, &next, s);
    size_t anew = sgr(o->can, &o->pen, &fresh, s) + sgr(o->can, &fresh, &next, s);
    set_pen(o, kept < anew ? &keep : &fresh);
}

/* ---- moving ---- */

static size_t step(char *s, int n, char forward, char back)
{
    int d = n < 0 ? -n : n;
    if (n < 0 && n >= -3)
        return memset(s, '\b', (size_t)d), (size_t)d;
    return (size_t)(d == 0   ? 0
                    : d == 1 ? snprintf(s, 8, "\x1b[%c", n < 0 ? back : forward)
                             : snprintf(s, 16, "\x1b[%d%c", d, n < 0 ? back : forward));
}

/* From where the cursor is, or from anywhere, to (x, y). */
static void move_to(struct writer *o, int x, int y)
{
    enum { DOWN_MAX = 4 };
    char near[MOVE_MAX], far[MOVE_MAX];
    int dy = y - o->y;
    size_t n = (size_t)(x == 0 ? snprintf(far, sizeof far, "\x1b[%dH", y + 1)
                               : snprintf(far, sizeof far, "\x1b[%d;%dH", y + 1, x + 1));
    if (o->x >= 0 && dy >= 0 && dy <= DOWN_MAX) {
        size_t m = 0;
        if (x == 0 && o->x > 0)
            near[m++] = '\r';
        while (dy-- > 0)
            near[m++] = '\n';
        if (x || !o->x)
            m += step(near + m, x - o->x, 'C', 'D');
        if (m <= n)
            memcpy(far, near, m), n = m;
    }
    bytes_add(o->out, far, n);
    o->x = x, o->y = y;
}

/* Writing again what stands between the cursor and x is no longer than stepping over it: it is. */
static bool bridge(struct writer *o, const struct canvas_cell *row, int x, int y)
{
    enum { STEP = 4 };
    size_t bytes = 0;
    if (o->y != y || o->x < 0 || o->x > x)
        return false;
    for (int i = o->x; i < x; i++) {
        bytes += strlen(row[i].text);
        if (bytes >= STEP || !row[i].width || !fits(o, &row[i], &o->pen) || (row[i].text[0] & 0x80))
            return false;
    }
    for (; o->x < x; o->x++)
        bytes_add_string(o->out, row[o->x].text);
    return true;
}

/* ---- rows ---- */

/* One code point whose width nobody doubts.  Marks, and signs of scripts that Unicode changed its
 * mind about, take a column in one terminal and none in another; so do emoji one or two. */
static bool is_sure(const char *text)
{
    static const int32_t sure[][2] = {
        {0x20, 0x2ff},    {0x370, 0x482},   {0x48a, 0x52f},   {0x2010, 0x2027},
        {0x2030, 0x205e}, {0x2190, 0x2319}, {0x2400, 0x2426}, {0x2500, 0x25fc},
        {0x2800, 0x28ff}, {0x3001, 0x3029}, {0x3041, 0x3096}, {0x30a0, 0x30ff},
        {0x3400, 0x4dbf}, {0x4e00, 0x9fa5}, {0xac00, 0xd7a3}, {0xff01, 0xff60},
    };
    int32_t cp;
    size_t n = strlen(text), used = n ? text_decode(text, n, &cp) : 0;
    for (size_t i = 0; used && used == n && i < sizeof sure / sizeof sure[0]; i++)
        if (cp >= sure[i][0] && cp <= sure[i][1])
            return true;
    return false;
}

static void put(struct writer *o, const struct canvas_cell *row, int x, int y)
{
    const struct canvas_cell *c = &row[x];
    if (!bridge(o, row, x, y))
        move_to(o, x, y);
    if (is_blank(c)) {
        pen_for_blank(o, row, x);
    } else {
        struct pen want = pen_of(o->can, c);
        set_pen(o, &want);
    }
    bool sure = is_sure(c->text);
    if (!sure && x + c->width < o->w) /* what it does not cover is blank */
        bytes_add_string(o->out, c->width == 2 ? "  \b\b" : " \b");
    bytes_add_string(o->out, c->text);
    o->x += c->width;
    if (o->x >= o->w || !sure)
        o->x = -1;
}

/* Blanks from x up to `end` that the terminal makes by itself. */
static void erase(struct writer *o, const struct canvas_cell *row, int x, int y, int end)
{
    if (!bridge(o, row, x, y))
        move_to(o, x, y);
    pen_for_blank(o, row, x);
    if (end == o->w)
        bytes_add_string(o->out, "\x1b[K");
    else
        bytes_addf(o->out, "\x1b[%dX", end - x);
}

static void write_row(struct writer *o, int y, const struct canvas_cell *was,
                      const struct canvas_cell *now)
{
    enum { LINE_MIN = 4, RUN_MIN = 10 };
    int tail = o->w;
    while (tail > 0 && is_empty(&now[tail - 1]))
        tail--;
    bool spilt = false; /* what was written before may stand here, too */
    for (int x = 0; x < o->w; x++) {
        int end = x, changed = 0;
        bool same = was ? same_look(o->can, &was[x], &now[x]) : is_empty(&now[x]);
        if (!now[x].width || (same && !spilt))
            continue;
        spilt = false;
        if (y == o->h - 1 && x + now[x].width == o->w && !o->can->corner)
            continue;
        for (int i = x; i < o->w && is_empty(&now[i]); i++)
            if (was && !same_look(o->can, &was[i], &now[i]))
                changed++, end = i + 1;
        if (x >= tail && changed >= LINE_MIN)
            end = o->w;
        else if (changed < RUN_MIN || !o->can->erase_characters)
            end = x;
        if (end > x) {
            erase(o, now, x, y, end);
            x = end - 1;
        } else {
            put(o, now, x, y);
            spilt = !is_sure(now[x].text);
        }
    }
}

void cells_write(const struct cells_can *can, const struct canvas_cell *was,
                 const struct canvas_cell *now, int w, int h, struct bytes *out)
{
    struct writer o = {.can = can, .out = out, .w = w, .h = h, .x = -1, .pen = plain_pen};
    if (!was)
        bytes_add_string(out, "\x1b[m\x1b[r\x1b[H\x1b[2J");
    for (int y = 0; y < h; y++)
        write_row(&o, y, was ? &was[y * w] : NULL, &now[y * w]);
    set_pen(&o, &plain_pen);
}

void cells_scroll(const struct shift *s, int width, struct canvas_cell *cells, int w,
                  struct bytes *out)
{
    static const struct canvas_cell blank = {
        .text = " ", .width = 1, .style = {COLOR_DEFAULT, COLOR_DEFAULT, 0}};
    bool up = s->by > 0;
    int n = up ? s->by : -s->by;
    if (width < w)
        bytes_addf(out, "\x1b[?69h\x1b[1;%ds", width);
    bytes_addf(out, "\x1b[%d;%dr\x1b[%dH", s->lo + 1, s->hi + 1, (up ? s->hi : s->lo) + 1);
    for (int i = 0; i < n; i++)
        bytes_add_string(out, up ? "\n" : "\x1bM");
    bytes_add_string(out, "\x1b[r");
    if (width < w)
        bytes_add_string(out, "\x1b[?69l");
    for (int i = s->lo; i <= s->hi; i++) {
        int y = up ? i : s->hi - (i - s->lo), from = y + s->by;
        for (int x = 0; x < width; x++)
            cells[y * w + x] = from < s->lo || from > s->hi ? blank : cells[from * w + x];
    }
}
