/* picture_in.h - the bytes of a .png or .jpg file as 8-bit RGB.
 *
 * Levels are those that Pillow's convert("RGB") has: no gamma is applied, alpha is left out, grey
 * and palettes become RGB (16 bits are rounded to 8, where Pillow cuts).  A picture that its EXIF
 * entry turns is turned, as by Pillow's exif_transpose.  The file is not trusted:
 * sides and pixels are bounded before anything is decoded, and what the decoders keep besides.
 * JPEG needs libjpeg-turbo when the program is built.  Pure; any thread.  Tested in
 * tests/render/test_picture_in.c, tests/fuzz/fuzz_picture_in.c. */
#ifndef PICTURE_IN_H
#define PICTURE_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PICTURE_SIDE_MAX = 1 << 14, PICTURE_PIXELS_MAX = 1 << 26, PICTURE_WHY = 160 };

struct picture_rgb {
    int32_t width, height;
    uint8_t *rgb; /* [height, width, 3], malloc'ed */
};

enum picture_status {
    PICTURE_OK = 0,
    PICTURE_NO_MEMORY = -1,
    PICTURE_BAD = -2,    /* damaged, too large, a form that is not read: why[] says it */
    PICTURE_UNKNOWN = -3 /* neither .png nor .jpg */
};

/* *out is the caller's: free(out->rgb).  It is untouched on failure. */
enum picture_status picture_read(const void *bytes, size_t len, struct picture_rgb *out,
                                 char why[PICTURE_WHY]);

#endif
