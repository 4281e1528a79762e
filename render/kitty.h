/* kitty.h - pictures in the kitty graphics protocol
 * (https://sw.kovidgoyal.net/kitty/graphics-protocol/).
 *
 * One picture per id: sending the same id again replaces it in place.  The terminal enlarges it, so
 * send one pixel per sample.  The cursor does not move (C=1) and no reply is asked for (q=2). Pure.
 * Tested in tests/render/test_kitty.c. */
#ifndef KITTY_H
#define KITTY_H

#include "bytes.h"
#include "image.h"

/* Shown at the cursor over `columns` x `rows` cells.  id > 0.  0 or an image_status. */
int kitty_image(const struct image *im, uint32_t id, int columns, int rows, struct bytes *out);
/* Take the picture off the screen and out of the terminal's memory; all of them with id 0. */
void kitty_delete(uint32_t id, struct bytes *out);

#endif
