/* canvas.h - a grid of character cells that views draw into.
 *
 * It knows nothing of terminals: the tui sends it to one, headless commands and tests print
 * it. Every draw call takes the rectangle it may touch; x and y count from that rectangle's corner,
 * and what falls outside it (or outside the canvas) is clipped.  All text passes the sanitizer
 * (text.h).
 *
 * Invariants: a cell of width 2 is followed by one of width 0 with empty text and the same style;
 * overwriting half of a wide character blanks the other half; text is never empty in a cell of
 * width 1 or 2. One thread at a time.  Tested in tests/render/test_canvas.c. */
#ifndef CANVAS_H
#define CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bytes.h"
#include "colormap.h"
#include "rect.h"
#include "text.h"

enum { CANVAS_BOLD = 1, CANVAS_DIM = 2, CANVAS_REVERSE = 4, CANVAS_UNDERLINE = 8 };
enum { CANVAS_SIDE_MAX = 4096 };

struct canvas_style {
    uint32_t fg, bg; /* 0xRRGGBB or COLOR_DEFAULT */
    uint8_t attr;    /* CANVAS_BOLD | ... */
};
static inline struct canvas_style canvas_style(uint32_t fg, uint32_t bg, unsigned attr)
{
    return (struct canvas_style){fg, bg, (uint8_t)attr};
}
/* Terminal colours with these attributes. */
static inline struct canvas_style canvas_plain(unsigned attr)
{
    return canvas_style(COLOR_DEFAULT, COLOR_DEFAULT, attr);
}

struct canvas_cell {
    char text[TEXT_ITEM_BYTES]; /* one grapheme, at most 5 code points, NUL-terminated */
    uint8_t width;              /* 1, 2; 0: right half of the wide cell before it */
    struct canvas_style style;
};

static inline bool canvas_same_style(const struct canvas_style *a, const struct canvas_style *b)
{
    return a->fg == b->fg && a->bg == b->bg && a->attr == b->attr;
}

static inline bool canvas_same_cell(const struct canvas_cell *a, const struct canvas_cell *b)
{
    return a->width == b->width && canvas_same_style(&a->style, &b->style) &&
           strcmp(a->text, b->text) == 0;
}

struct canvas {
    int w, h;
    bool ascii;               /* draw with bytes 20..7E only; set by the owner */
    struct canvas_cell *cell; /* row-major, w * h */
};

/* Blank canvas, sides 1..CANVAS_SIDE_MAX; NULL when out of memory. */
struct canvas *canvas_new(int w, int h);
void canvas_free(struct canvas *c);
void canvas_clear(struct canvas *c);
struct rect canvas_rect(const struct canvas *c); /* all of it */
/* NULL outside. */
const struct canvas_cell *canvas_at(const struct canvas *c, int x, int y);

/* Fill r with one glyph of width 1 (" ", "│", "▒"; ours). */
void canvas_fill(struct canvas *c, struct rect r, struct canvas_style st, const char *glyph);
/* Text of our own source, and text mixed with data (names, numbers).  Ends at the edge of r without
 * a mark. Return the columns that the whole text takes, clipped or not: x += canvas_put(...). */
int canvas_put(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
               const char *s);
int canvas_putf(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                const char *fmt, ...) BYTES_PRINTF(6, 7);
/* Data: n bytes, TEXT_* flags. */
int canvas_put_text(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                    const char *s, size_t n, unsigned flags);
/* Data in a field of `width` columns: clipped with an ellipsis, padded with blanks of the style or
 * what is there left untouched. */
void canvas_put_field(struct canvas *c, struct rect r, int x, int y, struct canvas_style st,
                      const char *s, size_t n, unsigned flags, int width, bool padded);
/* Add attributes (stale: CANVAS_DIM) or change colours of what is there; COLOR_DEFAULT leaves a
 * colour as it is. */
void canvas_restyle(struct canvas *c, struct rect r, struct canvas_style st);

/* h lines, each ended by a newline, trailing blanks trimmed. */
void canvas_dump_plain(const struct canvas *c, struct bytes *out);
/* The same with SGR colours and attributes; every line ends in the default style.  COLOR_DEPTH_NONE
 * keeps the attributes. */
void canvas_dump_ansi(const struct canvas *c, enum color_depth depth, struct bytes *out);
/* A cell's colours as terminals of 16 or 256 number them, -1 for their own: text stays readable
 * (color_nearest_pair), the halves of a block are each the nearest. */
void canvas_cell_colors(const struct canvas_cell *cell, enum color_depth depth, int *fg, int *bg);
/* The style as a terminal of this depth shows it: those of xterm's colours for 16 and 256,
 * attributes alone for none. */
struct canvas_style canvas_style_shown(const struct canvas_cell *cell, enum color_depth depth);
/* For tests: one letter per style as shown instead of the text ("." for the default one), then a
 * line per letter: "a ffffff on 440154 bold". */
void canvas_dump_styles(const struct canvas *c, enum color_depth depth, struct bytes *out);

#endif
