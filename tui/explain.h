/* explain.h - how a value of a hook comes about: the step of the plan that writes it, as a formula,
 * and the numbers that went in.  Tested in tests/tui/test_explain.c. */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "app.h"

/* Ask for what goes into a row of a hook. */
void explain_want(const struct app *a, struct site_ref s, int32_t row, struct want_list *l);
/* "hook_resid_post = hook_resid_mid + hook_mlp_out"; "" for what no step writes. */
void explain_formula(const struct app *a, struct site_ref s, struct bytes *out);
/* Lines of what went in, at a position and head; element >= 0: an elementwise formula's are values,
 * element -1 and others: Euclidean norms.  Of the face on show.  Each "name value". */
void explain_inputs(const struct app *a, struct site_ref s, int32_t row, int32_t head,
                    int32_t element, struct bytes *out);
/* Both, into r; the lines that were drawn. */
int explain_draw(const struct app *a, struct canvas *c, struct rect r, struct site_ref s,
                 int32_t row, int32_t head, int32_t element);

/* Of what is under the cursor, as one sentence; "" where nothing is. */
void explain_noun_want(const struct app *a, struct want_list *l);
void explain_noun(const struct app *a, struct bytes *out);

#endif
