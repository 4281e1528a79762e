/* spark.h - a row of numbers as ▁▂▃▄▅▆▇█ (digits 1..8 in ASCII); NaN is "!".
 * Pure.  Tested in tests/render/test_spark.c. */
#ifndef SPARK_H
#define SPARK_H

#include <stddef.h>

#include "canvas.h"
#include "scale.h"

/* One cell per value from (x, y) of r on; returns the columns. */
int spark_put(struct canvas *c, struct rect r, int x, int y, struct canvas_style st, const float *v,
              size_t n, struct scale s);

/* One value as a bar from the bottom of r, as wide as that: at least the lowest eighth of a cell,
 * whole cells in ASCII; NaN is "!" in the lowest. */
void spark_bar(struct canvas *c, struct rect r, struct canvas_style st, float v, struct scale s);

#endif
