/* image.c - indexed pictures.  Tested in tests/render/test_image.c. */
#include "image.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int image_new(struct image *im, int w, int h)
{
    assert(w > 0 && h > 0);
    if (w > IMAGE_SIDE_MAX || h > IMAGE_SIDE_MAX)
        return IMAGE_TOO_LARGE;
    uint8_t *pixel = calloc((size_t)w * (size_t)h, 1);
    if (!pixel)
        return IMAGE_NO_MEMORY;
    *im = (struct image){.w = w, .h = h, .pixel = pixel};
    return IMAGE_OK;
}

void image_free(struct image *im)
{
    free(im->pixel);
    *im = (struct image){0};
}

int image_enlarge(const struct image *im, int cell_w, int cell_h, struct image *out)
{
    assert(cell_w > 0 && cell_h > 0);
    if (cell_w > IMAGE_SIDE_MAX / im->w || cell_h > IMAGE_SIDE_MAX / im->h)
        return IMAGE_TOO_LARGE;
    struct image big;
    int status = image_new(&big, im->w * cell_w, im->h * cell_h);
    if (status)
        return status;
    big.n_colors = im->n_colors;
    memcpy(big.palette, im->palette, sizeof big.palette);
    uint8_t *to = big.pixel;
    for (int y = 0; y < im->h; y++) {
        const uint8_t *from = im->pixel + (size_t)y * (size_t)im->w, *line = to;
        for (int x = 0; x < im->w; x++, to += cell_w)
            memset(to, from[x], (size_t)cell_w);
        for (int i = 1; i < cell_h; i++, to += big.w)
            memcpy(to, line, (size_t)big.w);
    }
    *out = big;
    return IMAGE_OK;
}

void image_compact(struct image *im)
{
    bool used[IMAGE_COLORS_MAX] = {false};
    uint8_t renamed[IMAGE_COLORS_MAX] = {0};
    size_t n = (size_t)im->w * (size_t)im->h;
    int count = 0;
    for (size_t i = 0; i < n; i++)
        used[im->pixel[i]] = true;
    for (int c = 0; c < IMAGE_COLORS_MAX; c++) {
        if (!used[c])
            continue;
        im->palette[count] = im->palette[c];
        renamed[c] = (uint8_t)count++;
    }
    for (size_t i = 0; i < n; i++)
        im->pixel[i] = renamed[im->pixel[i]];
    im->n_colors = count;
}
