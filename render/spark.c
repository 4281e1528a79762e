/* spark.c - a row of numbers as bars.  Tested in tests/render/test_spark.c. */
#include "spark.h"

#include <math.h>

static const char *glyph(double position, bool ascii)
{
    static const char *const bar[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                      "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const digit[] = {"1", "2", "3", "4", "5", "6", "7", "8"};
    if (isnan(position))
        return "!";
    int level = (int)(position * 8);
    level = level < 0 ? 0 : level < 8 ? level : 7;
    return ascii ? digit[level] : bar[level];
}

int spark_put(struct canvas *c, struct rect r, int x, int y, struct canvas_style st, const float *v,
              size_t n, struct scale s)
{
    int columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += canvas_put(c, r, x + columns, y, st, glyph(scale_at(s, v[i]), c->ascii));
    return columns;
}

void spark_bar(struct canvas *c, struct rect r, struct canvas_style st, float v, struct scale s)
{
    double at = scale_at(s, v), full = (at < 0 ? 0 : at > 1 ? 1 : at) * r.h;
    if (isnan(at) || r.h == 1) {
        canvas_fill(c, (struct rect){r.x, r.y + r.h - 1, r.w, 1}, st, glyph(at, c->ascii));
        return;
    }
    for (int y = 0; y < r.h; y++) {
        double part = full - y; /* of this cell, from below */
        if (y && part < (c->ascii ? 0.5 : 0.0625))
            break;
        canvas_fill(c, (struct rect){r.x, r.y + r.h - 1 - y, r.w, 1}, st,
                    c->ascii ? "#" : glyph(part >= 1 ? 1 : part - 0.0625, false));
    }
}
