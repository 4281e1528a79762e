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

/* `count` columns of the six pixels `bits`. */
static void add_run(struct bytes *out, int bits, int count)
{
    char *begin = bytes_reserve(out, 16), *to = begin;
    if (!to)
        return;
    if (count > 3) {
        *to++ = '!';
        to = put_number(to, count);
        count = 1;
    }
    for (; count > 0; count--)
        *to++ = (char)('?' + bits);
    out->len += (size_t)(to - begin);
}

/* Samples [x0, x1) x [y0, y1) of im that a window of w x h pixels shows. */
struct grid {
    const struct image *im;
    int w, h;
    struct rect window;
    int x0, x1, y0, y1;
};

/* First pixel of sample i of n over `size` pixels; the sample that a pixel shows. */
static int edge(int size, int i, int n)
{
    return (int)((long long)size * i / n);
}

static int sample_at(int size, int pixel, int n)
{
    return (int)(((long long)pixel * n + n - 1) / size);
}

static struct grid grid_open(const struct image *im, int w, int h, struct rect r)
{
    return (struct grid){im,
                         w,
                         h,
                         r,
                         sample_at(w, r.x, im->w),
                         sample_at(w, r.x + r.w - 1, im->w) + 1,
                         sample_at(h, r.y, im->h),
                         sample_at(h, r.y + r.h - 1, im->h) + 1};
}

/* Pixels of sample x that the window shows. */
static int columns_of(const struct grid *g, int x)
{
    int from = edge(g->w, x, g->im->w), to = edge(g->w, x + 1, g->im->w);
    from = from < g->window.x ? g->window.x : from;
    to = to > g->window.x + g->window.w ? g->window.x + g->window.w : to;
    return to - from;
}

static void add_palette(const struct grid *g, struct bytes *out)
{
    bool used[IMAGE_COLORS_MAX] = {false};
    const struct image *im = g->im;
    for (int y = g->y0; y < g->y1; y++)
        for (int x = g->x0; x < g->x1; x++)
            used[im->pixel[y * im->w + x]] = true;
    for (int c = 0; c < im->n_colors; c++)
        if (used[c])
            bytes_addf(out, "#%d;2;%d;%d;%d", c, percent(im->palette[c], 16),
                       percent(im->palette[c], 8), percent(im->palette[c], 0));
}

/* The rows of samples in the six pixels from `top` on, and which of the six each has. */
struct band {
    int n, row[6], bits[6];
};

static struct band band_at(const struct grid *g, int top)
{
    struct band b = {0};
    for (int i = 0; i < 6 && top + i < g->window.y + g->window.h; i++) {
        int row = sample_at(g->h, top + i, g->im->h);
        if (!b.n || b.row[b.n - 1] != row)
            b.row[b.n++] = row;
        b.bits[b.n - 1] |= 1 << i;
    }
    return b;
}

/* Where colour c stands in column x of the band. */
static int bits_of(const struct grid *g, const struct band *b, int x, int c)
{
    int bits = 0;
    for (int i = 0; i < b->n; i++)
        bits |= g->im->pixel[b->row[i] * g->im->w + x] == c ? b->bits[i] : 0;
    return bits;
}

/* One colour of a band: runs up to the last one that has pixels. */
static void add_color(const struct grid *g, const struct band *b, int c, struct bytes *out)
{
    int empty = 0, run = 0, now = 0;
    for (int x = g->x0; x < g->x1; x++) {
        int bits = bits_of(g, b, x, c), columns = columns_of(g, x);
        if (run && bits != now) {
            add_run(out, now, run);
            run = 0;
        }
        if (!bits) {
            empty += columns;
        } else {
            if (empty)
                add_run(out, 0, empty);
            empty = 0, now = bits, run += columns;
        }
    }
    if (run)
        add_run(out, now, run);
}

/* A band of one row of samples is one pass of full-height runs, without overprinting. */
static void add_flat(const struct grid *g, const struct band *b, struct bytes *out)
{
    const uint8_t *row = g->im->pixel + (size_t)b->row[0] * (size_t)g->im->w;
    for (int x = g->x0, end; x < g->x1; x = end) {
        int columns = 0;
        for (end = x; end < g->x1 && row[end] == row[x]; end++)
            columns += columns_of(g, end);
        bytes_addf(out, "#%d", row[x]);
        add_run(out, b->bits[0], columns);
    }
}

static void add_mixed(const struct grid *g, const struct band *b, struct bytes *out)
{
    bool used[IMAGE_COLORS_MAX] = {false}, first = true;
    for (int i = 0; i < b->n; i++)
        for (int x = g->x0; x < g->x1; x++)
            used[g->im->pixel[b->row[i] * g->im->w + x]] = true;
    for (int c = 0; c < g->im->n_colors; c++) {
        if (!used[c])
            continue;
        bytes_addf(out, first ? "#%d" : "$#%d", c);
        first = false;
        add_color(g, b, c, out);
    }
}

int sixel_out_grid(const struct image *im, int w, int h, struct rect window, struct bytes *out)
{
    assert(window.x >= 0 && window.y >= 0 && window.w > 0 && window.h > 0);
    assert(window.x + window.w <= w && window.y + window.h <= h && w >= im->w && h >= im->h);
    if (w > IMAGE_SIDE_MAX || h > IMAGE_SIDE_MAX)
        return IMAGE_TOO_LARGE;
    struct grid g = grid_open(im, w, h, window);
    bytes_addf(out, "\033P0;1;0q\"1;1;%d;%d", window.w, window.h);
    add_palette(&g, out);
    struct band last = {0};
    size_t begin = 0, len = 0;
    for (int top = window.y; top < window.y + window.h; top += 6) {
        struct band b = band_at(&g, top);
        if (top > window.y)
            bytes_add_char(out, '-');
        if (len && memcmp(&b, &last, sizeof b) == 0) { /* the same six pixels again */
            char *to = bytes_reserve(out, len);
            if (!to)
                break;
            memcpy(to, out->data + begin, len);
            out->len += len;
            continue;
        }
        begin = out->len;
        b.n == 1 ? add_flat(&g, &b, out) : add_mixed(&g, &b, out);
        len = out->len - begin;
        last = b;
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
