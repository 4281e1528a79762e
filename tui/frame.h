/* frame.h - one screen as data: cells, pictures over them, popups over those, the caret.
 *
 * Views draw a frame without knowing whether it goes to a terminal, a file or a test.  Below every
 * picture the canvas holds the same picture in characters, for whoever cannot show pixels. Tested
 * in tests/tui/test_frame.c. */
#ifndef FRAME_H
#define FRAME_H

#include "canvas.h"
#include "heat.h"
#include "image.h"
#include "photo.h"

enum { FRAME_PICTURES_MAX = 512, FRAME_POPUPS_MAX = 8 };

struct picture {
    struct rect r;      /* the cells that belong to it */
    struct image image; /* one pixel per sample */
    int w, h;           /* pixels that the samples are stretched over: nearly all of r's */
};

/* What the terminal can show; cell_w == 0: pixels are not known. */
enum graphics { GRAPHICS_NONE, GRAPHICS_BLOCKS, GRAPHICS_SIXEL, GRAPHICS_KITTY };
struct frame_caps {
    enum graphics graphics;
    enum color_depth depth;
    int cell_w, cell_h;
    bool ascii;
};

struct frame {
    struct frame_caps caps;
    struct canvas *canvas;
    struct picture picture[FRAME_PICTURES_MAX];
    int n_pictures;
    struct rect popup[FRAME_POPUPS_MAX];
    int n_popups;
    int caret_x, caret_y; /* -1 = hidden */
    struct rect panel;    /* figures of the cell under the cursor; empty: none are there */
    struct rect beside;   /* other figures that follow the cursor and wait with them, or empty */
    bool panel_old;       /* they are another cell's, and marked as such */
    bool panel_waits;     /* what the terminal has of them may stay as it is for now */
};

/* Room for w x h cells, emptied.  False when out of memory. */
bool frame_begin(struct frame *f, int w, int h);
void frame_free(struct frame *f);
/* Where a matrix stands: the cells it covers, and columns and rows of cells per sample. */
struct frame_place {
    struct rect r;
    double dx, dy;
};
/* Draw a matrix over r: a picture, and characters below it.  A picture fills r whatever its samples
 * are; characters alone (no pixels) take as many cells as there are samples, or all of r for more.
 */
struct frame_place frame_heat(struct frame *f, struct rect r, const struct heat *m);
/* Can this terminal show pixels? */
bool frame_has_pixels(const struct frame *f);
/* Draw a matrix with exactly cell_w x cell_h characters for each sample: tables with a picture
 * inside. */
void frame_heat_cells(struct frame *f, struct rect r, const struct heat *m, int cell_w);
/* Draw all of a photo into r, whose cells are half as wide as they are high: a picture, and
 * characters below it; dx and dy are of its pixels. */
struct frame_place frame_photo(struct frame *f, struct rect r, const struct photo *p);
/* Clear r for a popup with a border and a title; what is inside the border. */
struct rect frame_popup(struct frame *f, struct rect r, const char *title);

/* The parts of r that no popup covers, at most max (4 for each popup); how many. */
int frame_visible(const struct frame *f, struct rect r, struct rect *out, int max);

#endif
