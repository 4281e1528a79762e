/* sixel_out.h - pictures as DEC sixel bytes.
 *
 * Both encoders write one complete DCS ... ST: P2=1 with every pixel painted (a picture of the same
 * size replaces itself without flicker), raster attributes, only the colour registers that occur,
 * no trailing "-". They write no cursor movement: position, margins and the row kept free below are
 * the caller's; terminals reckon with whole bands, so the height rounded up to a multiple of 6 must
 * fit or the screen scrolls.  Sixel colours are percentages: a terminal shows the nearest.  Pure.
 * Tested in tests/render/test_sixel_out.c against libsixel's decoder. */
#ifndef SIXEL_OUT_H
#define SIXEL_OUT_H

#include "bytes.h"
#include "image.h"
#include "rect.h"

/* im stretched to w x h pixels, w >= im->w and h >= im->h: sample j covers columns [w * j / im->w,
 * w * (j + 1) / im->w), and rows alike, so that every sample is seen and all of w x h is used.  Of
 * that, the pixels of `window` (inside it) are written.  Cost grows with bands x colours of a band
 * x im->w, not with pixels: 10 to 40 times faster than libsixel, same pixels. */
int sixel_out_grid(const struct image *im, int w, int h, struct rect window, struct bytes *out);
/* Any picture, through libsixel.  Cost grows with colours x runs: not for noise with 256 colours.
 */
int sixel_out_image(const struct image *im, struct bytes *out);

#endif
