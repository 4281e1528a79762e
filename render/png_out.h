/* png_out.h - a picture as PNG bytes (indexed colour), through libpng.
 * Pure.  Tested in tests/render/test_png_out.c. */
#ifndef PNG_OUT_H
#define PNG_OUT_H

#include "bytes.h"
#include "image.h"

/* 0 or an image_status; nothing is added on failure. */
int png_out_image(const struct image *im, struct bytes *out);

#endif
