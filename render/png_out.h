/* png_out.h - a picture as PNG bytes, through libpng.
 * Pure.  Tested in tests/render/test_png_out.c. */
#ifndef PNG_OUT_H
#define PNG_OUT_H

#include "bytes.h"
#include "image.h"

/* 0 or an image_status; nothing is added on failure. */
int png_out_image(const struct image *im, struct bytes *out);
/* The same of rgb[h][w][3]. */
int png_out_rgb(const uint8_t *rgb, int w, int h, struct bytes *out);

#endif
