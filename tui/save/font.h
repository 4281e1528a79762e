/* font.h - the monospaced font that screens are drawn with as pictures: fontconfig finds it,
 * FreeType draws its glyphs.
 *
 * What the font lacks is taken from the fonts that fontconfig ranks next.  One thread at a time.
 * Tested through screen_png in tests/tui/test_write.c. */
#ifndef FONT_H
#define FONT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct font;

/* Coverage of a glyph's pixels, 0..255, and where its corner lies in the cell; good until the next
 * call. */
struct glyph {
    const uint8_t *coverage; /* h rows of `stride` bytes */
    int w, h, stride, x, y;
};

/* In the size in which a letter is as wide as a cell of these pixels, its line in the middle;
 * *base: where letters stand, from the cell's upper edge.  Refused where no font is installed, or
 * without the libraries. */
int font_open(struct font **out, int cell_w, int cell_h, int *base, struct err *e);
void font_close(struct font *f);
/* A code point in `columns` cells; false: no font has it. */
bool font_glyph(struct font *f, uint32_t code, bool bold, int columns, struct glyph *g);

#endif
