/* image.h - an indexed picture: what the sixel, kitty and PNG encoders take.
 *
 * Owner: whoever filled it; image_free.  Every pixel is < n_colors.
 * Tested in tests/render/test_image.c. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdint.h>

enum { IMAGE_SIDE_MAX = 4096, IMAGE_COLORS_MAX = 256 };

struct image {
    int w, h; /* 1..IMAGE_SIDE_MAX */
    int n_colors;
    uint32_t palette[IMAGE_COLORS_MAX]; /* 0xRRGGBB */
    uint8_t *pixel;                     /* row-major, w * h */
};

enum image_status { IMAGE_OK = 0, IMAGE_NO_MEMORY = -1, IMAGE_TOO_LARGE = -2 };

/* Pixels zeroed, no colours.  *im is untouched on failure. */
int image_new(struct image *im, int w, int h);
void image_free(struct image *im);
/* Every pixel becomes a block of cell_w x cell_h. */
int image_enlarge(const struct image *im, int cell_w, int cell_h, struct image *out);
/* Keep only colours that occur, in order of index. */
void image_compact(struct image *im);

#endif
