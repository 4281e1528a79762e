/* shift.h - did rows of a screen move up or down together? */
#ifndef SHIFT_H
#define SHIFT_H

#include <stdbool.h>

#include "canvas.h"

/* Rows [lo, hi] of a screen: row y is what row y + by was, where that is one of them. */
struct shift {
    int lo, hi, by;
};

/* From the screen `was` to the screen `now`, [h][w] cells each: rows that moved, judged by their
 * first `judged` cells, if moving their first `moving` ones leaves less than half as many of these
 * to be written. False: none did.  Pure.  Time: h * (w + h). */
bool shift_find(const struct canvas_cell *was, const struct canvas_cell *now, int w, int h,
                int judged, int moving, struct shift *out);

#endif
