/* colormap.h - colours for values: maps of 256 entries, nearest terminal colours, readable text
 * over them.
 *
 * Colours are 0xRRGGBB.  The maps are safe for colour-blind readers: brightness alone orders the
 * sequential map; the diverging one goes blue - dark - orange with brightness growing with
 * magnitude. Pure.  Tested in tests/render/test_colormap.c. */
#ifndef COLORMAP_H
#define COLORMAP_H

#include <stdint.h>

enum { COLOR_DEFAULT_FLAG = 0x1000000 };
/* The terminal's own foreground or background. */
#define COLOR_DEFAULT ((uint32_t)COLOR_DEFAULT_FLAG)

enum colormap { COLORMAP_SEQUENTIAL, COLORMAP_DIVERGING, COLORMAP_COUNT };

/* Entry 0..255; entry of a position in [0, 1] (NaN gives COLORMAP_NAN). */
uint32_t colormap_entry(enum colormap map, int entry);
uint32_t colormap_at(enum colormap map, double position);
/* In no map; views also print "NaN" or "!", never the colour alone. */
#define COLORMAP_NAN ((uint32_t)0xff00ff)

enum color_depth {
    COLOR_DEPTH_NONE,
    COLOR_DEPTH_16,
    COLOR_DEPTH_256,
    COLOR_DEPTH_TRUE,
    COLOR_DEPTH_COUNT
};
/* Index of the colour that looks nearest (in Oklab): 16..255 of xterm's palette (the first 16 are
 * the user's), or 0..15.
 */
int color_nearest_256(uint32_t rgb);
int color_nearest_16(uint32_t rgb);
/* A foreground and background as indices of `depth` (16 or 256 colours), -1 for COLOR_DEFAULT.
 * Where rounding would make text unreadable (a contrast of 3 falls below 3) the foreground becomes
 * black or white. */
void color_nearest_pair(enum color_depth depth, uint32_t fg, uint32_t bg, int *fg_index,
                        int *bg_index);
/* xterm's palette, 0..255. */
uint32_t color_of_index(int index);
/* Relative luminance 0..1 and contrast ratio 1..21 as WCAG 2 defines them. */
double color_luminance(uint32_t rgb);
double color_contrast(uint32_t a, uint32_t b);
/* Black or white, whichever is easier to read over `background`: contrast is at least 4.5 always.
 */
uint32_t color_text_over(uint32_t background);

#endif
