/* screen_file.h - a screen as a file: HTML, SVG, and its picture as PNG.
 *
 * Black on white where a cell has the terminal's own colours.  Out of memory sticks in *out. Tested
 * in tests/tui/test_write.c. */
#ifndef SCREEN_FILE_H
#define SCREEN_FILE_H

#include "base/err.h"
#include "frame.h"

void screen_html(const struct canvas *c, const char *title, struct bytes *out);
void screen_svg(const struct canvas *c, struct bytes *out);
/* The largest picture of a frame that was drawn for a terminal with pixels, a sample at least 8
 * pixels wide; refused where there is none. */
int screen_png(const struct frame *f, struct bytes *out, struct err *e);

#endif
