/* Fuzz: any bytes as a .png or .jpg file; what is read has its size, what is refused a line. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "picture_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct picture_rgb p = {0};
    char why[PICTURE_WHY] = "";
    enum picture_status rc = picture_read(data, size, &p, why);
    if (rc == PICTURE_BAD && (!*why || strchr(why, '\n')))
        abort();
    if (rc && p.rgb)
        abort();
    unsigned sum = 0;
    for (int64_t i = 0; !rc && i < 3 * (int64_t)p.width * p.height; i++)
        sum += p.rgb[i]; /* every pixel is read */
    if (sum == UINT_MAX)
        abort();
    free(p.rgb);
    return 0;
}
