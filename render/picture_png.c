/* picture_png.c - .png through libpng (see picture_in.h; tested in tests/render/test_picture_in.c).
 *
 * libpng is handed the chunks that say what the pixels are and nothing else: what it would do with
 * others (gamma, colour profiles, compressed texts) is not wanted. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "picture_parts.h"

enum { SIGNATURE = PICTURE_PNG_SIGNATURE, AROUND = PICTURE_PNG_AROUND };

static bool is_pixels(const unsigned char *type)
{
    static const char *const wanted[] = {"IHDR", "PLTE", "tRNS", "IDAT", "IEND"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!memcmp(type, wanted[i], 4))
            return true;
    return false;
}

/* Copy those chunks; how many bytes, 0: the file is cut off. */
static size_t pixels_only(const unsigned char *from, size_t len, unsigned char *to)
{
    size_t at = SIGNATURE, n = SIGNATURE;
    memcpy(to, from, SIGNATURE);
    while (len - at >= AROUND) {
        const unsigned char *chunk = from + at;
        size_t size = (size_t)chunk[0] << 24 | (size_t)chunk[1] << 16 | (size_t)chunk[2] << 8 |
                      chunk[3];
        if (size > len - at - AROUND)
            return 0;
        if (is_pixels(chunk + 4)) {
            memcpy(to + n, chunk, size + AROUND);
            n += size + AROUND;
        }
        if (!memcmp(chunk + 4, "IEND", 4))
            return n;
        at += size + AROUND;
    }
    return 0;
}

/* Levels as they are stored: with alpha, which is then left out, since without it libpng would mix
 * in a background. */
static enum picture_status read_pixels(png_image *png, struct picture_rgb *out,
                                       char why[PICTURE_WHY])
{
    struct picture_rgb p;
    enum picture_status rc = picture_alloc(&p, png->width, png->height, why);
    size_t n = rc ? 0 : (size_t)p.width * (size_t)p.height;
    png->format = PNG_FORMAT_RGBA;
    png->flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
    unsigned char *rgba = n ? malloc(4 * n) : NULL;
    if (!rc && !rgba)
        rc = PICTURE_NO_MEMORY;
    if (!rc && !png_image_finish_read(png, NULL, rgba, 0, NULL)) {
        snprintf(why, PICTURE_WHY, ".png · %.100s", png->message);
        rc = PICTURE_BAD;
    }
    for (size_t i = 0; !rc && i < n; i++)
        memcpy(p.rgb + 3 * i, rgba + 4 * i, 3);
    free(rgba);
    if (!rc)
        *out = p;
    else if (n)
        free(p.rgb);
    return rc;
}

enum picture_status picture_png(const unsigned char *bytes, size_t len, struct picture_rgb *out,
                                char why[PICTURE_WHY])
{
    unsigned char *pixels = malloc(len);
    if (!pixels)
        return PICTURE_NO_MEMORY;
    size_t n = pixels_only(bytes, len, pixels);
    png_image png = {.version = PNG_IMAGE_VERSION};
    enum picture_status rc = PICTURE_BAD;
    if (!n)
        snprintf(why, PICTURE_WHY, ".png · the file is cut off");
    else if (!png_image_begin_read_from_memory(&png, pixels, n))
        snprintf(why, PICTURE_WHY, ".png · %.100s", png.message);
    else
        rc = read_pixels(&png, out, why);
    png_image_free(&png);
    free(pixels);
    return rc;
}
