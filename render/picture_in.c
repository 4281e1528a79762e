/* picture_in.c - which decoder reads a picture (see picture_in.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "picture_parts.h"

enum picture_status picture_alloc(struct picture_rgb *out, int64_t width, int64_t height,
                                  char why[PICTURE_WHY])
{
    if (width < 1 || height < 1 || width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX ||
        width * height > PICTURE_PIXELS_MAX) {
        snprintf(why, PICTURE_WHY, "%lld x %lld pixels · a side may have %d, all together %d",
                 (long long)width, (long long)height, PICTURE_SIDE_MAX, PICTURE_PIXELS_MAX);
        return PICTURE_BAD;
    }
    *out = (struct picture_rgb){(int32_t)width, (int32_t)height,
                                calloc((size_t)(width * height), 3)};
    return out->rgb ? PICTURE_OK : PICTURE_NO_MEMORY;
}

enum picture_status picture_read(const void *bytes, size_t len, struct picture_rgb *out,
                                 char why[PICTURE_WHY])
{
    static const unsigned char signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    bool png = len >= sizeof signature && !memcmp(bytes, signature, sizeof signature),
         jpeg = len >= 3 && !memcmp(bytes, "\xff\xd8\xff", 3);
    struct picture_rgb p;
    enum picture_status rc = png    ? picture_png(bytes, len, &p, why)
                             : jpeg ? picture_jpeg(bytes, len, &p, why)
                                    : PICTURE_UNKNOWN;
    if (rc)
        return rc;
    if (!(rc = picture_turn(&p, bytes, len, png)))
        *out = p;
    else
        free(p.rgb);
    return rc;
}
