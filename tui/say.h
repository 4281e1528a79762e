/* say.h - small pieces of sentences: what views say in plain mode (view.h: say), one fact a line,
 * for screen readers, dumb terminals and scripts.  Numbers have an ASCII sign.  Tested in
 * tests/tui/test_plain.c. */
#ifndef SAY_H
#define SAY_H

#include "app.h"
#include "number.h"

/* "\" Mary\"" with its quotation marks. */
void say_token(const struct app *a, struct bytes *b, int32_t id);
/* "position 14, \" to\"" */
void say_position(const struct app *a, struct bytes *b, int32_t row);
/* A number without padding. */
void say_number(struct bytes *b, double v, int decimals, unsigned flags);
/* "; edits 1 and 3" and a new line. */
void say_line(struct bytes *b);

#endif
