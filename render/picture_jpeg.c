/* picture_jpeg.c - .jpg through libjpeg-turbo (see picture_in.h; tested in
 * tests/render/test_picture_in.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "picture_parts.h"

static enum picture_status refuse(tjhandle jpeg, char why[PICTURE_WHY])
{
    snprintf(why, PICTURE_WHY, ".jpg · %.100s", tjGetErrorStr2(jpeg));
    return PICTURE_BAD;
}

/* Does an end of image come after the first scan?  A progressive file without one would be read as
 * a coarser picture.  What stands before the scans (a thumbnail) has ends of its own. */
static bool has_end(const unsigned char *b, size_t len)
{
    size_t at = 2;
    while (len - at >= 4 && b[at] == 0xff && b[at + 1] != 0xda) {
        size_t size = (size_t)b[at + 2] << 8 | b[at + 3];
        if (size < 2 || size > len - at - 2)
            return false;
        at += 2 + size;
    }
    for (; len - at >= 2; at++)
        if (b[at] == 0xff && b[at + 1] == 0xd9)
            return true;
    return false;
}

/* Other damage is read as Pillow reads it: bytes too many, a block that is no number. */
static bool is_harmless(tjhandle jpeg)
{
    return tjGetErrorCode(jpeg) == TJERR_WARNING && !strstr(tjGetErrorStr2(jpeg), "remature end");
}

static enum picture_status read_image(tjhandle jpeg, const unsigned char *bytes, size_t len,
                                      struct picture_rgb *out, char why[PICTURE_WHY])
{
    int width = 0, height = 0, sampling, colors = 0;
    if (!has_end(bytes, len)) {
        snprintf(why, PICTURE_WHY, ".jpg · the file is cut off");
        return PICTURE_BAD;
    }
    if (tjDecompressHeader3(jpeg, bytes, (unsigned long)len, &width, &height, &sampling, &colors))
        return refuse(jpeg, why);
    if (colors != TJCS_YCbCr && colors != TJCS_GRAY && colors != TJCS_RGB) {
        snprintf(why, PICTURE_WHY, ".jpg · its colours are neither RGB nor grey · convert it");
        return PICTURE_BAD;
    }
    struct picture_rgb p;
    enum picture_status rc = picture_alloc(&p, width, height, why);
    if (rc)
        return rc;
    if (tjDecompress2(jpeg, bytes, (unsigned long)len, p.rgb, width, 0, height, TJPF_RGB,
                      TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) &&
        !is_harmless(jpeg)) {
        free(p.rgb);
        return refuse(jpeg, why);
    }
    *out = p;
    return PICTURE_OK;
}

enum picture_status picture_jpeg(const unsigned char *bytes, size_t len, struct picture_rgb *out,
                                 char why[PICTURE_WHY])
{
    tjhandle jpeg = tjInitDecompress();
    if (!jpeg)
        return PICTURE_NO_MEMORY;
    enum picture_status rc = read_image(jpeg, bytes, len, out, why);
    tjDestroy(jpeg);
    return rc;
}
