/* draw.h - small things that several views draw.  Tested in tests/tui. */
#ifndef DRAW_H
#define DRAW_H

#include "app.h"
#include "number.h"

enum { DRAW_LABEL = 18 }; /* columns of a position's label: " 14  to          " */

int draw_side_width(int w);
/* A token's text, cleaned. */
void draw_add_token(const struct app *a, int32_t id, struct bytes *out);
void draw_token(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                struct canvas_style st, int32_t id, int width);
/* The same of what stands at a position of the prompt. */
void draw_input(const struct app *a, struct canvas *c, struct rect r, int x, int y,
                struct canvas_style st, int32_t row, int width);
/* "▶ 14  to" at (0, y) of r, DRAW_LABEL columns. */
void draw_position(const struct app *a, struct canvas *c, struct rect r, int y, int32_t row);
/* The scroll offset that shows `at` of n in `room` places. */
int32_t draw_scroll(int32_t top, int32_t at, int32_t n, int32_t room);
/* `at` brought into 0..n-1. */
int32_t draw_clamp(int32_t at, int32_t n);
/* "up", "page-down", ... as key maps write them; false: no such word. */
bool draw_move_word(const char *word, enum move *m);
/* Move a cursor over rows (`down`, of n_down, `page` at a time) and columns (`across`, of
 * n_across); across NULL: a list. */
void draw_move_cursor(enum move m, int count, int32_t *down, int32_t n_down, int32_t page,
                      int32_t *across, int32_t n_across);
/* A style for a value: background by the map, or none without colour. */
struct canvas_style draw_value_style(const struct frame *f, enum colormap map, double position);
/* A number as number_fit writes it; one that is not finite in the colour of NaN.  Returns the
 * columns. */
int draw_number(struct canvas *c, struct rect r, int x, int y, struct canvas_style st, double v,
                int width, int decimals, unsigned flags);
/* What the pair's logit difference is called; in ASCII "D" would say nothing. */
const char *draw_delta(const struct app *a);
/* Does an edit that is on reach index `at` of `axis` (-1: anything) of this site? */
bool draw_is_edited(const struct app *a, struct site_ref s, int axis, int32_t at);
/* "1 * blocks.2.attn.hook_z[-1, 3] = 0", one after the other, as many lines each as r is narrow,
 * dim when off or out of force, which says why.  How many lines; c NULL: draws nothing. */
int draw_edits(const struct app *a, struct canvas *c, struct rect r);
/* Bytes of `text` for a line of `width` columns: to the last blank that fits, else as many as do.
 */
size_t draw_wrap(const char *text, int width);
/* A sentence from column x on, on as many lines as r has, the last column free. */
void draw_sentence(struct canvas *c, struct rect r, int x, struct canvas_style st, const char *s);
/* "*" on, "-" off, "!" does not fit. */
const char *draw_edit_mark(const struct app *a, int i);
/* Layers as an edit writes them: "7", "{2..7}". */
enum { LAYERS_TEXT = 32 };
const char *draw_layer_range(int32_t from, int32_t to, char buf[LAYERS_TEXT]);
/* "3" for a position as an edit writes it: -1 at the end. */
int32_t draw_row_index(const struct app *a, int32_t row);

#endif
