/* photo.h - a picture in RGB, as half blocks or in few colours for sixel, kitty and PNG.
 *
 * Shrinking takes the mean of the pixels that fall into one; enlarging repeats them.  Pure.  Tested
 * in tests/render/test_photo.c. */
#ifndef PHOTO_H
#define PHOTO_H

#include "canvas.h"
#include "image.h"

struct photo {
    const uint8_t *rgb; /* [h, w, 3]; not owned */
    int w, h;
};

enum { PHOTO_COLORS = 63 };

/* All of it into r, two samples per cell; on a canvas without colours or of ascii the ramp's glyph
 * for the luminance. */
void photo_half_blocks(const struct photo *p, struct canvas *c, struct rect r, bool color);
/* w x h pixels in at most PHOTO_COLORS colours, chosen by median cut.  0 or an image_status. */
int photo_image(const struct photo *p, int w, int h, struct image *out);

#endif
