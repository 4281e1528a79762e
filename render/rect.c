/* rect.c - layout as pure functions.  Tested in tests/render/test_rect.c. */
#include "rect.h"

#include <assert.h>

static int clamp(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

struct rect rect_cut_top(struct rect *r, int rows)
{
    int n = clamp(rows, 0, r->h);
    struct rect cut = {r->x, r->y, r->w, n};
    r->y += n;
    r->h -= n;
    return cut;
}

struct rect rect_cut_bottom(struct rect *r, int rows)
{
    int n = clamp(rows, 0, r->h);
    r->h -= n;
    return (struct rect){r->x, r->y + r->h, r->w, n};
}

struct rect rect_cut_left(struct rect *r, int columns)
{
    int n = clamp(columns, 0, r->w);
    struct rect cut = {r->x, r->y, n, r->h};
    r->x += n;
    r->w -= n;
    return cut;
}

/* First cell of part i of n over `size` cells. */
static int part_begin(int size, int i, int n)
{
    return (int)((long long)size * i / n);
}

struct rect rect_part_rows(struct rect r, int i, int n)
{
    assert(n > 0 && i >= 0 && i < n);
    int begin = part_begin(r.h, i, n);
    return (struct rect){r.x, r.y + begin, r.w, part_begin(r.h, i + 1, n) - begin};
}

struct rect rect_part_columns(struct rect r, int i, int n)
{
    assert(n > 0 && i >= 0 && i < n);
    int begin = part_begin(r.w, i, n);
    return (struct rect){r.x + begin, r.y, part_begin(r.w, i + 1, n) - begin, r.h};
}

struct rect rect_intersect(struct rect a, struct rect b)
{
    int x0 = a.x > b.x ? a.x : b.x, y0 = a.y > b.y ? a.y : b.y;
    int x1 = a.x + a.w < b.x + b.w ? a.x + a.w : b.x + b.w;
    int y1 = a.y + a.h < b.y + b.h ? a.y + a.h : b.y + b.h;
    return (struct rect){x0, y0, x1 > x0 ? x1 - x0 : 0, y1 > y0 ? y1 - y0 : 0};
}

struct rect rect_center(struct rect r, int w, int h)
{
    w = clamp(w, 0, r.w);
    h = clamp(h, 0, r.h);
    return (struct rect){r.x + (r.w - w) / 2, r.y + (r.h - h) / 2, w, h};
}
