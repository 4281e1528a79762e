/* picture_jpeg_none.c - the program without libjpeg-turbo: .jpg is refused (see picture_in.h;
 * tested in tests/render/test_picture_in.c). */
#include <stdio.h>

#include "picture_parts.h"

enum picture_status picture_jpeg(const unsigned char *bytes, size_t len, struct picture_rgb *out,
                                 char why[PICTURE_WHY])
{
    (void)bytes, (void)len, (void)out;
    snprintf(why, PICTURE_WHY,
             ".jpg · this borescope was built without libjpeg-turbo · install "
             "libturbojpeg0-dev and build again, or convert it to .png");
    return PICTURE_BAD;
}
