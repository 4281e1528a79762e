/* png_out.c - a picture as PNG bytes.  Tested in tests/render/test_png_out.c. */
#include "png_out.h"

#include <assert.h>
#include <png.h>

/* palette: of `format`, NULL where it has none. */
static int add_png(png_image png, const void *pixels, const png_byte *palette, struct bytes *out)
{
    png.version = PNG_IMAGE_VERSION;
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
    char *to = bytes_reserve(out, size);
    if (!to)
        return IMAGE_NO_MEMORY;
    int written = png_image_write_to_memory(&png, to, &size, 0, pixels, 0, palette);
    png_image_free(&png);
    if (!written) { /* the size is sufficient and the format valid: only memory is left */
        *to = '\0';
        return IMAGE_NO_MEMORY;
    }
    out->len += size;
    out->data[out->len] = '\0';
    return IMAGE_OK;
}

int png_out_image(const struct image *im, struct bytes *out)
{
    assert(im->n_colors > 0 && im->n_colors <= IMAGE_COLORS_MAX);
    png_byte palette[IMAGE_COLORS_MAX * 3];
    for (int c = 0; c < im->n_colors; c++)
        for (int i = 0; i < 3; i++)
            palette[3 * c + i] = (png_byte)(im->palette[c] >> (16 - 8 * i) & 255);
    const png_image png = {.width = (png_uint_32)im->w,
                           .height = (png_uint_32)im->h,
                           .format = PNG_FORMAT_RGB_COLORMAP,
                           .colormap_entries = (png_uint_32)im->n_colors};
    return add_png(png, im->pixel, palette, out);
}

int png_out_rgb(const uint8_t *rgb, int w, int h, struct bytes *out)
{
    const png_image png = {
        .width = (png_uint_32)w, .height = (png_uint_32)h, .format = PNG_FORMAT_RGB};
    return add_png(png, rgb, NULL, out);
}
