/* sixel_out.c - pictures as sixel bytes.
 *
 * Of libsixel only the encoder of palette pictures is used, on our own bounded buffers: the parts
 * that known vulnerabilities live in (loaders, decoder, high colour) are never reached. Tested in
 * tests/render/test_sixel_out.c. */
#include "sixel_out.h"

#include <assert.h>
#include <sixel.h>
#include <string.h>

static int percent(uint32_t rgb, int shift)
{
    return ((int)(rgb >> shift & 255) * 100 + 127) / 255;
}

/* Decimal digits of n >= 0 at `to`; returns behind them.  (printf costs five times the rest of the
 * encoder.) */
static char *put_number(char *to, int n)
{
    char digits[12];
    int count = 0;
    do
        digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    while (count)
        *to++ = digits[--count];
    return to;
}

/* `count` columns of six pixels in colour c. */
static void add_run(struct bytes *out, int c, int count)
{
    char *begin = bytes_reserve(out, 24), *to = begin;
    if (!to)
        return;
    *to++ = '#';
    to = put_number(to, c);
    if (count > 3) {
        *to++ = '!';
        to = put_number(to, count);
        count = 1;
    }
    for (; count > 0; count--)
        *to++ = '~';
    out->len += (size_t)(to - begin);
}

static void add_palette(const struct image *im, struct bytes *out)
{
    bool used[IMAGE_COLORS_MAX] = {false};
    for (size_t i = 0; i < (size_t)im->w * (size_t)im->h; i++)
        used[im->pixel[i]] = true;
    for (int c = 0; c < im->n_colors; c++)
        if (used[c])
            bytes_addf(out, "#%d;2;%d;%d;%d", c, percent(im->palette[c], 16),
                       percent(im->palette[c], 8), percent(im->palette[c], 0));
}

/* One row of blocks is cell_h / 6 equal bands of full-height runs: one pass, no overprinting. */
static void add_row(const struct image *im, int y, int cell_w, int bands, struct bytes *out)
{
    const uint8_t *row = im->pixel + (size_t)y * (size_t)im->w;
    size_t begin = out->len;
    for (int x = 0, end; x < im->w; x = end) {
        for (end = x + 1; end < im->w && row[end] == row[x]; end++)
            ;
        add_run(out, row[x], (end - x) * cell_w);
    }
    size_t len = out->len - begin;
    for (int i = 1; i < bands; i++) {
        char *to = bytes_reserve(out, len + 1);
        if (!to)
            return;
        *to = '-';
        memcpy(to + 1, out->data + begin, len);
        out->len += len + 1;
    }
}

int sixel_out_grid(const struct image *im, int cell_w, int cell_h, struct bytes *out)
{
    assert(cell_w > 0 && cell_h > 0 && cell_h % 6 == 0);
    if (cell_w > IMAGE_SIDE_MAX / im->w || cell_h > IMAGE_SIDE_MAX / im->h)
        return IMAGE_TOO_LARGE;
    bytes_addf(out, "\033P0;1;0q\"1;1;%d;%d", im->w * cell_w, im->h * cell_h);
    add_palette(im, out);
    for (int y = 0; y < im->h; y++) {
        if (y)
            bytes_add_char(out, '-');
        add_row(im, y, cell_w, cell_h / 6, out);
    }
    bytes_add_string(out, "\033\\");
    return out->failed ? IMAGE_NO_MEMORY : IMAGE_OK;
}

static int write_bytes(char *data, int size, void *to)
{
    bytes_add(to, data, (size_t)size);
    return size;
}

static SIXELSTATUS encode(struct image *im, sixel_output_t *output, sixel_dither_t *dither)
{
    unsigned char palette[IMAGE_COLORS_MAX * 3];
    for (int c = 0; c < im->n_colors; c++)
        for (int i = 0; i < 3; i++)
            palette[3 * c + i] = (unsigned char)(im->palette[c] >> (16 - 8 * i) & 255);
    sixel_output_set_encode_policy(output, SIXEL_ENCODEPOLICY_SIZE);
    sixel_dither_set_palette(dither, palette);
    sixel_dither_set_pixelformat(dither, SIXEL_PIXELFORMAT_PAL8);
    sixel_dither_set_diffusion_type(dither, SIXEL_DIFFUSE_NONE);
    return sixel_encode(im->pixel, im->w, im->h, 8, dither, output);
}

int sixel_out_image(const struct image *im, struct bytes *out)
{
    static const char lead[] = "\033Pq"; /* libsixel's; ours says P2=1 */
    struct image copy = {0};
    struct bytes raw = {0};
    sixel_output_t *output = NULL;
    sixel_dither_t *dither = NULL;
    int status = image_enlarge(im, 1, 1, &copy);
    if (status)
        return status;
    image_compact(&copy);
    status = IMAGE_NO_MEMORY;
    if (SIXEL_FAILED(sixel_output_new(&output, write_bytes, &raw, NULL)) ||
        SIXEL_FAILED(sixel_dither_new(&dither, copy.n_colors, NULL)) ||
        SIXEL_FAILED(encode(&copy, output, dither)) || raw.failed)
        goto end;
    assert(raw.len > sizeof lead && memcmp(raw.data, lead, sizeof lead - 1) == 0);
    const char *body = raw.data + sizeof lead - 1, *end = raw.data + raw.len;
    const char *cut = im->h < 6 ? memchr(body, '-', (size_t)(end - body)) : NULL;
    bytes_add_string(out, "\033P0;1;0q");
    if (cut) { /* libsixel 1.10.3 moves a picture of less than one band down by one */
        bytes_add(out, body, (size_t)(cut - body));
        body = cut + 1;
    }
    bytes_add(out, body, (size_t)(end - body));
    status = out->failed ? IMAGE_NO_MEMORY : IMAGE_OK;
end:
    if (dither)
        sixel_dither_unref(dither);
    if (output)
        sixel_output_unref(output);
    bytes_free(&raw);
    image_free(&copy);
    return status;
}
