/* kitty.c - pictures in the kitty graphics protocol.  Tested in tests/render/test_kitty.c. */
#include "kitty.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

enum { CHUNK = 4096 / 4 * 3 }; /* bytes that become the protocol's 4096 characters */

static void add_base64(struct bytes *out, const unsigned char *data, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = bytes_reserve(out, (n + 2) / 3 * 4);
    if (!to)
        return;
    for (size_t i = 0; i < n; i += 3) {
        unsigned left = (unsigned)(n - i);
        unsigned v = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                     (left > 2 ? data[i + 2] : 0);
        *to++ = digit[v >> 18];
        *to++ = digit[v >> 12 & 63];
        *to++ = left > 1 ? digit[v >> 6 & 63] : '=';
        *to++ = left > 2 ? digit[v & 63] : '=';
    }
    out->len += (n + 2) / 3 * 4;
    *to = '\0';
}

/* malloc'ed zlib stream of the picture's RGB bytes; NULL without memory. */
static unsigned char *compress_rgb(const struct image *im, size_t *len)
{
    size_t n = (size_t)im->w * (size_t)im->h;
    uLongf bound = compressBound((uLong)(3 * n));
    unsigned char *rgb = malloc(3 * n), *packed = malloc(bound);
    int status = Z_MEM_ERROR;
    if (rgb && packed) {
        for (size_t i = 0; i < 3 * n; i++)
            rgb[i] = (unsigned char)(im->palette[im->pixel[i / 3]] >> (16 - 8 * (i % 3)) & 255);
        status = compress2(packed, &bound, rgb, (uLong)(3 * n), Z_DEFAULT_COMPRESSION);
    }
    free(rgb);
    if (status != Z_OK) {
        free(packed);
        return NULL;
    }
    *len = bound;
    return packed;
}

int kitty_image(const struct image *im, uint32_t id, int columns, int rows, struct bytes *out)
{
    assert(id > 0 && columns > 0 && rows > 0);
    size_t len;
    unsigned char *packed = compress_rgb(im, &len);
    if (!packed)
        return IMAGE_NO_MEMORY;
    for (size_t at = 0; at < len; at += CHUNK) {
        size_t n = len - at < CHUNK ? len - at : CHUNK;
        bytes_add_string(out, "\033_G");
        if (at == 0)
            bytes_addf(out, "a=T,f=24,o=z,s=%d,v=%d,c=%d,r=%d,C=1,q=2,i=%u,", im->w, im->h, columns,
                       rows, (unsigned)id);
        else
            bytes_add_string(out, "q=2,");
        bytes_addf(out, "m=%d;", at + n < len);
        add_base64(out, packed + at, n);
        bytes_add_string(out, "\033\\");
    }
    free(packed);
    return out->failed ? IMAGE_NO_MEMORY : IMAGE_OK;
}

void kitty_delete(uint32_t id, struct bytes *out)
{
    if (id)
        bytes_addf(out, "\033_Ga=d,d=I,i=%u,q=2\033\\", (unsigned)id);
    else
        bytes_add_string(out, "\033_Ga=d,d=A,q=2\033\\");
}
