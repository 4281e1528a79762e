/* rect.h - layout as pure functions on rectangles of cells.
 *
 * A view starts from the whole body and cuts pieces off it: what is cut off is returned, what
 * remains stays in *r.  Sizes never become negative; a cut larger than what is there takes
 * everything. Tested in tests/render/test_rect.c. */
#ifndef RECT_H
#define RECT_H

#include <stdbool.h>

struct rect {
    int x, y, w, h;
};

struct rect rect_cut_top(struct rect *r, int rows);
struct rect rect_cut_bottom(struct rect *r, int rows);
struct rect rect_cut_left(struct rect *r, int columns);
/* Part i of n along one axis: the parts cover r without gaps and differ by at most one. */
struct rect rect_part_rows(struct rect r, int i, int n);
struct rect rect_part_columns(struct rect r, int i, int n);
struct rect rect_intersect(struct rect a, struct rect b);
struct rect rect_center(struct rect r, int w, int h); /* at most w x h in the middle of r: popups */
static inline bool rect_is_empty(struct rect r)
{
    return r.w <= 0 || r.h <= 0;
}
static inline bool rect_has(struct rect r, int x, int y)
{
    return x >= r.x && x < r.x + r.w && y >= r.y && y < r.y + r.h;
}

#endif
