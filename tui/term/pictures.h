/* pictures.h - what pixels are on the terminal, and the bytes that bring it to what a frame wants.
 *
 * Sixel: `ESC 7`, margins off, position, picture, `ESC 8`; a picture that did not change is not
 * sent; one that replaces another of the same place is sent over it, never erased first; cells that
 * no picture fills any more are erased with spaces.  A picture under a popup is sent as up to four
 * pieces around it.  The last row never holds pixels. kitty: by id, replaced in place; those under
 * a popup are shown as characters meanwhile. Bytes only; tested in tests/tui/test_pictures.c. */
#ifndef PICTURES_H
#define PICTURES_H

#include "frame.h"

struct shown {
    struct rect part[1 + 4 * FRAME_POPUPS_MAX];
    int n_parts;
    struct rect full; /* cells that its pixels fill */
    bool same;        /* as in the frame before: not sent again */
    uint64_t hash;
};

struct pictures {
    struct shown shown[FRAME_PICTURES_MAX];
    int n;
    bool sent[FRAME_PICTURES_MAX]; /* kitty: this id is in the terminal */
};

/* Which pictures of f are shown as pixels: show[n_pictures]. */
void pictures_choose(const struct frame *f, bool *show);
/* Bytes to write before the text (what is no longer covered) and after it (pictures).  `afresh`:
 * nothing of what was sent is on the screen any more. */
void pictures_update(struct pictures *p, const struct frame *f, const bool *show, bool afresh,
                     struct bytes *before, struct bytes *after);
/* Bytes that take all pictures out of the terminal (kitty keeps them); for the end. */
void pictures_end(struct pictures *p, struct bytes *out);

#endif
