/* picture_turn.c - pictures that a camera took sideways, turned as their EXIF entry says (see
 * picture_in.h; tested in tests/render/test_picture_in.c).
 *
 * What is read of EXIF is one number: the orientation in the first directory. Whatever does not
 * make sense there says nothing, and the pixels stay as they lie. */
#include <stdlib.h>
#include <string.h>

#include "picture_parts.h"

enum { UPRIGHT = 1, ORIENTATION = 0x0112, SHORT = 3, ENTRY = 12 };

struct span {
    const unsigned char *at;
    size_t len;
};

static size_t number(const unsigned char *p, int bytes, bool big)
{
    size_t x = 0;
    for (int i = 0; i < bytes; i++)
        x = x << 8 | p[big ? i : bytes - 1 - i];
    return x;
}

/* Of a .jpg: the segment APP1 that begins with "Exif", before the scans. */
static struct span exif_of_jpeg(const unsigned char *b, size_t len)
{
    static const char mark[6] = "Exif\0";
    size_t at = 2;
    while (len - at >= 4 && b[at] == 0xff && b[at + 1] != 0xda) {
        size_t size = number(b + at + 2, 2, true), head = 2 + sizeof mark;
        if (size < 2 || size > len - at - 2)
            break;
        if (b[at + 1] == 0xe1 && size >= head && !memcmp(b + at + 4, mark, sizeof mark))
            return (struct span){b + at + 2 + head, size - head};
        at += 2 + size;
    }
    return (struct span){NULL, 0};
}

/* Of a .png: the chunk eXIf, wherever it stands. */
static struct span exif_of_png(const unsigned char *b, size_t len)
{
    size_t at = PICTURE_PNG_SIGNATURE;
    while (len - at >= PICTURE_PNG_AROUND) {
        size_t size = number(b + at, 4, true);
        if (size > len - at - PICTURE_PNG_AROUND || !memcmp(b + at + 4, "IEND", 4))
            break;
        if (!memcmp(b + at + 4, "eXIf", 4))
            return (struct span){b + at + 8, size};
        at += size + PICTURE_PNG_AROUND;
    }
    return (struct span){NULL, 0};
}

/* 1..8; UPRIGHT where nothing is said. */
static int orientation(struct span exif)
{
    if (exif.len < 8 || (memcmp(exif.at, "II*\0", 4) != 0 && memcmp(exif.at, "MM\0*", 4) != 0))
        return UPRIGHT;
    bool big = *exif.at == 'M';
    size_t at = number(exif.at + 4, 4, big);
    if (at > exif.len || exif.len - at < 2)
        return UPRIGHT;
    size_t n = number(exif.at + at, 2, big);
    at += 2;
    for (; n > 0 && exif.len - at >= ENTRY; n--, at += ENTRY) {
        const unsigned char *entry = exif.at + at;
        if (number(entry, 2, big) != ORIENTATION)
            continue;
        size_t how = number(entry + 8, 2, big);
        bool said = number(entry + 2, 2, big) == SHORT && number(entry + 4, 4, big) == 1;
        return said && how >= 1 && how <= 8 ? (int)how : UPRIGHT;
    }
    return UPRIGHT;
}

enum picture_status picture_turn(struct picture_rgb *p, const unsigned char *bytes, size_t len,
                                 bool png)
{
    int how = orientation(png ? exif_of_png(bytes, len) : exif_of_jpeg(bytes, len));
    if (how == UPRIGHT)
        return PICTURE_OK;
    bool swapped = how >= 5, upside_down = how == 3 || how == 4 || how == 6 || how == 7,
         mirrored = how == 2 || how == 3 || how == 7 || how == 8;
    int32_t width = swapped ? p->height : p->width, height = swapped ? p->width : p->height;
    uint8_t *rgb = malloc(3 * (size_t)width * (size_t)height);
    if (!rgb)
        return PICTURE_NO_MEMORY;
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            int32_t row = swapped ? x : y, column = swapped ? y : x;
            row = upside_down ? p->height - 1 - row : row;
            column = mirrored ? p->width - 1 - column : column;
            memcpy(rgb + 3 * ((size_t)y * (size_t)width + (size_t)x),
                   p->rgb + 3 * ((size_t)row * (size_t)p->width + (size_t)column), 3);
        }
    free(p->rgb);
    *p = (struct picture_rgb){width, height, rgb};
    return PICTURE_OK;
}
