/* screen_file.h - a screen as a file: HTML, SVG, PNG.
 *
 * Black on white where a cell has the terminal's own colours.  Out of memory sticks in *out. Tested
 * in tests/tui/test_write.c. */
#ifndef SCREEN_FILE_H
#define SCREEN_FILE_H

#include "base/err.h"
#include "frame.h"

/* Colours of a cell on paper. */
struct screen_look {
    uint32_t fg, bg;
    bool plain; /* the page's own */
};
struct screen_look screen_look(struct canvas_style st);

void screen_html(const struct canvas *c, const char *title, struct bytes *out);
void screen_svg(const struct canvas *c, struct bytes *out);
/* Of a frame that was drawn for a terminal with pixels and cells of this size; in the system's
 * monospaced font (font.h), refused where there is none. */
enum { SCREEN_CELL_W = 16, SCREEN_CELL_H = 30 };
int screen_png(const struct frame *f, struct bytes *out, struct err *e);

#endif
