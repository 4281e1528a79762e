/* heat.h - a matrix of numbers as a picture: half blocks, glyphs, or pixels.
 *
 * The same value, scale and map give the same colour everywhere, up to the number of levels.  NaN
 * has its own colour and glyph; a value outside the scale takes the end's colour.  Pure.  Tested in
 * tests/render/test_heat.c. */
#ifndef HEAT_H
#define HEAT_H

#include <stddef.h>

#include "canvas.h"
#include "image.h"
#include "scale.h"

struct heat {
    const float *value; /* value[i * stride + j], row i, column j; not owned */
    int rows, cols;
    ptrdiff_t stride;
    struct scale scale;
    enum colormap map;
};

/* Two samples per cell: column j at x = j, rows 2i and 2i+1 at y = i.  Draws what fits r and leaves
 * the rest of r alone; an odd last row has the default colour below it.  A cell with a NaN is "!"
 * in the colour of NaN. On an ascii canvas the cell is the ramp's glyph for the sample of larger
 * magnitude. */
void heat_half_blocks(const struct heat *m, struct canvas *c, struct rect r);

enum heat_glyphs {
    HEAT_SHADES /* " ·░▒▓█": the dot from a twentieth on, the others by fifths */,
    HEAT_DIGITS /* 0..9 */,
    HEAT_RAMP /* " .:-=+*#%@" */
};
/* One sample per cell, no colour (NO_COLOR): NaN is "!", and on symmetric scales negative values
 * are underlined.  Shades become the ramp on an ascii canvas. */
void heat_glyphs(const struct heat *m, struct canvas *c, struct rect r, enum heat_glyphs glyphs);
/* The glyph itself (a view that draws its own cells). */
const char *heat_glyph(double position, enum heat_glyphs glyphs);

/* One pixel per sample, `levels` (2..255) colours of the map plus one for NaN; on a symmetric scale
 * one fewer if that makes their number odd, so that zero has the colour of the middle.  0 or an
 * image_status. */
int heat_image(const struct heat *m, int levels, struct image *out);
/* Side in pixels of one sample's block so that the picture fits w_px x h_px: the largest multiple
 * of 6 (sixel's fast case), else the largest that fits, at least 1. */
int heat_block_px(int rows, int cols, int w_px, int h_px);

/* Shrink to out_rows x out_cols (<= rows, cols): each output is the value of largest magnitude in
 * its part, so that a single bright cell is never lost; NaN wins.  out[out_rows * out_cols]. */
void heat_pool(const struct heat *m, int out_rows, int out_cols, float *out);

/* " p(top-1)  0 ░░▒▒▓▓██ 1": name, ends and bar; the bar in the map's colours, its glyphs shades
 * (or the ramp). A scale that is not linear is named behind it.  Returns the columns. */
int heat_legend(struct canvas *c, struct rect r, int x, int y, const char *name, struct scale s,
                enum colormap map);

#endif
