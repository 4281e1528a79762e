/* image_resize.h - resizing 8-bit RGB as Pillow's Image.resize does, bit for bit.
 *
 * Each output pixel is a weighted mean over a window that grows with the reduction (antialiasing);
 * weights are fixed-point numbers of 22 bits, the columns are done first and rounded to 8 bits.
 * Tested in tests/engine/test_image_input.c against Pillow. */
#ifndef IMAGE_RESIZE_H
#define IMAGE_RESIZE_H

#include <stdint.h>

#include "base/err.h"

/* Pillow's numbers. */
enum image_filter {
    FILTER_NEAREST,
    FILTER_LANCZOS,
    FILTER_BILINEAR,
    FILTER_BICUBIC,
    FILTER_BOX,
    FILTER_HAMMING,
    FILTER_COUNT
};

/* [height, width, 3] -> out[to_height, to_width, 3]; sides 1..LIMIT_IMAGE_SIDE.  Fails only where
 * memory is out. */
int image_resize(const uint8_t *rgb, int32_t height, int32_t width, uint8_t *out, int32_t to_height,
                 int32_t to_width, enum image_filter filter, struct err *e);

#endif
