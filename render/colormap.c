/* colormap.c - colours for values and their nearest terminal colours.
 *
 * Control points: sequential: Oklab lightness 0.24 to 0.94 in equal steps, hue 305 (violet) to 105
 * degrees (yellow), the largest chroma up to 0.14 that sRGB holds.  Diverging: lightness 0.82 -
 * 0.21 - 0.82, hue 250 (blue) and 62 degrees (orange), chroma growing with magnitude.  Between
 * points sRGB is interpolated. Tested in tests/render/test_colormap.c. */
#include "colormap.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>

enum { POINTS = 9 };

static const uint32_t maps[COLORMAP_COUNT][POINTS] = {
    [COLORMAP_SEQUENTIAL] = {0x2e004d, 0x2c2379, 0x014a93, 0x016e92, 0x058e99, 0x07b09a, 0x5ecd8b,
                             0xb0e17c, 0xf9f07b},
    [COLORMAP_DIVERGING] = {0x96c9fe, 0x5c99d7, 0x456b91, 0x2f3f51, 0x181818, 0x4d3928, 0x885d34,
                            0xc8823f, 0xfeb16a},
};

static int channel(uint32_t rgb, int c)
{
    return (int)(rgb >> (16 - 8 * c) & 0xff);
}

uint32_t colormap_at(enum colormap map, double position)
{
    assert((unsigned)map < COLORMAP_COUNT);
    if (isnan(position))
        return COLORMAP_NAN;
    double at = (position < 0 ? 0 : position > 1 ? 1 : position) * (POINTS - 1);
    int i = at < POINTS - 1 ? (int)at : POINTS - 2;
    double part = at - i;
    uint32_t rgb = 0;
    for (int c = 0; c < 3; c++) {
        int a = channel(maps[map][i], c), b = channel(maps[map][i + 1], c);
        rgb = rgb << 8 | (uint32_t)(a + part * (b - a) + 0.5);
    }
    return rgb;
}

uint32_t colormap_entry(enum colormap map, int entry)
{
    assert(entry >= 0 && entry < 256);
    return colormap_at(map, entry / 255.0);
}

uint32_t color_of_index(int index)
{
    static const uint32_t base[16] = {0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd,
                                      0x00cdcd, 0xe5e5e5, 0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00,
                                      0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff};
    static const uint32_t cube[6] = {0, 95, 135, 175, 215, 255};
    assert(index >= 0 && index < 256);
    if (index < 16)
        return base[index];
    if (index >= 232)
        return (uint32_t)(8 + 10 * (index - 232)) * 0x010101;
    int i = index - 16;
    return cube[i / 36] << 16 | cube[i / 6 % 6] << 8 | cube[i % 6];
}

/* A colour in Oklab (Bjorn Ottosson, "A perceptual color space for image processing", 2020):
 * lightness 0..1, green to red, blue to yellow. */
struct lab {
    double v[3];
};

static double linear(int value)
{
    double v = value / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static struct lab lab_of(uint32_t rgb)
{
    static const double cone[3][3] = {{0.4122214708, 0.5363325363, 0.0514459929},
                                      {0.2119034982, 0.6806995451, 0.1073969566},
                                      {0.0883024619, 0.2817188376, 0.6299787005}};
    static const double axis[3][3] = {{0.2104542553, 0.7936177850, -0.0040720468},
                                      {1.9779984951, -2.4285922050, 0.4505937099},
                                      {0.0259040371, 0.7827717662, -0.8086757660}};
    double root[3];
    struct lab lab = {{0}};
    for (int i = 0; i < 3; i++)
        root[i] = cbrt(cone[i][0] * linear(channel(rgb, 0)) + cone[i][1] * linear(channel(rgb, 1)) +
                       cone[i][2] * linear(channel(rgb, 2)));
    for (int i = 0; i < 3; i++)
        lab.v[i] = axis[i][0] * root[0] + axis[i][1] * root[1] + axis[i][2] * root[2];
    return lab;
}

static struct lab palette[256];
static pthread_once_t palette_once = PTHREAD_ONCE_INIT;

static void palette_fill(void)
{
    for (int i = 0; i < 256; i++)
        palette[i] = lab_of(color_of_index(i));
}

/* As the eye has it: nearest in red, green and blue, dark violets and blues would be greys. */
static int nearest(uint32_t rgb, int first, int count)
{
    pthread_once(&palette_once, palette_fill);
    struct lab want = lab_of(rgb);
    int best = first;
    double least = INFINITY;
    for (int i = first; i < first + count; i++) {
        double sum = 0;
        for (int k = 0; k < 3; k++)
            sum += (palette[i].v[k] - want.v[k]) * (palette[i].v[k] - want.v[k]);
        best = sum < least ? i : best;
        least = sum < least ? sum : least;
    }
    return best;
}

int color_nearest_256(uint32_t rgb)
{
    return nearest(rgb, 16, 240);
}

int color_nearest_16(uint32_t rgb)
{
    return nearest(rgb, 0, 16);
}

double color_luminance(uint32_t rgb)
{
    static const double weight[3] = {0.2126, 0.7152, 0.0722};
    double sum = 0;
    for (int c = 0; c < 3; c++)
        sum += weight[c] * linear(channel(rgb, c));
    return sum;
}

double color_contrast(uint32_t a, uint32_t b)
{
    double la = color_luminance(a) + 0.05, lb = color_luminance(b) + 0.05;
    return la > lb ? la / lb : lb / la;
}

uint32_t color_text_over(uint32_t background)
{
    /* (L + 0.05) / 0.05 and 1.05 / (L + 0.05) are equal at L = sqrt(0.0525) - 0.05, where both
     * are 4.58. */
    return color_luminance(background) > 0.1791287847 ? 0x000000 : 0xffffff;
}

void color_nearest_pair(enum color_depth depth, uint32_t fg, uint32_t bg, int *fg_index,
                        int *bg_index)
{
    assert(depth == COLOR_DEPTH_16 || depth == COLOR_DEPTH_256);
    int (*find)(uint32_t) = depth == COLOR_DEPTH_16 ? color_nearest_16 : color_nearest_256;
    *fg_index = fg == COLOR_DEFAULT ? -1 : find(fg);
    *bg_index = bg == COLOR_DEFAULT ? -1 : find(bg);
    if (*fg_index < 0 || *bg_index < 0 || color_contrast(fg, bg) < 3)
        return;
    uint32_t shown = color_of_index(*bg_index);
    if (color_contrast(color_of_index(*fg_index), shown) < 3)
        *fg_index = find(color_text_over(shown));
}
