/* compare.h - two prompts, or two models, as the two faces of every view: A, B and their
 * difference.
 *
 * A is the prompt, B the other one, position by position as `align` pairs them (token_align.h), or
 * the same in another model of the same shape; both without edits.  Tested in
 * tests/tui/test_compare.c. */
#ifndef COMPARE_H
#define COMPARE_H

#include "beside.h"

/* Is there a second prompt or model, and are they compared? */
bool compare_is_on(const struct app *a);
bool compare_is_of_models(const struct app *a);
/* While it is on: where each position is in B, and B's tokens. */
const int32_t *compare_partner(const struct app *a);
const int32_t *compare_tokens(const struct app *a);
/* What the faces are called: base, edited, difference; or A, B, B−A. */
const char *compare_face(const struct app *a, int show);
void compare_ask(struct app *a, struct beside *b, const struct session_want *w);
/* Both answers as one, a reference of the caller's; NULL: not compared, or not there. */
const struct snapshot *compare_take(struct app *a, const struct snapshot *s);

/* Can b stand beside a: every hook of the same shape, the same tokens?  0, or negative with *e. */
int compare_models(const struct model *a, const struct model *b, struct err *e);

#endif
